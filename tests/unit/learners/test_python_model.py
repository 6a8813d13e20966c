"""The user's factory: found, called, wrapped, saved in its own way or pickled; refused with a remedy."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from examples_for_tests import assert_same, cut, learn, make_examples

from streamlearn.checkpoints import unpickle
from streamlearn.config import PythonModel, Task
from streamlearn.contracts import Snapshot
from streamlearn.errors import CheckpointRefused, ConfigError, LearnerError
from streamlearn.learners.python_model import PythonLearner, make_python

MODULE = '''
import json
from river import linear_model


class Counting:
    """Says the commonest label so far."""

    def __init__(self, prior=0):
        self.counts = {False: prior, True: 0}

    def learn_one(self, x, y):
        self.counts[y] += 1

    def predict_one(self, x):
        return max(self.counts, key=self.counts.get)

    def predict_proba_one(self, x):
        total = sum(self.counts.values()) or 1
        return {label: count / total for label, count in self.counts.items()}


class Saving(Counting):
    """With a state of its own, and something that no pickle takes."""

    def __init__(self, prior=0):
        super().__init__(prior)
        self.callback = lambda: None

    def snapshot(self):
        return json.dumps([self.counts[False], self.counts[True]]).encode()

    def restore(self, state):
        self.counts = dict(zip((False, True), json.loads(state)))


class Unsaved(Counting):
    def __init__(self):
        super().__init__()
        self.callback = lambda: None


class SavesText(Saving):
    def snapshot(self):
        return "text"


class Farthest:
    def __init__(self):
        self.mean, self.events = 0.0, 0

    def learn_one(self, x):
        self.events += 1
        self.mean += (x["hour"] - self.mean) / self.events

    def score_one(self, x):
        return abs(x["hour"] - self.mean)


class Keeping(Counting):
    """Keeps and changes what it was given."""

    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    def learn_one(self, x, y):
        super().learn_one(x, y)
        self.seen.append(y)

    snapshot = lambda self: b"nothing"
    restore = lambda self, state: None


def make_river():
    return linear_model.LogisticRegression()


def fail(**arguments):
    raise RuntimeError("no luck")


not_callable = 7
'''


@pytest.fixture(autouse=True)
def user_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "user_models.py").write_text(MODULE)
    (tmp_path / "broken_models.py").write_text("raise OSError('no file')")
    (tmp_path / "wanting_models.py").write_text("import a_package_that_is_not_there")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("user_models", "broken_models", "wanting_models"):
        sys.modules.pop(name, None)


def learner_of(
    name: str, task: Task = "binary", *, admit: tuple[str, ...] = (), **arguments: Any
) -> PythonLearner:
    factory = name if ":" in name else f"user_models:{name}"
    settings = PythonModel(name="mine", learner="python", factory=factory, arguments=arguments, admit=admit)
    return make_python(settings, task, unpickle.loads)


def test_the_factory_is_called_with_its_arguments_and_run_by_the_generic_engine() -> None:
    learner = learner_of("Counting", admit=("user_models:Counting",), prior=1_000)
    examples = make_examples("binary", 100)
    predictions = learner.predict_then_learn(examples)
    assert learner.engine == "python"
    assert set(predictions.class_B) == {0}
    assert predictions.probability_BC[0].tolist() == [1.0, 0.0]
    assert learner.events_learned == np.count_nonzero(examples.labelled_B)


@pytest.mark.parametrize(
    ("name", "admit"), [("Counting", ("user_models:Counting",)), ("Saving", ())], ids=["pickled", "hooks"]
)
def test_it_goes_on_from_a_snapshot_as_if_it_had_never_stopped(name: str, admit: tuple[str, ...]) -> None:
    examples = make_examples("binary", 100)
    first, second = cut(examples, [37])
    straight = learner_of(name, admit=admit)
    straight.predict_then_learn(first)
    snapshot = straight.snapshot()
    expected = straight.predict_then_learn(second)
    restored = learner_of(name, admit=admit)
    restored.restore(snapshot)
    assert_same(restored.predict_then_learn(second), expected)
    assert restored.events_learned == straight.events_learned


def test_its_own_bytes_are_never_read_as_a_pickle() -> None:
    snapshot = learner_of("Saving").snapshot()
    assert snapshot.pickled is None
    assert snapshot.arrays["state"].tobytes() == b"[0, 0]"


def test_predicting_changes_neither_the_object_nor_its_arguments() -> None:
    learner = learner_of("Keeping", seen=[])
    examples = make_examples("binary", 20)
    learner.predict(examples)
    assert learner._model.seen == []
    learn(learner, [examples])
    assert len(learner._model.seen) == learner.events_learned
    assert learner._make().seen == []


def test_a_detector_of_one_s_own_learns_from_features_alone() -> None:
    learner = learner_of("Farthest", "anomaly", admit=("user_models:Farthest",))
    predictions = learner.predict_then_learn(make_examples("anomaly", 30))
    assert learner.events_learned == 30
    assert predictions.value_B[0] == make_examples("anomaly", 30).features.numeric_BF[0, 2]


def test_a_river_model_from_a_factory_must_fit_the_task_too() -> None:
    assert learner_of("make_river").engine == "python"
    with pytest.raises(ConfigError, match="it is no regressor"):
        learner_of("make_river", "regression")


@pytest.mark.parametrize(
    ("name", "task", "error", "message"),
    [
        (
            "no_such_module:make",
            "binary",
            ConfigError,
            "cannot be imported: No module named 'no_such_module'",
        ),
        ("wanting_models:make", "binary", ConfigError, "No module named 'a_package_that_is_not_there'"),
        ("broken_models:make", "binary", LearnerError, "importing 'broken_models' raised OSError: no file"),
        ("nothing", "binary", ConfigError, "'user_models' has no function or class 'nothing'"),
        ("not_callable", "binary", ConfigError, "'user_models' has no function or class 'not_callable'"),
        ("fail", "binary", LearnerError, "user_models:fail raised RuntimeError: no luck"),
        ("Counting", "anomaly", LearnerError, "Counting cannot do task 'anomaly'"),
        ("Farthest", "regression", LearnerError, "Farthest cannot do task 'regression'"),
        ("Counting", "binary", LearnerError, "names user_models:Counting, which is not admitted"),
        ("Unsaved", "binary", LearnerError, "could not be restored from a checkpoint"),
        ("SavesText", "binary", LearnerError, r"snapshot\(\) returned str, not bytes"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_remedy(
    name: str, task: Task, error: type[ConfigError | LearnerError], message: str
) -> None:
    with pytest.raises(error, match=message) as refused:
        learner_of(name, task)
    assert refused.value.remedy


def test_wrong_arguments_are_the_factory_s_error() -> None:
    with pytest.raises(LearnerError, match="unexpected keyword argument 'posterior'"):
        learner_of("Saving", posterior=1)


def test_a_snapshot_of_the_other_kind_is_refused() -> None:
    hooks, pickled = learner_of("Saving"), learner_of("Counting", admit=("user_models:Counting",))
    with pytest.raises(CheckpointRefused, match=r"holds no bytes of its snapshot\(\)"):
        hooks.restore(pickled.snapshot())
    with pytest.raises(CheckpointRefused, match="holds no pickled model"):
        pickled.restore(hooks.snapshot())
    with pytest.raises(CheckpointRefused, match="cannot be read back: JSONDecodeError"):
        hooks.restore(Snapshot({"events_learned": 1}, {"state": np.frombuffer(b"{", np.uint8)}))


def test_a_pickle_that_names_anything_else_is_refused() -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return print, ("gotcha",)

    learner = learner_of("Counting", admit=("user_models:Counting",))
    with pytest.raises(CheckpointRefused, match="print, which is not admitted"):
        learner.restore(Snapshot({"events_learned": 1}, pickled=pickle.dumps(Evil())))


def test_it_describes_itself() -> None:
    assert learner_of("Saving").describe() == {
        "model": "user_models:Saving",
        "state": "snapshot() and restore(bytes)",
        "task": "binary",
        "missing_indicator": False,
    }
