"""The parts that metrics are made of: they see neither batches nor CPUs, and undefined metrics are absent."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from river import metrics

from streamlearn.belt.metrics import Window
from streamlearn.belt.metrics_classification import (
    AnomalyTally,
    BinaryTally,
    ClassCounts,
    MulticlassTally,
    RocCounts,
)
from streamlearn.belt.metrics_regression import RegressionTally


def codes(*values):
    return np.array(values, np.int32)


@pytest.mark.parametrize("cut", [1, 7, 500])
def test_replay_equals_run_for_a_sum_in_any_batches(cut):
    values = np.random.default_rng(0).lognormal(0, 5, 5000)
    whole, cuts = RegressionTally(), RegressionTally()
    whole.add({"truth": values, "said": np.zeros(5000)})
    for start in range(0, len(values), cut):
        part = values[start : start + cut]
        cuts.add({"truth": part, "said": np.zeros(len(part))})
    assert cuts.state()["sums"].tobytes() == whole.state()["sums"].tobytes()
    assert whole.metrics()["mae"] * 5000 != np.sum(values)  # pairs would be another sum, so this can fail


@pytest.mark.parametrize("cut", [1, 3, 10, 25, 100])
@pytest.mark.parametrize("events_max", [1, 7, 10, 200])
def test_the_window_holds_the_newest_events_oldest_first(events_max, cut):
    window = Window(events_max, {"number": np.int32, "half": np.float64})
    for start in range(0, 100, cut):
        numbers = np.arange(start, min(start + cut, 100))
        window.append({"number": numbers, "half": numbers / 2})
        expected = np.arange(100)[: start + cut][-events_max:]
        columns = window.columns()
        assert columns["number"].tolist() == expected.tolist()
        assert columns["half"].tolist() == (expected / 2).tolist()
        assert len(window) == len(expected)


def test_the_window_gives_copies():
    window = Window(3, {"number": np.int32})
    window.append({"number": np.array([1, 2])})
    window.columns()["number"][:] = 9
    assert window.columns()["number"].tolist() == [1, 2]


def test_class_counts_grow_with_the_classes_and_only_with_them():
    counts = ClassCounts()
    counts.add(codes(0, 0), codes(0, -1))
    assert counts.counts().tolist() == [[2], [1], [1]]
    counts.add(codes(), codes())
    counts.add(codes(1), codes(3))
    assert counts.counts().tolist() == [[2, 1, 0, 0], [1, 0, 0, 1], [1, 0, 0, 0]]
    assert counts.silent == 1


def test_a_class_is_counted_once_where_room_has_to_be_made_for_it():
    counts = ClassCounts()
    for highest in range(50):
        counts.add(codes(0, highest), codes(0, highest))
    assert counts.counts()[2].tolist() == [51] + [1] * 49


def test_f1_is_absent_until_the_positive_class_was_seen_or_said():
    counts = ClassCounts()
    counts.add(codes(0), codes(0))
    assert counts.f1(1) is None
    counts.add(codes(0), codes(1))
    assert counts.f1(1) == 0.0


def test_roc_auc_is_absent_until_both_classes_were_seen():
    counts = RocCounts()
    counts.add(np.array([True, True]), np.array([0.2, 0.9]))
    assert counts.roc_auc() is None
    counts.add(np.array([False]), np.array([0.1]))
    assert counts.roc_auc() == 1.0


def test_without_shares_there_is_neither_log_loss_nor_roc_auc_nor_brier():
    nan = np.full(2, np.nan)
    judged = {"truth": codes(0, 1), "said": codes(0, 1), "share": nan, "loss": nan}
    for tally in (BinaryTally(), MulticlassTally()):
        tally.add(judged)
        assert tally.metrics() == {"accuracy": 1.0, "balanced_accuracy": 1.0, "f1": 1.0}


def test_anomaly_scores_beyond_0_and_1_lose_their_part_of_the_curve_as_in_river():
    truth, said = codes(0, 0, 1, 1), np.array([-3.0, 0.2, 0.8, 7.0])
    tally, river = AnomalyTally(), metrics.ROCAUC()
    tally.add({"truth": truth, "said": said})
    for true, score in zip(truth.tolist(), said.tolist(), strict=True):
        river.update(bool(true), score)
    assert tally.metrics() == {"roc_auc": river.get()} == {"roc_auc": 0.5}


def test_r2_keeps_its_digits_far_from_zero():
    random = np.random.default_rng(3)
    truth = 1.7e12 + np.round(random.normal(0, 100, 3000), 3)
    said = truth + random.normal(0, 10, 3000)
    exact = [Fraction(value) for value in truth.tolist()]
    mean = sum(exact) / len(exact)
    total = sum((value - mean) ** 2 for value in exact)
    residual = sum((a - Fraction(b)) ** 2 for a, b in zip(exact, said.tolist(), strict=True))
    tally = RegressionTally()
    tally.add({"truth": truth, "said": said})
    assert tally.metrics()["r2"] == pytest.approx(float(1 - residual / total), rel=1e-12)


@pytest.mark.parametrize("targets", [[5.1], [0.1] * 10])
def test_r2_is_absent_where_the_targets_do_not_vary(targets):
    tally = RegressionTally()
    tally.add({"truth": np.array(targets), "said": np.zeros(len(targets))})
    assert set(tally.metrics()) == {"mae", "rmse"}


def test_a_model_that_diverged_has_no_metrics_rather_than_good_ones():
    tally = RegressionTally()
    tally.add({"truth": np.array([1.0, 2.0, 3.0]), "said": np.array([1.0, np.inf, -np.inf])})
    tally.add({"truth": np.array([1.0]), "said": np.array([1.0])})
    assert tally.metrics() == {}


def test_errors_whose_squares_overflow_leave_the_mean_absolute_error():
    tally = RegressionTally()
    tally.add({"truth": np.array([1.0, 2.0]), "said": np.array([1e200, 2.0])})
    assert tally.metrics() == {"mae": 5e199}


@pytest.mark.parametrize("make", [BinaryTally, MulticlassTally, RegressionTally, AnomalyTally])
def test_a_tally_becomes_what_it_stored(make):
    random = np.random.default_rng(4)
    truth = random.random(50) if make is RegressionTally else codes(*random.integers(0, 2, 50))
    said = (
        random.random(50) if make in (RegressionTally, AnomalyTally) else codes(*random.integers(-1, 2, 50))
    )
    judged = {"truth": truth, "said": said, "share": random.random(50), "loss": random.random(50)}
    one, other = make(), make()
    one.add(judged)
    state = one.state()
    other.restore(state)
    one.add(judged)
    assert {name: array.tobytes() for name, array in other.state().items()} == {
        name: array.tobytes() for name, array in state.items()
    }
    other.add(judged)
    assert other.metrics() == one.metrics()
