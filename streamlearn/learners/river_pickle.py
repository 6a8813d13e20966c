"""Pickles River objects so that they come back the same, and go on as fast as before.

**The same** (`replay_equals_run`): River keeps classes in sets of text, and breaks ties in their order.
An ordinary pickle inserts a set's members as they iterate, which is not how they were inserted: one set
of three words in six comes back in another order. Here they are written in an order that brings the
set's own back.

**As fast**: CPython keeps a fresh object's attributes inline. Asking for its ``__dict__``, as pickling
does, moves them to a dict for good, and every access pays from then on: StandardScaler |
LogisticRegression ran 7% slower after its first checkpoint. Here attributes are read by name, and
written in the form that an unpickler sets one by one.

The bytes are an ordinary pickle, which any unpickler reads; writing changes nothing (`reads_are_pure`).
"""

from __future__ import annotations

import copyreg
import gc
import io
import itertools
import pickle
import random
from collections.abc import Callable
from functools import cache
from typing import Any

# By these a class could pickle, make or fill its objects in a way of its own.
_AS_IN_OBJECT = ("__reduce_ex__", "__reduce__", "__getstate__", "__new__", "__setattr__")
_ABSENT = ("__getattr__", "__getnewargs__", "__getnewargs_ex__")

# Ten trials find the order of 40 words, 60 that of 200. A set of thousands may outlast these, and then
# comes back with its members in another order, as from an ordinary pickle.
_TRIALS = 1000

SMALL_MAX, SMALL_TABLE = 4, 8  # members that fit a new set's table, and its places

# Written as an opcode, not as a name, where the function is called so.
_new: Callable[..., Any] = copyreg.__newobj__  # type: ignore[attr-defined]


class RiverPickler:
    """Pickles one model, again and again, and remembers the attribute names of its classes.

    An object of a class, or with an attribute, that it has not met yet gives up its inline attributes
    and teaches it their names: so pickle a throw-away clone of the model first.

    >>> from river import linear_model
    >>> model, pickler = linear_model.LogisticRegression(l2=0.5), RiverPickler()
    >>> pickle.loads(pickler.dumps(model)).l2
    0.5
    """

    def __init__(self) -> None:
        self._names: dict[type, tuple[str, ...]] = {}

    def dumps(self, model: Any) -> bytes:
        """Return the model's pickle, under protocol 5; raises what ``pickle.dumps`` raises."""
        file = io.BytesIO()
        _Pickler(file, self._names).dump(model)
        return file.getvalue()


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, names: dict[type, tuple[str, ...]]) -> None:
        super().__init__(file, protocol=5)
        self._names = names
        self._ordered: dict[int, _Ordered] = {}  # by the set's id: one that is shared stays shared

    def reducer_override(self, model: Any) -> Any:
        cls = type(model)
        if cls is _Ordered:
            return set, (model.members,)
        if not _has_plain_state(cls):  # type: ignore[arg-type]  # mypy takes a class for unhashable
            return NotImplemented
        attributes = _read(model, self._names.get(cls, ()))
        if attributes is None:
            attributes = dict(vars(model))
            self._names[cls] = tuple(dict.fromkeys((*self._names.get(cls, ()), *attributes)))
        for name, value in attributes.items():
            if type(value) is set and len(value) > 1:
                attributes[name] = self._in_order(value)
        # The second of a pair is set attribute by attribute; a class with a way of its own takes a dict.
        state = attributes if hasattr(cls, "__setstate__") else (None, attributes)
        return _new, (cls,), state

    def _in_order(self, values: set[Any]) -> set[Any] | _Ordered:
        if id(values) not in self._ordered:
            members = insertion_order(values)
            if members == list(values):
                return values
            self._ordered[id(values)] = _Ordered(members)
        return self._ordered[id(values)]


class _Ordered:
    """Stands for a set in the pickle, and is read back as one."""

    def __init__(self, members: list[Any]) -> None:
        self.members = members


def insertion_order(values: set[Any]) -> list[Any]:
    """Return the members in an order of insertion after which a set iterates as this one does.

    Where members collide, the one that came first has the place, so the order of insertion shows. It is
    searched for: what stands wrong is moved, and a move is kept that makes nothing worse; now and then
    the search begins afresh.

    >>> words = set("the quick brown fox jumps over a lazy dog".split())
    >>> list(set(insertion_order(words))) == list(words)
    True
    """
    wanted = list(values)
    if len(wanted) <= SMALL_MAX and len({hash(value) % SMALL_TABLE for value in wanted}) < len(wanted):
        seen = _places(values)
        for came in itertools.permutations(wanted):
            inserted = set(came)
            if list(inserted) == wanted and _places(inserted) == seen:
                return list(came)
    order, wrong = wanted, _misplaced(wanted, wanted)
    draw = random.Random(0)
    for trial_number in range(1, _TRIALS):
        if not wrong:
            return order
        if trial_number % (60 + len(wanted)) == 0:
            order = draw.sample(wanted, len(wanted))
            wrong = _misplaced(order, wanted)
            continue
        moved = draw.choice(wrong)
        trial = [value for value in order if value is not moved]
        trial.insert(draw.choice((0, len(trial), draw.randint(0, len(trial)))), moved)
        wrong_then = _misplaced(trial, wanted)
        if len(wrong_then) <= len(wrong):
            order, wrong = trial, wrong_then
    return wanted


class _Probe:
    """A member that wants one place of a small table, then another one, and is equal to no other."""

    def __init__(self, hash_: int) -> None:
        self._hash = hash_

    def __hash__(self) -> int:
        return self._hash


# Whoever finds its place taken goes on by the bits of its hash from the sixth on.
_PROBES = [_Probe(place | second << 5) for place in range(SMALL_TABLE) for second in range(4)]


def _places(values: set[Any]) -> list[list[int]]:
    """Return what tells where the members of a small set are: how it would be iterated with each of a few more.

    Two orders of insertion may have the members iterated alike and leave them in other places. Who comes next then
    finds another place free.
    """
    return [list(map(id, values | {probe})) for probe in _PROBES]


def _misplaced(order: list[Any], wanted: list[Any]) -> list[Any]:
    came_back = set(order)
    return [value for value, other in zip(came_back, wanted, strict=True) if value is not other]


@cache
def _has_plain_state(cls: type) -> bool:
    """Whether the class is River's, and its objects are pickled as their attributes and nothing else."""
    return (
        cls.__module__.startswith("river.")
        and cls.__dictoffset__ < 0  # attributes may be inline
        and all(getattr(cls, name, None) is getattr(object, name, None) for name in _AS_IN_OBJECT)
        and not any(hasattr(cls, name) for name in _ABSENT)
    )


def _read(model: Any, names: tuple[str, ...]) -> dict[str, Any] | None:
    """Return all attributes, or None where these names are not all that it has."""
    cls = type(model)
    attributes: dict[str, Any] = {}
    for name in names:
        if hasattr(cls, name):  # it would answer for an object that has no such attribute
            return None
        try:
            attributes[name] = getattr(model, name)
        except AttributeError:
            continue
    # What the object refers to, its class apart, is just what its attributes hold.
    referents = sorted(id(referent) for referent in gc.get_referents(model) if referent is not cls)
    return attributes if referents == sorted(map(id, attributes.values())) else None
