"""What must hold of every batch of messages, whatever their bytes: the oracle of the fuzz target over decode.

Every message is the right typed row at its own position, or a rejection with a reason. What is right, the exact
route says (``belt/decode_exact.py``); and since that might err itself, Python's own parser, which shares no code
with it, looks at every verdict as well.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from hostile_messages import EVENTS, TASKS
from numbers_for_tests import apart
from scanner_for_tests import exact_rows

from streamlearn.belt.decode import JsonDecoder
from streamlearn.belt.decode_exact import DETAIL_CHARACTERS_MAX
from streamlearn.config import Event
from streamlearn.events import CATEGORICAL_PREFIX, NUMERIC_PREFIX, RAW_SCHEMA, Reason

Messages = Sequence[bytes | None]
Row = dict[str, Any]

CONTRACTS: tuple[tuple[Event, Any], ...] = tuple(itertools.product(EVENTS, TASKS))

_NO_DOCUMENT = (Reason.INVALID_JSON, Reason.TRAILING_DATA)
_DOCUMENT = (Reason.ACCEPTED, Reason.NOT_AN_OBJECT, Reason.WRONG_TYPE, Reason.BAD_LABEL, Reason.BAD_ID, Reason.BAD_TIME)  # fmt: skip


class DecodeCheck:
    """The decoder of one contract, and what it has said so far."""

    def __init__(self, event: Event, task: Any) -> None:
        self._event = event
        self._task = task
        self._decoder = JsonDecoder(event, task)
        self._decoder.warm_up()  # or the first batch takes as long as compiling does
        self.said: Counter[Reason] = Counter()

    def check(self, messages: Messages) -> None:
        """Raise AssertionError where one of them is neither its own row nor rejected as it should be."""
        raw = raw_batch(messages)
        decoded = self._decoder.decode(raw)
        decoded.validate(full=True)
        assert decoded.select(RAW_SCHEMA.names).equals(raw), "the bytes stay as they are, where they are"
        expected = exact_rows(self._event, self._task, messages, microseconds_apart=1000)
        decoded = apart(decoded, self._event.numeric)
        for name in decoded.schema.names[len(RAW_SCHEMA) :]:
            want = pa.array([row[name] for row in expected], decoded.schema.field(name).type)
            if not same_bits(decoded.column(name), want):
                self._tell(name, messages, decoded.column(name).to_pylist(), want.to_pylist())
        for message, row in zip(messages, expected, strict=True):
            self._look(message, row)

    def check_cut(self, messages: Messages, cut: int) -> None:
        """Raise AssertionError where it shows how the messages were cut into batches (`replay_equals_run`)."""
        raw = raw_batch(messages)
        parts = [self._decoder.decode(raw.slice(0, cut)), self._decoder.decode(raw.slice(cut))]
        rows = [row for part in parts for row in part.to_pylist()]
        assert repr(rows) == repr(self._decoder.decode(raw).to_pylist()), f"cut at {cut}"

    def _tell(self, name: str, messages: Messages, found: list[Any], expected: list[Any]) -> None:
        for message, value, want in zip(messages, found, expected, strict=True):
            assert repr(value) == repr(want), f"{name} of {message!r} is {value!r}, not {want!r}"
        raise AssertionError(f"{name} differs in its bits")

    def _look(self, message: bytes | None, row: Row) -> None:
        reason = Reason(row["reason"])
        self.said[reason] += 1
        if reason is Reason.ACCEPTED:
            assert row["detail"] is None
        else:
            assert 0 < len(row["detail"]) <= DETAIL_CHARACTERS_MAX, row
            filled = len(row) - list(row.values()).count(None)
            assert filled == len(("time_us", "reason", "detail")), f"a rejected row holds values: {row}"
        if message is None:
            assert reason is Reason.TOMBSTONE
        elif reason in _NO_DOCUMENT:
            # Half a surrogate pair: Python's parser takes it, and no UTF-8 can hold it.
            assert independent(message) is _NONE or b"\\u" in message, f"{message!r} is a document"
        elif reason in _DOCUMENT:
            document = independent(message)
            assert document is not _NONE, f"{message!r} is no document"
            assert isinstance(document, dict) == (reason is not Reason.NOT_AN_OBJECT), f"{message!r}"
            if reason is Reason.ACCEPTED:
                self._agree(document, row)

    def _agree(self, document: dict[str, Any], row: Row) -> None:
        """Hold a typed row against what Python's parser found in its message."""
        for name in self._event.numeric:
            number = document.get(name)
            assert number is None or isinstance(number, bool | float), f"{name}: {number!r}"
            assert row[NUMERIC_PREFIX + name] == (None if number is None else float(number)), name
        for name in self._event.categorical:
            value, text = row[CATEGORICAL_PREFIX + name], document.get(name)
            assert (value is None) == (text is None), name
            if isinstance(text, str):
                assert value == text, name
        if self._event.label is not None:
            label = document.get(self._event.label)
            assert (row["label"] is None) == (label is None)
            if isinstance(row["label"], str):
                read = json.loads(row["label"], parse_int=float)
                assert (type(read), read) == (type(label), label)
        if self._event.id is not None and isinstance(document[self._event.id], str):
            assert json.loads(row["id"]) == document[self._event.id]


def same_bits(found: pa.Array, expected: pa.Array) -> bool:
    """Whether two columns are the same; 0.0 is another number than -0.0."""
    if not found.equals(expected):
        return False
    if found.type != pa.float64():
        return True
    bits_B, expected_bits_B = (each.fill_null(0.0).to_numpy().view(np.int64) for each in (found, expected))
    return bool((bits_B == expected_bits_B).all())


_NONE = object()


def _refuse(constant: str) -> None:
    raise ValueError(constant)


_PYTHONS = json.JSONDecoder(parse_int=float, parse_constant=_refuse)


def independent(message: bytes) -> Any:
    """Return what Python's own parser finds in a message, numbers as float64; ``_NONE``: no document."""
    try:
        return _PYTHONS.decode(message.decode())
    except (ValueError, RecursionError):
        return _NONE


def raw_batch(messages: Messages) -> pa.RecordBatch:
    """Return messages as a connector yields them; the timestamp of row i is i milliseconds."""
    count = len(messages)
    zeros, numbers = np.zeros(count, np.int64), np.arange(count)
    columns = [zeros.astype(np.int16), zeros.astype(np.int32), numbers, numbers, [None] * count, messages]
    arrays = [pa.array(each, field.type) for each, field in zip(columns, RAW_SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=RAW_SCHEMA)
