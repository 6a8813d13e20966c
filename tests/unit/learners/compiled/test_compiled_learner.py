"""The compiled learner at its edges: numbers that leave float64, many events, exchange with the generic engine."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from examples_for_tests import CATEGORICAL, NUMERIC, assert_same, cut, learn, make_examples, rows_of

from streamlearn.checkpoints import unpickle
from streamlearn.config import Task
from streamlearn.contracts import Snapshot
from streamlearn.errors import CheckpointRefused, LearnerError
from streamlearn.events import Categorical, Examples, Features
from streamlearn.learners.compiled.learner import CompiledLearner, make_compiled
from streamlearn.learners.river_build import build
from streamlearn.learners.river_model import RiverLearner

ENCODED = {
    "use": "compose.TransformerUnion",
    "transformers": [
        {"use": "compose.Pipeline", "steps": [{"use": "compose.Select", "keys": list(NUMERIC)}, "preprocessing.StandardScaler"]},
        {"use": "compose.Pipeline", "steps": [{"use": "compose.Select", "keys": list(CATEGORICAL)}, "preprocessing.OneHotEncoder"]},
    ],
}  # fmt: skip
LOGISTIC = "linear_model.LogisticRegression"


def compiled(task: Task, *pipeline: Any, numeric: tuple[str, ...] = NUMERIC) -> CompiledLearner:
    made = make_compiled(
        "m", build(pipeline, 3), task, numeric, CATEGORICAL, missing_indicator=False, loads=unpickle.loads
    )
    assert isinstance(made, CompiledLearner), str(made)
    return made


def river(task: Task, *pipeline: Any) -> RiverLearner:
    return RiverLearner("m", build(pipeline, 3), task, missing_indicator=False, loads=unpickle.loads)


def wild(task: Task, events: int, largest: float) -> Examples:
    """Events one of whose numbers is huge, so that sums leave float64 and never come back."""
    examples = make_examples(task, events, labelled_share=1.0)
    numeric_BF = examples.features.numeric_BF.copy()
    numeric_BF[events // 2, 0] = largest
    return replace(examples, features=replace(examples.features, numeric_BF=numeric_BF))


MODELS_THAT_SKIP_ZEROS: list[tuple[Task, Any]] = [
    ("regression", {"use": "linear_model.LinearRegression", "clip_gradient": 1e308}),
    ("regression", "linear_model.PARegressor"),
    ("binary", {"use": LOGISTIC, "optimizer": {"use": "optim.AdaGrad"}}),
    ("multiclass", "linear_model.SoftmaxRegression"),
    ("binary", "linear_model.PAClassifier"),
]
RAW = {
    "use": "compose.TransformerUnion",
    "transformers": [
        {"use": "compose.Select", "keys": list(NUMERIC)},
        *ENCODED["transformers"][1:],  # type: ignore[index]
    ],
}


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
@pytest.mark.parametrize(("task", "model"), MODELS_THAT_SKIP_ZEROS)
@pytest.mark.parametrize("largest", [1e150, 1.7e308])
def test_what_is_not_finite_spreads_as_in_river(task: Task, model: Any, largest: float) -> None:
    """0 * inf is NaN: also the weights of categories that an event does not have are spoilt."""
    examples = wild(task, 30, largest)
    ours, theirs = compiled(task, RAW, model), river(task, RAW, model)
    for part in cut(examples, [10, 10]):
        said, expected = ours.predict_then_learn(part), theirs.predict_then_learn(part)
        for mine, other in [(said.value_B, expected.value_B), (said.probability_BC, expected.probability_BC)]:
            if mine is not None:
                np.testing.assert_allclose(mine, other, rtol=1e-9, atol=1e-9)
    exported = ours.to_river()
    mine, other = (list(m.steps.values())[-1].weights for m in (exported, theirs._model))
    if task == "multiclass":
        mine, other = ({k: dict(v) for k, v in each.items()} for each in (mine, other))
        mine, other = mine["early"], other["early"]
    assert mine.keys() == other.keys()
    np.testing.assert_allclose([mine[key] for key in other], list(other.values()), rtol=1e-9)
    assert ours.is_finite() == bool(np.isfinite(list(other.values())).all())


def test_where_river_raises_it_raises() -> None:
    examples = wild("regression", 30, 1e200)
    model = {"use": "linear_model.LinearRegression", "optimizer": {"use": "optim.AdaGrad"}}
    for learner in (compiled("regression", RAW, model), river("regression", RAW, model)):
        with pytest.raises(LearnerError, match="event 15 of a batch of 30") as failed:
            learner.predict_then_learn(examples)
        assert failed.value.remedy


def test_an_unlabelled_events_target_never_reaches_the_weights() -> None:
    examples = make_examples("regression", 100)
    target_B = np.where(examples.labelled_B, examples.target_B, np.nan)
    learner = compiled("regression", ENCODED, "linear_model.LinearRegression")
    learner.predict_then_learn(replace(examples, target_B=target_B))
    assert learner.is_finite()


def test_a_scaler_that_saw_nothing_is_finite() -> None:
    """MinMaxScaler's infinities before it has learned are no spoilt state."""
    learner = compiled("binary", RAW, "preprocessing.MinMaxScaler", LOGISTIC)
    assert learner.is_finite()
    learner.predict_then_learn(make_examples("binary", 50))
    assert learner.is_finite()


