"""Baselines: what a model must beat to be worth its keep, scored beside every model.

Upholds `predict_before_learn` (event i is predicted from the labels before i alone), `replay_equals_run` (what is
said and learned is the same bits however the events are cut into batches; a class of the batch
that was not learned yet has no share) and `reads_are_pure` (``predict`` changes nothing). What is said stands in
baseline_kernels.py.

Shape letters: B events of a batch, C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from streamlearn.config import Task
from streamlearn.contracts import Learner, Snapshot
from streamlearn.errors import CheckpointRefused
from streamlearn.events import Bool_B, Examples, Predictions
from streamlearn.learners.baseline_kernels import last_class, last_value, majority, prior, running_mean


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


def _room_for_classes(examples: Examples) -> Predictions:
    """Return predictions of classes and shares that are yet to be written."""
    events = len(examples)
    share_BC = np.empty((events, len(examples.classes)))
    return Predictions(np.empty(events, np.int64), np.empty(events, np.int32), share_BC)


def _room_for_values(examples: Examples) -> Predictions:
    """Return predictions of values that are yet to be written."""
    return Predictions(np.empty(len(examples), np.int64), value_B=np.empty(len(examples)))


class _Baseline:
    """What all share: a state in one array, how many labels were learned, predicting with and without learning."""

    name: str
    engine = "baseline"
    rule: str  # for people

    def __init__(
        self,
        kernel: Callable[..., int],  # of baseline_kernels.py
        room: Callable[[Examples], Predictions],  # makes what the kernel writes to
        state: npt.NDArray[Any],
    ) -> None:
        self._kernel = kernel
        self._room = room
        self._state = state
        self._events_learned = 0

    @property
    def events_learned(self) -> int:
        return self._events_learned

    def predict(self, examples: Examples) -> Predictions:
        """Predict all events from what was learned before this batch. Changes nothing."""
        nothing_B = np.zeros(len(examples), np.bool_)
        predictions, _ = self._run(examples, nothing_B, self._state_for(examples).copy())
        return predictions

    def predict_then_learn(self, examples: Examples) -> Predictions:
        """Predict each event from the labels before it, then learn its label, if it has one."""
        self._state = self._state_for(examples)
        predictions, self._events_learned = self._run(examples, examples.labelled_B, self._state)
        return predictions

    def snapshot(self) -> Snapshot:
        """Return a copy of the whole state, in arrays."""
        arrays = {"state": self._learned_state().copy(), "events_learned": np.array([self._events_learned])}
        return Snapshot(data={"baseline": self.name}, arrays=arrays)

    def restore(self, snapshot: Snapshot) -> None:
        """Become what was snapshotted. Raises CheckpointRefused when that was another baseline."""
        theirs = snapshot.data.get("baseline")
        if theirs != self.name:
            raise CheckpointRefused(
                f"the checkpoint holds the state of {theirs!r} where {self.name!r} is wanted",
                remedy="set stream.task back, or start this stream anew with another checkpoint.path",
            )
        state = np.array(snapshot.arrays["state"], self._state.dtype)
        # What is too short was written before there was a label: the rest is what a fresh one has.
        self._state = np.concatenate((state, np.zeros_like(self._state)[len(state) :]))
        self._events_learned = int(snapshot.arrays["events_learned"][0])

    def describe(self) -> dict[str, Any]:
        return {"rule": self.rule, "events_learned": self._events_learned}

    def _run(
        self, examples: Examples, learning_B: Bool_B, state: npt.NDArray[Any]
    ) -> tuple[Predictions, int]:
        """Predict each event, then learn it into ``state`` where ``learning_B``; return the labels learned by then."""
        said = self._room(examples)
        columns = (said.version_B, said.class_B, said.probability_BC, said.value_B)
        into = [column for column in columns if column is not None]
        return said, self._kernel(examples.target_B, learning_B, self._events_learned, state, *into)

    def _state_for(self, examples: Examples) -> npt.NDArray[Any]:
        """Return the state, with room for what the events can bring."""
        return self._state

    def _learned_state(self) -> npt.NDArray[Any]:
        """Return the part of the state that labels have shaped: the same however they were batched."""
        return self._state


class Majority(_Baseline):
    """Says the most frequent class so far (of equals the one of lowest index), with the shares so far.

    A class that was not learned yet has no share (NaN). Before any label it says nothing.
    """

    name = "baseline_majority"
    rule = "the most frequent class so far"

    def __init__(self) -> None:
        super().__init__(majority, _room_for_classes, np.zeros(0, np.int64))  # how often each class was

    def _state_for(self, examples: Examples) -> npt.NDArray[Any]:
        more = len(examples.classes) - len(self._state)
        return np.pad(self._state, (0, more)) if more > 0 else self._state

    def _learned_state(self) -> npt.NDArray[Any]:
        return np.trim_zeros(self._state, "b")


class _Last(_Baseline):
    """Carries the last label, once there is one, from event to event."""

    name = "baseline_no_change"

    def _learned_state(self) -> npt.NDArray[Any]:
        return self._state if self._events_learned else self._state[:0]


class LastClass(_Last):
    """Says the last label again, with a share of 1, and gives no other class one. Nothing before any label."""

    rule = "the last label again"

    def __init__(self) -> None:
        super().__init__(last_class, _room_for_classes, np.zeros(1))


class LastValue(_Last):
    """Says the last target again. NaN before any."""

    rule = "the last target again"

    def __init__(self) -> None:
        super().__init__(last_value, _room_for_values, np.zeros(1))


class RunningMean(_Baseline):
    """Says the mean of the targets so far. NaN before any."""

    name = "baseline_mean"
    rule = "the mean target so far"

    def __init__(self) -> None:
        super().__init__(running_mean, _room_for_values, np.zeros(1))  # their sum


class Prior(_Baseline):
    """Scores every event with the share of anomalies (class 1) among the labels so far; 0 before any."""

    name = "baseline_prior"
    rule = "the share of anomalies so far"

    def __init__(self) -> None:
        super().__init__(prior, _room_for_values, np.zeros(1))  # how many there were
