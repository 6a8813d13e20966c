"""`offsets_increase`: what is not due is filtered, whatever comes back and however it is mixed."""

from __future__ import annotations

from confluent_kafka import Message
from hypothesis import given
from hypothesis import strategies as st

from streamlearn.connectors.kafka_rows import taken_of
from streamlearn.events import TopicPartition

TOPICS = ("a", "b")
PARTITIONS = [TopicPartition("a", 0), TopicPartition("a", 3), TopicPartition("b", 0)]


def message(partition: TopicPartition, offset: int) -> Message:
    return Message(*partition, offset, b"k%d" % offset, str(partition).encode(), timestamp=(1, 1000 + offset))


@given(
    came=st.lists(st.tuples(st.sampled_from(PARTITIONS), st.integers(0, 12)), max_size=40),
    positions=st.dictionaries(st.sampled_from(PARTITIONS), st.integers(0, 8)),
)
def test_offsets_increase_within_what_is_owned(
    came: list[tuple[TopicPartition, int]], positions: dict[TopicPartition, int]
) -> None:
    expected, due = dict(positions), []
    for partition, offset in came:
        if partition in expected and offset >= expected[partition]:
            expected[partition] = offset + 1
            due.append((partition, offset))
    before = dict(positions)
    taken = taken_of([message(*each) for each in came], TOPICS, positions)
    rows = taken.batch.to_pylist()
    assert [(TopicPartition(TOPICS[row["topic"]], row["partition"]), row["offset"]) for row in rows] == due
    assert taken.reached == {partition: expected[partition] for partition, _ in due}
    assert taken.said == ()
    assert positions == before
    for row in rows:
        assert row["key"] == b"k%d" % row["offset"]
        assert row["timestamp_ms"] == 1000 + row["offset"]


def test_a_gap_in_offsets_is_no_trouble() -> None:
    [partition] = PARTITIONS[:1]
    taken = taken_of([message(partition, 5), message(partition, 9)], TOPICS, {partition: 2})
    assert taken.batch.column("offset").to_pylist() == [5, 9]
    assert taken.reached == {partition: 10}
