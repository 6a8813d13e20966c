"""Metrics and detectors equal River's own, whatever is predicted and however the events are cut.

River is fed one event at a time: None for a prediction that was not made, and 0.0 for a share that was not
given. Where a metric is absent here, River shows its placeholder 0.0.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import drift, metrics

from streamlearn.belt.drift import Adwin, PageHinkley
from streamlearn.belt.evaluate import Evaluator
from streamlearn.events import Examples, Features, Predictions

CLASSES = 5
share = st.one_of(
    st.floats(0, 1),
    st.sampled_from([0.0, 1.0, 0.5, *(i / 9 for i in range(10))]),  # on River's thresholds
    st.just(float("nan")),
)
# On a grid: River's own recurrences lose digits of R2 where targets differ in their last bits only.
number = st.integers(-1_000_000, 1_000_000).map(lambda thousandths: thousandths / 1000)
window_events = st.integers(1, 40)
cuts = st.lists(st.integers(1, 25), min_size=1, max_size=10)


def batches(cuts, count):
    """Yield (start, stop), in the given lengths over and over."""
    start = 0
    while start < count:
        for length in cuts:
            yield start, min(start + length, count)
            start += length
            if start >= count:
                return


def evaluate(task, window, cuts, target, labelled, *, said=None, shares=None, value=None):
    """Feed an Evaluator in batches; for multiclass, each batch knows only the classes met by its end."""
    evaluator = Evaluator(task, window)
    for start, stop in batches(cuts, len(target)):
        classes = 2
        if task == "multiclass":
            classes = int(max(target[:stop].max(), said[:stop].max())) + 1
        features = Features((), np.zeros((stop - start, 0)), np.zeros((stop - start, 0), bool), ())
        examples = Examples(features, target[start:stop], labelled[start:stop], tuple(range(classes)))
        evaluator.update(
            Predictions(
                np.arange(start, stop),
                None if said is None else said[start:stop],
                None if shares is None else shares[start:stop, :classes],
                None if value is None else value[start:stop],
            ),
            examples,
        )
    return evaluator


def assert_equal_to_river(evaluator, window, make, judged):
    """Compare with River's metrics over all judged events, and over the newest `window` of them."""
    assert evaluator.events_judged == len(judged)
    for name, events in (("cumulative", judged), ("sliding", judged[-window:])):
        ours = evaluator.metrics(name)
        river = make()
        for event in events:
            for metric, update in river.values():
                update(metric, *event)
        assert set(ours) <= set(river)
        for key, (metric, _) in river.items():
            if events and key in ours:
                assert ours[key] == pytest.approx(metric.get(), rel=1e-9, abs=1e-9), (name, key)
            else:
                assert metric.get() == 0.0, (name, key)
                assert not events or key in ("f1", "roc_auc", "r2")


def by_label(metric, truth, said, _):
    metric.update(truth, said)


def by_share(metric, truth, _, shares):
    metric.update(truth, shares)


def by_value(metric, truth, value):
    metric.update(truth, value)


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.booleans(), st.integers(-1, 1), share), min_size=1, max_size=80),
    window_events,
    cuts,
)
def test_binary(events, window, cuts):
    target, labelled, said, positive = (np.array(column) for column in zip(*events, strict=True))
    shares = np.stack([1 - positive, positive], axis=1)
    evaluator = evaluate(
        "binary", window, cuts, target.astype(np.int32), labelled, said=said.astype(np.int32), shares=shares
    )

    def make():
        return {
            "accuracy": (metrics.Accuracy(), by_label),
            "balanced_accuracy": (metrics.BalancedAccuracy(), by_label),
            "f1": (metrics.F1(), by_label),
            "log_loss": (metrics.LogLoss(), by_share),
            "roc_auc": (metrics.ROCAUC(), by_share),
            "brier": (metrics.MSE(), lambda metric, t, _, p: metric.update(float(t), p.get(True, 0.0))),
        }

    judged = [
        (bool(t), None if s < 0 else bool(s), {} if np.isnan(p) else {False: 1 - p, True: p})
        for t, is_labelled, s, p in events
        if is_labelled
    ]
    assert_equal_to_river(evaluator, window, make, judged)


@settings(deadline=None, max_examples=150)
@given(
    st.lists(
        st.tuples(
            st.integers(0, CLASSES - 1),
            st.booleans(),
            st.integers(-1, CLASSES - 1),
            st.lists(share, min_size=CLASSES, max_size=CLASSES),
        ),
        min_size=1,
        max_size=60,
    ),
    window_events,
    cuts,
)
def test_multiclass(events, window, cuts):
    target, labelled, said, shares = (np.array(column) for column in zip(*events, strict=True))
    evaluator = evaluate(
        "multiclass",
        window,
        cuts,
        target.astype(np.int32),
        labelled,
        said=said.astype(np.int32),
        shares=shares,
    )

    def make():
        return {
            "accuracy": (metrics.Accuracy(), by_label),
            "balanced_accuracy": (metrics.BalancedAccuracy(), by_label),
            "f1": (metrics.MacroF1(), by_label),
            "log_loss": (metrics.CrossEntropy(), by_share),
        }

    judged = [
        (t, None if s < 0 else s, {c: 0.0 if np.isnan(p) else p for c, p in enumerate(row)})
        for t, is_labelled, s, row in events
        if is_labelled
    ]
    assert_equal_to_river(evaluator, window, make, judged)


