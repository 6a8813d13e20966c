"""The user's own model: what a factory named in the config returns, run by the generic engine.

The factory's module is imported from where Python itself looks: installed packages and ``PYTHONPATH``.
The current folder is on that path only as Python puts it there: for ``python -m``, not for the console
script. Nothing but the factory, and on restore the admitted classes, is ever taken from user code.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from river import base

from streamlearn.config import PythonModel, Task
from streamlearn.contracts import Snapshot
from streamlearn.errors import ConfigError, LearnerError
from streamlearn.learners.river_build import check_task
from streamlearn.learners.river_model import RiverLearner

# Task -> the methods of which the object needs at least one, beside learn_one.
_ANSWERS: Mapping[Task, tuple[str, ...]] = {
    "binary": ("predict_proba_one", "predict_one"),
    "multiclass": ("predict_proba_one", "predict_one"),
    "regression": ("predict_one",),
    "anomaly": ("score_one",),
}

_STATE = "state"


class PythonLearner(RiverLearner):
    """An object with River's interface, and how to make it anew.

    It has ``learn_one(x, y)`` (``learn_one(x)`` for an unsupervised anomaly detector) and, by task,
    ``predict_proba_one(x)`` or ``predict_one(x)``, or ``score_one(x)``. Where it has ``snapshot() ->
    bytes`` and ``restore(bytes)``, its state is those bytes, restored into what ``make()`` returns; else
    it is pickled, and read back by ``loads``. Either way it must go on as if it had never stopped.
    Where it has ``is_finite() -> bool``, an event after which that is False is undone and rejected.
    """

    engine = "python"

    def __init__(
        self,
        name: str,
        make: Callable[[], Any],
        task: Task,
        *,
        missing_indicator: bool,
        loads: Callable[[bytes], Any],
    ) -> None:
        self._make = make
        super().__init__(name, make(), task, missing_indicator=missing_indicator, loads=loads)

    def _check(self, model: Any) -> None:
        if isinstance(model, base.Estimator):
            check_task(model, self._task)
        answers = _ANSWERS[self._task]
        has_answer = any(callable(getattr(model, method, None)) for method in answers)
        if not has_answer or not callable(getattr(model, "learn_one", None)):
            raise LearnerError(
                f"model {self.name!r}: {type(model).__name__} cannot do task {self._task!r}",
                remedy=f"give it learn_one, and {' or '.join(answers)}, as River's models have them",
            )

    def _dump(self) -> Snapshot:
        if not _has_hooks(self._model):
            return super()._dump()
        state = self._model.snapshot()
        if not isinstance(state, bytes):
            raise TypeError(f"snapshot() returned {type(state).__name__}, not bytes")
        # As an array, since it is no pickle and must never be read as one.
        arrays = {_STATE: np.frombuffer(state, dtype=np.uint8)}
        return Snapshot(data={"events_learned": self._events_learned}, arrays=arrays)

    def _load(self, snapshot: Snapshot) -> Any:
        if not _has_hooks(self._model):
            return super()._load(snapshot)
        if _STATE not in snapshot.arrays:
            raise self._refused("the checkpoint holds no bytes of its snapshot()")
        model = self._make()
        model.restore(np.asarray(snapshot.arrays[_STATE], dtype=np.uint8).tobytes())
        return model

    def _rehearse(self) -> None:
        if _has_hooks(self._model):
            self._copy()
        else:
            super()._rehearse()

    def is_finite(self) -> bool:
        """Ask the object where it has ``is_finite()``; else look into it where it is River's.

        Raises
        ------
        LearnerError
            ``is_finite()`` raised.
        """
        ask = getattr(self._model, "is_finite", None)
        if not callable(ask):
            return super().is_finite()
        try:
            return bool(ask())
        except Exception as error:
            raise LearnerError(
                f"model {self.name!r}: is_finite() raised {type(error).__name__}: {error}",
                remedy="correct the method, or leave it out",
            ) from error

    def describe(self) -> dict[str, Any]:
        """Return the object's type, and what it is fed."""
        cls = type(self._model)
        return {
            "model": f"{cls.__module__}:{cls.__qualname__}",
            "state": "snapshot() and restore(bytes)" if _has_hooks(self._model) else "pickled",
            "task": self._task,
            "missing_indicator": self._missing_indicator,
        }


def make_python(
    settings: PythonModel, task: Task, loads: Callable[[bytes, frozenset[tuple[str, str]]], Any]
) -> PythonLearner:
    """Import the factory, call it with its arguments, and wrap what it returns.

    Parameters
    ----------
    settings
        The model's table of the config.
    task
        The stream's task.
    loads
        Makes an object from pickled bytes; admits, beside its own classes, exactly the given pairs of
        module and class.

    Raises
    ------
    ConfigError
        There is no such module or name, or it cannot be called.
    LearnerError
        The module or the factory raised, or what it made lacks a method or cannot be restored.

    >>> import pickle
    >>> settings = PythonModel(
    ...     name="mine", learner="python", factory="river.linear_model:PARegressor", arguments={"C": 0.5}
    ... )
    >>> make_python(settings, "regression", lambda pickled, admit: pickle.loads(pickled)).describe()["model"]
    'river.linear_model.pa:PARegressor'
    """
    factory = _import_factory(settings)
    admit = frozenset(_pair(path) for path in settings.admit)

    def make() -> Any:
        try:
            # Each object gets arguments of its own, or copies would share what they change.
            return factory(**copy.deepcopy(settings.arguments))
        except Exception as error:
            raise LearnerError(
                f"model {settings.name!r}: {settings.factory} raised {type(error).__name__}: {error}",
                remedy="correct the factory, or the model's `arguments`",
            ) from error

    return PythonLearner(
        settings.name,
        make,
        task,
        missing_indicator=settings.missing_indicator,
        loads=lambda pickled: loads(pickled, admit),
    )


def _import_factory(settings: PythonModel) -> Callable[..., Any]:
    module_path, name = _pair(settings.factory)
    try:
        module = importlib.import_module(module_path)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"model {settings.name!r}: the factory {settings.factory!r} cannot be imported: {error}",
            remedy="install the package, or put its folder on PYTHONPATH (the current folder is not on it)",
        ) from error
    except Exception as error:
        raise LearnerError(
            f"model {settings.name!r}: importing {module_path!r} raised {type(error).__name__}: {error}",
            remedy="correct the module; `python -c 'import ...'` shows the same error",
        ) from error
    factory = getattr(module, name, None)
    if not callable(factory):
        raise ConfigError(
            f"model {settings.name!r}: {module_path!r} has no function or class {name!r}",
            remedy="name the factory as package.module:make",
        )
    made: Callable[..., Any] = factory
    return made


def _pair(path: str) -> tuple[str, str]:
    module, _, name = path.partition(":")
    return module, name


def _has_hooks(model: Any) -> bool:
    return callable(getattr(model, "snapshot", None)) and callable(getattr(model, "restore", None))
