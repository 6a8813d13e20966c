"""Where to read on when a checkpoint points outside the log. Pure: no client, no I/O.

Upholds `offsets_increase`: an offset that the log no longer holds (or does not hold yet) is an error
that names its cause, or, under ``on_gap = "skip"``, an exact count. It is never silently reset.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from streamlearn.contracts import Watermarks
from streamlearn.errors import OffsetGap
from streamlearn.events import TopicPartition

OnGap = Literal["stop", "skip"]


class PartitionGap(OffsetGap):
    """An ``OffsetGap`` that says which partition, where it stood and what the log holds (None: not known)."""

    def __init__(self, partition: TopicPartition, next_offset: int, watermarks: Watermarks | None) -> None:
        self.partition = partition
        self.next_offset = next_offset
        self.watermarks = watermarks
        what, remedy = _explain(partition, next_offset, watermarks)
        super().__init__(what, remedy=remedy)


@dataclass(frozen=True, slots=True)
class Resumption:
    """Where to read on, and how many offsets were missed on the way there.

    ``missed`` counts offsets, so it is an upper bound of events: control records and compacted or
    aborted messages take offsets too. Above the high watermark nothing was missed that still exists,
    but the ``rewound`` offsets will be read again under other messages.
    """

    next_offset: int
    missed: int = 0
    rewound: int = 0


def resume_in_log(
    partition: TopicPartition, next_offset: int, watermarks: Watermarks, *, on_gap: OnGap
) -> Resumption:
    """Return where to read on from a checkpoint's ``next_offset``.

    Parameters
    ----------
    partition
        Named in the error.
    next_offset
        The next message that the checkpoint wants.
    watermarks
        What the log holds now: ``low`` is its first offset, ``high`` the next one to be readable.
    on_gap
        ``"stop"``: raise; ``"skip"``: go to the nearest offset that the log holds.

    Raises
    ------
    PartitionGap
        (an ``OffsetGap``) under ``"stop"``, when ``next_offset`` is below ``low`` or above ``high``.

    >>> orders = TopicPartition("orders", 0)
    >>> resume_in_log(orders, 7, Watermarks(low=0, high=9), on_gap="stop")
    Resumption(next_offset=7, missed=0, rewound=0)
    >>> resume_in_log(orders, 7, Watermarks(low=10, high=20), on_gap="skip")
    Resumption(next_offset=10, missed=3, rewound=0)
    >>> resume_in_log(orders, 7, Watermarks(low=0, high=5), on_gap="skip")
    Resumption(next_offset=5, missed=0, rewound=2)
    """
    assert 0 <= watermarks.low <= watermarks.high, f"watermarks in order: {watermarks}"
    if watermarks.low <= next_offset <= watermarks.high:
        return Resumption(next_offset)
    if on_gap == "stop":
        raise PartitionGap(partition, next_offset, watermarks)
    if next_offset < watermarks.low:
        return Resumption(watermarks.low, missed=watermarks.low - next_offset)
    return Resumption(watermarks.high, rewound=next_offset - watermarks.high)


def _explain(partition: TopicPartition, next_offset: int, watermarks: Watermarks | None) -> tuple[str, str]:
    skip = 'set on_gap = "skip" to go on at the nearest offset that the log holds'
    if watermarks is None:
        return (
            f"{partition}: offset {next_offset} is not in the log (what the log holds could not be asked)",
            f"look at the topic's retention and whether it was recreated; {skip}",
        )
    held = f"the log holds {watermarks.low} to {watermarks.high}"
    if next_offset < watermarks.low:
        return (
            f"{partition}: the next event to learn has offset {next_offset}, but {held}: "
            f"{watermarks.low - next_offset} offsets were deleted (by retention or DeleteRecords) "
            "before they were learned",
            f"{skip}, and count the missed ones; lengthen the topic's retention beyond the longest outage",
        )
    if next_offset > watermarks.high:
        return (
            f"{partition}: the next event to learn has offset {next_offset}, but {held}: the log was "
            "truncated (unclean leader election), or the topic was deleted and created again",
            "if this is another topic than the one that was learned, start with an empty checkpoint folder "
            f"(checkpoint.path); else {skip}",
        )
    return (
        f"{partition}: the log no longer held offset {next_offset} when it was read (now {held})",
        f"start again: the checkpoint resumes there if the log still holds it; else {skip}",
    )
