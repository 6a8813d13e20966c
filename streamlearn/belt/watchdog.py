"""Notices partitions that stand still although there is something to do.

A consumer that got stuck looks like one that has nothing to read: nothing fails, and lag grows. So each
partition is looked at about once a second; one that has work and has not moved for ``stall_seconds`` is stuck,
unless the belt said that it stands still and why. Decides nothing and reads no clock: what is told of is
what the caller gave.

What is no reason for an alarm: a partition whose events wait in the merge for those of others, as long as its
shard moves; control records behind the last event, which nobody learns from; an end that is not known yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from streamlearn.events import TopicPartition

# Tried with librdkafka 2.16 and kafka-python 3.0: fetch sizes and queue limits are soft, a larger message comes
# alone. Only librdkafka's receive.message.max.bytes is hard: it drops the connection, and asks again for ever.
NOTHING_COMES = "nothing comes from the source"
TOO_LARGE = (
    "; if a message there, with its batch, is larger than {limit}, raise that under source.kafka.properties"
)


@dataclass(frozen=True, slots=True)
class Stand:
    """Where a partition stands.

    ``next_offset`` is the shard's; ``position`` the next offset that the reader brings, which passes over
    control records; ``high`` the last stable offset, where it is known. ``waits``: events that were read wait for
    their turn.
    """

    shard: str
    next_offset: int
    position: int
    high: int | None
    waits: bool

    @property
    def has_work(self) -> bool:
        """Whether there is an event to learn, as far as is known."""
        return self.waits or (self.high is not None and self.position < self.high)


@dataclass(slots=True)
class _Watched:
    stand: Stand
    moved_at: float


class Watchdog:
    """Remembers when each partition moved last.

    Parameters
    ----------
    stall_seconds
        A partition that has work and does not move for so long is stuck.
    message_limit
        What bounds the size of a message that can come, as the operator knows it:
        ``"receive.message.max.bytes = 100,000,000"``; None where nothing does.

    >>> watchdog = Watchdog(60.0, "receive.message.max.bytes = 100,000,000")
    >>> first = TopicPartition("flights", 0)
    >>> stand = Stand("flights", next_offset=120, position=120, high=500, waits=False)
    >>> watchdog.look(0.0, {first: stand}, paused=None)
    {}
    >>> print(watchdog.look(61.0, {first: stand}, paused=None)[first])
    flights[0] has stood at offset 120 for 61 s, and its log goes on to 500: nothing comes from the source; if a
    message there, with its batch, is larger than receive.message.max.bytes = 100,000,000, raise that under
    source.kafka.properties
    """

    def __init__(self, stall_seconds: float, message_limit: str | None) -> None:
        self._stall_seconds = stall_seconds
        self._message_limit = message_limit
        self._watched: dict[TopicPartition, _Watched] = {}

    def look(
        self, now: float, stands: Mapping[TopicPartition, Stand], *, paused: str | None
    ) -> dict[TopicPartition, str]:
        """Return the partitions that are stuck, each with what is known of it.

        Parameters
        ----------
        now
            Seconds on a clock that never goes back.
        stands
            All partitions that this worker reads; one that is gone is forgotten.
        paused
            Why the belt stands still, if it says so: then no partition is stuck, and the time does not count.
        """
        self._watched = {p: self._seen(now, p, stand, paused) for p, stand in stands.items()}
        shard_moved_at: dict[str, float] = {}
        for watched in self._watched.values():
            shard = watched.stand.shard
            shard_moved_at[shard] = max(shard_moved_at.get(shard, watched.moved_at), watched.moved_at)
        stuck = {}
        for partition, watched in sorted(self._watched.items()):
            # Its events wait for those of others, which are learned first: its shard moves, if it does not.
            moved_at = shard_moved_at[watched.stand.shard] if watched.stand.waits else watched.moved_at
            if watched.stand.has_work and now - moved_at >= self._stall_seconds:
                stuck[partition] = self._text(partition, watched.stand, now - watched.moved_at)
        return stuck

    def _seen(self, now: float, partition: TopicPartition, stand: Stand, paused: str | None) -> _Watched:
        before = self._watched.get(partition)
        if before is None or paused is not None or not stand.has_work or _moved(before.stand, stand):
            return _Watched(stand, now)
        return _Watched(stand, before.moved_at)

    def _text(self, partition: TopicPartition, stand: Stand, seconds: float) -> str:
        until = "" if stand.high is None else f", and its log goes on to {stand.high}"
        head = f"{partition} has stood at offset {stand.next_offset} for {seconds:.0f} s{until}: "
        if stand.waits:
            return head + f"its events were read and wait, and shard {stand.shard} learns none"
        if self._message_limit is None:
            return head + NOTHING_COMES
        return head + NOTHING_COMES + TOO_LARGE.format(limit=self._message_limit)


def _moved(before: Stand, now: Stand) -> bool:
    return (before.next_offset, before.position) != (now.next_offset, now.position)
