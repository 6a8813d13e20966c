"""River's passive-aggressive classifier and regressor, event by event (Crammer et al., 2006)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamlearn.events import Bool_B, Float_B
from streamlearn.learners.compiled.kernels_inputs import dot_entries_present, dot_present, skipped_zeros
from streamlearn.learners.compiled.kernels_losses import sigmoid
from streamlearn.learners.compiled.kernels_transform import transform
from streamlearn.learners.compiled.layout import Feed, Program, Side, Words
from streamlearn.native import uncounted, uncounted_inlined

# Members of PassiveState.figures.
INTERCEPT, SPOILT = range(2)


class PassiveModel(NamedTuple):
    """A passive-aggressive model's parameters."""

    classifies: bool
    aggressiveness: float  # C
    mode: int
    tolerance: float  # eps; regression only
    learns_intercept: bool


class PassiveState(NamedTuple):
    """What a passive-aggressive model learned."""

    weight_N: Float_B
    present_N: npt.NDArray[np.bool_]  # whether River's dict has the weight
    figures: Float_B  # INTERCEPT, SPOILT


@uncounted
def run_passive(
    model: PassiveModel,
    state: PassiveState,
    feed: Feed,
    target_B: Float_B,
    said_B: Float_B,
    zero_N: Bool_B,
) -> int:
    """Predict each event, then learn it where it is to be learned. Returns as ``run_linear`` does."""
    done, stop = 0, 0
    while done == stop < len(said_B):
        stop = transform(feed, done)
        learned_W = feed.batch.learned_B[done:stop]
        done += _run_chunk(model, state, feed, target_B[done:stop], learned_W, said_B[done:stop], zero_N)
    return done


@uncounted
def _run_chunk(
    model: PassiveModel,
    state: PassiveState,
    feed: Feed,
    target_W: Float_B,
    learned_W: Bool_B,
    said_W: Float_B,
    zero_N: Bool_B,
) -> int:
    program, words, chunk = feed.program, feed.words, feed.chunk
    before, after = chunk.predicting, chunk.learning
    weight_N, present_N, figures = state.weight_N, state.present_N, state.figures
    begin = 0
    learning_begin = 0
    for w in range(len(said_W)):
        raw = _raw(weight_N, present_N, figures, program, words, before, w, begin, zero_N)
        said_W[w] = sigmoid(raw) if model.classifies else raw
        begin = before.end_W[w]
        if not learned_W[w]:
            continue
        raw = _raw(weight_N, present_N, figures, program, words, after, w, learning_begin, zero_N)
        x_S = after.value_WV[w, program.model_from : program.model_from + program.inputs]
        end = after.end_W[w]
        norm = _squared_norm(x_S, program.prefix, program.suffix, after.value_E, learning_begin, end)
        move = _step_length(model, target_W[w], raw, norm)
        finite = _learn(weight_N, x_S, program.prefix, program.suffix, after, learning_begin, end, move)
        present_N[: program.inputs] = True
        for e in range(learning_begin, end):
            present_N[after.weight_E[e]] = True
        if not finite:
            figures[SPOILT] = 1.0
        if figures[SPOILT] != 0.0:
            skipped_zeros(program, words, after, w, learning_begin, zero_N)
            for n in range(len(zero_N)):
                if zero_N[n]:
                    weight_N[n] += move * 0.0
        if model.learns_intercept:
            figures[INTERCEPT] += move
        learning_begin = end
    return len(said_W)


@uncounted_inlined
def _raw(
    weight_N: Float_B,
    present_N: Bool_B,
    figures: Float_B,
    program: Program,
    words: Words,
    side: Side,
    w: int,
    begin: int,
    zero_N: Bool_B,
) -> float:
    x_S = side.value_WV[w, program.model_from : program.model_from + program.inputs]
    end = side.end_W[w]
    total = dot_present(0.0, weight_N, present_N, x_S[: program.prefix])
    total = dot_entries_present(total, weight_N, present_N, side.weight_E, side.value_E, begin, end)
    if figures[SPOILT] != 0.0:
        skipped_zeros(program, words, side, w, begin, zero_N)
        for n in range(len(zero_N)):
            if zero_N[n] and present_N[n]:
                total += weight_N[n] * 0.0
    suffix = program.suffix
    total = dot_present(total, weight_N[suffix:], present_N[suffix:], x_S[suffix:])
    return total + float(figures[INTERCEPT])


@uncounted
def _squared_norm(x_S: Float_B, prefix: int, suffix: int, value_E: Float_B, begin: int, end: int) -> float:
    """The squared norm of the event's inputs; by way of the root, as River takes it."""
    total = 0.0
    for j in range(prefix):
        total += x_S[j] * x_S[j]
    for e in range(begin, end):
        total += value_E[e] * value_E[e]
    for j in range(suffix, len(x_S)):
        total += x_S[j] * x_S[j]
    return math.sqrt(total) * math.sqrt(total)


@uncounted
def _step_length(model: PassiveModel, target: float, raw: float, norm: float) -> float:
    """How far to go, with its sign."""
    side = target * 2.0 - 1.0
    if model.classifies:
        loss = 1.0 - side * raw
    else:
        # River maps the target as if it were a binary one.
        loss = abs(raw - side) - model.tolerance
        side = np.sign(target - raw)
    if loss < 0.0:
        loss = 0.0
    if model.mode == 2:
        return loss / (norm + 0.5 / model.aggressiveness) * side
    # As Python's comparisons have it: what NaN is compared with is taken.
    if not norm > 0.0:
        return 0.0 * side
    length = loss / norm
    if model.mode == 1 and not length < model.aggressiveness:
        length = model.aggressiveness
    return length * side


@uncounted
def _learn(
    weight_N: Float_B, x_S: Float_B, prefix: int, suffix: int, side: Side, begin: int, end: int, move: float
) -> bool:
    """Move the weights; return whether those of entries stay finite."""
    for j in range(prefix):
        weight_N[j] += move * x_S[j]
    for j in range(suffix, len(x_S)):
        weight_N[j] += move * x_S[j]
    finite = math.isfinite(move)
    for e in range(begin, end):
        n = side.weight_E[e]
        weight_N[n] += move * side.value_E[e]
        finite &= math.isfinite(weight_N[n])
    return finite
