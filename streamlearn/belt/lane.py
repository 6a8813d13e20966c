"""A shard at work: the events on their way to it, in the order in which it takes them.

Upholds `offsets_increase` on the reading side: rows of another generation, of another shard, below the
next offset or behind the end of a bounded read never reach the shard. Nothing here but the clocks is
state: what waits is read again after a restart.

Upholds the live half of `replay_equals_run`. What a live read could not wait for comes out of its place, behind
the end of some micro-batch, and the order journal holds these ends as cuts. A lane that is given cuts takes the
events of each alone, in their order, before it takes any of the next: the same order again.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa

from streamlearn.belt.intake import Portion
from streamlearn.belt.merge import BEFORE_ALL_TIME_US, TimeMerge
from streamlearn.belt.messages.ends import whole_messages
from streamlearn.belt.shard import Shard
from streamlearn.belt.source_kernels import advance_clocks, find_own, places_of
from streamlearn.contracts import Snapshot
from streamlearn.emission import Emission, Outbox
from streamlearn.events import Int_B, TopicPartition

MERGE_PART = "merge"
_NO_END = np.iinfo(np.int64).max
RUN_EVENTS_MIN = 64  # on average; shorter runs are copied into one batch

Offsets = Mapping[TopicPartition, int]


class Lane:
    """One shard of this worker, and its events between reader and learners.

    Parameters
    ----------
    shard
        With its partitions as keys of ``next_offsets``.
    topics
        What the ``topic`` column of a batch indexes.
    clocks_us
        The partitions' clocks as the checkpoint has them; empty for a new shard.
    idle_wait_seconds
        See ``TimeMerge``.
    ends
        For a bounded read, the offset before which each partition ends.
    outbox
        Takes what the shard sends out.
    covered
        For each partition, the offset below which everything was sent out before.
    cuts
        From the order journal: offsets of the shard's partitions, each cut at or behind the one before.
    """

    def __init__(
        self,
        shard: Shard,
        topics: tuple[str, ...],
        clocks_us: Mapping[TopicPartition, int],
        idle_wait_seconds: float | None,
        ends: Mapping[TopicPartition, int] | None,
        outbox: Outbox,
        covered: Offsets,
        cuts: Sequence[Offsets] = (),
    ) -> None:
        self.shard = shard
        self.outbox = outbox
        self.covered = dict(covered)
        self._cuts: deque[Offsets] = deque(cuts)
        self._topics = topics
        self._ends = ends
        self._clocks_us = {
            partition: clocks_us.get(partition, BEFORE_ALL_TIME_US) for partition in shard.next_offsets
        }
        self._idle_wait_seconds = idle_wait_seconds
        self._ready: pa.RecordBatch | None = None  # merged
        self._ready_bytes = 0.0
        # What the first events of a message sent out, and the others did not yet.
        self.held: Emission | None = None
        self._highs: dict[TopicPartition, int] = {}
        self._held: frozenset[TopicPartition] = frozenset()
        self.begin(0)

    @property
    def partitions(self) -> tuple[TopicPartition, ...]:
        return tuple(self.shard.next_offsets)

    def begin(self, generation: int) -> None:
        """Read on from the shard's ``next_offsets``, with portions of this generation and later ones."""
        self._generation = generation
        self._ready = None
        self.held = None
        self._positions = dict(self.shard.next_offsets)
        self._held = frozenset()
        # Read, and behind the present cut; with what an event takes.
        self._later: dict[TopicPartition, list[tuple[pa.RecordBatch, float]]] = {}
        while self._cuts and all(self.shard.next_offsets[p] >= n for p, n in self._ends_of_cut().items()):
            self._cuts.popleft()
        self._merge = TimeMerge(self._clocks_us, None if self._cuts else self._idle_wait_seconds)
        self._merge.caught_up(partition for partition in self.partitions if self._is_over(partition))

    @property
    def is_replaying(self) -> bool:
        """Whether the shard learns again what the world has seen."""
        return bool(self._cuts) or any(self.shard.next_offsets[p] < n for p, n in self.covered.items())

    @property
    def is_bounded(self) -> bool:
        """Whether it is known where the events end."""
        return self._ends is not None

    def hold(self, partitions: Iterable[TopicPartition]) -> None:
        """Of these nothing more is read for now: the merge waits for none of them, whatever they have."""
        self._held = frozenset(partitions)

    def place(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        """Have these partitions, new ones among them, go on here; ``begin`` then reads all of them."""
        self.shard.next_offsets = dict(next_offsets)
        self._clocks_us = {p: self._clocks_us.get(p, BEFORE_ALL_TIME_US) for p in next_offsets}

    def offer(self, portion: Portion) -> int:
        """Take from a portion what belongs here; return how many events that were."""
        if portion.generation < self._generation:
            return 0
        taken = 0
        for batch in portion.events:
            for partition, events, rows in self._split(batch):
                taken += events.num_rows if rows is None else len(rows)
                self._add(partition, events, rows, portion.nbytes / portion.rows)
        for partition in self.partitions:
            if partition in portion.positions:
                self._positions[partition] = max(self._positions[partition], portion.positions[partition])
            if self._is_over(partition) or (self._is_live and partition in portion.caught_up):
                self._merge.caught_up([partition])
        return taken

    def _add(
        self, partition: TopicPartition, events: pa.RecordBatch, rows: Int_B | None, row_bytes: float
    ) -> None:
        if self._cuts:
            if rows is not None:
                events, rows = events.take(pa.array(rows)), None
            end = self._ends_of_cut().get(partition, 0)
            within = int(np.searchsorted(events.column("offset").to_numpy(), end))
            if within < events.num_rows:
                self._later.setdefault(partition, []).append((events.slice(within), row_bytes))
            events = events.slice(0, within)
        self._merge.add(partition, events, row_bytes, rows)

    def _ends_of_cut(self) -> Offsets:
        """The present cut; partitions that it does not name were added later."""
        return {p: n for p, n in self._cuts[0].items() if p in self.shard.next_offsets}

    @property
    def _is_live(self) -> bool:
        return self._ends is None and not self._cuts

    def _pass_cut(self) -> None:
        """The present cut is taken: go on with the next, or live, with what was read meanwhile."""
        self._cuts.popleft()
        later, self._later = self._later, {}
        self._merge = TimeMerge(self._clocks_us, None if self._cuts else self._idle_wait_seconds)
        for partition, batches in later.items():
            for events, row_bytes in batches:
                self._add(partition, events, None, row_bytes)
        self._merge.caught_up(partition for partition in self.partitions if self._is_over(partition))

    def _split(self, events: pa.RecordBatch) -> Iterator[tuple[TopicPartition, pa.RecordBatch, Int_B | None]]:
        """Yield the rows of each partition, without a copy: a batch, and which of its rows (None: all).

        Each batch costs a tenth of a millisecond behind this. Where partitions come in turns of a few rows, as
        producers write them that send at once, runs cost more than a core: they stay in one.
        """
        topic_B, partition_B = events.column("topic").to_numpy(), events.column("partition").to_numpy()
        offset_B = events.column("offset").to_numpy()
        rows_room, begins = np.empty(len(topic_B), np.int64), np.empty(len(topic_B), np.int64)
        for partition, position in self._positions.items():
            topic = self._topics.index(partition.topic)
            end = _NO_END if self._ends is None else self._ends[partition]
            count, runs = find_own(
                topic_B, partition_B, offset_B, topic, partition.partition, position, end, rows_room, begins
            )
            if not count:
                continue
            rows = rows_room[:count]
            self._positions[partition] = int(offset_B[rows[-1]]) + 1
            if runs > count // RUN_EVENTS_MIN + 1:
                yield partition, events, rows.copy()  # the room is used again
                continue
            for begin, stop in pairwise([*begins[:runs].tolist(), count]):
                yield partition, events.slice(int(rows[begin]), stop - begin), None

    def _is_over(self, partition: TopicPartition) -> bool:
        """Whether everything was read here: of the present cut, or of a bounded read."""
        if self._cuts:
            return self._positions[partition] >= self._ends_of_cut().get(partition, 0)
        return self._ends is not None and self._positions[partition] >= self._ends[partition]

    def next(self, now: float, events_max: int) -> pa.RecordBatch | None:
        """Return the next events of the shard, whole messages, at most so many unless one message is longer;
        ``None`` while none is certain."""
        if self._ready is None:
            self._merge_more(now, events_max)
        if self._ready is None:
            return None
        events, self._ready = self._ready, None
        count = whole_messages(events, events_max)
        if events.num_rows > count:
            self._ready = events.slice(count)
            self._ready_bytes *= self._ready.num_rows / events.num_rows
            events = events.slice(0, count)
        self._advance_clocks(events)
        return events

    def _merge_more(self, now: float, events_max: int) -> None:
        while True:
            before_bytes = self._merging_bytes()
            self._ready = self._merge.take(now, self._known_more(), events_max)
            if self._ready is not None:
                self._ready_bytes = before_bytes - self._merging_bytes()
                return
            if not self._cuts or self._merge.waiting or not all(map(self._is_over, self.partitions)):
                return
            self._pass_cut()

    def _merging_bytes(self) -> int:
        return sum(map(self._merge.waiting_bytes, self.partitions))

    def _known_more(self) -> frozenset[TopicPartition]:
        """Partitions known to have events that were not read yet; what is held is waited for no more."""
        self._merge.caught_up(self._held)
        if self._cuts:
            return frozenset()
        return frozenset(p for p, high in self._highs.items() if high > self._positions[p]) - self._held

    def _advance_clocks(self, events: pa.RecordBatch) -> None:
        clock_us_S = np.array(list(self._clocks_us.values()), np.int64)
        topic_B, partition_B, reason_B, time_us = (
            events.column(name).to_numpy() for name in ("topic", "partition", "reason", "time_us")
        )
        advance_clocks(
            topic_B,
            partition_B,
            reason_B,
            time_us,
            places_of(self._clocks_us, self._topics),
            clock_us_S,
        )
        self._clocks_us = dict(zip(self._clocks_us, clock_us_S.tolist(), strict=True))

    @property
    def positions(self) -> Offsets:
        """The next offset that the reader brings, of each partition."""
        return self._positions

    @property
    def has_ready(self) -> bool:
        """Whether merged events wait."""
        return self._ready is not None

    def is_fed(self, now: float) -> bool:
        """Whether it can go on with what it holds."""
        return self.has_ready or self._merge.can_take(now, self._known_more())

    @property
    def held_bytes(self) -> int:
        """Bytes of the events between reader and learners."""
        ready_bytes = self._ready_bytes if self.has_ready else 0.0
        return math.ceil(ready_bytes + sum(map(self.waiting_bytes, self.partitions)))

    def waiting_bytes(self, partition: TopicPartition) -> int:
        """Bytes of this partition's events that wait for the others."""
        later: float = sum(
            events.num_rows * row_bytes for events, row_bytes in self._later.get(partition, ())
        )
        return math.ceil(self._merge.waiting_bytes(partition) + later)

    def highs(self, highs: Mapping[TopicPartition, int]) -> None:
        """Take note of how far the log goes now."""
        self._highs.update((p, high) for p, high in highs.items() if p in self._positions)

    @property
    def is_done(self) -> bool:
        """Whether a bounded read has given out everything."""
        is_over = not self._cuts and all(map(self._is_over, self.partitions))
        return is_over and not self.has_ready and not self._merge.waiting

    def clocks(self) -> Snapshot:
        """The partitions' clocks at ``next_offsets``: with them a restart merges in the same order."""
        return Snapshot(data={"clocks_us": [[*p, clock] for p, clock in self._clocks_us.items()]})


def clocks_of(snapshot: Snapshot) -> dict[TopicPartition, int]:
    """Read back what ``Lane.clocks`` gave."""
    return {
        TopicPartition(topic, partition): clock_us
        for topic, partition, clock_us in snapshot.data["clocks_us"]
    }
