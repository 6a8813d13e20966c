"""Reads pickled models back, admitting exact names and nothing else.

A pickle is a program that calls what it names. Here it may name the classes that River itself defines,
what ``admitted.py`` lists, and the classes that the config admits for a user's own model; each by its
exact module and name. So nothing that River's modules merely import (``sys``, ``importlib``,
``functools``) can be reached, no attribute can be looked up by name, and a pickle that altered a class
or function on its way is refused.

What this does not promise: NumPy and River's Rust parts rebuild themselves from raw state and do not
defend their memory against a forged one, and a forged pickle may ask for any amount of memory or time. Where others can write to the checkpoint folder, sign the files
(``STREAMLEARN_CHECKPOINT_KEY``): a signature is verified before anything is unpickled.
"""

from __future__ import annotations

import copyreg
import functools
import importlib
import io
import pickle
import types
from collections.abc import Iterable, Mapping
from typing import Any

from streamlearn.checkpoints.admitted import BOUND_METHODS, EXACT, RIVER_EXCLUDED, Pair
from streamlearn.errors import CheckpointRefused

# All that the standard library's unpickler, and a class's own __setstate__ or constructor, raise
# where the bytes do not fit the class.
UNFIT: tuple[type[Exception], ...] = (
    *(pickle.UnpicklingError, EOFError, ImportError, AttributeError, LookupError, TypeError, ValueError),
    *(ArithmeticError, RuntimeError, MemoryError, AssertionError),
)


def loads(data: bytes, admit: frozenset[Pair] = frozenset()) -> Any:
    """Unpickle a model.

    Parameters
    ----------
    data
        What ``pickle.dumps`` gave, under protocol 3 or newer.
    admit
        Further classes (or functions), as exact ``(module, name)`` pairs.

    Raises
    ------
    CheckpointRefused
        It names what is not admitted, or does not fit the installed classes.

    >>> loads(pickle.dumps({"learned": [1, 2.5, None]}))
    {'learned': [1, 2.5, None]}
    >>> loads(b"cos\\nsystem\\n(V true\\ntR.")
    Traceback (most recent call last):
    ...
    streamlearn.errors.CheckpointRefused: the pickled model names os:system, which is not admitted
      remedy: ...
    """
    unpickler = _Unpickler(io.BytesIO(data), admit)
    try:
        try:
            model = unpickler.load()
        finally:
            unpickler.refuse_alterations()
    except UNFIT as error:
        raise CheckpointRefused(
            f"the pickled model cannot be rebuilt: {type(error).__name__}: {error}",
            remedy="install the versions that the checkpoint was written with "
            "(`streamlearn checkpoints ls` shows them), or start anew under another checkpoint.path",
        ) from error
    return model


def admitted_by(config: Mapping[str, Any]) -> frozenset[Pair]:
    """Return the pairs that a checkpoint's config admits: ``models[].admit``, as ``package.module:Class``.

    >>> admitted_by({"models": [{"name": "mine", "admit": ["shop.models:Ranker"]}, {"name": "logistic"}]})
    frozenset({('shop.models', 'Ranker')})
    """
    texts = [text for model in config.get("models", ()) for text in model.get("admit", ())]
    return admit_pairs(texts)


