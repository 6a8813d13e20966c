"""From the rows of a batch to the rows of float64 that learners see, compiled: missing values filled in.

Upholds `replay_equals_run`: the sums behind the means add one row after the other, whatever batch it came in.

Shape letters: B events of a batch, F numeric features.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from streamlearn.belt.scan_intrinsics import load_float
from streamlearn.events import Bool_BF, Float_B, Float_BF
from streamlearn.native import kernel


@kernel
def fill_rows(
    matrix_address: int,
    row_B: npt.NDArray[np.int64],
    with_mean: bool,
    sums_F: Float_B,
    counts_F: npt.NDArray[np.int64],
    numeric_BF: Float_BF,
    missing_BF: Bool_BF,
) -> None:
    """Write rows, missing values filled in, and take the others into the sums.

    Parameters
    ----------
    matrix_address
        Of a matrix of float64, C-contiguous, as wide as ``numeric_BF``; NaN: missing.
    row_B
        The rows of it that are wanted; empty: the first ones, as many as there is room for.
    with_mean
        Fill in the mean of the earlier values (0 where there were none, or where it is not finite), or 0.
    missing_BF
        All False; becomes True where a value was filled in.
    """
    features = len(sums_F)
    chooses = len(row_B) > 0
    whole = 0  # rows in the sums and not in the counts yet: those that miss nothing
    for row in range(len(numeric_BF)):
        source = matrix_address + 8 * features * (row_B[row] if chooses else row)
        is_missing = False
        for feature in range(features):
            value = load_float(source + 8 * feature)
            is_missing |= value != value
            numeric_BF[row, feature] = value
        if is_missing:
            for feature in range(features):
                counts_F[feature] += whole
            whole = 0
            _fill_row(with_mean, sums_F, counts_F, numeric_BF[row], missing_BF[row])
            continue
        for feature in range(features):
            sums_F[feature] += numeric_BF[row, feature]
        whole += 1
    for feature in range(features):
        counts_F[feature] += whole


@kernel
def _fill_row(
    with_mean: bool,
    sums_F: Float_B,
    counts_F: npt.NDArray[np.int64],
    numeric_F: Float_B,
    missing_F: npt.NDArray[np.bool_],
) -> None:
    for feature in range(len(numeric_F)):
        missing = math.isnan(numeric_F[feature])
        missing_F[feature] = missing
        if not missing:
            sums_F[feature] += numeric_F[feature]
            counts_F[feature] += 1
            continue
        mean = sums_F[feature] / counts_F[feature]
        numeric_F[feature] = mean if with_mean and math.isfinite(mean) else 0.0
