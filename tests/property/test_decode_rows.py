"""Row i is message i: whatever the bytes, however cut, the columns say what the exact route says."""

from __future__ import annotations

import json
import math
from typing import Any

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numbers_for_tests import apart

from streamlearn.belt.decode import JsonDecoder
from streamlearn.belt.decode_exact import ExactDecoder, Rejected
from streamlearn.belt.decode_fields import rules
from streamlearn.config import Event
from streamlearn.events import RAW_SCHEMA, Reason

FIELDS = ["x", "n", "c", "k", "y", "id", "at", "unknown"]
HARD_NUMBERS = [
    "-0", "-0.0", "1e400", "-1e400", "1e-400", "5e-324", "1.7976931348623157e308", "1.7976931348623159e308",
    "9007199254740993", "9223372036854775807", "9223372036854775808", "-9223372036854775809",
    "18446744073709551616", "1" + "0" * 308, "1" + "0" * 309, "9" * 1025, "9" * 4301, "1e22", "1E+2", "5.0",
    "0.1", "01", "1.", ".5", "+1", "1e", "-", "NaN", "Infinity", "-Infinity", "0x1",
]  # fmt: skip
HARD_TEXTS = [
    '""', '"5"', '"5.0"', '"true"', '"null"', '"[1]"', '"{"', '"\\ud83d\\ude00"', '"\\ud800"', '"\\udc00x"', '"\\u0000"',
    '"a\tb"', '"a\nb"', '"\\""', '"\\\\"', '"\\x"', '"é\u2028"', '"' + "a" * 1025 + '"', '"' + "[" * 200 + '"',
    '"2026-01-31T00:00:00Z"', '"2026-01-31"', '"0001-01-01T00:00:00+01:00"', '"x',
]  # fmt: skip

json_numbers = st.one_of(
    st.sampled_from(HARD_NUMBERS),
    st.integers(-3, 3).map(str),
    st.integers().map(str),
    st.integers(-(10**60), 10**60).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.from_regex(r"-?(0|[1-9][0-9]{0,25})\.[0-9]{1,25}([eE][+-]?[0-9]{1,3})?", fullmatch=True),
)
json_texts = st.one_of(
    st.sampled_from(HARD_TEXTS),
    st.text(max_size=8).map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.text(max_size=8).map(json.dumps),
    st.datetimes().map(lambda moment: json.dumps(moment.isoformat())),
)
json_scalars = st.one_of(json_numbers, json_texts, st.sampled_from(["true", "false", "null", "tru", ""]))
json_values = st.one_of(
    json_scalars,
    json_scalars.map(lambda value: f"[{value}]"),
    json_scalars.map(lambda value: f'{{"x": {value}}}'),
    st.integers(120, 135).map(lambda depth: "[" * depth + "]" * depth),
)
keys = st.one_of(st.sampled_from(FIELDS), st.sampled_from(["\\u0078", "", "\\ud800"]))
white_space = st.sampled_from(["", "", "", " ", "\n", "\r\n", "\t", "\ufeff", "\x0b"])


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    pairs = draw(st.lists(st.tuples(keys, white_space, json_values), max_size=6))
    body = ",".join(f'"{key}":{space}{value}' for key, space, value in pairs)
    text = draw(white_space) + "{" + body + "}" + draw(white_space)
    return text.encode(errors="surrogatepass")


@st.composite
def broken_documents(draw: st.DrawFn) -> bytes:
    message = bytearray(draw(documents()))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(message)))
        until = draw(st.integers(at, min(at + 3, len(message))))
        message[at:until] = draw(
            st.one_of(
                st.binary(max_size=3),
                st.sampled_from([b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"\n", b"\x00", b"}{"]),
            )
        )
    return bytes(message)


messages = st.one_of(
    st.none(),
    st.binary(max_size=12),
    documents(),
    documents(),
    broken_documents(),
    documents().map(lambda document: document + document),
    documents().map(lambda document: document[: len(document) // 2]),
)

events = st.builds(
    lambda label, numeric, categorical, **options: Event(
        label=label, numeric=numeric, categorical=categorical, message_bytes_max=2000, **options
    ),
    label=st.just("y"),
    numeric=st.sampled_from([("x",), ("x", "n")]),
    categorical=st.sampled_from([("c",), ("c", "k")]),
    id=st.sampled_from([None, "id"]),
    time=st.sampled_from([None, "at"]),
    time_format=st.sampled_from(["iso8601", "epoch_seconds", "epoch_milliseconds", "epoch_microseconds"]),
    missing=st.sampled_from(["mean", "reject"]),
)
tasks = st.sampled_from(["binary", "multiclass", "regression", "anomaly"])

thorough = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))


