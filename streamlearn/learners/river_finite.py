"""Whether a River object's numbers are still finite, told without touching the object.

Part of how `learned_once` is kept for events that would ruin a model: guard.py asks this after every
micro-batch, and undoes the event after which the answer is no. So it has to be cheap (20 features: 25 us) and
it may not change what it looks at (`reads_are_pure`): attributes are found by ``gc.get_referents``, since
asking for an object's ``__dict__`` makes every later access to it slower (river_pickle.py).

Weights, running means and optimizer states are sums of products of what they were, so an infinity or a NaN
in them stays, and spreads: looking once a batch finds what looking after every event would find. Objects
that count, compare or remember hold infinities by design ("no minimum yet") and lose nothing by them;
these are not looked into. What River keeps in Rust, vectors of weights apart, cannot be looked into.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Collection, Mapping
from enum import Enum, auto
from functools import cache
from math import isfinite
from typing import Any, assert_never

import numpy as np
from river.utils import VectorDict

# Modules of River whose objects, and all that they own, hold infinities by design.
_INFINITE_BY_DESIGN = (
    "river.anomaly.",
    "river.bandit.",
    "river.cluster.",
    "river.drift.",
    "river.forest.online_extra_trees",
    "river.metrics.",
    "river.neighbors.",
    "river.stats.maximum",
    "river.stats.minimum",
    "river.tree.",
)
# And one of which this is true of its own numbers alone ("no limit"), not of the model that it wraps.
_INFINITE_LIMITS = ("river.preprocessing.pred_clipper",)


class _Kind(Enum):
    """What an object is to this walk."""

    PASSED_BY = auto()
    NUMBER = auto()
    ARRAY = auto()
    MAPPING = auto()  # a vector of weights, too
    COLLECTION = auto()
    OBJECT = auto()
    OBJECT_WITH_LIMITS = auto()


def is_finite(model: Any) -> bool:
    """Return whether every weight, mean and moment that a model owns is finite.

    Looks into River's objects, into standard collections and NumPy arrays of numbers; an object of any
    other class is taken to be finite.

    >>> from river import linear_model, optim
    >>> model = linear_model.LinearRegression(optimizer=optim.SGD(1e300))
    >>> is_finite(model)
    True
    >>> for _ in range(3):
    ...     model.learn_one({"x": 1e300}, 1e6)
    >>> is_finite(model)
    False
    """
    waiting, seen = [model], {id(model)}
    while waiting:
        each = waiting.pop()
        match _kind(type(each)):  # type: ignore[arg-type]  # mypy takes a class for unhashable
            case _Kind.PASSED_BY | _Kind.NUMBER:
                continue
            case _Kind.ARRAY:
                if each.dtype.kind in "fc" and not np.isfinite(each).all():
                    return False
                continue
            case _Kind.MAPPING:
                inside: Collection[Any] = each.values()
            case _Kind.COLLECTION:
                inside = each
            case _Kind.OBJECT:
                inside = gc.get_referents(each)
            case _Kind.OBJECT_WITH_LIMITS:
                inside = [found for found in gc.get_referents(each) if type(found) is not float]
            case kind:
                assert_never(kind)
        if _are_finite_floats(inside):
            continue
        for found in inside:
            kind_found = _kind(type(found))  # type: ignore[arg-type]
            if kind_found is _Kind.NUMBER:
                if not isfinite(found):
                    return False
            elif kind_found is not _Kind.PASSED_BY and id(found) not in seen:
                seen.add(id(found))
                waiting.append(found)
    return True


def _are_finite_floats(values: Collection[Any]) -> bool:
    """Whether these are floats alone, all finite, told in one pass of C; False: look at each."""
    if not values or type(next(iter(values))) is not float:
        return False
    try:
        total = sum(values)
    except TypeError:
        return False
    # A finite sum has finite terms.
    return isfinite(total)


@cache
def _kind(cls: type) -> _Kind:
    if issubclass(cls, float | np.floating):
        return _Kind.NUMBER
    if issubclass(cls, np.ndarray):
        return _Kind.ARRAY
    if issubclass(cls, Mapping | VectorDict):
        return _Kind.MAPPING
    if issubclass(cls, list | tuple | set | frozenset | deque):
        return _Kind.COLLECTION
    # A class is an object, too, of River's metaclass, and leads to everything.
    if not cls.__module__.startswith("river.") or issubclass(cls, type):
        return _Kind.PASSED_BY
    if cls.__module__.startswith(_INFINITE_BY_DESIGN):
        return _Kind.PASSED_BY
    return _Kind.OBJECT_WITH_LIMITS if cls.__module__.startswith(_INFINITE_LIMITS) else _Kind.OBJECT
