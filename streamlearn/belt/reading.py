"""Brings what was read to the lanes that it belongs to, within bounds, and watches how far the logs go."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import Future

from streamlearn.belt.lane import Lane
from streamlearn.belt.parts import Parts
from streamlearn.contracts import Reader
from streamlearn.errors import SourceError, TooManyPending
from streamlearn.events import TopicPartition

IDLE_SECONDS = 0.05  # how long a step waits for events when it has none
LAG_SECONDS = 1.0  # between two looks at how far the logs go
LAG_PARTITIONS = 20  # so many a second: each look is a request
LANE_BYTES_MIN = 4 * 1024 * 1024  # a partition that waits for others may hold this much before it pauses


class Reading:
    """Between the intake and the lanes.

    Parameters
    ----------
    parts
        The belt's.
    lanes
        By shard; the belt adds and removes.
    buffer_bytes_max
        Bytes of events that the lanes may hold while they have something to do.
    label_topic
        The topic of labels, where they have one.
    """

    def __init__(
        self,
        parts: Parts,
        lanes: Mapping[str, Lane],
        buffer_bytes_max: int,
        label_topic: str | None = None,
    ) -> None:
        self._parts = parts
        self._lanes = lanes
        self._buffer_bytes_max = buffer_bytes_max
        self._label_topic = label_topic
        self._paused: set[TopicPartition] = set()
        self._full: set[TopicPartition] = set()  # of shards that have no room for more events
        self._asked: Future[dict[TopicPartition, int]] | None = None
        self._ask_at = 0.0
        self.highs: dict[TopicPartition, int] = {}

    def begin(self, lane: Lane) -> None:
        """Read a lane's partitions from its shard's ``next_offsets``; the others go on where they are."""
        keep = [p for other in self._lanes.values() if other is not lane for p in other.partitions]
        lane.begin(self._parts.intake.assign(lane.shard.next_offsets, keep))
        self._resumed()

    def end(self, lane: Lane) -> None:
        """Read a lane's partitions no longer."""
        self._parts.intake.assign({}, [p for other in self._lanes.values() for p in other.partitions])
        if self._full.intersection(lane.partitions):
            self._parts.telemetry.events_resumed(lane.shard.name)
        for partition in lane.partitions:
            self.highs.pop(partition, None)
            self._parts.telemetry.partition_closed(partition)
        self._resumed()

    def _resumed(self) -> None:
        """An assignment may have resumed what was paused: pause again what still is too full."""
        self._paused.clear()
        self._full.clear()

    def take_in(self, now: float) -> None:
        """Hand what was read to the lanes, unless they hold enough to go on with. Raises what the reader did."""
        held_bytes = sum(lane.held_bytes for lane in self._lanes.values())
        fed = {name for name, lane in self._lanes.items() if lane.is_fed(now)}
        if fed and held_bytes >= self._buffer_bytes_max:
            return
        self._balance(fed)
        telemetry = self._parts.telemetry
        for portion in self._parts.intake.take(0.0 if fed else IDLE_SECONDS):
            telemetry.stage_seconds("poll", portion.read_seconds)
            telemetry.stage_seconds("decode", portion.decode_seconds)
            for lane in self._lanes.values():
                lane.offer(portion)
        telemetry.queue_bytes(held_bytes + self._parts.intake.waiting_bytes)

    def _balance(self, fed: Collection[str]) -> None:
        """Pause partitions that run ahead of the ones that their merge waits for.

        Only while it does wait (its lane is not fed), before more is taken in: what librdkafka has read ahead of a partition is thrown
        away when it is paused.
        """
        pause: list[TopicPartition] = []
        resume: list[TopicPartition] = []
        for name, lane in self._lanes.items():
            most = max(self._buffer_bytes_max // len(lane.partitions), LANE_BYTES_MIN)
            for partition in lane.partitions if len(lane.partitions) > 1 else ():
                waiting_bytes = lane.waiting_bytes(partition)
                if partition in self._full:
                    continue
                if partition in self._paused and waiting_bytes < most // 2:
                    resume.append(partition)
                elif partition not in self._paused and waiting_bytes > most and name not in fed:
                    pause.append(partition)
        self._hold_events(pause, resume)
        if pause:
            self._parts.intake.ask_later(lambda reader: reader.pause(pause))
            self._paused.update(pause)
        if resume:
            self._parts.intake.ask_later(lambda reader: reader.resume(resume))
            self._paused.difference_update(resume)

    def _hold_events(self, pause: list[TopicPartition], resume: list[TopicPartition]) -> None:
        """Read no events for shards that keep as many as they may; their labels go on (docs/labels.md)."""
        for lane in self._lanes.values():
            events = [p for p in lane.partitions if p.topic != self._label_topic]
            if lane.shard.takes_events or lane.is_replaying:
                if self._full.intersection(events):
                    self._full.difference_update(events)
                    lane.hold(())
                    resume += events
                    self._parts.telemetry.events_resumed(lane.shard.name)
            elif lane.is_bounded:
                raise TooManyPending(
                    f"shard {lane.shard.name} keeps as much as labels.pending_bytes_max allows, and the order of a "
                    "bounded read is that of time: there is nothing that could go before the next event",
                    remedy="raise labels.pending_bytes_max, or shorten labels.wait and labels.remember",
                )
            elif not self._full.issuperset(events):
                self._full.update(events)
                lane.hold(events)
                pause += events
                self._parts.telemetry.events_held(lane.shard.name)

    def watch_lag(self, now: float) -> None:
        """Ask now and then how far the logs go; the answer comes on the reader's own time."""
        if self._asked is not None and self._asked.done():
            asked, self._asked = self._asked, None
            # Lag is for people: a source that cannot answer now is asked again, and where it matters (when
            # events are read) it says what is wrong.
            if not isinstance(asked.exception(), SourceError):
                self._note(asked.result())
        if self._asked is None and now >= self._ask_at and self._lanes:
            partitions = [p for lane in self._lanes.values() for p in lane.partitions]
            self._ask_at = now + max(LAG_SECONDS, len(partitions) / LAG_PARTITIONS)
            self._asked = self._parts.intake.ask_later(lambda reader: highs_of(reader, partitions))

    def _note(self, highs: Mapping[TopicPartition, int]) -> None:
        for lane in self._lanes.values():
            lane.highs(highs)
            for partition, next_offset in lane.shard.next_offsets.items():
                if partition in highs:
                    self.highs[partition] = highs[partition]
                    self._parts.telemetry.lag(partition, max(0, highs[partition] - next_offset))


def highs_of(reader: Reader, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
    """Return the last stable offset of each partition. Raises BrokerUnavailable."""
    return {partition: reader.watermarks(partition).high for partition in partitions}
