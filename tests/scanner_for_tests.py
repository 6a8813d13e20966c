"""What tests of the scanner share: scanners of a contract, and what the exact route says to compare with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numbers_for_tests import apart

from streamlearn.belt.decode_exact import ExactDecoder, Rejected
from streamlearn.belt.decode_fields import class_tokens, rules, time_scale
from streamlearn.belt.decode_library import LibraryDecoder
from streamlearn.belt.scan import Scanner
from streamlearn.config import Event
from streamlearn.events import RAW_SCHEMA, Bool_B, Reason, event_schema

Messages = Sequence[bytes | None]


def typed_of(event: Event, task: Any) -> list[pa.Field]:
    schema = event_schema(event.numeric, event.categorical, real_label=task == "regression")
    return list(schema)[len(RAW_SCHEMA) :]


def scanner_of(event: Event, task: Any) -> Scanner:
    """Return the scanner that the decoder would make."""
    return Scanner(
        rules(event, task),
        class_tokens(event, task),
        time_scale(event),
        typed_of(event, task),
        event.message_bytes_max,
    )


def array_of(messages: Messages) -> pa.LargeBinaryArray:
    return pa.array(messages, pa.large_binary())


def exact_rows(
    event: Event, task: Any, messages: Messages, microseconds_apart: int = 1
) -> list[dict[str, Any]]:
    """Return what the exact route says; the record of row i has i times so many microseconds as its timestamp."""
    decoder = ExactDecoder(rules(event, task), event.message_bytes_max)
    nothing = pa.RecordBatch.from_pylist([], schema=pa.schema(typed_of(event, task)))
    rows, names = [], apart(nothing, event.numeric).schema.names
    for i, message in enumerate(messages):
        row: dict[str, Any] = dict.fromkeys(names)
        row |= {"time_us": i * microseconds_apart, "reason": Reason.ACCEPTED.value}
        said = decoder.decode(message)
        if isinstance(said, Rejected):
            said = {"reason": said.reason.value, "detail": said.detail}
        rows.append(row | said)
    return rows


def scan_rows_of(event: Event, task: Any, values: pa.LargeBinaryArray) -> tuple[list[dict[str, Any]], Bool_B]:
    """Return the rows, and which of them came by the library route."""
    timestamps_us = np.arange(len(values), dtype=np.int64)
    batch = scanner_of(event, task).scan(values, timestamps_us)
    doubtful_B = batch.doubtful_B.copy()
    doubtful = np.flatnonzero(doubtful_B)
    library = LibraryDecoder(rules(event, task), typed_of(event, task), event.message_bytes_max)
    if len(doubtful):
        batch.fill(doubtful, library.columns(values.take(pa.array(doubtful)), timestamps_us[doubtful]))
    rows = pa.RecordBatch.from_arrays(batch.columns(), schema=pa.schema(typed_of(event, task)))
    rows.validate(full=True)
    return apart(rows, event.numeric).to_pylist(), doubtful_B


def check_scan(event: Event, task: Any, messages: Messages, values: pa.Array | None = None) -> Bool_B:
    """Assert that both routes agree on every row; return which rows the scanner took.

    ``values`` may hold the same messages in another array.
    """
    expected = exact_rows(event, task, messages)
    rows, doubtful_B = scan_rows_of(event, task, array_of(messages) if values is None else values)
    for message, row, want, doubted in zip(messages, rows, expected, doubtful_B, strict=True):
        assert doubted or want["reason"] == Reason.ACCEPTED, f"took what is rejected: {message!r}: {want}"
        assert repr(row) == repr(want), f"{message!r}"  # repr tells -0.0 from 0.0
    taken: Bool_B = ~doubtful_B
    return taken
