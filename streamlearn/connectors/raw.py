"""Raw batches (``RAW_SCHEMA``): the one form in which every connector hands on what it read.

Rows keep the order in which they were read; nothing behind a connector knows a client's message object.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from streamlearn.events import RAW_SCHEMA

EMPTY_BATCH: pa.RecordBatch = pa.RecordBatch.from_pylist([], schema=RAW_SCHEMA)


def raw_batch(
    topics: Iterable[int],
    partitions: Iterable[int],
    offsets: Iterable[int],
    timestamps_ms: Iterable[int],
    keys: Sequence[bytes | None],
    values: Sequence[bytes | None],
) -> pa.RecordBatch:
    """Return one raw batch of B rows from B-long columns.

    Parameters
    ----------
    topics
        Index into the reader's sorted topics, int16.
    partitions, offsets
        int32 and int64.
    timestamps_ms
        Record timestamps, milliseconds since 1970 in UTC; -1 where the record has none.
    keys, values
        Bytes as they were; None: no key, or a tombstone.

    >>> batch = raw_batch([0, 0], [1, 1], [7, 8], [0, 0], [None, b"k"], [b"{}", None])
    >>> batch.num_rows, batch.column("value").null_count, batch.schema == RAW_SCHEMA
    (2, 1, True)
    """
    return pa.RecordBatch.from_arrays(
        [
            pa.array(np.asarray(topics, np.int16)),
            pa.array(np.asarray(partitions, np.int32)),
            pa.array(np.asarray(offsets, np.int64)),
            pa.array(np.asarray(timestamps_ms, np.int64)),
            pa.array(keys, pa.large_binary()),
            pa.array(values, pa.large_binary()),
        ],
        schema=RAW_SCHEMA,
    )


def lines_batch(topic: int, partition: int, first_offset: int, lines: bytes) -> pa.RecordBatch:
    """Return one row for each line of ``lines``, with offsets counted from ``first_offset``.

    Every line ends with ``\\n``, which is not part of its value; ``\\r`` before it is. No keys; the
    timestamps are 0. No Python runs per line.

    >>> lines_batch(0, 3, 10, b'{"a":1}\\n\\n{}\\r\\n').select(["offset", "value"]).to_pylist()
    [{'offset': 10, 'value': b'{"a":1}'}, {'offset': 11, 'value': b''}, {'offset': 12, 'value': b'{}\\r'}]
    """
    assert lines.endswith(b"\n"), "whole lines"
    whole = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), 1, [None, pa.py_buffer(np.array([0, len(lines) - 1])), pa.py_buffer(lines)]
    )
    values = pc.split_pattern(whole, b"\n").values
    rows = len(values)
    return pa.RecordBatch.from_arrays(
        [
            pa.array(np.full(rows, topic, np.int16)),
            pa.array(np.full(rows, partition, np.int32)),
            pa.array(np.arange(first_offset, first_offset + rows, dtype=np.int64)),
            pa.array(np.zeros(rows, np.int64)),
            pa.nulls(rows, pa.large_binary()),
            values,
        ],
        schema=RAW_SCHEMA,
    )
