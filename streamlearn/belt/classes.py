"""The classes of a label: which index each one has, once and for all.

Append-only: an index once given keeps its meaning for the life of the shard, since learners and metrics
hold it in their state.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pyarrow as pa

from streamlearn.belt.classes_kernels import KnownTokens
from streamlearn.config import Event, Task
from streamlearn.contracts import Snapshot
from streamlearn.events import NO_LABEL, TOO_MANY, Code_B, Label


class ClassIndex:
    """Gives each class of the label its index, in the order in which the stream shows them.

    Binary (and anomaly) labels without ``event.classes`` are ``false, true`` from the start; the first
    label that comes as 0 or 1 makes them ``0, 1`` on the wire, which Python takes for equal.

    >>> index = ClassIndex(Event(label="y", numeric=("x",)), "multiclass")
    >>> index.encode(['"cat"', '"dog"', None, '"cat"']).tolist(), index.classes
    ([0, 1, -1, 0], ('cat', 'dog'))
    """

    def __init__(self, event: Event, task: Task) -> None:
        self._classes_max = event.classes_max
        self._open = task == "multiclass" and event.classes is None
        self._form_open = task in ("binary", "anomaly") and event.classes is None
        if event.classes is not None:
            self._classes: list[Label] = list(event.classes)
        else:
            self._classes = [] if self._open else [False, True]
        self._index_of: dict[str, int] = {}
        self._index_anew()

    def _index_anew(self) -> None:
        self._index_of = {token(label): index for index, label in enumerate(self._classes)}
        if self._classes[:2] in ([False, True], [0, 1]) and not self._open:
            self._index_of |= {"false": 0, "true": 1, "0": 0, "1": 1}
        self._known = KnownTokens(self._index_of)

    @property
    def classes(self) -> tuple[Label, ...]:
        return tuple(self._classes)

    @property
    def tokens(self) -> tuple[str, ...]:
        """Each class as JSON, as it came in."""
        return tuple(token(label) for label in self._classes)

    def settles_at(self, labels: pa.Array) -> int | None:
        """Return how many events pass before the labels' form on the wire is settled; ``None``: it is.

        What is said of an event before the first label may not depend on a label after it
        (`predict_before_learn`), not even in how it is written.
        """
        if not self._form_open:
            return None
        labelled = np.flatnonzero(labels.is_valid().to_numpy(zero_copy_only=False))
        return int(labelled[0]) + 1 if len(labelled) else None

    def encode(self, labels: pa.Array | Sequence[str | None]) -> Code_B:
        """Return the class index of each label token; ``NO_LABEL`` for null, ``TOO_MANY`` past the limit."""
        if not isinstance(labels, pa.Array):
            labels = pa.array(labels, pa.large_string())
        codes_B: Code_B = np.empty(len(labels), np.int32)
        if not labels.null_count and not self._form_open and self._known.codes(labels, codes_B):
            return codes_B
        encoded = labels.dictionary_encode()
        index_of = [self._index(each) for each in encoded.dictionary.to_pylist()]
        codes = encoded.indices
        if codes.null_count:
            codes = codes.fill_null(len(index_of))
            index_of.append(NO_LABEL)
        np.array(index_of, np.int32).take(codes.to_numpy(), out=codes_B)
        return codes_B

    def _index(self, label: str) -> int:
        if self._form_open:
            self._form_open = False
            if label in ("0", "1"):
                self._classes = [0, 1]
        index = self._index_of.get(label)
        if index is None:
            # The decoder rejects labels outside a closed set, so this set is open.
            assert self._open, f"label {label} passed the event contract"
            if len(self._classes) >= self._classes_max:
                return TOO_MANY
            index = self._index_of[label] = len(self._classes)
            self._classes.append(msgspec.json.decode(label))
            self._known = KnownTokens(self._index_of)
        return index

    def snapshot(self) -> Snapshot:
        return Snapshot(data={"classes": list(self._classes), "form_open": self._form_open})

    def restore(self, snapshot: Snapshot) -> None:
        self._classes = list(snapshot.data["classes"])
        self._form_open = bool(snapshot.data["form_open"])
        self._index_anew()


def token(label: Label) -> str:
    """Return a label as JSON.

    >>> token(True), token("AA")
    ('true', '"AA"')
    """
    return msgspec.json.encode(label).decode()
