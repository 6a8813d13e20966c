"""JSON messages to typed columns: row i of what comes out is message i, whatever its bytes.

Three routes say the same, each faster than the one before it, about fewer messages: the exact route
(``decode_exact``) is the definition; the library route (``decode_library``) takes ordinary messages in
batches; the scanner (``scan``) takes those that are written as most are, in compiled code that does not hold
the interpreter's lock. What a route is not sure of goes to the next one down, row by row.

Upholds: decoding is stateless and pure (`reads_are_pure`), so how a sequence is cut into batches, and which
routes there are, shows in no row (`replay_equals_run`).
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa

from streamlearn.belt.decode_fields import TIME_US_MAX, TIME_US_MIN, class_tokens, rules, time_scale
from streamlearn.belt.decode_library import LibraryDecoder
from streamlearn.config import Event, Task
from streamlearn.events import RAW_SCHEMA, Int_B, event_schema

if TYPE_CHECKING:
    from streamlearn.belt.scan import Scanner

# Below this many messages the exact route costs as much as what is fixed in a batch (measured).
_SCANNED_FROM = 4


class JsonDecoder:
    """Decodes raw batches by the event contract. Stateless; may be shared by threads.

    Parameters
    ----------
    event
        The contract: which fields, of which types.
    task
        Decides what a label may be.

    >>> decoder = JsonDecoder(Event(label="late", numeric=("distance",)), "binary")
    >>> raw = pa.RecordBatch.from_pydict(
    ...     {"topic": [0, 0], "partition": [0, 0], "offset": [7, 8], "timestamp_ms": [1, 2],
    ...      "key": [None, None], "value": [b'{"distance": 1400, "late": true}', b'{"distance": "far"}']},
    ...     schema=RAW_SCHEMA)
    >>> for row in decoder.decode(raw).to_pylist():
    ...     print(row["offset"], row["numeric"], row["label"], row["detail"])
    7 [1400.0] true None
    8 [nan] None distance must be a number or a boolean; found "far"
    """

    def __init__(self, event: Event, task: Task) -> None:
        self.schema: pa.Schema = event_schema(
            event.numeric, event.categorical, real_label=task == "regression"
        )
        self._event = event
        self._task: Task = task
        self._rules = rules(event, task)
        self._typed = list(self.schema)[len(RAW_SCHEMA) :]
        self._library = LibraryDecoder(self._rules, self._typed, event.message_bytes_max)

    @property
    def engine(self) -> Literal["scanner", "msgspec"]:
        """What decodes batches: compiled code where it can be had. Asking compiles it, as ``warm_up`` does."""
        return "msgspec" if self._scanner is None else "scanner"

    def warm_up(self) -> Literal["scanner", "msgspec"]:
        """Compile the scanner's kernels, or load them from disk, so that the first batch need not wait.

        Compiling takes some ten seconds, once for each version on a machine; loading less than one.
        Idempotent.

        Returns
        -------
        The engine. ``msgspec``: there is no Numba, or it cannot compile the kernels; rows are the same.
        """
        return self.engine

    def decode(self, raw: pa.RecordBatch) -> pa.RecordBatch:
        """Return the same rows, in the same order, with typed columns beside the bytes.

        Parameters
        ----------
        raw
            A batch with ``RAW_SCHEMA``, of any length, 0 included.

        Returns
        -------
        A batch with ``self.schema``; a row that is no event has its ``reason`` and ``detail`` set and nulls
        elsewhere. Never raises on any bytes.
        """
        assert raw.schema.equals(RAW_SCHEMA), raw.schema
        values = raw.column("value")
        timestamps_us = microseconds(raw.column("timestamp_ms"))
        typed = self._columns(values, timestamps_us)
        return pa.RecordBatch.from_arrays([*raw.columns, *typed], schema=self.schema)

    def _columns(self, values: pa.LargeBinaryArray, timestamps_us: Int_B) -> list[pa.Array]:
        if len(values) < _SCANNED_FROM or self._scanner is None:
            return self._library.columns(values, timestamps_us)
        batch = self._scanner.scan(values, timestamps_us)
        doubtful = np.flatnonzero(batch.doubtful_B)
        if len(doubtful):
            batch.fill(
                doubtful, self._library.columns(values.take(pa.array(doubtful)), timestamps_us[doubtful])
            )
        return batch.columns()

    @cached_property
    def _scanner(self) -> Scanner | None:
        # Numba is dear to import, and nobody who decodes no batch shall pay for it.
        try:
            from streamlearn.belt.scan import Scanner

            return Scanner(
                self._rules,
                class_tokens(self._event, self._task),
                time_scale(self._event),
                self._typed,
                self._event.message_bytes_max,
            )
        except (ImportError, OSError):  # no Numba, none that loads, or none that compiles this
            return None


def microseconds(timestamps_ms: pa.Array) -> Int_B:
    """Return the timestamps of records as event times."""
    # A producer may write any 64 bits as a timestamp.
    clipped: Int_B = np.clip(timestamps_ms.to_numpy(), TIME_US_MIN // 1000, TIME_US_MAX // 1000)
    return clipped * 1000
