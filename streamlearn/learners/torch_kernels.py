"""Numbers on their way into a network, compiled: their statistics, and standardized float32.

Upholds `replay_equals_run`: rows are added one after the other, whatever the machine's vectors.

Shape letters: B events, F columns.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streamlearn.events import Float_B, Float_BF
from streamlearn.native import kernel


@kernel
def add_up(x_BF: Float_BF, mean_F: Float_B, squares_F: Float_B) -> None:
    """Write the mean of each column and the sum of its squared deviations from it, in two passes; B is above 0."""
    events, columns = x_BF.shape
    mean_F[:] = 0.0
    squares_F[:] = 0.0
    for row in range(events):
        for column in range(columns):
            mean_F[column] += x_BF[row, column]
    for column in range(columns):
        mean_F[column] /= events
    for row in range(events):
        for column in range(columns):
            deviation = x_BF[row, column] - mean_F[column]
            squares_F[column] += deviation * deviation


@kernel
def standardize(
    x_BF: Float_BF, mean_F: Float_B, deviation_F: Float_B, limit: float, out_BF: npt.NDArray[np.float32]
) -> None:
    """Write (x - mean) / deviation, held within -limit..limit."""
    for row in range(len(x_BF)):
        for column in range(x_BF.shape[1]):
            z = (x_BF[row, column] - mean_F[column]) / deviation_F[column]
            z = limit if z > limit else z
            out_BF[row, column] = -limit if z < -limit else z
