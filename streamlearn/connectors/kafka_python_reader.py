"""The reader on kafka-python: pure Python, slower by far, the same contract as kafka_reader.py.

Upholds `offsets_increase`: rows below the next expected offset are dropped, and an offset that the log
does not hold is an error, never a reset. kafka-python reports no end of a partition: a poll that
brought nothing asks for the ends, and compares positions with them.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa
from kafka import KafkaConsumer
from kafka import TopicPartition as KafkaTopicPartition
from kafka.consumer.fetcher import ConsumerRecord
from kafka.errors import LogTruncationError, NoOffsetForPartitionError, OffsetOutOfRangeError

from streamlearn.config import KafkaSource
from streamlearn.connectors.kafka_python_errors import typed_errors
from streamlearn.connectors.kafka_python_settings import open_consumer, reader_arguments
from streamlearn.connectors.raw import EMPTY_BATCH, raw_batch
from streamlearn.contracts import Polled, Watermarks
from streamlearn.errors import BrokerUnavailable, SourceError, TopicMissing
from streamlearn.events import TopicPartition
from streamlearn.gaps import PartitionGap

# A poll waits in pieces, so that the ends are asked for soon after the last message.
WAIT_SECONDS = 0.1
# While nothing comes, the ends are asked for this often.
ENDS_SECONDS = 0.2

OUT_OF_LOG = (LogTruncationError, NoOffsetForPartitionError, OffsetOutOfRangeError)


class KafkaPythonReader:
    """``contracts.Reader`` on kafka-python. Owned by one thread.

    Parameters
    ----------
    source
        The config section; ``properties`` are named as librdkafka names them.
    timeout_seconds
        How long a question to the broker may take before ``BrokerUnavailable``.

    Raises
    ------
    ConfigError
        When a property means nothing to kafka-python. No broker is needed to make a reader.
    """

    def __init__(self, source: KafkaSource, *, timeout_seconds: float = 10.0) -> None:
        self._topics = tuple(sorted(source.topics))
        self._timeout_ms = int(timeout_seconds * 1000)
        self._arguments = reader_arguments(source)
        self._arguments["bootstrap_timeout_ms"] = self._timeout_ms
        self._client: KafkaConsumer | None = None
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._at_end: set[TopicPartition] = set()
        self._ask_for_ends_at = 0.0

    @property
    def topics(self) -> tuple[str, ...]:
        """The configured topics, sorted; ``topic`` in a raw batch is an index into them."""
        return self._topics

    def identity(self) -> dict[str, Any]:
        """Return what kafka-python knows of the source: that it is Kafka. See ``KafkaReader.identity``."""
        return {"kind": "kafka"}

    def partitions(self) -> list[TopicPartition]:
        """Return all partitions of the topics, sorted. Raises TopicMissing, BrokerUnavailable."""
        found: list[TopicPartition] = []
        for topic in self._topics:
            with typed_errors(f"asking for the topic {topic!r}"):
                numbers = self._consumer().partitions_for_topic(topic)
            if not numbers:
                raise TopicMissing(
                    f"the topic {topic!r} does not exist",
                    remedy="create the topic, or correct its name in the config",
                )
            found += [TopicPartition(topic, number) for number in numbers]
        return sorted(found)

    def watermarks(self, partition: TopicPartition) -> Watermarks:
        """Ask for the first offset in the log and the last stable one. Raises BrokerUnavailable, TopicMissing."""
        asked = KafkaTopicPartition(*partition)
        with typed_errors(f"asking for the watermarks of {partition}"):
            self._check_exists(partition)
            low = self._consumer().beginning_offsets([asked], timeout_ms=self._timeout_ms)[asked]
            high = self._consumer().end_offsets([asked], timeout_ms=self._timeout_ms)[asked]
        return Watermarks(low, high)

    def offset_at(self, partition: TopicPartition, timestamp_ms: int) -> int:
        """Return the first offset whose timestamp is at or after this one; the end where there is none.

        Raises BrokerUnavailable, TopicMissing.
        """
        asked = KafkaTopicPartition(*partition)
        with typed_errors(f"asking {partition} for the offset at {timestamp_ms} ms"):
            self._check_exists(partition)
            found = self._consumer().offsets_for_times({asked: timestamp_ms}, timeout_ms=self._timeout_ms)[
                asked
            ]
        return found.offset if found is not None else self.watermarks(partition).high

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read exactly these partitions from now on, each from its offset, none of them paused.

        Raises BrokerUnavailable.
        """
        self._positions = dict(positions)
        self._paused = set()
        self._at_end = set()
        self._ask_for_ends_at = 0.0
        self._read(positions, anew=positions)

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Bring nothing of these until ``resume``."""
        self._paused.update(partitions)
        self._read(self._positions.keys() - self._paused)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Bring these again, from where they stood."""
        anew = self._paused & set(partitions)
        self._paused -= anew
        self._read(self._positions.keys() - self._paused, anew)

    def poll(self, events_max: int, timeout_seconds: float) -> Polled:
        """Bring up to ``events_max`` messages; an empty batch after the timeout, sooner at an end.

        Raises
        ------
        PartitionGap
            (an ``OffsetGap``) when the log does not hold a partition's position.
        TopicMissing, SourceError
            When a topic was deleted, or the broker refuses.
        """
        if not self._positions.keys() - self._paused:
            time.sleep(timeout_seconds)
            return Polled(EMPTY_BATCH)
        deadline = time.monotonic() + timeout_seconds
        while True:
            left_seconds = max(0.0, deadline - time.monotonic())
            polled = self._poll_once(events_max, min(left_seconds, WAIT_SECONDS))
            if polled.positions or time.monotonic() >= deadline:
                return polled

    def close(self) -> None:
        """Let go of everything. Idempotent."""
        client, self._client = self._client, None
        if client is not None:
            client.close(timeout_ms=self._timeout_ms)

    def _consumer(self) -> KafkaConsumer:
        # Made when first needed: kafka-python cannot be made without a broker.
        if self._client is None:
            self._client = open_consumer(self._arguments)
        return self._client

    def _read(self, active: Collection[TopicPartition], anew: Collection[TopicPartition] = ()) -> None:
        # Not kafka-python's own pause: 3.0.12 never hands on what it had parsed of a partition before the
        # pause, nor fetches it again, when the last fetch of another partition came in between.
        with typed_errors("assigning partitions"):
            self._consumer().assign([KafkaTopicPartition(*partition) for partition in active])
            for partition in anew:
                self._consumer().seek(KafkaTopicPartition(*partition), self._positions[partition])

    def _check_exists(self, partition: TopicPartition) -> None:
        # Questions about a partition that is not there are never answered.
        if partition.partition not in (self._consumer().partitions_for_topic(partition.topic) or ()):
            raise TopicMissing(
                f"{partition} does not exist", remedy="create the topic, or correct its name in the config"
            )

    def _poll_once(self, events_max: int, wait_seconds: float) -> Polled:
        try:
            with typed_errors("reading"):
                found = self._consumer().poll(timeout_ms=int(wait_seconds * 1000), max_records=events_max)
        except BrokerUnavailable:
            return Polled(EMPTY_BATCH)  # a poll waits for brokers, and kafka-python tries again by itself
        except SourceError as error:
            if isinstance(error.__cause__, OUT_OF_LOG):
                raise self._gap() from error
            raise
        batch, positions = self._rows_due(found)
        self._positions.update(positions)
        self._at_end.difference_update(positions)
        caught_up: frozenset[TopicPartition] = frozenset()
        if not positions and time.monotonic() >= self._ask_for_ends_at:
            caught_up = self._ask_for_ends()
            positions = {partition: self._positions[partition] for partition in caught_up}
        return Polled(batch, positions, caught_up)

    def _rows_due(
        self, found: Mapping[KafkaTopicPartition, Sequence[ConsumerRecord]]
    ) -> tuple[pa.RecordBatch, dict[TopicPartition, int]]:
        due: list[ConsumerRecord] = []
        reached: dict[TopicPartition, int] = {}
        for asked, records in found.items():
            partition = TopicPartition(asked.topic, asked.partition)
            expected = self._positions.get(partition)
            rows = [record for record in records if expected is not None and record.offset >= expected]
            if rows:
                due += rows
                reached[partition] = rows[-1].offset + 1
        if not due:
            return EMPTY_BATCH, {}
        batch = raw_batch(
            [self._topics.index(record.topic) for record in due],
            [record.partition for record in due],
            [record.offset for record in due],
            [record.timestamp for record in due],
            [record.key for record in due],
            [record.value for record in due],
        )
        return batch, reached

    def _ask_for_ends(self) -> frozenset[TopicPartition]:
        """Return the partitions whose end was reached since they were last said to be caught up."""
        self._ask_for_ends_at = time.monotonic() + ENDS_SECONDS
        asked = [KafkaTopicPartition(*partition) for partition in self._positions.keys() - self._paused]
        if not asked:
            return frozenset()
        reached: set[TopicPartition] = set()
        try:
            with typed_errors("asking for the ends"):
                ends = self._consumer().end_offsets(asked, timeout_ms=self._timeout_ms)
                for each in asked:
                    # It passes over control records, which no row shows.
                    position = self._consumer().position(each, timeout_ms=0)
                    partition = TopicPartition(each.topic, each.partition)
                    known = self._positions[partition] + (partition in self._at_end)
                    if position is not None and position >= max(ends[each], known):
                        self._positions[partition] = position
                        reached.add(partition)
        except BrokerUnavailable:
            return frozenset()
        self._at_end |= reached
        return frozenset(reached)

    def _gap(self) -> SourceError:
        """Return the error for the first partition that stands outside its log."""
        partition = min(self._positions)
        watermarks: Watermarks | None = None
        for partition, position in sorted(self._positions.items()):
            try:
                watermarks = self.watermarks(partition)
            except BrokerUnavailable:
                break
            if not watermarks.low <= position <= watermarks.high:
                break
        return PartitionGap(partition, self._positions[partition], watermarks)
