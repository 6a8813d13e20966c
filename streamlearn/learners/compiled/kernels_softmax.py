"""River's softmax regression, event by event: a vector of weights and an optimizer for each class learned.

Classes stand in the order in which they were learned, their **rank**: River's dict has them so, and its sums go
through them so. A class that the batch holds has no rank before one of its events is learned.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamlearn.events import Bool_B, Float_B, Float_BC, Float_BF, Int_B
from streamlearn.learners.compiled.kernels_inputs import (
    dot_entries_present,
    dot_present,
    skipped_zeros,
    walk,
    walk_entries,
    walk_zeros,
)
from streamlearn.learners.compiled.kernels_optimizers import Optimizer, step_size
from streamlearn.learners.compiled.kernels_transform import transform
from streamlearn.learners.compiled.layout import Feed, Program, Side, Words
from streamlearn.native import uncounted

# River's CrossEntropy keeps a share off its ends.
_SHARE_MIN = 1e-15
_SHARE_MAX = 1.0 - 1e-15


class SoftmaxModel(NamedTuple):
    """A softmax regression's parameters."""

    optimizer: Optimizer
    l2: float


class SoftmaxState(NamedTuple):
    """What a softmax regression learned; rows are ranks."""

    weight_CN: Float_BF
    first_CN: Float_BF  # of the optimizers
    second_CN: Float_BF
    present_CN: npt.NDArray[np.bool_]  # whether River's dict has the weight
    iterations_C: Float_B
    spoilt: Bool_B  # one flag, see kernels_linear.py


class Ranks(NamedTuple):
    """Which rank a class of the batch has (-1: none yet), and which class a rank stands for (-1: none)."""

    rank_of_class: Int_B
    class_of_rank: Int_B
    given: Int_B  # one number: the ranks that were given


@uncounted
def rank_of(ranks: Ranks, label: int) -> int:
    """The rank of a class that is learned; a new one where it is learned for the first time."""
    rank: int = ranks.rank_of_class[label]
    if rank < 0:
        rank = ranks.given[0]
        ranks.rank_of_class[label] = rank
        ranks.class_of_rank[rank] = label
        ranks.given[0] += 1
    return rank


@uncounted
def likeliest(share_C: Float_B, count: int) -> int:
    """The rank of the largest share, the first of equals, as Python's ``max`` has it; -1: there is none."""
    best = -1
    for rank in range(count):
        if best < 0 or share_C[rank] > share_C[best]:
            best = rank
    return best


@uncounted
def run_softmax(
    model: SoftmaxModel,
    state: SoftmaxState,
    ranks: Ranks,
    feed: Feed,
    target_B: Int_B,
    share_BC: Float_BC,
    best_B: Int_B,
    share_C: Float_B,
    zero_N: Bool_B,
) -> int:
    """Predict each event's shares, then learn it where it is to be learned. Returns as ``run_linear`` does.

    ``share_BC`` is by rank; what is not written there was NaN before. ``best_B`` are ranks, -1 for none.
    """
    done, stop = 0, 0
    while done == stop < len(best_B):
        stop = transform(feed, done)
        learned_W, told = feed.batch.learned_B[done:stop], (share_BC[done:stop], best_B[done:stop])
        done += _run_chunk(model, state, ranks, feed, target_B[done:stop], learned_W, *told, share_C, zero_N)
    return done


@uncounted
def _run_chunk(
    model: SoftmaxModel,
    state: SoftmaxState,
    ranks: Ranks,
    feed: Feed,
    target_W: Int_B,
    learned_W: Bool_B,
    share_WC: Float_BC,
    best_W: Int_B,
    share_C: Float_B,
    zero_N: Bool_B,
) -> int:
    program, words, chunk = feed.program, feed.words, feed.chunk
    before, after = chunk.predicting, chunk.learning
    begin = 0
    learning_begin = 0
    for w in range(len(best_W)):
        known = ranks.given[0]
        _shares(state, known, program, words, before, w, begin, zero_N, share_WC[w])
        best_W[w] = likeliest(share_WC[w], known)
        begin = before.end_W[w]
        if not learned_W[w]:
            continue
        _shares(state, known, program, words, after, w, learning_begin, zero_N, share_C)
        label = rank_of(ranks, target_W[w])
        if label == known:
            share_C[label] = 0.0
        if _learn(
            model, state, ranks.given[0], label, share_C, program, words, after, w, learning_begin, zero_N
        ):
            return w
        learning_begin = after.end_W[w]
    return len(best_W)