def raw_batch(values: list[bytes | None]) -> pa.RecordBatch:
    count = len(values)
    columns: dict[str, Any] = {
        "topic": [0] * count,
        "partition": [0] * count,
        "offset": range(count),
        "timestamp_ms": range(count),
        "key": [None] * count,
        "value": values,
    }
    return pa.RecordBatch.from_pydict(columns, schema=RAW_SCHEMA)


def bits(rows: list[dict[str, Any]]) -> list[str]:
    """Tell -0.0 from 0.0, which == does not."""
    return [repr(row) for row in rows]


@thorough
@given(events, tasks, st.lists(messages, min_size=16, max_size=40))
def test_both_routes_agree_on_hostile_bytes(event: Event, task: str, values: list[bytes | None]) -> None:
    decoder = JsonDecoder(event, task)
    exact = ExactDecoder(rules(event, task), event.message_bytes_max)
    decoded = decoder.decode(raw_batch(values))
    decoded.validate(full=True)
    decoded = apart(decoded, event.numeric)
    expected = []
    for i, value in enumerate(values):
        row = dict.fromkeys(decoded.schema.names)
        row |= {"topic": 0, "partition": 0, "offset": i, "timestamp_ms": i, "value": value}
        row |= {"time_us": i * 1000, "reason": Reason.ACCEPTED.value}
        said = exact.decode(value)
        row |= {"reason": said.reason.value, "detail": said.detail} if isinstance(said, Rejected) else said
        expected.append(row)
    assert bits(decoded.to_pylist()) == bits(expected)


@thorough
@given(events, tasks, st.lists(messages, min_size=2, max_size=60), st.data())
def test_replay_equals_run_however_the_rows_are_cut(
    event: Event, task: str, values: list[bytes | None], data: st.DataObject
) -> None:
    decoder = JsonDecoder(event, task)
    batch = raw_batch(values)
    cut = data.draw(st.integers(0, len(values)))
    parts = [decoder.decode(batch.slice(0, cut)), decoder.decode(batch.slice(cut))]
    cut_rows = [row for part in parts for row in part.to_pylist()]
    assert bits(cut_rows) == bits(decoder.decode(batch).to_pylist())


@thorough
@given(st.lists(st.one_of(messages, st.just(b"GOOD")), min_size=16, max_size=60))
def test_a_row_never_shifts(values: list[bytes | None]) -> None:
    numbered = [
        b'{"x": %d, "c": "%d"}' % (i, i) if value == b"GOOD" else value for i, value in enumerate(values)
    ]
    decoded = JsonDecoder(Event(label="y", numeric=("x",), categorical=("c",)), "binary").decode(
        raw_batch(numbered)
    )
    assert decoded.column("value").to_pylist() == numbered
    for i, (value, x, c) in enumerate(
        zip(
            values,
            apart(decoded, ("x",)).column("numeric/x").to_pylist(),
            decoded.column("categorical/c").to_pylist(),
            strict=True,
        )
    ):
        if value == b"GOOD":
            assert (x, c) == (float(i), str(i))


def last_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return dict(pairs)


@thorough
@given(tasks, st.lists(messages, min_size=16, max_size=40))
def test_what_is_accepted_is_what_an_independent_parser_reads(task: str, values: list[bytes | None]) -> None:
    event = Event(label="y", numeric=("x", "n"), categorical=("c",), message_bytes_max=10_000)
    decoded = apart(JsonDecoder(event, task).decode(raw_batch(values)), event.numeric).to_pylist()
    for value, row in zip(values, decoded, strict=True):
        if row["reason"] != Reason.ACCEPTED:
            continue
        assert value is not None
        # Numbers as float64, so that no limit on the digits of an integer is in the way.
        document = json.loads(value.decode(), object_pairs_hook=last_wins, parse_int=float)
        for name in ("x", "n"):
            number = document.get(name)
            assert number is None or isinstance(number, bool | float)
            assert row[f"numeric/{name}"] == (None if number is None else float(number))
            assert number is None or math.isfinite(number)
        text = document.get("c")
        if isinstance(text, str):
            assert row["categorical/c"] == text
        elif text is None:
            assert row["categorical/c"] is None
        label = document.get("y")
        assert (row["label"] is None) == (label is None)
        if isinstance(row["label"], str):
            read = json.loads(row["label"], parse_int=float)
            assert read == label
            assert isinstance(read, bool) == isinstance(label, bool)
