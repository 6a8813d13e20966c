"""Calibration, fading means, slices and kappas: against the obvious computation, and whatever the cuts."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from streamlearn.belt.scores.calibration import Calibration
from streamlearn.belt.scores.fading import Fading
from streamlearn.belt.scores.kappa import kappas
from streamlearn.belt.scores.scoreboard import Scoreboard
from streamlearn.belt.scores.slices import MISSING, REST, VALUES_MAX, Slices
from streamlearn.config import Config
from streamlearn.config.quality import Evaluate
from streamlearn.errors import CheckpointRefused
from streamlearn.events import MISSING_CATEGORY, Categorical, Examples, Features, Predictions

generator = np.random.default_rng(11)


def examples(target_B: np.ndarray, classes: int, categorical: tuple[Categorical, ...] = ()) -> Examples:
    events = len(target_B)
    features = Features((), np.zeros((events, 0)), np.zeros((events, 0), bool), categorical)
    return Examples(features, target_B.astype(np.int32), np.full(events, True), tuple(range(classes)))


def test_the_calibration_error_is_the_mean_distance_of_bins() -> None:
    share_B = generator.random(5000)
    target_B = generator.random(5000) < share_B**2
    said = Predictions(
        np.zeros(5000, np.int64), (share_B > 0.5).astype(np.int32), np.column_stack((1 - share_B, share_B))
    )
    calibration = Calibration(is_binary=True)
    calibration.update(said, examples(target_B, 2))
    bin_B = np.minimum((share_B * 10).astype(int), 9)
    expected = sum(
        (bin_B == n).mean() * abs(share_B[bin_B == n].mean() - target_B[bin_B == n].mean()) for n in range(10)
    )
    assert calibration.error() == pytest.approx(expected, abs=1e-12)
    assert calibration.error() > 0.1
    assert sum(row["events"] for row in calibration.bins()) == 5000


def test_of_many_classes_the_share_of_what_was_said_is_judged() -> None:
    share_BC = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [np.nan, 0.6, 0.4]])
    said = Predictions(np.zeros(3, np.int64), np.array([0, 2, -1], np.int32), share_BC)
    calibration = Calibration(is_binary=False)
    calibration.update(said, examples(np.array([0, 1, 1]), 3))
    assert [(row["mean_share"], row["frequency"]) for row in calibration.bins()] == [(0.7, 1.0), (0.8, 0.0)]


def test_fading_means_are_the_weighted_means() -> None:
    truth_B, said_B = generator.integers(0, 2, 300), generator.integers(0, 2, 300)
    loss_B, share_B = generator.random(300), generator.random(300)
    judged = {"truth": truth_B, "said": said_B, "loss": loss_B, "share": share_B}
    weight_B = 0.98 ** np.arange(299, -1, -1)
    whole = Fading("binary", 0.98)
    whole.add(judged)
    assert whole.metrics() == pytest.approx(
        {
            "accuracy": np.average(truth_B == said_B, weights=weight_B),
            "log_loss": np.average(loss_B, weights=weight_B),
            "brier": np.average((share_B - truth_B) ** 2, weights=weight_B),
        },
        abs=1e-12,
    )
    cut = Fading("binary", 0.98)
    for start in range(0, 300, 11):
        cut.add({name: column[start : start + 11] for name, column in judged.items()})
    assert cut.metrics() == whole.metrics()


def test_what_is_not_finite_does_not_stay() -> None:
    fading = Fading("regression", 0.5)
    fading.add({"truth": np.array([0.0, 0.0]), "said": np.array([np.inf, 1.0])})
    assert fading.metrics() == {"mae": 1.0, "rmse": 1.0}


def test_slices_are_the_means_of_groups_and_bounded() -> None:
    values = (*(f"v{n}" for n in range(VALUES_MAX + 50)), MISSING_CATEGORY)
    code_B = np.minimum(generator.geometric(0.02, 20_000), len(values) - 1).astype(np.int32)
    code_B[:100] = len(values) - 1
    error_LB = generator.random((2, 20_000))
    error_LB[1, generator.random(20_000) < 0.5] = np.nan
    slices = Slices("f", 2)
    for start in range(0, 20_000, 999):
        part = slice(start, start + 999)
        slices.update(Categorical("f", code_B[part], values), np.ascontiguousarray(error_LB[:, part]))
    groups: dict[str, list[float]] = defaultdict(list)
    for code, error in zip(code_B, error_LB[0], strict=True):
        groups[MISSING if values[code] == MISSING_CATEGORY else values[code]].append(error)
    frequent = sorted(groups, key=lambda value: (-len(groups[value]), value))[:20]
    told = slices.told(20)
    assert [value for value, _ in told] == [*frequent, REST]
    for value, [(events, mean), _other] in told[:-1]:
        assert (events, mean) == (len(groups[value]), pytest.approx(np.mean(groups[value])))
    assert sum(rows[0][0] for _, rows in told) == 20_000
    assert sum(rows[1][0] for _, rows in told) == np.count_nonzero(~np.isnan(error_LB[1]))


def test_slices_do_not_depend_on_how_a_batch_numbers_its_values() -> None:
    one, other = Slices("f", 1), Slices("f", 1)
    one.update(Categorical("f", np.array([0, 1, 0], np.int32), ("a", "b")), np.ones((1, 3)))
    other.update(Categorical("f", np.array([2, 0, 2], np.int32), ("b", "c", "a")), np.ones((1, 3)))
    assert one.snapshot().data == other.snapshot().data
    assert (one.snapshot().arrays["table"] == other.snapshot().arrays["table"]).all()


def test_kappas_are_absent_without_their_baseline() -> None:
    assert kappas(0.9, {}) == {}
    assert kappas(0.9, {"baseline_majority": 1.0}) == {}


def test_a_scoreboard_comes_back_whole_and_refuses_other_slices() -> None:
    settings = Evaluate(slices=("f",))
    board = Scoreboard("binary", ["m"], ["baseline_majority"], settings)
    target_B = generator.integers(0, 2, 500)
    categorical = (Categorical("f", target_B.astype(np.int32), ("a", "b")),)
    share_B = generator.random(500)
    said = Predictions(
        np.zeros(500, np.int64), np.ones(500, np.int32), np.column_stack((1 - share_B, share_B))
    )
    rows_J = np.arange(500)
    errors = {"m": (rows_J, (target_B != 1).astype(float)), "baseline_majority": (rows_J, np.ones(500))}
    board.update({"m": said, "baseline_majority": said}, errors, examples(target_B, 2, categorical))
    again = Scoreboard("binary", ["m"], ["baseline_majority"], settings)
    again.restore(board.snapshot())
    assert again.told() == board.told()
    told = board.told()["m"]
    assert set(told) == {"verdicts", "calibration", "slices"}
    assert told["verdicts"][0]["verdict"] == "better"
    assert [row["mean_error"] for row in sorted(told["slices"]["f"], key=lambda row: row["value"])] == [
        1.0,
        0.0,
    ]
    with pytest.raises(CheckpointRefused, match="slices"):
        Scoreboard("binary", ["m"], ["baseline_majority"], Evaluate()).restore(board.snapshot())


def test_a_slice_of_no_feature_is_refused() -> None:
    tree = {
        "stream": {"name": "s", "task": "binary"},
        "source": {"files": {"paths": ["x"]}},
        "event": {"label": "y", "numeric": ["a"]},
        "models": [{"name": "m", "learner": "river", "pipeline": ["linear_model.LogisticRegression"]}],
        "evaluate": {"slices": ["carrier"]},
    }
    with pytest.raises(ValueError, match=r"evaluate\.slices names 'carrier'"):
        Config.model_validate(tree)
