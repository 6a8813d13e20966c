"""River's optimizers and learning rates, one weight at a time. Expressions are in River's order.

Where River's Python raises OverflowError (squaring a finite number past float64), a step answers True.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from streamlearn.events import Float_B
from streamlearn.native import uncounted, uncounted_inlined

SGD, MOMENTUM, ADA_GRAD, RMS_PROP, ADAM, FTRL = range(6)
CONSTANT, INVERSE_SCALING, OPTIMAL = range(3)

_HALF = 0.5


class Rate(NamedTuple):
    """A learning rate's schedule: ``first / (t + 1) ** second``, or as River's Optimal has it."""

    kind: int
    first: float
    second: float


class Optimizer(NamedTuple):
    """An optimizer and its parameters; which is which depends on the kind.

    MOMENTUM: rho. ADA_GRAD: eps. RMS_PROP: rho, eps. ADAM: beta_1, beta_2, eps. FTRL: alpha, beta, l1, l2.
    """

    kind: int
    rate: Rate
    first: float
    second: float
    third: float
    fourth: float
    squares_in_python: bool  # River runs Adam and RMSProp in Rust for generalized linear models


@uncounted
def rate_at(rate: Rate, iterations: float) -> float:
    """The learning rate after so many steps."""
    if rate.kind == INVERSE_SCALING:
        return rate.first / math.pow(iterations + 1.0, rate.second)
    if rate.kind == OPTIMAL:
        return 1.0 / (rate.first * (rate.second + iterations))
    return rate.first


@uncounted
def step_size(optimizer: Optimizer, iterations: float) -> float:
    """The learning rate of a step, with Adam's correction of its bias."""
    size = rate_at(optimizer.rate, iterations)
    if optimizer.kind == ADAM:
        size = size * (1.0 - math.pow(optimizer.second, iterations + 1.0)) ** _HALF
        size /= 1.0 - math.pow(optimizer.first, iterations + 1.0)
    return size


@uncounted_inlined
def step(
    optimizer: Optimizer,
    size: float,
    weight: Float_B,
    first: Float_B,
    second: Float_B,
    j: int,
    gradient: float,
) -> bool:
    """Move weight ``j`` along its gradient; ``first`` and ``second`` hold the optimizer's own state."""
    kind = optimizer.kind
    if kind == SGD:
        weight[j] -= size * gradient
        return False
    if kind == MOMENTUM:
        first[j] = optimizer.first * first[j] + size * gradient
        weight[j] -= first[j]
        return False
    square = gradient * gradient
    overflows = optimizer.squares_in_python and math.isinf(square) and not math.isinf(gradient)
    if kind == ADA_GRAD:
        first[j] += square
        weight[j] -= size / math.sqrt(first[j] + optimizer.first) * gradient
    elif kind == RMS_PROP:
        first[j] = optimizer.first * first[j] + (1.0 - optimizer.first) * square
        weight[j] -= size / math.sqrt(first[j] + optimizer.second) * gradient
    elif kind == ADAM:
        first[j] = optimizer.first * first[j] + (1.0 - optimizer.first) * gradient
        second[j] = optimizer.second * second[j] + (1.0 - optimizer.second) * square
        weight[j] -= size * first[j] / (math.sqrt(second[j]) + optimizer.third)
    else:
        _ftrl(optimizer, weight, first, second, j, gradient, square)
    return overflows


@uncounted_inlined
def _ftrl(
    optimizer: Optimizer,
    weight: Float_B,
    z: Float_B,
    n: Float_B,
    j: int,
    gradient: float,
    square: float,
) -> None:
    alpha, beta, l1, l2 = optimizer.first, optimizer.second, optimizer.third, optimizer.fourth
    root = math.sqrt(n[j])
    if abs(z[j]) > l1:
        sign = 1.0 if z[j] > 0.0 else -1.0
        weight[j] = -(1.0 / ((beta + root) / alpha + l2)) * (z[j] - sign * l1)
    sigma = (math.sqrt(n[j] + square) - root) / alpha
    z[j] += gradient - sigma * weight[j]
    n[j] += square
