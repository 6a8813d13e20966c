"""Numeric features of event batches as tests like to read and write them: a column each, None where one is missing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from streamlearn.events import NUMERIC, NUMERIC_PREFIX, numeric_column, numeric_matrix


def apart(events: pa.RecordBatch, numeric: Sequence[str]) -> pa.RecordBatch:
    """Return a batch with a nullable column ``numeric/NAME`` for each feature instead of the matrix."""
    columns = dict(zip(events.schema.names, events.columns, strict=True))
    numeric_BF = numeric_matrix(columns.pop(NUMERIC)) if numeric else np.empty((events.num_rows, 0))
    assert numeric_BF.shape == (events.num_rows, len(numeric))
    numbers = {
        NUMERIC_PREFIX + name: pa.array(number_B, from_pandas=True)
        for name, number_B in zip(numeric, numeric_BF.T, strict=True)
    }
    return pa.RecordBatch.from_pydict(columns | numbers)


def together(columns: Sequence[Sequence[float | None]]) -> pa.FixedSizeListArray:
    """Return the column ``numeric`` of values by feature."""
    return numeric_column(np.array(columns, np.float64).T.copy())
