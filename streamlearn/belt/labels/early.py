"""Labels that came before their events, and wait for them. Shape letters: D different ids, E labels that wait."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamlearn.belt.labels.ids import BatchIds
from streamlearn.contracts import Snapshot
from streamlearn.events import Bool_B, Float_B, Int_B

NO_IDS = pa.array([], pa.large_string())


class EarlyLabels:
    """Oldest first; bounded by who plans."""

    def __init__(self) -> None:
        self._ids = NO_IDS
        self.label_E: Float_B = np.empty(0)
        self.clock_us_E: Int_B = np.empty(0, np.int64)

    def __len__(self) -> int:
        return len(self.label_E)

    def lookup(self, ids: BatchIds) -> Int_B:
        """Return for each id which label waits for it; -1: none."""
        if not len(self):
            return np.full(len(ids), -1)
        found: Int_B = (
            pc.index_in(ids.tokens(), value_set=self._ids).fill_null(-1).to_numpy().astype(np.int64)
        )
        return found

    def become(self, new_ids: pa.Array, label_E: Float_B, clock_us_E: Int_B, waits_E: Bool_B) -> None:
        """Keep those that still wait, of what there was and of the new ones behind that."""
        ids = pa.concat_arrays([self._ids, new_ids])
        self._ids = ids.filter(pa.array(waits_E)) if len(ids) else NO_IDS
        self.label_E, self.clock_us_E = label_E[waits_E], clock_us_E[waits_E]

    def snapshot(self) -> Snapshot:
        """Return a copy of all of it."""
        texts = [each.encode() for each in self._ids.to_pylist()]
        ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
        return Snapshot(
            arrays={
                "early/text": np.frombuffer(b"".join(texts), np.uint8),
                "early/ends": ends,
                "early/label": self.label_E.copy(),
                "early/clock_us": self.clock_us_E.copy(),
            }
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Become what was snapshotted."""
        arrays = snapshot.arrays
        text = np.asarray(arrays["early/text"], np.uint8).tobytes()
        ends = np.asarray(arrays["early/ends"]).tolist()
        ids = [text[start:end].decode() for start, end in zip([0, *ends], ends, strict=False)]
        self._ids = pa.array(ids, pa.large_string())
        self.label_E, self.clock_us_E = np.array(arrays["early/label"]), np.array(arrays["early/clock_us"])
