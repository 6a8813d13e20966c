"""Small portions are gathered, as if one poll had brought them; large ones are kept from growing."""

from __future__ import annotations

import pyarrow as pa
import pytest

from streamlearn.belt.intake import FIRST_MESSAGES, GATHER_EVENTS, Intake, Portion, gathered
from streamlearn.contracts import Polled
from streamlearn.events import TopicPartition
from tests.memory_source import MemoryReader

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


class Endless(MemoryReader):
    """A reader that always has as much as it is asked for, and remembers that."""

    def __init__(self, message_bytes: int) -> None:
        super().__init__({0: []})
        self._values = pa.array([b"x" * message_bytes])
        self.asked: list[int] = []

    def poll(self, events_max: int, timeout_seconds: float) -> Polled:
        self.asked.append(events_max)
        values = pa.concat_arrays([self._values] * events_max)
        return Polled(pa.RecordBatch.from_pydict({"value": values}), {A: sum(self.asked)}, frozenset())


class AsItIs:
    def decode(self, raw: pa.RecordBatch) -> pa.RecordBatch:
        return raw


@pytest.mark.parametrize(
    ("message_bytes", "polls"),
    [
        (10, [FIRST_MESSAGES, 2 * FIRST_MESSAGES, 4 * FIRST_MESSAGES, 5000, 5000]),
        (996, [FIRST_MESSAGES, 100, 100]),  # 4 bytes more say where each ends
        (200_000, [3, 1, 1]),
    ],
)
def test_a_poll_asks_for_no_more_than_makes_a_portion(
    message_bytes: int, polls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamlearn.belt.intake.PORTION_BYTES", 100_000)
    reader = Endless(message_bytes)
    intake = Intake(reader, AsItIs(), 3 if polls[0] == 3 else 5000, buffer_bytes_max=1, threaded=False)
    intake.assign({A: 0})
    for _ in polls:
        intake.take(0.0)
    intake.close()
    assert reader.asked == polls
