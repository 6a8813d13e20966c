"""Why a worker is not ready, in words for people; and which of its partitions stand still. Only reads."""

from __future__ import annotations

from collections.abc import Iterable

from streamlearn.belt.loop import Belt
from streamlearn.belt.watchdog import Stand, Watchdog
from streamlearn.config import Config
from streamlearn.events import TopicPartition


class Readiness:
    """Looks about once a second, since that a partition stands still shows only over time."""

    def __init__(self, config: Config, belt: Belt) -> None:
        self._belt = belt
        self._watchdog = Watchdog(config.stream.stall_seconds, _message_limit(config))

    def stuck(self, now: float) -> dict[TopicPartition, str]:
        """Return the partitions that stand still although there is work, unless the belt says why."""
        belt = self._belt
        paused = None
        if belt.upkeep.failing is not None:
            paused = "checkpoints_failing"
        elif belt.holdings.waits_for_broker is not None or not belt.is_connected:
            paused = "broker"
        stands = {
            partition: Stand(
                name,
                next_offset,
                max(lane.positions[partition], next_offset),
                belt.reading.highs.get(partition),
                lane.waiting_bytes(partition) > 0 or lane.has_ready,
            )
            for name, lane in belt.lanes.items()
            for partition, next_offset in lane.shard.next_offsets.items()
        }
        return self._watchdog.look(now, stands, paused=paused)

    def unready(self) -> Iterable[str]:
        """Return what keeps this worker from learning; nothing: it is ready, as far as it is not ``stuck``."""
        reasons = list(self._held_up())
        yield from reasons
        holdings = self._belt.holdings
        if holdings.is_standby:
            yield "standby: another worker learns"
        elif not holdings.assigned:
            yield "no partition is assigned"
        elif not self._belt.lanes and not reasons:
            yield "no shard is open yet"

    def _held_up(self) -> Iterable[str]:
        belt, holdings = self._belt, self._belt.holdings
        for name, gap in holdings.stopped.items():
            yield f"{name} is stopped: {gap.what}"
        if holdings.waits_for_broker is not None:
            yield f"the broker is away: {holdings.waits_for_broker}"
        elif not belt.is_connected:
            yield "the broker is away"
        if belt.upkeep.failing is not None:
            yield f"no checkpoint can be written, and the belt stands: {belt.upkeep.failing}"
        for name, lane in belt.lanes.items():
            if not lane.shard.takes_events:
                yield f"{name} keeps as much as labels.pending_bytes_max: reading events pauses until labels come"
        if holdings.unowned:
            names = ", ".join(map(str, holdings.unowned))
            yield f"no worker of the group has {names}; another rebalance is asked for"


def _message_limit(config: Config) -> str | None:
    """Return what bounds the size of a message that can be read, as the operator knows it."""
    kafka = config.source.kafka
    if kafka is None or kafka.client != "confluent-kafka":
        return None
    name = "receive.message.max.bytes"
    return f"{name} = {int(kafka.plain_properties().get(name, 100_000_000)):,}"
