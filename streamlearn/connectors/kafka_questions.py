"""What can be asked of the cluster, each question with a bound on its time and a typed refusal.

``BrokerUnavailable`` when nobody answers in time, ``TopicMissing`` when the topic or the partition is
not there, ``SourceError`` for a refusal. Nothing here changes anything (`reads_are_pure`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, ConsumerGroupState, KafkaException, Producer, TopicCollection
from confluent_kafka import TopicPartition as KafkaTopicPartition
from confluent_kafka.admin import AdminClient

from streamlearn.connectors.kafka_errors import MISSING, error_of, source_error
from streamlearn.contracts import Watermarks
from streamlearn.errors import BrokerUnavailable, TopicMissing
from streamlearn.events import TopicPartition

Members = Mapping[str, frozenset[TopicPartition]]  # by member id: what the group has given it


def partitions_of(
    handle: Consumer | Producer | AdminClient, topics: Iterable[str], timeout_seconds: float
) -> list[TopicPartition]:
    """Return all partitions of the topics, sorted. Raises TopicMissing, BrokerUnavailable."""
    found: list[TopicPartition] = []
    for topic in topics:
        doing = f"asking for the topic {topic!r}"
        try:
            metadata = handle.list_topics(topic, timeout=timeout_seconds).topics[topic]
        except KafkaException as exception:
            raise source_error(error_of(exception), doing) from exception
        if metadata.error is not None:
            raise source_error(metadata.error, doing)
        found += [TopicPartition(topic, partition) for partition in metadata.partitions]
    return sorted(found)


def check_exists(consumer: Consumer, partition: TopicPartition, timeout_seconds: float) -> None:
    """Return where the cluster itself says that a partition is there. Raises TopicMissing, BrokerUnavailable.

    librdkafka also calls a partition unknown while it knows no leader of it, as in any outage.
    """
    if partition not in partitions_of(consumer, [partition.topic], timeout_seconds):
        raise TopicMissing(
            f"{partition} does not exist", remedy="create the topic, or correct its name in the config"
        )


def watermarks_of(consumer: Consumer, partition: TopicPartition, timeout_seconds: float) -> Watermarks:
    """Return the first offset in the log and, to a read_committed consumer, the last stable one."""
    with _about(consumer, partition, f"asking for the watermarks of {partition}", timeout_seconds):
        low, high = consumer.get_watermark_offsets(KafkaTopicPartition(*partition), timeout=timeout_seconds)
    return Watermarks(low, high)


def first_offset_at(
    consumer: Consumer, partition: TopicPartition, timestamp_ms: int, timeout_seconds: float
) -> int:
    """Return the first offset whose record timestamp is at or after this one; the end where there is none."""
    asked = KafkaTopicPartition(*partition, timestamp_ms)
    doing = f"asking {partition} for the offset at {timestamp_ms} ms"
    with _about(consumer, partition, doing, timeout_seconds):
        [found] = consumer.offsets_for_times([asked], timeout=timeout_seconds)
        if found.error is not None:
            raise KafkaException(found.error)
    return found.offset if found.offset >= 0 else watermarks_of(consumer, partition, timeout_seconds).high


@contextmanager
def _about(
    consumer: Consumer, partition: TopicPartition, doing: str, timeout_seconds: float
) -> Iterator[None]:
    try:
        yield
    except KafkaException as exception:
        if error_of(exception).code() not in MISSING:
            raise source_error(error_of(exception), doing) from exception
        check_exists(consumer, partition, timeout_seconds)
        raise BrokerUnavailable(
            f"{doing}: it has no leader now", remedy="see why a broker of the cluster is down"
        ) from exception


def members_at_rest(admin: AdminClient, group_id: str, timeout_seconds: float) -> Members | None:
    """Return what a group at rest has given to each of its members.

    None where it is not at rest, and where nobody answers in time: ask again.
    """
    asked = admin.describe_consumer_groups([group_id], request_timeout=timeout_seconds)
    try:
        group = asked[group_id].result()
    except KafkaException:
        return None
    if group.state != ConsumerGroupState.STABLE:
        return None
    return {
        member.member_id: frozenset(
            TopicPartition(each.topic, each.partition) for each in member.assignment.topic_partitions
        )
        for member in group.members
    }


def cluster_id_of(handle: Consumer | AdminClient, timeout_seconds: float) -> str:
    """Return the cluster's id. Raises BrokerUnavailable."""
    try:
        return handle.cluster_id(timeout=timeout_seconds)
    except KafkaException as exception:
        raise source_error(error_of(exception), "asking for the cluster's id") from exception


def identity_of(admin: AdminClient, topics: Iterable[str], timeout_seconds: float) -> dict[str, Any]:
    """Return the cluster's id and each topic's own: a topic that was created again has another.

    Topic ids need Kafka 2.8 (KIP-516); an older broker gives none.
    """
    cluster_id = cluster_id_of(admin, timeout_seconds)
    try:
        asked = admin.describe_topics(TopicCollection(list(topics)), request_timeout=timeout_seconds)
        ids = {topic: str(answer.result().topic_id) for topic, answer in sorted(asked.items())}
    except KafkaException as exception:
        raise source_error(error_of(exception), "asking for the topics' ids") from exception
    return {"kind": "kafka", "cluster_id": cluster_id, "topic_ids": ids}
