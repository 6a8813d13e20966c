"""The generic engine: any River model, called event by event exactly as a River loop would call it.

For each event, in order: ``predict_proba_one(x)`` or ``predict_one(x)`` or ``score_one(x)``, and then
``learn_one(x, y)`` where there is a label. So no event is scored by a model that learned from it
(`predict_before_learn`), a batch's cuts change nothing (`replay_equals_run`), and the answers are those
of a plain loop over the same object. ``predict`` works on a copy, because some River models draw or
remember when they predict (`reads_are_pure`).

What ``x`` holds: each numeric feature as a float; with ``missing_indicator``, ``<name>_missing`` as 0 or
1; each categorical as text, a missing one as the category ``MISSING_CATEGORY``.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np
from river import base

from streamlearn.config import Task
from streamlearn.contracts import Snapshot
from streamlearn.errors import CheckpointRefused, LearnerError, StreamlearnError
from streamlearn.events import Bool_B, Examples, Label, Predictions
from streamlearn.learners.event_answers import as_classes, as_shares, as_values
from streamlearn.learners.event_calls import (
    Calls,
    Says,
    choose_calls,
    feature_names,
    feature_rows,
    run_loop,
    targets,
    undoing,
)
from streamlearn.learners.river_build import check_task, knows_many_classes, last_step
from streamlearn.learners.river_finite import is_finite
from streamlearn.learners.river_pickle import RiverPickler
from streamlearn.learners.undoing import why_no_weights


class RiverLearner:
    """A River model or pipeline, fed from columns.

    Parameters
    ----------
    name
        The model's name, for errors.
    model
        The River object; the learner owns it from now on.
    task
        The stream's task. An unsupervised anomaly detector learns every event, labelled or not; all
        others learn the labelled ones.
    missing_indicator
        Add ``<name>_missing`` for each numeric feature.
    loads
        Makes an object from pickled bytes: the checkpoint's allow-listing unpickler.
    translate
        Makes a snapshot that another engine wrote one of this engine's, and leaves the others as they are.

    A binary classifier that knows only true and false (``_multiclass`` is False) is told ``classes[1]``
    as True where the classes are others than true and false or 1 and 0. A share for a label that the
    batch's classes do not hold is dropped.

    Raises
    ------
    ConfigError
        The model does not fit the task.
    LearnerError
        The model cannot be pickled and read back, so it could not be restored.

    >>> import pickle
    >>> from streamlearn.learners.river_build import build
    >>> from streamlearn.events import Features
    >>> model = build(["preprocessing.StandardScaler", "linear_model.LogisticRegression"], seed=0)
    >>> learner = RiverLearner("logistic", model, "binary", missing_indicator=False, loads=pickle.loads)
    >>> features = Features(("x",), np.array([[1.0], [3.0]]), np.zeros((2, 1), bool), ())
    >>> examples = Examples(features, np.array([1, 0], np.int32), np.ones(2, bool), (False, True))
    >>> predictions = learner.predict_then_learn(examples)
    >>> predictions.class_B.tolist(), predictions.version_B.tolist(), learner.events_learned
    ([0, 1], [0, 1], 2)
    """

    engine = "river"

    def __init__(
        self,
        name: str,
        model: Any,
        task: Task,
        *,
        missing_indicator: bool,
        loads: Callable[[bytes], Any],
        translate: Callable[[Snapshot], Snapshot] = lambda snapshot: snapshot,
    ) -> None:
        self.name = name
        self._translate = translate
        self._task = task
        self._missing_indicator = missing_indicator
        self._loads = loads
        self._events_learned = 0
        self._pickler = RiverPickler()
        self._check(model)
        self._adopt(model)
        # What could not be restored is refused now, and not at the first restart.
        try:
            self._rehearse()
        except Exception as error:
            raise LearnerError(
                f"model {name!r} could not be restored from a checkpoint: {_text(error)}",
                remedy="use another model, or a python learner whose object has snapshot() and restore(bytes)",
            ) from error

    # ------------------------------------------------------------- what a python learner does otherwise

    def _check(self, model: Any) -> None:
        check_task(model, self._task)

    def _dump(self) -> Snapshot:
        pickled = self._pickler.dumps(self._model)
        return Snapshot(data={"events_learned": self._events_learned}, pickled=pickled)

    def _load(self, snapshot: Snapshot) -> Any:
        if snapshot.pickled is None:
            raise self._refused("the checkpoint holds no pickled model")
        return self._loads(snapshot.pickled)

    def _rehearse(self) -> None:
        # On a clone, from which the pickler learns what to look for in the model itself.
        twin = self._model.clone() if isinstance(self._model, base.Base) else self._model
        self._loads(self._pickler.dumps(twin))

    def describe(self) -> dict[str, Any]:
        """Return the model as River prints it, and what it is fed."""
        return {
            "model": repr(self._model),
            "library": f"river {version('river')}",
            "task": self._task,
            "missing_indicator": self._missing_indicator,
        }

    # ------------------------------------------------------------------------------------- the protocol

    @property
    def events_learned(self) -> int:
        return self._events_learned

    def predict(self, examples: Examples) -> Predictions:
        """Predict without learning, on a copy of the model: it costs one pickle round trip a call.

        Raises
        ------
        LearnerError
            The model raised; its state is untouched.
        """
        calls = choose_calls(self._copy(), self._task)
        answers = self._run(calls, examples, learn=False)
        return self._predictions(calls, examples, answers, np.zeros(len(examples), np.bool_))

    def predict_then_learn(self, examples: Examples) -> Predictions:
        """Predict each event, then learn from it.

        Raises
        ------
        LearnerError
            The model raised. Its state may have moved already, so it must not be used or checkpointed.
        """
        answers = self._run(self._calls, examples, learn=True)
        needs_label = self._calls.needs_label
        learned_B = examples.labelled_B if needs_label else np.ones(len(examples), np.bool_)
        predictions = self._predictions(self._calls, examples, answers, learned_B)
        self._events_learned += int(np.count_nonzero(learned_B))
        return predictions

    def is_finite(self) -> bool:
        """Return whether the model's weights, means and moments are finite; see ``river_finite``."""
        return is_finite(self._model)

    def why_no_weights(self) -> str | None:
        """Return why the model can learn no example with a weight; ``None``: it can."""
        gives_shares = self._calls.says in (Says.SHARES, Says.SHARES_AND_LABEL)
        return why_no_weights(last_step(self._model), gives_shares=gives_shares)

    def snapshot(self) -> Snapshot:
        """Return the whole state, as one pickle.

        Raises
        ------
        LearnerError
            The model cannot be pickled (any more).
        """
        try:
            return self._dump()
        except Exception as error:
            raise LearnerError(
                f"model {self.name!r} cannot be saved: {_text(error)}",
                remedy="bound the model's size (a tree's max_depth), or use another; the last checkpoint stands",
            ) from error

    def restore(self, snapshot: Snapshot) -> None:
        """Become what was snapshotted. Raises CheckpointRefused."""
        snapshot = self._translate(snapshot)
        events_learned = snapshot.data.get("events_learned")
        if not isinstance(events_learned, int):
            raise self._refused("the checkpoint does not say how many events it learned")
        try:
            model = self._load(snapshot)
        except StreamlearnError:
            raise
        except Exception as error:
            raise self._refused(f"it cannot be read back: {_text(error)}") from error
        if type(model) is not type(self._model):
            raise self._refused(f"it is a {type(model).__name__}, not a {type(self._model).__name__}")
        self._adopt(model)
        self._events_learned = events_learned

    # ---------------------------------------------------------------------------------------- inside

    def _adopt(self, model: Any) -> None:
        self._model = model
        self._calls = choose_calls(model, self._task)

    def _copy(self) -> Any:
        return self._load(self._dump())

    def _refused(self, why: str) -> CheckpointRefused:
        return CheckpointRefused(
            f"model {self.name!r} cannot continue from this checkpoint: {why}",
            remedy="restore the model's config and the library versions that wrote it, or start in a new folder",
        )

    def _labels(self, examples: Examples) -> tuple[Label, ...] | None:
        """The batch's classes as the model is told them, in their order; None for regression."""
        if self._task == "regression":
            return None
        classifier = last_step(self._model)
        knows_only_flags = isinstance(classifier, base.Classifier) and not knows_many_classes(classifier)
        if knows_only_flags and len(examples.classes) == 2 and set(examples.classes) != {False, True}:
            return (False, True)
        return examples.classes

    def _run(self, calls: Calls, examples: Examples, *, learn: bool) -> list[Any]:
        names = feature_names(examples.features, self._missing_indicator)
        row_B = feature_rows(examples.features, self._missing_indicator)
        labels = self._labels(examples)
        y_B = targets(examples, labels)
        answers: list[Any] = []
        if learn and examples.undone_B is not None:
            assert labels is not None, "there is no share of a number"
            calls = undoing(calls, [(*labels, None)[code] for code in examples.undone_B.tolist()])
        # What undoes a label is known by the answers.
        asked_B = None if examples.undone_B is not None else examples.asked_B
        try:
            run_loop(calls, names, row_B, y_B, answers, learn=learn, asked_B=asked_B)
        except Exception as error:
            raise LearnerError(
                f"model {self.name!r} failed on event {len(answers)} of a batch of {len(examples)}: {_text(error)}",
                remedy="correct the model's pipeline or arguments (a step that takes numbers needs text encoded or "
                "left out: preprocessing.OneHotEncoder, compose.SelectType); the daemon continues from the last "
                "checkpoint, which was written before this batch",
            ) from error
        return answers

    def _predictions(
        self, calls: Calls, examples: Examples, answers: list[Any], learned_B: Bool_B
    ) -> Predictions:
        version_B = self._events_learned + np.cumsum(learned_B, dtype=np.int64) - learned_B
        labels = self._labels(examples) or ()
        try:
            match calls.says:
                case Says.VALUE:
                    return Predictions(version_B, value_B=as_values(answers))
                case Says.LABEL:
                    return Predictions(version_B, class_B=as_classes(answers, labels))
                case Says.SHARES:
                    class_B, probability_BC = as_shares(answers, labels)
                case Says.SHARES_AND_LABEL:
                    _, probability_BC = as_shares([shares for shares, _ in answers], labels)
                    class_B = as_classes([label for _, label in answers], labels)
            return Predictions(version_B, class_B=class_B, probability_BC=probability_BC)
        except (TypeError, ValueError, AttributeError) as error:
            raise LearnerError(
                f"model {self.name!r} gave an answer that is none for task {self._task!r}: {_text(error)}",
                remedy="answer as River's interface says: a label, {label: share}, or a number",
            ) from error


def _text(error: Exception) -> str:
    what = error.what if isinstance(error, StreamlearnError) else str(error)
    return f"{type(error).__name__}: {what}"
