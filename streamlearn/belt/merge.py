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
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamlearn.belt.messages.ends import last_of_message
from streamlearn.belt.messages.views import as_views
from streamlearn.belt.source_kernels import ALL_ROWS, running_clock
from streamlearn.events import CATEGORICAL_PREFIX, LAST, NUMERIC, REFERRED, Int_B, TopicPartition

BEFORE_ALL_TIME_US = np.iinfo(np.int64).min
LEFT_ROWS_MAX = 1024  # a batch of no more is kept whole for a few rows of it
MOVED_ROWS_MAX = 512  # so few are moved whole: to refer to messages and features would cost more


class _Waiting(NamedTuple):
    """Events of one partition that came together, perhaps with others'."""

    events: pa.RecordBatch
    rows: Int_B | None  # which of these they are; None: all
    time_us_B: Int_B  # merge time of each
    row_bytes: float  # of each, on average

    def part(self, places: slice) -> _Waiting:
        """Return some that follow each other."""
        time_us_B = self.time_us_B[places]
        if self.rows is None:
            return self._replace(events=self.events[places], time_us_B=time_us_B)
        return self._replace(rows=self.rows[places], time_us_B=time_us_B)

    def apart(self) -> _Waiting:
        """Return them as a batch of their own."""
        if self.rows is None:
            return self
        return self._replace(events=self.events.take(pa.array(self.rows)), rows=None)


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

    def add(
        self,
        partition: TopicPartition,
        events: pa.RecordBatch,
        row_bytes: float = 0.0,
        rows: Int_B | None = None,
    ) -> None:
        """Append events of one partition, in offset order. Rejected ones do not move its clock.

        Parameters
        ----------
        row_bytes
            What an event takes on average; it is summed up for ``waiting_bytes``, and nothing else.
        rows
            Which rows of ``events`` they are, ascending; all by default. Messages are whole.
        """
        lane = self._lanes[partition]
        count = events.num_rows if rows is None else len(rows)
        if not count:
            return
        lane.caught_up = False
        time_us, reason_B = events.column("time_us").to_numpy(), events.column("reason").to_numpy()
        merge_time_us = np.empty(count, np.int64)
        running_clock(time_us, reason_B, ALL_ROWS if rows is None else rows, lane.tail_us, merge_time_us)
        if LAST in events.schema.names:
            merge_time_us = merge_time_us[last_of_message(events, rows)]
        lane.tail_us = int(merge_time_us[-1])
        lane.batches.append(_Waiting(events, rows, merge_time_us, row_bytes))
        lane.nbytes += row_bytes * count

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
        pieces = [
            piece
            for rank, lane in enumerate(self._lanes.values())
            for piece in _take_until(lane, _last_us(bound, rank))
        ]
        if not pieces:
            return None
        self._part_from(pieces)
        if len(pieces) == 1:
            return pieces[0].apart().events
        times = np.concatenate([piece.time_us_B for piece in pieces])
        # By rank and offset they stand already. Each partition's are in order, which this kind of sort makes use of.
        order = np.argsort(times, kind="stable")
        batches, places = _joined(pieces)
        is_moved = len(order) <= MOVED_ROWS_MAX and not pa.types.is_dictionary(
            batches[0].column("value").type
        )
        join = pa.concat_batches if is_moved else _concatenated
        events = batches[0] if len(batches) == 1 else join(batches)
        return events.take(pa.array(places[order])) if is_moved else _in_order(events, places[order])

    def _part_from(self, pieces: Sequence[_Waiting]) -> None:
        """Have what still waits not keep the large batches of these: nobody reckons with the bytes of the others."""
        large = {id(piece.events) for piece in pieces if piece.events.num_rows > LEFT_ROWS_MAX}
        for lane in self._lanes.values() if large else ():
            for place, waiting in enumerate(lane.batches):
                if id(waiting.events) in large:
                    lane.batches[place] = waiting.apart()

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


