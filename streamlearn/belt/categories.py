"""Bounds what a feature's categories may cost: the first so many are themselves, all others are one.

Learners and encoders keep something for each category that they meet (a weight, a count, a column), so a
field that is no category at all, such as an id, would grow them without end. What comes after the first
``event.categories_max`` of a feature is ``OTHER_CATEGORY`` to every model; a missing value is always
``MISSING_CATEGORY``, and counts for nothing.

The known categories are shard state, append-only, in the order in which events first showed them: so
`replay_equals_run` holds however events were cut into batches. Python runs once a distinct value of a batch,
never once an event.

Shape letters: B events of a batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from streamlearn.contracts import Snapshot
from streamlearn.events import MISSING_CATEGORY, OTHER_CATEGORY, Categorical, Features

Code_BK = npt.NDArray[np.int32]

_MISSING, _OTHER, _FIRST = 0, 1, 2  # how categories are kept: these two, then the known ones in their order


class CategoryBound:
    """The categories that each feature of a shard may have.

    Parameters
    ----------
    names
        The categorical features.
    categories_max
        Categories kept of each feature. May be raised between two runs; lowered, it keeps what is known.

    >>> bound = CategoryBound(("carrier",), categories_max=2)
    >>> column = Categorical("carrier", np.array([0, 1, 0, 2], np.int32), ("AA", "UA", "DL"))
    >>> features = Features((), np.zeros((4, 0)), np.zeros((4, 0), np.bool_), (column,))
    >>> bounded, overflowed = bound.bound(features)
    >>> [bounded.categorical[0].values[code] for code in bounded.categorical[0].codes_B], overflowed
    (['AA', 'UA', 'AA', '\\x00other'], {'carrier': 1})
    """

    def __init__(self, names: Sequence[str], categories_max: int) -> None:
        self._categories_max = categories_max
        self._known = {name: _Known() for name in names}

    @property
    def sizes(self) -> Mapping[str, int]:
        """How many categories of each feature are known."""
        return {name: len(known) for name, known in self._known.items()}

    def bound(self, features: Features) -> tuple[Features, Mapping[str, int]]:
        """Return the features with their categories bounded, and how many events have one too many.

        Parameters
        ----------
        features
            Of accepted events, in shard order; their new categories are known from here on.

        Returns
        -------
        (features, overflowed)
            The same features where all is known, and a count for each feature where something was too many.
        """
        columns: list[Categorical] = []
        overflowed: dict[str, int] = {}
        for column in features.categorical:
            bounded, events = self._bounded(column)
            columns.append(bounded)
            if events:
                overflowed[column.name] = events
        if all(ours is theirs for ours, theirs in zip(columns, features.categorical, strict=True)):
            return features, {}
        return replace(features, categorical=tuple(columns)), overflowed

    def encode(self, features: Features) -> Code_BK:
        """Return bounded features as codes that mean the same for good: one column a feature.

        >>> bound = CategoryBound(("carrier",), categories_max=2)
        >>> column = Categorical("carrier", np.array([0, 1], np.int32), ("AA", "UA"))
        >>> features, _ = bound.bound(Features((), np.zeros((2, 0)), np.zeros((2, 0), np.bool_), (column,)))
        >>> bound.encode(features).tolist(), bound.decode(np.array([[3], [0]], np.int32))[0].values
        ([[2], [3]], ('UA', '\\x00missing'))
        """
        codes_BK = np.empty((len(features), len(features.categorical)), np.int32)
        for place, column in enumerate(features.categorical):
            known = self._known[column.name]
            kept = np.array([known.code(value) for value in column.values], np.int32)
            codes_BK[:, place] = kept[column.codes_B] if len(kept) else 0
        return codes_BK

    def decode(self, codes_BK: Code_BK) -> tuple[Categorical, ...]:
        """Return what ``encode`` was given, with values local to these events, in the order in which they show."""
        columns = []
        for place, (name, known) in enumerate(self._known.items()):
            shown, first, codes_B = np.unique(codes_BK[:, place], return_index=True, return_inverse=True)
            order = np.argsort(first)
            values = tuple(known.value(code) for code in shown[order].tolist())
            columns.append(Categorical(name, np.argsort(order).astype(np.int32)[codes_B], values))
        return tuple(columns)

    def _bounded(self, column: Categorical) -> tuple[Categorical, int]:
        known = self._known[column.name]
        if any(value not in known for value in column.values):
            self._admit(column, known)
        kept = [code for code, value in enumerate(column.values) if value in known]
        if len(kept) == len(column.values):
            return column, 0
        # What is too many is not even named: a learner may remember every value that it is shown.
        code_of = np.full(len(column.values), len(kept), np.int32)
        code_of[kept] = np.arange(len(kept), dtype=np.int32)
        codes_B = code_of[column.codes_B]
        values = (*(column.values[code] for code in kept), OTHER_CATEGORY)
        return Categorical(column.name, codes_B, values), int(np.count_nonzero(codes_B == len(kept)))

    def _admit(self, column: Categorical, known: _Known) -> None:
        """Let new values in, while there is room, in the order in which events show them."""
        if len(known) >= self._categories_max:
            return
        shown, first_B = np.unique(column.codes_B, return_index=True)
        for code in shown[np.argsort(first_B)].tolist():
            if column.values[code] not in known:
                known.add(column.values[code])
            if len(known) >= self._categories_max:
                return

    def snapshot(self) -> Snapshot:
        """Return a copy of the whole state: for each feature its categories as UTF-8, and where each ends."""
        arrays = {}
        for name, known in self._known.items():
            arrays[f"text/{name}"] = np.frombuffer(bytes(known.text), np.uint8)
            arrays[f"ends/{name}"] = np.array(known.ends, np.int64)
        return Snapshot(arrays=arrays)

    def restore(self, snapshot: Snapshot) -> None:
        """Become what was snapshotted."""
        for name in self._known:
            known = self._known[name] = _Known()
            text = np.asarray(snapshot.arrays[f"text/{name}"], np.uint8).tobytes()
            start = 0
            for end in np.asarray(snapshot.arrays[f"ends/{name}"]).tolist():
                known.add(text[start:end].decode())
                start = end


class _Known:
    """The known categories of one feature; as bytes, too, so that a snapshot is one copy."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {MISSING_CATEGORY: _MISSING}
        self._values: list[str] = []
        self.text = bytearray()
        self.ends: list[int] = []

    def __contains__(self, value: str) -> bool:
        return value in self._codes

    def __len__(self) -> int:
        return len(self.ends)

    def add(self, value: str) -> None:
        self._codes[value] = _FIRST + len(self._values)
        self._values.append(value)
        self.text += value.encode()
        self.ends.append(len(self.text))

    def code(self, value: str) -> int:
        return self._codes.get(value, _OTHER)

    def value(self, code: int) -> str:
        if code < _FIRST:
            return MISSING_CATEGORY if code == _MISSING else OTHER_CATEGORY
        return self._values[code - _FIRST]
