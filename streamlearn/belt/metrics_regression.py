"""Metrics of regressors, equal to River's MAE, RMSE and R2. All sums are sequential (`replay_equals_run`)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from streamlearn.belt.metrics import Columns
from streamlearn.belt.metrics_kernels import count_values


class RegressionTally:
    """Mean absolute error, root of the mean squared error, and share of the variance explained.

    ``truth`` is finite; ``said`` may be infinite (a model that diverged), and then the errors stay infinite,
    and the metrics absent, until a sliding window has passed. R2 is absent below two events and
    where all targets are equal, where River says 0.0.

    >>> tally = RegressionTally()
    >>> tally.add({"truth": np.array([3.0, -0.5, 2.0, 7.0]), "said": np.array([2.5, 0.0, 2.0, 8.0])})
    >>> {name: round(value, 4) for name, value in tally.metrics().items()}
    {'mae': 0.5, 'rmse': 0.6124, 'r2': 0.9486}
    """

    columns: ClassVar[Mapping[str, type[np.generic]]] = {"truth": np.float64, "said": np.float64}

    def __init__(self) -> None:
        self._events = np.zeros(1, np.int64)
        # As ``count_values`` has them: two of the targets around the first one, two of the errors.
        self._sums = np.zeros(5)

    def add(self, judged: Columns) -> None:
        # Finite errors may have squares that are not: then the sum is infinite, and the metric absent.
        count_values(judged["truth"], judged["said"], self._events, self._sums)

    def metrics(self) -> dict[str, float]:
        events = int(self._events[0])
        _, _, deviation_squares, error_sum, error_squares = self._sums.tolist()
        found = {}
        if events:
            found["mae"] = error_sum / events
            found["rmse"] = math.sqrt(error_squares / events)
        if deviation_squares > 0.0:
            found["r2"] = 1.0 - error_squares / deviation_squares
        return {name: value for name, value in found.items() if math.isfinite(value)}

    def state(self) -> dict[str, npt.NDArray[Any]]:
        return {"events": self._events.copy(), "sums": self._sums.copy()}

    def restore(self, state: Columns) -> None:
        self._events = np.array(state["events"], np.int64)
        self._sums = np.array(state["sums"], np.float64)
