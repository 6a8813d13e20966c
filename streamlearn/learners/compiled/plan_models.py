"""Lowering of models: River's parameters as the kernels take them, and what of them is not compiled."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from river import linear_model, naive_bayes, optim

from streamlearn.learners.compiled import kernels_losses, kernels_optimizers
from streamlearn.learners.compiled.kernels_linear import LinearModel
from streamlearn.learners.compiled.kernels_losses import Loss
from streamlearn.learners.compiled.kernels_optimizers import Optimizer, Rate
from streamlearn.learners.compiled.kernels_passive import PassiveModel
from streamlearn.learners.compiled.kernels_softmax import SoftmaxModel
from streamlearn.learners.compiled.plan_transformers import Path
from streamlearn.learners.compiled.refusal import CannotLower, name_of


@dataclass(frozen=True, slots=True)
class Linear:
    """LinearRegression, LogisticRegression or Perceptron."""

    path: Path
    parameters: LinearModel
    classifies: bool


@dataclass(frozen=True, slots=True)
class Passive:
    """PAClassifier or PARegressor."""

    path: Path
    parameters: PassiveModel

    @property
    def classifies(self) -> bool:
        return self.parameters.classifies


@dataclass(frozen=True, slots=True)
class Softmax:
    """SoftmaxRegression."""

    path: Path
    parameters: SoftmaxModel


@dataclass(frozen=True, slots=True)
class Bayes:
    """GaussianNB."""

    path: Path


Model = Linear | Passive | Softmax | Bayes


def lower_model(part: Any, path: Path) -> Model:
    """Lower a pipeline's last step. Raises CannotLower.

    >>> lower_model(linear_model.Perceptron(), ()).parameters.optimizer.rate.first
    1.0
    """
    kind = type(part)
    if kind is linear_model.LinearRegression:
        return Linear(path, _linear(part, _REGRESSION_LOSSES), classifies=False)
    if kind in (linear_model.LogisticRegression, linear_model.Perceptron):
        return Linear(path, _linear(part, _BINARY_LOSSES), classifies=True)
    if kind in (linear_model.PAClassifier, linear_model.PARegressor):
        return Passive(path, _passive(part))
    if kind is linear_model.SoftmaxRegression:
        return Softmax(path, _softmax(part))
    if kind is naive_bayes.GaussianNB:
        return Bayes(path)
    raise CannotLower(f"{name_of(part)} is not compiled")


def ignores_zeros(model: Model) -> bool:
    """Whether an input that is zero changes nothing, neither in a prediction nor in what is learned."""
    match model:
        case Linear():
            return not model.parameters.l1 and not model.parameters.l2 and _rests(model.parameters.optimizer)
        case Softmax():
            return not model.parameters.l2 and _rests(model.parameters.optimizer)
        case Passive():
            return True
        case Bayes():
            return False


def _rests(optimizer: Optimizer) -> bool:
    """Whether a gradient of zero moves nothing; others go on by what they gathered before."""
    return optimizer.kind in (kernels_optimizers.SGD, kernels_optimizers.ADA_GRAD)


def _linear(part: Any, losses: dict[type, tuple[int, tuple[str, ...]]]) -> LinearModel:
    if type(part.initializer) not in (optim.initializers.Zeros, optim.initializers.Constant):
        raise CannotLower(f"weights from {name_of(part.initializer)} are not compiled")
    optimizer = _optimizer(part.optimizer, in_python=False)
    if part.l1 and optimizer.kind == kernels_optimizers.FTRL:
        raise CannotLower("FTRLProximal has no learning rate for the model's l1")
    return LinearModel(
        loss=_loss(part.loss, losses),
        optimizer=optimizer,
        intercept_rate=_rate(part.intercept_lr),
        l1=_number(part, "l1"),
        l2=_number(part, "l2"),
        gradient_max=_number(part, "clip_gradient"),
        initial_weight=_number(part.initializer, "value"),
    )


def _passive(part: Any) -> PassiveModel:
    aggressiveness = _number(part, "C")
    if part.mode not in (0, 1, 2) or (part.mode == 2 and aggressiveness == 0.0):
        raise CannotLower(f"{name_of(part)} with mode {part.mode} and C {part.C} is not compiled")
    is_classifier = type(part) is linear_model.PAClassifier
    return PassiveModel(
        classifies=is_classifier,
        aggressiveness=aggressiveness,
        mode=int(part.mode),
        tolerance=0.0 if is_classifier else _number(part, "eps"),
        learns_intercept=bool(part.learn_intercept),
    )


def _softmax(part: Any) -> SoftmaxModel:
    if type(part.loss) is not optim.losses.CrossEntropy or part.loss.class_weight:
        raise CannotLower("SoftmaxRegression with a loss of its own is not compiled")
    if part.optimizer.n_iterations:
        raise CannotLower("SoftmaxRegression with an optimizer that was used before is not compiled")
    return SoftmaxModel(optimizer=_optimizer(part.optimizer, in_python=True), l2=_number(part, "l2"))


def _optimizer(part: Any, *, in_python: bool) -> Optimizer:
    if type(part) not in _OPTIMIZERS:
        raise CannotLower(f"the optimizer {name_of(part)} is not compiled")
    kind, names = _OPTIMIZERS[type(part)]
    parameters = [_number(part, name) for name in names]
    for name, value in zip(names, parameters, strict=True):
        # Where River divides by zero, or takes the root of a negative number.
        is_share = name in ("rho", "beta_1", "beta_2")
        is_positive = name in ("eps", "alpha")
        if (is_share and not 0.0 <= value < 1.0) or (is_positive and not value > 0.0):
            raise CannotLower(f"{name_of(part)}({name}={value!r}) is not compiled")
    if kind == kernels_optimizers.FTRL and (parameters[1] <= 0.0 or parameters[3] < 0.0):
        raise CannotLower(f"{name_of(part)}(beta={part.beta!r}, l2={part.l2!r}) is not compiled")
    first, second, third, fourth = [*parameters, 0.0, 0.0, 0.0, 0.0][:4]
    rate = Rate(kernels_optimizers.CONSTANT, 0.0, 0.0)
    if kind != kernels_optimizers.FTRL:
        rate = _rate(part.lr)
    squares_in_python = in_python or kind in (kernels_optimizers.ADA_GRAD, kernels_optimizers.FTRL)
    return Optimizer(kind, rate, first, second, third, fourth, squares_in_python)


def _rate(part: Any) -> Rate:
    if type(part) is optim.schedulers.Constant:
        return Rate(kernels_optimizers.CONSTANT, _number(part, "learning_rate"), 0.0)
    if type(part) is optim.schedulers.InverseScaling:
        return Rate(
            kernels_optimizers.INVERSE_SCALING, _number(part, "learning_rate"), _number(part, "power")
        )
    if type(part) is optim.schedulers.Optimal:
        return Rate(kernels_optimizers.OPTIMAL, _number(part, "alpha"), _number(part, "t0"))
    raise CannotLower(f"the learning rate {name_of(part)} is not compiled")


def _loss(part: Any, losses: dict[type, tuple[int, tuple[str, ...]]]) -> Loss:
    if type(part) not in losses:
        raise CannotLower(f"the loss {name_of(part)} is not compiled for this model")
    kind, names = losses[type(part)]
    parameters = [_number(part, name) for name in names]
    if kind == kernels_losses.CAUCHY and parameters[0] == 0.0:
        raise CannotLower("Cauchy(C=0) is not compiled")
    first, second = [*parameters, 0.0, 0.0][:2]
    return Loss(kind, first, second)


def _number(part: Any, name: str) -> float:
    value = getattr(part, name)
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise CannotLower(f"{name_of(part)}({name}={value!r}) is not compiled")
    return float(value)


_OPTIMIZERS: dict[type, tuple[int, tuple[str, ...]]] = {
    optim.SGD: (kernels_optimizers.SGD, ()),
    optim.Momentum: (kernels_optimizers.MOMENTUM, ("rho",)),
    optim.AdaGrad: (kernels_optimizers.ADA_GRAD, ("eps",)),
    optim.RMSProp: (kernels_optimizers.RMS_PROP, ("rho", "eps")),
    optim.Adam: (kernels_optimizers.ADAM, ("beta_1", "beta_2", "eps")),
    optim.FTRLProximal: (kernels_optimizers.FTRL, ("alpha", "beta", "l1", "l2")),
}

_BINARY_LOSSES: dict[type, tuple[int, tuple[str, ...]]] = {
    optim.losses.Log: (kernels_losses.LOG, ("weight_pos", "weight_neg")),
    optim.losses.Hinge: (kernels_losses.HINGE, ("threshold",)),
    optim.losses.BinaryFocalLoss: (kernels_losses.FOCAL, ("gamma", "beta")),
}

_REGRESSION_LOSSES: dict[type, tuple[int, tuple[str, ...]]] = {
    optim.losses.Squared: (kernels_losses.SQUARED, ()),
    optim.losses.Absolute: (kernels_losses.ABSOLUTE, ()),
    optim.losses.Cauchy: (kernels_losses.CAUCHY, ("C",)),
    optim.losses.Huber: (kernels_losses.HUBER, ("epsilon",)),
    optim.losses.EpsilonInsensitiveHinge: (kernels_losses.EPSILON_HINGE, ("eps",)),
    optim.losses.Quantile: (kernels_losses.QUANTILE, ("alpha",)),
    optim.losses.Poisson: (kernels_losses.POISSON, ()),
}
