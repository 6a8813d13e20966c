"""What is judged, how it is judged, and that the state is a pure function of the events in order."""

from __future__ import annotations

import math

import numpy as np
import pytest
from river import metrics

from streamlearn.belt.evaluate import Evaluator, errors_of
from streamlearn.belt.evaluate_kernels import natural_log, share_of_truth, to_log_losses
from streamlearn.errors import CheckpointRefused
from streamlearn.events import Examples, Features, Predictions

TASKS = ("binary", "multiclass", "regression", "anomaly")


def examples_of(target, labelled=None, classes=(False, True)):
    count = len(target)
    features = Features((), np.zeros((count, 0)), np.zeros((count, 0), bool), ())
    labelled = np.ones(count, bool) if labelled is None else np.array(labelled, bool)
    return Examples(features, np.asarray(target, np.int32 if classes else float), labelled, classes)


def predictions_of(*, said=None, share=None, value=None):
    count = len(next(each for each in (said, share, value) if each is not None))
    return Predictions(
        np.arange(count),
        None if said is None else np.array(said, np.int32),
        None if share is None else np.array(share, float),
        None if value is None else np.array(value, float),
    )


def stream_of(task, count=1200, seed=0):
    """Events and predictions of every kind: without label, without prediction, without a share."""
    random = np.random.default_rng(seed)
    labelled = random.random(count) < 0.9
    classes = {"binary": 2, "multiclass": 6, "anomaly": 2, "regression": 0}[task]
    if task == "regression":
        target = random.normal(1000, 30, count)
        value = target + random.normal(0, 10, count)
    else:
        target = random.integers(0, classes, count).astype(np.int32)
        value = random.normal(0.5, 0.5, count)
    value[random.random(count) < 0.05] = np.nan
    target[~labelled] = -1  # means nothing, so it must not matter
    if task in ("regression", "anomaly"):
        predictions = Predictions(np.arange(count), value_B=value)
    else:
        share = random.dirichlet(np.ones(classes), count)
        share[random.random((count, classes)) < 0.1] = np.nan
        predictions = Predictions(
            np.arange(count), random.integers(-1, classes, count).astype(np.int32), share
        )
    return predictions, examples_of(target, labelled, tuple(range(classes)))


def part(predictions, start, stop):
    return Predictions(
        *(
            None if column is None else column[start:stop]
            for column in (
                predictions.version_B,
                predictions.class_B,
                predictions.probability_BC,
                predictions.value_B,
            )
        )
    )


def bits(snapshot):
    return dict(snapshot.data), {
        name: (array.dtype.str, array.shape, array.tobytes()) for name, array in snapshot.arrays.items()
    }


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("cut", [1, 7, 500])
def test_replay_equals_run_however_the_events_are_cut_and_across_a_restart(task, cut):
    predictions, examples = stream_of(task)
    whole = Evaluator(task, window_events=100)
    whole.update(predictions, examples)
    cuts = Evaluator(task, window_events=100)
    for start in range(0, len(examples), cut):
        cuts.update(part(predictions, start, start + cut), examples.rows(start, start + cut))
        if start <= len(examples) // 2 < start + cut:
            resumed = Evaluator(task, window_events=100)
            resumed.restore(cuts.snapshot())
            cuts = resumed
    assert bits(cuts.snapshot()) == bits(whole.snapshot())
    assert cuts.metrics("cumulative") == whole.metrics("cumulative")
    assert cuts.metrics("sliding") == whole.metrics("sliding")
    assert 0 < cuts.events_judged == whole.events_judged < len(examples)


@pytest.mark.parametrize("task", TASKS)
def test_the_sliding_metrics_are_those_of_the_newest_judged_events_alone(task):
    predictions, examples = stream_of(task)
    evaluator = Evaluator(task, window_events=100)
    evaluator.update(predictions, examples)
    silent = np.zeros(len(examples), bool) if predictions.value_B is None else np.isnan(predictions.value_B)
    judged = np.flatnonzero(examples.labelled_B & ~silent)
    start = int(judged[-100])
    fresh = Evaluator(task, window_events=100)
    fresh.update(part(predictions, start, None), examples.rows(start, len(examples)))
    assert fresh.events_judged == 100
    assert evaluator.metrics("sliding") == fresh.metrics("cumulative")
    assert evaluator.metrics("sliding") != evaluator.metrics("cumulative")


