"""What is lowered and what is refused, each with its reason."""

from __future__ import annotations

from typing import Any

import pytest
from river import compose, ensemble, linear_model, optim, preprocessing

from streamlearn.config import Task
from streamlearn.learners.compiled.plan import CompiledProgram, lower
from streamlearn.learners.compiled.refusal import Refusal
from streamlearn.learners.river_build import build

NUMERIC, CATEGORICAL = ("a", "b"), ("k", "m")
LOGISTIC = linear_model.LogisticRegression
NUMBERS = compose.Select("a")
TEXTS = compose.Select("k")


def lowered(model: Any, task: Task = "binary") -> CompiledProgram | Refusal:
    return lower(model, task, NUMERIC, CATEGORICAL)


class Scaler(preprocessing.StandardScaler):
    """A subclass may do anything."""


REFUSED = [
    (NUMBERS | preprocessing.Normalizer() | LOGISTIC(), "Normalizer is not compiled"),
    (NUMBERS | Scaler() | LOGISTIC(), "Scaler is not compiled"),
    (NUMBERS | preprocessing.StandardScaler(window_size=5) | LOGISTIC(), "window_size"),
    (NUMBERS | preprocessing.MinMaxScaler(window_size=5) | LOGISTIC(), "window_size"),
    (NUMBERS | ensemble.BaggingClassifier(LOGISTIC()), "BaggingClassifier is not compiled"),
    (LOGISTIC(), "text of 'k'"),
    (preprocessing.StandardScaler() | LOGISTIC(), "text of 'k'"),
    (compose.Select("z") | LOGISTIC(), "Select names 'z'"),
    (NUMBERS | preprocessing.OneHotEncoder() | LOGISTIC(), "'a', which is no categorical feature"),
    (TEXTS | preprocessing.OneHotEncoder(drop_first=True) | LOGISTIC(), "drop_first"),
    (TEXTS | preprocessing.OneHotEncoder(categories={"k": {"x"}}) | LOGISTIC(), "categories"),
    (TEXTS | preprocessing.OneHotEncoder() | compose.Select("k_x") | LOGISTIC(), "chooses from what an encoder makes"),
    (TEXTS | preprocessing.OneHotEncoder() | preprocessing.FeatureHasher() | LOGISTIC(), "what another encoder makes"),
    (NUMBERS | LOGISTIC(optimizer=optim.Nadam()), "the optimizer Nadam"),
    (NUMBERS | LOGISTIC(optimizer=optim.AdaGrad(eps=0.0)), "AdaGrad(eps=0.0)"),
    (NUMBERS | LOGISTIC(optimizer=optim.Adam(beta_1=1.0)), "Adam(beta_1=1.0)"),
    (NUMBERS | LOGISTIC(optimizer=optim.FTRLProximal(), l1=0.1), "no learning rate"),
    (NUMBERS | LOGISTIC(initializer=optim.initializers.Normal(seed=1)), "weights from Normal"),
    (NUMBERS | LOGISTIC(loss=optim.losses.Squared()), "the loss Squared"),
    (NUMBERS | LOGISTIC(l2=float("nan")), "l2=nan"),
    (NUMBERS | linear_model.PAClassifier(mode=2, C=0), "mode 2 and C 0"),
    (NUMBERS | linear_model.SoftmaxRegression(loss=optim.losses.CrossEntropy({"x": 2.0})), "a loss of its own"),
    (compose.Pipeline(("inner", compose.Pipeline(NUMBERS, preprocessing.StandardScaler())), LOGISTIC()), "a pipeline stands within a pipeline"),
]  # fmt: skip


@pytest.mark.parametrize(("model", "reason"), REFUSED, ids=[reason for _, reason in REFUSED])
def test_what_is_not_known_to_the_last_number_is_refused(model: Any, reason: str) -> None:
    refusal = lowered(model)
    assert isinstance(refusal, Refusal)
    assert reason in str(refusal)


def test_anomaly_detectors_are_refused() -> None:
    assert isinstance(lowered(NUMBERS | LOGISTIC(), "anomaly"), Refusal)


@pytest.mark.parametrize(
    ("transformers", "reason"),
    [
        (["preprocessing.FeatureHasher", {"use": "preprocessing.FeatureHasher", "seed": 4}], "two FeatureHashers"),
        ([_one_hot := {"use": "compose.Pipeline", "steps": [{"use": "compose.Select", "keys": ["k"]}, "preprocessing.OneHotEncoder"]}, _one_hot], "one and the same key"),
    ],
)  # fmt: skip
def test_encoders_whose_keys_fall_together_are_refused(transformers: list[Any], reason: str) -> None:
    union = {"use": "compose.TransformerUnion", "transformers": transformers}
    refusal = lowered(build([union, "linear_model.LogisticRegression"], 0))
    assert isinstance(refusal, Refusal)
    assert reason in str(refusal)


def test_a_category_that_could_hide_a_number_is_refused() -> None:
    encoder = compose.Select("k") | preprocessing.OneHotEncoder()
    union = compose.TransformerUnion(encoder, compose.Select("k_x"))
    refusal = lower(union | LOGISTIC(), "binary", ("k_x",), ("k",))
    assert "could take the place of the feature 'k_x'" in str(refusal)


def test_the_inputs_stand_in_rivers_order() -> None:
    """A union's last transformer comes first, and the first one's values win."""
    union = compose.TransformerUnion(
        compose.Select("b") | preprocessing.MinMaxScaler(),
        ("second", build([{"use": "compose.Select", "keys": ["a", "b"]}, "preprocessing.StandardScaler"], 0)),
    )
    program = lowered(union | LOGISTIC())
    assert isinstance(program, CompiledProgram)
    assert program.inputs == ("a", "b")
    assert [scaler.names for scaler in program.scalers] == [("b",), ("a", "b")]


def test_lowering_changes_nothing() -> None:
    model = NUMBERS | preprocessing.StandardScaler() | LOGISTIC()
    program = lowered(model)
    assert isinstance(program, CompiledProgram)
    model.learn_one({"a": 1.0}, True)
    assert program.template["LogisticRegression"].weights == {}
