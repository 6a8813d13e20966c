"""Rejects events behind the decoder: what the shard's state says of them, and not their bytes.

Upholds `learned_once`: a rejected event keeps its bytes, its place and its reason, and nothing else.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamlearn.events import LAST, NUMERIC, RAW_SCHEMA, REFERRED, ROW, Bool_B, Int_B, Reason

# Numbers, and what lies elsewhere, stay, and nobody looks at them: only events that are accepted have features.
KEPT = (*RAW_SCHEMA.names, ROW, LAST, "time_us", NUMERIC, REFERRED, "reason", "detail")


def rejected(events: pa.RecordBatch, rows: Int_B, reason: Reason, detail: str) -> pa.RecordBatch:
    """Return the events with these rows rejected, all for one reason; what was read from them is gone.

    Their time stays: they have had their place in the order.
    """
    rejected_B = np.zeros(events.num_rows, np.bool_)
    rejected_B[rows] = True
    columns = {
        name: column if name in KEPT else _without(column, rejected_B)
        for name, column in zip(events.schema.names, events.columns, strict=True)
    }
    reason_B = events.column("reason").to_numpy().copy()
    reason_B[rows] = reason
    detail_B = events.column("detail").to_numpy(zero_copy_only=False).copy()
    detail_B[rows] = detail
    columns |= {"reason": pa.array(reason_B), "detail": pa.array(detail_B, pa.large_string())}
    return pa.RecordBatch.from_arrays(list(columns.values()), schema=events.schema)


def _without(column: pa.Array, rejected_B: Bool_B) -> pa.Array:
    return pc.if_else(pa.array(rejected_B), pa.scalar(None, column.type), column)
