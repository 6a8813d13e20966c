"""A digest of an object graph by its structure: equal for graphs that no model could tell apart.

What counts: types, values to the last bit, the order of sequences and dicts, what a class says of itself
to ``copyreg``, and which mutable objects are one and the same. What does not: addresses, the order in which
an object was given its attributes or a set is iterated, whether two equal immutable values are one object,
the payload of a NaN, and the state of a random generator that was never seeded: no events lead to it.
(River's ``proba.Gaussian`` holds one, so each leaf of a Hoeffding tree does; only sampling draws from it.)
"""

from __future__ import annotations

import copyreg
import hashlib
import itertools
import math
import random
import struct
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

FLUSH_BYTES = 1 << 16
GENERATORS = (random.Random, np.random.RandomState, np.random.Generator)
NAN = struct.pack(">d", math.nan)


def structure_digest(root: Any) -> str:
    """Return the SHA-256 of an object graph, as 64 hexadecimal digits.

    Each object is asked for its state as ``pickle`` would ask, and none is changed (`reads_are_pure`).
    Depth is bounded by memory alone, save for tuples and sets within one another.

    >>> one, other = [1.0], [1.0]
    >>> structure_digest([one, one]) == structure_digest([one, other])
    False
    >>> structure_digest({3, 1, 2}) == structure_digest({2, 3, 1})
    True
    >>> structure_digest(0.0) == structure_digest(-0.0)
    False
    """
    return _Walk().digest(root).hex()


def array_digest(array: npt.NDArray[Any]) -> bytes:
    """Return the SHA-256 of an array's dtype, shape and values, not of its memory layout.

    >>> layouts = np.array([[1, 2], [3, 4]]), np.array([[1, 2], [3, 4]], order="F")
    >>> array_digest(layouts[0]) == array_digest(layouts[1])
    True
    """
    assert not array.dtype.hasobject, "an array of objects is no array of values"
    if array.dtype.kind in "fc" and np.isnan(array).any():
        array = array.copy()
        parts = (array.real, array.imag) if array.dtype.kind == "c" else (array,)
        for part in parts:
            part[np.isnan(part)] = np.nan
    whole = hashlib.sha256(_kind(array))
    whole.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return whole.digest()


