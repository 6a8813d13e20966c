"""The newest kept events, in memory until there are enough of them for a segment. Shape letter: N events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from streamlearn.belt.labels.ids import Ids
from streamlearn.belt.labels.layout import (
    CLOCK,
    SHARE,
    Columns,
    Layout,
    SegmentRows,
    trimmed_shares,
    widened_shares,
)
from streamlearn.events import Bool_B, Float_B, Int_B, Predictions

_PREFIX = "open/"


class OpenRows:
    """Columns that grow, and move on when their first events are sealed."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.first_row = 0
        self.count = 0
        self._columns: Columns = layout.empty(0)
        self._label_N: Float_B = np.empty(0)
        self._id_data = np.empty(0, np.uint8)
        self._id_offsets_N = np.zeros(1, np.int64)

    @property
    def nbytes(self) -> int:
        columns = sum(column.nbytes for column in self._columns.values())
        return int(columns + self._label_N.nbytes + self._id_data.nbytes + self._id_offsets_N.nbytes)

    @property
    def next_row(self) -> int:
        return self.first_row + self.count

    @property
    def columns(self) -> Columns:
        return self._columns

    @property
    def clocks_us(self) -> Int_B:
        """When each event came; with room for those that were reserved."""
        return self._columns[CLOCK]

    @property
    def labels(self) -> Float_B:
        """The label that each event has by now; NaN: none."""
        return self._label_N

    @property
    def ids(self) -> Ids:
        return Ids(self._id_data, self._id_offsets_N[: self.count + 1])

    def places(self, at_M: Int_B) -> Int_B:
        """Return where the columns of these events are: each at its own number. As ``SegmentRows``."""
        return at_M

    def reserve(self, more: int) -> None:
        """Have room for so many events more."""
        room = len(self._label_N)
        if self.count + more <= room:
            return
        rows = max(self.count + more, 2 * room)
        self._columns = {name: _with_room(column, self.count, rows) for name, column in self._columns.items()}
        self._label_N = _with_room(self._label_N, self.count, rows)
        self._id_offsets_N = _with_room(self._id_offsets_N, self.count + 1, rows + 1)

    def append(self, ids: Ids, numeric_BF: Any, missing_BF: Any, category_BK: Any) -> None:
        """Add events for which there is room, and whose clocks were set; their order is that of the rows."""
        start, stop = self.count, self.count + len(ids)
        for name, column in (("numeric", numeric_BF), ("missing", missing_BF), ("category", category_BK)):
            self._columns[name][start:stop] = column
        self._label_N[start:stop] = np.nan
        if SHARE in self._columns:
            self._columns[SHARE][start:stop] = np.nan
        used, first, last = int(self._id_offsets_N[start]), int(ids.offsets[0]), int(ids.offsets[-1])
        if used + last - first > len(self._id_data):
            data = np.empty(max(used + last - first, 2 * len(self._id_data)), np.uint8)
            data[:used] = self._id_data[:used]
            self._id_data = data
        self._id_data[used : used + last - first] = ids.data[first:last]
        self._id_offsets_N[start : stop + 1] = ids.offsets - first + used
        self.count = stop

    def set_said(self, first_row: int, learner: int, said: Predictions) -> None:
        """Keep what a learner said of events, from this row on."""
        at = slice(first_row - self.first_row, first_row - self.first_row + len(said))
        self._columns["version"][at, learner] = said.version_B
        self._columns["said"][at, learner] = said.value_B if self._layout.is_regression else said.class_B
        if said.probability_BC is None:
            return
        width = said.probability_BC.shape[1]
        share = self._columns[SHARE] = widened_shares(self._columns[SHARE], width)
        share[at, learner, :width] = said.probability_BC

    def sealed(self, start: int, stop: int, needed_S: Bool_B) -> tuple[SegmentRows, Float_B]:
        """Return copies of events, counted from the first one here, as they are sealed, and, apart, their labels.

        Those that are needed no more go without their columns.
        """
        place_N = np.zeros(stop - start + 1, np.int32)
        np.cumsum(needed_S, out=place_N[1:])
        taken = slice(start, stop) if needed_S.all() else start + np.flatnonzero(needed_S)
        columns = {name: column[taken] for name, column in self._columns.items() if name != CLOCK}
        clocks_us = self.clocks_us[start:stop].copy()
        rows = SegmentRows(self.ids.rows(start, stop).copy(), clocks_us, place_N, _own(columns))
        return rows, self._label_N[start:stop].copy()

    def drop_front(self, rows: int) -> None:
        """The first events are sealed: go on with the others."""
        left = self.count - rows
        for column in (*self._columns.values(), self._label_N):
            column[:left] = column[rows : self.count]
        data, offsets_N = self._id_data, self._id_offsets_N
        start, end = int(offsets_N[rows]), int(offsets_N[self.count])
        data[: end - start] = data[start:end]
        offsets_N[: left + 1] = offsets_N[rows : self.count + 1] - start
        self.first_row += rows
        self.count = left

    def snapshot(self) -> dict[str, npt.NDArray[Any]]:
        """Return copies of all columns, by name."""
        ids = self.ids.copy()
        columns = _own({name: column[: self.count] for name, column in self._columns.items()})
        arrays = {_PREFIX + name: column for name, column in columns.items()}
        return {
            **arrays,
            _PREFIX + "label": self._label_N[: self.count].copy(),
            _PREFIX + "ids": ids.data,
            _PREFIX + "id_offsets": ids.offsets,
        }

    def restore(self, first_row: int, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Become what was snapshotted."""
        self.first_row = first_row
        self._id_offsets_N = np.array(arrays[_PREFIX + "id_offsets"])
        self._id_data = np.array(arrays[_PREFIX + "ids"])
        self.count = len(self._id_offsets_N) - 1
        self._columns = {name: np.array(arrays[_PREFIX + name]) for name in self._layout.empty(0)}
        self._label_N = np.array(arrays[_PREFIX + "label"])


def _own(columns: Columns) -> Columns:
    """Return columns as copies, without classes of which nobody said anything."""
    if SHARE in columns:
        columns = {**columns, SHARE: trimmed_shares(columns[SHARE])}
    return {name: column if column.base is None else column.copy() for name, column in columns.items()}


def _with_room(column: npt.NDArray[Any], used: int, rows: int) -> npt.NDArray[Any]:
    wider = np.zeros((rows, *column.shape[1:]), column.dtype)
    wider[:used] = column[:used]
    return wider
