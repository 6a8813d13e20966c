"""From librdkafka's message objects to raw batches, column by column.

Upholds `offsets_increase`: a row is handed on only if its partition is owned and its offset is at or
after the one expected next. Nothing downstream knows a Kafka message object.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa
from confluent_kafka import Message

from streamlearn.connectors.raw import EMPTY_BATCH, raw_batch
from streamlearn.events import TopicPartition

_milliseconds = itemgetter(1)


def rows_due(
    messages: Sequence[Message[Any, Any]],
    topics: Sequence[str],
    positions: Mapping[TopicPartition, int],
) -> tuple[pa.RecordBatch, dict[TopicPartition, int]]:
    """Return the messages that are due as one raw batch, and where that leaves their partitions.

    Parameters
    ----------
    messages
        Without errors, in the order in which they came.
    topics
        The reader's topics; ``topic`` in the batch is an index into them.
    positions
        The next expected offset of each partition that is owned.

    Returns
    -------
    The batch, and the next offset of each partition that has a row in it.

    >>> kafka = [Message("t", 0, offset, None, b"{}", timestamp=(1, 5)) for offset in (6, 7, 9)]
    >>> batch, reached = rows_due(kafka, ["t"], {TopicPartition("t", 0): 7})
    >>> batch.column("offset").to_pylist(), reached
    ([7, 9], {TopicPartition(topic='t', partition=0): 10})
    """
    if not messages:
        return EMPTY_BATCH, {}
    rows = len(messages)
    topic_B = np.zeros(rows, np.int16)
    if len(topics) > 1:
        index = {topic: i for i, topic in enumerate(topics)}
        topic_B[:] = [index[topic] for topic in map(Message.topic, messages)]  # type: ignore[index]
    partition_B = np.fromiter(map(Message.partition, messages), np.int32, rows)
    offset_B = np.fromiter(map(Message.offset, messages), np.int64, rows)

    # One stable sort groups the rows by partition; most often they are grouped already.
    code_B = topic_B.astype(np.int64) << 32 | partition_B
    order_B = np.argsort(code_B, kind="stable")
    code_B, sorted_offset_B = code_B[order_B], offset_B[order_B]
    changes_B = code_B[1:] != code_B[:-1]
    firsts = np.concatenate([[0], np.flatnonzero(changes_B) + 1])
    lasts = np.append(firsts[1:], rows) - 1
    all_due = bool((changes_B | (sorted_offset_B[1:] > sorted_offset_B[:-1])).all())
    reached: dict[TopicPartition, int] = {}
    for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
        row = order_B[first]
        partition = TopicPartition(topics[topic_B[row]], int(partition_B[row]))
        expected = positions.get(partition)
        all_due = all_due and expected is not None and bool(sorted_offset_B[first] >= expected)
        reached[partition] = int(sorted_offset_B[last]) + 1
    if not all_due:
        return rows_due(_due(messages, positions), topics, positions)
    batch = raw_batch(
        topic_B,
        partition_B,
        offset_B,
        np.fromiter(map(_milliseconds, map(Message.timestamp, messages)), np.int64, rows),
        [*map(Message.key, messages)],
        [*map(Message.value, messages)],
    )
    return batch, reached


def partition_of(message: Message[Any, Any]) -> TopicPartition | None:
    """Return what a message, or an error in a message's place, is about; None: about no one partition.

    >>> partition_of(Message("t", 3))
    TopicPartition(topic='t', partition=3)
    """
    topic, partition = message.topic(), message.partition()
    if topic is None or partition is None or partition < 0:
        return None
    return TopicPartition(topic, partition)


def _due(
    messages: Sequence[Message[Any, Any]], positions: Mapping[TopicPartition, int]
) -> list[Message[Any, Any]]:
    """The rare way, row by row: some are of a partition that was given back, or were brought before."""
    expected = dict(positions)
    due = []
    for message in messages:
        partition, offset = partition_of(message), message.offset()
        assert partition is not None, "a message has a partition"
        assert offset is not None, "a message has an offset"
        if offset >= expected.get(partition, offset + 1):
            expected[partition] = offset + 1
            due.append(message)
    return due
