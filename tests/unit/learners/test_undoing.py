"""A late label takes back the default that was learned in its place; who cannot weigh is refused by name."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from streamlearn.assemble import shard_factory
from streamlearn.config_file import parse
from streamlearn.errors import ConfigError
from streamlearn.events import NO_LABEL, Examples, Features, Float_B
from streamlearn.learners.compiled.learner import CompiledLearner, make_compiled
from streamlearn.learners.river_build import build, last_step
from streamlearn.learners.river_model import RiverLearner

TEXT = """
[stream]
name = "clicks"
task = "binary"
[source.kafka]
bootstrap_servers = "nowhere:1"
topics = ["shown"]
group_id = "clicks"
[event]
id = "id"
numeric = ["a", "b"]
[labels]
id = "of"
label = "clicked"
wait = "1h"
on_expiry = false
on_late_label = "correct"
[[models]]
name = "model"
"""
RATE = 0.1
LOGISTIC = {
    "use": "linear_model.LogisticRegression",
    "optimizer": {"use": "optim.SGD", "lr": RATE},
    "intercept_lr": RATE,
}


def example(x: list[float], label: bool, undone: int = NO_LABEL) -> Examples:
    features = Features(("a", "b"), np.array([x]), np.zeros((1, 2), np.bool_), ())
    target, undoes = np.array([int(label)], np.int32), np.array([undone], np.int32)
    return Examples(features, target, np.ones(1, np.bool_), (False, True), undoes)


def learners() -> list[RiverLearner | CompiledLearner]:
    compiled = make_compiled(
        "m",
        build([LOGISTIC], 0),
        "binary",
        ["a", "b"],
        [],
        missing_indicator=False,
        loads=pickle.loads,
    )
    assert isinstance(compiled, CompiledLearner)
    river = RiverLearner("m", build([LOGISTIC], 0), "binary", missing_indicator=False, loads=pickle.loads)
    return [river, compiled]


@pytest.mark.parametrize("learner", learners(), ids=lambda each: each.engine)
@pytest.mark.parametrize("default", [False, True])
def test_the_step_takes_the_defaults_gradient_back_and_goes_the_labels(
    learner: RiverLearner | CompiledLearner, default: bool
) -> None:
    """For the logarithmic loss the sum of the two is the features themselves, whatever the model says by now."""
    for number in range(20):
        learner.predict_then_learn(example([0.1 * number, 1.0], number % 3 == 0))

    def weights() -> Float_B:
        model = learner.to_river() if isinstance(learner, CompiledLearner) else learner._model
        final = last_step(model)
        return np.array([final.weights["a"], final.weights["b"], final.intercept])

    before = weights()
    learner.predict_then_learn(example([0.7, -2.0], not default, undone=int(default)))
    direction = -1.0 if default else 1.0
    np.testing.assert_allclose(weights() - before, direction * RATE * np.array([0.7, -2.0, 1.0]), rtol=1e-9)


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (
            'learner = "river"\npipeline = ["linear_model.PAClassifier"]',
            r"engine 'compiled'.*PAClassifier\.learn_one takes no weight w",
        ),
        (
            'learner = "river"\npipeline = ["forest.ARFClassifier"]',
            r"engine 'river'.*ARFClassifier\.learn_one takes no weight w",
        ),
        ('learner = "torch"\nhidden = [4]', r"engine 'torch'.*it takes none"),
        (
            'learner = "python"\nfactory = "river.naive_bayes:GaussianNB"',
            r"engine 'python'.*GaussianNB\.learn_one takes no weight w",
        ),
    ],
)
def test_a_model_that_takes_no_weights_is_refused_by_name(model: str, why: str) -> None:
    with pytest.raises(ConfigError, match=f"model 'model' .{why}"):
        shard_factory(parse(TEXT + model, [], {}))("clicks", {})


def test_models_that_take_weights_are_made() -> None:
    for pipeline in ("linear_model.LogisticRegression", "tree.HoeffdingTreeClassifier"):
        text = TEXT + f'learner = "river"\npipeline = ["preprocessing.StandardScaler", "{pipeline}"]'
        shard_factory(parse(text, [], {}))("clicks", {})
