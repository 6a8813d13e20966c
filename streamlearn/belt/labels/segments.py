"""Sealed segments of kept events: immutable, named by their content, read where they lie.

Upholds the memory half of what docs/labels.md promises: what was looked at is let go of again, so that a shard's
resident memory is that of a few segments, however many wait on the disk.

Shape letters: S rows of a segment.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from streamlearn.belt.labels.ids import Ids
from streamlearn.belt.labels.layout import Columns, Layout, read_segment
from streamlearn.contracts import Mapped
from streamlearn.events import Float_B, Int_B

RESIDENT_BYTES_MAX = 24 * 1024 * 1024  # of segments that may stay in memory because they were looked at


class Segment:
    """One sealed segment, and the labels that its events got, which are kept in memory.

    ``label_S`` is NaN where there is none, and ``None`` while none of its events has one. It is replaced, never
    changed, once a snapshot has it.
    """

    def __init__(self, layout: Layout, first_row: int, name: str, mapped: Mapped) -> None:
        self.first_row = first_row
        self.name = name
        self.mapped = mapped
        self.ids, self.columns = read_segment(layout, mapped.content)
        self.label_S: Float_B | None = None
        self._shared = False

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def nbytes(self) -> int:
        return len(self.mapped.content)

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


class Residents:
    """Which segments were looked at lately, and may be in memory."""

    def __init__(self, bytes_max: int = RESIDENT_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._looked_at: OrderedDict[str, Segment] = OrderedDict()

    def look_at(self, segment: Segment) -> tuple[Ids, Columns]:
        """Return a segment's ids and columns; the one that was longest not looked at is let go of."""
        if segment.name not in self._looked_at:
            self._bytes += segment.nbytes
        self._looked_at[segment.name] = segment
        self._looked_at.move_to_end(segment.name)
        while self._bytes > self._bytes_max and len(self._looked_at) > 1:
            self.forget(next(iter(self._looked_at.values())))
        return segment.ids, segment.columns

    def forget(self, segment: Segment) -> None:
        """Let go of a segment's memory, if it has any; it is read again when it is looked at."""
        if self._looked_at.pop(segment.name, None) is not None:
            self._bytes -= segment.nbytes
        segment.mapped.rest()


def by_segment(rows: Int_B, segment_rows: int) -> Sequence[tuple[int, Int_B]]:
    """Group rows by the segment that they belong to: its number, and which of ``rows`` those are.

    >>> [(number, places.tolist()) for number, places in by_segment(np.array([5, 12, 6]), 4)]
    [(1, [0, 2]), (3, [1])]
    """
    if not len(rows):
        return []
    numbers = rows // segment_rows
    if (numbers == numbers[0]).all():
        return [(int(numbers[0]), np.arange(len(rows)))]
    order = np.argsort(numbers, kind="stable")
    starts = np.flatnonzero(np.diff(numbers[order], prepend=-1))
    return [(int(numbers[run[0]]), run) for run in np.split(order, starts[1:])]
