"""A label whose learning would ruin a model is undone and rejected; its event goes on waiting."""

from __future__ import annotations

from typing import Any

import pytest
from label_oracle import Row, Rules
from labels_for_tests import Book, batch, config, make
from shard_for_tests import letters

from streamlearn.checkpoints.digest import state_digest

RULES = Rules(wait=30, remember=30, early_wait=5, early_max=4)
EVENTS = [Row(f"id{number}", number) for number in range(12)]
LABELS = [Row(f"id{number}", 12 + number, number % 2 == 0) for number in range(12)]
ROWS = [*EVENTS, *LABELS]
RUINS = 5.0  # the event of this number


def run(sizes: tuple[int, ...]) -> tuple[Any, Book, list[Any]]:
    book, outcomes = Book(), []
    shard = make(config(RULES), book, ruined_by=RUINS)
    events, start, turn = batch(ROWS), 0, 0
    while start < events.num_rows:
        size = sizes[turn % len(sizes)]
        outcomes += shard.advance(events.slice(start, size))
        start, turn = start + size, turn + 1
    return shard, book, outcomes


@pytest.mark.parametrize("sizes", [(1000,), (1,), (5, 1, 9)])
def test_learned_once_a_label_that_ruins_a_model_is_rejected_and_all_others_are_learned(
    sizes: tuple[int, ...],
) -> None:
    shard, book, outcomes = run(sizes)
    assert letters(outcomes) == [
        (5, "non_finite_learning", "model 'model' is not finite after learning this event")
    ]
    learned = [number for number, _, label in book.shown if label is not None]
    assert learned == [float(number) for number in range(12) if number != RUINS]
    assert shard.events_pending == shard.join.pending == 1
    assert shard.counters["labels_rejected"] == 1
    whole, _, _ = run((1000,))
    assert state_digest(shard.snapshot({})) == state_digest(whole.snapshot({}))
