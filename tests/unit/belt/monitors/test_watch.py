"""A shard's watch: a pure function of the events however they are cut, whole in a checkpoint, and named in full."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shard_for_tests import LINEAR, SOFTMAX, batch, config, make, rows, run

from streamlearn.assemble import shard_factory
from streamlearn.belt.monitors.categories import SEEN_MAX, CategoryMonitor
from streamlearn.belt.monitors.watch import Watch, watch_of
from streamlearn.belt.monitors.windows import Rule
from streamlearn.checkpoints.digest import part_digest, state_digest
from streamlearn.config import Config, Drift
from streamlearn.config.signals import WINDOWS, drift_signals
from streamlearn.contracts import Snapshot
from streamlearn.errors import CheckpointRefused
from streamlearn.events import MISSING_CATEGORY, Categorical, Examples, Features, Predictions

EVENTS = 6000
CLASSES = ("x", "y", "z")
TOKENS = tuple(f'"{each}"' for each in CLASSES)


def settled(task: str = "multiclass", **drift: object) -> Config:
    watched = Drift(**{"window_events": 500, "every_events": 1, "expected_run_events": 100_000, **drift})
    return config(task, SOFTMAX if task == "multiclass" else LINEAR).model_copy(update={"drift": watched})


def world(task, seed=0):
    """Events in which everything moves at some point: inputs, predictions, errors."""
    random = np.random.default_rng(seed)
    numeric_BF = random.normal(size=(EVENTS, 2)) + (np.arange(EVENTS) > 3300).reshape(-1, 1) * [0.0, 2.0]
    missing_BF = random.random((EVENTS, 2)) < 0.05
    codes_B = np.where(np.arange(EVENTS) < 3300, random.integers(0, 3, EVENTS), random.integers(0, 5, EVENTS))
    column = Categorical("c", codes_B.astype(np.int32), ("u", "v", MISSING_CATEGORY, "w", "new"))
    features = Features(("a", "b"), np.ascontiguousarray(numeric_BF), missing_BF, (column,))
    labelled_B = random.random(EVENTS) < 0.8
    version_B = np.arange(EVENTS)
    if task != "multiclass":
        truth_B = random.normal(size=EVENTS)
        value_B = truth_B + random.normal(size=EVENTS) + (np.arange(EVENTS) > 3300)
        value_B[::97] = np.nan
        return Examples(features, truth_B, labelled_B, ()), Predictions(version_B, value_B=value_B)
    truth_B = random.integers(0, 3, EVENTS).astype(np.int32)
    wrong_B = random.random(EVENTS) < np.where(np.arange(EVENTS) > 3300, 0.8, 0.1)
    class_B = np.where(wrong_B, 0, truth_B).astype(np.int32)
    class_B[::97] = -1
    share_BC = random.dirichlet((1.0, 1.0, 1.0), EVENTS)
    return Examples(features, truth_B, labelled_B, CLASSES), Predictions(version_B, class_B, share_BC)


def passed(watch, task, cuts, errors_of, restart=None, fresh=None):
    """All that moved, as absolute rows; the watch goes on in a restored one before the events from ``restart``."""
    examples, said = world(task)
    found, start = [], 0
    for stop in [*sorted(cuts), EVENTS]:
        here, row_B = examples.rows(start, stop), np.zeros(EVENTS, np.bool_)
        row_B[start:stop] = True
        told = said.rows(row_B)
        moved = [*watch.inputs(here.features), *watch.said("model", told, TOKENS)]
        moved += watch.judged("model", *errors_of(task, told, here), told, here)
        found += [(start + each.index, each.signal, each.detail) for each in moved]
        if restart is not None and start <= restart < stop:
            snapshot = watch.snapshot()
            watch = fresh()
            watch.restore(snapshot)
        start = stop
    return sorted(found), watch


@pytest.fixture(scope="module", params=[("multiclass", 1), ("regression", 1), ("multiclass", 3)])
def whole(request):
    from streamlearn.belt.evaluate import errors_of

    task, every_events = request.param
    settings_of_it = settled(task, every_events=every_events, window_events=500 * every_events)
    found, watch = passed(watch_of(settings_of_it), task, [], errors_of)
    return task, errors_of, found, watch, settings_of_it


def test_each_kind_of_signal_moved_and_is_one_of_those_that_share_the_budget(whole):
    task, _, found, watch, _ = whole
    names = {each.name for each in drift_signals(settled(task)) if each.model != "counts"}
    assert {signal for _, signal, _ in found} <= names
    assert {signal.split()[0] for _, signal, _ in found} >= {"b", "c", "error"}
    assert names - {"error"} <= {each.told.signal for each in watch.told()}
    assert len(drift_signals(settled(task))) == len(set(drift_signals(settled(task))))


@settings(max_examples=25, deadline=None)
@given(
    cuts=st.lists(st.integers(1, EVENTS - 1), max_size=30, unique=True), restart=st.integers(0, EVENTS - 1)
)
def test_replay_equals_run_however_events_are_cut_and_across_a_restart(whole, cuts, restart):
    task, errors_of, expected, watch, settings_of_it = whole
    fresh = partial(watch_of, settings_of_it)
    found, other = passed(fresh(), task, cuts, errors_of, restart, fresh)
    assert found == expected
    assert part_digest(other.snapshot()) == part_digest(watch.snapshot())
    assert list(other.told()) == list(watch.told())


def test_telling_changes_nothing(whole):
    watch = whole[3]
    before = part_digest(watch.snapshot())
    list(watch.told())
    assert part_digest(watch.snapshot()) == before


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_a_shard_alarms_on_the_same_events_however_they_are_cut_and_in_a_checkpoint(task):
    drifting = settled(task, detectors=())
    labels = ("x", "y", "z") if task == "multiclass" else ()
    events = rows(1900, (), labels=labels)
    for number, event in enumerate(events):
        event["a"] += 3.0 * (number >= 1100)
    shards = [make(drifting), make(drifting)]
    stream = batch(events, drifting)
    alarms = [
        [alarm for outcome in run(shard, stream, sizes) for alarm in outcome.alarms]
        for shard, sizes in zip(shards, ([1900], [7, 250, 1]), strict=True)
    ]
    key = lambda alarm: (alarm.offset, alarm.model, alarm.signal)  # noqa: E731
    assert sorted(alarms[0], key=key) == sorted(alarms[1], key=key)
    first = next(alarm for alarm in alarms[0] if alarm.model == "")
    assert (first.detector, first.signal.split()[0], first.offset) == (WINDOWS, "a", 1599)
    states = [shard.snapshot({}) for shard in shards]
    assert state_digest(states[0]) == state_digest(states[1])
    restored = shard_factory(drifting)("flow", {})
    restored.restore(states[0])
    assert state_digest(replace(restored.snapshot({}), sequence=0)) == state_digest(states[0])


def test_what_is_ignored_is_not_watched():
    nothing = watch_of(settled(watch=()))
    assert passed(nothing, "multiclass", [], lambda *_: (np.arange(0), np.zeros(0))) == ([], nothing)
    assert drift_signals(settled(watch=(), detectors=())) == []
    only_a = watch_of(settled(watch=("inputs",), ignore=("b", "c")))
    only_a.inputs(world("multiclass")[0].features)
    assert [each.told.signal for each in only_a.told()] == [
        "a mean",
        "a spread",
        "a missing",
        "a distribution",
    ]


def test_a_checkpoint_that_watches_other_things_is_refused():
    snapshot = watch_of(settled(watch=("inputs",))).snapshot()
    with pytest.raises(CheckpointRefused, match=r"drift\.watch"):
        watch_of(settled()).restore(snapshot)
    watch = watch_of(settled(watch=("inputs",)))
    cut_short = {name: array[:-1] for name, array in snapshot.arrays.items()}
    with pytest.raises(CheckpointRefused, match="another version"):
        watch.restore(Snapshot(data=snapshot.data, arrays=cut_short))


def test_numbers_at_the_end_of_float64_alarm_nobody():
    watch = Watch("regression", ("a",), (), (), Drift(window_events=2000, expected_run_events=1000), 1)
    extreme_BF = np.where(np.arange(9000) // 4 % 2, 1.7e308, -1.7e308).reshape(-1, 1)
    assert watch.inputs(Features(("a",), extreme_BF, np.zeros((9000, 1), np.bool_), ())) == []


def test_an_id_taken_for_a_category_costs_no_more_than_its_bound():
    monitor = CategoryMonitor("id", Rule(50_000, 1e-6, renews=True))
    codes_B = np.arange(SEEN_MAX + 5000, dtype=np.int32)
    monitor.update(codes_B, tuple(map(str, codes_B.tolist())))
    snapshot = monitor.snapshot()
    assert len(snapshot.data["seen"]) <= SEEN_MAX
    assert len(snapshot.data["bins"]) <= SEEN_MAX
