"""From import paths and arguments to a River object: names from the config, never code from it.

Every random draw is seeded (`replay_equals_run`): what takes a ``seed`` and is given none gets one that
depends on the stream's seed and on its place in the pipeline. What can be named: ``river_names``.
"""

from __future__ import annotations

import difflib
import hashlib
import inspect
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

from river import base, compose

from streamlearn.config import Task
from streamlearn.errors import ConfigError
from streamlearn.learners.river_names import did_you_mean, resolve

# Parameters whose strings are steps themselves; elsewhere a string is a value.
_TAKES_STEPS: Mapping[type, str] = {
    compose.Pipeline: "steps",
    compose.TransformerUnion: "transformers",
    compose.TransformerProduct: "transformers",
}

# What compose.SelectType can be given: the types that a feature has here.
_FEATURE_TYPES: Mapping[str, type] = {"number": numbers.Number, "text": str}

# What River's constructors raise on a value that they do not like.
_CONSTRUCTION_ERRORS = (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RuntimeError)


def build(pipeline: Sequence[str | dict[str, Any]], seed: int) -> Any:
    """Build the River object that a model's ``pipeline`` describes.

    Parameters
    ----------
    pipeline
        Steps in order, each an import path below ``river``, or a table with ``use`` and the arguments.
        An argument that is a table with ``use``, or a list of such, is built in the same way. A
        constructor's ``*name`` is given as a list: ``{ use = "compose.Select", keys = ["a", "b"] }``;
        the types of ``compose.SelectType`` are ``"number"`` and ``"text"``.
    seed
        The stream's seed. An explicit ``seed`` argument wins.

    Returns
    -------
    The bare object for one step, else a ``river.compose.Pipeline``. Pipelines inside are flattened where
    they are steps: River would not transform with them when it learns.

    Raises
    ------
    ConfigError
        Names the step, what is wrong with it, what River knows by a similar name, and the remedy.

    >>> build(["preprocessing.StandardScaler", {"use": "linear_model.LogisticRegression", "l2": 1e-4}], 7)
    Pipeline (
      StandardScaler (
        with_std=True
        window_size=None
      ),
      LogisticRegression (
      ...
    """
    assert pipeline, "a pipeline has at least one step"
    steps = [_build_step(step, f"pipeline[{index}]", seed) for index, step in enumerate(pipeline)]
    return steps[0] if len(steps) == 1 else _chain(steps, "pipeline")


def check_task(model: Any, task: Task) -> None:
    """Check that a River object can do what the stream's task asks of it.

    Raises
    ------
    ConfigError
        The last step is of the wrong kind. The remedy names a class of the right one.

    >>> check_task(build(["linear_model.LinearRegression"], 0), "regression")
    >>> check_task(build(["linear_model.LinearRegression"], 0), "binary")
    Traceback (most recent call last):
    ...
    streamlearn.errors.ConfigError: LinearRegression cannot do task 'binary': it is no classifier
      remedy: end the pipeline with one, such as linear_model.LogisticRegression
    """
    final = last_step(model)
    name = type(final).__name__
    problem, example = "", ""
    match task:
        case "binary" | "multiclass":
            example = "linear_model.LogisticRegression" if task == "binary" else "naive_bayes.GaussianNB"
            if not isinstance(final, base.Classifier):
                problem = "it is no classifier"
            elif type(final).__module__.startswith("river.active"):
                problem = "an active learner asks for labels; here they come with the stream"
            elif task == "multiclass" and not knows_many_classes(final):
                problem = "it knows two classes only"
                example += f", or wrap it: multiclass.OneVsRestClassifier with classifier = {name}"
        case "regression":
            example = "linear_model.LinearRegression"
            if isinstance(final, base.MultiTargetRegressor):
                problem = "it predicts many targets at once"
            elif not isinstance(final, base.Regressor):
                problem = "it is no regressor"
        case "anomaly":
            example = "anomaly.HalfSpaceTrees"
            detector = final._wrapped_model if isinstance(final, base.AnomalyFilter) else final
            if isinstance(last_step(detector), base.SupervisedAnomalyDetector):
                problem = "it scores an event together with its label, which is not known when predicting"
            elif not isinstance(final, base.AnomalyDetector | base.AnomalyFilter):
                problem = "it is no anomaly detector"
    if problem:
        raise ConfigError(
            f"{name} cannot do task {task!r}: {problem}",
            remedy=f"end the pipeline with one, such as {example}",
        )


def knows_many_classes(classifier: base.Classifier) -> bool:
    """Return whether a classifier takes any labels; else it takes true and false alone.

    >>> from river import linear_model, naive_bayes
    >>> knows_many_classes(naive_bayes.GaussianNB()), knows_many_classes(linear_model.Perceptron())
    (True, False)
    """
    answer = classifier._multiclass
    # River 0.26.1: model_selection.SuccessiveHalvingClassifier has a method in the property's place.
    return bool(answer() if callable(answer) else answer)


def last_step(model: Any) -> Any:
    """Return the estimator that answers for a model: a pipeline's last step, through nested pipelines."""
    while isinstance(model, compose.Pipeline):
        model = list(model.steps.values())[-1]
    return model


# -------------------------------------------------------------------------------------------- building


def _build_step(step: Any, place: str, seed: int) -> Any:
    if isinstance(step, str):
        step = {"use": step}
    if not isinstance(step, dict) or not isinstance(step.get("use"), str):
        raise ConfigError(
            f"{place}: a step is a path, or a table with `use`, not {step!r}",
            remedy='write it as { use = "linear_model.LogisticRegression", l2 = 1e-4 }',
        )
    path = step["use"]
    resolved = resolve(path, place)
    steps_parameter = _TAKES_STEPS.get(resolved)
    arguments = {
        name: _build_value(value, f"{place}.{name}", seed, strings_are_steps=name == steps_parameter)
        for name, value in step.items()
        if name != "use"
    }
    return _construct(resolved, arguments, f"{place} ({path})", place, seed)


