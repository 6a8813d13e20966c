"""Metrics of regressors, equal to River's MAE, RMSE and R2.

Shape letters: B judged events of a batch.

All sums are sequential (`replay_equals_run`: see metrics.py). Squared deviations from a mean that moves
are summed as Welford does, over columns; sums of squares would lose all digits of a target that is
far from zero and varies little.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from streamlearn.belt.metrics import Columns, sequential_sum


class RegressionTally:
    """Mean absolute error, root of the mean squared error, and share of the variance explained.

    ``truth`` is finite; ``said`` may be infinite (a model that diverged), and then the errors stay infinite,
    and the metrics absent, until a sliding window has passed. R2 is absent below two events and
    where all targets are equal, where River says 0.0.

    Source: Welford 1962, doi:10.1080/00401706.1962.10490022.

    >>> tally = RegressionTally()
    >>> tally.add({"truth": np.array([3.0, -0.5, 2.0, 7.0]), "said": np.array([2.5, 0.0, 2.0, 8.0])})
    >>> {name: round(value, 4) for name, value in tally.metrics().items()}
    {'mae': 0.5, 'rmse': 0.6124, 'r2': 0.9486}
    """

    columns: ClassVar[Mapping[str, type[np.generic]]] = {"truth": np.float64, "said": np.float64}

    def __init__(self) -> None:
        self._events = 0
        self._origin = 0.0  # the first target; deviations are measured from it, where they are small
        self._deviation_sum = 0.0
        self._deviation_squares = 0.0  # around the mean so far
        self._error_sum = 0.0
        self._error_squares = 0.0

    def add(self, judged: Columns) -> None:
        truth_B, said_B = judged["truth"], judged["said"]
        if not len(truth_B):
            return
        if not self._events:
            self._origin = float(truth_B[0])
        # Finite errors may have squares that are not: then the sum is infinite, and the metric absent.
        with np.errstate(over="ignore", invalid="ignore"):
            error_B = truth_B - said_B
            self._error_sum = sequential_sum(self._error_sum, np.abs(error_B))
            self._error_squares = sequential_sum(self._error_squares, error_B * error_B)

            deviation_B = truth_B - self._origin
            sums = np.add.accumulate(np.concatenate(([self._deviation_sum], deviation_B)))
            counts = np.arange(self._events, self._events + len(sums), dtype=np.float64)
            means = sums / np.maximum(counts, 1.0)  # before any event the sum is 0, and so is the mean
            self._deviation_sum = float(sums[-1])
            self._deviation_squares = sequential_sum(
                self._deviation_squares, (deviation_B - means[:-1]) * (deviation_B - means[1:])
            )
        self._events += len(truth_B)

    def metrics(self) -> dict[str, float]:
        found = {}
        if self._events:
            found["mae"] = self._error_sum / self._events
            found["rmse"] = math.sqrt(self._error_squares / self._events)
        if self._deviation_squares > 0.0:
            found["r2"] = 1.0 - self._error_squares / self._deviation_squares
        return {name: value for name, value in found.items() if math.isfinite(value)}

    def state(self) -> dict[str, npt.NDArray[Any]]:
        sums = [self._deviation_sum, self._deviation_squares, self._error_sum, self._error_squares]
        return {"events": np.array([self._events]), "sums": np.array([self._origin, *sums])}

    def restore(self, state: Columns) -> None:
        self._events = int(state["events"][0])
        self._origin, *sums = state["sums"].tolist()
        self._deviation_sum, self._deviation_squares, self._error_sum, self._error_squares = sums