def admit_pairs(texts: Iterable[str]) -> frozenset[Pair]:
    """Return ``package.module:Class`` texts as ``(module, name)`` pairs.

    >>> admit_pairs(["shop.models:Ranker"])
    frozenset({('shop.models', 'Ranker')})
    """
    pairs = (text.partition(":") for text in texts)
    return frozenset((module, name) for module, _, name in pairs)


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, admit: frozenset[Pair]) -> None:
        super().__init__(file)
        self._admit = admit
        self._shapes: dict[Pair, tuple[Any, _Shape]] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("builtins", "getattr"):
            return self._bound_method
        if (module, name) in EXACT:
            found = _import(module, name)
        elif "." not in name and (module, name) in self._admit:
            found = _import(module, name)
            if not isinstance(found, type | types.FunctionType) or not _defines(module, name, found):
                raise _refused(module, name, "which the module does not define itself")
        elif "." not in name and _is_river(module):
            found = _import(module, name)
            if not isinstance(found, type) or not _defines(module, name, found):
                raise _refused(module, name)
        else:
            raise _refused(module, name)
        self._shapes[module, name] = (found, _shape(found))
        return found

    def _bound_method(self, owner: Any, name: str) -> Any:
        """Stand in for ``getattr``, by which a bound method is pickled: the listed methods alone.

        The method is taken from the class that defines it, so that no instance attribute takes its place.
        """
        family = owner.__mro__ if isinstance(owner, type) else type(owner).__mro__
        # `name` may be of a subclass of str, with an equality of its own.
        if type(name) is str and not name.startswith("__"):
            for definer in family:
                if name in vars(definer):
                    pair = (definer.__module__, definer.__qualname__)
                    if (*pair, name) not in BOUND_METHODS and pair not in self._admit:
                        raise _refused(pair[0], f"{pair[1]}.{name}")
                    bind = vars(definer)[name].__get__
                    return bind(None, owner) if isinstance(owner, type) else bind(owner, type(owner))
        raise _refused(family[0].__module__, f"{family[0].__qualname__}.{name}")

    def refuse_alterations(self) -> None:
        """Refuse a pickle that set attributes of a class or function, and undo it.

        The BUILD opcode sets attributes of whatever object is on the stack. No honest pickle does that
        to a class; here it could put one admitted callable in the place of another for the whole process.
        """
        altered = [pair for pair, (found, before) in self._shapes.items() if _shape(found) != before]
        for pair in altered:
            _restore(*self._shapes[pair])
        if altered:
            raise _refused(*altered[0], "and alters it, which no honest pickle does")


def _is_river(module: str) -> bool:
    packages = module.split(".")
    return packages[0] == "river" and not RIVER_EXCLUDED.intersection(packages)


def _import(module: str, name: str) -> Any:
    return functools.reduce(getattr, name.split("."), importlib.import_module(module))


def _defines(module: str, name: str, found: Any) -> bool:
    return bool(found.__module__ == module and found.__qualname__ == name)


# What BUILD could change of a class or of a function, beside its own dict.
_CLASS_SLOTS = ("__bases__", "__name__", "__qualname__")
_FUNCTION_SLOTS = ("__code__", "__defaults__", "__kwdefaults__", "__name__", "__qualname__")


class _Shape(dict[str, Any]):
    """What a class or function is made of. Equal to another that holds the same objects."""

    def __eq__(self, other: object) -> bool:
        assert isinstance(other, _Shape)
        return self.keys() == other.keys() and all(self[key] is other[key] for key in self)

    __hash__ = None


def _slots(found: Any) -> tuple[str, ...]:
    if isinstance(found, type):
        return _CLASS_SLOTS
    return _FUNCTION_SLOTS if isinstance(found, types.FunctionType) else ()


def _shape(found: Any) -> _Shape:
    if isinstance(found, type):
        # Pickling a class for the first time notes its slots in it; another thread may be doing that.
        copyreg._slotnames(found)  # type: ignore[attr-defined]
    slots = _slots(found)
    return _Shape({**vars(found), **{name: getattr(found, name) for name in slots}} if slots else {})


def _restore(found: Any, before: _Shape) -> None:
    now = _shape(found)
    for name in now.keys() - before.keys():
        delattr(found, name)
    for name, value in before.items():
        if name not in now or now[name] is not value:
            setattr(found, name, value)


def _refused(module: str, name: str, why: str = "which is not admitted") -> CheckpointRefused:
    return CheckpointRefused(
        f"the pickled model names {module}:{name}, {why}",
        remedy=f'if the class is your own and you trust this file, add "{module}:{name}" to the model\'s '
        "`admit`; otherwise do not load it: somebody else may have written it",
    )
