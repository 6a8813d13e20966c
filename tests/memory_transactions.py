"""A broker's transactions in memory: what a read_committed reader sees, the group's offsets, the journal.

It keeps the outbox's contract (emission.py): one outbox a shard is alive, an emission is committed as a whole
or not at all, and one that was fenced can do nothing more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from streamlearn.contracts import DeadLetter
from streamlearn.emission import Covered, Emission
from streamlearn.errors import Fenced
from streamlearn.events import TopicPartition

Offsets = Mapping[TopicPartition, int]


@dataclass
class MemoryTransactions:
    """What was committed, over all workers and restarts."""

    records: list[dict[str, Any]] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    offsets: dict[TopicPartition, int] = field(default_factory=dict)
    journal: dict[str, list[Offsets]] = field(default_factory=dict)
    commits: int = 0
    _alive: dict[str, MemoryOutbox] = field(default_factory=dict)

    def outbox(self, shard: str, partitions: Sequence[TopicPartition]) -> MemoryOutbox:
        return MemoryOutbox(self, shard, partitions)

    def read_cuts(self, shard: str, after: Offsets) -> list[Offsets]:
        return [
            cut for cut in self.journal.get(shard, ()) if any(n > after.get(p, 0) for p, n in cut.items())
        ]


class MemoryOutbox:
    """The way out of one shard; a transaction every ``events_each`` emissions, and at a flush."""

    emissions_each = 3

    def __init__(self, broker: MemoryTransactions, shard: str, partitions: Sequence[TopicPartition]) -> None:
        self._broker = broker
        self._shard = shard
        self._partitions = partitions
        self._open: list[Emission] = []

    def open(self, timeout_seconds: float) -> Covered:
        self._broker._alive[self._shard] = self
        return Covered({p: n for p, n in self._broker.offsets.items() if p in self._partitions})

    def send(self, emission: Emission) -> None:
        self._check()
        self._open.append(emission)
        if len(self._open) >= self.emissions_each:
            self._commit()

    def flush(self, timeout_seconds: float) -> bool:
        self._check()
        self._commit()
        return True

    def close(self) -> None:
        self._open.clear()

    def _check(self) -> None:
        if self._broker._alive.get(self._shard) is not self:
            raise Fenced(f"{self._shard} was taken over", remedy="none needed")

    def _commit(self) -> None:
        if not self._open:
            return
        for emission in self._open:
            for records in emission.predictions:
                for value in records.values.to_pylist():
                    self._broker.records += read_value(value)
            self._broker.letters += emission.letters
            self._broker.journal.setdefault(self._shard, []).extend(emission.cuts)
        self._broker.offsets.update(self._open[-1].next_offsets)
        self._broker.commits += 1
        self._open.clear()


def read_value(value: bytes) -> list[dict[str, Any]]:
    """Return the predictions of one record, in either form."""
    if value.startswith(b"{"):
        return [json.loads(value)]
    rows: list[dict[str, Any]] = pa.ipc.open_stream(value).read_all().to_pylist()
    return rows
