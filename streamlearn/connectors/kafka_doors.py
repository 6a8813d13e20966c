"""The two ways in which messages come out of librdkafka, behind one interface.

``c_batches``: through its C interface, a batch as columns at once (librdkafka_door.py). ``consume``:
through confluent-kafka, a Python object for each message. Both bring the same rows, the same errors and
the same ends; the first costs about half the processor time, and needs a librdkafka that it knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from confluent_kafka import Consumer
from confluent_kafka import TopicPartition as KafkaTopicPartition

from streamlearn.connectors.kafka_errors import opened
from streamlearn.connectors.kafka_rows import Taken, taken_of
from streamlearn.connectors.kafka_settings import Settings
from streamlearn.errors import SourceError
from streamlearn.events import TopicPartition

Way = Literal["c_batches", "consume"]


class Door(Protocol):
    """A consumer that is assigned and never subscribes. Owned by one thread.

    All but ``take`` and ``close`` raise KafkaException where librdkafka refuses.
    """

    @property
    def asked(self) -> Consumer:
        """Who is asked questions of the cluster (kafka_questions.py)."""
        ...

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read these too, each from its offset."""
        ...

    def unassign(self, partitions: Sequence[TopicPartition]) -> None:
        """Read these no more."""
        ...

    def pause(self, partitions: Sequence[TopicPartition]) -> None: ...

    def resume(self, partitions: Sequence[TopicPartition]) -> None: ...

    def take(
        self, events_max: int, wait_seconds: float, positions: Mapping[TopicPartition, int]
    ) -> Taken | None:
        """Wait for the first to come, and bring what is there then; None: nothing came.

        Of the rows those are brought that are due by ``positions`` (kafka_rows.due).
        """
        ...

    def close(self) -> None:
        """Let go of everything. Idempotent."""
        ...


class Entered(NamedTuple):
    """A door, which of the two it is, and why that one."""

    door: Door
    way: Way
    why: str


def enter(
    settings: Settings, topics: Sequence[str], asked_for: Literal["auto", "c_batches", "consume"]
) -> Entered:
    """Return a new consumer of these topics, sorted; ``auto`` goes by C batches where it can.

    Raises
    ------
    ConfigError
        When librdkafka refuses a setting.
    SourceError
        When C batches are asked for, and cannot be had.
    """
    if asked_for == "consume":
        return Entered(ConsumeDoor(settings, topics), "consume", "it was asked for")
    why_not = ""
    try:
        # Here alone, since Numba is dear to import, and may not be there; where no folder can be written to
        # that would keep what it compiles, it raises RuntimeError.
        from streamlearn.connectors.librdkafka import NoCBatches
        from streamlearn.connectors.librdkafka_door import BatchDoor
    except (ImportError, RuntimeError) as error:
        why_not = f"the kernels cannot be had: {error}"
    else:
        try:
            door = BatchDoor(settings, topics)
        except NoCBatches as error:
            why_not = str(error)
        else:
            return Entered(door, "c_batches", door.why)
    if asked_for == "c_batches":
        raise SourceError(
            f"messages cannot be taken through librdkafka's C interface: {why_not}",
            remedy="install confluent-kafka from its wheel, with Numba beside it, or let the reader choose",
        )
    return Entered(ConsumeDoor(settings, topics), "consume", why_not)


class ConsumeDoor:
    """``Consumer.consume()`` of confluent-kafka. Parameters and errors as ``enter``."""

    def __init__(self, settings: Settings, topics: Sequence[str]) -> None:
        self._topics = tuple(topics)
        self._consumer = opened(Consumer, settings)

    @property
    def asked(self) -> Consumer:
        return self._consumer

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        self._consumer.incremental_assign(
            [KafkaTopicPartition(*partition, offset) for partition, offset in positions.items()]
        )

    def unassign(self, partitions: Sequence[TopicPartition]) -> None:
        self._consumer.incremental_unassign(_to_kafka(partitions))

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self._consumer.pause(_to_kafka(partitions))

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        self._consumer.resume(_to_kafka(partitions))

    def take(
        self, events_max: int, wait_seconds: float, positions: Mapping[TopicPartition, int]
    ) -> Taken | None:
        # consume() blocks until it has all that it is asked for: ask for one, then for what is there.
        messages = self._consumer.consume(1, timeout=wait_seconds)
        if messages and events_max > 1:
            messages += self._consumer.consume(events_max - 1, timeout=0)
        return taken_of(messages, self._topics, positions) if messages else None

    def close(self) -> None:
        self._consumer.close()


def _to_kafka(partitions: Sequence[TopicPartition]) -> list[KafkaTopicPartition]:
    return [KafkaTopicPartition(*partition) for partition in partitions]
