"""The two ways in which records go into librdkafka, behind one interface.

``columns``: through its C interface, whole columns at once (librdkafka_producer.py). ``produce``: through
confluent-kafka, a call for each record. Both send the same records in the same order and say the same
errors; the first costs about half the processor time, and needs a librdkafka that it knows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

import pyarrow as pa
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import TopicPartition as KafkaTopicPartition

from streamlearn.connectors.kafka_errors import opened
from streamlearn.connectors.kafka_settings import Settings

Way = Literal["columns", "produce"]
Headers = list[tuple[str, str | bytes | None]]


class Reported(Protocol):
    """What a delivery report says of its record."""

    def topic(self) -> str | None: ...

    def value(self) -> bytes | None: ...


DeliveryReport = Callable[[KafkaError | None, Reported], None]


class KafkaProducer(Protocol):
    """A handle of librdkafka. Raises KafkaException where librdkafka refuses."""

    def __len__(self) -> int: ...

    def produce_columns(
        self, topic: str, keys: pa.LargeBinaryArray, values: pa.LargeBinaryArray, start: int = 0
    ) -> int:
        """Queue rows from ``start`` on, in order; return the first that was not taken. ``produce`` says why."""
        ...

    def produce(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int = -1,
        *,
        headers: Headers | None = None,
    ) -> None:
        """Queue one record. Raises BufferError where the queue is full."""
        ...

    def poll(self, timeout_seconds: float = 0.0) -> int: ...

    def flush(self, timeout_seconds: float) -> int: ...

    def purge(self) -> None: ...

    def init_transactions(self, timeout_seconds: float) -> None: ...

    def begin_transaction(self) -> None: ...

    def send_offsets_to_transaction(
        self, offsets: Sequence[KafkaTopicPartition], group_metadata: Any, timeout_seconds: float
    ) -> None: ...

    def commit_transaction(self, timeout_seconds: float) -> None: ...

    def abort_transaction(self, timeout_seconds: float) -> None: ...


class RecordProducer(Producer):
    """confluent-kafka's producer, which takes columns record by record."""

    def produce_columns(
        self, topic: str, keys: pa.LargeBinaryArray, values: pa.LargeBinaryArray, start: int = 0
    ) -> int:
        """Queue rows from ``start`` on, in order; return the first that was not taken."""
        produce = self.produce
        rest = zip(keys[start:].to_pylist(), values[start:].to_pylist(), strict=True)
        for row, (key, value) in enumerate(rest, start):
            try:
                produce(topic, value, key)
            except (BufferError, KafkaException):
                return row
        return len(values)


def open_producer(
    settings: Settings,
    on_delivery: DeliveryReport,
    *,
    way: Literal["auto", "columns", "produce"] = "auto",
    logger: logging.Logger | None = None,
) -> KafkaProducer:
    """Return a new producer; ``auto`` goes by columns where it can.

    Parameters
    ----------
    on_delivery
        Called for records that failed, while the producer is polled; must not raise.
    logger
        Takes librdkafka's own lines; those of ``columns`` go nowhere where one is given.

    Raises
    ------
    ConfigError
        When librdkafka refuses a setting.
    NoCBatches
        When ``columns`` is asked for, and cannot be had.
    """
    if way != "produce":
        try:
            # Here alone, since Numba is dear to import, and may find no folder that it can write to.
            from streamlearn.connectors.librdkafka import NoCBatches
            from streamlearn.connectors.librdkafka_producer import ColumnProducer
        except (ImportError, RuntimeError):
            if way == "columns":
                raise
        else:
            try:
                return ColumnProducer(
                    settings if logger is None else {**settings, "log_level": 0}, on_delivery
                )
            except NoCBatches:
                if way == "columns":
                    raise
    callbacks: dict[str, Any] = {"on_delivery": on_delivery}
    if logger is not None:
        callbacks["logger"] = logger
    made: Any = opened(RecordProducer, settings, **callbacks)  # confluent-kafka's own types say less
    producer: KafkaProducer = made
    return producer