def _concatenated(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """Join batches. Their messages, most of the bytes and asked for by few, stay where they are."""
    place = batches[0].schema.get_field_index("value")
    values = [batch.column(place) for batch in batches]
    if pa.types.is_dictionary(values[0].type):  # Arrow would look for equal messages, byte by byte
        dictionary = pa.concat_arrays([as_views(each.dictionary) for each in values])
        starts = np.cumsum([0, *(len(each.dictionary) for each in values)])
        shifted = [each.indices.to_numpy() + start for each, start in zip(values, starts[:-1], strict=True)]
        message_B = np.concatenate(shifted).astype(np.int32)
        value = pa.DictionaryArray.from_arrays(pa.array(message_B), dictionary)
    else:
        value = pa.concat_arrays([as_views(each) for each in values])
    others = pa.concat_batches([batch.remove_column(place) for batch in batches])
    return others.add_column(place, "value", value)


def _joined(pieces: Sequence[_Waiting]) -> tuple[list[pa.RecordBatch], Int_B]:
    """Return the batches that hold the events of all pieces, and where in them, one behind the other, those of each are.

    A batch of which several pieces are rows is there once and whole, unless fewer than half of it are asked for.
    """
    asked: Counter[int] = Counter()  # rows, by batch
    for piece in pieces:
        asked[id(piece.events)] += len(piece.time_us_B)
    batches: list[pa.RecordBatch] = []
    begins: dict[int, int] = {}
    places: list[Int_B] = []
    total = 0
    for each in pieces:
        piece = each.apart() if 2 * asked[id(each.events)] < each.events.num_rows else each
        begin = begins.get(id(each.events)) if piece.rows is not None else None
        if begin is None:
            begin = begins[id(piece.events)] = total
            batches.append(piece.events)
            total += piece.events.num_rows
        places.append(begin + (np.arange(len(piece.time_us_B)) if piece.rows is None else piece.rows))
    return batches, np.concatenate(places)


def _in_order(events: pa.RecordBatch, order: Int_B) -> pa.RecordBatch:
    """Put events in order. Their messages and their features, most of the bytes, are referred to and not moved."""
    places = pa.array(order.astype(np.int32))
    ordered: dict[str, pa.Array] = {}
    features: dict[str, pa.Array] = {}
    for name, column in zip(events.schema.names, events.columns, strict=True):
        if name == NUMERIC or name.startswith(CATEGORICAL_PREFIX):
            features[name] = column
        elif name == "value" and not pa.types.is_dictionary(column.type):
            ordered[name] = _referring(places, column)
        elif column.null_count == len(column):  # is in order already; Arrow would look at each of them
            ordered[name] = column[: len(order)]
        else:
            ordered[name] = pc.take(column, places, boundscheck=False)
    if features:
        struct = pa.StructArray.from_arrays(list(features.values()), list(features))
        ordered[REFERRED] = _referring(places, struct)
    return pa.RecordBatch.from_arrays(list(ordered.values()), list(ordered))


def _referring(places: pa.Array, column: pa.Array) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(places, column, safe=False)  # the places were counted here


def _look_ahead(lane: _Lane, rank: int, events: int) -> tuple[int, int] | None:
    """The time and rank of the last event of the first batches that hold so many; ``None``: there are no more."""
    for place, waiting in enumerate(lane.batches):
        events -= len(waiting.time_us_B)
        if events <= 0:
            return None if place == len(lane.batches) - 1 else (int(waiting.time_us_B[-1]), rank)
    return None


def _take_until(lane: _Lane, last_us: int) -> Iterable[_Waiting]:
    """Cut off the front of a lane: every event whose merge time is at most ``last_us``."""
    while lane.batches and lane.batches[0].time_us_B[0] <= last_us:
        waiting = lane.batches.popleft()
        count = int(np.searchsorted(waiting.time_us_B, last_us, side="right"))
        taken = waiting
        if count < len(waiting.time_us_B):
            lane.batches.appendleft(waiting.part(slice(count, None)))
            taken = waiting.part(slice(count))
        lane.nbytes = lane.nbytes - waiting.row_bytes * count if lane.batches else 0.0
        yield taken
