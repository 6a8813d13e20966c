"""Baselines: what a model must beat to be worth its keep, scored beside every model.

Shape letters: B events of a batch, C classes.

Upholds `predict_before_learn` (event i is predicted from the labels before i alone), `replay_equals_run` (what is
said and learned is the same bits however the events are cut into batches; a class of the batch
that was not learned yet has no share) and `reads_are_pure` (``predict`` changes nothing).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from streamlearn.config import Task
from streamlearn.contracts import Learner, Snapshot
from streamlearn.errors import CheckpointRefused
from streamlearn.events import Bool_B, Code_B, Examples, Float_B, Float_BC, Int_B, Predictions


def baselines(task: Task) -> list[Learner]:
    """Return fresh baselines for a task.

    >>> [baseline.name for baseline in baselines("binary")]
    ['baseline_majority', 'baseline_no_change']
    >>> [baseline.name for baseline in baselines("regression")]
    ['baseline_mean', 'baseline_no_change']
    >>> [baseline.name for baseline in baselines("anomaly")]
    ['baseline_prior']
    """
    if task == "regression":
        return [RunningMean(), LastValue()]
    if task == "anomaly":
        return [Prior()]
    return [Majority(), LastClass()]


class _Baseline(ABC):
    """What all share: how many labels were learned, and predicting with and without learning."""

    name: str
    engine = "baseline"
    rule: str  # for people

    def __init__(self) -> None:
        self._events_learned = 0

    @property
    def events_learned(self) -> int:
        return self._events_learned

    def predict(self, examples: Examples) -> Predictions:
        """Predict all events from what was learned before this batch. Changes nothing."""
        nothing_B = np.zeros(len(examples), dtype=np.bool_)
        return self._predict(examples, nothing_B, np.full(len(examples), self._events_learned))

    def predict_then_learn(self, examples: Examples) -> Predictions:
        """Predict each event from the labels before it, then learn its label, if it has one."""
        learned_B = np.cumsum(examples.labelled_B, dtype=np.int64)
        version_B = self._events_learned + learned_B - examples.labelled_B
        predictions = self._predict(examples, examples.labelled_B, version_B)
        self._learn(examples.target_B[examples.labelled_B])
        self._events_learned += int(learned_B[-1]) if len(examples) else 0
        return predictions

    def snapshot(self) -> Snapshot:
        """Return a copy of the whole state, in arrays."""
        arrays = {"state": self._state(), "events_learned": np.array([self._events_learned])}
        return Snapshot(data={"baseline": self.name}, arrays=arrays)

    def restore(self, snapshot: Snapshot) -> None:
        """Become what was snapshotted. Raises CheckpointRefused when that was another baseline."""
        theirs = snapshot.data.get("baseline")
        if theirs != self.name:
            raise CheckpointRefused(
                f"the checkpoint holds the state of {theirs!r} where {self.name!r} is wanted",
                remedy="set stream.task back, or start this stream anew with another checkpoint.path",
            )
        self._restore(np.array(snapshot.arrays["state"]))
        self._events_learned = int(snapshot.arrays["events_learned"][0])

    def describe(self) -> dict[str, Any]:
        return {"rule": self.rule, "events_learned": self._events_learned}

    @abstractmethod
    def _predict(self, examples: Examples, learning_B: Bool_B, version_B: Int_B) -> Predictions:
        """Predict each event as if the events before it, where ``learning_B``, had been learned."""

    @abstractmethod
    def _learn(self, target_B: Code_B | Float_B) -> None:
        """Learn these labels, in order."""

    @abstractmethod
    def _state(self) -> npt.NDArray[Any]: ...

    @abstractmethod
    def _restore(self, state: npt.NDArray[Any]) -> None: ...


class Majority(_Baseline):
    """Says the most frequent class so far (of equals the one of lowest index), with the shares so far.

    A class that was not learned yet has no share (NaN). Before any label it says nothing.
    """

    name = "baseline_majority"
    rule = "the most frequent class so far"

    def __init__(self) -> None:
        super().__init__()
        self._counts_C = np.zeros(0, np.int64)  # up to the highest class that was learned

    def _predict(self, examples: Examples, learning_B: Bool_B, version_B: Int_B) -> Predictions:
        count_BC = np.zeros((len(examples), len(examples.classes)), np.int64)
        if not count_BC.size:
            return Predictions(version_B, np.full(len(examples), -1, np.int32), count_BC.astype(np.float64))
        before_B = np.flatnonzero(learning_B[:-1])
        count_BC[before_B + 1, examples.target_B[before_B].astype(np.int64)] = 1
        count_BC[0, : len(self._counts_C)] += self._counts_C
        count_BC = np.add.accumulate(count_BC, axis=0)
        class_B = np.where(version_B > 0, count_BC.argmax(axis=1), -1).astype(np.int32)
        share_BC: Float_BC = np.full(count_BC.shape, np.nan)
        np.divide(count_BC, version_B[:, None], out=share_BC, where=count_BC > 0)
        return Predictions(version_B, class_B, share_BC)

    def _learn(self, target_B: Code_B | Float_B) -> None:
        counts_C = np.bincount(target_B.astype(np.int64), minlength=len(self._counts_C))
        counts_C[: len(self._counts_C)] += self._counts_C
        self._counts_C = counts_C

    def _state(self) -> npt.NDArray[Any]:
        return self._counts_C.copy()

    def _restore(self, state: npt.NDArray[Any]) -> None:
        self._counts_C = state


class _Last(_Baseline):
    """Carries the last label from event to event."""

    name = "baseline_no_change"

    def __init__(self) -> None:
        super().__init__()
        self._last = np.zeros(0)  # the last label, once there is one

    def _last_before(self, examples: Examples, learning_B: Bool_B) -> Float_B:
        """Return the last label before each event, NaN where there is none."""
        labels = np.concatenate((self._last if len(self._last) else [np.nan], examples.target_B))
        # Where in `labels` the newest label stands that event i may know; 0 is the carried one.
        position_B = np.zeros(len(examples), np.int64)
        position_B[1:] = np.where(learning_B[:-1], np.arange(1, len(examples)), 0)
        before_B: Float_B = labels[np.maximum.accumulate(position_B)]
        return before_B

    def _learn(self, target_B: Code_B | Float_B) -> None:
        if len(target_B):
            self._last = target_B[-1:].astype(np.float64)

    def _state(self) -> npt.NDArray[Any]:
        return self._last.copy()

    def _restore(self, state: npt.NDArray[Any]) -> None:
        self._last = state


class LastClass(_Last):
    """Says the last label again, with a share of 1, and gives no other class one. Nothing before any label."""

    rule = "the last label again"

    def _predict(self, examples: Examples, learning_B: Bool_B, version_B: Int_B) -> Predictions:
        class_B = np.nan_to_num(self._last_before(examples, learning_B), nan=-1.0).astype(np.int32)
        said_B = np.flatnonzero(class_B >= 0)
        share_BC = np.full((len(examples), len(examples.classes)), np.nan)
        share_BC[said_B, class_B[said_B]] = 1.0
        return Predictions(version_B, class_B, share_BC)


class LastValue(_Last):
    """Says the last target again. NaN before any."""

    rule = "the last target again"

    def _predict(self, examples: Examples, learning_B: Bool_B, version_B: Int_B) -> Predictions:
        return Predictions(version_B, value_B=self._last_before(examples, learning_B))


class _RunningSum(_Baseline):
    """Carries a sum over the labels, added strictly one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self._sum = np.zeros(1)

    def _sum_before(self, added_B: Float_B, learning_B: Bool_B) -> Float_B:
        # Adding 0 for an event that is not learned changes no bit.
        terms_B = np.concatenate((self._sum, np.where(learning_B, added_B, 0.0)[:-1]))[: len(added_B)]
        with np.errstate(over="ignore"):  # targets near the end of float64: an infinite mean, said as it is
            before_B: Float_B = np.add.accumulate(terms_B)
        return before_B

    def _add(self, added_B: Float_B) -> None:
        with np.errstate(over="ignore"):
            self._sum = np.add.accumulate(np.concatenate((self._sum, added_B)))[-1:]

    def _state(self) -> npt.NDArray[Any]:
        return self._sum.copy()

    def _restore(self, state: npt.NDArray[Any]) -> None:
        self._sum = state


class RunningMean(_RunningSum):
    """Says the mean of the targets so far. NaN before any."""

    name = "baseline_mean"
    rule = "the mean target so far"

    def _predict(self, examples: Examples, learning_B: Bool_B, version_B: Int_B) -> Predictions:
        value_B = np.full(len(examples), np.nan)
        sum_B = self._sum_before(examples.target_B.astype(np.float64), learning_B)
        np.divide(sum_B, version_B, out=value_B, where=version_B > 0)
        return Predictions(version_B, value_B=value_B)

    def _learn(self, target_B: Code_B | Float_B) -> None:
        self._add(target_B.astype(np.float64))


class Prior(_RunningSum):
    """Scores every event with the share of anomalies (class 1) among the labels so far; 0 before any."""

    name = "baseline_prior"
    rule = "the share of anomalies so far"

    def _predict(self, examples: Examples, learning_B: Bool_B, version_B: Int_B) -> Predictions:
        positive_B = (examples.target_B == 1).astype(np.float64)
        value_B = self._sum_before(positive_B, learning_B) / np.maximum(version_B, 1)
        return Predictions(version_B, value_B=value_B)

    def _learn(self, target_B: Code_B | Float_B) -> None:
        self._add((target_B == 1).astype(np.float64))
