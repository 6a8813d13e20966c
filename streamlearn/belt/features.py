"""From typed columns to what learners look at: missing values filled in, categories encoded.

The running means are shard state. They are sums in event order (features_kernels.py), so they do not depend on
how events were batched (`replay_equals_run`), and an event's own value never fills in for itself.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from streamlearn.belt.features_kernels import fill_rows
from streamlearn.belt.source_kernels import ALL_ROWS
from streamlearn.config import Event
from streamlearn.contracts import Snapshot
from streamlearn.events import (
    CATEGORICAL_PREFIX,
    MISSING_CATEGORY,
    NUMERIC,
    REFERRED,
    Categorical,
    Features,
    Int_B,
    numeric_matrix,
)


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

    @property
    def numeric_names(self) -> tuple[str, ...]:
        return self._numeric

    def build(self, events: pa.RecordBatch, row_B: Int_B = ALL_ROWS) -> Features:
        """Return the features of accepted events, in their order, and take their values into the means.

        Parameters
        ----------
        row_B
            Which rows of the batch the events are; empty: all of them.
        """
        shape = (len(row_B) or events.num_rows, len(self._numeric))
        if REFERRED in events.schema.names:
            events, row_B = _followed(events.column(REFERRED), row_B)
        numeric_BF, missing_BF = np.empty(shape), np.zeros(shape, np.bool_)
        if self._numeric:
            matrix = numeric_matrix(events.column(NUMERIC))
            fill_rows(
                matrix.ctypes.data,
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

    def snapshot(self) -> Snapshot:
        return Snapshot(arrays={"sums": self._sums_F.copy(), "counts": self._counts_F.copy()})

    def restore(self, snapshot: Snapshot) -> None:
        self._sums_F = np.array(snapshot.arrays["sums"])
        self._counts_F = np.array(snapshot.arrays["counts"])


def _followed(referred: pa.DictionaryArray, row_B: Int_B) -> tuple[pa.RecordBatch, Int_B]:
    """Return the features that rows of a merged batch refer to, and where there those of these rows are."""
    places_B: Int_B = referred.indices.to_numpy()
    places_B = (places_B[row_B] if len(row_B) else places_B).astype(np.int64)
    features = referred.dictionary if len(places_B) else referred.dictionary.slice(0, 0)
    return pa.RecordBatch.from_struct_array(features), places_B


def _encoded(name: str, events: pa.RecordBatch, row_B: Int_B) -> Categorical:
    column = events.column(CATEGORICAL_PREFIX + name)
    encoded = (column.take(pa.array(row_B)) if len(row_B) else column).dictionary_encode()
    values = tuple(encoded.dictionary.to_pylist())
    codes = encoded.indices
    if codes.null_count:
        codes = codes.fill_null(len(values))
        values = (*values, MISSING_CATEGORY)
    return Categorical(name, codes.to_numpy().astype(np.int32, copy=False), values)