class _Walk:
    """One pass over a graph. ``_visit`` writes what an object is and returns what is inside it, if anything."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._out = bytearray()
        self._seen: dict[int, int] = {}  # id of a mutable object -> the how-manieth it was
        self._alive: list[Any] = []  # an id is one object's only as long as that lives
        self._values: dict[int, bytes | None] = {}  # id of a tuple -> its digest, where it is a value

    def digest(self, root: Any) -> bytes:
        pending: list[Iterator[Any]] = [iter((root,))]
        while pending:
            for each in pending[-1]:
                inside = self._visit(each)
                if inside is not None:
                    pending.append(inside)
                    break
            else:
                pending.pop()
            if len(self._out) > FLUSH_BYTES:
                self._flush()
        self._flush()
        return self._hash.digest()

    def _flush(self) -> None:
        self._hash.update(self._out)
        self._out.clear()

    def _write(self, tag: bytes, payload: bytes) -> None:
        self._out += tag + struct.pack(">Q", len(payload)) + payload

    def _visit(self, each: Any) -> Iterator[Any] | None:
        kind = type(each)
        if kind in _ATOMS:
            self._write(*_ATOMS[kind](each))
            return None
        if kind is tuple and (value := self._tuple_value(each)) is not None:
            self._write(b"t", value)
            return None
        if isinstance(each, type | types.FunctionType | types.BuiltinFunctionType) and _is_global(each):
            self._write(b"g", f"{each.__module__}:{each.__qualname__}".encode())
            return None
        if isinstance(each, np.generic | np.dtype):
            self._write(b"n", _scalar_bytes(each))
            return None
        if id(each) in self._seen:
            self._write(b"r", b"%d" % self._seen[id(each)])
            return None
        self._seen[id(each)] = len(self._seen)
        self._alive.append(each)
        return self._enter(each)

    def _enter(self, each: Any) -> Iterator[Any] | None:
        kind = type(each)
        if kind is list or kind is tuple:
            members: Iterator[Any] = iter(each)
            self._write(b"l" if kind is list else b"u", b"%d" % len(each))
            return members
        if kind is dict:
            self._write(b"d", b"%d" % len(each))
            return itertools.chain.from_iterable(each.items())
        if kind is set or kind is frozenset:
            self._write(b"e" if kind is set else b"z", b"%d" % len(each))
            return iter(sorted(each, key=lambda member: _Walk().digest(member)))
        if kind is bytearray:
            self._write(b"a", bytes(each))
            return None
        if kind is np.ndarray:
            return self._enter_array(each)
        return self._enter_object(each)

    def _enter_array(self, array: npt.NDArray[Any]) -> Iterator[Any] | None:
        if array.dtype.hasobject:
            self._write(b"m", _kind(array))
            return iter(array.reshape(-1).tolist())
        self._write(b"v", array_digest(array))
        return None

    def _enter_object(self, each: Any) -> Iterator[Any]:
        """Walk what the object would be pickled as: a callable, its arguments, a state, and items."""
        reduced = _reduce(each)
        if isinstance(reduced, str):
            self._write(b"g", f"{each.__module__}:{reduced}".encode())
            return iter(())
        make, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        items, pairs = list(items or ()), list(pairs or ())
        attributes = _attributes(state) if type(state) is dict else None
        form = (len(arguments), -1 if attributes is None else len(attributes), len(items), len(pairs))
        self._write(b"o", repr(form).encode())
        inside = [(make,), arguments, itertools.chain.from_iterable(attributes or ())]
        inside += [(state,) if attributes is None else (), items, itertools.chain.from_iterable(pairs)]
        return itertools.chain.from_iterable(inside)

    def _tuple_value(self, each: tuple[Any, ...]) -> bytes | None:
        """Return the digest of a tuple that holds values only, ``None`` for one that holds an object.

        Equal values may be one object or several, by accident; objects are told apart.
        """
        if id(each) not in self._values:
            self._alive.append(each)
            self._values[id(each)] = None
            tokens = bytearray()
            for member in each:
                kind = type(member)
                if kind in _ATOMS:
                    tag, payload = _ATOMS[kind](member)
                elif kind is tuple and (value := self._tuple_value(member)) is not None:
                    tag, payload = b"t", value
                else:
                    return None
                tokens += tag + struct.pack(">Q", len(payload)) + payload
            self._values[id(each)] = hashlib.sha256(tokens).digest()
        return self._values[id(each)]


def _reduce(each: Any) -> Any:
    special = copyreg.dispatch_table.get(type(each))
    return special(each) if special is not None else each.__reduce_ex__(4)


def _attributes(state: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return an object's attributes by name. Its dict is no object that anything else refers to.

    By River's convention, an object whose ``seed`` is ``None`` has generators that were never seeded.
    """
    unseeded = state.get("seed", 0) is None
    kept = [
        (name, value) for name, value in state.items() if not (unseeded and isinstance(value, GENERATORS))
    ]
    return sorted(kept, key=lambda attribute: str(attribute[0]))


def _is_global(each: Any) -> bool:
    """Whether a class or function is known by its name; a method bound to an object is not."""
    owner = getattr(each, "__self__", None)
    return isinstance(each, type) or owner is None or isinstance(owner, types.ModuleType)


def _scalar_bytes(each: np.generic | np.dtype[Any]) -> bytes:
    return repr(each).encode() if isinstance(each, np.dtype) else array_digest(np.asarray(each))


def _kind(array: npt.NDArray[Any]) -> bytes:
    return f"{array.dtype!r}{array.shape}".encode()


def _integer(each: int) -> tuple[bytes, bytes]:
    return b"i", each.to_bytes(each.bit_length() // 8 + 1, "big", signed=True)


def _float(each: float) -> tuple[bytes, bytes]:
    return b"f", struct.pack(">d", each) if each == each else NAN


def _complex(each: complex) -> tuple[bytes, bytes]:
    return b"c", _float(each.real)[1] + _float(each.imag)[1]


_ATOMS: dict[type, Callable[[Any], tuple[bytes, bytes]]] = {
    type(None): lambda each: (b"N", b""),
    type(Ellipsis): lambda each: (b"E", b""),
    type(NotImplemented): lambda each: (b"I", b""),
    bool: lambda each: (b"T" if each else b"F", b""),
    int: _integer,
    float: _float,
    complex: _complex,
    str: lambda each: (b"s", each.encode("utf-8", "surrogatepass")),
    bytes: lambda each: (b"b", each),
}
