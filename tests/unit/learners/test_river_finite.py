"""Whether a River model is finite: told for all that diverge, and never a false alarm."""

from __future__ import annotations

import inspect
import pickle
import random
from typing import Any

import numpy as np
import pytest
from river import base, compose, linear_model, optim, preprocessing, stats

from streamlearn.errors import LearnerError
from streamlearn.learners.python_model import PythonLearner
from streamlearn.learners.river_finite import is_finite
from streamlearn.learners.river_names import catalogue

# A pipeline of nothing is no estimator, and says so by raising from wherever it is asked.
ESTIMATORS = {
    name: cls
    for name, cls in catalogue().items()
    if issubclass(cls, base.Estimator) and cls is not compose.Pipeline
}


def fresh(cls: type) -> Any:
    """An estimator by its defaults, or by the arguments that River's own tests give it; None: neither."""
    for arguments in ({}, *_arguments_of_tests(cls)):
        try:
            return cls(**arguments)
        except (TypeError, ValueError, AttributeError, RuntimeError):
            continue
    return None


def _arguments_of_tests(cls: type) -> list[dict[str, Any]]:
    try:
        return list(cls._unit_test_params())  # type: ignore[attr-defined]
    except (ImportError, NotImplementedError, TypeError, ValueError):
        return []


def learn_ordinary_events(model: Any, events: int) -> int:
    """Have a model learn, as far as it can do so from numbers and one label; return how many events it did."""
    draw = random.Random(3)
    for number in range(events):
        x = {name: draw.gauss(0, 1) for name in "abc"}
        y: Any = x["a"] + x["b"] if isinstance(model, base.Regressor) else x["a"] > 0
        try:
            supervised = len(inspect.signature(model.learn_one).parameters) > 1
            model.learn_one(x, y) if supervised else model.learn_one(x)
        except Exception:  # noqa: BLE001  it wants other events; some are enough
            return number
        assert is_finite(model), f"after {number + 1} events"
    return events


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ESTIMATORS)
def test_no_river_estimator_is_taken_for_ruined_after_ordinary_events(name: str) -> None:
    model = fresh(ESTIMATORS[name])
    if model is None:
        pytest.skip("it needs arguments that River's tests do not name")
    assert is_finite(model)
    learn_ordinary_events(model, 60)


def test_most_of_them_did_learn() -> None:
    """So that the test above can fail."""
    models = [model for cls in ESTIMATORS.values() if (model := fresh(cls)) is not None]
    assert sum(learn_ordinary_events(model, 2) == 2 for model in models) > 80


def broken_scaler() -> Any:
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    for value in (1.0, 1.7e308, 2.0):
        model.learn_one({"x": value}, True)
    return model


def broken_weight(optimizer: Any = None) -> Any:
    model = linear_model.LinearRegression(optimizer=optimizer, clip_gradient=1e305)
    for _ in range(4):
        model.learn_one({"x": 1e300, "y": 1.0}, 1e308)
    return model


BROKEN = {
    "scaler": broken_scaler,
    "weight": broken_weight,
    "moments": lambda: broken_weight(optim.Adam()),
    "in_a_union": lambda: compose.TransformerUnion(
        preprocessing.MinMaxScaler(), broken_scaler()["StandardScaler"]
    ),
    "array": lambda: _with(linear_model.BayesianLinearRegression(), "_ss_arr", np.array([[1.0, np.nan]])),
    "statistic": lambda: _with(stats.Mean(), "_mean", float("-inf")),
    "in_a_list": lambda: _with(compose.Pipeline(stats.Mean()), "list", [[1.0, float("nan")]]),
}


def _with(model: Any, attribute: str, value: Any) -> Any:
    setattr(model, attribute, value)
    return model


@pytest.mark.parametrize("where", BROKEN)
def test_what_is_not_finite_is_found_wherever_it_is(where: str) -> None:
    assert not is_finite(BROKEN[where]())


def test_reads_are_pure_looking_changes_nothing() -> None:
    model = broken_scaler()
    before = pickle.dumps(model)
    is_finite(model)
    assert pickle.dumps(model) == before


def test_large_sums_of_finite_weights_are_finite() -> None:
    model = linear_model.LinearRegression()
    model.weights.update(dict.fromkeys("abc", 1.5e308))
    assert is_finite(model)


# ------------------------------------------------------------------------------- a user's own model


class Own:
    """A model that says itself whether it is finite."""

    def __init__(self, finite: Any) -> None:
        self.finite = finite
        self.best = float("inf")

    def learn_one(self, x: Any, y: Any) -> None: ...

    def predict_one(self, x: Any) -> float:
        return 0.0

    def snapshot(self) -> bytes:
        return b""

    def restore(self, state: bytes) -> None: ...


class Telling(Own):
    def is_finite(self) -> bool:
        return bool(1 / self.finite)


def learner(make: Any) -> PythonLearner:
    return PythonLearner("own", make, "regression", missing_indicator=False, loads=pickle.loads)


def test_a_users_model_is_asked_and_never_searched() -> None:
    assert learner(lambda: Own(None)).is_finite()
    assert learner(lambda: Telling(1)).is_finite()
    assert not learner(lambda: Telling(float("inf"))).is_finite()
    assert not learner(broken_weight).is_finite(), "River's objects are, whoever made them"


def test_a_users_answer_that_raises_is_a_learner_error() -> None:
    with pytest.raises(LearnerError, match=r"is_finite\(\) raised ZeroDivisionError"):
        learner(lambda: Telling(0)).is_finite()
