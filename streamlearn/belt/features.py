"""From typed columns to what learners look at: missing values filled in, categories encoded.

The running means are shard state. They are sums in event order (features_kernels.py), so they do not depend on
how events were batched (`replay_equals_run`), and an event's own value never fills in for itself.
"""

from __future__ import annotations

import ctypes

import numpy as np
import pyarrow as pa

from streamlearn.belt.features_kernels import fill_rows
from streamlearn.config import Event
from streamlearn.contracts import Snapshot
from streamlearn.events import (
    CATEGORICAL_PREFIX,
    MISSING_CATEGORY,
    NUMERIC_PREFIX,
    Categorical,
    Features,
    Int_B,
)

_capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_capsule_pointer.argtypes = (ctypes.py_object, ctypes.c_char_p)
_capsule_pointer.restype = ctypes.c_void_p

_ALL: Int_B = np.zeros(0, np.int64)


class FeatureBuilder:
    """Builds ``Features`` from the typed columns of accepted events.

    A missing numeric value becomes the mean of the earlier values of its feature (0 where there were
    none, or where their sum left float64), or 0, as ``event.missing`` says. Under ``reject`` the decoder
    has set such events aside already. A missing categorical becomes ``MISSING_CATEGORY``.
    """

    def __init__(self, event: Event) -> None:
        self._numeric = event.numeric
        self._categorical = event.categorical
        self._fill_with_mean = event.missing == "mean"
        self._sums_F = np.zeros(len(event.numeric))
        self._counts_F = np.zeros(len(event.numeric), np.int64)
        self._schema = pa.schema([])  # of the last batch, and where in it the numeric features stand
        self._children_F = np.zeros(0, np.int64)

    @property
    def numeric_names(self) -> tuple[str, ...]:
        return self._numeric

    def build(self, events: pa.RecordBatch, row_B: Int_B = _ALL) -> Features:
        """Return the features of accepted events, in their order, and take their values into the means.

        Parameters
        ----------
        row_B
            Which rows of the batch the events are; empty: all of them.
        """
        if events.schema != self._schema:
            self._find_columns(events.schema)
        shape = (len(row_B) or events.num_rows, len(self._numeric))
        numeric_BF, missing_BF = np.empty(shape), np.empty(shape, np.bool_)
        _, exported = events.__arrow_c_array__()
        fill_rows(
            _address(exported),
            self._children_F,
            row_B,
            self._fill_with_mean,
            self._sums_F,
            self._counts_F,
            numeric_BF,
            missing_BF,
        )
        return Features(
            numeric_names=self._numeric,
            numeric_BF=numeric_BF,
            missing_BF=missing_BF,
            categorical=tuple(_encoded(name, events, row_B) for name in self._categorical),
        )

    def _find_columns(self, schema: pa.Schema) -> None:
        names = [NUMERIC_PREFIX + name for name in self._numeric]
        assert all(schema.field(name).type == pa.float64() for name in names), "the decoder gives float64"
        self._schema = schema
        self._children_F = np.array([schema.get_field_index(name) for name in names], np.int64)

    def snapshot(self) -> Snapshot:
        return Snapshot(arrays={"sums": self._sums_F.copy(), "counts": self._counts_F.copy()})

    def restore(self, snapshot: Snapshot) -> None:
        self._sums_F = np.array(snapshot.arrays["sums"])
        self._counts_F = np.array(snapshot.arrays["counts"])


def _address(exported: object) -> int:
    """Return the address of an ``ArrowArray``, which lives as long as the capsule that holds it."""
    address: int = _capsule_pointer(exported, b"arrow_array")
    return address


def _encoded(name: str, events: pa.RecordBatch, row_B: Int_B) -> Categorical:
    column = events.column(CATEGORICAL_PREFIX + name)
    encoded = (column.take(pa.array(row_B)) if len(row_B) else column).dictionary_encode()
    values = tuple(encoded.dictionary.to_pylist())
    codes = encoded.indices
    if codes.null_count:
        codes = codes.fill_null(len(values))
        values = (*values, MISSING_CATEGORY)
    return Categorical(name, codes.to_numpy().astype(np.int32, copy=False), values)
