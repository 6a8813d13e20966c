"""River's Gaussian naive Bayes, event by event: a running mean and variance for each class and feature.

Classes stand by rank, as in kernels_softmax.py. The sum over classes is taken as SciPy's ``logsumexp`` takes it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from streamlearn.events import Bool_B, Float_B, Float_BC, Float_BF, Int_B
from streamlearn.learners.compiled.kernels_softmax import Ranks, likeliest, rank_of
from streamlearn.learners.compiled.kernels_transform import transform
from streamlearn.learners.compiled.layout import Feed, Program, Side
from streamlearn.native import uncounted, uncounted_inlined

_DENSITY_MIN = 10e-10  # River adds it, so that no feature rules out a class
_ROOT_TAU = math.sqrt(2.0 * math.pi)


class BayesState(NamedTuple):
    """What a Gaussian naive Bayes learned; rows are ranks."""

    seen_CN: Float_BF
    mean_CN: Float_BF
    squares_CN: Float_BF  # sums of squared deviations
    events_C: Float_B


@uncounted
def run_bayes(
    state: BayesState,
    ranks: Ranks,
    feed: Feed,
    target_B: Int_B,
    share_BC: Float_BC,
    best_B: Int_B,
) -> int:
    """Predict each event's shares, then learn it where it is to be learned. Columns as in ``run_softmax``."""
    done, stop = 0, 0
    while done == stop < len(best_B):
        stop = transform(feed, done)
        learned_W, told = feed.batch.learned_B[done:stop], (share_BC[done:stop], best_B[done:stop])
        done += _run_chunk(state, ranks, feed, target_B[done:stop], learned_W, *told)
    return done


@uncounted
def _run_chunk(
    state: BayesState,
    ranks: Ranks,
    feed: Feed,
    target_W: Int_B,
    learned_W: Bool_B,
    share_WC: Float_BC,
    best_W: Int_B,
) -> int:
    program, chunk = feed.program, feed.chunk
    before, after = chunk.predicting, chunk.learning
    begin = 0
    learning_begin = 0
    for w in range(len(best_W)):
        _shares(state, ranks, program, before, w, begin, share_WC[w])
        best_W[w] = likeliest(share_WC[w], ranks.given[0])
        if learned_W[w]:
            rank = rank_of(ranks, target_W[w])
            state.events_C[rank] += 1.0
            seen_N, mean_N = state.seen_CN[rank], state.mean_CN[rank]
            squares_N = state.squares_CN[rank]
            x_S = after.value_WV[w, program.model_from : program.model_from + program.inputs]
            for j in range(program.prefix):
                _learn(seen_N, mean_N, squares_N, j, x_S[j])
            for e in range(learning_begin, after.end_W[w]):
                _learn(seen_N, mean_N, squares_N, after.weight_E[e], after.value_E[e])
            for j in range(program.suffix, program.inputs):
                _learn(seen_N, mean_N, squares_N, j, x_S[j])
        begin = before.end_W[w]
        learning_begin = after.end_W[w]
    return len(best_W)


@uncounted
def _shares(
    state: BayesState, ranks: Ranks, program: Program, side: Side, w: int, begin: int, share_C: Float_B
) -> None:
    count = ranks.given[0]
    events = 0.0
    for rank in range(count):
        events += state.events_C[rank]
    for rank in range(count):
        likelihood = _log_likelihood(state, rank, program, side, w, begin)
        share_C[rank] = math.log(state.events_C[rank] / events) + likelihood
    if count == 0:
        return
    largest = share_C[likeliest(share_C, count)]
    ties, others = 0.0, 0.0
    for rank in range(count):
        if share_C[rank] == largest:
            ties += 1.0
        else:
            others += math.exp(share_C[rank] - largest)
    whole = math.log1p(others / ties) + math.log(ties) + largest
    for rank in range(count):
        share_C[rank] = math.exp(share_C[rank] - whole)


@uncounted_inlined
def _log_likelihood(state: BayesState, rank: int, program: Program, side: Side, w: int, begin: int) -> float:
    seen_N, mean_N, squares_N = state.seen_CN[rank], state.mean_CN[rank], state.squares_CN[rank]
    x_S = side.value_WV[w, program.model_from : program.model_from + program.inputs]
    total = 0.0
    for j in range(program.prefix):
        total += _log_density(seen_N[j], mean_N[j], squares_N[j], x_S[j])
    for e in range(begin, side.end_W[w]):
        n = side.weight_E[e]
        total += _log_density(seen_N[n], mean_N[n], squares_N[n], side.value_E[e])
    for j in range(program.suffix, program.inputs):
        total += _log_density(seen_N[j], mean_N[j], squares_N[j], x_S[j])
    return total


@uncounted
def _log_density(seen: float, mean: float, squares: float, x: float) -> float:
    density = 0.0
    if seen > 0.0:
        variance = squares / seen
        if variance > 0.0:
            sigma = math.sqrt(variance)
            z = (x - mean) / sigma
            density = math.exp(-0.5 * z * z) / _ROOT_TAU / sigma
    return math.log(_DENSITY_MIN + density)


@uncounted
def _learn(seen_N: Float_B, mean_N: Float_B, squares_N: Float_B, n: int, x: float) -> None:
    seen_N[n] += 1.0
    deviation = x - mean_N[n]
    mean_N[n] += 1.0 / seen_N[n] * deviation
    squares_N[n] += deviation * (x - mean_N[n])
