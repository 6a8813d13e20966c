"""Which shards this worker holds: follows the group, takes shards up, lets them go.

Upholds `offsets_travel_with_state` (a shard taken up is its newest checkpoint, read on from that
checkpoint's offsets) and, at a hand-over, `learned_once`: a revoked shard is published before the group may
give it to another worker; of a lost one nothing is written.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from streamlearn.belt.lane import MERGE_PART, Lane, clocks_of
from streamlearn.belt.parts import Offsets, Parts
from streamlearn.belt.placing import BEGAN_AT, began_at, check_copartitioned, place, shards_to_own
from streamlearn.belt.reading import Reading, highs_of
from streamlearn.belt.shard import EVENTS_MISSED
from streamlearn.belt.upkeep import Upkeep
from streamlearn.config import Config
from streamlearn.contracts import Assigned, Lost, Revoked, Unowned
from streamlearn.errors import (
    BrokerUnavailable,
    CheckpointFenced,
    CheckpointRefused,
    Fenced,
    OffsetGap,
    StreamlearnError,
)
from streamlearn.events import TopicPartition

RETRY_SECONDS = (0.5, 30.0)  # first and longest wait before an absent broker is asked again
SHARE_OF_REVOKE_BUDGET = 0.5  # the belt's part of what a rebalance waits; the rest is for the group
OUTBOX_SECONDS = 3.0  # for fencing the one before; the belt stands meanwhile, and tries again
FIRST_CHECKPOINT_SECONDS = 10.0
FENCED_SECONDS = (
    2.0  # a shard that was fenced is not taken back before: the group may only be about to say so
)


class Holdings:
    """The shards of one worker.

    ``lanes`` holds those at work; ``stopped`` those that cannot go on until someone decides, with the
    reason.
    """

    def __init__(
        self,
        config: Config,
        parts: Parts,
        lanes: dict[str, Lane],
        reading: Reading,
        upkeep: Upkeep,
        *,
        until_end: bool,
    ) -> None:
        self._config = config
        self._parts = parts
        self._reading = reading
        self._upkeep = upkeep
        self._until_end = until_end
        self._ends: dict[TopicPartition, int] | None = None
        self._identity: Mapping[str, Any] = {}
        self._all_partitions: list[TopicPartition] = []
        self._role: str | None = None  # as it was last told
        self._retry_at = 0.0
        self._retry_seconds = RETRY_SECONDS[0]
        self.lanes = lanes
        self.stopped: dict[str, OffsetGap] = {}
        self.assigned: set[TopicPartition] = set()
        self.assignment_known = False
        self.unowned: tuple[TopicPartition, ...] = ()  # partitions of the group that no worker has
        self.waits_for_broker: str | None = None

    # ------------------------------------------------------------------------------ the group's word

    def follow_group(self) -> None:
        """Do what the group asks, in its order."""
        telemetry = self._parts.telemetry
        for happening in self._parts.membership.happenings():
            match happening:
                case Assigned(partitions):
                    self.assigned.update(partitions)
                    self.assignment_known = True
                    self._all_partitions = []  # partitions added to a topic come by a rebalance: look again
                    telemetry.partitions_assigned(partitions)
                case Revoked(partitions):
                    self.assigned.difference_update(partitions)
                    self.release(self._unwanted())
                    self._parts.membership.released(happening)
                    telemetry.partitions_revoked(partitions)
                case Lost(partitions):
                    self.assigned.difference_update(partitions)
                    self._let_go(self._unwanted())
                    telemetry.partitions_lost(partitions)
                case Unowned(partitions):
                    self.unowned = partitions

    @property
    def is_standby(self) -> bool:
        """In stream scope: in the group, while another worker leads."""
        is_settled = self.assignment_known and bool(self._all_partitions)
        return is_settled and self._config.stream.scope == "stream" and not self._wanted()

    @property
    def is_done(self) -> bool:
        """Whether a bounded read is at its end, in every shard that this worker owns (at least one)."""
        wanted = self._wanted()
        return bool(wanted) and all(
            name in self.stopped or (name in self.lanes and self.lanes[name].is_done) for name in wanted
        )

    @property
    def remaining_events(self) -> int | None:
        """Offsets before the ends of a bounded read, over the shards at work; ``None``: not bounded, or not known."""
        if self._ends is None or not self.lanes:
            return None
        return sum(
            max(0, self._ends[partition] - next_offset)
            for lane in self.lanes.values()
            for partition, next_offset in lane.shard.next_offsets.items()
        )

    def _wanted(self) -> dict[str, tuple[TopicPartition, ...]]:
        label_topic = self._config.label_topic
        return shards_to_own(self._config.stream, self.assigned, self._all_partitions, label_topic)

    def _unwanted(self) -> list[str]:
        """The shards at work that the assignment no longer gives a right to; see ``shards_to_own``."""
        return [name for name, lane in self.lanes.items() if lane.partitions[0] not in self.assigned]

    # ------------------------------------------------------------------------------------ taking up

    def take_up(self, now: float) -> None:
        """Open the shards that are wanted and not open. While the broker is away: keep trying.

        Raises OffsetGap when no shard of this worker can go on; CheckpointCorrupt, CheckpointRefused.
        """
        if not self.assignment_known or now < self._retry_at:
            return
        try:
            self._look_at_partitions()
            for name, partitions in self._wanted().items():
                if name in self.lanes and self.lanes[name].partitions != partitions:
                    self._extend(name, partitions)
                if name not in self.lanes and name not in self.stopped:
                    self._open(name, partitions, now)
        except BrokerUnavailable as error:
            self._retry_at = now + self._retry_seconds
            self._retry_seconds = min(self._retry_seconds * 2, RETRY_SECONDS[1])
            self.waits_for_broker = error.what
            self._parts.telemetry.broker_lost(error.what)
            return
        self._retry_seconds = RETRY_SECONDS[0]
        self.waits_for_broker = None

    def _look_at_partitions(self) -> None:
        if self._all_partitions:
            return
        intake = self._parts.intake
        partitions = intake.ask(lambda reader: reader.partitions())
        label_topic = self._config.label_topic
        if label_topic is not None and self._config.stream.scope == "partition":
            check_copartitioned(partitions, label_topic)
        if self._until_end and self._ends is None:
            self._ends = intake.ask(lambda reader: highs_of(reader, partitions))
        self._identity = intake.ask(self._parts.identify)
        # A bounded read ends where the partitions ended at its start: those that came later are not in it.
        self._all_partitions = [p for p in partitions if self._ends is None or p in self._ends]
        self._tell_role()

    def _tell_role(self) -> None:
        """Say whether this worker leads or stands by, when that has changed."""
        role = "standby" if self.is_standby else "leader"
        if self._config.stream.scope == "partition" or role == self._role:
            return
        self._role = role
        if role == "standby":
            events = (p for p in self._all_partitions if p.topic != self._config.label_topic)
            self._parts.telemetry.standby(next(events))
        else:
            self._parts.telemetry.leading()

    def _open(self, name: str, partitions: tuple[TopicPartition, ...], now: float) -> None:
        """Take a shard up. Each step is safe to repeat: whatever stops it, the next try begins at the first.

        0. Whoever cannot go on from its checkpoint (another key, config or source) is refused before it fences anybody.
        1. From now on nobody before can publish its checkpoints or send for it.
        2. The newest checkpoint that verifies.
        3. Where its partitions are read on, and what of that the world has seen.
        4. The state.
        5. Events. A shard that never was is published first: where it began is part of what it is.
        """
        parts = self._parts
        # Step 0.
        looked = parts.store.look(name)
        if looked is not None:
            parts.check_config(looked)
            self._check_identity(name, looked.source)
        # Step 1.
        epoch = parts.store.claim(name)
        outbox = parts.open_outbox(name, partitions)
        try:
            covered = outbox.open(OUTBOX_SECONDS).next_offsets
            # Step 2.
            state = parts.store.newest(name)
            clocks_us: Offsets = {}
            known: Offsets = {}
            if state is not None:
                known, clocks_us = state.next_offsets, clocks_of(state.parts[MERGE_PART])
                self._check_identity(name, state.source)
            for partition, sent_up_to in covered.items():
                if sent_up_to < known.get(
                    partition, 0
                ):  # a checkpoint waits for the transactions that it covers
                    parts.telemetry.sending_behind(partition, sent_up_to, known[partition])
            # Step 3.
            next_offsets, missed = self._place(partitions, known)
            cuts = parts.read_cuts(name, next_offsets)
        except StreamlearnError as error:
            outbox.close()
            parts.store.release(name)
            if isinstance(error, OffsetGap):
                self.stop(name, error)
                return
            if isinstance(error, Fenced | CheckpointFenced):
                self._leave_be(name, now)
                return
            raise
        # Step 4.
        shard = parts.new_shard(name, next_offsets)
        if state is not None:
            shard.restore(state)
        shard.next_offsets = next_offsets
        shard.epoch = epoch
        shard.source = {
            **self._identity,
            BEGAN_AT: began_at(None if state is None else state.source, next_offsets),
        }
        shard.counters[EVENTS_MISSED] += missed
        # Step 5.
        idle_wait_seconds = None if self._until_end else self._config.stream.idle_wait_ms / 1000
        lane = Lane(shard, parts.topics, clocks_us, idle_wait_seconds, self._ends, outbox, covered, cuts)
        self._upkeep.begin(lane, now)
        self.lanes[name] = lane
        if state is None or next_offsets != dict(known):
            self._upkeep.publish_soon(name)
        if state is None and not self._upkeep.publish_now(name, time.monotonic() + FIRST_CHECKPOINT_SECONDS):
            self._let_go([name])
            self._retry_at = now + self._retry_seconds
            return
        self._reading.begin(lane)
        parts.telemetry.shard_opened(
            name,
            events_learned=shard.events_learned,
            path=None if state is None else f"checkpoint {state.sequence}",
        )

    def _extend(self, name: str, partitions: tuple[TopicPartition, ...]) -> None:
        """Partitions were added to the stream: they are read from their beginning."""
        if self._place_anew(name, partitions):
            self._upkeep.publish_soon(name)

    def _check_identity(self, name: str, source: Mapping[str, Any]) -> None:
        differences = list(_contradictions("source", source, self._identity))
        if differences:
            raise CheckpointRefused(
                f"the checkpoint of {name} was learned from another source: " + "; ".join(differences),
                remedy="read from the source it belongs to, or start anew under another checkpoint.path",
            )

    def _place(
        self, partitions: tuple[TopicPartition, ...], known: Mapping[TopicPartition, int]
    ) -> tuple[dict[TopicPartition, int], int]:
        kafka = self._config.source.kafka
        start, on_gap = (kafka.start, kafka.on_gap) if kafka else ("earliest", "stop")
        placed = self._parts.intake.ask(lambda reader: place(reader, partitions, known, start, on_gap))
        for partition, where in placed.items():
            if where.next_offset != where.wanted:
                self._parts.telemetry.gap_skipped(partition, where.wanted, where.next_offset)
        next_offsets = {partition: where.next_offset for partition, where in placed.items()}
        return next_offsets, sum(where.missed for where in placed.values())

    def find_way_on(self) -> None:
        """The log was cut under the reader: place every shard anew, from what it has learned."""
        for name, lane in list(self.lanes.items()):
            self._place_anew(name, lane.partitions)

    def _place_anew(self, name: str, partitions: tuple[TopicPartition, ...]) -> bool:
        """Read a shard at work on from what it has learned; False where a gap stopped it."""
        lane = self.lanes[name]
        try:
            next_offsets, missed = self._place(partitions, lane.shard.next_offsets)
        except OffsetGap as gap:
            self.stop(name, gap)
            return False
        lane.place(next_offsets)
        lane.shard.source = {**lane.shard.source, BEGAN_AT: began_at(lane.shard.source, next_offsets)}
        lane.shard.counters[EVENTS_MISSED] += missed
        self._reading.begin(lane)
        return True

    # ------------------------------------------------------------------------------------ letting go

    def stop(self, name: str, gap: OffsetGap) -> None:
        """One shard cannot go on: the others do. Raises ``gap`` when it was the last one."""
        self.stopped[name] = gap
        self._parts.telemetry.failed(gap)
        if name in self.lanes:
            self.release([name])
        if set(self._wanted()) <= set(self.stopped):
            raise gap

    def release(self, names: list[str]) -> None:
        """Publish what these shards have learned, within the budget, then let them go."""
        kafka = self._config.source.kafka
        budget_seconds = (kafka.revoke_budget_seconds if kafka else 20.0) * SHARE_OF_REVOKE_BUDGET
        deadline = time.monotonic() + budget_seconds
        for name in names:
            self._upkeep.publish_now(name, deadline)
        self._let_go(names)

    def forget(self, lane: Lane) -> None:
        """Let a shard go whose state may not be published; whoever takes it up learns the rest again."""
        self._let_go([lane.shard.name])

    def fenced(self, lane: Lane, now: float) -> None:
        """Another worker has taken the shard up: let it go, and leave it be until the group has settled."""
        self._leave_be(lane.shard.name, now)
        self.forget(lane)

    def _leave_be(self, name: str, now: float) -> None:
        self._parts.telemetry.fenced(name)
        self._retry_at = now + FENCED_SECONDS

    def forget_fenced(self, now: float) -> None:
        """Let go of shards whose checkpoints another worker writes now."""
        for name in sorted(self._upkeep.fenced):
            self.fenced(self.lanes[name], now)

    def _let_go(self, names: list[str]) -> None:
        """Forget these shards; nothing is written."""
        for name in names:
            lane = self.lanes.pop(name)
            self._upkeep.end(name)
            self._reading.end(lane)
            lane.outbox.close()
            self._parts.store.release(name)
            self._parts.telemetry.shard_closed(name)
        for name in [name for name in self.stopped if name not in self._wanted()]:
            if self._all_partitions:
                del self.stopped[name]


def _contradictions(path: str, old: Any, new: Any) -> Iterator[str]:
    """Name what two identities say differently of the same thing; what only one of them names is none."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in old.keys() & new.keys():
            yield from _contradictions(f"{path}.{key}", old[key], new[key])
    elif isinstance(old, list) and isinstance(new, list):
        if old != new[: len(old)]:  # more at the end are new partitions
            yield f"{path} was {old!r}, is {new!r}"
    elif old != new:
        yield f"{path} was {old!r}, is {new!r}"