@uncounted
def _shares(
    state: SoftmaxState,
    known: int,
    program: Program,
    words: Words,
    side: Side,
    w: int,
    begin: int,
    zero_N: Bool_B,
    share_C: Float_B,
) -> None:
    """Write each known class's share of one event."""
    if known == 0:
        return
    x_S = side.value_WV[w, program.model_from : program.model_from + program.inputs]
    end = side.end_W[w]
    if state.spoilt[0]:
        skipped_zeros(program, words, side, w, begin, zero_N)
    for rank in range(known):
        weight_N, present_N = state.weight_CN[rank], state.present_CN[rank]
        score = dot_present(0.0, weight_N, present_N, x_S[: program.prefix])
        score = dot_entries_present(score, weight_N, present_N, side.weight_E, side.value_E, begin, end)
        if state.spoilt[0]:
            for n in range(len(zero_N)):
                if zero_N[n] and present_N[n]:
                    score += weight_N[n] * 0.0
        suffix = program.suffix
        share_C[rank] = dot_present(score, weight_N[suffix:], present_N[suffix:], x_S[suffix:])
    largest = share_C[likeliest(share_C, known)]
    total = 0.0
    for rank in range(known):
        share_C[rank] = math.exp(share_C[rank] - largest)
        total += share_C[rank]
    for rank in range(known):
        share_C[rank] /= total


@uncounted
def _learn(
    model: SoftmaxModel,
    state: SoftmaxState,
    known: int,
    label: int,
    share_C: Float_B,
    program: Program,
    words: Words,
    side: Side,
    w: int,
    begin: int,
    zero_N: Bool_B,
) -> bool:
    """Take one step of every class's weights. True: River raises."""
    x_S = side.value_WV[w, program.model_from : program.model_from + program.inputs]
    optimizer, l2, end = model.optimizer, model.l2, side.end_W[w]
    failed = False
    for rank in range(known):
        gradient = _clamped(share_C[rank]) - (1.0 if rank == label else 0.0)
        size = step_size(optimizer, state.iterations_C[rank])
        weight_N, present_N = state.weight_CN[rank], state.present_CN[rank]
        first_N, second_N = state.first_CN[rank], state.second_CN[rank]
        for part in (slice(0, program.prefix), slice(program.suffix, program.inputs)):
            weight_S, first_S, second_S = weight_N[part], first_N[part], second_N[part]
            failed |= walk(optimizer, size, l2, True, weight_S, first_S, second_S, x_S[part], gradient)
        raises, finite = walk_entries(
            optimizer,
            size,
            l2,
            True,
            weight_N,
            first_N,
            second_N,
            side.weight_E,
            side.value_E,
            begin,
            end,
            gradient,
        )
        failed |= raises
        if not finite:
            state.spoilt[0] = True
        if state.spoilt[0]:
            skipped_zeros(program, words, side, w, begin, zero_N)
            failed |= walk_zeros(optimizer, size, l2, True, weight_N, first_N, second_N, zero_N, gradient)
            present_N[zero_N] = True
        present_N[: program.inputs] = True
        for e in range(begin, end):
            present_N[side.weight_E[e]] = True
        state.iterations_C[rank] += 1.0
    return failed


@uncounted
def _clamped(share: float) -> float:
    # As Python's min and max have it: NaN stays.
    if share > _SHARE_MAX:
        share = _SHARE_MAX
    return _SHARE_MIN if share < _SHARE_MIN else share
