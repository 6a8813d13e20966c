"""What one simulated worker holds of the outside: its reader, its ways out, its checkpoint writer.

Each keeps the contract of the production part whose place it takes (contracts.py, emission.py), calls the world
through the worker's ``Wire``, and draws what is left to chance from the worker's own generator.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa
from world_broker import LABEL_TOPIC, TOPIC, Broker, Offsets, place_of, record_of
from world_wire import Wire

from streamlearn.belt.checkpointing import CheckpointWriter, Flushable, Written
from streamlearn.belt.intake import Decoder, Intake, Portion
from streamlearn.contracts import DeadLetter, Polled, ShardState, Store, Watermarks
from streamlearn.emission import Covered, Emission
from streamlearn.errors import BrokerUnavailable, Fenced, StreamlearnError
from streamlearn.events import RAW_SCHEMA, TopicPartition
from streamlearn.gaps import PartitionGap


class WorldReader:
    """``contracts.Reader`` over the broker's logs. How much a poll brings is drawn."""

    def __init__(self, broker: Broker, wire: Wire, chance: random.Random) -> None:
        self.topics = (TOPIC, LABEL_TOPIC) if broker.delayed else (TOPIC,)
        self._broker = broker
        self._wire = wire
        self._chance = chance
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()

    def partitions(self) -> list[TopicPartition]:
        self._ask()
        return sorted(self._broker.logs)

    def watermarks(self, partition: TopicPartition) -> Watermarks:
        self._ask()
        log = self._broker.logs[partition]
        return Watermarks(log.low, log.high)

    def offset_at(self, partition: TopicPartition, timestamp_ms: int) -> int:
        self._ask()
        messages = self._broker.logs[partition].messages
        at = (i for i, each in enumerate(messages) if each is not None and each.time_ms >= timestamp_ms)
        return next(at, len(messages))

    def _ask(self) -> None:
        self._wire.call(self._broker.ask)

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        self._positions = dict(positions)
        self._paused.clear()

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self._paused.update(partitions)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        self._paused.difference_update(partitions)

    def poll(self, events_max: int, timeout_seconds: float) -> Polled:
        return self._wire.call(lambda: self._poll(events_max))

    def _poll(self, events_max: int) -> Polled:
        rows: list[tuple[object, ...]] = []
        moved: dict[TopicPartition, int] = {}
        caught_up: set[TopicPartition] = set()
        reading = [] if self._broker.down else [p for p in self._positions if p not in self._paused]
        self._chance.shuffle(reading)
        for partition in reading:
            log, position = self._broker.logs[partition], self._positions[partition]
            if not log.low <= position <= log.high:
                raise PartitionGap(partition, position, Watermarks(log.low, log.high))
            most = min(events_max - len(rows), self._chance.randint(0, events_max))
            taken = log.messages[position : position + most]
            for offset, message in enumerate(taken, position):
                if message is not None:
                    topic = self.topics.index(partition.topic)
                    rows.append((topic, partition.partition, offset, message.time_ms, b"k", message.value))
            if taken:
                moved[partition] = self._positions[partition] = position + len(taken)
            if position + len(taken) == log.high:
                caught_up.add(partition)
        columns: Sequence[Sequence[object]] = list(zip(*rows, strict=True)) or [()] * len(RAW_SCHEMA)
        arrays = [pa.array(c, f.type) for c, f in zip(columns, RAW_SCHEMA, strict=True)]
        return Polled(pa.RecordBatch.from_arrays(arrays, schema=RAW_SCHEMA), moved, frozenset(caught_up))

    def close(self) -> None:
        self._positions = {}


class TransactionalOutbox:
    """``emission.Outbox`` in transactions: one is committed now and then, and at a flush."""

    def __init__(
        self,
        broker: Broker,
        wire: Wire,
        chance: random.Random,
        member: Callable[[], str],
        shard: str,
        partitions: Sequence[TopicPartition],
    ) -> None:
        self._broker = broker
        self._wire = wire
        self._chance = chance
        self._member = member
        self._shard = shard
        self._partitions = partitions
        self._epoch = 0
        self._waiting: list[Emission] = []
        self._failure: StreamlearnError | None = None

    def open(self, timeout_seconds: float) -> Covered:
        self._epoch = self._wire.call(lambda: self._broker.fence(self._shard))
        offsets = self._wire.call(lambda: dict(self._broker.offsets))
        return Covered({p: offsets[p] for p in self._partitions if p in offsets})

    def send(self, emission: Emission) -> None:
        self._raise_failure()
        self._waiting.append(emission)

    def now_and_then(self) -> None:
        """Commit or not: what the production outbox does on a thread of its own."""
        if self._waiting and self._failure is None and self._chance.random() < 0.4:
            # What went wrong is raised where the belt comes by; an absent broker is tried again.
            with contextlib.suppress(StreamlearnError):
                self._commit()

    def flush(self, timeout_seconds: float) -> bool:
        """Commit what waits. Where production would wait for the broker, which nobody can here: raises."""
        while self._waiting:
            self._raise_failure()
            self._commit()
        return True

    def _commit(self) -> None:
        waiting = self._waiting
        try:
            if self._wire.call(
                lambda: self._broker.commit(self._shard, self._epoch, self._member(), waiting)
            ):
                self._waiting = []
        except BrokerUnavailable:
            raise
        except StreamlearnError as failure:
            self._failure = failure  # for good, as in production
            raise

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    @property
    def has_failed(self) -> bool:
        """Whether it failed for good, other than by being fenced or closed."""
        return self._failure is not None and not isinstance(self._failure, Fenced)

    def close(self) -> None:
        if self._failure is None:
            self._failure = Fenced(f"the outbox of {self._shard} is closed", remedy="none needed")


