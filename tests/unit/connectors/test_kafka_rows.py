"""`offsets_increase`: what is not due is filtered, whatever comes back and however it is mixed."""

from __future__ import annotations

import numpy as np
from confluent_kafka import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.connectors.kafka_rows import due, taken_of
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


RUNS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 2), st.integers(0, 9), st.integers(1, 4)), max_size=6
)


@settings(max_examples=500)
@given(RUNS, st.dictionaries(st.tuples(st.integers(0, 1), st.integers(0, 2)), st.integers(0, 12)))
def test_a_row_is_due_when_it_is_past_all_that_came_before_it(
    runs: list[tuple[int, int, int, int]], expected: dict[tuple[int, int], int]
) -> None:
    rows = [(topic, number, first + step) for topic, number, first, count in runs for step in range(count)]
    past = {source: offset - 1 for source, offset in expected.items()}
    wanted: list[bool] = []
    reached: dict[TopicPartition, int] = {}
    for topic, number, offset in rows:
        is_due = offset > past.get((topic, number), 99)
        wanted.append(is_due)
        if is_due:
            past[topic, number] = offset
            reached[TopicPartition("ab"[topic], number)] = offset + 1
    table = np.array(rows, np.int64).reshape(-1, 3)
    found, found_reached = due(
        table[:, 0].astype(np.int16),
        table[:, 1].astype(np.int32),
        table[:, 2].copy(),
        ["a", "b"],
        {TopicPartition("ab"[topic], number): offset for (topic, number), offset in expected.items()},
    )
    assert (found.tolist(), found_reached) == (wanted, reached)
