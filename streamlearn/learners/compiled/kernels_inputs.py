"""What linear models do with an event's inputs: sum weight times value, and move weights along a gradient.

A model's inputs are numbers and entries (layout.py); each function does one of the two, so that it takes few arrays:
kernels are called once an event, and passing whole tuples of arrays would cost more than the sums. Those of numeric inputs
take slices that begin at 0, which the compiler can turn into vector instructions.

A one-hot encoder's zeros change nothing under some optimizers (``plan_models.ignores_zeros``), and are not among the
entries then; unless a number is not finite, for 0 * inf is not 0. From then on a model is **spoilt**: the zeros
are gone through one by one, and its numbers stay River's.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from streamlearn.events import Bool_B, Float_B, Int_B
from streamlearn.learners.compiled.kernels_optimizers import SGD, Optimizer, step
from streamlearn.learners.compiled.layout import BLOCK_SKIPS_ZEROS, Program, Side, Words
from streamlearn.native import uncounted, uncounted_inlined
from streamlearn.native_lanes import LANES, lanes, load, store


@uncounted
def dot(total: float, weight_S: Float_B, x_S: Float_B) -> float:
    """``total`` and the products of some numeric inputs, one after the other."""
    for j in range(len(x_S)):
        total += weight_S[j] * x_S[j]
    return total


@uncounted
def dot_entries(
    total: float, weight_N: Float_B, weight_E: Int_B, value_E: Float_B, begin: int, end: int
) -> float:
    """``total`` and the products of entries ``begin:end``, one after the other."""
    for e in range(begin, end):
        total += weight_N[weight_E[e]] * value_E[e]
    return total


@uncounted
def dot_present(total: float, weight_S: Float_B, present_S: Bool_B, x_S: Float_B) -> float:
    """As ``dot``, without inputs whose weight River's dict does not have."""
    for j in range(len(x_S)):
        if present_S[j]:
            total += weight_S[j] * x_S[j]
    return total


@uncounted
def dot_entries_present(
    total: float,
    weight_N: Float_B,
    present_N: Bool_B,
    weight_E: Int_B,
    value_E: Float_B,
    begin: int,
    end: int,
) -> float:
    """As ``dot_entries``, without entries whose weight River's dict does not have."""
    for e in range(begin, end):
        if present_N[weight_E[e]]:
            total += weight_N[weight_E[e]] * value_E[e]
    return total


@uncounted
def skipped_zeros(
    program: Program, words: Words, side: Side, w: int, begin: int, scratch_N: npt.NDArray[np.bool_]
) -> None:
    """Mark the weights for which River's dict holds a zero that is not among the event's entries."""
    scratch_N[:] = False
    for place in range(1, side.places_W[w] + 1):
        if program.block_KX[words.block_of_place[place], BLOCK_SKIPS_ZEROS]:
            scratch_N[program.inputs + place] = True
    for e in range(begin, side.end_W[w]):
        scratch_N[side.weight_E[e]] = False


@uncounted_inlined
def _move(
    optimizer: Optimizer,
    size: float,
    l2: float,
    adds_l2: bool,
    weight_N: Float_B,
    first_N: Float_B,
    second_N: Float_B,
    n: int,
    along: float,
) -> bool:
    if adds_l2:
        along += l2 * weight_N[n]
    return step(optimizer, size, weight_N, first_N, second_N, n, along)


@uncounted
def descend(weight_S: Float_B, x_S: Float_B, size: float, gradient: float) -> None:
    """Plain gradient descent on some numeric inputs."""
    whole = len(x_S) - len(x_S) % LANES
    sizes, gradients = lanes(size), lanes(gradient)
    for j in range(0, whole, LANES):
        step_along = sizes * (load(x_S, j, sizes) * gradients)
        store(weight_S, j, load(weight_S, j, sizes) - step_along)
    for j in range(whole, len(x_S)):
        weight_S[j] -= size * (x_S[j] * gradient)


@uncounted
def walk(
    optimizer: Optimizer,
    size: float,
    l2: float,
    adds_l2: bool,
    weight_S: Float_B,
    first_S: Float_B,
    second_S: Float_B,
    x_S: Float_B,
    gradient: float,
) -> bool:
    """Move the weights of some numeric inputs along the gradient. True: River raises."""
    if optimizer.kind == SGD and not adds_l2:
        descend(weight_S, x_S, size, gradient)
        return False
    failed = False
    for j in range(len(x_S)):
        failed |= _move(optimizer, size, l2, adds_l2, weight_S, first_S, second_S, j, x_S[j] * gradient)
    return failed


@uncounted
def walk_entries(
    optimizer: Optimizer,
    size: float,
    l2: float,
    adds_l2: bool,
    weight_N: Float_B,
    first_N: Float_B,
    second_N: Float_B,
    weight_E: Int_B,
    value_E: Float_B,
    begin: int,
    end: int,
    gradient: float,
) -> tuple[bool, bool]:
    """Move the weights of entries ``begin:end``. Returns whether River raises, and whether all stay finite."""
    failed = False
    finite = math.isfinite(gradient)
    for e in range(begin, end):
        n = weight_E[e]
        failed |= _move(optimizer, size, l2, adds_l2, weight_N, first_N, second_N, n, value_E[e] * gradient)
        finite &= math.isfinite(weight_N[n])
    return failed, finite


@uncounted
def walk_zeros(
    optimizer: Optimizer,
    size: float,
    l2: float,
    adds_l2: bool,
    weight_N: Float_B,
    first_N: Float_B,
    second_N: Float_B,
    zero_N: npt.NDArray[np.bool_],
    gradient: float,
) -> bool:
    """Move the weights of the zeros that are marked. True: River raises."""
    failed = False
    for n in range(len(zero_N)):
        if zero_N[n]:
            failed |= _move(optimizer, size, l2, adds_l2, weight_N, first_N, second_N, n, 0.0 * gradient)
    return failed
