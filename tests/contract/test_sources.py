"""The reader's contract (streamlearn/contracts.py), one suite over every source.

Files have no keys, no tombstones and no timestamps; what needs those, or a log that grows or is cut, runs
on the two Kafka clients, confluent-kafka by both ways in which its messages come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pytest
from confluent_kafka import TopicPartition as KafkaTopicPartition
from waiting import eventually

from streamlearn.config import FilesSource, KafkaSource
from streamlearn.connectors.files import FilesReader
from streamlearn.connectors.kafka_reader import KafkaReader
from streamlearn.contracts import Polled, Reader, Watermarks
from streamlearn.errors import BrokerUnavailable, OffsetGap, TopicMissing
from streamlearn.events import RAW_SCHEMA, TopicPartition

Logs = Sequence[Sequence[bytes]]
Open = Callable[[Logs], Reader]
DEADLINE_SECONDS = 30.0

CONFLUENT: dict[str, Literal["c_batches", "consume"]] = {
    "confluent-kafka-c-batches": "c_batches",
    "confluent-kafka-consume": "consume",
}
KAFKA_CLIENTS = [pytest.param(client, marks=pytest.mark.kafka) for client in (*CONFLUENT, "kafka-python")]


def kafka_reader(client: str, source: KafkaSource, **options: Any) -> Reader:
    if client in CONFLUENT:
        return KafkaReader(source, way=CONFLUENT[client], **options)
    from streamlearn.connectors.kafka_python import KafkaPythonReader

    return KafkaPythonReader(source, **options)


def kafka_source(kafka: Any, *topics: str) -> KafkaSource:
    return KafkaSource(bootstrap_servers=kafka.bootstrap_servers, topics=topics, group_id="source-contract")


@pytest.fixture(params=["files", *KAFKA_CLIENTS])
def open_reader(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Makes a reader over logs, one a partition, and closes it."""
    opened: list[Reader] = []

    def from_files(logs: Logs) -> Reader:
        for number, lines in enumerate(logs):
            (tmp_path / f"part-{number}.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
        return FilesReader(FilesSource(paths=(str(tmp_path / "*.jsonl"),)))

    def from_kafka(logs: Logs) -> Reader:
        kafka = request.getfixturevalue("kafka")
        topic = kafka.topic(len(logs))
        kafka.produce(topic, [(p, None, value, None) for p, values in enumerate(logs) for value in values])
        return kafka_reader(request.param, kafka_source(kafka, topic))

    def open_(logs: Logs) -> Reader:
        reader = from_files(logs) if request.param == "files" else from_kafka(logs)
        opened.append(reader)
        return reader

    yield open_
    for reader in opened:
        reader.close()


@pytest.fixture(params=KAFKA_CLIENTS)
def open_kafka_reader(request: pytest.FixtureRequest) -> Iterator[Callable[..., Reader]]:
    opened: list[Reader] = []

    def open_(source: KafkaSource, **options: Any) -> Reader:
        opened.append(kafka_reader(request.param, source, **options))
        return opened[-1]

    yield open_
    for reader in opened:
        reader.close()


def values_of(polls: Sequence[Polled], partition: int) -> list[bytes | None]:
    return [
        row["value"] for polled in polls for row in polled.batch.to_pylist() if row["partition"] == partition
    ]


def read_to_ends(reader: Reader, events_max: int = 500) -> list[Polled]:
    """Poll until every assigned partition was said to be caught up."""
    polls: list[Polled] = []
    ends = {p: reader.watermarks(p).high for p in reader.partitions()}
    reached: dict[TopicPartition, int] = {}
    caught_up: set[TopicPartition] = set()

    def at_ends() -> bool:
        polls.append(reader.poll(events_max, 0.2))
        reached.update(polls[-1].positions)
        caught_up.update(polls[-1].caught_up)
        return caught_up >= ends.keys() and all(reached.get(p, 0) >= end for p, end in ends.items())

    eventually(at_ends, DEADLINE_SECONDS)
    return polls


def numbered(count: int, partition: int = 0) -> list[bytes]:
    return [b'{"n": %d, "p": %d}' % (n, partition) for n in range(count)]


@pytest.mark.parametrize("events_max", [1, 7, 500])
def test_every_message_comes_once_in_order_whatever_the_poll_size(open_reader: Open, events_max: int) -> None:
    logs = [numbered(40, 0), numbered(3, 1), numbered(0, 2)]
    reader = open_reader(logs)
    reader.assign(dict.fromkeys(reader.partitions(), 0))
    polls = read_to_ends(reader, events_max)
    assert [values_of(polls, p) for p in range(3)] == logs
    assert max(polled.batch.num_rows for polled in polls) <= events_max
    for polled in polls:
        assert polled.batch.schema == RAW_SCHEMA
        polled.batch.validate(full=True)


def test_offsets_increase_and_positions_follow_them(open_reader: Open) -> None:
    reader = open_reader([numbered(50, 0), numbered(50, 1)])
    reader.assign(dict.fromkeys(reader.partitions(), 0))
    expected = dict.fromkeys(reader.partitions(), 0)
    for polled in read_to_ends(reader, 11):
        for row in polled.batch.to_pylist():
            partition = TopicPartition(reader.topics[row["topic"]], row["partition"])
            assert row["offset"] >= expected[partition]
            expected[partition] = row["offset"] + 1
            assert polled.positions[partition] > row["offset"]
    assert set(expected.values()) == {50}


def test_reading_begins_at_the_offset_that_was_assigned(open_reader: Open) -> None:
    reader = open_reader([numbered(10, 0), numbered(10, 1)])
    first, second = reader.partitions()
    reader.assign({first: 4, second: 10})
    polls = read_to_ends(reader)
    assert values_of(polls, 0) == numbered(10, 0)[4:]
    assert values_of(polls, 1) == []


def test_what_is_not_assigned_is_not_brought(open_reader: Open) -> None:
    reader = open_reader([numbered(10, 0), numbered(10, 1)])
    first, second = reader.partitions()
    reader.assign({second: 0})
    polls: list[Polled] = []

    def done() -> bool:
        polls.append(reader.poll(100, 0.2))
        return second in polls[-1].caught_up

    eventually(done, DEADLINE_SECONDS)
    assert {row["partition"] for polled in polls for row in polled.batch.to_pylist()} == {1}
    assert all(first not in polled.positions for polled in polls)


def test_a_kept_partition_keeps_its_place_when_another_joins(open_reader: Open) -> None:
    reader = open_reader([numbered(30, 0), numbered(30, 1)])
    first, second = reader.partitions()
    reader.assign({first: 0})
    polls = [eventually(lambda: _with_rows(reader.poll(5, 0.2)), DEADLINE_SECONDS)]
    position = polls[0].positions[first]
    reader.assign({first: position, second: 25})
    polls += read_to_ends(reader)
    assert values_of(polls, 0) == numbered(30, 0)
    assert values_of(polls, 1) == numbered(30, 1)[25:]


def test_a_partition_can_be_moved_back_and_forth(open_reader: Open) -> None:
    reader = open_reader([numbered(30)])
    [only] = reader.partitions()
    for begin in (0, 20, 3, 30):
        reader.assign({only: begin})
        assert values_of(read_to_ends(reader), 0) == numbered(30)[begin:]


def test_an_end_is_told_again_after_it_is_assigned_again(open_reader: Open) -> None:
    reader = open_reader([numbered(3)])
    [only] = reader.partitions()
    reader.assign({only: 0})
    read_to_ends(reader)
    reader.assign({only: 3})
    eventually(lambda: only in reader.poll(10, 0.2).caught_up, DEADLINE_SECONDS)


def test_pause_and_resume_lose_nothing_and_repeat_nothing(open_reader: Open) -> None:
    reader = open_reader([numbered(60, 0), numbered(60, 1)])
    first, second = reader.partitions()
    reader.assign({first: 0, second: 0})
    polls = [eventually(lambda: _with_rows(reader.poll(10, 0.2)), DEADLINE_SECONDS)]
    reader.pause([first])
    while_paused: list[Polled] = []

    def second_is_done() -> bool:
        while_paused.append(reader.poll(10, 0.2))
        return second in while_paused[-1].caught_up

    eventually(second_is_done, DEADLINE_SECONDS)
    assert values_of(while_paused, 0) == []
    reader.resume([first])
    polls += while_paused
    polls += _read_until(reader, first)
    assert values_of(polls, 0) == numbered(60, 0)
    assert values_of(polls, 1) == numbered(60, 1)


def test_assign_resumes_what_was_paused(open_reader: Open) -> None:
    reader = open_reader([numbered(5)])
    [only] = reader.partitions()
    reader.assign({only: 0})
    reader.pause([only])
    reader.assign({only: 0})
    assert values_of(_read_until(reader, only), 0) == numbered(5)


def test_watermarks_and_partitions(open_reader: Open) -> None:
    reader = open_reader([numbered(5), []])
    first, second = reader.partitions()
    assert [first.partition, second.partition] == [0, 1]
    assert reader.watermarks(first) == Watermarks(0, 5)
    assert reader.watermarks(second) == Watermarks(0, 0)


def test_offset_at_the_beginning_of_time_is_the_first(open_reader: Open) -> None:
    reader = open_reader([numbered(5)])
    [only] = reader.partitions()
    assert reader.offset_at(only, 0) == 0
    assert reader.offset_at(only, 4_000_000_000_000) == 5


def test_a_position_beyond_the_end_is_a_gap(open_reader: Open) -> None:
    reader = open_reader([numbered(5, 0), numbered(2, 1)])
    first, second = reader.partitions()
    reader.assign({first: 7, second: 0})
    with pytest.raises(OffsetGap, match=r"\[0\].*offset 7.*0 to 5") as caught:
        _poll_until_it_raises(reader)
    assert 'on_gap = "skip"' in caught.value.remedy
    reader.assign({first: 5, second: 0})
    assert values_of(_read_until(reader, second), 1) == numbered(2, 1)


def test_a_gap_is_told_again_when_the_same_offset_is_assigned_again(open_reader: Open) -> None:
    reader = open_reader([numbered(5)])
    [only] = reader.partitions()
    for _ in range(2):
        reader.assign({only: 7})
        with pytest.raises(OffsetGap):
            _poll_until_it_raises(reader)


def test_hostile_bytes_come_as_they_are(open_reader: Open) -> None:
    hostile = [
        b"\x00\xff\xfe",
        b"",
        b" ",
        b'{"a": "\xc3"}',
        b"\r",
        b'{"a":1}\r',
        b"x" * 300_000,
        "é".encode(),
    ]
    reader = open_reader([hostile])
    reader.assign(dict.fromkeys(reader.partitions(), 0))
    assert values_of(read_to_ends(reader), 0) == hostile


def test_nothing_assigned_brings_nothing(open_reader: Open) -> None:
    reader = open_reader([numbered(3)])
    reader.assign({})
    polled = reader.poll(10, 0.05)
    assert (polled.batch.num_rows, dict(polled.positions), polled.caught_up) == (0, {}, frozenset())


# ------------------------------------------------------------------------------------- Kafka alone


def test_keys_tombstones_and_timestamps_come_as_they_are(
    open_kafka_reader: Callable[..., Reader], kafka: Any
) -> None:
    topic = kafka.topic()
    rows = [(0, b"k", b"v", 1_000), (0, None, b"", 3_000), (0, b"", None, 2_000), (0, b"\xff", b"w", 5_000)]
    kafka.produce(topic, rows)
    reader = open_kafka_reader(kafka_source(kafka, topic))
    [only] = reader.partitions()
    reader.assign({only: 0})
    table = pa.Table.from_batches([polled.batch for polled in read_to_ends(reader)])
    assert table.column("key").to_pylist() == [row[1] for row in rows]
    assert table.column("value").to_pylist() == [row[2] for row in rows]
    assert table.column("timestamp_ms").to_pylist() == [row[3] for row in rows]
    assert reader.offset_at(only, 2_500) == 1
    assert reader.offset_at(only, 5_001) == 4


def test_topics_are_indexed_in_sorted_order(open_kafka_reader: Callable[..., Reader], kafka: Any) -> None:
    one, other = sorted([kafka.topic(2), kafka.topic(1)])
    kafka.produce(one, [(0, None, b"one", None)])
    kafka.produce(other, [(0, None, b"other", None)])
    reader = open_kafka_reader(kafka_source(kafka, other, one))
    assert reader.topics == (one, other)
    assert reader.partitions() == sorted(reader.partitions())
    reader.assign(dict.fromkeys(reader.partitions(), 0))
    rows = [row for polled in read_to_ends(reader) for row in polled.batch.to_pylist()]
    assert {(row["topic"], row["value"]) for row in rows} == {(0, b"one"), (1, b"other")}


def test_positions_pass_over_transactions(open_kafka_reader: Callable[..., Reader], kafka: Any) -> None:
    topic = kafka.topic()
    reader = open_kafka_reader(kafka_source(kafka, topic))
    [only] = reader.partitions()
    reader.assign({only: 0})
    _read_until(reader, only)
    with _transactions(kafka, topic) as transact:
        transact([b"kept"], True)  # offset 0, commit marker at 1
        assert values_of(_read_until(reader, only, position=2), 0) == [b"kept"]
        transact([b"dropped"], False)  # offset 2, abort marker at 3
        assert values_of(_read_until(reader, only, position=4), 0) == []
        assert reader.watermarks(only) == Watermarks(0, 4)


def test_an_open_transaction_is_beyond_the_end(open_kafka_reader: Callable[..., Reader], kafka: Any) -> None:
    topic = kafka.topic()
    reader = open_kafka_reader(kafka_source(kafka, topic))
    [only] = reader.partitions()
    reader.assign({only: 0})
    with _transactions(kafka, topic) as transact:
        transact([b"open"], None)
        assert reader.watermarks(only) == Watermarks(0, 0)
        assert values_of(_read_until(reader, only), 0) == []


def test_a_deleted_beginning_is_a_gap(open_kafka_reader: Callable[..., Reader], kafka: Any) -> None:
    topic = kafka.topic()
    kafka.produce(topic, [(0, None, value, None) for value in numbered(10)])
    asked = KafkaTopicPartition(topic, 0, 6)
    kafka.admin.delete_records([asked])[asked].result()
    reader = open_kafka_reader(kafka_source(kafka, topic))
    [only] = reader.partitions()
    assert reader.watermarks(only) == Watermarks(6, 10)
    reader.assign({only: 2})
    with pytest.raises(OffsetGap, match="4 offsets were deleted"):
        _poll_until_it_raises(reader)
    reader.assign({only: 6})
    assert values_of(_read_until(reader, only), 0) == numbered(10)[6:]


def test_a_missing_topic_is_named(open_kafka_reader: Callable[..., Reader], kafka: Any) -> None:
    reader = open_kafka_reader(kafka_source(kafka, "no-such-topic-anywhere"))
    with pytest.raises(TopicMissing, match="no-such-topic-anywhere"):
        reader.partitions()
    with pytest.raises(TopicMissing, match="no-such-topic-anywhere"):
        reader.watermarks(TopicPartition("no-such-topic-anywhere", 0))


def test_nobody_there_is_told_within_the_time(open_kafka_reader: Callable[..., Reader]) -> None:
    # Port 9 (discard) of the loopback: refused at once on any machine that tests run on.
    source = KafkaSource(bootstrap_servers="127.0.0.1:9", topics=("t",), group_id="g")
    reader = open_kafka_reader(source, timeout_seconds=0.5)
    with pytest.raises(BrokerUnavailable) as caught:
        reader.partitions()
    assert "bootstrap_servers" in caught.value.remedy
    with pytest.raises(BrokerUnavailable):
        reader.watermarks(TopicPartition("t", 0))


def _with_rows(polled: Polled) -> Polled | None:
    return polled if polled.batch.num_rows else None


def _read_until(reader: Reader, partition: TopicPartition, position: int = 0) -> list[Polled]:
    """Poll until this partition was said to be caught up, at this position or beyond."""
    polls: list[Polled] = []

    def caught_up() -> bool:
        polls.append(reader.poll(500, 0.2))
        return partition in polls[-1].caught_up and polls[-1].positions.get(partition, 0) >= position

    eventually(caught_up, DEADLINE_SECONDS)
    return polls


def _poll_until_it_raises(reader: Reader) -> None:
    eventually(lambda: reader.poll(500, 0.2) is None, DEADLINE_SECONDS)


class _transactions:  # noqa: N801  reads as a verb where it is used
    """A transactional producer: ``transact(values, commit)``; None leaves the transaction open until the end."""

    def __init__(self, kafka: Any, topic: str) -> None:
        from confluent_kafka import Producer

        self._topic = topic
        self._open = False
        self._producer = Producer(
            {"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": f"transact-{topic}"}
        )
        self._producer.init_transactions(30)

    def __enter__(self) -> Callable[[list[bytes], bool | None], None]:
        return self._transact

    def __exit__(self, *_: object) -> None:
        if self._open:
            self._producer.abort_transaction(30)

    def _transact(self, values: list[bytes], commit: bool | None) -> None:
        self._producer.begin_transaction()
        for value in values:
            self._producer.produce(self._topic, value, partition=0)
        self._producer.flush(30)
        if commit is None:
            self._open = True
        elif commit:
            self._producer.commit_transaction(30)
        else:
            self._producer.abort_transaction(30)
