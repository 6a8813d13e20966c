"""Evaluate: judge what was predicted before learning, over all events and over the newest ones.

Shape letters: B events of a batch, of which J are judged.

Upholds `predict_before_learn` on the judging side: only ``Predictions`` are read here, and no model. Upholds
`replay_equals_run`: an ``Evaluator`` is a pure function of the labelled events in order. Upholds
`reads_are_pure`: ``metrics`` and ``snapshot`` change nothing.

An event is judged when it has a label and, for regression and anomaly, when the model gave a value at
all. A classifier that said nothing is judged: it is wrong.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from streamlearn.belt.metrics import Columns, Tally, Window
from streamlearn.belt.metrics_classification import AnomalyTally, BinaryTally, MulticlassTally, log_loss
from streamlearn.belt.metrics_regression import RegressionTally
from streamlearn.config import Task
from streamlearn.contracts import Snapshot
from streamlearn.errors import CheckpointRefused
from streamlearn.events import Code_B, Examples, Float_B, Int_B, Predictions

_TALLIES: dict[Task, type[Tally]] = {
    "binary": BinaryTally,
    "multiclass": MulticlassTally,
    "regression": RegressionTally,
    "anomaly": AnomalyTally,
}

_CUMULATIVE = "cumulative/"
_WINDOW = "window/"


class Evaluator:
    """The metrics of one model in one shard.

    Parameters
    ----------
    task
        Chooses the metrics. binary: accuracy, balanced_accuracy, f1, log_loss, roc_auc, brier. multiclass:
        accuracy, balanced_accuracy, f1 (macro), log_loss. regression: mae, rmse, r2. anomaly: roc_auc.
    window_events
        How many of the newest judged events the sliding metrics are of.

    >>> from streamlearn.events import Features
    >>> features = Features((), np.zeros((2, 0)), np.zeros((2, 0), bool), ())
    >>> examples = Examples(features, np.array([1.0, 2.0]), np.array([True, True]), ())
    >>> evaluator = Evaluator("regression", window_events=1)
    >>> evaluator.update(Predictions(np.arange(2), value_B=np.array([0.0, 4.0])), examples)
    >>> evaluator.metrics("cumulative")["mae"], evaluator.metrics("sliding")["mae"]
    (1.5, 2.0)
    """

    def __init__(self, task: Task, window_events: int) -> None:
        self._task: Task = task
        self._window_events = window_events
        self._tally = _TALLIES[task]()
        self._window = Window(window_events, self._tally.columns)
        self.events_judged = 0

    def update(self, predictions: Predictions, examples: Examples) -> None:
        """Judge a batch: B predictions of the B examples, in shard order."""
        assert len(predictions) == len(examples), "predict_before_learn: one prediction for each event"
        judged = _judged(self._task, predictions, examples)
        self._tally.add(judged)
        self._window.append(judged)
        self.events_judged += len(judged["truth"])

    def metrics(self, window: Literal["cumulative", "sliding"]) -> dict[str, float]:
        """Return the metrics that are defined by now, all finite, by name.

        A metric that is not defined yet, or for which the model gives nothing (no probabilities: no log
        loss), is absent. The sliding ones cost about 30 ns an event of the window.
        """
        if not self.events_judged:
            return {}
        if window == "cumulative":
            return self._tally.metrics()
        tally = _TALLIES[self._task]()
        tally.add(self._window.columns())
        return tally.metrics()

    def snapshot(self) -> Snapshot:
        """Return a copy of the whole state, in arrays: 12 to 24 bytes for each event of the window."""
        arrays = {_CUMULATIVE + name: array for name, array in self._tally.state().items()}
        arrays |= {_WINDOW + name: array for name, array in self._window.columns().items()}
        data = {
            "task": self._task,
            "window_events": self._window_events,
            "events_judged": self.events_judged,
        }
        return Snapshot(data=data, arrays=arrays)

    def restore(self, snapshot: Snapshot) -> None:
        """Become what was snapshotted. Raises CheckpointRefused on another task or window."""
        for name, ours in (("task", self._task), ("window_events", self._window_events)):
            theirs = snapshot.data.get(name)
            if theirs != ours:
                raise CheckpointRefused(
                    f"the checkpoint's metrics are of {name} = {theirs!r}, the config says {ours!r}",
                    remedy="set it back, or start this stream anew with another checkpoint.path",
                )
        self._tally = _TALLIES[self._task]()
        self._tally.restore(_below(_CUMULATIVE, snapshot))
        self._window = Window(self._window_events, self._tally.columns)
        self._window.append(_below(_WINDOW, snapshot))
        self.events_judged = int(snapshot.data["events_judged"])


def errors_of(task: Task, predictions: Predictions, examples: Examples) -> tuple[Int_B, Float_B]:
    """Return the error of each judged event, as drift detectors watch it, and the row that it stands in.

    Classification: 1.0 where the class was not said, else 0.0. Regression: the absolute error. Anomaly: the
    distance of the score, clipped to 0..1, from the label. An error that is not finite is left
    out: it would make every later mean of a detector NaN.

    Returns
    -------
    (rows_J, errors_J)
        int64 indices into the batch, increasing, and float64 errors.

    >>> from streamlearn.events import Features
    >>> features = Features((), np.zeros((3, 0)), np.zeros((3, 0), bool), ())
    >>> examples = Examples(features, np.array([5.0, 0.0, 2.0]), np.array([True, False, True]), ())
    >>> errors_of("regression", Predictions(np.arange(3), value_B=np.array([4.0, 7.0, 5.0])), examples)
    (array([0, 2]), array([1., 3.]))
    """
    rows_J = _judged_rows(task, predictions, examples)
    if task in ("binary", "multiclass"):
        return rows_J, (examples.target_B[rows_J] != _classes_said(predictions)[rows_J]).astype(np.float64)
    value_J = _values_said(predictions)[rows_J]
    if task == "anomaly":
        return rows_J, np.abs(np.clip(value_J, 0.0, 1.0) - (examples.target_B[rows_J] == 1))
    with np.errstate(over="ignore"):
        errors_J = np.abs(examples.target_B[rows_J] - value_J)
    finite_J = np.isfinite(errors_J)
    return rows_J[finite_J], errors_J[finite_J]


def _judged(task: Task, predictions: Predictions, examples: Examples) -> Columns:
    """Return the columns of judged events that the task's tally takes."""
    rows_J = _judged_rows(task, predictions, examples)
    truth_J = examples.target_B[rows_J]
    if task in ("regression", "anomaly"):
        return {"truth": truth_J, "said": _values_said(predictions)[rows_J]}
    columns: dict[str, npt.NDArray[Any]] = {"truth": truth_J, "said": _classes_said(predictions)[rows_J]}
    if predictions.probability_BC is None:
        absent_J = np.full(len(rows_J), np.nan)
        return {**columns, "share": absent_J, "loss": absent_J}
    # A share that was not given counts as 0, as Predictions says.
    class_J = 1 if task == "binary" else truth_J
    given_J = predictions.probability_BC[rows_J, class_J] if len(rows_J) else np.zeros(0)
    share_J = np.clip(np.nan_to_num(given_J, nan=0.0), 0.0, 1.0)
    return {**columns, "share": share_J, "loss": log_loss(share_J, truth_J == class_J)}


def _judged_rows(task: Task, predictions: Predictions, examples: Examples) -> Int_B:
    if task in ("binary", "multiclass"):
        return np.flatnonzero(examples.labelled_B)
    return np.flatnonzero(examples.labelled_B & ~np.isnan(_values_said(predictions)))


def _classes_said(predictions: Predictions) -> Code_B:
    assert predictions.class_B is not None, "a classifier fills class_B"
    return predictions.class_B


def _values_said(predictions: Predictions) -> Float_B:
    assert predictions.value_B is not None, "regression and anomaly fill value_B"
    return predictions.value_B


def _below(prefix: str, snapshot: Snapshot) -> Columns:
    return {
        name.removeprefix(prefix): array for name, array in snapshot.arrays.items() if name.startswith(prefix)
    }