@pytest.mark.parametrize("task", TASKS)
def test_reads_are_pure(task):
    predictions, examples = stream_of(task)
    evaluator = Evaluator(task, window_events=50)
    evaluator.update(predictions, examples)
    before = evaluator.snapshot()
    copy = bits(before)
    evaluator.metrics("cumulative")
    evaluator.metrics("sliding")
    assert bits(evaluator.snapshot()) == copy
    evaluator.update(predictions, examples)  # and what was snapshotted stays what it was
    assert bits(before) == copy
    restored = Evaluator(task, window_events=50)
    restored.restore(before)
    restored.update(predictions, examples)
    assert bits(before) == copy
    assert bits(restored.snapshot()) == bits(evaluator.snapshot())


@pytest.mark.parametrize("task", TASKS)
def test_before_any_label_there_are_no_metrics(task):
    predictions, examples = stream_of(task, count=20)
    unlabelled = Examples(examples.features, examples.target_B, np.zeros(20, bool), examples.classes)
    evaluator = Evaluator(task, window_events=10)
    evaluator.update(predictions, unlabelled)
    evaluator.update(part(predictions, 0, 0), examples.rows(0, 0))
    assert evaluator.events_judged == 0
    assert evaluator.metrics("cumulative") == evaluator.metrics("sliding") == {}


def test_each_task_has_its_metrics():
    names = {}
    for task in TASKS:
        evaluator = Evaluator(task, window_events=100)
        evaluator.update(*stream_of(task))
        names[task] = list(evaluator.metrics("sliding"))
    assert names == {
        "binary": ["accuracy", "balanced_accuracy", "f1", "log_loss", "roc_auc", "brier"],
        "multiclass": ["accuracy", "balanced_accuracy", "f1", "log_loss"],
        "regression": ["mae", "rmse", "r2"],
        "anomaly": ["roc_auc"],
    }


def test_a_classifier_that_said_nothing_is_wrong():
    evaluator = Evaluator("binary", window_events=10)
    evaluator.update(predictions_of(said=[1, -1, -1, 0]), examples_of([1, 1, 0, 0]))
    assert evaluator.metrics("cumulative")["accuracy"] == 0.5
    assert evaluator.events_judged == 4


def test_a_regressor_that_said_nothing_is_not_judged():
    evaluator = Evaluator("regression", window_events=10)
    evaluator.update(predictions_of(value=[np.nan, 3.0]), examples_of([1.0, 1.0], classes=()))
    assert evaluator.metrics("cumulative")["mae"] == 2.0
    assert evaluator.events_judged == 1


@pytest.mark.parametrize("classes", [("late", "on time"), (1, 0), (True, False)])
def test_the_positive_class_is_the_second_one_whatever_its_label(classes):
    evaluator = Evaluator("binary", window_events=10)
    share = [[0.1, 0.9], [0.2, 0.8], [0.7, 0.3]]
    evaluator.update(predictions_of(said=[1, 1, 0], share=share), examples_of([1, 0, 0], classes=classes))
    metrics = evaluator.metrics("cumulative")
    assert metrics["f1"] == pytest.approx(2 / 3)
    assert metrics["brier"] == pytest.approx((0.1**2 + 0.8**2 + 0.3**2) / 3)


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_a_share_that_was_not_given_counts_as_0(task):
    absent, zero = Evaluator(task, window_events=10), Evaluator(task, window_events=10)
    examples = examples_of([1, 0])
    absent.update(predictions_of(said=[0, 0], share=[[0.4, np.nan], [np.nan, np.nan]]), examples)
    zero.update(predictions_of(said=[0, 0], share=[[0.4, 0.0], [0.0, 0.0]]), examples)
    assert absent.metrics("cumulative") == zero.metrics("cumulative")
    assert absent.metrics("cumulative")["log_loss"] > 17


