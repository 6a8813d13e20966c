"""The merge gives one order: by event time, ties by partition, offset order within a partition."""

from __future__ import annotations

import weakref

import numpy as np
import pyarrow as pa
import pytest

from streamlearn.belt.merge import BEFORE_ALL_TIME_US, LEFT_ROWS_MAX, TimeMerge
from streamlearn.events import Reason, TopicPartition, event_schema

A, B = TopicPartition("t", 0), TopicPartition("t", 1)
SCHEMA = event_schema((), (), real_label=False)


def batch(
    partition: TopicPartition, first: int, times: list[int], rejected: tuple[int, ...] = ()
) -> pa.RecordBatch:
    rows = [
        {
            "topic": 0,
            "partition": partition.partition,
            "offset": first + i,
            "timestamp_ms": 0,
            "time_us": time,
            "reason": Reason.INVALID_JSON if i in rejected else Reason.ACCEPTED,
        }
        for i, time in enumerate(times)
    ]
    return pa.RecordBatch.from_pylist(rows, schema=SCHEMA)


def order(merged: pa.RecordBatch | None) -> list[tuple[int, int]]:
    if merged is None:
        return []
    return list(zip(merged.column("partition").to_pylist(), merged.column("offset").to_pylist(), strict=True))


def merge(idle_wait_seconds: float | None = None) -> TimeMerge:
    return TimeMerge({A: BEFORE_ALL_TIME_US, B: BEFORE_ALL_TIME_US}, idle_wait_seconds)


def test_by_time_then_partition_then_offset() -> None:
    lanes = merge()
    lanes.add(B, batch(B, 0, [1, 5, 5, 9]))
    lanes.add(A, batch(A, 0, [2, 5, 6]))
    lanes.caught_up([A, B])
    assert order(lanes.take(0.0)) == [(1, 0), (0, 0), (0, 1), (1, 1), (1, 2), (0, 2), (1, 3)]


def test_within_a_partition_offset_order_stands() -> None:
    lanes = merge()
    lanes.add(A, batch(A, 0, [9, 1, 10]))
    lanes.add(B, batch(B, 0, [5, 9, 11]))
    lanes.caught_up([A, B])
    # A's second event counts as time 9, and ties go to the lower partition.
    assert order(lanes.take(0.0)) == [(1, 0), (0, 0), (0, 1), (1, 1), (0, 2), (1, 2)]


def test_waits_for_a_partition_that_may_have_more() -> None:
    lanes = merge()
    lanes.add(A, batch(A, 0, [1, 2, 3]))
    assert lanes.take(0.0) is None
    lanes.add(B, batch(B, 0, [2]))
    assert order(lanes.take(0.0)) == [(0, 0), (0, 1), (1, 0)]  # B may still bring another 2, after A's
    lanes.caught_up([B])
    assert order(lanes.take(0.0)) == [(0, 2)]


def test_a_tie_waits_for_the_lower_partition() -> None:
    lanes = merge()
    lanes.add(A, batch(A, 0, [2]))
    lanes.add(B, batch(B, 0, [2, 2, 3]))
    assert order(lanes.take(0.0)) == [(0, 0)]  # A may still bring another 2, before B's
    lanes.add(A, batch(A, 1, [2, 4]))
    assert order(lanes.take(0.0)) == [(0, 1), (1, 0), (1, 1), (1, 2)]


def test_an_unknown_partition_is_waited_for_so_long_and_no_longer() -> None:
    lanes = merge(idle_wait_seconds=1.0)
    lanes.add(A, batch(A, 0, [1]))
    assert lanes.take(10.0) is None
    assert lanes.take(10.9) is None
    assert order(lanes.take(11.0)) == [(0, 0)]


def test_one_known_to_have_more_is_waited_for_without_limit() -> None:
    lanes = merge(idle_wait_seconds=1.0)
    lanes.add(A, batch(A, 0, [1]))
    for now in (0.0, 10.0, 1e6):
        assert lanes.take(now, known_more=frozenset([B])) is None


def test_being_caught_up_ends_with_the_next_event() -> None:
    lanes = merge()
    lanes.caught_up([A, B])
    lanes.add(A, batch(A, 0, [1, 7]))
    assert order(lanes.take(0.0)) == [(0, 0), (0, 1)]
    lanes.caught_up([A])
    lanes.add(B, batch(B, 0, [5]))
    assert order(lanes.take(0.0)) == [(1, 0)]
    lanes.add(A, batch(A, 2, [8]))
    assert lanes.take(0.0) is None  # B is no longer known to be caught up


