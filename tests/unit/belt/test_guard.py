"""An event that would ruin a shard is undone and rejected, wherever the batches are cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from shard_for_tests import (
    FIRST,
    LINEAR,
    SOFTMAX,
    STEEP,
    batch,
    config,
    letters,
    make,
    models_digest,
    rows,
    run,
    said,
)

from streamlearn.belt import guard
from streamlearn.belt.shard import EVENTS_MISSED, Outcome
from streamlearn.checkpoints.digest import state_digest
from streamlearn.errors import LearnerError, LearnerOutOfMemory
from streamlearn.events import TopicPartition
from streamlearn.learners.river_model import RiverLearner

CUTS = [(1,), (5, 1, 30), (64,), (1000,)]


@pytest.mark.parametrize("sizes", CUTS)
def test_learned_once_a_poisoned_event_is_as_if_it_had_been_rejected_from_the_start(
    sizes: tuple[int, ...],
) -> None:
    settings = config()
    events = rows(150, poisoned=(20, 21, 90))
    shard, clean = make(settings), make(settings)
    outcomes = run(shard, batch(events, settings), sizes)
    detail = "model 'model' is not finite after learning this event"
    assert letters(outcomes) == [(place, "non_finite_learning", detail) for place in (20, 21, 90)]
    # The same without them: told by events that no decoder accepts.
    for place in (20, 21, 90):
        events[place] = {**events[place], "a": "broken"}
    expected = run(clean, batch(events, settings), (1000,))
    assert models_digest(shard) == models_digest(clean)
    assert said(outcomes) == said(expected)
    assert all(learner.is_finite() for learner in shard.parts.learners if isinstance(learner, guard.CanTell))


@pytest.mark.parametrize("sizes", CUTS[:3])
def test_replay_equals_run_when_events_are_undone(sizes: tuple[int, ...]) -> None:
    """Also where a culprit is the first event to show a class, and where state is saved at other times."""
    settings = config("multiclass", SOFTMAX)
    shown = rows(150, poisoned=(3, 70), labels=("x", "y", "z"))
    shown[3]["y"] = "w"
    events = batch(shown, settings)
    whole, parts = make(settings), make(settings)
    expected, outcomes = run(whole, events, (1000,)), []
    for start in range(0, events.num_rows, 37):
        outcomes += run(parts, events.slice(start, 37), sizes)
        parts.sequence = parts.snapshot({}).sequence
    assert letters(outcomes) == letters(expected)
    assert [reason for _, reason, _ in letters(expected)] == ["non_finite_learning"] * 2
    assert state_digest(parts.snapshot({})) == state_digest(whole.snapshot({}))
    assert parts.sequence == 5
    assert "w" not in parts.parts.classes.classes
    assert list(outcomes[-1].next_offsets.values()) == [150]


def test_offsets_travel_with_what_is_learned_so_far() -> None:
    settings = config()
    outcomes = run(make(settings), batch(rows(40, poisoned=(13,)), settings), (40,))
    assert len(outcomes) > 1
    for outcome in outcomes:
        assert outcome.next_offsets == {FIRST: outcome.events.column("offset")[-1].as_py() + 1}


def test_a_poisoned_first_label_does_not_settle_how_labels_are_written() -> None:
    settings = config("binary", STEEP)
    events = rows(12, poisoned=(), labels=(True, False))
    for number in range(6):
        events[number]["y"] = None
    events[3] |= {"a": 1.7e308, "y": 1}
    outcomes = run(make(settings), batch(events, settings), (1000,))
    assert letters(outcomes)[0][:2] == (3, "non_finite_learning")
    assert {outcome.class_tokens for outcome in outcomes} == {("false", "true")}


# ------------------------------------------------------------------------------- models that raise


def test_an_event_on_which_a_model_raises_is_rejected_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config()
    shard = make(settings, "reject")
    touchy(monkeypatch, 1.5)
    events = rows(80, poisoned=())
    too_large = [place for place, event in enumerate(events) if event["a"] > 1.5]
    assert too_large
    outcomes = run(shard, batch(events, settings), (33,))
    assert [(place, reason) for place, reason, _ in letters(outcomes)] == [
        (place, "learner_failed") for place in too_large
    ]
    assert "ZeroDivisionError: too large" in letters(outcomes)[0][2]


def test_by_default_the_daemon_stops_and_names_the_event(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config()
    shard = make(settings, "stop")
    touchy(monkeypatch, 1.5)
    events = rows(80, poisoned=())
    first = next(place for place, event in enumerate(events) if event["a"] > 1.5)
    outcomes: list[Outcome] = []
    with pytest.raises(LearnerError, match=rf"too large.*events\[0\] offset {first}\)") as raised:
        outcomes.extend(shard.advance(batch(events, settings)))
    assert 'stream.on_learner_error = "reject"' in raised.value.remedy
    assert said(outcomes)["offset"] == list(range(first))
    assert shard.next_offsets == {FIRST: first}


def touchy(monkeypatch: pytest.MonkeyPatch, limit: float) -> None:
    """Make every River model raise on an event whose ``a`` is above the limit."""
    learn = RiverLearner.predict_then_learn

    def predict_then_learn(self: RiverLearner, examples: Any) -> Any:
        above_B = np.flatnonzero(examples.features.numeric_BF[:, 0] > limit)
        if len(above_B):
            learn(self, examples.rows(0, int(above_B[0])))  # some of the batch has been learned by then
            raise LearnerError("ZeroDivisionError: too large", remedy="mend it")
        return learn(self, examples)

    monkeypatch.setattr(RiverLearner, "predict_then_learn", predict_then_learn)


def test_out_of_memory_is_no_events_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise LearnerOutOfMemory("no room", remedy="make some")

    monkeypatch.setattr(RiverLearner, "predict_then_learn", refuse)
    settings = config()
    with pytest.raises(LearnerOutOfMemory):
        run(make(settings), batch(rows(10, ()), settings), (10,))


def test_a_state_that_was_not_finite_to_begin_with_is_no_events_fault() -> None:
    settings = config(model=LINEAR + '\nengine = "river"')
    shard = make(settings)
    ruined = shard.parts.learners[0]
    assert isinstance(ruined, RiverLearner)
    ruined._model["LinearRegression"].intercept = float("nan")
    with pytest.raises(LearnerError, match="the state was like that before"):
        run(shard, batch(rows(10, ()), settings), (10,))


# ------------------------------------------------------------------------------------- the way back


def test_what_others_did_to_the_shard_is_not_undone() -> None:
    """Partitions are added and gaps passed over between batches; a culprit later does not bring that back."""
    settings = config()
    shard = make(settings)
    events = batch(rows(60, poisoned=(50,)), settings)
    run(shard, events.slice(0, 20), (20,))
    added = TopicPartition("events", 1)
    shard.next_offsets = {FIRST: 40, added: 3}
    shard.counters[EVENTS_MISSED] += 20
    run(shard, events.slice(40), (5,))
    assert shard.next_offsets == {FIRST: 60, added: 3}
    assert shard.counters[EVENTS_MISSED] == 20


def test_events_are_kept_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config()
    events = batch(rows(400, poisoned=(399,)), settings)
    shard, free = make(settings), make(settings)
    monkeypatch.setattr(guard, "HELD_BYTES_MAX", 4000)
    monkeypatch.setattr(guard, "SHARE_OF_SAVING", 1e-9)  # else time decides
    most = 0
    for start in range(0, 400, 10):
        run(shard, events.slice(start, 10), (10,))
        most = max(most, shard._since_bytes)
    assert 0 < most < 4000 + 10 * 200
    monkeypatch.undo()
    run(free, events, (400,))
    assert state_digest(shard.snapshot({})) == state_digest(free.snapshot({}))


def test_reads_are_pure_a_checkpoint_between_changes_nothing() -> None:
    settings = config()
    events = batch(rows(60, poisoned=(30,)), settings)
    read, quiet = make(settings), make(settings)
    for start in range(0, 60, 10):
        run(read, events.slice(start, 10), (10,))
        read.snapshot({})
    run(quiet, events, (60,))
    assert state_digest(read.snapshot({})) == state_digest(quiet.snapshot({}))


def test_the_way_back_leads_to_what_was_restored() -> None:
    """And not to what the same object had learned before, though it stood at the same offsets."""
    settings = config()
    events = rows(60, poisoned=(30,))
    other_events = [{**event, "a": -event["a"]} for event in events[:20]]
    shard, straight = make(settings), make(settings)
    run(shard, batch(other_events, settings), (20,))
    run(straight, batch(events[:20], settings), (20,))
    shard.restore(straight.snapshot({}))
    for each in (shard, straight):
        run(each, batch(events[20:], settings, 20), (40,))
    assert state_digest(shard.snapshot({})) == state_digest(straight.snapshot({}))
