"""Predictions and dead letters out to Kafka topics.

Nothing is dropped: a full queue makes ``send`` wait and pump, no record expires during an outage, and
``flush`` tells whether all is on the in-sync replicas, which a checkpoint waits for. A record that
failed for good fails the sink for good, since what follows it may have been delivered already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
from confluent_kafka import KafkaError, KafkaException

from streamlearn.connectors.dead_letter import dead_letter_headers
from streamlearn.connectors.kafka_errors import MISSING, error_of, source_error
from streamlearn.connectors.kafka_producers import Headers, KafkaProducer, Reported, open_producer
from streamlearn.connectors.kafka_settings import producer_settings
from streamlearn.contracts import DeadLetter
from streamlearn.errors import BrokerUnavailable, DeadLetterError, SourceError

PUMP_SECONDS = 0.1
CLOSE_SECONDS = 5.0


def never() -> bool:
    """Return False: a sink that waits as long as it takes."""
    return False


class KafkaOutlet:
    """One topic and the idempotent producer that writes to it. Owned by one thread.

    Parameters
    ----------
    bootstrap_servers, properties
        As in the config section of the source; properties that mean nothing to a producer are left out.
    topic
        Where all records go.
    give_up
        Asked while ``send`` waits for room; True makes it raise ``BrokerUnavailable``. For a shutdown
        during an outage: what was not flushed is not covered by a checkpoint, and is sent after a restart.

    Raises
    ------
    ConfigError
        When librdkafka refuses a property. No broker is needed to make one.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        properties: Mapping[str, str],
        topic: str,
        *,
        give_up: Callable[[], bool] = never,
    ) -> None:
        self._topic = topic
        self._give_up = give_up
        self._failure: SourceError | None = None
        self._failed_code: int | None = None
        self._producer: KafkaProducer | None = open_producer(
            producer_settings(bootstrap_servers, properties), self._on_delivery
        )

    @property
    def failed_code(self) -> int | None:
        """librdkafka's code of the first record that failed for good; None: none did."""
        return self._failed_code

    def send(self, key: bytes | None, value: bytes | None, headers: Headers | None = None) -> None:
        """Queue one record; wait while the queue is full. Raises SourceError, BrokerUnavailable."""
        assert self._producer is not None, "sent after close"
        extra: dict[str, Any] = {} if headers is None else {"headers": headers}
        while True:
            try:
                self._producer.produce(self._topic, value, key, **extra)
                return
            except BufferError:
                self._wait_for_room()
            except KafkaException as exception:
                self._fail(error_of(exception), value)
                self.raise_failure()

    def send_all(self, keys: pa.LargeBinaryArray, values: pa.LargeBinaryArray) -> None:
        """Queue records, in order; wait while the queue is full. Raises SourceError, BrokerUnavailable."""
        assert self._producer is not None, "sent after close"
        queued = self._producer.produce_columns(self._topic, keys, values)
        while queued < len(values):
            self.send(keys[queued].as_py(), values[queued].as_py())
            queued = self._producer.produce_columns(self._topic, keys, values, queued + 1)

    def pump(self) -> None:
        """Take in delivery reports. Never blocks. Raises SourceError when a record failed for good."""
        assert self._producer is not None, "pumped after close"
        self._producer.poll(0)
        self.raise_failure()

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until all that was sent is durable; False: not within the time. Raises SourceError."""
        assert self._producer is not None, "flushed after close"
        left = self._producer.flush(timeout_seconds)  # blocks: one round trip to the broker, or an outage
        self.raise_failure()
        return left == 0

    def close(self) -> None:
        """Send what is left, for a few seconds at most, and let go of the producer. Idempotent."""
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.flush(CLOSE_SECONDS)
            producer.purge()

    def raise_failure(self) -> None:
        """Raise what made a record fail for good, every time."""
        if self._failure is not None:
            raise self._failure

    def _wait_for_room(self) -> None:
        assert self._producer is not None
        self._producer.poll(PUMP_SECONDS)
        self.raise_failure()
        if self._give_up():
            raise BrokerUnavailable(
                f"{len(self._producer)} records for {self._topic!r} wait for a broker, and the queue is full",
                remedy="start again once the broker runs: they are sent again from the last checkpoint",
            )

    def _on_delivery(self, error: KafkaError | None, message: Reported) -> None:
        # A callback must not raise: it notes, and the next call of the sink raises.
        if error is not None and self._producer is not None:
            self._fail(error, message.value())

    def _fail(self, error: KafkaError, value: bytes | None) -> None:
        if self._failure is None:
            nbytes = 0 if value is None else len(value)
            self._failed_code = error.code()
            self._failure = source_error(error, f"writing a record of {nbytes} bytes to {self._topic!r}")


class KafkaPredictions:
    """``contracts.PredictionSink`` over an outlet, which it owns."""

    def __init__(self, outlet: KafkaOutlet) -> None:
        self._outlet = outlet

    def send(self, keys: pa.LargeBinaryArray, values: pa.LargeBinaryArray) -> None:
        """Queue B records, in order. Raises SourceError."""
        self._outlet.send_all(keys, values)
        self._outlet.pump()

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until all is durable; False: not within the time, call again. Raises SourceError."""
        return self._outlet.flush(timeout_seconds)

    def close(self) -> None:
        """Let go of the producer. Idempotent."""
        self._outlet.close()


