"""River's generalized linear models, event by event: raw prediction, gradient, intercept, step, L1 penalty.

Expressions are in River's order, sums in that of its dict: so without a scaler the numbers are River's to the last bit.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamlearn.events import Bool_B, Code_B, Float_B
from streamlearn.learners.compiled.kernels_inputs import (
    descend,
    dot,
    dot_entries,
    skipped_zeros,
    walk,
    walk_entries,
    walk_zeros,
)
from streamlearn.learners.compiled.kernels_losses import (
    Loss,
    meaning,
    meaning_overflows,
    slope,
    slope_overflows,
)
from streamlearn.learners.compiled.kernels_optimizers import (
    SGD,
    Optimizer,
    Rate,
    rate_at,
    step_size,
)
from streamlearn.learners.compiled.kernels_transform import transform
from streamlearn.learners.compiled.layout import Chunk, Feed, Program, Side, Words
from streamlearn.learners.undoing import WEIGHT_MAX
from streamlearn.native import uncounted, uncounted_inlined

# Members of LinearState.figures.
INTERCEPT, ITERATIONS, PENALTY, SPOILT = range(4)


class LinearModel(NamedTuple):
    """A generalized linear model's parameters."""

    loss: Loss
    optimizer: Optimizer
    intercept_rate: Rate
    l1: float
    l2: float
    gradient_max: float
    initial_weight: float


class LinearState(NamedTuple):
    """What a generalized linear model learned."""

    weight_N: Float_B
    first_N: Float_B  # of the optimizer
    second_N: Float_B
    penalty_N: Float_B  # of L1: what was taken from each weight
    present_N: npt.NDArray[np.bool_]  # whether River's dict has the weight
    figures: Float_B  # INTERCEPT, ITERATIONS, PENALTY, SPOILT


@uncounted
def run_linear(
    model: LinearModel,
    state: LinearState,
    feed: Feed,
    target_B: Float_B,
    said_B: Float_B,
    zero_N: Bool_B,
) -> int:
    """Predict each event, then learn it where it is to be learned, chunk by chunk.

    Returns how many events were done: fewer than there are means that River raises on the next.
    """
    program, words, chunk = feed.program, feed.words, feed.chunk
    is_plain = len(program.region) == 0 and model.initial_weight == 0.0
    done, stop = 0, 0
    while done == stop < len(said_B):
        stop = transform(feed, done)
        target_W, learned_W = target_B[done:stop], feed.batch.learned_B[done:stop]
        said_W, undone_W = said_B[done:stop], feed.batch.undone_B[done:stop]
        if is_plain:
            done += _run_numbers(model, state, program, chunk, target_W, learned_W, undone_W, said_W)
        else:
            done += _run_entries(
                model, state, program, words, chunk, target_W, learned_W, undone_W, said_W, zero_N
            )
    return done


@uncounted
def _run_numbers(
    model: LinearModel,
    state: LinearState,
    program: Program,
    chunk: Chunk,
    target_W: Float_B,
    learned_W: Bool_B,
    undone_W: Code_B,
    said_W: Float_B,
) -> int:
    """Run events that have numbers only. Both sums over the same weights are taken at once."""
    inputs, begin, end = program.inputs, program.model_from, program.model_from + program.inputs
    weight_S, figures = state.weight_N[:inputs], state.figures
    first_S, second_S = state.first_N[:inputs], state.second_N[:inputs]
    before_WV, after_WV = chunk.predicting.value_WV, chunk.learning.value_WV
    adds_l2 = model.l2 != 0.0
    is_plain = model.optimizer.kind == SGD and not adds_l2
    for w in range(len(said_W)):
        x_S = before_WV[w, begin:end]
        raw, raw_learning = 0.0, 0.0
        if not learned_W[w]:
            raw = dot(raw, weight_S, x_S) + figures[INTERCEPT]
            if meaning_overflows(model.loss, raw):
                return w
            said_W[w] = meaning(model.loss, raw)
            continue
        after_S = after_WV[w, begin:end]
        for j in range(inputs):
            raw += weight_S[j] * x_S[j]
            raw_learning += weight_S[j] * after_S[j]
        raw += figures[INTERCEPT]
        raw_learning += figures[INTERCEPT]
        if meaning_overflows(model.loss, raw) or slope_overflows(model.loss, target_W[w], raw_learning):
            return w
        said_W[w] = meaning(model.loss, raw)
        weight = 1.0 if len(undone_W) == 0 else _weight(said_W[w], undone_W[w])
        gradient, size = _begin_step(model, figures, target_W[w], raw_learning, weight)
        if is_plain:
            descend(weight_S, after_S, size, gradient)
        elif walk(model.optimizer, size, model.l2, adds_l2, weight_S, first_S, second_S, after_S, gradient):
            return w
        figures[ITERATIONS] += 1.0
        if model.l1 != 0.0:
            figures[PENALTY] += model.l1 * rate_at(model.optimizer.rate, figures[ITERATIONS])
            for j in range(inputs):
                _penalize(weight_S, state.penalty_N, figures, j)
    if np.any(learned_W):
        state.present_N[:inputs] = True
    return len(said_W)


