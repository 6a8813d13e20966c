"""Canonical JSON: one text for one value, so that it can be hashed, and read back as it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def canonical_json(value: Any) -> bytes:
    """Return the one JSON text of a value of JSON types, as UTF-8.

    Keys are sorted, since JSON objects have no order: what depends on an order belongs in a list.
    Python's NaN and infinities are written as ``NaN``, ``Infinity`` and ``-Infinity``, as its own
    ``json`` reads them. Integers may have any size; ``1``, ``1.0`` and ``true`` are three values.

    >>> canonical_json({"b": [1, 1.0, True, None], "a": "ü"})
    b'{"a":"\\\\u00fc","b":[1,1.0,true,null]}'
    """
    assert is_json(value), "data of a snapshot is of JSON types, with text as keys"
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=dict).encode()


def fingerprint(config: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a config's canonical JSON, in hexadecimal.

    >>> fingerprint({"seed": 1, "task": "binary"}) == fingerprint({"task": "binary", "seed": 1})
    True
    """
    return hashlib.sha256(canonical_json(config)).hexdigest()


def is_json(value: Any) -> bool:
    """Whether a value reads back from JSON as it was (tuples as lists).

    >>> is_json({"weights": [0.5]}), is_json({1: "integer keys come back as text"})
    (True, False)
    """
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, Mapping):
            if not all(type(key) is str for key in each):
                return False
            pending.extend(each.values())
        elif isinstance(each, list | tuple):
            pending.extend(each)
        elif each is not None and type(each) not in (bool, int, float, str):
            return False
    return True
