"""What would ruin a model: a label is undone and rejected, and its event goes on waiting; a default is not learned."""

from __future__ import annotations

from typing import Any

import pytest
from label_oracle import Row, Rules
from labels_for_tests import Book, Recorder, batch, config, make
from shard_for_tests import letters

from streamlearn.checkpoints.digest import state_digest
from streamlearn.errors import LearnerError
from streamlearn.events import Examples

RULES = Rules(wait=30, remember=30, early_wait=5, early_max=4)
EVENTS = [Row(f"id{number}", number) for number in range(12)]
LABELS = [Row(f"id{number}", 12 + number, number % 2 == 0) for number in range(12)]
ROWS = [*EVENTS, *LABELS]
RUINS = 5.0  # the event of this number


def run(
    sizes: tuple[int, ...], rules: Rules = RULES, rows: list[Row] = ROWS, **options: Any
) -> tuple[Any, Book, list[Any]]:
    book, outcomes = Book(), []
    shard = make(config(rules), book, ruined_by=RUINS, **options)
    events, start, turn = batch(rows), 0, 0
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
    learned = [number for number, _, label, _ in book.shown if label is not None]
    assert learned == [float(number) for number in range(12) if number != RUINS]
    assert shard.events_pending == shard.join.pending == 1
    assert shard.counters["labels_rejected"] == 1
    whole, _, _ = run((1000,))
    assert state_digest(shard.snapshot({})) == state_digest(whole.snapshot({}))


# All waits end with the row at 41, in several portions; two labels come late.
DEFAULTING = Rules(wait=30, remember=30, early_wait=5, early_max=4, default=False, on_late_label="correct")
LEAPING = [*EVENTS, Row("later", 41), Row("id5", 42, True), Row("id6", 43, True), Row("last", 44)]


@pytest.mark.parametrize("sizes", [(1000,), (1,), (5, 1, 9)])
def test_a_default_that_ruins_a_model_is_not_learned_and_no_row_is_blamed_for_it(
    sizes: tuple[int, ...],
) -> None:
    """`replay_equals_run`: found wherever batches are cut, and without a state saved at each row."""
    shard, book, outcomes = run(sizes, DEFAULTING, LEAPING)
    counters = shard.counters
    assert (counters["events_defaulted"], counters["events_default_refused"]) == (11, 1)
    # The late label of the event that was not learned is no correction: learned as it is, it ruins the model, too.
    assert letters(outcomes) == [
        (0, "non_finite_learning", "model 'model' is not finite after learning this event")
    ]
    assert (counters["labels_rejected"], counters["labels_late_corrected"]) == (1, 1)
    learned = [(number, label, undone) for number, _, label, undone in book.shown if label is not None]
    assert learned == [
        *((float(number), False, None) for number in range(12) if number != RUINS),
        (6.0, True, False),
    ]
    assert shard.events_pending == shard.join.pending == 2
    whole, _, _ = run((1000,), DEFAULTING, LEAPING)
    assert state_digest(shard.snapshot({})) == state_digest(whole.snapshot({}))
    assert not shard.join.refused, "what is noted of it is needed no more"


def test_a_default_on_which_a_model_raises_is_named_by_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    said = Recorder.predict_then_learn

    def raises(self: Recorder, examples: Examples) -> Any:
        answer = said(self, examples)
        if self.is_ruined:
            raise LearnerError("model 'model' failed", remedy="mend it")
        return answer

    monkeypatch.setattr(Recorder, "predict_then_learn", raises)
    with pytest.raises(LearnerError, match=r'labels\.on_expiry, for the event of id "id5"'):
        run((1000,), DEFAULTING, LEAPING, on_learner_error="stop")