@uncounted
def _run_entries(
    model: LinearModel,
    state: LinearState,
    program: Program,
    words: Words,
    chunk: Chunk,
    target_W: Float_B,
    learned_W: Bool_B,
    undone_W: Code_B,
    said_W: Float_B,
    zero_N: Bool_B,
) -> int:
    """Run events that have encoded inputs, or weights that do not start at zero."""
    before, after = chunk.predicting, chunk.learning
    weight_N, first_N, second_N, figures = state.weight_N, state.first_N, state.second_N, state.figures
    complete = bool(np.all(state.present_N[: program.inputs]))
    begin = 0
    learning_begin = 0
    for w in range(len(said_W)):
        raw = _raw(weight_N, figures, program, words, before, w, begin, zero_N)
        if meaning_overflows(model.loss, raw):
            return w
        said_W[w] = meaning(model.loss, raw)
        begin = before.end_W[w]
        end = after.end_W[w]
        if not learned_W[w]:
            continue
        if not complete:
            complete = True
            for j in range(program.inputs):
                _take_in(weight_N, state.present_N, j, model.initial_weight)
        for e in range(learning_begin, end):
            _take_in(weight_N, state.present_N, after.weight_E[e], model.initial_weight)
        raw = _raw(weight_N, figures, program, words, after, w, learning_begin, zero_N)
        if slope_overflows(model.loss, target_W[w], raw):
            return w
        weight = 1.0 if len(undone_W) == 0 else _weight(said_W[w], undone_W[w])
        gradient, size = _begin_step(model, figures, target_W[w], raw, weight)
        x_S = after.value_WV[w, program.model_from : program.model_from + program.inputs]
        optimizer, l2, adds_l2 = model.optimizer, model.l2, model.l2 != 0.0
        failed = False
        for part in (slice(0, program.prefix), slice(program.suffix, program.inputs)):
            weight_S, first_S, second_S = weight_N[part], first_N[part], second_N[part]
            failed |= walk(optimizer, size, l2, adds_l2, weight_S, first_S, second_S, x_S[part], gradient)
        raises, finite = walk_entries(
            optimizer,
            size,
            l2,
            adds_l2,
            weight_N,
            first_N,
            second_N,
            after.weight_E,
            after.value_E,
            learning_begin,
            end,
            gradient,
        )
        if not finite:
            figures[SPOILT] = 1.0
        if figures[SPOILT] != 0.0:
            skipped_zeros(program, words, after, w, learning_begin, zero_N)
            failed |= walk_zeros(optimizer, size, l2, adds_l2, weight_N, first_N, second_N, zero_N, gradient)
        if failed or raises:
            return w
        figures[ITERATIONS] += 1.0
        if model.l1 != 0.0:
            figures[PENALTY] += model.l1 * rate_at(model.optimizer.rate, figures[ITERATIONS])
            for j in range(program.prefix):
                _penalize(weight_N, state.penalty_N, figures, j)
            for e in range(learning_begin, end):
                _penalize(weight_N, state.penalty_N, figures, after.weight_E[e])
            for j in range(program.suffix, program.inputs):
                _penalize(weight_N, state.penalty_N, figures, j)
        learning_begin = end
    return len(said_W)


@uncounted_inlined
def _raw(
    weight_N: Float_B,
    figures: Float_B,
    program: Program,
    words: Words,
    side: Side,
    w: int,
    begin: int,
    zero_N: npt.NDArray[np.bool_],
) -> float:
    """River's sum of weight times value, in the order of its dict, and the intercept."""
    x_S = side.value_WV[w, program.model_from : program.model_from + program.inputs]
    total = dot(0.0, weight_N, x_S[: program.prefix])
    total = dot_entries(total, weight_N, side.weight_E, side.value_E, begin, side.end_W[w])
    if figures[SPOILT] != 0.0:
        skipped_zeros(program, words, side, w, begin, zero_N)
        for n in range(len(zero_N)):
            if zero_N[n]:
                total += weight_N[n] * 0.0
    total = dot(total, weight_N[program.suffix :], x_S[program.suffix :])
    return total + float(figures[INTERCEPT])


@uncounted
def _weight(said: float, undone: int) -> float:
    """As undoing.weight has it, of the share that the event's false label has now."""
    if undone < 0:
        return 1.0
    share = said if undone == 1 else 1.0 - said
    if math.isnan(share):
        return 1.0
    return 1.0 / share if share * WEIGHT_MAX > 1.0 else WEIGHT_MAX


@uncounted
def _begin_step(
    model: LinearModel, figures: Float_B, target: float, raw: float, weight: float
) -> tuple[float, float]:
    """Move the intercept; return the loss's gradient, weighted and clipped, and the size of the step."""
    gradient = slope(model.loss, target, raw) * weight
    # As Python's min and max have it: NaN stays.
    if model.gradient_max < gradient:
        gradient = model.gradient_max
    if -model.gradient_max > gradient:
        gradient = -model.gradient_max
    figures[INTERCEPT] -= rate_at(model.intercept_rate, figures[ITERATIONS]) * gradient
    return gradient, step_size(model.optimizer, figures[ITERATIONS])


@uncounted
def _take_in(weight_N: Float_B, present_N: npt.NDArray[np.bool_], n: int, initial_weight: float) -> None:
    if not present_N[n]:
        present_N[n] = True
        weight_N[n] = initial_weight


@uncounted
def _penalize(weight_N: Float_B, penalty_N: Float_B, figures: Float_B, n: int) -> None:
    """River's cumulative L1 penalty (Tsuruoka et al., 2009), clipped at zero."""
    old = weight_N[n]
    if old > 0.0:
        lower = old - (figures[PENALTY] + penalty_N[n])
        weight_N[n] = lower if lower > 0.0 else 0.0
    elif old < 0.0:
        higher = old + (figures[PENALTY] - penalty_N[n])
        weight_N[n] = higher if higher < 0.0 else 0.0
    penalty_N[n] += weight_N[n] - old
