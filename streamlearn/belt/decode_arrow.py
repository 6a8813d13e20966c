"""Arrow messages to typed columns: a message is many events, row i of its batch is its event i.

A message is taken as a whole or rejected as a whole (``messages/arrow.py``; a column of a wrong type), and of
one that is taken, each row is judged by the same rules as a JSON message (``decode_fields.py``). The rows of a
message share its offset, so they stay together: it is the unit of merging, learning and checkpoints.

Upholds: decoding is stateless and pure (`reads_are_pure`), so how a sequence is cut into batches shows in no
row (`replay_equals_run`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import pyarrow as pa

from streamlearn.belt.decode import microseconds
from streamlearn.belt.decode_arrow_columns import Columns, refusal_of, typed_columns
from streamlearn.belt.decode_exact import Rejected
from streamlearn.belt.decode_fields import rules
from streamlearn.belt.messages.arrow import MessageReader, clipped
from streamlearn.config import Event, Task
from streamlearn.events import RAW_SCHEMA, WHOLE, Int_B, absent, event_schema


class ArrowDecoder:
    """Decodes raw batches whose messages are Arrow IPC streams. Stateless but for what it
    remembers of schemas; may be shared by threads.

    Parameters
    ----------
    event
        The contract: which columns, of which types.
    task
        Decides what a label may be.

    >>> from streamlearn.belt.messages.arrow import message_of
    >>> from streamlearn.events import Reason
    >>> decoder = ArrowDecoder(Event(format="arrow", label="late", numeric=("distance",)), "binary")
    >>> batch = pa.RecordBatch.from_pydict({"distance": [1400, 200], "late": [True, None]})
    >>> raw = pa.RecordBatch.from_pydict(
    ...     {"topic": [0, 0], "partition": [0, 0], "offset": [7, 8], "timestamp_ms": [1, 2],
    ...      "key": [None, None], "value": [message_of(batch), b"{}"]}, schema=RAW_SCHEMA)
    >>> for row in decoder.decode(raw).to_pylist():
    ...     print(row["offset"], row["row"], row["numeric"], row["label"], Reason(row["reason"]).label)
    7 0 [1400.0] true accepted
    7 1 [200.0] None accepted
    8 -1 [nan] None invalid_arrow
    """

    engine: Literal["arrow"] = "arrow"

    def __init__(self, event: Event, task: Task) -> None:
        self.schema: pa.Schema = event_schema(
            event.numeric, event.categorical, real_label=task == "regression", many=True
        )
        self._messages = MessageReader(event)
        self._rules = rules(event, task)
        self._fitting = pa.schema([])  # the last that nothing was said against: mostly the next one's, too
        self._typed = list(self.schema)[len(RAW_SCHEMA) + 2 :]  # ROW and LAST are of the place

    def decode(self, raw: pa.RecordBatch) -> pa.RecordBatch:
        """Return the events of the messages, in order, with typed columns.

        Parameters
        ----------
        raw
            A batch with ``RAW_SCHEMA``, of any length, 0 included.

        Returns
        -------
        A batch with ``self.schema``; a message that is rejected as a whole is one row. Never raises on any
        bytes.
        """
        assert raw.schema.equals(RAW_SCHEMA), raw.schema
        read = [self._read(value.as_py()) for value in raw.column("value")]
        rows_M = np.array([1 if isinstance(each, Rejected) else each.num_rows for each in read], np.int64)
        timestamps_us = np.repeat(microseconds(raw.column("timestamp_ms")), rows_M)
        pieces, start = [], 0
        for run in _runs(read):
            stop = start + (1 if isinstance(run, Rejected) else sum(each.num_rows for each in run))
            pieces.append(self._columns(run, timestamps_us[start:stop]))
            start = stop
        typed = [_concatenated([piece[field.name] for piece in pieces], field.type) for field in self._typed]
        # The messages themselves are not repeated: each event refers to its own.
        message_B = pa.array(np.repeat(np.arange(len(read), dtype=np.int32), rows_M))
        values = pa.DictionaryArray.from_arrays(message_B, raw.column("value"))
        places = [
            values if name == "value" else _repeated(raw.column(name), rows_M, message_B)
            for name in RAW_SCHEMA.names
        ]
        columns = [*places, *_rows(rows_M, read), *typed]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _read(self, message: bytes | None) -> pa.RecordBatch | Rejected:
        batch = self._messages.read(message)
        if isinstance(batch, Rejected) or batch.schema.equals(self._fitting):
            return batch
        refusal = refusal_of(batch.schema, self._rules)
        if refusal is None:
            self._fitting = batch.schema
        return refusal or batch

    def _columns(self, run: Sequence[pa.RecordBatch] | Rejected, timestamps_us: Int_B) -> Columns:
        if not isinstance(run, Rejected):
            return typed_columns(run, self._rules, self._typed, timestamps_us)
        nothing: Columns = {field.name: absent(field, 1) for field in self._typed}
        return nothing | {
            "time_us": pa.array(timestamps_us),
            "reason": pa.array([run.reason], pa.uint8()),
            "detail": pa.array([clipped(run.detail)], pa.large_string()),
        }


def _concatenated(pieces: list[pa.Array], kind: pa.DataType) -> pa.Array:
    if len(pieces) == 1:
        return pieces[0]
    return pa.concat_arrays(pieces) if pieces else pa.array([], kind)


def _repeated(column: pa.Array, rows_M: Int_B, message_B: pa.Array) -> pa.Array:
    """Repeat for each event what is of its message."""
    if pa.types.is_integer(column.type):
        return pa.array(np.repeat(column.to_numpy(), rows_M))
    if column.null_count == len(column):
        return pa.nulls(len(message_B), column.type)
    return column.take(message_B)


def _runs(read: list[pa.RecordBatch | Rejected]) -> Iterator[list[pa.RecordBatch] | Rejected]:
    """Yield what follows each other under one schema together, and what was rejected each by itself."""

    def schema_of(each: pa.RecordBatch | Rejected) -> pa.Schema | None:
        return None if isinstance(each, Rejected) else each.schema

    for schema, run in itertools.groupby(read, schema_of):
        if schema is None:
            yield from run
        else:
            yield list(run)


def _rows(rows_M: Int_B, read: list[pa.RecordBatch | Rejected]) -> tuple[pa.Array, pa.Array]:
    """Return the place of each event in its message, and whether the message ends with it."""
    ends_M = np.cumsum(rows_M)
    row_B = np.arange(rows_M.sum()) - np.repeat(ends_M - rows_M, rows_M)
    is_last_B = np.zeros(len(row_B), np.bool_)
    is_last_B[ends_M - 1] = True
    is_whole_M = np.array([isinstance(each, Rejected) for each in read], np.bool_)
    row_B[np.repeat(is_whole_M, rows_M)] = WHOLE
    return pa.array(row_B.astype(np.int32)), pa.array(is_last_B)
