"""What came from librdkafka, as columns: which rows are due, and what was said beside them.

Upholds `offsets_increase`: a row is handed on only if its partition is owned and its offset is at or
after the one expected next. Nothing downstream knows a Kafka message object.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from confluent_kafka import KafkaError, Message

from streamlearn.connectors.raw import EMPTY_BATCH, raw_batch
from streamlearn.events import Bool_B, Code_B, Int_B, TopicPartition

Topic_B = npt.NDArray[np.int16]

_milliseconds = itemgetter(1)
RUNS_MAX = 64  # of more, a look at each costs as much as sorting them


class Said(NamedTuple):
    """An error in a message's place; the end of a partition is one, too. None: about no one partition."""

    partition: TopicPartition | None
    offset: int
    error: KafkaError


@dataclass(frozen=True, slots=True)
class Taken:
    """What came at once: the rows that are due, where they leave their partitions, and what was said."""

    batch: pa.RecordBatch
    reached: dict[TopicPartition, int]
    said: tuple[Said, ...]


def due(
    topic_B: Topic_B,
    partition_B: Code_B,
    offset_B: Int_B,
    topics: Sequence[str],
    positions: Mapping[TopicPartition, int],
) -> tuple[Bool_B, dict[TopicPartition, int]]:
    """Return which rows are due, and the next offset of each partition that has one.

    Parameters
    ----------
    topic_B, partition_B, offset_B
        Of the rows in the order in which they came; ``topic_B`` indexes ``topics``.
    positions
        The next expected offset of each partition that is owned.

    >>> of_one = np.zeros(4, np.int16), np.zeros(4, np.int32), np.array([6, 7, 7, 9])
    >>> is_due_B, reached = due(*of_one, ["t"], {TopicPartition("t", 0): 7})
    >>> is_due_B.tolist(), reached
    ([False, True, False, True], {TopicPartition(topic='t', partition=0): 10})
    """
    code_B = topic_B.astype(np.int64) << 32 | partition_B
    reached_in_order = _reached_in_order(code_B, offset_B, topics, positions)
    if reached_in_order is not None:
        return np.ones(len(offset_B), np.bool_), reached_in_order
    # One stable sort groups the rows by partition; most often they are grouped already.
    order_B = np.argsort(code_B, kind="stable")
    sorted_code_B, sorted_offset_B = code_B[order_B], offset_B[order_B]
    changes = np.flatnonzero(sorted_code_B[1:] != sorted_code_B[:-1]) + 1
    is_due_B = np.zeros(len(offset_B), np.bool_)
    reached: dict[TopicPartition, int] = {}
    bounds = [0, *changes.tolist(), len(offset_B)] if len(offset_B) else []
    for first, end in pairwise(bounds):
        row = order_B[first]
        partition = TopicPartition(topics[topic_B[row]], int(partition_B[row]))
        expected = positions.get(partition)
        if expected is None:
            continue  # given back
        # A row is due when it is past all that came before it, and before the assignment.
        past_B = np.empty(end - first, np.int64)
        past_B[0] = expected - 1
        past_B[1:] = sorted_offset_B[first : end - 1]
        np.maximum.accumulate(past_B, out=past_B)
        is_due = sorted_offset_B[first:end] > past_B
        is_due_B[order_B[first:end]] = is_due
        if is_due.any():
            reached[partition] = int(max(past_B[-1], sorted_offset_B[end - 1])) + 1
    return is_due_B, reached


def _reached_in_order(
    code_B: Int_B, offset_B: Int_B, topics: Sequence[str], positions: Mapping[TopicPartition, int]
) -> dict[TopicPartition, int] | None:
    """Return the next offset of each partition where every row is due, as nearly always; None: look at each row.

    ``code_B`` is a row's partition below its topic. Rows of a partition follow each other, in a few runs.
    """
    changes_B = code_B[1:] != code_B[:-1]
    if not len(code_B) or not (changes_B | (offset_B[1:] > offset_B[:-1])).all():
        return None
    begins = [0, *(np.flatnonzero(changes_B) + 1).tolist()]
    if len(begins) > RUNS_MAX:
        return None
    reached: dict[TopicPartition, int] = {}
    for begin, stop in pairwise([*begins, len(code_B)]):
        topic, number = divmod(int(code_B[begin]), 1 << 32)
        partition = TopicPartition(topics[topic], number)
        expected = reached.get(partition, positions.get(partition))
        if expected is None or offset_B[begin] < expected:
            return None
        reached[partition] = int(offset_B[stop - 1]) + 1
    return reached


def taken_of(
    messages: Sequence[Message[Any, Any]],
    topics: Sequence[str],
    positions: Mapping[TopicPartition, int],
) -> Taken:
    """Return what confluent-kafka's message objects hold, in the order in which they came.

    >>> kafka = [Message("t", 0, offset, None, b"{}", timestamp=(1, 5)) for offset in (6, 7, 9)]
    >>> taken = taken_of(kafka, ["t"], {TopicPartition("t", 0): 7})
    >>> taken.batch.column("offset").to_pylist(), taken.reached
    ([7, 9], {TopicPartition(topic='t', partition=0): 10})
    """
    said = tuple(_said(message) for message in messages if message.error() is not None)
    if said:
        messages = [message for message in messages if message.error() is None]
    if not messages:
        return Taken(EMPTY_BATCH, {}, said)
    rows = len(messages)
    topic_B = np.zeros(rows, np.int16)
    if len(topics) > 1:
        index = {topic: i for i, topic in enumerate(topics)}
        topic_B[:] = [index[topic] for topic in map(Message.topic, messages)]  # type: ignore[index]
    partition_B = np.fromiter(map(Message.partition, messages), np.int32, rows)
    offset_B = np.fromiter(map(Message.offset, messages), np.int64, rows)
    is_due_B, reached = due(topic_B, partition_B, offset_B, topics, positions)
    if not is_due_B.all():
        messages = [messages[row] for row in np.flatnonzero(is_due_B).tolist()]
        topic_B, partition_B, offset_B = topic_B[is_due_B], partition_B[is_due_B], offset_B[is_due_B]
    batch = raw_batch(
        topic_B,
        partition_B,
        offset_B,
        np.fromiter(map(_milliseconds, map(Message.timestamp, messages)), np.int64, len(messages)),
        [*map(Message.key, messages)],
        [*map(Message.value, messages)],
    )
    return Taken(batch, reached, said)


def _said(message: Message[Any, Any]) -> Said:
    error, topic, partition, offset = message.error(), message.topic(), message.partition(), message.offset()
    assert error is not None
    about = None if topic is None or partition is None or partition < 0 else TopicPartition(topic, partition)
    return Said(about, -1 if offset is None else offset, error)