def test_many_events_are_many_chunks() -> None:
    examples = make_examples("binary", 5_000)
    whole, parts = compiled("binary", ENCODED, LOGISTIC), compiled("binary", ENCODED, LOGISTIC)
    expected = whole.predict_then_learn(examples)
    assert_same(learn(parts, cut(examples, [1, 1023, 1025])), expected)
    theirs = river("binary", ENCODED, LOGISTIC).predict_then_learn(examples)
    np.testing.assert_allclose(expected.probability_BC, theirs.probability_BC, rtol=0, atol=1e-9)


def test_thousands_of_categories() -> None:
    """Room for encoded features grows, and a batch's dictionary may be far larger than what is learned."""
    events = 3_000
    examples = make_examples("binary", events)
    names = tuple(f"carrier{i}" for i in range(events))
    many = Categorical("carrier", np.arange(events, dtype=np.int32), names)
    features = replace(examples.features, categorical=(many, examples.features.categorical[1]))
    examples = replace(examples, features=features)
    learner = compiled("binary", ENCODED, LOGISTIC)
    learn(learner, cut(examples, [100, 1_000]))
    learned = int(np.count_nonzero(examples.labelled_B))
    assert learner.describe()["encoded_features"] == learned + 2
    weights = learner.to_river()["LogisticRegression"].weights
    assert len(weights) == len(NUMERIC) + learned + 2


def test_read_only_columns_are_taken() -> None:
    examples = make_examples("binary", 50)
    read_only = examples.features.numeric_BF.copy()
    read_only.flags.writeable = False
    other = replace(examples, features=replace(examples.features, numeric_BF=read_only))
    assert_same(
        compiled("binary", ENCODED, LOGISTIC).predict_then_learn(other),
        compiled("binary", ENCODED, LOGISTIC).predict_then_learn(examples),
    )


@pytest.mark.parametrize("classes", [(False, True), (True, False), (0, 1), ("no", "yes")])
def test_classes_of_any_name(classes: tuple[Any, ...]) -> None:
    examples = replace(make_examples("binary", 200), classes=classes)
    for model in (LOGISTIC, "linear_model.SoftmaxRegression"):
        ours = compiled("binary", RAW, model).predict_then_learn(examples)
        theirs = river("binary", RAW, model).predict_then_learn(examples)
        np.testing.assert_array_equal(ours.class_B, theirs.class_B)
        np.testing.assert_allclose(ours.probability_BC, theirs.probability_BC, rtol=0, atol=1e-12)


