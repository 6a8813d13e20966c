"""Any events, cut anywhere, restarted anywhere: the learner says what a plain River loop says, to the bit."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest
from examples_for_tests import CLASSES, cut, joined, xs_of, ys_of
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.checkpoints import unpickle
from streamlearn.checkpoints.structure import structure_digest
from streamlearn.config import Task
from streamlearn.events import MISSING_CATEGORY, Categorical, Examples, Features
from streamlearn.learners.river_build import build
from streamlearn.learners.river_model import RiverLearner

ENCODED = {
    "use": "compose.TransformerUnion",
    "transformers": [
        {"use": "compose.Pipeline", "steps": [{"use": "compose.Select", "keys": ["a", "b"]}, "preprocessing.StandardScaler"]},
        {"use": "compose.Pipeline", "steps": [{"use": "compose.Select", "keys": ["c"]}, "preprocessing.OneHotEncoder"]},
    ],
}  # fmt: skip
LOGISTIC = "linear_model.LogisticRegression"
PIPELINES: list[tuple[Task, list[Any]]] = [
    ("binary", [ENCODED, LOGISTIC]),
    ("binary", [ENCODED, {"use": LOGISTIC, "optimizer": {"use": "optim.Adam"}, "l1": 0.01}]),
    ("binary", [{"use": "tree.HoeffdingTreeClassifier", "grace_period": 5}]),
    ("multiclass", [ENCODED, {"use": "multiclass.OneVsRestClassifier", "classifier": {"use": LOGISTIC}}]),
    ("multiclass", ["dummy.NoChangeClassifier"]),
    ("regression", [ENCODED, "linear_model.PARegressor"]),
    (
        "anomaly",
        [ENCODED, "preprocessing.MinMaxScaler", {"use": "anomaly.HalfSpaceTrees", "n_trees": 2, "height": 3}],
    ),
]

# As far as the belt lets through: finite; bounded, so that a divergence is the model's and not ours.
numbers = st.floats(-1e6, 1e6, allow_nan=False)


@st.composite
def examples_of(draw: st.DrawFn, task: Task) -> Examples:
    events = draw(st.integers(1, 25))

    def column(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(values, min_size=events, max_size=events))

    numeric_BF = np.array([column(numbers), column(numbers)]).T.copy()
    categories = ("x", "y", MISSING_CATEGORY, "é z")
    codes_B = np.array(column(st.integers(0, len(categories) - 1)), np.int32)
    features = Features(
        ("a", "b"), numeric_BF, np.zeros((events, 2), np.bool_), (Categorical("c", codes_B, categories),)
    )
    classes = CLASSES[task]
    targets = column(st.integers(0, len(classes) - 1) if classes else numbers)
    target_B: Any = np.array(targets, np.int32 if classes else np.float64)
    return Examples(features, target_B, np.array(column(st.booleans())), classes)


@pytest.mark.parametrize(("task", "pipeline"), PIPELINES, ids=[f"{task}-{index}" for index, (task, _) in enumerate(PIPELINES)])  # fmt: skip
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_replay_equals_run_equals_a_plain_loop(task: Task, pipeline: list[Any], data: st.DataObject) -> None:
    examples = data.draw(examples_of(task))
    sizes = data.draw(st.lists(st.integers(0, 6), max_size=8))
    restarts = data.draw(st.sets(st.integers(0, 8), max_size=2))

    def fresh() -> RiverLearner:
        return RiverLearner("m", build(pipeline, 3), task, missing_indicator=False, loads=unpickle.loads)

    learner, said = fresh(), []
    for index, part in enumerate(cut(examples, sizes)):
        if index in restarts:
            snapshot, learner = learner.snapshot(), fresh()
            learner.restore(snapshot)
        said.append(learner.predict_then_learn(part))
    predictions = joined(said)

    model, learned = build(pipeline, 3), 0
    for event, (x, y) in enumerate(zip(xs_of(examples), ys_of(examples), strict=True)):
        assert predictions.version_B[event] == learned
        if task == "anomaly":
            assert predictions.value_B[event] == model.score_one(x)
            model.learn_one(x)
            learned += 1
            continue
        answer = model.predict_one(x)
        if task == "regression":
            assert predictions.value_B[event] == answer or not math.isfinite(answer)
        else:
            index = predictions.class_B[event]
            assert answer == (None if index < 0 else examples.classes[index])
            shares = [model.predict_proba_one(x).get(label, np.nan) for label in examples.classes]
            np.testing.assert_array_equal(predictions.probability_BC[event], shares)
        if y is not None:
            model.learn_one(x, y)
            learned += 1
    assert learner.events_learned == learned


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_a_snapshot_is_the_model(data: st.DataObject) -> None:
    """Whatever it learned, our way of pickling and the ordinary one give the same object."""
    task, pipeline = data.draw(st.sampled_from(PIPELINES))
    learner = RiverLearner("m", build(pipeline, 3), task, missing_indicator=False, loads=pickle.loads)
    learner.predict_then_learn(data.draw(examples_of(task)))
    snapshot = learner.snapshot()
    assert snapshot.pickled is not None
    ordinary = pickle.loads(pickle.dumps(learner._model))
    assert structure_digest(pickle.loads(snapshot.pickled)) == structure_digest(ordinary)
