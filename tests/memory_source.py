"""A source in memory for tests of the belt: a log a partition, and a member that owns what it is told.

It keeps the reader's contract (tests/contract/test_sources.py) and nothing more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa

from streamlearn.contracts import Assigned, Happening, Polled, Revoked, Watermarks
from streamlearn.events import RAW_SCHEMA, TopicPartition

Row = tuple[bytes | None, bytes | None, int]  # key, value, timestamp in milliseconds


class MemoryReader:
    """Reads ``logs``; a poll takes from one partition after the other, a few rows at a time."""

    def __init__(
        self,
        logs: Mapping[int, Sequence[Row]],
        rows_each: int = 3,
        labels: Mapping[int, Sequence[Row]] | None = None,
    ) -> None:
        self.logs = {TopicPartition("events", p): list(rows) for p, rows in logs.items()}
        self.logs |= {TopicPartition("labels", p): list(rows) for p, rows in (labels or {}).items()}
        self.topics = ("events",) if labels is None else ("events", "labels")
        self.low: dict[TopicPartition, int] = {}
        self.rows_each = rows_each
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._turn: deque[TopicPartition] = deque()

    def partitions(self) -> list[TopicPartition]:
        return sorted(self.logs)

    def watermarks(self, partition: TopicPartition) -> Watermarks:
        return Watermarks(self.low.get(partition, 0), len(self.logs[partition]))

    def offset_at(self, partition: TopicPartition, timestamp_ms: int) -> int:
        log = self.logs[partition]
        return next((i for i, row in enumerate(log) if row[2] >= timestamp_ms), len(log))

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        self._positions = dict(positions)
        self._paused.clear()
        self._turn = deque(sorted(positions))

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self._paused.update(partitions)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        self._paused.difference_update(partitions)

    def poll(self, events_max: int, timeout_seconds: float) -> Polled:
        rows: list[tuple[int, int, int, int, bytes | None, bytes | None]] = []
        touched: set[TopicPartition] = set()
        for _ in range(len(self._turn) * (events_max // self.rows_each + 1)):
            self._turn.rotate(-1)
            partition = self._turn[0]
            if partition in self._paused:
                continue
            touched.add(partition)
            position = self._positions[partition]
            taken = self.logs[partition][position : position + min(self.rows_each, events_max - len(rows))]
            for offset, (key, value, timestamp_ms) in enumerate(taken, position):
                topic = self.topics.index(partition.topic)
                rows.append((topic, partition.partition, offset, timestamp_ms, key, value))
            self._positions[partition] = position + len(taken)
            if len(rows) >= events_max:
                break
        columns: Iterable[Sequence[object]] = zip(*rows, strict=True) if rows else [[]] * len(RAW_SCHEMA)
        arrays = [pa.array(c, f.type) for c, f in zip(columns, RAW_SCHEMA, strict=True)]
        at_end = frozenset(p for p in touched if self._positions[p] >= len(self.logs[p]))
        positions = {p: self._positions[p] for p in touched}
        return Polled(pa.RecordBatch.from_arrays(arrays, schema=RAW_SCHEMA), positions, at_end)

    def close(self) -> None:
        self._positions = {}


class MemoryMembership:
    """Owns the partitions that it is told to; remembers what was committed and released."""

    commits_failed = 0
    revokes_over_budget = 0

    def __init__(self, partitions: Iterable[TopicPartition]) -> None:
        self.queue: deque[Happening] = deque([Assigned(tuple(partitions))])
        self.committed: dict[TopicPartition, int] = {}
        self.was_released: list[Revoked] = []

    def happenings(self) -> list[Happening]:
        happened = list(self.queue)
        self.queue.clear()
        return happened

    def released(self, revoked: Revoked) -> None:
        self.was_released.append(revoked)

    def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        self.committed.update(next_offsets)

    def connected(self) -> bool:
        return True

    def close(self) -> None:
        pass