def test_no_class_yet() -> None:
    examples = replace(make_examples("multiclass", 5, labelled_share=0.0), classes=())
    said = compiled("multiclass", RAW, "linear_model.SoftmaxRegression").predict_then_learn(examples)
    assert said.class_B is not None
    assert said.class_B.tolist() == [-1] * 5


def test_the_engines_take_each_others_checkpoints() -> None:
    examples = make_examples("binary", 300)
    generic, ours = river("binary", RAW, LOGISTIC), compiled("binary", RAW, LOGISTIC)
    expected = generic.predict_then_learn(examples.rows(0, 200))
    ours.restore(generic.snapshot())
    assert ours.events_learned == generic.events_learned
    said = ours.predict_then_learn(examples.rows(200, 250))
    expected = generic.predict_then_learn(examples.rows(200, 250))
    assert_same(said, expected)  # without a scaler there is no rounding to differ in
    back = Snapshot(
        data={"events_learned": ours.events_learned}, pickled=pickle.dumps(ours.to_river(), protocol=5)
    )
    other = river("binary", RAW, LOGISTIC)
    other.restore(back)
    assert_same(
        other.predict_then_learn(examples.rows(250, 300)), generic.predict_then_learn(examples.rows(250, 300))
    )


def test_another_pipelines_state_is_refused() -> None:
    ours, other = compiled("binary", RAW, LOGISTIC), compiled("binary", ENCODED, LOGISTIC)
    with pytest.raises(CheckpointRefused, match="another pipeline"):
        ours.restore(other.snapshot())
    with pytest.raises(CheckpointRefused, match="another pipeline"):
        ours.restore(river("binary", ENCODED, LOGISTIC).snapshot())
    snapshot = ours.snapshot()
    broken = {**snapshot.arrays, "linearstate.weight_N": np.zeros(99)}
    with pytest.raises(CheckpointRefused, match="has shape"):
        ours.restore(replace(snapshot, arrays=broken))
    with pytest.raises(CheckpointRefused, match="how many events"):
        ours.restore(Snapshot())


def test_a_river_object_with_features_that_no_event_has_is_refused() -> None:
    model = build([LOGISTIC], 3)
    model.learn_one({"distance": 1.0, "weather": 2.0}, True)
    made = make_compiled("m", model, "binary", ("distance",), (), missing_indicator=False, loads=pickle.loads)
    assert "'weather', which the events do not have" in str(made)


def test_warming_up_changes_nothing() -> None:
    learner = compiled("multiclass", ENCODED, "naive_bayes.GaussianNB")
    before = learner.snapshot()
    assert learner.warm_up() > 0
    assert learner.snapshot().data == before.data
    examples = make_examples("multiclass", 40)
    fresh = compiled("multiclass", ENCODED, "naive_bayes.GaussianNB")
    assert_same(learner.predict_then_learn(examples), fresh.predict_then_learn(examples))


def test_two_hundred_features() -> None:
    rng = np.random.default_rng(1)
    names = tuple(f"f{f}" for f in range(200))
    features = Features(names, rng.normal(size=(2_000, 200)), np.zeros((2_000, 200), np.bool_), ())
    target_B = (features.numeric_BF[:, 0] > 0).astype(np.int32)
    examples = Examples(features, target_B, np.ones(2_000, np.bool_), (False, True))
    pipeline = ["preprocessing.StandardScaler", LOGISTIC]
    made = make_compiled(
        "m", build(pipeline, 3), "binary", names, (), missing_indicator=False, loads=pickle.loads
    )
    assert isinstance(made, CompiledLearner)
    said = made.predict_then_learn(examples)
    expected = river("binary", *pipeline).predict_then_learn(examples.rows(0, 300))
    np.testing.assert_allclose(rows_of(said, 0, 300).probability_BC, expected.probability_BC, rtol=1e-9)
