"""How far a shard is in each of its partitions: one pass over the coordinates of a batch, compiled.

Shape letters: B events of a batch; S sources, that is partitions of a shard; T topics, P partitions of a topic.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from streamlearn.belt.accounting_kernels import ACCEPTED_CODE
from streamlearn.events import Bool_B, Int_B, TopicPartition
from streamlearn.native import inlined, kernel

Int_S = npt.NDArray[np.int64]
Int_TP = npt.NDArray[np.int64]

IN_ORDER = -1
_NOBODY = -1
ALL_ROWS: Int_B = np.zeros(0, np.int64)


def places_of(sources: Iterable[TopicPartition], topics: Sequence[str]) -> Int_TP:
    """Return the place of each source among them, by topic and partition; ``_NOBODY`` for others.

    >>> places_of([TopicPartition("b", 1), TopicPartition("a", 0), TopicPartition("gone", 0)], ("a", "b")).tolist()
    [[1, -1], [-1, 0]]
    """
    known = list(sources)
    place_TP = np.full((len(topics), 1 + max((each.partition for each in known), default=0)), _NOBODY)
    for place, source in enumerate(known):
        if source.topic in topics:
            place_TP[topics.index(source.topic), source.partition] = place
    return place_TP


@inlined
def _place(place_TP: Int_TP, topic: int, partition: int) -> int:
    place: int = place_TP[topic, partition] if partition < place_TP.shape[1] else _NOBODY
    return place


@kernel
def advance_offsets(
    topic_B: npt.NDArray[np.int16],
    partition_B: npt.NDArray[np.int32],
    offset_B: Int_B,
    ends_B: Bool_B,
    place_TP: Int_TP,
    next_S: Int_S,
) -> int:
    """Move each source behind its events: behind a message with the last of them, else to the same message again.

    Returns ``IN_ORDER``; or the first row whose offset is below the one that its source was to go on with.
    """
    for row in range(len(topic_B)):
        source = _place(place_TP, topic_B[row], partition_B[row])
        if source == _NOBODY:
            continue
        if offset_B[row] < next_S[source]:
            return row
        next_S[source] = offset_B[row] + int(ends_B[row])
    return IN_ORDER


@kernel
def advance_clocks(
    topic_B: npt.NDArray[np.int16],
    partition_B: npt.NDArray[np.int32],
    reason_B: npt.NDArray[np.uint8],
    time_us: Int_B,
    place_TP: Int_TP,
    clock_us_S: Int_S,
) -> None:
    """Move each source's clock to the largest time of its accepted events, and never back."""
    for row in range(len(topic_B)):
        source = _place(place_TP, topic_B[row], partition_B[row])
        if source != _NOBODY and reason_B[row] == ACCEPTED_CODE:
            clock_us_S[source] = max(clock_us_S[source], time_us[row])


@kernel
def running_clock(
    time_us: Int_B, reason_B: npt.NDArray[np.uint8], row_J: Int_B, clock_us: int, clock_us_J: Int_B
) -> None:
    """Set one source's clock at each of its events: the largest time of the accepted ones so far.

    Parameters
    ----------
    row_J
        Which rows they are, in order; empty: the first ones, as many as there is room for.
    clock_us
        What it shows before the first of them.
    """
    for index in range(len(clock_us_J)):
        row = row_J[index] if len(row_J) else index
        if reason_B[row] == ACCEPTED_CODE and time_us[row] > clock_us:
            clock_us = time_us[row]
        clock_us_J[index] = clock_us


@kernel
def find_own(
    topic_B: npt.NDArray[np.int16],
    partition_B: npt.NDArray[np.int32],
    offset_B: Int_B,
    topic: int,
    partition: int,
    first: int,
    end: int,
    rows: Int_B,
    begins: Int_B,
) -> tuple[int, int]:
    """Set which rows are of one source, from an offset on and before another one, and where runs of them begin.

    Returns
    -------
    How many rows there are, and of how many runs that follow each other; ``begins`` counts among ``rows``.
    """
    count = runs = 0
    for row in range(len(topic_B)):
        if topic_B[row] == topic and partition_B[row] == partition and first <= offset_B[row] < end:
            if count == 0 or rows[count - 1] != row - 1:
                begins[runs] = count
                runs += 1
            rows[count] = row
            count += 1
    return count, runs