def _build_value(value: Any, place: str, seed: int, *, strings_are_steps: bool = False) -> Any:
    if isinstance(value, dict):
        if "use" in value:
            return _build_step(value, place, seed)
        return {name: _build_value(item, f"{place}.{name}", seed) for name, item in value.items()}
    if isinstance(value, list | tuple):
        build_item = _build_step if strings_are_steps else _build_value
        return [build_item(item, f"{place}[{index}]", seed) for index, item in enumerate(value)]
    return value


def _construct(cls: type, arguments: dict[str, Any], title: str, place: str, seed: int) -> Any:
    parameters = inspect.signature(cls).parameters
    if "seed" in parameters:
        arguments.setdefault("seed", _derived_seed(seed, place))
    _check_arguments(parameters, arguments, title)
    if cls is compose.SelectType:
        arguments["types"] = [_feature_type(name, title) for name in arguments.get("types", ())]
    if cls is compose.Pipeline:
        return _chain(arguments.get("steps", []), title)
    try:
        built = _call(cls, parameters, arguments)
        # A default may be drawn from as well (KNNClassifier makes itself an unseeded search engine).
        for name in parameters.keys() - arguments.keys():
            default = getattr(built, name, None)
            if isinstance(default, base.Base) and getattr(default, "seed", seed) is None:
                arguments[name] = _seeded(default, _derived_seed(seed, f"{place}.{name}"))
                built = _call(cls, parameters, arguments)
    except _CONSTRUCTION_ERRORS as error:
        raise ConfigError(
            f"{title}: River refuses these arguments: {type(error).__name__}: {error}",
            remedy="correct them as River's documentation of the class says",
        ) from error
    if cls is compose.Select:
        # River keeps the keys as a set, and a set's order, which decides the last bits of a sum, changes
        # with the hash seed and when it is unpickled (in a third of the sets of four names).
        built.keys = dict.fromkeys(arguments.get("keys", ()))
    return built


def _call(cls: type, parameters: Mapping[str, inspect.Parameter], arguments: Mapping[str, Any]) -> Any:
    positional: list[Any] = []
    keywords = dict(arguments)
    for name, parameter in parameters.items():
        if parameter.kind is parameter.VAR_POSITIONAL:
            positional = list(keywords.pop(name, ()))
    return cls(*positional, **keywords)


def _feature_type(name: Any, title: str) -> type:
    if name not in _FEATURE_TYPES:
        raise ConfigError(
            f"{title}: {name!r} is no type of a feature", remedy='write types = ["number"] or ["text"]'
        )
    return _FEATURE_TYPES[name]


def _seeded(made: base.Base, seed: int) -> base.Base:
    """Make a River object anew, with a seed."""
    arguments = {name: getattr(made, name) for name in inspect.signature(type(made)).parameters}
    return type(made)(**{**arguments, "seed": seed})


def _derived_seed(seed: int, place: str) -> int:
    digest = hashlib.blake2b(f"{seed}/{place}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big")


def _check_arguments(
    parameters: Mapping[str, inspect.Parameter], arguments: Mapping[str, Any], title: str
) -> None:
    named = [n for n, p in parameters.items() if p.kind is not p.VAR_KEYWORD]
    takes_any = len(named) < len(parameters)
    takes = f"it takes {', '.join(named)}" if named else "it takes no arguments"
    for name, value in arguments.items():
        if name not in named and not takes_any:
            raise ConfigError(
                f"{title}: unknown argument {name!r}"
                + did_you_mean(difflib.get_close_matches(name, named, n=1, cutoff=0.5)),
                remedy=takes,
            )
        if name in named:
            _check_value(parameters[name], value, title)
    for name, parameter in parameters.items():
        is_variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if parameter.default is parameter.empty and not is_variadic and name not in arguments:
            raise ConfigError(f"{title}: the argument {name!r} is missing", remedy=takes)


def _check_value(parameter: inspect.Parameter, value: Any, title: str) -> None:
    """Catch early what River would only stumble over when it learns."""
    if parameter.kind is parameter.VAR_POSITIONAL:
        wanted = None if isinstance(value, list) else "a list"
    elif isinstance(parameter.default, bool):
        wanted = None if isinstance(value, bool) else "true or false"
    elif isinstance(parameter.default, numbers.Number):
        wanted = "a number" if isinstance(value, str | list | dict) else None
    else:
        wanted = None
    if wanted:
        raise ConfigError(
            f"{title}: {parameter.name} = {value!r} is not {wanted}",
            remedy=f"give {parameter.name} as {wanted}",
        )


def _chain(steps: Sequence[Any], title: str) -> compose.Pipeline:
    flat: list[Any] = []
    if not steps:
        raise ConfigError(f"{title}: a pipeline without steps", remedy="give it at least one: steps = [...]")
    for step in steps:
        flat.extend(step.steps.values() if isinstance(step, compose.Pipeline) else [step])
    for step in flat[:-1]:
        if not isinstance(step, base.Transformer | base.AnomalyFilter):
            raise ConfigError(
                f"{title}: {type(step).__name__} stands before the last step, but transforms nothing",
                remedy="put transformers first and one model last; combine models with river's `ensemble`",
            )
    return compose.Pipeline(*flat)
