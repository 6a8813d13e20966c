"""What a group has committed, read so that no transaction can still change it.

Upholds the sending half of `learned_once`: what a successor does not send again is what these offsets cover.
Changes nothing (`reads_are_pure`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaTopicPartition
from confluent_kafka.admin import AdminClient

from streamlearn.connectors.kafka_errors import error_of, source_error
from streamlearn.errors import OffsetsUndecided
from streamlearn.events import TopicPartition

AGAIN_SECONDS = 0.05
CALL_SECONDS_MIN = 0.1  # librdkafka takes no request without time


def committed_offsets(
    admin: AdminClient, group_id: str, partitions: Sequence[TopicPartition], timeout_seconds: float
) -> dict[TopicPartition, int]:
    """Return the committed offset of each partition that has one, no transaction over them being open.

    Waits for the ends of transactions that were decided and are not yet written down (KIP-447,
    ``require_stable``).

    Raises
    ------
    OffsetsUndecided
        A transaction over them was not ended within the time.
    BrokerUnavailable
        No answer within the time.
    SourceError
        The group may not be read.
    """
    deadline = time.monotonic() + timeout_seconds
    doing = f"asking for the committed offsets of the group {group_id!r}"
    wanted = [KafkaTopicPartition(*partition) for partition in partitions]
    while True:
        asked = admin.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group_id, wanted)],
            require_stable=True,
            request_timeout=max(CALL_SECONDS_MIN, deadline - time.monotonic()),
        )
        try:
            answer = asked[group_id].result().topic_partitions
        except KafkaException as exception:
            if error_of(exception).code() != KafkaError.UNSTABLE_OFFSET_COMMIT:
                raise source_error(error_of(exception), doing) from exception
        else:
            errors = [each.error for each in answer if each.error is not None]
            refused = [error for error in errors if error.code() != KafkaError.UNSTABLE_OFFSET_COMMIT]
            if refused:
                raise source_error(refused[0], doing)
            if not errors:
                return {TopicPartition(p.topic, p.partition): p.offset for p in answer if p.offset >= 0}
        if time.monotonic() >= deadline:
            raise OffsetsUndecided(
                f"{doing}: a transaction over them was not ended within {timeout_seconds:g} s",
                remedy="see that the brokers that hold __transaction_state and __consumer_offsets run; where they do, "
                "the transaction hangs: docs/guarantees.md, 'What Kafka has to keep', says how it is ended",
            )
        time.sleep(AGAIN_SECONDS)
