"""Means that forget: each event weighs a little less than the one after it.

Unlike a sliding window this needs no memory, and it has no edge at which an event suddenly counts no more.
With a factor f the newest 1 / (1 - f) events have most of the weight.
Source: Gama, Sebastiao, Rodrigues 2013, doi:10.1007/s10994-012-5320-9.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from streamlearn.belt.metrics import Columns
from streamlearn.belt.scores.kernels import fade_classes, fade_errors
from streamlearn.config import Task
from streamlearn.contracts import Snapshot
from streamlearn.events import Float_BC


class Fading:
    """The metrics that are means over events, faded; which depends on the task.

    binary: accuracy, log_loss, brier. multiclass: accuracy, log_loss. regression: mae, rmse. anomaly: none.

    >>> fading = Fading("regression", fading_factor=0.5)
    >>> fading.add({"truth": np.array([1.0, 1.0]), "said": np.array([0.0, 3.0])})
    >>> round(fading.metrics()["mae"], 4)  # (0.5 * 1 + 2) / (0.5 + 1)
    1.6667
    """

    _names: ClassVar[dict[Task, tuple[str, ...]]] = {
        "binary": ("accuracy", "log_loss", "brier"),
        "multiclass": ("accuracy", "log_loss"),
        "regression": ("mae", "rmse"),
        "anomaly": (),
    }

    def __init__(self, task: Task, fading_factor: float) -> None:
        assert 0.0 < fading_factor < 1.0
        self._task: Task = task
        self._fading_factor = fading_factor
        self._values = self._names[task]
        self._state_2M: Float_BC = np.zeros((2, len(self._values)))  # sums, weights

    def add(self, judged: Columns) -> None:
        """Take judged events in, in order: the columns of the task's tally."""
        truth_J, said_J = judged["truth"], judged["said"]
        if self._task == "regression":
            fade_errors(truth_J, said_J, self._fading_factor, self._state_2M)
        elif self._values:
            fade_classes(
                truth_J, said_J, judged["share"], judged["loss"], self._fading_factor, self._state_2M
            )

    def metrics(self) -> dict[str, float]:
        """Return the metrics that are defined by now, all finite. Changes nothing (`reads_are_pure`)."""
        columns = zip(self._values, *self._state_2M.tolist(), strict=True)
        found = {name: total / weight for name, total, weight in columns if weight}
        if "rmse" in found:
            found["rmse"] = math.sqrt(found["rmse"])
        return {name: value for name, value in found.items() if math.isfinite(value)}

    def snapshot(self) -> Snapshot:
        """Return a copy of the whole state."""
        return Snapshot(arrays={"sums": self._state_2M.copy()})

    def restore(self, snapshot: Snapshot) -> None:
        """Become what was snapshotted."""
        self._state_2M = np.array(snapshot.arrays["sums"], np.float64)
