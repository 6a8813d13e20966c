"""Metrics of classifiers and anomaly detectors, equal to River's.

Shape letters: B judged events of a batch, C classes, T thresholds of the ROC curve.

What is counted is integers, and two sequential sums (`replay_equals_run`). Where a metric is
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

from streamlearn.belt.metrics import Columns
from streamlearn.belt.metrics_kernels import (
    THRESHOLDS_T,
    count_classes,
    count_losses,
    count_scores,
    count_shares,
)
from streamlearn.events import Bool_B, Code_B, Float_B

_Counts = npt.NDArray[np.int64]


class ClassCounts:
    """For each class how often it was true, how often it was said, and how often both at once.

    That is all of the confusion matrix that the metrics need, so it grows with the classes and not
    with their square. ``counts()`` has a column for each class up to the highest one met.

    >>> counts = ClassCounts()
    >>> counts.add(np.array([0, 1, 1, 2], np.int32), np.array([0, 1, -1, 1], np.int32))
    >>> counts.accuracy(), counts.balanced_accuracy(), counts.f1(1)
    (0.5, 0.5, 0.5)
    """

    def __init__(self) -> None:
        self._room_3C: _Counts = np.zeros((3, 2), np.int64)  # true, said, both; columns behind the last are 0
        self._silent = np.zeros(1, np.int64)

    def counts(self) -> _Counts:
        """Return how often each class was true, was said, and both: int64, 3 x C, a view."""
        met = np.flatnonzero(self._room_3C[0] + self._room_3C[1])
        return self._room_3C[:, : met[-1] + 1 if len(met) else 0]

    @property
    def silent(self) -> int:
        """Events for which nothing was said."""
        return int(self._silent[0])

    def add(self, truth_B: Code_B, said_B: Code_B) -> None:
        """Count events; ``said_B`` is -1 where nothing was said."""
        classes = count_classes(truth_B, said_B, self._room_3C, self._silent)
        if classes:  # half as many again, so that growing by one class a batch does not copy each time
            more = max(classes, self._room_3C.shape[1] * 3 // 2) - self._room_3C.shape[1]
            self._room_3C = np.pad(self._room_3C, ((0, 0), (0, more)))
            count_classes(truth_B, said_B, self._room_3C, self._silent)

    def accuracy(self) -> float:
        """Share of events whose class was said (``river.metrics.Accuracy``)."""
        true, _, both = self._room_3C.sum(axis=1).tolist()
        return float(both / true)

    def balanced_accuracy(self) -> float:
        """Mean recall of the classes that were true at least once (``BalancedAccuracy``)."""
        true_C, _, both_C = self._room_3C[:, self._room_3C[0] > 0]
        return float(np.mean(both_C / true_C))

    def f1(self, positive: int) -> float | None:
        """F1 of one class (``river.metrics.F1``); None where it was neither true nor said."""
        if positive >= self._room_3C.shape[1]:
            return None
        true, said, both = self._room_3C[:, positive].tolist()
        return 2.0 * both / (true + said) if true + said else None

    def macro_f1(self) -> float:
        """Mean F1 of the classes that were true or said, silence among them (``river.metrics.MacroF1``)."""
        true_C, said_C, both_C = self._room_3C[:, (self._room_3C[0] + self._room_3C[1]) > 0]
        return float(np.sum(2.0 * both_C / (true_C + said_C))) / (len(true_C) + (self.silent > 0))

    def state(self) -> dict[str, npt.NDArray[Any]]:
        return {"classes": self.counts().copy(), "silent": self._silent.copy()}

    def restore(self, state: Columns) -> None:
        counts_3C = state["classes"]
        self._room_3C = np.zeros((3, max(2, counts_3C.shape[1])), np.int64)
        self._room_3C[:, : counts_3C.shape[1]] = counts_3C
        self._silent = np.array(state["silent"], np.int64)


class RocCounts:
    """Scores of negative and of positive events, counted between the thresholds of River's ROCAUC.

    >>> counts = RocCounts()
    >>> counts.add(np.array([False, False, True, True]), np.array([0.1, 0.4, 0.35, 0.8]))
    >>> counts.roc_auc()
    0.875
    """

    def __init__(self) -> None:
        # [was it positive, how many thresholds its score is above]
        self.counts: _Counts = np.zeros((2, len(THRESHOLDS_T) + 1), np.int64)

    def add(self, positive_B: Bool_B, score_B: Float_B) -> None:
        """Count events by score; a score that is not a number is not allowed."""
        count_scores(positive_B, score_B, self.counts)

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
        self._sums = np.zeros(2)  # of log losses, of Brier scores

    def add(self, judged: Columns) -> None:
        truth_B = judged["truth"]
        self._classes.add(truth_B, judged["said"])
        count_shares(truth_B, judged["share"], judged["loss"], self._roc.counts, self._sums)

    def metrics(self) -> dict[str, float]:
        found: dict[str, float | None] = {
            "accuracy": self._classes.accuracy(),
            "balanced_accuracy": self._classes.balanced_accuracy(),
            "f1": self._classes.f1(1),
        }
        given = int(self._roc.counts.sum())
        if given:
            loss_sum, brier_sum = self._sums.tolist()
            found["log_loss"] = loss_sum / given
            found["roc_auc"] = self._roc.roc_auc()
            found["brier"] = brier_sum / given
        return {name: value for name, value in found.items() if value is not None}

    def state(self) -> dict[str, npt.NDArray[Any]]:
        return {
            **self._classes.state(),
            "roc": self._roc.counts.copy(),
            "sums": self._sums.copy(),
        }

    def restore(self, state: Columns) -> None:
        self._classes.restore(state)
        self._roc.counts = np.array(state["roc"], np.int64)
        self._sums = np.array(state["sums"], np.float64)


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
        self._losses = np.zeros(1, np.int64)
        self._loss_sum = np.zeros(1)

    def add(self, judged: Columns) -> None:
        self._classes.add(judged["truth"], judged["said"])
        count_losses(judged["loss"], self._losses, self._loss_sum)

    def metrics(self) -> dict[str, float]:
        found = {
            "accuracy": self._classes.accuracy(),
            "balanced_accuracy": self._classes.balanced_accuracy(),
            "f1": self._classes.macro_f1(),
        }
        if self._losses[0]:
            found["log_loss"] = float(self._loss_sum[0] / self._losses[0])
        return found

    def state(self) -> dict[str, npt.NDArray[Any]]:
        return {
            **self._classes.state(),
            "losses": self._losses.copy(),
            "sums": self._loss_sum.copy(),
        }

    def restore(self, state: Columns) -> None:
        self._classes.restore(state)
        self._losses = np.array(state["losses"], np.int64)
        self._loss_sum = np.array(state["sums"], np.float64)


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
