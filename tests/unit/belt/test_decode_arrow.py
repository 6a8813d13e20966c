"""Arrow messages: the rows of JSON, by the same rules; and no bytes that do harm."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numbers_for_tests import apart

from streamlearn.belt.decode import JsonDecoder
from streamlearn.belt.decode_arrow import ArrowDecoder
from streamlearn.belt.messages.arrow import message_of, message_of_row
from streamlearn.config import Event
from streamlearn.events import RAW_SCHEMA, Reason

EVENT = Event(
    format="arrow", label="y", id="id", time="t", time_format="epoch_milliseconds", numeric=("a", "b"), categorical=("c",)
)  # fmt: skip
GOOD: dict[str, Any] = {"id": [1, 2], "t": [1000, 2000], "y": [True, None], "a": [1.5, None], "b": [1, 2], "c": ["x", None]}  # fmt: skip


def raw(*values: bytes | None) -> pa.RecordBatch:
    columns = {name: [0] * len(values) for name in ("topic", "partition", "timestamp_ms")}
    others = {"offset": range(7, 7 + len(values)), "key": [b"k"] * len(values), "value": list(values)}
    return pa.RecordBatch.from_pydict(columns | others, schema=RAW_SCHEMA)


def message(compression: str | None = None, **columns: Any) -> bytes:
    return message_of(pa.RecordBatch.from_pydict(GOOD | columns), compression)


def decoded(*values: bytes | None, **options: Any) -> list[dict[str, Any]]:
    event = EVENT.model_copy(update=options)
    events = ArrowDecoder(event, "binary").decode(raw(*values))
    rows: list[dict[str, Any]] = apart(events, event.numeric).to_pylist()
    return rows


def reasons(*values: bytes | None, **options: Any) -> list[str]:
    return [Reason(row["reason"]).label for row in decoded(*values, **options)]


def test_rows_of_a_message_share_its_place() -> None:
    rows = decoded(message(), None, message("zstd"))
    assert [(row["offset"], row["row"], row["last"]) for row in rows] == [
        (7, 0, False), (7, 1, True), (8, -1, True), (9, 0, False), (9, 1, True),
    ]  # fmt: skip
    assert rows[0]["value"] == message()
    first = {
        name: rows[0][name] for name in ("time_us", "numeric/a", "numeric/b", "categorical/c", "label", "id")
    }
    assert first == {
        "time_us": 1_000_000, "numeric/a": 1.5, "numeric/b": 1.0, "categorical/c": "x", "label": "true", "id": "1",
    }  # fmt: skip
    assert decoded() == []


SCALARS = {
    "a": st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False),
    "c": st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=8) | st.sampled_from([1.0, 1.5, -0.0]),
    "y": st.none() | st.booleans() | st.integers(-1, 2) | st.sampled_from([0.0, 1.0, 0.5]) | st.text(max_size=2),
    "id": st.none() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=8),
    "t": st.none() | st.integers(-(10**15), 10**15) | st.floats(-1e15, 1e15),
}  # fmt: skip


def of_one_type(values: Sequence[Any]) -> pa.Array | None:
    try:
        return pa.array(values)
    except pa.ArrowException:
        return None  # several types in one column: JSON alone can say that


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_rows_are_those_of_json(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 5))
    columns: dict[str, pa.Array] = {"b": pa.array([1] * count)}
    for name, scalars in SCALARS.items():
        column = of_one_type(data.draw(st.lists(scalars, min_size=count, max_size=count), label=name))
        columns[name] = pa.nulls(count) if column is None else column
    if pa.types.is_string(columns["c"].type) and data.draw(st.booleans()):
        columns["c"] = columns["c"].dictionary_encode()
    batch = pa.RecordBatch.from_pydict(columns)
    found = decoded(message_of(batch))
    if (
        found[0]["row"] < 0
    ):  # the message as a whole: then JSON refuses each of its rows that has a value there
        assert found[0]["reason"] == Reason.WRONG_COLUMN_TYPE
        return
    lines = [msgspec.json.encode(row) for row in batch.to_pylist()]
    by_json = JsonDecoder(EVENT.model_copy(update={"format": "json"}), "binary").decode(raw(*lines))
    of_json = apart(by_json, EVENT.numeric).to_pylist()
    compared = ("time_us", "numeric/a", "numeric/b", "categorical/c", "label", "id", "reason")
    assert [[row[name] for name in compared] for row in found] == [
        [row[name] for name in compared] for row in of_json
    ]


@pytest.mark.parametrize(
    ("moment", "unit", "expected"),
    [(1_500, "ms", 1_500_000), (2, "s", 2_000_000), (1_999, "ns", 1), (-1, "ns", -1), (7, "us", 7)],
)
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_timestamps_of_every_unit(moment: int, unit: str, expected: int, zone: str | None) -> None:
    [row, _] = decoded(message(t=pa.array([moment, 0], pa.timestamp(unit, zone))))
    assert row["time_us"] == expected


def test_times_out_of_the_years_are_refused() -> None:
    far = pa.array([2**62, 0], pa.timestamp("s"))
    assert reasons(message(t=far)) == ["bad_time", "accepted"]
    assert reasons(message(t=pa.array([2**63, 0], pa.uint64()))) == ["bad_time", "accepted"]
    assert reasons(message(t=[float("nan"), 0.0])) == ["bad_time", "accepted"]


def nested(inner: pa.Array) -> pa.Array:
    return pa.ListArray.from_arrays([0, 1, 2], inner)


DICTIONARY = pa.array(["x", "y"]).dictionary_encode()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", ["empty"]),
        (b"{}", ["invalid_arrow"]),
        (message()[:-30], ["invalid_arrow"]),
        (message() + b"x", ["trailing_data"]),
        (message_of(pa.RecordBatch.from_pydict({name: pa.array([], pa.int64()) for name in GOOD})), ["empty"]),
        (message(a=["1", "2"]), ["wrong_column_type"]),
        (message(c=[[1], [2]]), ["wrong_column_type"]),
        (message(y=[b"x", b"y"]), ["wrong_column_type"]),
        (message(id=[1.5, 2.5]), ["wrong_column_type"]),
        (message(t=["soon", "now"]), ["wrong_column_type"]),
        (message(b=pa.array([1, 2], pa.decimal128(5))), ["wrong_column_type"]),
        (message(z=nested(DICTIONARY)), ["invalid_arrow"]),
        (message(z=nested(pa.array([1, 2]))), ["accepted", "accepted"]),
        (message(c=DICTIONARY), ["accepted", "accepted"]),
        (message(a=pa.array([1, 2]).dictionary_encode()), ["accepted", "accepted"]),
        (message(a=[float("inf"), 1.0]), ["non_finite", "accepted"]),
        (message(y=[2, 1]), ["bad_label", "accepted"]),
        (message(id=[None, 1]), ["missing_id", "accepted"]),
        (message(c=["x" * 1025, "y"]), ["wrong_type", "accepted"]),
        (message(c=pa.array(["é" * 600, "y"]).dictionary_encode()), ["wrong_type", "accepted"]),
        (message_of(pa.RecordBatch.from_pydict({"a": [1.0]})), ["missing_id"]),
        (message_of(pa.RecordBatch.from_arrays([pa.array([1])] * 2, ["id", "id"])), ["invalid_arrow"]),
    ],
)  # fmt: skip
def test_what_is_rejected(value: bytes, expected: list[str]) -> None:
    assert reasons(value) == expected


def test_what_unfolds_to_too_much_is_not_unfolded() -> None:
    large = message("zstd", z=["x" * 3_000_000, ""])
    assert len(large) < 10_000
    assert reasons(large, unfolded_bytes_max=1_000_000) == ["oversized"]
    assert reasons(large) == ["accepted", "accepted"]
    repeated = pa.DictionaryArray.from_arrays(pa.array([0] * 2000), pa.array([b"x" * 5000], pa.binary()))
    rows = {name: [values[0]] * 2000 for name, values in GOOD.items()}
    assert reasons(message(**rows, z=repeated), unfolded_bytes_max=1_000_000) == ["oversized"]
    assert reasons(message(), message_events_max=1) == ["too_many_events"]
    assert reasons(message(), message_bytes_max=100) == ["oversized"]


def test_a_row_by_itself_is_a_message() -> None:
    value = message("lz4", c=DICTIONARY, z=[{"deep": [1]}, None], when=[datetime.date(2020, 1, 1), None])
    batch = pa.ipc.open_stream(message_of_row(value, 1)).read_all()
    assert batch.to_pylist() == [
        {"id": 2, "t": 2000, "y": None, "a": None, "b": 2, "c": "y", "z": None, "when": None}
    ]


WITH_ALL = [
    message(),
    message(c=DICTIONARY, z=nested(pa.array(["p", "q"]))),
    message("lz4", c=["x" * 50, "y"], z=[{"k": 1}, {"k": 2}]),
    message("zstd", z=pa.array([1, 2]).dictionary_encode()),
]


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(WITH_ALL),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
    st.floats(0.5, 1),
)
def test_no_bytes_do_harm(value: bytes, changes: list[tuple[float, int]], kept: float) -> None:
    mutated = bytearray(value)
    for place, byte in changes:
        mutated[int(place * len(mutated))] = byte
    hostile = bytes(mutated[: int(kept * len(mutated))] if kept < 0.9 else mutated)
    event = EVENT.model_copy(update={"unfolded_bytes_max": 1_000_000, "message_events_max": 1000})
    batch = ArrowDecoder(event, "binary").decode(raw(hostile, message()))
    batch.validate(full=True)
    assert [row["reason"] for row in batch.to_pylist()[-2:]] == [Reason.ACCEPTED] * 2
    for row in batch.to_pylist():
        if row["row"] >= 0:
            message_of_row(row["value"], row["row"])  # a dead letter can be made of every row