def test_shares_beyond_0_and_1_are_clipped():
    evaluator = Evaluator("binary", window_events=10)
    evaluator.update(predictions_of(said=[1], share=[[-1e-9, 1 + 1e-9]]), examples_of([1]))
    assert evaluator.metrics("cumulative")["brier"] == 0.0


def test_a_checkpoint_of_another_task_or_window_is_refused():
    snapshot = Evaluator("binary", window_events=10).snapshot()
    with pytest.raises(CheckpointRefused, match="task = 'binary', the config says 'multiclass'"):
        Evaluator("multiclass", window_events=10).restore(snapshot)
    with pytest.raises(CheckpointRefused, match="window_events = 10, the config says 11"):
        Evaluator("binary", window_events=11).restore(snapshot)


def test_errors_of_a_classifier_are_0_and_1():
    examples = examples_of([1, 0, 1, 0], labelled=[1, 0, 1, 1])
    rows, errors = errors_of("binary", predictions_of(said=[1, 1, -1, 1]), examples)
    assert rows.tolist() == [0, 2, 3]
    assert errors.tolist() == [0.0, 1.0, 1.0]
    assert errors.dtype == np.float64


def test_errors_of_a_regressor_are_absolute_and_finite():
    examples = examples_of([1.0, 1.0, 1.0, -1e308, 5.0], classes=())
    predictions = predictions_of(value=[3.0, np.nan, np.inf, 1e308, 4.0])
    rows, errors = errors_of("regression", predictions, examples)
    assert rows.tolist() == [0, 4]
    assert errors.tolist() == [2.0, 1.0]


def test_errors_of_an_anomaly_detector_are_distances_from_the_label():
    examples = examples_of([0, 1, 1, 0, 1], labelled=[1, 1, 1, 0, 1])
    rows, errors = errors_of("anomaly", predictions_of(value=[0.25, 7.0, -1.0, 0.5, np.nan]), examples)
    assert rows.tolist() == [0, 1, 2]
    assert errors.tolist() == [0.25, 0.0, 1.0]


def test_the_logarithm_is_accurate():
    random = np.random.default_rng(1)
    x = np.concatenate(
        (
            random.random(5000),
            10.0 ** random.uniform(-300, 300, 5000),
            1.0 + random.uniform(-1e-9, 1e-9, 1000),
            [1e-15, 1 - 1e-15, 0.5, 1.0, math.sqrt(0.5), np.nextafter(math.sqrt(0.5), 0)],
        )
    )
    for value in x[x > 0].tolist():
        assert abs(natural_log(value) - math.log(value)) <= 4 * math.ulp(math.log(value)), value


def plain_logarithm(x):
    """The steps of ``natural_log``, each of them one operation of IEEE 754."""
    mantissa, exponent = math.frexp(x)
    if mantissa < math.sqrt(0.5):
        mantissa, exponent = mantissa * 2.0, exponent - 1
    ratio = (mantissa - 1.0) / (mantissa + 1.0)
    series = 0.0
    for odd in range(21, 0, -2):
        series = series * (ratio * ratio) + 1.0 / odd
    return exponent * math.log(2.0) + series * (2.0 * ratio)


@pytest.mark.parametrize("start", [0, 1, 3])
def test_what_the_compiler_makes_of_the_logarithm_is_the_same_bits(start):
    """It may neither fuse nor reorder steps, wherever a number stands in a vector."""
    edges = [1e-15, 1 - 1e-15, 0.5, math.sqrt(0.5), np.nextafter(math.sqrt(0.5), 0)]
    shares = np.concatenate((edges, np.random.default_rng(2).random(2003)))[start:]
    losses = shares.copy()
    to_log_losses(losses)
    assert losses.tolist() == [-plain_logarithm(share) for share in shares.tolist()]


def test_a_share_of_what_was_true_is_clamped_at_both_ends_as_in_river():
    for share, wanted in ((0.0, True), (1.0, False), (1.0, True), (0.0, False)):
        loss = np.array([share_of_truth(share, wanted)])
        to_log_losses(loss)
        river = metrics.LogLoss()
        river.update(wanted, share)
        assert loss[0] == pytest.approx(river.get(), rel=1e-9, abs=1e-14)
