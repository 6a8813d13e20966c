"""Through the whole belt: what would ruin a model becomes a dead letter, once, and the model goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from belt_world import CONFIG, World, events

from streamlearn.belt.guard import CanTell

STEEP = CONFIG.replace(
    '"preprocessing.StandardScaler", "linear_model.LogisticRegression"',
    '{ use = "linear_model.LogisticRegression", optimizer = { use = "optim.SGD", lr = 1e3 } }',
)
POISONED = {(0, 20), (0, 21), (2, 40), (3, 1)}


def logs() -> dict[int, list[Any]]:
    made = events(600, partitions=4)
    for partition, offset in POISONED:
        key, value, timestamp = made[partition][offset]
        event = {**json.loads(value or b""), "a": 1.7e308, "y": False}
        made[partition][offset] = (key, json.dumps(event).encode(), timestamp)
    return made


def world(folder: Path, **settings: Any) -> World:
    return World(folder, logs(), text=STEEP, **settings)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> World:
    return world(tmp_path_factory.mktemp("whole")).run()


def test_learned_once_what_ruins_a_model_is_a_dead_letter_with_its_bytes(reference: World) -> None:
    letters = {(each.partition, each.offset): each for each in reference.letters.letters}
    assert set(letters) == POISONED
    assert len(reference.letters.letters) == len(POISONED)
    for place, letter in letters.items():
        assert letter.value == logs()[place[0]][place[1]][1]
        assert letter.reason == "non_finite_learning"
        assert letter.detail == "model 'logistic' is not finite after learning this event"
    told = [(record["partition"], record["offset"]) for _key, record in reference.predictions.records]
    assert len(told) == len(set(told)) == 600 - len(POISONED)
    assert not POISONED & set(told)
    assert all(record["probabilities"] for _key, record in reference.predictions.records)
    for lane in reference.belt.lanes.values():
        assert all(each.is_finite() for each in lane.shard.parts.learners if isinstance(each, CanTell))
    assert reference.metric("streamlearn_rejected_events_total", reason="non_finite_learning") == 4


@pytest.mark.parametrize(("poll_events", "rows_each"), [(1, 1), (7, 2), (10_000, 1000)])
def test_replay_equals_run_at_any_poll_size(
    poll_events: int, rows_each: int, reference: World, tmp_path: Path
) -> None:
    made = world(tmp_path, poll_events=poll_events, rows_each=rows_each).run()
    assert made.digests() == reference.digests()
    assert made.predictions.records == reference.predictions.records


@pytest.mark.parametrize("stop_after", [90, 330])
def test_replay_equals_run_across_a_restart(stop_after: int, reference: World, tmp_path: Path) -> None:
    first = world(tmp_path, overrides=["stream.micro_batch_events=13"]).run(stop_after=stop_after)
    second = world(tmp_path, threaded=True).run()
    assert second.digests() == reference.digests()
    assert first.predictions.records + second.predictions.records == reference.predictions.records
    places = [(each.partition, each.offset) for each in first.letters.letters + second.letters.letters]
    assert sorted(places) == sorted(POISONED)
