"""How an Arrow column becomes a typed column, by the rules of the event contract.

What a value means is written in ``decode_fields.py``, once; here it is said of whole columns. A column whose
type no value of could be admitted rejects its message; a value that its rule does not admit rejects its row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from streamlearn.belt.decode_arrow_numbers import HAS_NON_FINITE, HAS_NULLS, lay_numbers
from streamlearn.belt.decode_exact import Rejected
from streamlearn.belt.decode_fields import (
    TEXT_BYTES_MAX,
    TIME_US_MAX,
    TIME_US_MIN,
    Refused,
    Rule,
    text_token,
)
from streamlearn.belt.messages.arrow import clipped
from streamlearn.events import NUMERIC, Bool_B, Float_B, Float_BF, Int_B, Reason, absent, numeric_column

Columns = dict[str, pa.Array]

_UNIT_US = {"s": 1_000_000, "ms": 1_000, "us": 1}
_MUST_BE_ESCAPED = r'["\\\x00-\x1f]'
_TEXT_LENGTH = f"at most {TEXT_BYTES_MAX} bytes long"
_EXPECTED = {
    "id": "text or integers",
    "label": "text, integers, floats or booleans",
    "number": "numbers or booleans",
    "category": "text, integers or booleans",
}


class _Doubt(NamedTuple):
    """Rows that a rule refuses, and why."""

    row_B: Bool_B
    reason: Reason
    expected: str


class _Read(NamedTuple):
    column: pa.Array
    doubts: Sequence[_Doubt] = ()


def refusal_of(schema: pa.Schema, ruled: Sequence[Rule]) -> Rejected | None:
    """Return why no batch of this schema can be taken; None: each row is judged by itself."""
    for rule in ruled:
        index = schema.get_field_index(rule.field)
        if index < 0:
            if rule.missing is not None:
                return Rejected(rule.missing, clipped(f"there must be a column {rule.field}"))
            continue
        kind = schema.field(index).type
        if not _admits(rule, kind):
            expected = _expected(rule)
            return Rejected(
                Reason.WRONG_COLUMN_TYPE,
                clipped(f"the column {rule.field} must be {expected}; it is {kind}"),
            )
    return None


def typed_columns(
    batches: Sequence[pa.RecordBatch], ruled: Sequence[Rule], typed: Sequence[pa.Field], timestamps_us: Int_B
) -> Columns:
    """Return the typed columns of the rows of batches of one schema that ``refusal_of`` has nothing against.

    A row is rejected for the first rule that refuses it, in the order of ``ruled``; its columns are null
    then, and its time the record's.
    """
    table = pa.Table.from_batches(batches)
    count = table.num_rows
    reason_B = np.full(count, Reason.ACCEPTED, np.uint8)
    details: dict[int, str] = {}
    columns: Columns = {field.name: absent(field, count) for field in typed if field.name != NUMERIC}
    columns["time_us"] = pa.array(timestamps_us)
    numeric_BF, to_look_at = _matrix(batches, table, [rule for rule in ruled if rule.role == "number"])
    types = {field.name: field.type for field in typed}
    for rule in ruled:
        is_number = rule.role == "number"
        if is_number and rule.field not in to_look_at:
            continue
        found = _one(table, rule.field)
        column, doubts = _read(rule, found, pa.float64() if is_number else types[rule.column])
        if not is_number:
            columns[rule.column] = column
        if rule.missing is not None and found.null_count:
            is_null_B = found.is_null().to_numpy(zero_copy_only=False)
            doubts = (_Doubt(is_null_B, rule.missing, "there"), *doubts)
        for doubt in doubts:
            rows = np.flatnonzero(doubt.row_B & (reason_B == Reason.ACCEPTED))
            reason_B[rows] = doubt.reason
            for row in rows.tolist():
                details[row] = clipped(f"{rule.field} must be {doubt.expected}; found {_shown(found[row])}")
    columns["reason"] = pa.array(reason_B)
    if details:
        rejected_B = reason_B != Reason.ACCEPTED
        numeric_BF[rejected_B] = np.nan
        _reject(columns, rejected_B, details, timestamps_us)
    if numeric_BF.shape[1]:
        columns[NUMERIC] = numeric_column(numeric_BF)
    return columns


def _matrix(
    batches: Sequence[pa.RecordBatch], table: pa.Table, numbers: Sequence[Rule]
) -> tuple[Float_BF, set[str]]:
    """Return the numbers, NaN where one is null, and the fields of which rows may have to be rejected."""
    numeric_BF = np.empty((table.num_rows, len(numbers)))
    met_F = np.zeros(len(numbers), np.uint8)
    places = {field.name: place for place, field in enumerate(table.schema) if field.type == pa.float64()}
    fields = [rule.field for rule in numbers]
    as_they_are = np.array([f for f, field in enumerate(fields) if field in places], np.int64)
    cast = np.array([f for f, field in enumerate(fields) if field not in places], np.int64)
    if len(as_they_are):
        column_F = np.array([places[fields[f]] for f in as_they_are], np.int64)
        met_F[as_they_are] = lay_numbers(batches, column_F, as_they_are, numeric_BF)
    if len(cast):
        columns = [_one(table, fields[f]).cast(pa.float64(), safe=False) for f in cast]
        others = pa.RecordBatch.from_arrays(columns, names=[fields[f] for f in cast])
        met_F[cast] = lay_numbers([others], np.arange(len(cast)), cast, numeric_BF)
    refusing = [HAS_NON_FINITE | (0 if rule.missing is None else HAS_NULLS) for rule in numbers]
    return numeric_BF, {fields[f] for f, met in enumerate(met_F.tolist()) if met & refusing[f]}


def _reject(columns: Columns, rejected_B: Bool_B, details: dict[int, str], timestamps_us: Int_B) -> None:
    is_rejected = pa.array(rejected_B)
    for name, column in columns.items():
        if name == "time_us":
            columns[name] = pc.if_else(is_rejected, pa.array(timestamps_us), column)
        elif name == "detail":
            texts = [details.get(row) for row in range(len(rejected_B))]
            columns[name] = pa.array(texts, pa.large_string())
        elif name != "reason":
            columns[name] = pc.if_else(is_rejected, pa.scalar(None, column.type), column)


def _shown(value: pa.Scalar) -> str:
    # Python has no date for most of what a timestamp may be.
    plain = value.value if isinstance(value, pa.TimestampScalar) else value.as_py()
    return clipped(str(plain))[:80]


def _one(table: pa.Table, field: str) -> pa.Array:
    if field not in table.schema.names:
        return pa.nulls(table.num_rows)
    column = table.column(field)
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _is_text(kind: pa.DataType) -> bool:
    return bool(kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind))


def _admits(rule: Rule, kind: pa.DataType) -> bool:
    if kinds.is_null(kind):
        return True
    if rule.role == "time" and kinds.is_timestamp(kind):
        return True
    # A category of 5.0 is 5, as in JSON; other floats are refused row by row.
    return bool(
        (str in rule.kinds and _is_text(kind))
        or (int in rule.kinds and kinds.is_integer(kind))
        or (float in rule.kinds and kinds.is_floating(kind))
        or (bool in rule.kinds and kinds.is_boolean(kind))
    )


def _expected(rule: Rule) -> str:
    if rule.role == "time":
        return "timestamps, or ISO 8601 text" if str in rule.kinds else "timestamps or numbers"
    return "numbers" if rule.role == "label" and str not in rule.kinds else _EXPECTED[rule.role]


def _read(rule: Rule, column: pa.Array, kind: pa.DataType) -> _Read:
    """Return the typed column of one that the rule admits, and its doubtful rows."""
    if kinds.is_null(column.type):
        return _Read(pa.nulls(len(column), kind))
    if kind == pa.float64():
        return _numbers(column)
    if rule.role == "time" and (kinds.is_timestamp(column.type) or not _is_text(column.type)):
        return _times(rule, column)
    if rule.role == "id" or (rule.role == "category" and not kinds.is_floating(column.type)):
        text = column.cast(pa.large_string())
        refused_for = Reason.BAD_ID if rule.role == "id" else Reason.WRONG_TYPE
        long_B = pc.greater(pc.binary_length(text), TEXT_BYTES_MAX).fill_null(False)
        doubts: tuple[_Doubt, ...] = ()
        if pc.any(long_B).as_py():
            doubts = (_Doubt(long_B.to_numpy(zero_copy_only=False), refused_for, _TEXT_LENGTH),)
        is_token = rule.role == "id" and _is_text(column.type)
        return _Read(_tokens(text) if is_token else text, doubts)
    return _by_distinct(column, rule.read, kind)


def _numbers(column: pa.Array) -> _Read:
    numbers = column.cast(pa.float64(), safe=False)
    if kinds.is_floating(column.type):
        is_finite_B = np.isfinite((numbers.fill_null(0.0) if numbers.null_count else numbers).to_numpy())
        if not is_finite_B.all():
            return _Read(
                numbers, (_Doubt(~is_finite_B, Reason.NON_FINITE, "a number that float64 can hold"),)
            )
    return _Read(numbers)


def _tokens(text: pa.Array) -> pa.Array:
    """Return texts as JSON, escaped only where JSON demands it."""
    if pc.any(pc.match_substring_regex(text, _MUST_BE_ESCAPED)).as_py():
        return _by_distinct(text, text_token, text.type).column
    quote = pa.scalar('"', pa.large_string())
    return pc.binary_join_element_wise(quote, text, quote, pa.scalar("", pa.large_string()))


def _times(rule: Rule, column: pa.Array) -> _Read:
    """Return microseconds of timestamps, or of numbers of the rule's unit."""
    is_null_B = column.is_null().to_numpy(zero_copy_only=False)
    if kinds.is_timestamp(column.type):
        moment_B = column.cast(pa.int64()).fill_null(0).to_numpy()
        if column.type.unit == "ns":
            moment_B, scale = moment_B // 1000, 1
        else:
            scale = _UNIT_US[column.type.unit]
    else:
        moment_B = column.fill_null(pa.scalar(0, column.type)).to_numpy(zero_copy_only=False)
        scale = int(rule.read(1))  # microseconds in one
    if moment_B.dtype.kind == "f":
        time_us, refused_B = _of_floats(moment_B.astype(np.float64), scale)
    else:
        refused_B = moment_B > TIME_US_MAX // scale
        refused_B |= moment_B < (0 if moment_B.dtype.kind == "u" else -(-TIME_US_MIN // scale))
        time_us = np.where(refused_B, 0, moment_B).astype(np.int64) * scale
    doubts = (_Doubt(refused_B, Reason.BAD_TIME, "in the years 1 to 9999"),) if refused_B.any() else ()
    return _Read(pa.array(time_us, mask=is_null_B), doubts)


def _of_floats(moment_B: Float_B, scale: int) -> tuple[Int_B, Bool_B]:
    refused_B = ~(np.abs(moment_B) <= TIME_US_MAX / scale)
    moment_B = np.where(refused_B, 0.0, moment_B)
    # An integral float takes the way of an integer, so that 5 and 5.0 are one instant to the last bit.
    is_integral_B = moment_B == np.floor(moment_B)
    whole_us = np.where(is_integral_B, moment_B, 0.0).astype(np.int64) * scale
    time_us = np.where(is_integral_B, whole_us, np.rint(moment_B * scale).astype(np.int64))
    outside_B = (time_us < TIME_US_MIN) | (time_us > TIME_US_MAX)
    return np.where(outside_B, 0, time_us), refused_B | outside_B


def _by_distinct(column: pa.Array, read: Callable[[Any], Any], kind: pa.DataType) -> _Read:
    """Return ``read`` of each value, called once for each distinct one; null, and in doubt, where it refuses."""
    encoded = column.dictionary_encode()
    typed: list[Any] = []
    refusals: dict[tuple[Reason, str], list[int]] = {}
    for index, value in enumerate(encoded.dictionary.to_pylist()):
        try:
            typed.append(read(value))
        except Refused as refused:
            typed.append(None)
            refusals.setdefault((refused.reason, refused.expected), []).append(index)
    code_B = encoded.indices.fill_null(-1).to_numpy()
    doubts = [_Doubt(np.isin(code_B, codes), *why) for why, codes in refusals.items()]
    return _Read(pa.array(typed, kind).take(encoded.indices), doubts)
