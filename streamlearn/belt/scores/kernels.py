"""Scores of judged events, compiled: what is counted is changed in place, one event after the other.

Upholds `replay_equals_run`: each sum adds an event to what it carried, so it is the same bits however the
events were cut into batches.

Shape letters: B events of a batch, C classes, L learners, P pairs of learners, R rows of a table of slices.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from streamlearn.events import Bool_B, Code_B, Float_B, Float_BC, Int_B
from streamlearn.native import inlined, kernel


@kernel
def compare_pairs(
    error_LB: Float_BC, pair_P2: npt.NDArray[np.int64], is_relative: bool, state_P3: Float_BC
) -> None:
    """Count for each pair by how much the first one's error is smaller, over the events that both were judged on.

    ``state_P3``: events; sum of the advantages; sum of their squared distances from the mean of those before.
    """
    for pair in range(len(pair_P2)):
        first, second = pair_P2[pair]
        events, total, squares = state_P3[pair]
        for index in range(error_LB.shape[1]):
            own, other = error_LB[first, index], error_LB[second, index]
            if math.isnan(own) or math.isnan(other):
                continue
            advantage = other - own
            if is_relative:
                advantage = advantage / (own + other) if own + other > 0.0 else 0.0
            expected = total / events if events > 0.0 else 0.0
            squares += (advantage - expected) * (advantage - expected)
            total += advantage
            events += 1.0
        state_P3[pair, 0], state_P3[pair, 1], state_P3[pair, 2] = events, total, squares


@kernel
def count_bins(share_B: Float_B, hit_B: Bool_B, bins_3N: Float_BC) -> None:
    """Add events to equal bins of the share that was given: how many, their shares, and how often it was so."""
    last = bins_3N.shape[1] - 1
    for index in range(len(share_B)):
        place = min(int(share_B[index] * (last + 1)), last)
        bins_3N[0, place] += 1.0
        bins_3N[1, place] += share_B[index]
        bins_3N[2, place] += 1.0 if hit_B[index] else 0.0


@kernel
def shares_said(
    target_B: Code_B,
    labelled_B: Bool_B,
    class_B: Code_B,
    share_BC: Float_BC,
    is_binary: bool,
    share_J: Float_B,
    hit_J: Bool_B,
) -> int:
    """Write the share of class 1 and whether it was class 1; of more classes, the share of what was said and whether it was so."""
    judged = 0
    for index in range(len(target_B)):
        said = 1 if is_binary else class_B[index]
        if not labelled_B[index] or said < 0 or said >= share_BC.shape[1]:
            continue
        share = share_BC[index, said] if share_BC[index, said] > 0.0 else 0.0  # NaN: none was given
        share_J[judged] = share if share < 1.0 else 1.0
        hit_J[judged] = target_B[index] == said
        judged += 1
    return judged


@kernel
def count_slices(row_B: Int_B, error_LB: Float_BC, table_RL2: npt.NDArray[np.float64]) -> None:
    """Add each event to its row: for each learner how many were judged, and the sum of their errors."""
    for learner in range(error_LB.shape[0]):
        for index in range(error_LB.shape[1]):
            if not math.isnan(error_LB[learner, index]):
                table_RL2[row_B[index], learner, 0] += 1.0
                table_RL2[row_B[index], learner, 1] += error_LB[learner, index]


@inlined
def _faded(total: float, weight: float, value: float, fading_factor: float) -> tuple[float, float]:
    """Return a sum and its weight, faded by one event, with that event.

    A value that is not finite leaves its sum as it was: it would stay there for good.
    """
    if math.isfinite(value):
        return total * fading_factor + value, weight * fading_factor + 1.0
    return total, weight


@kernel
def fade_classes(
    truth_J: Code_B,
    said_J: Code_B,
    share_J: Float_B,
    loss_J: Float_B,
    fading_factor: float,
    state_2M: Float_BC,
) -> None:
    """Take judged events into the faded sums of accuracy, log loss and, where M is 3, the Brier score of class 1."""
    right, right_weight = state_2M[0, 0], state_2M[1, 0]
    loss, loss_weight = state_2M[0, 1], state_2M[1, 1]
    brier, brier_weight = state_2M[0, -1], state_2M[1, -1]
    for index in range(len(truth_J)):
        is_right = 1.0 if truth_J[index] == said_J[index] else 0.0
        right, right_weight = _faded(right, right_weight, is_right, fading_factor)
        loss, loss_weight = _faded(loss, loss_weight, loss_J[index], fading_factor)
        gap = share_J[index] - (1.0 if truth_J[index] == 1 else 0.0)
        brier, brier_weight = _faded(brier, brier_weight, gap * gap, fading_factor)
    state_2M[0, -1], state_2M[1, -1] = brier, brier_weight  # before the others, one of which this may be
    state_2M[0, 0], state_2M[1, 0] = right, right_weight
    state_2M[0, 1], state_2M[1, 1] = loss, loss_weight


@kernel
def fade_errors(truth_J: Float_B, said_J: Float_B, fading_factor: float, state_2M: Float_BC) -> None:
    """Take judged events into the faded sums of the absolute and the squared error."""
    for index in range(len(truth_J)):
        error = abs(truth_J[index] - said_J[index])
        for place, value in enumerate((error, error * error)):
            state_2M[0, place], state_2M[1, place] = _faded(
                state_2M[0, place], state_2M[1, place], value, fading_factor
            )
