"""Small portions are gathered, as if one poll had brought them."""

from __future__ import annotations

import pyarrow as pa

from streamlearn.belt.intake import GATHER_EVENTS, Portion, gathered
from streamlearn.events import TopicPartition

A, B = TopicPartition("t", 0), TopicPartition("t", 1)


def portion(
    offsets: list[int],
    positions: dict[TopicPartition, int],
    caught_up: frozenset[TopicPartition] = frozenset(),
    generation: int = 1,
) -> Portion:
    events = pa.RecordBatch.from_pydict({"offset": pa.array(offsets, pa.int64())})
    return Portion(generation, (events,), positions, caught_up, 0.25, 0.5, events.nbytes)


def test_they_are_one_with_all_that_was_said() -> None:
    (one,) = gathered([portion([1, 2], {A: 3}), portion([], {B: 9}), portion([7], {A: 4})])
    assert one.events[0].column("offset").to_pylist() == [1, 2, 7]
    assert one.positions == {A: 4, B: 9}
    assert (one.read_seconds, one.decode_seconds, one.nbytes) == (0.75, 1.5, 24)


def test_one_that_has_brought_something_since_is_not_at_its_end() -> None:
    both = frozenset({A, B})
    (one,) = gathered([portion([1], {A: 2}, both), portion([2], {A: 3})])
    assert one.caught_up == {B}
    (one,) = gathered([portion([1], {A: 2}), portion([], {}, both)])
    assert one.caught_up == both


def test_what_was_read_under_another_assignment_stays_apart() -> None:
    found = list(gathered([portion([1], {A: 2}), portion([2], {A: 3}), portion([1], {A: 2}, generation=2)]))
    assert [(each.generation, each.rows) for each in found] == [(1, 2), (2, 1)]


def test_large_portions_are_left_alone_and_nothing_is_lost_or_moved() -> None:
    sizes = [3, GATHER_EVENTS - 3, 1, GATHER_EVENTS, 2 * GATHER_EVENTS, 5]
    offset, portions = 0, []
    for size in sizes:
        portions.append(portion(list(range(offset, offset + size)), {A: offset + size}))
        offset += size
    found = list(gathered(portions))
    assert [each.rows for each in found] == [GATHER_EVENTS, 1, GATHER_EVENTS, 2 * GATHER_EVENTS, 5]
    assert [row for each in found for row in each.events[0].column("offset").to_pylist()] == list(
        range(offset)
    )
    assert found[3].events is portions[4].events
    assert list(gathered([])) == []
