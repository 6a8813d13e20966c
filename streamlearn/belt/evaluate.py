"""Evaluate: judge what was predicted before learning, over all events and over the newest ones.

Shape letters: B events of a batch, of which J are judged; C classes.

Upholds `predict_before_learn` on the judging side: only ``Predictions`` are read here, and no model. Upholds
`replay_equals_run`: an ``Evaluator`` is a pure function of the labelled events in order. Upholds
`reads_are_pure`: ``metrics`` and ``snapshot`` change nothing.

An event is judged when it has a label and, for regression and anomaly, when the model gave a value at
all. A classifier that said nothing is judged: it is wrong.
"""

from __future__ import annotations

import numpy as np

from streamlearn.belt.evaluate_kernels import (
    THE_TRUE_CLASS,
    class_errors,
    judge_classes,
    judge_values,
    score_errors,
    value_errors,
)
from streamlearn.belt.metrics import Columns, Tally, Window
from streamlearn.belt.metrics_classification import AnomalyTally, BinaryTally, MulticlassTally
from streamlearn.belt.metrics_regression import RegressionTally
from streamlearn.belt.scores.fading import Fading
from streamlearn.belt.stations import WindowName
from streamlearn.config import Task
from streamlearn.contracts import Snapshot
from streamlearn.errors import CheckpointRefused
from streamlearn.events import Code_B, Examples, Float_B, Float_BC, Int_B, Predictions

_TALLIES: dict[Task, type[Tally]] = {
    "binary": BinaryTally,
    "multiclass": MulticlassTally,
    "regression": RegressionTally,
    "anomaly": AnomalyTally,
}

_CUMULATIVE = "cumulative/"
_WINDOW = "window/"
_FADING = "fading/"
_NO_SHARES: Float_BC = np.empty((0, 0))


class Evaluator:
    """The metrics of one model in one shard.

    Parameters
    ----------
    task
        Chooses the metrics. binary: accuracy, balanced_accuracy, f1, log_loss, roc_auc, brier. multiclass:
        accuracy, balanced_accuracy, f1 (macro), log_loss. regression: mae, rmse, r2. anomaly: roc_auc.
    window_events
        How many of the newest judged events the sliding metrics are of.
    fading_factor
        Of the fading metrics, above 0 and below 1.

    >>> from streamlearn.events import Features
    >>> features = Features((), np.zeros((2, 0)), np.zeros((2, 0), bool), ())
    >>> examples = Examples(features, np.array([1.0, 2.0]), np.array([True, True]), ())
    >>> evaluator = Evaluator("regression", window_events=1)
    >>> evaluator.update(Predictions(np.arange(2), value_B=np.array([0.0, 4.0])), examples)
    >>> evaluator.metrics("cumulative")["mae"], evaluator.metrics("sliding")["mae"]
    (1.5, 2.0)
    """

    def __init__(self, task: Task, window_events: int, fading_factor: float = 0.999) -> None:
        self._task: Task = task
        self._window_events = window_events
        self._tally = _TALLIES[task]()
        self._window = Window(window_events, self._tally.columns)
        self._fading = Fading(task, fading_factor)
        self.events_judged = 0

    def update(self, predictions: Predictions, examples: Examples) -> None:
        """Judge a batch: B predictions of the B examples, in shard order."""
        assert len(predictions) == len(examples), "predict_before_learn: one prediction for each event"
        judged = _judged(self._task, predictions, examples)
        self._tally.add(judged)
        self._window.append(judged)
        self._fading.add(judged)
        self.events_judged += len(judged["truth"])

    def metrics(self, window: WindowName) -> dict[str, float]:
        """Return the metrics that are defined by now, all finite, by name.

        A metric that is not defined yet, or for which the model gives nothing (no probabilities: no log
        loss), is absent. The sliding ones cost about 10 ns an event of the window.
        """
        if not self.events_judged:
            return {}
        if window == "cumulative":
            return self._tally.metrics()
        if window == "fading":
            return self._fading.metrics()
        tally = _TALLIES[self._task]()
        tally.add(self._window.columns())
        return tally.metrics()

    def snapshot(self) -> Snapshot:
        """Return a copy of the whole state, in arrays: 12 to 24 bytes for each event of the window."""
        arrays = {_CUMULATIVE + name: array for name, array in self._tally.state().items()}
        arrays |= {_WINDOW + name: array for name, array in self._window.columns().items()}
        arrays |= {_FADING + name: array for name, array in self._fading.snapshot().arrays.items()}
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
        self._fading.restore(Snapshot(arrays=_below(_FADING, snapshot)))
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
    assert len(predictions) == len(examples), "predict_before_learn: one prediction for each event"
    rows_J, errors_J = np.empty(len(examples), np.int64), np.empty(len(examples))
    target_B, labelled_B = examples.target_B, examples.labelled_B
    if task in ("binary", "multiclass"):
        judged = class_errors(target_B, labelled_B, _classes_said(predictions), rows_J, errors_J)
    elif task == "anomaly":
        judged = score_errors(target_B, labelled_B, _values_said(predictions), rows_J, errors_J)
    else:
        judged = value_errors(target_B, labelled_B, _values_said(predictions), rows_J, errors_J)
    return rows_J[:judged], errors_J[:judged]


def _judged(task: Task, predictions: Predictions, examples: Examples) -> Columns:
    """Return the columns of judged events, as the task's tally takes them."""
    if task in ("binary", "multiclass"):
        return _judged_classes(1 if task == "binary" else THE_TRUE_CLASS, predictions, examples)
    target_B = examples.target_B
    truth_B, said_B = np.empty_like(target_B), np.empty(len(examples))
    judged = judge_values(target_B, examples.labelled_B, _values_said(predictions), truth_B, said_B)
    return _first(judged, {"truth": truth_B, "said": said_B})


def _judged_classes(judged_class: int, predictions: Predictions, examples: Examples) -> Columns:
    events = len(examples)
    share_BC = predictions.probability_BC
    if share_BC is None:
        share_BC = _NO_SHARES
    else:
        assert share_BC.shape == (events, len(examples.classes)), "a share for each event and class"
    truth_B, said_B = np.empty(events, np.int32), np.empty(events, np.int32)
    share_B, loss_B = np.empty(events), np.empty(events)
    judged = judge_classes(
        examples.target_B,
        examples.labelled_B,
        _classes_said(predictions),
        share_BC,
        judged_class,
        truth_B,
        said_B,
        share_B,
        loss_B,
    )
    return _first(judged, {"truth": truth_B, "said": said_B, "share": share_B, "loss": loss_B})


def _first(events: int, columns: Columns) -> Columns:
    if events == len(columns["truth"]):
        return columns
    return {name: column[:events] for name, column in columns.items()}


def _classes_said(predictions: Predictions) -> Code_B:
    assert predictions.class_B is not None, "a classifier fills class_B"
    assert len(predictions.class_B) == len(predictions), "a class for each event"  # kernels check no bounds
    return predictions.class_B


def _values_said(predictions: Predictions) -> Float_B:
    assert predictions.value_B is not None, "regression and anomaly fill value_B"
    assert len(predictions.value_B) == len(predictions), "a value for each event"
    return predictions.value_B


def _below(prefix: str, snapshot: Snapshot) -> Columns:
    return {
        name.removeprefix(prefix): array for name, array in snapshot.arrays.items() if name.startswith(prefix)
    }