class SharedEnds:
    """The sinks of a worker that sends at least once: a queue, of which a part is durable at any time."""

    def __init__(
        self, broker: Broker, wire: Wire, chance: random.Random, shard_of: Callable[[int], str]
    ) -> None:
        self._broker = broker
        self._wire = wire
        self._chance = chance
        self._shard_of = shard_of
        self._waiting: list[bytes | DeadLetter] = []
        self.predictions = _Predictions(self)
        self.letters = _Letters(self)

    def put(self, things: Sequence[bytes | DeadLetter]) -> None:
        self._waiting += things

    def now_and_then(self) -> None:
        """Make a part of the queue durable: what the client's threads do."""
        if self._waiting and not self._broker.down:
            self._make_durable(self._chance.randint(0, len(self._waiting)))

    def flush(self) -> bool:
        self._wire.call(self._broker.ask)
        self._make_durable(len(self._waiting))
        return True

    def _make_durable(self, count: int) -> None:
        if not count:
            return
        durable, self._waiting = self._waiting[:count], self._waiting[count:]
        self._wire.point()
        for thing in durable:
            if isinstance(thing, DeadLetter):
                self._broker.shards[self._shard_of(thing.partition)].letters.append(place_of(thing))
            else:
                record = record_of(thing)
                self._broker.shards[self._shard_of(record.partition)].records.append(record)


class _Predictions:
    def __init__(self, ends: SharedEnds) -> None:
        self._ends = ends

    def send(self, keys: pa.LargeBinaryArray, values: pa.LargeBinaryArray) -> None:
        self._ends.put(values.to_pylist())

    def flush(self, timeout_seconds: float) -> bool:
        return self._ends.flush()

    def close(self) -> None:
        pass


class _Letters(_Predictions):
    def send(self, letters: Sequence[DeadLetter]) -> None:  # type: ignore[override]
        self._ends.put(letters)


class LateIntake(Intake):
    """The production intake, with its thread's time drawn: some of what was read is taken some steps later.

    So what was read before an assignment may be taken after it, as from the queue of the thread.
    """

    def __init__(
        self, reader: WorldReader, decoder: Decoder, poll_events: int, chance: random.Random
    ) -> None:
        super().__init__(reader, decoder, poll_events, 1 << 24, threaded=False)
        self._chance = chance
        self._ahead: list[Portion] = []

    def take(self, timeout_seconds: float) -> list[Portion]:
        self._ahead += super().take(timeout_seconds)
        count = self._chance.randint(0, len(self._ahead))
        taken, self._ahead = self._ahead[:count], self._ahead[count:]
        return taken


class LateWriter(CheckpointWriter):
    """The production writer, with its thread's time drawn: what is submitted is written some steps later.

    At the latest when the belt waits for it, or another checkpoint of the worker is waited for.
    """

    def __init__(self, store: Store, broker: Broker, chance: random.Random) -> None:
        super().__init__(store, threaded=False)
        self._broker = broker
        self._chance = chance
        self._later: list[tuple[ShardState, Flushable]] = []

    def is_writing(self, shard: str) -> bool:
        return any(state.shard == shard for state, _ in self._later) or super().is_writing(shard)

    def submit(self, state: ShardState, outbox: Flushable) -> None:
        assert not self.is_writing(state.shard), f"{state.shard}: a checkpoint is being written"
        self._later.append((state, outbox))

    def now_and_then(self) -> None:
        """Write the next one, or not yet. While the broker is away it cannot be flushed, and waits."""
        if self._later and not self._broker.down and self._chance.random() < 0.5:
            super().submit(*self._later.pop(0))

    def collect(self, timeout_seconds: float = 0.0) -> Written | None:
        if timeout_seconds and self._later:
            super().submit(*self._later.pop(0))
        return super().collect()


def cuts_after(cuts: Sequence[Offsets], after: Offsets) -> list[Offsets]:
    """Return the cuts that name anything beyond ``after``, as the production journal does."""
    return [cut for cut in cuts if any(n > after.get(p, 0) for p, n in cut.items())]
