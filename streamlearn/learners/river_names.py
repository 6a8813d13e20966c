"""Which River classes a config can name: those that River exports as its own, and nothing else.

A path is looked up in a catalogue of classes; no text is imported or evaluated. So a config file cannot
reach a function, a module, a dotted attribute, or a class of another package.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import types
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from river import api

from streamlearn.errors import ConfigError

# Not parts of a model: they read files or the network, draw data, or wrap objects that no config can spell.
_PACKAGES_LEFT_OUT = frozenset({"base", "checks", "compat", "datasets", "evaluate", "stream"})

_CLASSES_LEFT_OUT = {
    "compose.FuncTransformer": "it takes a Python function; write a python learner for that",
    "compose.TargetTransformRegressor": "it takes Python functions; write a python learner for that",
}


def resolve(path: str, place: str) -> type:
    """Return the River class that an import path below ``river`` names.

    Parameters
    ----------
    path
        For example ``linear_model.LogisticRegression``.
    place
        Where in the config it stands, for the error.

    Raises
    ------
    ConfigError
        No such class, or one that a config cannot use; with what was probably meant.

    >>> resolve("linear_model.LogisticRegression", "pipeline[0]")
    <class 'river.linear_model.log_reg.LogisticRegression'>
    >>> resolve("LogisticRegression", "pipeline[0]")
    Traceback (most recent call last):
    ...
    streamlearn.errors.ConfigError: pipeline[0]: River has no class 'LogisticRegression' that a config can name
      (did you mean 'linear_model.LogisticRegression'?)
      remedy: name a River class by its path, such as "linear_model.LogisticRegression"
    """
    if path in _CLASSES_LEFT_OUT:
        raise ConfigError(f"{place}: {path} cannot be used here", remedy=_CLASSES_LEFT_OUT[path])
    known = catalogue()
    if path in known:
        return known[path]
    # A bare or misplaced class name is matched first: it is the commonest slip.
    last = path.rpartition(".")[2].lower()
    similar = [name for name in known if name.rpartition(".")[2].lower() == last]
    similar = similar or difflib.get_close_matches(path, known, n=3, cutoff=0.6)
    raise ConfigError(
        f"{place}: River has no class {path!r} that a config can name{did_you_mean(similar)}",
        remedy='name a River class by its path, such as "linear_model.LogisticRegression"',
    )


def did_you_mean(names: Sequence[str]) -> str:
    """Return the hint to append to an error, empty where there is none.

    >>> did_you_mean(["l2"])
    " (did you mean 'l2'?)"
    """
    return f" (did you mean {' or '.join(map(repr, names))}?)" if names else ""


@cache
def catalogue() -> Mapping[str, type]:
    """Return all classes that a config can name, by their path below ``river``; imports all of River once."""
    found: dict[str, type] = {}
    for package in sorted(set(api.__all__) - _PACKAGES_LEFT_OUT):
        found.update(_exported(importlib.import_module(f"river.{package}")))
    return types.MappingProxyType({path: cls for path, cls in found.items() if path not in _CLASSES_LEFT_OUT})


def _exported(module: types.ModuleType) -> Iterator[tuple[str, type]]:
    path = module.__name__.removeprefix("river.")
    package = "river." + path.split(".")[0]
    for name in getattr(module, "__all__", ()):
        value = getattr(module, name, None)
        if isinstance(value, types.ModuleType):
            is_below = value.__name__ == f"{module.__name__}.{name}"
            if is_below and name not in _PACKAGES_LEFT_OUT:
                yield from _exported(value)
        elif isinstance(value, type):
            is_own = f"{value.__module__}.".startswith(f"{package}.")
            if is_own and not inspect.isabstract(value):
                yield f"{path}.{name}", value