def test_rejected_events_do_not_move_the_clock() -> None:
    lanes = merge()
    lanes.add(A, batch(A, 0, [1, 10**15, 3], rejected=(1,)))
    lanes.add(B, batch(B, 0, [2, 4]))
    lanes.caught_up([A, B])
    assert order(lanes.take(0.0)) == [(0, 0), (0, 1), (1, 0), (0, 2), (1, 1)]


def test_the_clock_of_a_checkpoint_orders_what_comes_after() -> None:
    lanes = TimeMerge({A: 50, B: 7}, None)
    lanes.add(A, batch(A, 5, [1]))
    lanes.add(B, batch(B, 5, [40]))
    lanes.caught_up([A, B])
    assert order(lanes.take(0.0)) == [(1, 5), (0, 5)]


@pytest.mark.parametrize("piece", [1, 2, 3, 7])
def test_pieces_make_no_difference(piece: int) -> None:
    times = {A: [1, 4, 4, 3, 9, 12, 12], B: [2, 2, 4, 11, 5, 12, 20]}
    whole = merge()
    pieces = merge()
    got: list[tuple[int, int]] = []
    for partition, values in times.items():
        whole.add(partition, batch(partition, 0, values))
    whole.caught_up([A, B])
    for first in range(0, 7, piece):
        for partition, values in times.items():
            pieces.add(partition, batch(partition, first, values[first : first + piece]))
        got += order(pieces.take(0.0))
    pieces.caught_up([A, B])
    got += order(pieces.take(0.0))
    assert got == order(whole.take(0.0))
    assert not pieces.waiting


@pytest.mark.parametrize("piece", [1, 2, 3, 7])
@pytest.mark.parametrize("left_rows_max", [0, 1024])
def test_rows_that_came_in_turns_are_merged_as_batches_of_their_own_would_be(
    piece: int, left_rows_max: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamlearn.belt.merge.LEFT_ROWS_MAX", left_rows_max)
    times = {A: [1, 4, 4, 3, 9, 12, 12], B: [2, 2, 4, 11, 5, 12, 20]}
    apart, in_turns = merge(), merge()
    expected: list[tuple[int, int]] = []
    got: list[tuple[int, int]] = []
    for first in range(0, 7, piece):
        batches = [batch(each, first, values[first : first + piece]) for each, values in times.items()]
        rows = batches[0].num_rows
        turns = [place + rows * partition for place in range(rows) for partition in (0, 1)]
        both = pa.concat_batches(batches).take(pa.array(turns))
        for number, (partition, own) in enumerate(zip(times, batches, strict=True)):
            apart.add(partition, own, 10.0)
            in_turns.add(partition, both, 10.0, np.arange(number, 2 * rows, 2))
        expected += order(apart.take(0.0))
        got += order(in_turns.take(0.0))
        assert in_turns.waiting == apart.waiting
        assert in_turns.waiting_bytes(A) == apart.waiting_bytes(A)
    apart.caught_up([A, B])
    in_turns.caught_up([A, B])
    assert got + order(in_turns.take(0.0)) == expected + order(apart.take(0.0))
    assert not in_turns.waiting


def test_a_few_rows_that_wait_do_not_keep_a_large_batch() -> None:
    lanes = merge()
    events = LEFT_ROWS_MAX + 2
    both = pa.concat_batches([batch(A, 0, list(range(1, events))), batch(B, 0, [events + 1])])
    freed = weakref.ref(both)
    lanes.add(A, both, rows=np.arange(events - 1))
    lanes.add(B, both, rows=np.array([events - 1]))
    lanes.caught_up([B])
    del both
    assert len(order(lanes.take(0.0))) == events - 1
    assert lanes.waiting
    assert freed() is None


@pytest.mark.parametrize("refers", [False, True])
def test_what_is_merged_keeps_its_messages(monkeypatch: pytest.MonkeyPatch, refers: bool) -> None:
    monkeypatch.setattr("streamlearn.belt.merge.MOVED_ROWS_MAX", 0 if refers else 6)
    lanes = merge()
    values = pa.array([b"one", None, b"three"], pa.large_binary())
    place = SCHEMA.get_field_index("value")
    for partition, times in ((A, [1, 3, 5]), (B, [2, 3, 4])):
        lanes.add(partition, batch(partition, 0, times).set_column(place, "value", values))
    lanes.caught_up([A, B])
    merged = lanes.take(0.0)
    assert merged is not None
    # Of many, neither moved nor copied once more: they are most of an event's bytes.
    if refers:
        assert merged.column("value").dictionary.to_pylist() == values.to_pylist() * 2
    else:
        assert merged.schema.equals(SCHEMA)
    assert merged.column("value").to_pylist() == [b"one", b"one", None, None, b"three", b"three"]
    assert merged.select(["value"]).filter(pa.array([False] * 3 + [True] * 3)).to_pylist() == [
        {"value": None},
        {"value": b"three"},
        {"value": b"three"},
    ]
