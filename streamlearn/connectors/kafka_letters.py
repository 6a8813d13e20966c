"""Dead letters read back from a topic. Upholds `reads_are_pure`: no group is joined, nothing is committed."""

from __future__ import annotations

import time
from collections.abc import Iterator

from confluent_kafka import Consumer, KafkaError, Message
from confluent_kafka import TopicPartition as KafkaTopicPartition

from streamlearn.config import KafkaSource
from streamlearn.connectors.dead_letter import HEADER_PREFIX
from streamlearn.connectors.kafka_errors import UNAVAILABLE, opened, source_error
from streamlearn.connectors.kafka_questions import partitions_of, watermarks_of
from streamlearn.connectors.kafka_settings import reader_settings
from streamlearn.contracts import DeadLetter
from streamlearn.errors import BrokerUnavailable

POLL_RECORDS = 5000
POLL_SECONDS = 0.2
ANSWER_SECONDS = 10.0
SILENT_SECONDS = 30.0


def letters_in_topic(source: KafkaSource, topic: str) -> Iterator[DeadLetter]:
    """Yield the committed letters of a topic, each partition's oldest first, up to its end as it stands now.

    Records that are no dead letters of a daemon are passed over.

    Raises
    ------
    BrokerUnavailable
        Nobody answers, or nothing comes for half a minute.
    TopicMissing, SourceError
        The topic is not there, or may not be read.
    """
    consumer = opened(Consumer, reader_settings(source))
    try:
        left: dict[int, int] = {}  # partition -> where it ends
        begin = []
        for partition in partitions_of(consumer, [topic], ANSWER_SECONDS):
            marks = watermarks_of(consumer, partition, ANSWER_SECONDS)
            if marks.low < marks.high:
                left[partition.partition] = marks.high
                begin.append(KafkaTopicPartition(*partition, marks.low))
        consumer.assign(begin)
        silent_since = time.monotonic()
        while left:
            messages = consumer.consume(POLL_RECORDS, POLL_SECONDS)
            if messages:
                silent_since = time.monotonic()
            elif time.monotonic() - silent_since > SILENT_SECONDS:
                raise BrokerUnavailable(
                    f"the dead letters in {topic!r} could not be read to their end: partitions {sorted(left)}",
                    remedy="see that its broker runs",
                )
            for message in messages:
                yield from _taken(message, left, topic)
    finally:
        consumer.close()


def _taken(message: Message, left: dict[int, int], topic: str) -> Iterator[DeadLetter]:
    """Yield the letter of a message, where it has one; strike its partition off where it was the last."""
    error, partition, offset = message.error(), message.partition(), message.offset()
    if error is not None:
        if error.code() == KafkaError._PARTITION_EOF and partition is not None:
            left.pop(partition, None)  # behind the last record there may be control records
        elif error.code() not in UNAVAILABLE and not error.retriable():
            raise source_error(error, f"reading the dead letters in {topic!r}")
        return
    assert partition is not None
    assert offset is not None
    end = left.get(partition, 0)
    if offset < end:
        letter = _letter(message)
        if letter is not None:
            yield letter
    if offset + 1 >= end:
        left.pop(partition, None)


def _letter(message: Message) -> DeadLetter | None:
    headers = {}
    for name, value in dict(message.headers() or {}).items():
        if name.startswith(HEADER_PREFIX):
            text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
            headers[name.removeprefix(HEADER_PREFIX)] = text
    try:
        place = headers["topic"], int(headers["partition"]), int(headers["offset"])
        row = int(headers["row"]) if "row" in headers else None
        why = headers["reason"], headers["detail"]
        return DeadLetter(*place, *why, message.key(), message.value(), row)
    except (KeyError, ValueError):
        return None
