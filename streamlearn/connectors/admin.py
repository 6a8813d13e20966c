"""Topics made and filled: what ``streamlearn produce``, the demo and the benchmarks need of a cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from streamlearn.connectors.kafka_errors import error_of, opened, source_error
from streamlearn.connectors.kafka_questions import partitions_of
from streamlearn.connectors.kafka_settings import client_settings, producer_settings
from streamlearn.errors import BrokerUnavailable, SourceError, TopicMissing

ANSWER_SECONDS = 15.0
VISIBLE_SECONDS = 15.0
PUMP_SECONDS = 0.1
# So often the clock is looked at: a rate is kept to within this, and progress is told.
TICK_SECONDS = 0.02
TICK_EVENTS = 1000
# Bigger batches than the daemon's own sinks make; and unlike them a command gives up in the end.
BULK_PROPERTIES = {
    "linger.ms": "20",
    "queue.buffering.max.messages": "500000",
    "message.timeout.ms": "120000",
}


class Record(NamedTuple):
    """What to write where a line alone does not say it."""

    value: bytes | None
    key: bytes | None = None
    partition: int = -1  # by key
    timestamp_ms: int = 0  # now


def create_topic(
    bootstrap_servers: str,
    name: str,
    partitions: int,
    settings: Mapping[str, str],
    properties: Mapping[str, str] | None = None,
) -> bool:
    """Make a topic and wait until it can be written to; return False where there was one of that name.

    Parameters
    ----------
    partitions
        At least 1. A topic that is there keeps its own number.
    settings
        Of the topic, such as ``{"retention.ms": "-1"}``.
    properties
        Of the client (TLS, SASL).

    Raises
    ------
    BrokerUnavailable
        When no broker answers within seconds.
    SourceError
        When the broker refuses.
    """
    admin = opened(AdminClient, client_settings(bootstrap_servers, properties or {}))
    topic = NewTopic(name, num_partitions=partitions, config=dict(settings))
    try:
        admin.create_topics([topic], request_timeout=ANSWER_SECONDS)[name].result()
    except KafkaException as exception:
        if error_of(exception).code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return False
        raise source_error(error_of(exception), f"making the topic {name!r}") from exception
    _wait_until_visible(admin, name, partitions)
    return True


def _wait_until_visible(admin: AdminClient, topic: str, partitions: int) -> None:
    deadline = time.monotonic() + VISIBLE_SECONDS
    while True:
        try:
            if len(partitions_of(admin, [topic], ANSWER_SECONDS)) == partitions:
                return
        except (TopicMissing, BrokerUnavailable):
            if time.monotonic() > deadline:
                raise
        if time.monotonic() > deadline:
            raise BrokerUnavailable(
                f"the topic {topic!r} was made, but is not to be seen after {VISIBLE_SECONDS:g} s",
                remedy="look at the brokers' logs",
            )
        time.sleep(TICK_SECONDS)


def delete_topic(bootstrap_servers: str, name: str, properties: Mapping[str, str] | None = None) -> bool:
    """Delete a topic and all that it holds; return False where there was none. Raises SourceError."""
    admin = opened(AdminClient, client_settings(bootstrap_servers, properties or {}))
    try:
        admin.delete_topics([name], request_timeout=ANSWER_SECONDS)[name].result()
    except KafkaException as exception:
        if error_of(exception).code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return False
        raise source_error(error_of(exception), f"deleting the topic {name!r}") from exception
    return True


def produce_lines(
    bootstrap_servers: str,
    topic: str,
    lines: Iterable[bytes | Record],
    *,
    key_field: str | None = None,
    rate: float | None = None,
    partitions: int | None = None,
    properties: Mapping[str, str] | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> int:
    """Write lines to a topic, in order, as fast as the broker takes them; return how many there were.

    Parameters
    ----------
    lines
        A message each; a ``Record`` says its key, partition or timestamp itself.
    key_field
        The field of the JSON object that becomes the key of a plain line: text as it is, anything else
        as JSON. No key where the line is no such object or the field is missing or null.
    rate
        Events a second at most, spread evenly.
    partitions
        Make the topic with so many, if it is not there.
    properties
        Of the client (TLS, SASL, compression, batching).
    on_progress
        Called with the number of lines written so far, some fifty times a second.

    Raises
    ------
    TopicMissing, BrokerUnavailable
        Before anything is written.
    SourceError
        When a line was refused; those before it may have been written.
    """
    if partitions is not None:
        create_topic(bootstrap_servers, topic, partitions, {}, properties)
    writer = _Writer(bootstrap_servers, topic, properties or {}, rate, on_progress)
    key_of = _key_reader(key_field)
    try:
        for line in lines:
            if isinstance(line, Record):
                writer.write(line.value, line.key, line.partition, line.timestamp_ms)
            else:
                writer.write(line, key_of(line), -1, 0)
    finally:
        # Also when the iterator ends by an error: what was handed over is delivered.
        writer.finish()
    return writer.events


class _Writer:
    def __init__(
        self,
        bootstrap_servers: str,
        topic: str,
        properties: Mapping[str, str],
        rate: float | None,
        on_progress: Callable[[int], None] | None,
    ) -> None:
        self.events = 0
        self._topic = topic
        self._rate = rate
        self._on_progress = on_progress
        self._failure: SourceError | None = None
        bulk = {**BULK_PROPERTIES, **properties}
        self._producer = opened(
            Producer, producer_settings(bootstrap_servers, bulk), on_delivery=self._on_delivery
        )
        # librdkafka itself would look for a missing topic for half a minute.
        partitions_of(self._producer, [topic], ANSWER_SECONDS)
        self._began = time.monotonic()
        self._tick_events = (
            TICK_EVENTS if rate is None else max(1, min(TICK_EVENTS, int(rate * TICK_SECONDS)))
        )
        self._next_tick = self._tick_events

    def write(self, value: bytes | None, key: bytes | None, partition: int, timestamp_ms: int) -> None:
        while True:
            try:
                self._producer.produce(self._topic, value, key, partition, timestamp=timestamp_ms)
                break
            except BufferError:
                self._producer.poll(PUMP_SECONDS)
                self._raise_failure()
            except KafkaException as exception:
                raise source_error(error_of(exception), f"writing to {self._topic!r}") from exception
        self.events += 1
        if self.events >= self._next_tick:
            self._next_tick = self.events + self._tick_events
            self._tick()

    def finish(self) -> None:
        while self._producer.flush(PUMP_SECONDS):
            self._raise_failure()
        self._raise_failure()
        if self._on_progress is not None:
            self._on_progress(self.events)

    def _tick(self) -> None:
        self._producer.poll(0)
        self._raise_failure()
        if self._on_progress is not None:
            self._on_progress(self.events)
        if self._rate is not None:
            due = self._began + self.events / self._rate
            while (early_seconds := due - time.monotonic()) > 0:
                self._producer.poll(min(early_seconds, PUMP_SECONDS))

    def _on_delivery(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None and self._failure is None:
            self._failure = source_error(error, f"writing to {self._topic!r}")

    def _raise_failure(self) -> None:
        if self._failure is not None:
            self._producer.purge()
            raise self._failure


def _key_reader(field: str | None) -> Callable[[bytes], bytes | None]:
    if field is None:
        return lambda _line: None
    keyed = msgspec.defstruct("Keyed", [("key", object, None)], rename={"key": field})
    decoder = msgspec.json.Decoder(keyed)

    def key_of(line: bytes) -> bytes | None:
        try:
            key = decoder.decode(line).key  # type: ignore[attr-defined]
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None  # written as it is: judging lines is the daemon's business
        if isinstance(key, str):
            return key.encode()
        return None if key is None else msgspec.json.encode(key)

    return key_of
