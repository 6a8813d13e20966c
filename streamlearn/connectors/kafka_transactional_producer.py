"""One producer of librdkafka under a transactional id: its calls, each bounded in time, and nothing of policy.

Upholds the sending half of `learned_once` by what it does not do: it never sends anything again by itself, and
it notes what failed rather than let it pass.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import pyarrow as pa
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaTopicPartition

from streamlearn.connectors.kafka_errors import error_of
from streamlearn.connectors.kafka_producers import DeliveryReport, Headers, KafkaProducer, Reported
from streamlearn.events import TopicPartition

# One call to librdkafka; between two of them it is seen that all is to end.
CALL_SECONDS = 0.5
PUMP_SECONDS = 0.1
# After an outage librdkafka may wait for ever for a broker that it knows no more, and one call of its was seen
# not to return at all (2.16.0): a new producer finds the broker. Longer than a socket's timeout.
PATIENCE_SECONDS = 10.0


class Ended(Exception):
    """The transactions were told to end while one was at work. Never leaves the outbox."""


class Undelivered(NamedTuple):
    """Why a record failed for good."""

    error: KafkaError
    topic: str
    nbytes: int


class TransactionalProducer:
    """A handle, from its first call to its last. Owned by one thread.

    Parameters
    ----------
    connect
        Makes the handle, given what takes its delivery reports.
    over
        Set when all is to end: whatever waits here then raises ``Ended``.

    All calls raise ``KafkaException``; kafka_verdicts.py says what to do.
    """

    def __init__(self, connect: Callable[[DeliveryReport], KafkaProducer], over: threading.Event) -> None:
        self._over = over
        self._handle = connect(self._on_delivery)
        self._since = time.monotonic()
        self._is_stuck = False
        self._undelivered: Undelivered | None = None
        self._holds_id = False  # it has the id, and has begun nothing since

    @property
    def age_seconds(self) -> float:
        """How long this handle has been there."""
        return time.monotonic() - self._since

    @property
    def undelivered(self) -> Undelivered | None:
        """The first record of this transaction that failed for good, as far as was heard."""
        if not self._is_stuck:
            self._handle.poll(0)
        return self._undelivered

    def init(self, timeout_seconds: float) -> None:
        """Fence whoever had the id, and end what that one left open; nothing where that was the last call."""
        if not self._holds_id:  # to librdkafka a second one is an error
            self._handle.init_transactions(timeout_seconds)
            self._holds_id = True

    def begin(self) -> None:
        """Begin; nothing is asked of the broker."""
        self._undelivered = None
        self._holds_id = False
        self._handle.begin_transaction()

    def put_all(self, topic: str, keys: pa.LargeBinaryArray, values: pa.LargeBinaryArray) -> None:
        """Add records, in order; wait while the queue is full. Raises Ended."""
        queued = self._handle.produce_columns(topic, keys, values)
        while queued < len(values):
            self.put(topic, values[queued].as_py(), keys[queued].as_py())
            queued = self._handle.produce_columns(topic, keys, values, queued + 1)

    def put(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        headers: Headers | None = None,
        partition: int = -1,
    ) -> None:
        """Add one record; wait while the queue is full. Raises Ended."""
        extra: dict[str, Any] = {} if headers is None else {"headers": headers}
        while True:
            try:
                self._handle.produce(topic, value, key, partition, **extra)
                return
            except BufferError:
                self._handle.poll(PUMP_SECONDS)
                if self._over.is_set():
                    raise Ended from None

    def add_offsets(self, next_offsets: Mapping[TopicPartition, int], proof: Any) -> None:
        """Add the group's offsets, with proof of membership. Raises Ended.

        On a thread of its own, since librdkafka may keep it for ever: then this handle is of no more use.
        """
        offsets = [KafkaTopicPartition(*each, offset) for each, offset in next_offsets.items()]
        handle = self._handle
        answers: queue.SimpleQueue[KafkaError | None] = queue.SimpleQueue()

        def add() -> None:
            try:
                handle.send_offsets_to_transaction(offsets, proof, CALL_SECONDS)
                answers.put(None)
            except KafkaException as exception:
                answers.put(error_of(exception))

        threading.Thread(target=add, name="offsets", daemon=True).start()
        error = self._wait_for(answers)
        if error is not None:
            raise KafkaException(error)

    def commit(self) -> None:
        """Commit, after all records have arrived. May be called again where it timed out."""
        self._handle.commit_transaction(CALL_SECONDS)  # a sync with the broker

    def abort(self) -> None:
        """Abort. May be called again where it timed out."""
        self._handle.abort_transaction(CALL_SECONDS)

    def close(self, timeout_seconds: float) -> None:
        """Abort what is open, if that can be had in time. The handle goes with its last reference.

        Never by ``Producer.close()``: with a transaction open that waits for the broker, without a limit.
        """
        if not self._is_stuck:
            # Nothing is open, another has the id, or nobody answers: then it is not ours to end.
            with suppress(KafkaException):
                self._handle.abort_transaction(timeout_seconds)

    def _wait_for(self, answers: queue.SimpleQueue[KafkaError | None]) -> KafkaError | None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return answers.get(timeout=PUMP_SECONDS)
            except queue.Empty:
                pass
            if self._over.is_set() or time.monotonic() >= deadline:
                self._is_stuck = True  # nothing else may be asked of the handle
            if self._over.is_set():
                raise Ended
            if self._is_stuck:
                return beyond_repair(KafkaError._TIMED_OUT, "librdkafka does not return")

    def _on_delivery(self, error: KafkaError | None, message: Reported) -> None:
        # A callback must not raise: it notes.
        if error is not None and self._undelivered is None:
            value = message.value()
            self._undelivered = Undelivered(error, message.topic() or "", 0 if value is None else len(value))


def beyond_repair(code: int, what: str) -> KafkaError:
    """Return an error of a handle that is to be replaced.

    >>> beyond_repair(KafkaError._TIMED_OUT, "no answer").fatal()
    True
    """
    return KafkaError(code, what, True, False, False)
