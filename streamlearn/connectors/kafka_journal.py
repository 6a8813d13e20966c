"""The order journal: in which order a live read of several partitions was learned, in a topic of its own.

A **cut** is the next offset of each partition at a moment. A record holds the cuts of one transaction and
rides in it, so the journal tells of exactly what read_committed readers have seen. Upholds the journal's part
of `replay_equals_run`: whoever learns again takes the events of each cut before those of the next.

The topic has one partition, whose order is the order of the cuts. The key is the transactional id under which
the record was sent: a consumer group's stream and shard, so that two groups that learn a stream of one name do
not follow each other's order. A record is a version byte and MessagePack: ``[[[topic, partition], ...], [[step,
...], ...]]``, a row a cut and a column a partition: how far the partition went since its last cut in this record,
None where the cut does not name it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec
from confluent_kafka import Consumer, KafkaError
from confluent_kafka import TopicPartition as KafkaTopicPartition
from confluent_kafka.admin import AdminClient

from streamlearn.config import KafkaSource
from streamlearn.connectors.admin import create_topic
from streamlearn.connectors.kafka_errors import UNAVAILABLE, opened, source_error
from streamlearn.connectors.kafka_questions import partitions_of, watermarks_of
from streamlearn.connectors.kafka_settings import client_settings, reader_settings
from streamlearn.errors import BrokerUnavailable, SourceError, TopicMissing
from streamlearn.events import TopicPartition

Cut = Mapping[TopicPartition, int]

VERSION = 1
PARTITION = 0
# A journal is worth nothing without its beginning, while checkpoints that need it are kept.
TOPIC_SETTINGS = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
POLL_RECORDS = 10_000
POLL_SECONDS = 0.2
# How far back from its end a journal is read at first; twice as far each time that was not enough.
TAIL_OFFSETS = 4096


class _Record(msgspec.Struct, array_like=True):
    partitions: list[tuple[str, int]]
    steps: list[list[int | None]]


_decoder = msgspec.msgpack.Decoder(_Record)


class JournalRecord(NamedTuple):
    """What one committed transaction has said of its order. ``offset``: of the record in the journal."""

    offset: int
    transactional_id: str
    cuts: list[Cut]


def journal_topic(stream: str) -> str:
    """Return the name of a stream's journal.

    >>> journal_topic("flights")
    'flights.order'
    """
    return f"{stream}.order"


def encode_cuts(cuts: Sequence[Cut]) -> bytes:
    """Return the value of a journal record.

    >>> t0, t1 = TopicPartition("t", 0), TopicPartition("t", 1)
    >>> value = encode_cuts([{t0: 100_000, t1: 7}, {t0: 100_003, t1: 7}])
    >>> len(value), decode_cuts(value) == [{t0: 100_000, t1: 7}, {t0: 100_003, t1: 7}]
    (22, True)
    """
    partitions = sorted({partition for cut in cuts for partition in cut})
    last = dict.fromkeys(partitions, 0)
    steps: list[list[int | None]] = []
    for cut in cuts:
        steps.append([cut[each] - last[each] if each in cut else None for each in partitions])
        last.update(cut)
    record = _Record([(each.topic, each.partition) for each in partitions], steps)
    return bytes([VERSION]) + msgspec.msgpack.encode(record)


def decode_cuts(value: bytes) -> list[Cut]:
    """Return the cuts of a record, as they were. Raises ValueError where it is no such record.

    >>> decode_cuts(b"\\x07")
    Traceback (most recent call last):
    ValueError: a record of version 7
    """
    if value[:1] != bytes([VERSION]):
        raise ValueError(f"a record of version {value[0]}" if value else "an empty record")
    try:
        record = _decoder.decode(value[1:])
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error
    partitions = [TopicPartition(*each) for each in record.partitions]
    last = dict.fromkeys(partitions, 0)
    cuts: list[Cut] = []
    for steps in record.steps:
        if len(steps) != len(partitions):
            raise ValueError(f"{len(steps)} steps for {len(partitions)} partitions")
        moved = zip(partitions, steps, strict=True)
        cut = {each: last[each] + step for each, step in moved if step is not None}
        last.update(cut)
        cuts.append(cut)
    return cuts


def ensure_journal(source: KafkaSource, topic: str, timeout_seconds: float) -> bool:
    """Make the journal's topic where there is none; return whether it was made.

    It gets one partition, the brokers' default replication, and keeps everything.
    Raises BrokerUnavailable, and SourceError where the broker refuses.
    """
    servers, properties = source.bootstrap_servers, source.plain_properties()
    try:
        partitions_of(opened(AdminClient, client_settings(servers, properties)), [topic], timeout_seconds)
        return False
    except TopicMissing:
        pass
    try:
        return create_topic(servers, topic, 1, TOPIC_SETTINGS, properties)
    except BrokerUnavailable:
        raise
    except SourceError as refused:
        raise SourceError(
            refused.what,
            remedy=f"make the topic {topic!r} with one partition and retention.ms=-1, or let this user create it",
        ) from refused


def read_journal(
    source: KafkaSource, topic: str, timeout_seconds: float, *, from_offset: int = 0
) -> Iterator[JournalRecord]:
    """Yield the committed records of a journal, in order, up to its end as it stands now.

    Parameters
    ----------
    source
        The config section; its topics mean nothing here.
    timeout_seconds
        For all of it.
    from_offset
        Records before this one are passed over.

    Raises
    ------
    BrokerUnavailable
        Not within the time.
    TopicMissing
        There is no such topic.
    SourceError
        A record is none of a journal.
    """
    deadline = time.monotonic() + timeout_seconds
    consumer = _consumer(source)
    try:
        marks = watermarks_of(consumer, TopicPartition(topic, PARTITION), timeout_seconds)
        yield from _records(consumer, topic, max(marks.low, from_offset), marks.high, deadline)
    finally:
        consumer.close()


def read_cuts(
    source: KafkaSource, topic: str, transactional_id: str, after: Cut, timeout_seconds: float
) -> list[Cut]:
    """Return all cuts committed under an id that lie beyond ``after`` in some partition, in order.

    The cuts under one id never go back, so these are its journal's tail: it is looked for from the end,
    and what it takes does not grow with the journal.

    Parameters
    ----------
    after
        Next offsets, as in a checkpoint; 0 for a partition that it does not name.

    Raises as ``read_journal`` does.
    """
    deadline = time.monotonic() + timeout_seconds
    consumer = _consumer(source)
    try:
        marks = watermarks_of(consumer, TopicPartition(topic, PARTITION), timeout_seconds)
        tail: list[Cut] = []
        begin, length = marks.high, TAIL_OFFSETS
        while begin > marks.low:
            end, begin = begin, max(marks.low, begin - length)
            records = _records(consumer, topic, begin, end, deadline)
            tail[:0] = [
                cut
                for record in records
                if record.transactional_id == transactional_id
                for cut in record.cuts
            ]
            if tail and not _is_beyond(tail[0], after):
                break
            length *= 2
        return [cut for cut in tail if _is_beyond(cut, after)]
    finally:
        consumer.close()


def _is_beyond(cut: Cut, after: Cut) -> bool:
    return any(offset > after.get(partition, 0) for partition, offset in cut.items())


def _consumer(source: KafkaSource) -> Consumer:
    # Whatever the user reads otherwise: what was aborted was never seen.
    return opened(Consumer, {**reader_settings(source), "isolation.level": "read_committed"})


def _records(
    consumer: Consumer, topic: str, begin: int, end: int, deadline: float
) -> Iterator[JournalRecord]:
    """Yield the records from ``begin`` to before ``end``; control records and aborted ones leave gaps."""
    consumer.assign([KafkaTopicPartition(topic, PARTITION, begin)])
    position = begin
    while position < end:
        if time.monotonic() >= deadline:
            raise BrokerUnavailable(
                f"the order journal {topic!r} could not be read in time: up to {position} of {end}",
                remedy="see that its broker runs",
            )
        for message in consumer.consume(POLL_RECORDS, POLL_SECONDS):
            error, offset = message.error(), message.offset()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                if error.code() not in UNAVAILABLE and not error.retriable():
                    raise source_error(error, f"reading the order journal {topic!r}")
                continue
            assert offset is not None
            if error is not None:
                position = max(position, offset)
            elif offset < end:
                yield _record(topic, offset, message.key(), message.value())
                position = offset + 1
            else:
                position = end


def _record(topic: str, offset: int, key: bytes | None, value: bytes | None) -> JournalRecord:
    try:
        return JournalRecord(offset, (key or b"").decode(), decode_cuts(value or b""))
    except ValueError as error:  # UnicodeDecodeError is one
        raise SourceError(
            f"{topic}[{PARTITION}] at {offset} is no record of an order journal: {error}",
            remedy="nothing but streamlearn of this version or an older one may write to this topic",
        ) from error
