"""Puts the events of a shard's partitions in one order.

Upholds the order half of `replay_equals_run`: the order is by event time, ties by topic, partition and
offset. Within a partition the offset order stands, so an event's merge time is the running maximum of
its partition (the partition's clock). The events of one message stay together, at the time of its last. What comes out depends on the events alone, however they were
polled, as long as the merge waited for every partition that had more.

Waiting follows Kafka Streams (``max.task.idle.ms``, KIP-353, KIP-695): for a partition that is known to
have more without limit, for one that is caught up not at all, for one of which nothing is known at most
``idle_wait_seconds``.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from streamlearn.belt.messages.ends import last_of_message
from streamlearn.events import LAST, Int_B, Reason, TopicPartition

BEFORE_ALL_TIME_US = np.iinfo(np.int64).min


class _Waiting(NamedTuple):
    """Events of one partition that came together."""

    events: pa.RecordBatch
    time_us_B: Int_B  # merge time of each
    row_bytes: float  # of each, on average


@dataclass(slots=True)
class _Lane:
    """The events of one partition that wait to be merged."""

    tail_us: int  # running maximum over all events so far, those that wait too
    batches: deque[_Waiting] = field(default_factory=deque)
    nbytes: float = 0.0
    caught_up: bool = False
    waited_since: float | None = None


class TimeMerge:
    """K-way merge of partitions by event time.

    Parameters
    ----------
    clocks_us
        For each partition of the shard the clock that its checkpoint holds, in microseconds;
        ``BEFORE_ALL_TIME_US`` for one that has taught nothing yet.
    idle_wait_seconds
        How long an unknown partition is waited for. ``None``: without limit, as a bounded read needs.
    """

    def __init__(self, clocks_us: Mapping[TopicPartition, int], idle_wait_seconds: float | None) -> None:
        self._lanes = {partition: _Lane(clocks_us[partition]) for partition in sorted(clocks_us)}
        self._idle_wait_seconds = idle_wait_seconds

    def waiting_bytes(self, partition: TopicPartition) -> int:
        """Bytes of the events of this partition that wait, about."""
        return math.ceil(self._lanes[partition].nbytes)

    @property
    def waiting(self) -> bool:
        """Whether any event waits."""
        return any(lane.batches for lane in self._lanes.values())

    def add(self, partition: TopicPartition, events: pa.RecordBatch, row_bytes: float = 0.0) -> None:
        """Append events of one partition, in offset order. Rejected ones do not move its clock.

        ``row_bytes``: what an event takes on average; it is summed up for ``waiting_bytes``, and nothing else.
        """
        lane = self._lanes[partition]
        if not events.num_rows:
            return
        lane.caught_up = False
        time_us = events.column("time_us").to_numpy()
        accepted = events.column("reason").to_numpy() == Reason.ACCEPTED
        running_us = np.maximum.accumulate(np.where(accepted, time_us, BEFORE_ALL_TIME_US))
        merge_time_us = np.maximum(running_us, lane.tail_us)
        if LAST in events.schema.names:
            merge_time_us = merge_time_us[last_of_message(events)]
        lane.tail_us = int(merge_time_us[-1])
        lane.batches.append(_Waiting(events, merge_time_us, row_bytes))
        lane.nbytes += row_bytes * events.num_rows

    def caught_up(self, partitions: Iterable[TopicPartition]) -> None:
        """These have no more for now: until their next event the merge goes on without them."""
        for partition in partitions:
            self._lanes[partition].caught_up = True

    def can_take(self, now: float, known_more: frozenset[TopicPartition] = frozenset()) -> bool:
        """Whether ``take`` would return events."""
        bound = self._bound(now, known_more)
        return any(
            lane.batches and lane.batches[0].time_us_B[0] <= _last_us(bound, rank)
            for rank, lane in enumerate(self._lanes.values())
        )

    def take(
        self, now: float, known_more: frozenset[TopicPartition] = frozenset(), events_each: int | None = None
    ) -> pa.RecordBatch | None:
        """Return events whose place in the order is certain, merged; ``None`` where there are none.

        Parameters
        ----------
        now
            Seconds on a clock that never goes back.
        known_more
            Partitions known to have events that were not added yet.
        events_each
            Look so far into each partition and no further (at least one batch of it); all by default. What
            is left comes next, in the same order.
        """
        bound = self._bound(now, known_more)
        if events_each is not None:
            looked = [_look_ahead(lane, rank, events_each) for rank, lane in enumerate(self._lanes.values())]
            bound = min([bound, *filter(None, looked)])
        pieces: list[pa.RecordBatch] = []
        times: list[Int_B] = []
        ranks: list[Int_B] = []
        for rank, lane in enumerate(self._lanes.values()):
            for batch, time_us in _take_until(lane, _last_us(bound, rank)):
                pieces.append(batch)
                times.append(time_us)
                ranks.append(np.full(len(time_us), rank))
        if not pieces:
            return None
        if len(pieces) == 1:
            return pieces[0]
        order = np.lexsort((np.concatenate(ranks), np.concatenate(times)))  # stable: offset order stands
        return _in_order(pa.concat_batches(pieces), order)

    def _bound(self, now: float, known_more: frozenset[TopicPartition]) -> tuple[int, int]:
        """The largest (time, partition rank) that no event still to come can precede."""
        bound = (int(np.iinfo(np.int64).max), len(self._lanes))
        for rank, (partition, lane) in enumerate(self._lanes.items()):
            if lane.caught_up and partition not in known_more:
                lane.waited_since = None
                continue
            if lane.batches or partition in known_more or self._idle_wait_seconds is None:
                lane.waited_since = None
            elif lane.waited_since is None:
                lane.waited_since = now
            elif now - lane.waited_since >= self._idle_wait_seconds:
                continue
            bound = min(bound, (lane.tail_us, rank))
        return bound


def _last_us(bound: tuple[int, int], rank: int) -> int:
    """The largest time that an event of the partition of this rank may have within the bound."""
    bound_us, bound_rank = bound
    return bound_us if rank <= bound_rank else bound_us - 1


def _in_order(events: pa.RecordBatch, order: Int_B) -> pa.RecordBatch:
    """Put events in order. Their messages, most of the bytes and asked for by few, are referred to and not moved."""
    place = events.schema.get_field_index("value")
    values = events.column(place)
    if pa.types.is_dictionary(values.type):
        return events.take(pa.array(order))
    ordered = events.remove_column(place).take(pa.array(order))
    referred = pa.DictionaryArray.from_arrays(pa.array(order, pa.int32()), values)
    return ordered.add_column(place, "value", referred)


def _look_ahead(lane: _Lane, rank: int, events: int) -> tuple[int, int] | None:
    """The time and rank of the last event of the first batches that hold so many; ``None``: there are no more."""
    for place, (_, time_us_B, _) in enumerate(lane.batches):
        events -= len(time_us_B)
        if events <= 0:
            return None if place == len(lane.batches) - 1 else (int(time_us_B[-1]), rank)
    return None


def _take_until(lane: _Lane, last_us: int) -> Iterable[tuple[pa.RecordBatch, Int_B]]:
    """Cut off the front of a lane: every event whose merge time is at most ``last_us``."""
    while lane.batches and lane.batches[0].time_us_B[0] <= last_us:
        events, time_us_B, row_bytes = lane.batches.popleft()
        count = int(np.searchsorted(time_us_B, last_us, side="right"))
        if count < len(time_us_B):
            lane.batches.appendleft(_Waiting(events.slice(count), time_us_B[count:], row_bytes))
            events, time_us_B = events.slice(0, count), time_us_B[:count]
        lane.nbytes = lane.nbytes - row_bytes * count if lane.batches else 0.0
        yield events, time_us_B
