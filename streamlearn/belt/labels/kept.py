"""The kept events of a shard: the newest in memory, those before in sealed segments, all by row number.

Rows are counted over the shard's life. Three of them divide it: before ``retired_row`` an event is forgotten,
before ``expire_row`` none is pending, and ``next_row`` is the next one to come. Segments begin at multiples of
their size, and one is sealed when as many events again have come behind it, so where they are cut, and what is sealed,
depends on no batch (`replay_equals_run`).

Shape letters: B rows of a batch, D different ids, M rows that are asked for, N kept events.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from concurrent.futures import Executor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamlearn.belt.labels.ids import BatchIds, Ids
from streamlearn.belt.labels.index import IdIndex
from streamlearn.belt.labels.index_kernels import compare_ids
from streamlearn.belt.labels.layout import Columns, Layout, SegmentRows, gathered
from streamlearn.belt.labels.open_rows import OpenRows
from streamlearn.belt.labels.segments import Residents, Segment, by_segment, reopen, seal
from streamlearn.contracts import Segments, Snapshot
from streamlearn.events import Bool_B, Features, Float_B, Int_B

_LABEL_PREFIX = "label/"
UNNAMED_MAX = 4  # segments, of batches before, that wait in memory until they are in their files


class _Where(NamedTuple):
    """One place where some of the rows are that were asked for."""

    kept: SegmentRows | OpenRows
    label_N: Float_B | None
    first_row: int
    places: Int_B  # which of the rows those are


class KeptEvents:
    """Events that wait for their labels, or are remembered.

    Parameters
    ----------
    layout
        Which columns there are.
    files
        Keeps sealed segments.
    segment_rows
        Rows of a segment; the layout's by default.
    background
        Writes sealed segments to their files; without one, the caller's thread does.
    """

    def __init__(
        self,
        layout: Layout,
        files: Segments,
        segment_rows: int | None = None,
        background: Executor | None = None,
    ) -> None:
        self._layout = layout
        self._files = files
        self.segment_rows = segment_rows or layout.segment_rows
        self._background = background
        self._unnamed: deque[Segment] = deque()  # sealed, and not found in their files yet; oldest first
        self._segments: dict[int, Segment] = {}  # by number, oldest first
        self._residents = Residents()
        self._index = IdIndex()
        self.open = OpenRows(layout)
        self.expire_row = 0
        self.retired_row = 0
        self.first_status = 0
        self.status_N = np.zeros(0, np.uint8)  # from ``first_status`` on, with room behind ``next_row``

    @property
    def next_row(self) -> int:
        return self.open.next_row

    @property
    def nbytes(self) -> int:
        """Bytes that the kept events take, on disk and in memory."""
        sealed = sum(segment.nbytes for segment in self._segments.values())
        return int(sealed + self.open.nbytes + self._index.nbytes + self.status_N.nbytes)

    @property
    def statuses(self) -> npt.NDArray[np.uint8]:
        """How the events stand that are not forgotten."""
        return self.status_N[self.retired_row - self.first_status : self.next_row - self.first_status]

    # -------------------------------------------------------------------------------- for the plan

    def lookup(self, ids: BatchIds) -> tuple[Int_B, Int_B, Float_B]:
        """Return for each id its row (-1: none is kept), when that event came, and the label that it has (NaN)."""
        row_D, clock_us_D = np.full(len(ids), -1), np.zeros(len(ids), np.int64)
        label_D = np.full(len(ids), np.nan)
        number_M, row_M = self._index.find(ids.hash_D, self.retired_row)
        asked = ids.of_rows
        for where in self._sources(row_M):
            kept_ids = where.kept.ids
            numbers, at = number_M[where.places], row_M[where.places] - where.first_row
            same = np.empty(len(at), np.bool_)
            compare_ids(
                asked.data, asked.offsets, ids.row_D[numbers], kept_ids.data, kept_ids.offsets, at, same
            )
            numbers, at = numbers[same], at[same]
            row_D[numbers] = at + where.first_row
            clock_us_D[numbers] = where.kept.clocks_us[at]
            if where.label_N is not None:
                label_D[numbers] = where.label_N[at]
        return row_D, clock_us_D, label_D

    def reserve(self, more: int) -> None:
        """Have room for so many events more; what is forgotten makes room first."""
        live = self.next_row - self.retired_row
        if self.next_row - self.first_status + more > len(self.status_N):
            status_N = np.zeros(max((live + more) * 5 // 4, 1024), np.uint8)
            status_N[:live] = self.statuses
            self.status_N, self.first_status = status_N, self.retired_row
        self.open.reserve(more)

    def expiring_clocks(self, row: int) -> tuple[Int_B, int]:
        """Return when the events came that are sealed with this row, and the first of them."""
        segment = self._segments[row // self.segment_rows]
        return self._residents.look_at(segment).clocks_us, segment.first_row

    # ------------------------------------------------------------------------------ what was planned

    def keep(self, ids: pa.Array, features: Features, category_BK: npt.NDArray[np.int32]) -> None:
        """Keep new events, in their order, as they are seen now; there is room, and their clocks were set."""
        self.open.append(Ids.of(ids), features.numeric_BF, features.missing_BF, category_BK)

    def gather(self, row_M: Int_B, names: Collection[str]) -> Columns:
        """Return these columns of these events, which may all be learned yet."""
        sources = (
            (where.kept.columns, where.kept.places(row_M[where.places] - where.first_row), where.places)
            for where in self._sources(row_M)
        )
        return gathered(sources, self._layout, len(row_M), names)

    def id_of(self, row: int) -> str:
        """Return the id of an event that is kept, for people."""
        (where,) = self._sources(np.array([row]))
        at = row - where.first_row
        text: bytes = where.kept.ids.rows(at, at + 1).arrow()[0].as_py()
        return text.decode()

    def set_labels(self, row_M: Int_B, label_M: Float_B) -> None:
        """Note the labels that these events have now."""
        for number, places in by_segment(row_M, self.segment_rows):
            if number in self._segments:
                segment = self._segments[number]
                segment.set_labels(row_M[places] - segment.first_row, label_M[places])
            else:
                self.open.labels[row_M[places] - self.open.first_row] = label_M[places]

    def index(self, first_row: int) -> None:
        """Have the events from this row on found by their ids."""
        for ids, rows in self._ids(first_row, self.next_row):
            self._index.insert(ids, rows)

    def retire(self, before_us: int) -> None:
        """Forget events that came at or before this clock; none of them is pending."""
        until = self.retired_row
        for first, clock_us in self._clocks(self.retired_row, self.expire_row):
            gone = int(np.searchsorted(clock_us, before_us, side="right"))
            until = first + gone
            if gone < len(clock_us):
                break
        for ids, rows in self._ids(self.retired_row, until):
            self._index.remove(ids, rows)
        self.retired_row = until
        for number in [n for n in self._segments if (n + 1) * self.segment_rows <= until]:
            self._residents.forget(self._segments.pop(number))

    def seal(self, needed_N: Bool_B) -> None:
        """Seal segments behind which another one is full. Waits where the background falls behind.

        Parameters
        ----------
        needed_N
            From the first event on that is not sealed: whether it may be learned yet, and goes with its features.

        Raises CheckpointError where a segment, this one or one before, could not be written.
        """
        rows = self.segment_rows
        sealed = (self.open.count // rows - 1) * rows
        if sealed <= 0:
            return
        while self._unnamed and (self._unnamed[0].is_named or len(self._unnamed) >= UNNAMED_MAX):
            self._unnamed.popleft().check()
        segments = []
        for start in range(0, sealed, rows):
            kept, label_N = self.open.sealed(start, start + rows, needed_N[start : start + rows])
            first_row = self.open.first_row + start
            segment = seal(self._layout, first_row, kept, self._files, self._background)
            if not np.isnan(label_N).all():
                segment.restore_labels(label_N)
            segments.append(segment)
        self.open.drop_front(sealed)
        for segment in segments:
            self._unnamed.append(segment)
            self._segments[segment.first_row // rows] = segment
            self._residents.look_at(segment)

    def _sources(self, row_M: Int_B) -> Iterator[_Where]:
        """Yield where these rows are."""
        is_open_M = row_M >= self.open.first_row
        sealed = np.flatnonzero(~is_open_M)
        for number, places in by_segment(row_M[sealed], self.segment_rows):
            segment = self._segments[number]
            kept = self._residents.look_at(segment)
            yield _Where(kept, segment.label_S, segment.first_row, sealed[places])
        # What is not sealed is one source, however many segments it will be.
        if len(sealed) < len(row_M):
            yield _Where(self.open, self.open.labels, self.open.first_row, np.flatnonzero(is_open_M))

    def _ids(self, start: int, stop: int) -> Iterator[tuple[Ids, Int_B]]:
        """Yield the ids of rows ``start:stop``, a segment at a time."""
        while start < min(stop, self.open.first_row):
            segment = self._segments[start // self.segment_rows]
            ids = self._residents.look_at(segment).ids
            first, last = segment.first_row, min(stop, segment.first_row + len(segment))
            yield ids.rows(start - first, last - first), np.arange(start, last)
            start = last
        if start < stop:
            first = self.open.first_row
            yield self.open.ids.rows(start - first, stop - first), np.arange(start, stop)

    def _clocks(self, start: int, stop: int) -> Iterator[tuple[int, Int_B]]:
        """Yield when the events of rows ``start:stop`` came, a segment at a time, with the first row of each."""
        while start < min(stop, self.open.first_row):
            clock_us, first = self.expiring_clocks(start)
            end = min(stop, first + len(clock_us))
            yield start, clock_us[start - first : end - first]
            start = end
        if start < stop:
            first = self.open.first_row
            yield start, self.open.clocks_us[start - first : stop - first]

    # ------------------------------------------------------------------------------------- state

    @property
    def segment_names(self) -> tuple[str, ...]:
        """The sealed segments that are needed, oldest first."""
        return tuple(segment.name for segment in self._segments.values())

    @property
    def segments_from(self) -> int:
        """The row before which no segment is needed, now or ever again."""
        return min(self.retired_row // self.segment_rows * self.segment_rows, self.open.first_row)

    def snapshot(self) -> Snapshot:
        """Return the state: sealed segments by name, a byte an event, the newest events as they are."""
        arrays: dict[str, npt.NDArray[Any]] = {}
        for number, segment in self._segments.items():
            label_S = _without_forgotten(segment.share_labels(), self.retired_row - segment.first_row)
            if label_S is not None:
                arrays[f"{_LABEL_PREFIX}{number}"] = label_S
        arrays |= self.open.snapshot()
        forgotten = max(0, self.retired_row - self.open.first_row)
        arrays["open/label"][:forgotten] = np.nan
        arrays["status"] = self.statuses.copy()
        data = {
            "segment_rows": self.segment_rows,
            "segments": list(self.segment_names),
            "open_row": self.open.first_row,
            "expire_row": self.expire_row,
            "retired_row": self.retired_row,
        }
        return Snapshot(data=data, arrays=arrays)

    def restore(self, snapshot: Snapshot) -> None:
        """Become what was snapshotted. Raises CheckpointCorrupt where a segment is gone or does not verify.

        A shard that goes back a little has most of its index already: what differs is put right.
        """
        data, arrays = snapshot.data, snapshot.arrays
        known = {segment.name: segment for segment in self._segments.values()}
        had = (self.retired_row, self.next_row) if len(self._index) else (0, 0)
        segment_rows = int(data["segment_rows"])
        retired_row, next_row = int(data["retired_row"]), int(data["open_row"]) + len(arrays["open/label"])
        names = {int(name.partition("-")[0]) // segment_rows: name for name in data["segments"]}
        if segment_rows != self.segment_rows or any(
            segment.name != names.get(number, segment.name) for number, segment in self._segments.items()
        ):
            self._index, had = IdIndex(), (0, 0)
        for start, stop in ((had[0], min(had[1], retired_row)), (max(had[0], next_row), had[1])):
            for ids, rows in self._ids(start, stop):
                self._index.remove(ids, rows)
        self.segment_rows = segment_rows
        self._unnamed.clear()
        self._segments = {
            number: known.get(name)
            or reopen(self._layout, number * segment_rows, segment_rows, name, self._files)
            for number, name in names.items()
        }
        for number, segment in self._segments.items():
            segment.restore_labels(arrays.get(f"{_LABEL_PREFIX}{number}"))
        self.open.restore(int(data["open_row"]), arrays)
        self.retired_row, self.expire_row = retired_row, int(data["expire_row"])
        self.status_N, self.first_status = np.array(arrays["status"]), retired_row
        for start, stop in ((retired_row, min(next_row, had[0])), (max(retired_row, had[1]), next_row)):
            for ids, rows in self._ids(start, stop):
                self._index.insert(ids, rows)
        for name in known.keys() - {each.name for each in self._segments.values()}:
            self._residents.forget(known[name])


def _without_forgotten(label_S: Float_B | None, forgotten: int) -> Float_B | None:
    """Return labels without those of the first events, which nobody knows any more; ``None`` where none is left.

    Whether such a label was noted before its event was forgotten depends on where batches were cut.
    """
    if label_S is None or forgotten <= 0:
        return label_S
    label_S = label_S.copy()
    label_S[:forgotten] = np.nan
    return None if np.isnan(label_S).all() else label_S
