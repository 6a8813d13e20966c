"""Baselines against the plain loop that they stand for, event by event."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from streamlearn.errors import CheckpointRefused
from streamlearn.events import Examples, Features
from streamlearn.learners.baseline import LastClass, LastValue, Majority, Prior, RunningMean, baselines

TASKS = ("binary", "multiclass", "regression", "anomaly")
ALL = [(task, index) for task in TASKS for index in range(len(baselines(task)))]


def examples_of(target, labelled, classes):
    count = len(target)
    features = Features((), np.zeros((count, 0)), np.zeros((count, 0), bool), ())
    return Examples(features, np.asarray(target), np.asarray(labelled, bool), classes)


def stream_of(task, count=1200, seed=0):
    random = np.random.default_rng(seed)
    labelled = random.random(count) < 0.7
    labelled[:3] = False
    if task == "regression":
        target = random.lognormal(0, 4, count)
        target[~labelled] = np.nan  # means nothing, so it must not matter
        return examples_of(target, labelled, ())
    classes = 5 if task == "multiclass" else 2
    target = random.integers(0, classes, count).astype(np.int32)
    target[~labelled] = -1
    return examples_of(target, labelled, tuple("abcde"[:classes]))


def plain_loop(learner, examples):
    """Yield (version, prediction, shares) before each event."""
    labels = []
    for target, labelled in zip(examples.target_B.tolist(), examples.labelled_B.tolist(), strict=True):
        said, shares = None, {}
        if isinstance(learner, Majority) and labels:
            counts = Counter(labels)
            said = min(counts, key=lambda label: (-counts[label], label))
            shares = {label: count / len(labels) for label, count in counts.items()}
        if isinstance(learner, LastClass | LastValue) and labels:
            said, shares = labels[-1], {labels[-1]: 1.0}
        if isinstance(learner, RunningMean) and labels:
            total = 0.0
            for label in labels:
                total += label
            said = total / len(labels)
        if isinstance(learner, Prior):
            said = labels.count(1) / len(labels) if labels else 0.0
        yield len(labels), said, shares
        if labelled:
            labels.append(target)


def assert_says(predictions, row, said, shares):
    if predictions.value_B is not None:
        value = predictions.value_B[row]
        assert np.isnan(value) if said is None else value == said
        return
    assert predictions.class_B[row] == (-1 if said is None else said)
    given = predictions.probability_BC[row]
    assert {index: share for index, share in enumerate(given.tolist()) if not np.isnan(share)} == shares


def bits(snapshot):
    return dict(snapshot.data), {
        name: (array.dtype.str, array.shape, array.tobytes()) for name, array in snapshot.arrays.items()
    }


@pytest.mark.parametrize(("task", "which"), ALL)
def test_predict_before_learn_as_a_plain_loop_does(task, which):
    examples = stream_of(task, count=400)
    learner = baselines(task)[which]
    predictions = learner.predict_then_learn(examples)
    for row, (version, said, shares) in enumerate(plain_loop(learner, examples)):
        assert predictions.version_B[row] == version
        assert_says(predictions, row, said, shares)
    assert learner.events_learned == int(examples.labelled_B.sum())


@pytest.mark.parametrize(("task", "which"), ALL)
@pytest.mark.parametrize("cut", [1, 7, 500])
def test_replay_equals_run_however_the_events_are_cut_and_across_a_restart(task, which, cut):
    examples = stream_of(task)
    whole, cuts = baselines(task)[which], baselines(task)[which]
    expected = whole.predict_then_learn(examples)
    parts = []
    for start in range(0, len(examples), cut):
        parts.append(cuts.predict_then_learn(examples.rows(start, start + cut)))
        if start <= 600 < start + cut:
            snapshot = cuts.snapshot()
            before = bits(snapshot)
            cuts.predict_then_learn(examples)  # later events must not reach the snapshot
            assert bits(snapshot) == before
            cuts = baselines(task)[which]
            cuts.restore(snapshot)
    for column in ("version_B", "class_B", "probability_BC", "value_B"):
        pieces = [getattr(each, column) for each in parts]
        if getattr(expected, column) is None:
            assert all(piece is None for piece in pieces)
        else:
            joined = np.concatenate(pieces)
            assert joined.dtype == getattr(expected, column).dtype
            assert joined.tobytes() == getattr(expected, column).tobytes()
    assert bits(cuts.snapshot()) == bits(whole.snapshot())


@pytest.mark.parametrize(("task", "which"), ALL)
def test_reads_are_pure(task, which):
    examples = stream_of(task, count=100)
    learner = baselines(task)[which]
    learner.predict_then_learn(examples.rows(0, 50))
    before = bits(learner.snapshot())
    predictions = learner.predict(examples.rows(50, 100))
    assert predictions.version_B.tolist() == [learner.events_learned] * 50
    learner.describe()
    assert bits(learner.snapshot()) == before
    following = learner.predict_then_learn(examples.rows(50, 100))
    for column in ("class_B", "probability_BC", "value_B"):
        rows = getattr(predictions, column)
        if rows is not None:  # no event was learned in between: all are what the first one is
            first = np.broadcast_to(getattr(following, column)[:1], rows.shape)
            np.testing.assert_array_equal(rows, first)


@pytest.mark.parametrize(("task", "which"), ALL)
def test_an_empty_batch_changes_nothing(task, which):
    learner = baselines(task)[which]
    empty = stream_of(task, count=10).rows(0, 0)
    before = bits(learner.snapshot())
    assert len(learner.predict_then_learn(empty)) == len(learner.predict(empty)) == 0
    assert bits(learner.snapshot()) == before


def test_classes_that_the_batch_knows_and_the_baseline_does_not_have_no_share():
    learner = Majority()
    first = learner.predict_then_learn(examples_of(np.array([0, 0], np.int32), [1, 1], ("a", "b", "c")))
    assert np.isnan(first.probability_BC[:, 1:]).all()
    later = learner.predict_then_learn(examples_of(np.array([2, 3], np.int32), [1, 1], ("a", "b", "c", "d")))
    np.testing.assert_array_equal(later.probability_BC[1], [2 / 3, np.nan, 1 / 3, np.nan])


@pytest.mark.parametrize("learner", [Majority(), LastClass()])
def test_before_there_is_any_class_nothing_is_said(learner):
    predictions = learner.predict_then_learn(examples_of(np.full(3, -1, np.int32), [0, 0, 0], ()))
    assert predictions.class_B.tolist() == [-1, -1, -1]
    assert predictions.probability_BC.shape == (3, 0)


def test_ties_go_to_the_lowest_index():
    predictions = Majority().predict_then_learn(
        examples_of(np.array([1, 0, 0], np.int32), [1, 1, 1], (False, True))
    )
    assert predictions.class_B.tolist() == [-1, 1, 0]


def test_a_mean_past_the_end_of_float64_is_infinite_without_a_warning():
    predictions = RunningMean().predict_then_learn(examples_of(np.full(3, 1.7e308), [1, 1, 1], ()))
    assert predictions.value_B.tolist()[1:] == [1.7e308, np.inf]


@pytest.mark.parametrize(("task", "which"), ALL)
def test_a_baseline_that_learned_nothing_is_restored_as_one(task, which):
    learner = baselines(task)[which]
    learner.predict_then_learn(stream_of(task, count=3))  # the first three have no label
    restored = baselines(task)[which]
    restored.restore(learner.snapshot())
    assert bits(restored.snapshot()) == bits(learner.snapshot()) == bits(baselines(task)[which].snapshot())
    examples = stream_of(task, count=50)
    restored.predict_then_learn(examples)
    learner.predict_then_learn(examples)
    assert bits(restored.snapshot()) == bits(learner.snapshot())


def test_the_state_of_another_baseline_is_refused():
    with pytest.raises(CheckpointRefused, match="'baseline_majority' where 'baseline_no_change'"):
        LastClass().restore(Majority().snapshot())
