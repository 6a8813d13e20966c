"""Sealed segments of kept events: immutable, named by their content, read where they lie.

Upholds the memory half of what docs/labels.md promises: what was looked at is let go of again, so that a shard's
resident memory is that of a few segments, however many wait on the disk.

Shape letters: S rows of a segment.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from streamlearn.belt.labels.layout import Layout, SegmentRows, read_segment, write_segment
from streamlearn.contracts import Mapped, Segments
from streamlearn.events import Float_B, Int_B

RESIDENT_BYTES_MAX = 24 * 1024 * 1024  # of segments that may stay in memory because they were looked at


class Named(NamedTuple):
    """A segment that is in its file."""

    name: str
    mapped: Mapped


class Segment:
    """One sealed segment, and the labels that its events got, which are kept in memory.

    ``label_S`` is NaN where there is none, and ``None`` while none of its events has one. It is replaced, never
    changed, once a snapshot has it.

    Parameters
    ----------
    nbytes
        Bytes that it takes, about: a file has a few thousand more than its columns.
    named
        Where it is, or will be.
    read
        Its events, where they are in memory; once they are let go of, they are read from its file.
    """

    def __init__(
        self,
        layout: Layout,
        first_row: int,
        rows: int,
        nbytes: int,
        named: Future[Named],
        read: SegmentRows | None = None,
    ) -> None:
        self._layout = layout
        self._named = named
        self._read = read
        self.first_row = first_row
        self._rows = rows
        self.nbytes = nbytes
        self.label_S: Float_B | None = None
        self._shared = False

    def __len__(self) -> int:
        return self._rows

    def read(self) -> SegmentRows:
        """Return its events. Waits, and raises, as ``name`` does, where they are in memory no more."""
        if self._read is None:
            self._read = read_segment(self._layout, self._named.result().mapped.content)
        return self._read

    @property
    def is_named(self) -> bool:
        """Whether it is in its file, or could not be written there: whether ``name`` returns or raises at once."""
        return self._named.done()

    @property
    def name(self) -> str:
        """Its name; waits until it has one. Raises CheckpointError where it could not be written."""
        return self._named.result().name

    def check(self) -> None:
        """Raise CheckpointError where it could not be written."""
        self._named.result()

    def rest(self) -> None:
        """Let go of the memory that it takes. Waits, and raises, as ``name`` does."""
        mapped = self._named.result().mapped
        self._read = None
        mapped.rest()

    def share_labels(self) -> Float_B | None:
        """Return the labels for a snapshot; what comes later is written to a copy."""
        self._shared = True
        return self.label_S

    def restore_labels(self, label_S: npt.NDArray[Any] | None) -> None:
        """Have these labels, which belong to somebody else."""
        self.label_S, self._shared = (None if label_S is None else np.asarray(label_S)), True

    def set_labels(self, at: Int_B, label: Float_B) -> None:
        """Note labels of some of the events."""
        if self.label_S is None:
            self.label_S = np.full(len(self), np.nan)
        elif self._shared:
            self.label_S = self.label_S.copy()
        self._shared = False
        self.label_S[at] = label


def seal(
    layout: Layout,
    first_row: int,
    rows: SegmentRows,
    files: Segments,
    background: Executor | None,
) -> Segment:
    """Return a segment of events that change no more.

    It is written to its file, and named by its content, in the background where there is one.
    """

    def write() -> Named:
        content = write_segment(rows)
        name = f"{first_row:016d}-{sha256(content).hexdigest()}.segment"
        return Named(name, files.seal(name, content))

    named = _done(write()) if background is None else background.submit(write)
    return Segment(layout, first_row, len(rows.ids), rows.nbytes, named, rows)


def reopen(layout: Layout, first_row: int, rows: int, name: str, files: Segments) -> Segment:
    """Return a segment that a checkpoint refers to. Raises CheckpointCorrupt."""
    mapped = files.open(name)
    return Segment(layout, first_row, rows, len(mapped.content), _done(Named(name, mapped)))


def _done(named: Named) -> Future[Named]:
    future: Future[Named] = Future()
    future.set_result(named)
    return future


class Residents:
    """Which segments were looked at lately, and may be in memory."""

    def __init__(self, bytes_max: int = RESIDENT_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._looked_at: OrderedDict[int, Segment] = OrderedDict()

    def look_at(self, segment: Segment) -> SegmentRows:
        """Return a segment's events; the one that was longest not looked at is let go of."""
        if segment.first_row not in self._looked_at:
            self._bytes += segment.nbytes
        self._looked_at[segment.first_row] = segment
        self._looked_at.move_to_end(segment.first_row)
        while self._bytes > self._bytes_max and len(self._looked_at) > 1:
            self.forget(next(iter(self._looked_at.values())))
        return segment.read()

    def forget(self, segment: Segment) -> None:
        """Let go of a segment's memory, if it has any; it is read again when it is looked at."""
        if self._looked_at.pop(segment.first_row, None) is not None:
            self._bytes -= segment.nbytes
        segment.rest()


def by_segment(rows: Int_B, segment_rows: int) -> Sequence[tuple[int, Int_B]]:
    """Group rows by the segment that they belong to: its number, and which of ``rows`` those are.

    >>> [(number, places.tolist()) for number, places in by_segment(np.array([5, 12, 6]), 4)]
    [(1, [0, 2]), (3, [1])]
    """
    if not len(rows):
        return []
    first, last = int(rows.min()) // segment_rows, int(rows.max()) // segment_rows
    if first == last:
        return [(first, np.arange(len(rows)))]
    numbers = rows // segment_rows
    if last - first < 2**16:
        numbers = (numbers - first).astype(np.uint16)  # which NumPy sorts by radix
    order = np.argsort(numbers, kind="stable")
    starts = np.flatnonzero(np.diff(numbers[order]))
    return [(int(rows[run[0]]) // segment_rows, run) for run in np.split(order, starts + 1)]
