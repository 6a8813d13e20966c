"""Prediction records made by hand."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from streamlearn.emission import Records


def column(values: Sequence[bytes | None]) -> pa.LargeBinaryArray:
    """Return keys or values as sinks take them."""
    return pa.array(values, pa.large_binary())


def records(model: str, *values: bytes, keys: Sequence[bytes | None] | None = None) -> Records:
    """Return records, one an event; without keys by default."""
    keys = [None] * len(values) if keys is None else keys
    return Records(model, len(values), column(keys), column(values))
