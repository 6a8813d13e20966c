"""Counting judged events, compiled: what the tallies keep is changed here, in place, one event after the other.

Upholds `replay_equals_run`: a sum adds each event to what it carried, so it is the same bits however the
events were cut into batches (``numpy.sum`` adds in pairs, in an order that depends on where a batch ends).

Shape letters: B judged events of a batch, C classes, T thresholds of the ROC curve.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from streamlearn.events import Bool_B, Code_B, Float_B, Int_B
from streamlearn.native import kernel

# River's ROCAUC: ten thresholds, the outer ones moved by 1e-7 so that 0 and 1 lie inside.
THRESHOLDS_T = (-1e-7, *(i / 9 for i in range(1, 9)), 1.0 + 1e-7)


@kernel
def count_classes(truth_B: Code_B, said_B: Code_B, counts_3C: npt.NDArray[np.int64], silent: Int_B) -> int:
    """Count how often each class was true, said, and both, and how often nothing was said (-1).

    Returns 0; or, having counted nothing, how many classes there have to be room for.
    """
    highest = -1
    for index in range(len(truth_B)):
        highest = max(highest, truth_B[index], said_B[index])
    if highest >= counts_3C.shape[1]:
        return highest + 1
    for index in range(len(truth_B)):
        truth, said = truth_B[index], said_B[index]
        counts_3C[0, truth] += 1
        if said < 0:
            silent[0] += 1
            continue
        counts_3C[1, said] += 1
        if said == truth:
            counts_3C[2, said] += 1
    return 0


@kernel
def count_scores(positive_B: Bool_B, score_B: Float_B, counts: npt.NDArray[np.int64]) -> None:
    """Count scores by [was it positive, how many thresholds is it above]."""
    for index in range(len(score_B)):
        counts[int(positive_B[index]), _thresholds_below(score_B[index])] += 1


@kernel
def count_shares(
    truth_B: Code_B,
    share_B: Float_B,
    loss_B: Float_B,
    counts: npt.NDArray[np.int64],
    sums: Float_B,
) -> None:
    """Count shares of class 1 as ``count_scores`` does, and add to the sums of log loss and of Brier score.

    Events without a share (NaN) are passed over.
    """
    loss_sum, brier_sum = sums
    for index in range(len(truth_B)):
        share, positive = share_B[index], int(truth_B[index] == 1)
        if math.isnan(share):
            continue
        counts[positive, _thresholds_below(share)] += 1
        loss_sum += loss_B[index]
        brier_sum += (share - positive) * (share - positive)
    sums[0], sums[1] = loss_sum, brier_sum


@kernel
def _thresholds_below(score: float) -> int:
    below = 0
    for threshold in THRESHOLDS_T:
        below += int(threshold < score)
    return below


@kernel
def count_losses(loss_B: Float_B, losses: Int_B, loss_sum: Float_B) -> None:
    """Count and add up the losses that are there (not NaN)."""
    total = loss_sum[0]
    for index in range(len(loss_B)):
        if not math.isnan(loss_B[index]):
            losses[0] += 1
            total += loss_B[index]
    loss_sum[0] = total


@kernel
def count_values(truth_B: Float_B, said_B: Float_B, events: Int_B, sums: Float_B) -> None:
    """Add what was said of real targets to sums: of targets (two kinds) and of errors (absolute and squared).

    ``sums`` holds the first target; the sum of the deviations from it, which are small; their squares around the
    mean so far, as Welford adds them (sums of squares would lose all digits of a target that is far
    from zero and varies little); the absolute errors; the squared errors.
    Source: Welford 1962, doi:10.1080/00401706.1962.10490022.
    """
    origin, deviation_sum, deviation_squares, error_sum, error_squares = sums
    count = events[0]
    for index in range(len(truth_B)):
        if count == 0:
            origin = truth_B[index]
        error = truth_B[index] - said_B[index]
        error_sum += abs(error)
        error_squares += error * error
        deviation = truth_B[index] - origin
        mean_before = deviation_sum / max(count, 1)  # before any event the sum is 0, and so is the mean
        count += 1
        deviation_sum += deviation
        deviation_squares += (deviation - mean_before) * (deviation - deviation_sum / count)
    events[0] = count
    sums[0], sums[1], sums[2] = origin, deviation_sum, deviation_squares
    sums[3], sums[4] = error_sum, error_squares