class KafkaDeadLetters:
    """``contracts.DeadLetterSink`` over an outlet, which it owns: key and value as they were, reasons as headers.

    Parameters
    ----------
    outlet
        Writes to the dead-letter topic.
    stream
        The stream's name, for the header ``streamlearn.stream``.
    """

    def __init__(self, outlet: KafkaOutlet, stream: str) -> None:
        self._outlet = outlet
        self._stream = stream

    def send(self, letters: Sequence[DeadLetter]) -> None:
        """Queue letters, in order. Raises DeadLetterError."""
        try:
            for letter in letters:
                self._outlet.send(letter.key, letter.value, letter_headers(letter, self._stream))
            self._outlet.pump()
        except SourceError as failure:
            raise self._not_kept(failure) from failure

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until all is durable; False: not within the time, call again. Raises DeadLetterError."""
        try:
            return self._outlet.flush(timeout_seconds)
        except SourceError as failure:
            raise self._not_kept(failure) from failure

    def close(self) -> None:
        """Let go of the producer. Idempotent."""
        self._outlet.close()

    def _not_kept(self, failure: SourceError) -> DeadLetterError:
        return letter_refused(failure, self._outlet.failed_code)


def letter_headers(letter: DeadLetter, stream: str) -> Headers:
    """Return the Kafka headers of a dead letter.

    >>> letter_headers(DeadLetter("t", 0, 7, "empty", "", None, b""), "flights")[0]
    ('streamlearn.reason', b'empty')
    """
    return [
        # A detail may quote what is no valid text.
        (name, text.encode("utf-8", "backslashreplace"))
        for name, text in dead_letter_headers(letter, stream)
    ]


def letter_refused(failure: SourceError, code: int | None) -> DeadLetterError:
    """Return the error for a letter that the topic does not take; ``code``: librdkafka's, if it said one."""
    remedy = failure.remedy
    if code == KafkaError.MSG_SIZE_TOO_LARGE:
        remedy = (
            "raise max.message.bytes of the dead-letter topic above the size of the largest message "
            "(and the brokers' replica.fetch.max.bytes with it), or keep dead letters in a file: "
            "dead_letters.path without dead_letters.topic"
        )
    elif code in MISSING:
        remedy = "create the topic, or correct dead_letters.topic"
    return DeadLetterError(f"a rejected event cannot be kept: {failure.what}", remedy=remedy)
