"""What is kept of an event that waits for its label: columns, and how they are written as a segment.

A segment is an Arrow IPC file of one record batch, read where it lies: the columns of a read segment are views of
the file's own bytes. It has a row for each event, with its id and clock; in the column ``kept``, a list, those have
one entry whose features and predictions are still needed, and the others none.
Source: https://arrow.apache.org/docs/format/Columnar.html

Shape letters: N kept events, P those of them that have columns, F numeric features, K categorical ones, L learners,
W classes that have a share.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamlearn.belt.labels.ids import Ids
from streamlearn.belt.labels.row_kernels import copy_rows
from streamlearn.errors import CheckpointRefused
from streamlearn.events import Int_B

SEGMENT_BYTES = 4 * 1024 * 1024  # about; so that sealing one is a pause that nobody sees
SEGMENT_ROWS_MIN, SEGMENT_ROWS_MAX = 1024, 65_536
_SEGMENT_FRAME_BYTES = 16 * 1024  # what a file has beside its batch: the schema, twice
_ID_BYTES = 24  # of an ordinary id, for reckoning only
_SHARES = 2  # classes that are reckoned with where they are not known

SHARE = "share"
CLOCK = "clock_us"
MISSING = "missing"
FEATURES = ("numeric", MISSING, "category")
SAID = ("version", "said")

KEPT = "kept"

Columns = dict[str, npt.NDArray[Any]]


class SegmentRows(NamedTuple):
    """The events of a segment: when each came, and the columns of those that may be learned yet."""

    ids: Ids
    clocks_us: Int_B
    place_N: npt.NDArray[
        np.int32
    ]  # where an event's columns begin, and one more: where those of the last end
    columns: Columns  # of P events

    @property
    def nbytes(self) -> int:
        columns = sum(column.nbytes for column in self.columns.values())
        return int(self.ids.nbytes + self.clocks_us.nbytes + self.place_N.nbytes + columns)

    def places(self, at_M: Int_B) -> Int_B:
        """Return where the columns of these events are."""
        place_M = self.place_N[at_M]
        assert (self.place_N[at_M + 1] > place_M).all(), (
            "what may be learned yet was sealed with its features"
        )
        return place_M.astype(np.int64)


@dataclass(frozen=True, slots=True)
class Layout:
    """Which columns there are.

    ``clock_us`` (when the event came), ``numeric``, ``missing`` and ``category`` (its features as they were),
    and what each learner said of it: ``version`` and ``said`` (a class, or a value), and ``share`` (of each class).
    """

    numeric: int
    categorical: int
    learners: int
    is_regression: bool

    def widths(self) -> dict[str, tuple[Any, int]]:
        """Each column's dtype and how many values an event has in it; 0: there is no such column.

        >>> sorted(Layout(2, 0, 1, is_regression=True).widths())
        ['category', 'clock_us', 'missing', 'numeric', 'said', 'version']
        """
        widths: dict[str, tuple[Any, int]] = {
            CLOCK: (np.int64, 1),
            "numeric": (np.float64, self.numeric),
            MISSING: (np.uint8, self.numeric),
            "category": (np.int32, self.categorical),
            "version": (np.int64, self.learners),
            "said": (np.float64 if self.is_regression else np.int32, self.learners),
        }
        return widths if self.is_regression else {**widths, SHARE: (np.float64, self.learners * _SHARES)}

    @property
    def row_bytes(self) -> int:
        """What an ordinary event takes, its id included."""
        columns = sum(np.dtype(dtype).itemsize * width for dtype, width in self.widths().values())
        return _ID_BYTES + int(columns)

    @property
    def segment_rows(self) -> int:
        """Rows of a segment, a power of two.

        >>> Layout(20, 0, 3, is_regression=False).segment_rows
        8192
        """
        rows = 1 << max(0, (SEGMENT_BYTES // self.row_bytes).bit_length() - 1)
        return min(max(rows, SEGMENT_ROWS_MIN), SEGMENT_ROWS_MAX)

    def empty(self, rows: int, names: Collection[str] | None = None) -> Columns:
        """Return columns of zeros for so many events, or those of these names; ``share`` has no class yet."""
        columns = self.unset(rows, self.widths().keys() if names is None else names)
        for column in columns.values():
            column[:] = 0
        return columns

    def unset(self, rows: int, names: Collection[str]) -> Columns:
        """Return columns of these names for so many events, with anything in them; ``share`` has no class yet."""
        return {
            name: np.empty((rows, self.learners, 0))
            if name == SHARE
            else np.empty(rows if name == CLOCK else (rows, width), dtype)
            for name, (dtype, width) in self.widths().items()
            if name in names
        }


def trimmed_shares(share_NLW: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return shares without the last classes of which no model said anything: the same however events were cut."""
    said = np.flatnonzero(~np.isnan(share_NLW).all(axis=(0, 1)))
    return np.ascontiguousarray(share_NLW[:, :, : int(said[-1]) + 1 if len(said) else 0])


