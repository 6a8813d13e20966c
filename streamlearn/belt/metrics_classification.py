"""Metrics of classifiers and anomaly detectors, equal to River's.

Shape letters: B judged events of a batch, C classes, T thresholds of the ROC curve.

What is counted is integers, and two sums (`replay_equals_run`: see metrics.py). Where a metric is
not defined (an F1 where the positive class was neither seen nor said, a ROC AUC where only one class
was seen) it is absent, where River says 0.0.

What River is taken to be fed, where a model was silent:

- a prediction that was not made is ``None``: wrong, and of no class. River's MacroF1 then takes it for a
  class of its own, with an F1 of 0, and so does this.
- a share that was not given is 0, for every class. A model that leaves out the true class so loses as
  much as one that says 0 of it. River's CrossEntropy, fed with a mapping that lacks the true
  class, counts no loss at all, which would reward silence; its binary LogLoss counts 0, as this does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from streamlearn.belt.metrics import Columns, logarithm, sequential_sum
from streamlearn.events import Bool_B, Code_B, Float_B

_Counts = npt.NDArray[np.int64]

# River's ROCAUC: ten thresholds, the outer ones moved by 1e-7 so that 0 and 1 lie inside.
_THRESHOLDS_T = np.array([-1e-7, *(i / 9 for i in range(1, 9)), 1.0 + 1e-7])
_SHARE_MIN = 1e-15  # River's clamp: no single event costs more than 34.5


def log_loss(share_B: Float_B, wanted_B: Bool_B) -> Float_B:
    """Return each event's loss: ``-ln(share)`` where the class was the true one, else ``-ln(1 - share)``.

    Parameters
    ----------
    share_B
        Shares in 0..1 of one class; they are clamped to 1e-15..1-1e-15, as River does.
    wanted_B
        Whether that class was the true one.

    >>> log_loss(np.array([0.5, 1.0]), np.array([True, False])).round(2).tolist()
    [0.69, 34.54]
    """
    clamped_B = np.clip(share_B, _SHARE_MIN, 1.0 - _SHARE_MIN)
    return -logarithm(np.where(wanted_B, clamped_B, 1.0 - clamped_B))


class ClassCounts:
    """For each class how often it was true, how often it was said, and how often both at once.

    That is all of the confusion matrix that the metrics need, so it grows with the classes and not
    with their square. ``counts_3C`` has a column for each class up to the highest one met.

    >>> counts = ClassCounts()
    >>> counts.add(np.array([0, 1, 1, 2]), np.array([0, 1, -1, 1]))
    >>> counts.accuracy(), counts.balanced_accuracy(), counts.f1(1)
    (0.5, 0.5, 0.5)
    """

    def __init__(self) -> None:
        self.counts_3C: _Counts = np.zeros((3, 0), np.int64)  # true, said, both
        self.silent = 0  # events for which nothing was said

    def add(self, truth_B: Code_B, said_B: Code_B) -> None:
        if not len(truth_B):
            return
        known = self.counts_3C.shape[1]
        classes = max(known, int(truth_B.max()) + 1, int(said_B.max()) + 1)
        if classes > known:
            self.counts_3C = np.pad(self.counts_3C, ((0, 0), (0, classes - known)))
        spoken_B = said_B[said_B >= 0]
        self.counts_3C[0] += np.bincount(truth_B, minlength=classes)
        self.counts_3C[1] += np.bincount(spoken_B, minlength=classes)
        self.counts_3C[2] += np.bincount(truth_B[truth_B == said_B], minlength=classes)
        self.silent += len(said_B) - len(spoken_B)

    def accuracy(self) -> float:
        """Share of events whose class was said (``river.metrics.Accuracy``)."""
        return int(self.counts_3C[2].sum()) / int(self.counts_3C[0].sum())

    def balanced_accuracy(self) -> float:
        """Mean recall of the classes that were true at least once (``BalancedAccuracy``)."""
        true_C, _, both_C = self.counts_3C[:, self.counts_3C[0] > 0]
        return float(np.mean(both_C / true_C))

    def f1(self, positive: int) -> float | None:
        """F1 of one class (``river.metrics.F1``); None where it was neither true nor said."""
        if positive >= self.counts_3C.shape[1]:
            return None
        true, said, both = self.counts_3C[:, positive].tolist()
        return 2.0 * both / (true + said) if true + said else None

    def macro_f1(self) -> float:
        """Mean F1 of the classes that were true or said, silence among them (``river.metrics.MacroF1``)."""
        true_C, said_C, both_C = self.counts_3C[:, (self.counts_3C[0] + self.counts_3C[1]) > 0]
        return float(np.sum(2.0 * both_C / (true_C + said_C))) / (len(true_C) + (self.silent > 0))

    def state(self) -> dict[str, npt.NDArray[Any]]:
        return {"classes": self.counts_3C.copy(), "silent": np.array([self.silent])}

    def restore(self, state: Columns) -> None:
        self.counts_3C = np.array(state["classes"], np.int64)
        self.silent = int(state["silent"][0])


class RocCounts:
    """Scores of negative and of positive events, counted between the thresholds of River's ROCAUC.

    >>> counts = RocCounts()
    >>> counts.add(np.array([False, False, True, True]), np.array([0.1, 0.4, 0.35, 0.8]))
    >>> counts.roc_auc()
    0.875
    """

    def __init__(self) -> None:
        # [was it positive, how many thresholds its score is above]
        self.counts: _Counts = np.zeros((2, len(_THRESHOLDS_T) + 1), np.int64)

    def add(self, positive_B: Bool_B, score_B: Float_B) -> None:
        above_B = np.searchsorted(_THRESHOLDS_T, score_B, side="left")
        cell_B = above_B + positive_B * self.counts.shape[1]
        self.counts += np.bincount(cell_B, minlength=self.counts.size).reshape(self.counts.shape)

    def roc_auc(self) -> float | None:
        """Area under the curve (``river.metrics.ROCAUC``); None until both classes were seen."""
        seen = self.counts.sum(axis=1, keepdims=True)
        if not seen.all():
            return None
        # Above threshold t: those that are above more than t thresholds.
        false_rate_T, true_rate_T = (seen - np.cumsum(self.counts, axis=1))[:, :-1] / seen
        widths = false_rate_T[:-1] - false_rate_T[1:]
        return float(np.sum(widths * (true_rate_T[:-1] + true_rate_T[1:]))) / 2.0


class BinaryTally:
    """Binary classification; the positive class is class 1, whatever its label.

    ``share`` is the share of class 1 and ``loss`` its log loss; NaN where the model gives no shares.
    The Brier score, which River lacks, is the mean of ``(share - truth)`` squared.
    """

    columns: ClassVar[Mapping[str, type[np.generic]]] = {
        "truth": np.int32,
        "said": np.int32,
        "share": np.float64,
        "loss": np.float64,
    }

    def __init__(self) -> None:
        self._classes = ClassCounts()
        self._roc = RocCounts()
        self._loss_sum = 0.0
        self._brier_sum = 0.0

    def add(self, judged: Columns) -> None:
        self._classes.add(judged["truth"], judged["said"])
        given_B = ~np.isnan(judged["share"])
        share_B = judged["share"][given_B]
        positive_B = judged["truth"][given_B] == 1
        self._roc.add(positive_B, share_B)
        self._loss_sum = sequential_sum(self._loss_sum, judged["loss"][given_B])
        self._brier_sum = sequential_sum(self._brier_sum, (share_B - positive_B) ** 2)

    def metrics(self) -> dict[str, float]:
        found: dict[str, float | None] = {
            "accuracy": self._classes.accuracy(),
            "balanced_accuracy": self._classes.balanced_accuracy(),
            "f1": self._classes.f1(1),
        }
        given = int(self._roc.counts.sum())
        if given:
            found["log_loss"] = self._loss_sum / given
            found["roc_auc"] = self._roc.roc_auc()
            found["brier"] = self._brier_sum / given
        return {name: value for name, value in found.items() if value is not None}

    def state(self) -> dict[str, npt.NDArray[Any]]:
        return {
            **self._classes.state(),
            "roc": self._roc.counts.copy(),
            "sums": np.array([self._loss_sum, self._brier_sum]),
        }

    def restore(self, state: Columns) -> None:
        self._classes.restore(state)
        self._roc.counts = np.array(state["roc"], np.int64)
        self._loss_sum, self._brier_sum = state["sums"].tolist()


class MulticlassTally:
    """Classification into any number of classes; ``f1`` is the macro average.

    ``loss`` is the log loss of the true class's share; NaN where the model gives no shares. There is no
    ROC AUC and no Brier score here: River defines neither for more than two classes.
    """

    columns: ClassVar[Mapping[str, type[np.generic]]] = {
        "truth": np.int32,
        "said": np.int32,
        "loss": np.float64,
    }

    def __init__(self) -> None:
        self._classes = ClassCounts()
        self._losses = 0
        self._loss_sum = 0.0

    def add(self, judged: Columns) -> None:
        self._classes.add(judged["truth"], judged["said"])
        loss_B = judged["loss"][~np.isnan(judged["loss"])]
        self._losses += len(loss_B)
        self._loss_sum = sequential_sum(self._loss_sum, loss_B)

    def metrics(self) -> dict[str, float]:
        found = {
            "accuracy": self._classes.accuracy(),
            "balanced_accuracy": self._classes.balanced_accuracy(),
            "f1": self._classes.macro_f1(),
        }
        if self._losses:
            found["log_loss"] = self._loss_sum / self._losses
        return found

    def state(self) -> dict[str, npt.NDArray[Any]]:
        return {
            **self._classes.state(),
            "losses": np.array([self._losses]),
            "sums": np.array([self._loss_sum]),
        }

    def restore(self, state: Columns) -> None:
        self._classes.restore(state)
        self._losses = int(state["losses"][0])
        self._loss_sum = float(state["sums"][0])


class AnomalyTally:
    """Anomaly scores against labels, where there are any; class 1 is the anomaly.

    River's ROCAUC takes scores to lie in 0..1 and so does this: the curve lacks the part beyond, and a
    detector whose scores all lie there has an area of 0. Scale the scores in the pipeline.
    """

    columns: ClassVar[Mapping[str, type[np.generic]]] = {"truth": np.int32, "said": np.float64}

    def __init__(self) -> None:
        self._roc = RocCounts()

    def add(self, judged: Columns) -> None:
        self._roc.add(judged["truth"] == 1, judged["said"])

    def metrics(self) -> dict[str, float]:
        roc_auc = self._roc.roc_auc()
        return {} if roc_auc is None else {"roc_auc": roc_auc}

    def state(self) -> dict[str, npt.NDArray[Any]]:
        return {"roc": self._roc.counts.copy()}

    def restore(self, state: Columns) -> None:
        self._roc.counts = np.array(state["roc"], np.int64)
