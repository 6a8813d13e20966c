"""A transactional producer of librdkafka in memory, and the broker behind it: errors come by script.

It keeps what the real ones do: a record is seen when its transaction was committed, a producer under the same
id fences the one before and ends what it left open, after an error that asks for it nothing but an abort
goes, and after a fatal one nothing at all.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaTopicPartition

from streamlearn.errors import BrokerUnavailable, OffsetsUndecided
from streamlearn.events import TopicPartition

STEPS = (
    "init_transactions",
    "produce",
    "send_offsets_to_transaction",
    "commit_transaction",
    "abort_transaction",
)


def an_error(code: int, *flags: str) -> KafkaError:
    """An error as librdkafka gives it; flags: fatal, retriable, abort."""
    return KafkaError(code, "said by the test", *(name in flags for name in ("fatal", "retriable", "abort")))


@dataclass
class MemoryBroker:
    """What was committed, and what will go wrong.

    ``script`` holds, for each step, what its next calls meet: None (nothing), an error in the call's place, or
    ("after", error): the call does its work, and its caller hears of an error. ``questions_lost`` of the next
    questions for offsets get no answer in time; while ``undecided`` a transaction over them has no end.
    """

    script: dict[str, deque[Any]] = field(default_factory=lambda: defaultdict(deque))
    committed: list[tuple[str, bytes | None, bytes | None]] = field(default_factory=list)
    offsets: dict[TopicPartition, int] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    alive: MemoryProducer | None = None
    refuses: dict[bytes, KafkaError] = field(default_factory=dict)  # by a record's value
    records_max: int = 1000
    questions_lost: int = 0
    undecided: bool = False
    told: Counter[str] = field(default_factory=Counter)  # by whoever sends: what happened, how often

    def tell(self, happened: str) -> None:
        self.told[happened] += 1

    def connect(self, report: Callable[..., None]) -> MemoryProducer:
        return MemoryProducer(self, report)

    def read_offsets(
        self, partitions: Sequence[TopicPartition], timeout_seconds: float
    ) -> dict[TopicPartition, int]:
        if self.questions_lost:
            self.questions_lost -= 1
            raise BrokerUnavailable("no answer in time", remedy="ask again")
        if self.undecided:
            raise OffsetsUndecided("a transaction was not ended", remedy="end it")
        return {each: self.offsets[each] for each in partitions if each in self.offsets}

    def values(self, topic: str = "predictions") -> list[bytes | None]:
        return [value for at, value, _ in self.committed if at == topic]


class _Message:
    def __init__(self, topic: str, value: bytes | None) -> None:
        self._topic, self._value = topic, value

    def topic(self) -> str:
        return self._topic

    def value(self) -> bytes | None:
        return self._value


class MemoryProducer:
    """The calls of ``confluent_kafka.Producer`` that transactions need."""

    def __init__(self, broker: MemoryBroker, report: Callable[..., None]) -> None:
        self._broker = broker
        self._report = report
        self._error: KafkaError | None = None  # asks for an abort, or is fatal
        self._holds_id = False
        self._open = False
        self._records: list[tuple[str, bytes | None, bytes | None]] = []
        self._offsets: dict[TopicPartition, int] = {}
        self._queue = 0

    def init_transactions(self, timeout: float) -> None:
        def work() -> None:
            self._broker.alive = self
            self._holds_id = True

        if self._holds_id:
            raise KafkaException(an_error(KafkaError._STATE))
        self._step("init_transactions", work)

    def begin_transaction(self) -> None:
        assert not self._open, "begun twice"

        def work() -> None:
            self._open = True
            self._records, self._offsets = [], {}

        self._step("begin_transaction", work)

    def produce(
        self, topic: str, value: bytes | None, key: bytes | None, partition: int = -1, headers: Any = None
    ) -> None:
        if self._queue >= self._broker.records_max:
            raise BufferError

        def work() -> None:
            assert self._open, "produced outside of a transaction"
            self._queue += 1
            self._records.append((topic, value, key))
            refused = self._broker.refuses.get(value or b"")
            if refused is not None:
                self._report(refused, _Message(topic, value))
                self._error = an_error(KafkaError._INCONSISTENT, "abort")

        if self._error is not None:
            raise KafkaException(an_error(KafkaError._STATE))
        self._step("produce", work)

    def produce_columns(
        self, topic: str, keys: pa.LargeBinaryArray, values: pa.LargeBinaryArray, start: int = 0
    ) -> int:
        for row in range(start, len(values)):
            if self._queue >= self._broker.records_max or self._error is not None:
                return row
            self.produce(topic, values[row].as_py(), keys[row].as_py())
        return len(values)

    def poll(self, timeout: float) -> int:
        self._queue = 0
        return 0

    def send_offsets_to_transaction(
        self, offsets: list[KafkaTopicPartition], metadata: object, timeout: float
    ) -> None:
        assert self._open
        assert metadata is not None

        def work() -> None:
            self._offsets = {TopicPartition(p.topic, p.partition): p.offset for p in offsets}

        self._step("send_offsets_to_transaction", work)

    def commit_transaction(self, timeout: float) -> None:
        def work() -> None:
            assert self._open
            self._open = False
            self._queue = 0
            self._broker.committed += self._records
            self._broker.offsets.update(self._offsets)

        self._step("commit_transaction", work)

    def abort_transaction(self, timeout: float) -> None:
        def work() -> None:
            self._open = False
            self._queue = 0

        if not self._open and self._error is None:
            raise KafkaException(an_error(KafkaError._STATE))
        if self._error is not None and not self._error.fatal():
            self._error = None
        self._step("abort_transaction", work)

    def _step(self, name: str, work: Callable[[], None]) -> None:
        self._broker.calls.append(name)
        if self._error is not None:
            raise KafkaException(self._error)
        coming = self._broker.script[name].popleft() if self._broker.script[name] else None
        after, error = coming if isinstance(coming, tuple) else (None, coming)
        reaches = error is None or after is not None  # the broker; else nobody there has heard of it
        if reaches and name != "init_transactions" and self._broker.alive is not self:
            self._error = an_error(KafkaError._FENCED, "fatal")
            raise KafkaException(self._error)
        if reaches:
            work()
        if error is not None:
            if error.fatal() or error.txn_requires_abort():
                self._error = error
            raise KafkaException(error)