@settings(deadline=None, max_examples=150)
@given(
    st.lists(
        st.tuples(number, st.booleans(), st.one_of(number, st.just(float("nan")))), min_size=1, max_size=80
    ),
    window_events,
    cuts,
)
def test_regression(events, window, cuts):
    target, labelled, value = (np.array(column) for column in zip(*events, strict=True))
    evaluator = evaluate("regression", window, cuts, target, labelled, value=value)

    def make():
        return {
            "mae": (metrics.MAE(), by_value),
            "rmse": (metrics.RMSE(), by_value),
            "r2": (metrics.R2(), by_value),
        }

    judged = [(t, v) for t, is_labelled, v in events if is_labelled and not np.isnan(v)]
    assert_equal_to_river(evaluator, window, make, judged)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.booleans(), st.one_of(share, st.floats(-5, 5))),
        min_size=1,
        max_size=80,
    ),
    window_events,
    cuts,
)
def test_anomaly(events, window, cuts):
    target, labelled, score = (np.array(column) for column in zip(*events, strict=True))
    evaluator = evaluate("anomaly", window, cuts, target.astype(np.int32), labelled, value=score)
    judged = [(bool(t), s) for t, is_labelled, s in events if is_labelled and not np.isnan(s)]
    assert_equal_to_river(evaluator, window, lambda: {"roc_auc": (metrics.ROCAUC(), by_value)}, judged)


@pytest.mark.parametrize("mean", [0.0, 1e6])
def test_a_long_stream_stays_within_1e_9(mean):
    random = np.random.default_rng(0)
    target = mean + random.normal(0, 3, 20_000).cumsum() / 10
    value = target + random.normal(0, 2, 20_000)
    evaluator = evaluate("regression", 777, [5000, 1, 333], target, np.ones(20_000, bool), value=value)
    river = {"mae": metrics.MAE(), "rmse": metrics.RMSE(), "r2": metrics.R2()}
    for t, v in zip(target.tolist(), value.tolist(), strict=True):
        for metric in river.values():
            metric.update(t, v)
    for name, metric in river.items():
        assert evaluator.metrics("cumulative")[name] == pytest.approx(metric.get(), rel=1e-9, abs=1e-9)


# Runs of errors around a level: what a detector sees of a model that changes.
levels = st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1), st.integers(1, 120)), min_size=1, max_size=12)


def errors_around(levels):
    return np.array(
        [
            level * (1 + spread * ((number * 7919) % 13 - 6) / 6)
            for level, spread, length in levels
            for number in range(length)
        ]
    )


def alarms_of(detector, errors, cuts):
    return [
        start + index
        for start, stop in batches(cuts, len(errors))
        for index in detector.update(errors[start:stop])
    ]


def river_alarms(detector, errors):
    alarms = []
    for index, error in enumerate(errors.tolist()):
        detector.update(error)
        if detector.drift_detected:
            alarms.append(index)
    return alarms


@settings(deadline=None, max_examples=150)
@given(levels, st.floats(0, 1), st.floats(1e-3, 100), cuts)
def test_page_hinkley_is_river_to_the_last_bit(levels, delta, threshold, cuts):
    errors = errors_around(levels)
    river = drift.PageHinkley(delta=delta, threshold=threshold)
    ours = PageHinkley(delta, threshold)
    assert alarms_of(ours, errors, cuts) == river_alarms(river, errors)
    if not river.drift_detected:  # after an alarm River starts afresh with the next error only
        mean = river._x_mean
        assert ours.state().tolist() == [
            mean.n,
            mean.get(),
            river._sum_increase,
            river._sum_decrease,
            river._min_increase,
            river._max_decrease,
        ]


@settings(deadline=None, max_examples=150)
@given(levels, st.floats(1e-9, 0.999), cuts)
def test_adwin_is_river_to_the_last_bit(levels, delta, cuts):
    errors = errors_around(levels)
    river, ours = drift.ADWIN(delta=delta), Adwin(delta)
    assert alarms_of(ours, errors, cuts) == river_alarms(river, errors)
    if not river.drift_detected:
        found = ours.width, ours.estimation, ours.variance
        assert found == (river.width, river.estimation, river.variance)


def test_adwin_is_river_over_a_window_of_many_sizes_of_buckets():
    random = np.random.default_rng(11)
    steady = random.random(150_000) < 0.2
    errors = np.concatenate((steady, random.random(10_000) < 0.23, random.random(10_000) < 0.6)).astype(float)
    river, ours = drift.ADWIN(), Adwin(0.002)
    alarms = river_alarms(river, errors)
    assert alarms_of(ours, errors, [5000, 333]) == alarms
    assert max(alarms) > 150_000
    assert (ours.width, ours.estimation, ours.variance) == (river.width, river.estimation, river.variance)
