"""From typed columns to what learners look at: missing values filled in, categories encoded.

The running means are shard state. They are sums in event order, so they do not depend on how events
were batched (`replay_equals_run`), and an event's own value never fills in for itself.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from streamlearn.config import Event
from streamlearn.contracts import Snapshot
from streamlearn.events import (
    CATEGORICAL_PREFIX,
    MISSING_CATEGORY,
    NUMERIC_PREFIX,
    Bool_BF,
    Categorical,
    Features,
    Float_BF,
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

    def build(self, events: pa.RecordBatch) -> Features:
        """Return the features of accepted events, in their order, and take their values into the means."""
        columns = [
            events.column(NUMERIC_PREFIX + name).to_numpy(zero_copy_only=False) for name in self._numeric
        ]
        shape = (events.num_rows, len(self._numeric))
        numeric_BF = np.stack(columns, axis=1) if columns else np.empty(shape)
        missing_BF = np.isnan(numeric_BF)
        if self._fill_with_mean:
            numeric_BF = self._filled_with_mean(numeric_BF, missing_BF)
        else:
            numeric_BF[missing_BF] = 0.0
        return Features(
            numeric_names=self._numeric,
            numeric_BF=np.ascontiguousarray(numeric_BF),
            missing_BF=missing_BF,
            categorical=tuple(_encoded(name, events) for name in self._categorical),
        )

    def _filled_with_mean(self, numeric_BF: Float_BF, missing_BF: Bool_BF) -> Float_BF:
        if not numeric_BF.size:
            return numeric_BF
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            # accumulate adds one row after the other: np.sum would pair them by batch size.
            known_BF = np.where(missing_BF, 0.0, numeric_BF)
            sums_BF = np.add.accumulate(np.vstack([self._sums_F, known_BF]), axis=0)
            if missing_BF.any():
                counts_BF = np.add.accumulate(np.vstack([self._counts_F, ~missing_BF]), axis=0)
                means_BF = sums_BF[:-1] / counts_BF[:-1]
                fill_BF = np.where(np.isfinite(means_BF), means_BF, 0.0)
                numeric_BF = np.where(missing_BF, fill_BF, numeric_BF)
        self._sums_F = sums_BF[-1].copy()
        self._counts_F = self._counts_F + (~missing_BF).sum(axis=0)
        return numeric_BF

    def snapshot(self) -> Snapshot:
        return Snapshot(arrays={"sums": self._sums_F.copy(), "counts": self._counts_F.copy()})

    def restore(self, snapshot: Snapshot) -> None:
        self._sums_F = np.array(snapshot.arrays["sums"])
        self._counts_F = np.array(snapshot.arrays["counts"])


def _encoded(name: str, events: pa.RecordBatch) -> Categorical:
    encoded = events.column(CATEGORICAL_PREFIX + name).dictionary_encode()
    values = tuple(encoded.dictionary.to_pylist())
    codes = encoded.indices
    if codes.null_count:
        codes = codes.fill_null(len(values))
        values = (*values, MISSING_CATEGORY)
    return Categorical(name, codes.to_numpy().astype(np.int32, copy=False), values)
