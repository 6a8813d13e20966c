"""River's losses: the gradient at a raw prediction, and what the raw prediction means. In River's order."""

from __future__ import annotations

import math
from typing import NamedTuple

from streamlearn.events import Code_B, Float_B, Float_BC, Int_B
from streamlearn.native import uncounted

LOG, HINGE, FOCAL, SQUARED, ABSOLUTE, CAUCHY, HUBER, EPSILON_HINGE, QUANTILE, POISSON = range(10)
BINARY_LOSSES = (LOG, HINGE, FOCAL)


class Loss(NamedTuple):
    """A loss and its parameters; which is which depends on the kind.

    LOG: weight_pos, weight_neg. HINGE: threshold. FOCAL: gamma, beta. CAUCHY: C. HUBER: epsilon.
    EPSILON_HINGE: eps. QUANTILE: alpha.
    """

    kind: int
    first: float
    second: float


@uncounted
def sigmoid(x: float) -> float:
    """River's sigmoid, which is 0 and 1 from 30 on."""
    if x < -30.0:
        return 0.0
    if x > 30.0:
        return 1.0
    return 1.0 / (1.0 + math.exp(-x))


@uncounted
def meaning(loss: Loss, raw: float) -> float:
    """River's ``mean_func``: a probability for binary losses, a number for others."""
    if loss.kind <= FOCAL:
        return sigmoid(raw)
    if loss.kind == POISSON:
        return math.exp(raw)
    return raw


@uncounted
def meaning_overflows(loss: Loss, raw: float) -> bool:
    """Whether River's Python raises OverflowError where it says what this prediction means."""
    return loss.kind == POISSON and math.isinf(math.exp(raw)) and not math.isinf(raw)


@uncounted
def slope_overflows(loss: Loss, target: float, raw: float) -> bool:
    """Whether River's Python raises OverflowError where it takes the gradient."""
    if loss.kind == CAUCHY:
        ratio = (raw - target) / loss.first
        return math.isinf(ratio * ratio) and not math.isinf(ratio)
    return meaning_overflows(loss, raw)


@uncounted
def slope(loss: Loss, target: float, raw: float) -> float:
    """River's ``gradient`` with respect to the raw prediction; a binary target is 0 or 1."""
    kind = loss.kind
    if kind == LOG:
        return _log_slope(loss, target, raw)
    if kind == SQUARED:
        return 2.0 * (raw - target)
    if kind == HINGE:
        side = target * 2.0 - 1.0
        return -side if side * raw <= loss.first else 0.0
    if kind == FOCAL:
        side = target * 2.0 - 1.0
        return side * (sigmoid(loss.first * (side * raw) + loss.second) - 1.0)
    if kind == ABSOLUTE:
        return 1.0 if raw > target else -1.0
    if kind == CAUCHY:
        difference = raw - target
        ratio = difference / loss.first
        return difference / (ratio * ratio + 1.0)
    if kind == HUBER:
        residual = raw - target
        if abs(residual) <= loss.first:
            return residual
        return loss.first if residual > 0.0 else -loss.first
    if kind == EPSILON_HINGE:
        # River maps the target as if it were a binary one.
        target = target * 2.0 - 1.0
        if raw > target + loss.first:
            return 1.0
        return -1.0 if raw + loss.first < target else 0.0
    if kind == QUANTILE:
        return (1.0 if target < raw else 0.0) - loss.first
    return math.exp(raw) - target


@uncounted
def _log_slope(loss: Loss, target: float, raw: float) -> float:
    weight = loss.second if target == 0.0 else loss.first
    side = -1.0 if target == 0.0 else 1.0
    z = raw * side
    if z > 18.0:
        return weight * math.exp(-z) * -side
    if z < -18.0:
        return weight * -side
    return weight * -side / (math.exp(z) + 1.0)


@uncounted
def tell_of_two(
    said_B: Float_B, class_of_two: Code_B, kind_C: Int_B, class_B: Code_B, share_BC: Float_BC
) -> None:
    """Write which of two classes each share of the true one stands for, and the shares of all columns.

    ``class_of_two``: the class of false, and that of true. ``kind_C``: 0 and 1 for their columns, -1 for others.
    """
    for b in range(len(said_B)):
        share = said_B[b]
        other = 1.0 - share
        # Of equals River takes the first in its dict, which is False.
        class_B[b] = class_of_two[1] if share > other else class_of_two[0]
        if not math.isfinite(share):
            share = other = math.nan
        for c in range(len(kind_C)):
            share_BC[b, c] = share if kind_C[c] == 1 else other if kind_C[c] == 0 else math.nan
