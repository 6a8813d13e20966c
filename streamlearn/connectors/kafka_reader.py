"""The reader on confluent-kafka: assigned partitions, from given offsets, to raw batches.

It has no callbacks and no place in the group (DESIGN.md, "Reading"), so nothing can run inside a read.
Upholds `offsets_increase`: what comes back is filtered by ownership and by the next expected offset, and
an offset that the log does not hold is an error, never a reset. Errors arrive as messages in the list of
what was read; rows read beside an error are handed on first, and the error is raised by the next poll.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from streamlearn.config import KafkaSource
from streamlearn.connectors.kafka_doors import Way, enter
from streamlearn.connectors.kafka_errors import (
    MISSING,
    OUT_OF_LOG,
    UNAVAILABLE,
    error_of,
    opened,
    source_error,
)
from streamlearn.connectors.kafka_questions import (
    cluster_id_of,
    first_offset_at,
    identity_of,
    partitions_of,
    watermarks_of,
)
from streamlearn.connectors.kafka_rows import Said, Taken
from streamlearn.connectors.kafka_settings import client_settings, reader_settings
from streamlearn.connectors.raw import EMPTY_BATCH
from streamlearn.contracts import Polled, Watermarks
from streamlearn.errors import BrokerUnavailable, SourceError, TopicMissing
from streamlearn.events import TopicPartition
from streamlearn.gaps import PartitionGap

# librdkafka blocks without seeing signals: wait in pieces, so that SIGTERM is seen in time.
WAIT_SECONDS = 0.1
# Asking for the watermarks to explain a gap; the gap is told without them when nobody answers.
EXPLAIN_SECONDS = 3.0
# librdkafka says nothing when a topic that it fetches is deleted: one that is quiet this long is asked for.
QUIET_SECONDS = 30.0


class KafkaReader:
    """Reads partitions of Kafka topics with librdkafka. Owned by one thread.

    Parameters
    ----------
    source
        The config section; its ``topics`` are sorted.
    timeout_seconds
        How long a question to the broker (partitions, watermarks, offsets by time) may take before
        ``BrokerUnavailable``. ``poll`` never raises that; it waits.
    way
        How messages come out of librdkafka (kafka_doors.py): ``auto`` takes C batches where it can. What
        is brought is the same.

    Raises
    ------
    ConfigError
        When librdkafka refuses a property. No broker is needed to make a reader.
    SourceError
        When ``c_batches`` is asked for and cannot be had.
    """

    def __init__(
        self,
        source: KafkaSource,
        *,
        timeout_seconds: float = 10.0,
        way: Literal["auto", "c_batches", "consume"] = "auto",
    ) -> None:
        self._topics = tuple(sorted(source.topics))
        self._timeout_seconds = timeout_seconds
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._stopped: set[TopicPartition] = set()  # librdkafka fetches them no more after an error
        self._at_end: set[TopicPartition] = set()
        self._said_again: frozenset[TopicPartition] = frozenset()  # caught up already when assigned anew
        self._failures: deque[tuple[TopicPartition | None, SourceError]] = deque()
        self._heard: set[str] = set()  # topics that brought anything since they were last asked for
        self._ask_again = time.monotonic() + QUIET_SECONDS
        self._client_settings = client_settings(source.bootstrap_servers, source.plain_properties())
        self._door, self._way, self._way_why = enter(reader_settings(source), self._topics, way)

    @property
    def way(self) -> Way:
        """How messages come out of librdkafka."""
        return self._way

    @property
    def way_why(self) -> str:
        """Why that way, for people."""
        return self._way_why

    @property
    def topics(self) -> tuple[str, ...]:
        """The configured topics, sorted; ``topic`` in a raw batch is an index into them."""
        return self._topics

    def cluster_id(self) -> str:
        """Return the Kafka cluster's id. Raises BrokerUnavailable."""
        return cluster_id_of(self._door.asked, self._timeout_seconds)

    def identity(self) -> dict[str, Any]:
        """Return ``{"kind": "kafka", "cluster_id": ..., "topic_ids": {topic: id}}``, JSON types.

        A checkpoint keeps it, and knows by it whether it goes on with the log that it was learned from.
        Raises BrokerUnavailable, TopicMissing.
        """
        # A handle for one question: a reader asks for it once.
        return identity_of(opened(AdminClient, self._client_settings), self._topics, self._timeout_seconds)

    def partitions(self) -> list[TopicPartition]:
        """Return all partitions of the topics, sorted. Raises TopicMissing, BrokerUnavailable."""
        return partitions_of(self._door.asked, self._topics, self._timeout_seconds)

    def watermarks(self, partition: TopicPartition) -> Watermarks:
        """Ask for the first offset in the log and the last stable one. Raises BrokerUnavailable, TopicMissing."""
        return watermarks_of(self._door.asked, partition, self._timeout_seconds)

    def offset_at(self, partition: TopicPartition, timestamp_ms: int) -> int:
        """Return the first offset whose timestamp is at or after this one; the end where there is none.

        Raises BrokerUnavailable, TopicMissing.
        """
        return first_offset_at(self._door.asked, partition, timestamp_ms, self._timeout_seconds)

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read exactly these partitions from now on, each from its offset, none of them paused.

        One that is read already and stands at its offset keeps its place and its read-ahead; where that is
        its end, the next poll says again that it is caught up.
        """
        assert all(offset >= 0 for offset in positions.values()), f"offsets, not marks: {positions}"
        kept = {
            partition
            for partition, offset in positions.items()
            if self._positions.get(partition) == offset and partition not in self._stopped
        }
        gone = [partition for partition in self._positions if partition not in kept]
        new = {partition: offset for partition, offset in positions.items() if partition not in kept}
        try:
            # Before they are given back: librdkafka remembers a pause beyond the assignment.
            self.resume(tuple(self._paused))
            if gone:
                self._door.unassign(gone)
            if new:
                self._door.assign(new)
        except KafkaException as exception:
            raise source_error(error_of(exception), f"assigning {_names(positions)}") from exception
        self._stopped.difference_update(gone)
        self._at_end.difference_update(gone)
        self._said_again = frozenset(self._at_end)
        self._positions = dict(positions)
        self._failures = deque(
            (partition, failure)
            for partition, failure in self._failures
            if partition is None or partition in kept
        )

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Bring nothing of these until ``resume``. What was read ahead of them is thrown away and read again."""
        if partitions:
            self._door.pause(partitions)
            self._paused.update(partitions)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Bring these again, from where they stood."""
        if partitions:
            self._door.resume(partitions)
            self._paused.difference_update(partitions)

    def poll(self, events_max: int, timeout_seconds: float) -> Polled:
        """Bring up to ``events_max`` messages: what is there at once, else the first to come.

        Blocks for at most ``timeout_seconds``, in pieces that let signals through; an empty batch then.

        Raises
        ------
        PartitionGap
            (an ``OffsetGap``) when the log does not hold a partition's position. That partition is
            stopped until ``assign`` names it again; the others go on with the next poll.
        TopicMissing
            When a topic or partition that is being read was deleted.
        SourceError
            When librdkafka cannot go on (authorization, corrupt data, a fatal error).
        """
        if self._failures:
            raise self._failures.popleft()[1]
        taken = self._take(events_max, 0.0 if self._said_again else timeout_seconds)
        batch, positions = taken.batch, taken.reached
        self._positions.update(positions)
        self._at_end.difference_update(positions)
        said_again = self._said_again - positions.keys()
        positions.update((partition, self._positions[partition]) for partition in said_again)
        caught_up = said_again | self._read_said(taken.said, positions)
        self._said_again = frozenset()
        self._heard.update(partition.topic for partition in positions)
        if time.monotonic() >= self._ask_again:
            self._ask_for_quiet_topics()
        if self._failures and not batch.num_rows and not caught_up:
            raise self._failures.popleft()[1]
        return Polled(batch, positions, caught_up)

    def close(self) -> None:
        """Let go of everything. Idempotent."""
        self._positions = {}
        self._door.close()

    def _take(self, events_max: int, timeout_seconds: float) -> Taken:
        deadline = time.monotonic() + timeout_seconds
        while True:
            wait_seconds = min(WAIT_SECONDS, max(0.0, deadline - time.monotonic()))
            taken = self._door.take(events_max, wait_seconds, self._positions)
            if taken is not None:
                return taken
            if time.monotonic() >= deadline:
                return Taken(EMPTY_BATCH, {}, ())

    def _read_said(
        self, said: Iterable[Said], positions: dict[TopicPartition, int]
    ) -> frozenset[TopicPartition]:
        """Take in what librdkafka says beside messages; return the partitions whose end was reached."""
        caught_up: set[TopicPartition] = set()
        for partition, end, error in said:
            if partition is not None and partition not in self._positions:
                continue  # of a partition that was given back
            code = error.code()
            if code == KafkaError._PARTITION_EOF:
                assert partition is not None
                # Control records and aborted messages show no rows: the end is where the reader stands.
                if end >= self._positions[partition]:
                    self._positions[partition] = positions[partition] = end
                    self._at_end.add(partition)
                    caught_up.add(partition)
            elif partition is not None and code in OUT_OF_LOG:
                self._fail(partition, self._gap(partition))
            elif code in MISSING:
                self._heard.clear()
                self._ask_again = 0.0  # is it gone, or is only its leader away?
            elif partition is None and code == KafkaError._BAD_MSG:
                # An answer too large to receive broke the connection for whatever else was asked on it.
                pass  # the client asks again, and the watchdog tells of what never comes
            elif error.fatal() or not (code in UNAVAILABLE or error.retriable()):
                self._fail(partition, source_error(error, f"reading {partition or 'the topics'}"))
        return frozenset(caught_up)

    def _ask_for_quiet_topics(self) -> None:
        """Find out which topics are gone; one that was heard since the last time is not."""
        reading = {partition.topic for partition in self._positions}
        try:
            partitions_of(self._door.asked, sorted(reading - self._heard), EXPLAIN_SECONDS)
        except TopicMissing as missing:
            self._failures.append((None, missing))
        except BrokerUnavailable:
            pass  # a poll waits for brokers
        self._heard.clear()
        self._ask_again = time.monotonic() + QUIET_SECONDS

    def _fail(self, partition: TopicPartition | None, failure: SourceError) -> None:
        self._failures.append((partition, failure))
        if partition is not None:
            self._stopped.add(partition)

    def _gap(self, partition: TopicPartition) -> SourceError:
        watermarks: Watermarks | None = None
        try:
            watermarks = watermarks_of(self._door.asked, partition, EXPLAIN_SECONDS)
        except TopicMissing as missing:
            return missing
        except BrokerUnavailable:
            pass  # the gap is told without the watermarks
        return PartitionGap(partition, self._positions[partition], watermarks)


def _names(positions: Mapping[TopicPartition, int]) -> str:
    return ", ".join(f"{partition} at {offset}" for partition, offset in sorted(positions.items()))
