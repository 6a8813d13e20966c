"""The compiled engine: a River pipeline, run event by event in Numba kernels over a batch's columns.

The numbers are those of ``RiverLearner`` over the same River object, within 1e-9 (most to the last bit): predictions,
weights, and what is said of an event before a class or a category was learned. Each event is predicted before it is
learned (`predict_before_learn`), all that passes from event to event is in the state, whose every place is
given by the events' order and not by a batch's dictionary (`replay_equals_run`), and a prediction alone writes
nothing (`reads_are_pure`). The kernels hold no GIL.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from streamlearn.config import Task
from streamlearn.contracts import Snapshot
from streamlearn.errors import CheckpointRefused, LearnerError
from streamlearn.events import MISSING_CATEGORY, Bool_B, Categorical, Examples, Features, Predictions
from streamlearn.learners.compiled.from_river import read
from streamlearn.learners.compiled.plan import CompiledProgram, lower
from streamlearn.learners.compiled.refusal import CannotLower, Refusal
from streamlearn.learners.compiled.run import Run
from streamlearn.learners.compiled.state import State
from streamlearn.learners.compiled.to_river import export
from streamlearn.learners.compiled.vocabulary import Key
from streamlearn.learners.river_build import check_task, last_step
from streamlearn.learners.undoing import why_no_weights

_FORMAT = 1  # of a snapshot


def make_compiled(
    name: str,
    model: Any,
    task: Task,
    numeric: Sequence[str],
    categorical: Sequence[str],
    *,
    missing_indicator: bool,
    loads: Callable[[bytes], Any],
) -> CompiledLearner | Refusal:
    """Return a compiled learner that goes on from a River object, or why there is none.

    Parameters
    ----------
    name
        The model's name, for errors.
    model
        The River object, fresh or one that has learned. It is neither changed nor kept.
    task, numeric, categorical, missing_indicator
        As ``plan.lower`` takes them.
    loads
        Makes an object from pickled bytes, for checkpoints that the generic engine wrote.

    Raises
    ------
    ConfigError
        The model does not fit the task.

    >>> import pickle
    >>> from streamlearn.learners.river_build import build
    >>> model = build(["preprocessing.StandardScaler", "tree.HoeffdingTreeClassifier"], seed=0)
    >>> print(make_compiled("m", model, "binary", ["x"], [], missing_indicator=False, loads=pickle.loads))
    HoeffdingTreeClassifier is not compiled
    """
    check_task(model, task)
    program = lower(model, task, numeric, categorical, missing_indicator=missing_indicator)
    if isinstance(program, Refusal):
        return program
    try:
        return CompiledLearner(name, program, loads)
    except CannotLower as refused:
        return Refusal(str(refused))


class CompiledLearner:
    """A lowered River pipeline, fed with columns; ``make_compiled`` makes one.

    Parameters
    ----------
    name
        The model's name, for errors.
    program
        The lowered pipeline. What its River object has learned is where this learner begins.
    loads
        Makes an object from pickled bytes, for checkpoints that the generic engine wrote.
    """

    engine = "compiled"

    def __init__(self, name: str, program: CompiledProgram, loads: Callable[[bytes], Any]) -> None:
        self.name = name
        self._program = program
        self._loads = loads
        self._events_learned = 0
        self._state = read(program, program.template)

    @property
    def events_learned(self) -> int:
        return self._events_learned

    def warm_up(self) -> float:
        """Compile this pipeline's kernels, or load them from the disk's cache; return how many seconds it took.

        Without it the first batch does. Changes nothing.
        """
        began = time.perf_counter()
        program = self._program
        features = Features(
            numeric_names=program.numeric,
            numeric_BF=np.zeros((1, len(program.numeric))),
            missing_BF=np.zeros((1, len(program.numeric)), np.bool_),
            categorical=tuple(
                Categorical(name, np.zeros(1, np.int32), (MISSING_CATEGORY,)) for name in program.categorical
            ),
        )
        target_B = np.zeros(1) if program.task == "regression" else np.zeros(1, np.int32)
        self.predict(Examples(features, target_B, np.zeros(1, np.bool_), (False, True)))
        return time.perf_counter() - began

    def is_finite(self) -> bool:
        """Whether every weight, mean and moment is finite."""
        return self._state.is_finite()

    def why_no_weights(self) -> str | None:
        """Return why the model can learn no example with a weight; ``None``: it can."""
        return why_no_weights(last_step(self._program.template), gives_shares=True)

    def predict(self, examples: Examples) -> Predictions:
        """Predict without learning. Raises LearnerError where River raises."""
        return self._run(examples, np.zeros(len(examples), np.bool_))

    def predict_then_learn(self, examples: Examples) -> Predictions:
        """Predict each event, then learn from it where it is labelled.

        Raises
        ------
        LearnerError
            River raises on these numbers. The state may have moved already, so it must not be used or checkpointed.
        """
        predictions = self._run(examples, np.ascontiguousarray(examples.labelled_B))
        self._events_learned += int(np.count_nonzero(examples.labelled_B))
        return predictions

    def _run(self, examples: Examples, learned_B: Bool_B) -> Predictions:
        run = Run(self._program, self._state, examples, learned_B)
        done = run.go()
        if done < len(examples):
            raise LearnerError(
                f"model {self.name!r} failed on event {done} of a batch of {len(examples)}: a number left float64 "
                "where River raises OverflowError",
                remedy="scale the features, or lower the learning rate; the daemon continues from the last "
                "checkpoint, which was written before this batch",
            )
        version_B = self._events_learned + np.cumsum(learned_B, dtype=np.int64) - learned_B
        return run.predictions(version_B)

    # ------------------------------------------------------------------------------------- keeping

    def snapshot(self) -> Snapshot:
        """Return a copy of the whole state: arrays, and the keys and labels that they stand for."""
        data = {
            "engine": self.engine,
            "format": _FORMAT,
            "shape": self._program.shape,
            "events_learned": self._events_learned,
            "keys": list(self._state.vocabulary.keys),  # of what never changes: the belt stands meanwhile
            "labels": list(self._state.labels),
        }
        return Snapshot(data=data, arrays=self._state.cut())

    def restore(self, snapshot: Snapshot) -> None:
        """Become what was snapshotted, by this engine or by the generic one.

        Raises
        ------
        CheckpointRefused
            It holds another pipeline's state, or what River pickled cannot be compiled.
        """
        events_learned = snapshot.data.get("events_learned")
        if not isinstance(events_learned, int):
            raise self._refused("the checkpoint does not say how many events it learned")
        state = (
            self._from_arrays(snapshot) if snapshot.pickled is None else self._from_river(snapshot.pickled)
        )
        self._state = state
        self._events_learned = events_learned

    def _from_arrays(self, snapshot: Snapshot) -> State:
        if snapshot.data.get("engine") != self.engine or snapshot.data.get("format") != _FORMAT:
            raise self._refused("it is no state of a compiled model")
        if snapshot.data.get("shape") != self._program.shape:
            raise self._refused("it is the state of another pipeline")
        state = State(self._program)
        for key in snapshot.data["keys"]:
            state.vocabulary.add(Key(*key))
        state.labels = list(snapshot.data["labels"])
        try:
            state.fill(snapshot.arrays)
        except ValueError as error:
            raise self._refused(str(error)) from error
        return state

    def _from_river(self, pickled: bytes) -> State:
        program = self._program
        model = self._loads(pickled)
        lowered = lower(
            model,
            program.task,
            program.numeric,
            program.categorical,
            missing_indicator=program.missing_indicator,
        )
        if isinstance(lowered, Refusal):
            raise self._refused(f"the generic engine wrote it, and {lowered}")
        if lowered.shape != program.shape:
            raise self._refused("it is the state of another pipeline")
        try:
            return read(program, model)
        except CannotLower as error:
            raise self._refused(f"the generic engine wrote it, and {error}") from error

    def _refused(self, why: str) -> CheckpointRefused:
        return CheckpointRefused(
            f"model {self.name!r} cannot continue from this checkpoint: {why}",
            remedy='restore the model\'s config, set engine = "river" where that wrote it, or start in a new folder',
        )

    # ------------------------------------------------------------------------------------- exchange

    def to_river(self) -> Any:
        """Return a River object that has learned what this has, and goes on with the same numbers."""
        return export(self._program, self._state)

    def describe(self) -> dict[str, Any]:
        """Return the model as River prints it, and what it is fed."""
        return {
            "model": repr(self._program.template),
            "library": f"river {version('river')}, compiled by numba {version('numba')}",
            "task": self._program.task,
            "missing_indicator": self._program.missing_indicator,
            "encoded_features": len(self._state.vocabulary),
        }