def write_segment(rows: SegmentRows) -> memoryview:
    """Return the rows of a segment as its file."""
    arrays, names = [], []
    for name, column in rows.columns.items():
        if not len(column) or not column[0].size or (name == MISSING and not column.any()):
            continue  # the reader makes the same of it, and writing is most of what a segment costs
        flat = pa.array(np.ascontiguousarray(column).reshape(-1))
        arrays.append(pa.FixedSizeListArray.from_arrays(flat, column[0].size))
        names.append(name)
    places = pa.array(rows.place_N)
    kept = (
        pa.StructArray.from_arrays(arrays, names)
        if arrays
        else pa.nulls(int(rows.place_N[-1]), pa.struct([]))
    )
    columns = [rows.ids.arrow(), pa.array(rows.clocks_us), pa.ListArray.from_arrays(places, kept)]
    batch = pa.RecordBatch.from_arrays(columns, ["id", CLOCK, KEPT])
    room = np.empty(pa.ipc.get_record_batch_size(batch) + _SEGMENT_FRAME_BYTES, np.uint8)
    sink = pa.FixedSizeBufferWriter(pa.py_buffer(room))
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return room.data[: sink.tell()]


def read_segment(layout: Layout, content: memoryview) -> SegmentRows:
    """Return the rows of a segment, as views of its file. Raises CheckpointRefused where it has another form.

    >>> layout = Layout(1, 0, 1, is_regression=True)
    >>> columns = {**layout.empty(1), "numeric": np.array([[0.5]])}
    >>> rows = SegmentRows(Ids.of([b"a", b"b"]), np.array([10, 20]), np.array([0, 0, 1], np.int32), columns)
    >>> read = read_segment(layout, write_segment(rows))
    >>> read.ids.arrow().to_pylist(), read.columns["numeric"].tolist(), read.columns["category"].shape
    ([b'a', b'b'], [[0.5]], (1, 0))
    >>> read.places(np.array([1]))
    array([0])
    """
    batch = pa.ipc.open_file(pa.py_buffer(content)).get_batch(0)
    if KEPT not in batch.schema.names:
        raise CheckpointRefused(
            "a segment of events that wait for their labels is of an older streamlearn",
            remedy="go on with the streamlearn that wrote it, or start anew under another checkpoint.path",
        )
    kept = batch.column(KEPT)
    columns = _ReadColumns(layout, kept.values)
    return SegmentRows(
        Ids.of(batch.column("id")), batch.column(CLOCK).to_numpy(), kept.offsets.to_numpy(), columns
    )


class _ReadColumns(Columns):
    """The columns of a segment, each made a view when it is first asked for: mostly none of them is."""

    def __init__(self, layout: Layout, kept: pa.StructArray) -> None:
        super().__init__()
        self._layout = layout
        self._kept = kept

    def __missing__(self, name: str) -> npt.NDArray[Any]:
        self[name] = column = self._view(name)
        return column

    def _view(self, name: str) -> npt.NDArray[Any]:
        rows = len(self._kept)
        if self._kept.type.get_field_index(name) < 0:
            return self._layout.empty(rows, [name])[name]
        shape = (rows, self._layout.learners, -1) if name == SHARE else (rows, -1)
        viewed: npt.NDArray[Any] = self._kept.field(name).flatten().to_numpy().reshape(shape)
        return viewed


def gathered(
    sources: Iterable[tuple[Columns, Int_B, Int_B]], layout: Layout, rows: int, names: Collection[str]
) -> Columns:
    """Return rows of the named columns, of several sources, as one.

    Parameters
    ----------
    sources
        Columns, which rows of them, and where those go. One after the other, each looked at before the next is
        asked for: whoever yields them may let go of the one before.
    rows
        How many there are in all.
    """
    together = layout.unset(rows, names)
    for columns, taken, placed in sources:
        for name in names:
            column = columns[name]
            if name == SHARE:
                together[name] = widened_shares(together[name], column.shape[2])
            if column.shape[1:] != together[name].shape[1:]:
                together[name][placed, :, : column.shape[2]] = column[taken]
            elif column.size:
                _copy_rows(column, taken, together[name], placed)
    return together


def _copy_rows(
    source_N: npt.NDArray[Any], taken_M: Int_B, target_M: npt.NDArray[Any], placed_M: Int_B
) -> None:
    assert source_N.flags.c_contiguous
    assert target_M.flags.c_contiguous
    row_bytes = source_N.nbytes // len(source_N)
    copy_rows(source_N.ctypes.data, taken_M, target_M.ctypes.data, placed_M, row_bytes)


def widened_shares(share_NLW: npt.NDArray[np.float64], width: int) -> npt.NDArray[np.float64]:
    """Return shares with room for so many classes; of those that are new, nothing was said."""
    if width <= share_NLW.shape[2]:
        return share_NLW
    wider = np.full((*share_NLW.shape[:2], width), np.nan)
    wider[:, :, : share_NLW.shape[2]] = share_NLW
    return wider
