"""A broker in memory: logs that grow, transactions that fence, the group's offsets, what readers see.

What it promises is what Apache Kafka promises: a transaction is committed as a whole or not at all; a producer
whose transactional id was taken by another can do nothing more; neither can one whose member has left the
group; the offsets of a group are those of its last committed transaction.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from streamlearn.contracts import DeadLetter
from streamlearn.emission import Emission
from streamlearn.errors import BrokerUnavailable, Fenced, SourceError
from streamlearn.events import TopicPartition

TOPIC = "events"
LABEL_TOPIC = "labels"
LABEL_AGE = 12  # a label is of an event so many offsets ago, at most
LABEL_AHEAD = 2  # or of one that is still to come
Offsets = Mapping[TopicPartition, int]


class Message(NamedTuple):
    """One message of a log, and what a right reader makes of it."""

    value: bytes
    time_ms: int
    accepted: bool
    labelled: bool  # it brings a label with it, or is one
    id: str = ""
    label: bool | None = None


@dataclass
class Log:
    """One partition. ``None`` is a control record: an offset that no reader ever sees."""

    messages: list[Message | None] = field(default_factory=list)
    low: int = 0

    @property
    def high(self) -> int:
        return len(self.messages)


class Record(NamedTuple):
    """A prediction that a read_committed reader sees."""

    partition: int
    offset: int
    version: int
    said: dict[str, float]


@dataclass
class Committed:
    """What one shard has sent out for good, over all workers and restarts, in the order of its commits."""

    records: list[Record] = field(default_factory=list)
    letters: list[tuple[int, int]] = field(default_factory=list)
    cuts: list[Offsets] = field(default_factory=list)
    epoch: int = 0


class Broker:
    """All that outlives workers, but for the disk and the group."""

    def __init__(self, partitions: int, *, delayed: bool = False) -> None:
        self.delayed = delayed
        self.logs: dict[TopicPartition, Log] = {}
        self.down = False
        self.commits_that_fail = 0
        self.fatal_commits = 0
        self.offsets: dict[TopicPartition, int] = {}
        self.shards: defaultdict[str, Committed] = defaultdict(Committed)
        self.is_member: Callable[[str], bool] = lambda _member: True
        self.on_commit: Callable[[str], None] = lambda _shard: None
        self.commits = 0
        for _ in range(partitions):
            self.add_partition()

    def add_partition(self) -> None:
        number = self.width
        self.logs[TopicPartition(TOPIC, number)] = Log()
        if self.delayed:
            self.logs[TopicPartition(LABEL_TOPIC, number)] = Log()

    @property
    def width(self) -> int:
        """Partitions of the events' topic."""
        return len(self.event_partitions)

    @property
    def event_partitions(self) -> list[TopicPartition]:
        """What the group deals out."""
        return [partition for partition in self.logs if partition.topic == TOPIC]

    def produce(self, partition: int, time_ms: int, a: float, label: bool | None) -> None:
        log = self.logs[TopicPartition(TOPIC, partition)]
        event: dict[str, Any] = {"t": time_ms, "p": partition, "o": log.high, "a": a, "y": label}
        if self.delayed:
            event |= {"id": f"{partition}-{log.high}"}
            event.pop("y")
        value = json.dumps(event).encode()
        log.messages.append(
            Message(value, time_ms, True, label is not None and not self.delayed, event.get("id", ""))
        )

    def produce_label(self, partition: int, time_ms: int, chance: random.Random) -> None:
        """Label an event of about now: one that has a label, or waited too long, or is not there yet, among others."""
        number = chance.randint(-LABEL_AGE, LABEL_AHEAD) + self.logs[TopicPartition(TOPIC, partition)].high
        label: dict[str, Any] = {
            "id": f"{partition}-{max(0, number)}",
            "y": chance.random() < 0.5,
            "t": time_ms,
        }
        value = json.dumps(label).encode()
        self.logs[TopicPartition(LABEL_TOPIC, partition)].messages.append(
            Message(value, time_ms, True, True, label["id"], label["y"])
        )

    def produce_bad(self, partition: int, time_ms: int) -> None:
        log = self.logs[TopicPartition(TOPIC, partition)]
        log.messages.append(Message(b'{"t":', time_ms, False, False))

    def produce_control(self, partition: int) -> None:
        for topic in (TOPIC, LABEL_TOPIC) if self.delayed else (TOPIC,):
            self.logs[TopicPartition(topic, partition)].messages.append(None)

    def ask(self) -> None:
        """Stand in for a request. Raises BrokerUnavailable."""
        if self.down:
            raise BrokerUnavailable("the simulated broker is down", remedy="wait")

    # -------------------------------------------------------------------------------- transactions

    def fence(self, shard: str) -> int:
        """Take over a shard's transactional id; return the new epoch."""
        self.ask()
        self.shards[shard].epoch += 1
        return self.shards[shard].epoch

    def commit(self, shard: str, epoch: int, member: str, emissions: Sequence[Emission]) -> bool:
        """Commit a transaction; False: it was aborted, and its records may be sent again.

        Raises Fenced, BrokerUnavailable, and SourceError for what ends a daemon.
        """
        self.ask()
        committed = self.shards[shard]
        if committed.epoch != epoch or not self.is_member(member):
            raise Fenced(f"{shard} was taken over", remedy="none needed")
        if self.fatal_commits:
            self.fatal_commits -= 1
            raise SourceError("the transaction was refused for good", remedy="start again")
        if self.commits_that_fail:
            self.commits_that_fail -= 1
            return False
        for emission in emissions:
            self._keep(committed, emission)
        for partition, next_offset in emissions[-1].next_offsets.items():
            assert next_offset >= self.offsets.get(partition, 0), f"offsets_increase: {partition} went back"
            self.offsets[partition] = next_offset
        self.commits += 1
        self.on_commit(shard)
        return True

    def _keep(self, committed: Committed, emission: Emission) -> None:
        for records in emission.predictions:
            committed.records += map(record_of, records.values.to_pylist())
        committed.letters += map(place_of, emission.letters)
        committed.cuts += emission.cuts


def record_of(value: bytes) -> Record:
    """Return what a prediction's JSON says."""
    said: dict[str, Any] = json.loads(value)
    return Record(said["partition"], said["offset"], said["version"], said["probabilities"])


def place_of(letter: DeadLetter) -> tuple[int, int]:
    return letter.partition, letter.offset
