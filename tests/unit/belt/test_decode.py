"""Each rule of the decoder, on both of its routes: alone (exact) and among good messages (columns)."""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pytest
from numbers_for_tests import apart

from streamlearn.belt.decode import JsonDecoder
from streamlearn.belt.decode_exact import DETAIL_CHARACTERS_MAX, ExactDecoder
from streamlearn.config import Event
from streamlearn.events import RAW_SCHEMA, Reason

TIMESTAMP_MS = 1_700_000_000_000
GOOD = b'{"x": 1.5, "c": "AA", "y": true, "id": "a", "at": "2026-01-31T00:00:00Z"}'


def raw_batch(messages: list[bytes | None], timestamp_ms: int = TIMESTAMP_MS) -> pa.RecordBatch:
    count = len(messages)
    return pa.RecordBatch.from_pydict(
        {
            "topic": [0] * count,
            "partition": [0] * count,
            "offset": range(count),
            "timestamp_ms": [timestamp_ms] * count,
            "key": [None] * count,
            "value": messages,
        },
        schema=RAW_SCHEMA,
    )


def contract(**changes: Any) -> Event:
    return Event(**({"label": "y", "numeric": ("x",), "categorical": ("c",)} | changes))


def decode_one(event: Event, message: bytes | None, task: str = "binary") -> dict[str, Any]:
    """Decode one message alone, among others, and among its like, and return what all must say."""
    decoder = JsonDecoder(event, task)

    def rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = apart(batch.drop_columns(["offset"]), event.numeric).to_pylist()
        return found

    [alone] = rows(decoder.decode(raw_batch([message])))
    among = decoder.decode(raw_batch([GOOD] * 20 + [message] + [GOOD] * 20))
    assert rows(among.slice(20, 1)) == [alone]
    assert rows(decoder.decode(raw_batch([message] * 20))) == [alone] * 20
    assert among.column("offset").to_pylist() == list(range(41))
    assert among.column("value").to_pylist() == [GOOD] * 20 + [message] + [GOOD] * 20
    return alone


def reason_of(event: Event, message: bytes | None, task: str = "binary") -> Reason:
    row = decode_one(event, message, task)
    reason = Reason(row["reason"])
    if reason is Reason.ACCEPTED:
        assert row["detail"] is None
        return reason
    assert 0 < len(row["detail"]) <= DETAIL_CHARACTERS_MAX
    assert row["time_us"] == TIMESTAMP_MS * 1000
    typed = set(row) - set(RAW_SCHEMA.names) - {"time_us", "reason", "detail"}
    assert all(row[name] is None for name in typed), "the typed columns of a rejected row are null"
    return reason


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (None, Reason.TOMBSTONE),
        (b"", Reason.EMPTY),
        (b" \t\r\n", Reason.EMPTY),
        (b'{"x": 1}' + b" " * 993, Reason.OVERSIZED),
        (b'{"x": 1}' + b" " * 992, Reason.ACCEPTED),
        (b'{"x": 1, "z": "\xff"}', Reason.INVALID_UTF8),
        (b'{"x": 1, "c": "\xed\xa0\x80"}', Reason.INVALID_UTF8),
        (b"\xff", Reason.INVALID_UTF8),
        (b"[" * 129 + b"]" * 129, Reason.NESTING_TOO_DEEP),
        (b"[" * 129, Reason.NESTING_TOO_DEEP),
        (b'{"z":' + b"[" * 128 + b"]" * 128 + b"}", Reason.NESTING_TOO_DEEP),
        (b'{"z":' + b"[" * 127 + b"]" * 127 + b"}", Reason.ACCEPTED),
        (b'{"z": "' + b"[{" * 300 + b'"}', Reason.ACCEPTED),
        (b'{"z": "\\"' + b"[{" * 300 + b'"}', Reason.ACCEPTED),
        (b'{"z": [' + b"[]," * 200 + b"0]}", Reason.ACCEPTED),
        (b"[" * 128 + b"]" * 128, Reason.NOT_AN_OBJECT),
        (b'{"x": 1', Reason.INVALID_JSON),
        (b'{"x": 01}', Reason.INVALID_JSON),
        (b'{"x": 1,}', Reason.INVALID_JSON),
        (b"{'x': 1}", Reason.INVALID_JSON),
        (b'{"z": "a\tb"}', Reason.INVALID_JSON),
        (b'{"z": "a\nb"}', Reason.INVALID_JSON),
        (b'{"z": "\\ud800"}', Reason.INVALID_JSON),
        (b'{"c": "\\ud800x"}', Reason.INVALID_JSON),
        (b'{"c": "\\udc00\\ud800"}', Reason.INVALID_JSON),
        (b'{"\\ud800": 1}', Reason.INVALID_JSON),
        (b'{"c": "\\ud83d\\ude00"}', Reason.ACCEPTED),
        (b'\xef\xbb\xbf{"x": 1}', Reason.INVALID_JSON),
        (b"{1: 2}", Reason.INVALID_JSON),
        (b'{"x": 1}{"x": 2}', Reason.TRAILING_DATA),
        (b'{"x": 1}\n{"x": 2}\n', Reason.TRAILING_DATA),
        (b'{"x": 1},{"x": 2}', Reason.TRAILING_DATA),
        (b'{"x": 1}}', Reason.TRAILING_DATA),
        (b'{"x": 1}\x00', Reason.TRAILING_DATA),
        (b"[1] x", Reason.TRAILING_DATA),
        (b' \r\n{\n"x"\n:\n1\n}\n\t', Reason.ACCEPTED),
        (b"[1]", Reason.NOT_AN_OBJECT),
        (b"null", Reason.NOT_AN_OBJECT),
        (b'"text"', Reason.NOT_AN_OBJECT),
        (b"7", Reason.NOT_AN_OBJECT),
        (b'{"x": NaN}', Reason.NON_FINITE),
        (b'{"x": Infinity}', Reason.NON_FINITE),
        (b'{"x": -Infinity}', Reason.NON_FINITE),
        (b'{"x": NaN} {"x": 1}', Reason.TRAILING_DATA),
        (b'{"z": 1e400}', Reason.ACCEPTED),  # nobody asked for z
        (b"{}", Reason.ACCEPTED),
    ],
)
def test_documents(message: bytes | None, reason: Reason) -> None:
    assert reason_of(contract(message_bytes_max=1000), message) == reason


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (b"3", 3.0),
        (b"-0", 0.0),
        (b"-0.0", -0.0),
        (b"1e5", 1e5),
        (b"0.1", 0.1),
        (b"true", 1.0),
        (b"false", 0.0),
        (b"null", None),
        (b"9007199254740993", 9007199254740992.0),
        (b"18446744073709551616", 2.0**64),
        (b"1" + b"0" * 308, 1e308),
        (b"5e-324", 5e-324),
        (b"1e-400", 0.0),
        (b"0." + b"1234567890" * 40, 0.12345678901234568),
        (b'"3"', Reason.WRONG_TYPE),
        (b'""', Reason.WRONG_TYPE),
        (b'"NaN"', Reason.WRONG_TYPE),
        (b"[1]", Reason.WRONG_TYPE),
        (b'{"a": 1}', Reason.WRONG_TYPE),
        (b"1e400", Reason.NON_FINITE),
        (b"-1e400", Reason.NON_FINITE),
        (b"1" + b"0" * 309, Reason.NON_FINITE),
        (b"9" * 4300, Reason.NON_FINITE),
        (b"9" * 4301, Reason.NON_FINITE),
    ],
)
def test_numeric_features(value: bytes, number: float | Reason | None) -> None:
    message = b'{"x": ' + value + b"}"
    if isinstance(number, Reason):
        assert reason_of(contract(), message) is number
    else:
        assert repr(decode_one(contract(), message)["numeric/x"]) == repr(number)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b'"AA"', "AA"),
        (b'""', ""),
        (b'"null"', "null"),
        (b'"\\u0000missing"', "\x00missing"),
        (b'"\\ud83d\\ude00 \xc3\xa9"', "😀 é"),
        (b"5", "5"),
        (b"5.0", "5"),
        (b'"5"', "5"),
        (b'"5.0"', "5.0"),
        (b"-0", "0"),
        (b"-0.0", "0"),
        (b"1e2", "100"),
        (b"18446744073709551616", "18446744073709551616"),
        (b"1e22", "10000000000000000000000"),
        (b"9" * 1024, "9" * 1024),
        (b"true", "true"),
        (b'"true"', "true"),
        (b"false", "false"),
        (b"null", None),
        (b'"' + b"a" * 1024 + b'"', "a" * 1024),
        (b'"' + b"a" * 1025 + b'"', Reason.WRONG_TYPE),
        (b'"' + "é".encode() * 513 + b'"', Reason.WRONG_TYPE),
        (b"9" * 1025, Reason.WRONG_TYPE),
        (b"1.5", Reason.WRONG_TYPE),
        (b"[1]", Reason.WRONG_TYPE),
        (b"{}", Reason.WRONG_TYPE),
        (b"1e400", Reason.NON_FINITE),
    ],
)
def test_categorical_features(value: bytes, text: str | Reason | None) -> None:
    message = b'{"c": ' + value + b"}"
    if isinstance(text, Reason):
        assert reason_of(contract(), message) is text
    else:
        assert decode_one(contract(), message)["categorical/c"] == text


@pytest.mark.parametrize("message", [b'{"c": "a"}', b'{"x": null, "c": "a"}', b'{"x": 1, "c": null}', b"{}"])
def test_a_missing_feature_is_null_or_rejected(message: bytes) -> None:
    assert reason_of(contract(missing="mean"), message) is Reason.ACCEPTED
    assert reason_of(contract(missing="reject"), message) is Reason.MISSING_FEATURE


CLASSES = {"classes": ("AA", 1, True)}


@pytest.mark.parametrize(
    ("task", "changes", "value", "label"),
    [
        ("binary", {}, b"true", "true"),
        ("binary", {}, b"false", "false"),
        ("binary", {}, b"1", "1"),
        ("binary", {}, b"0.0", "0"),
        ("binary", {}, b"-0.0", "0"),
        ("binary", {}, b"1.0", "1"),
        ("binary", {}, b"2", Reason.BAD_LABEL),
        ("binary", {}, b"0.5", Reason.BAD_LABEL),
        ("binary", {}, b'"true"', Reason.BAD_LABEL),
        ("binary", {}, b"1e400", Reason.BAD_LABEL),
        ("binary", {}, b"[true]", Reason.BAD_LABEL),
        ("binary", {}, b"null", None),
        ("anomaly", {}, b"1", "1"),
        ("anomaly", {}, b'"bad"', Reason.BAD_LABEL),
        ("multiclass", {}, b'"AA"', '"AA"'),
        ("multiclass", {}, b'"\\u0041\\/\\""', '"A/\\""'),
        ("multiclass", {}, b'"null"', '"null"'),
        ("multiclass", {}, b"7", "7"),
        ("multiclass", {}, b"-0", "0"),
        ("multiclass", {}, b"true", "true"),
        ("multiclass", {}, b"18446744073709551616", "18446744073709551616"),
        ("multiclass", {}, b"1.0", Reason.BAD_LABEL),
        ("multiclass", {}, b"{}", Reason.BAD_LABEL),
        ("multiclass", {}, b'"' + b"a" * 1025 + b'"', Reason.BAD_LABEL),
        ("multiclass", CLASSES, b'"AA"', '"AA"'),
        ("multiclass", CLASSES, b"1", "1"),
        ("multiclass", CLASSES, b"1.0", "1"),
        ("multiclass", CLASSES, b"true", "true"),
        ("multiclass", CLASSES, b'"1"', Reason.BAD_LABEL),
        ("multiclass", CLASSES, b"false", Reason.BAD_LABEL),
        ("multiclass", CLASSES, b"0", Reason.BAD_LABEL),
        ("multiclass", CLASSES, b"1.5", Reason.BAD_LABEL),
        ("binary", {"classes": ("no", "yes")}, b'"yes"', '"yes"'),
        ("binary", {"classes": ("no", "yes")}, b"true", Reason.BAD_LABEL),
        ("regression", {}, b"1.5", 1.5),
        ("regression", {}, b"2", 2.0),
        ("regression", {}, b"null", None),
        ("regression", {}, b"true", Reason.BAD_LABEL),
        ("regression", {}, b'"1.5"', Reason.BAD_LABEL),
        ("regression", {}, b"1e400", Reason.NON_FINITE),
        ("regression", {}, b"1" + b"0" * 400, Reason.NON_FINITE),
    ],
)
def test_labels(task: str, changes: dict[str, Any], value: bytes, label: str | float | Reason | None) -> None:
    message = b'{"y": ' + value + b"}"
    if isinstance(label, Reason):
        assert reason_of(contract(**changes), message, task) is label
    else:
        assert decode_one(contract(**changes), message, task)["label"] == label


@pytest.mark.parametrize(
    ("value", "token"),
    [
        (b'"UA 1545"', '"UA 1545"'),
        (b'"\\u00e9\\n"', '"é\\n"'),
        (b'"null"', '"null"'),
        (b"7", "7"),
        (b"-0", "0"),
        (b"123456789012345678901234567890", "123456789012345678901234567890"),
        (b'"' + b"a" * 1024 + b'"', '"' + "a" * 1024 + '"'),
        (b'"' + b"a" * 1025 + b'"', Reason.BAD_ID),
        (b"9" * 1025, Reason.BAD_ID),
        (b"7.0", Reason.BAD_ID),
        (b"1e400", Reason.BAD_ID),
        (b"true", Reason.BAD_ID),
        (b"[7]", Reason.BAD_ID),
        (b"null", Reason.MISSING_ID),
    ],
)
def test_ids(value: bytes, token: str | Reason) -> None:
    message = b'{"id": ' + value + b"}"
    if isinstance(token, Reason):
        assert reason_of(contract(id="id"), message) is token
    else:
        assert decode_one(contract(id="id"), message)["id"] == token
    assert reason_of(contract(id="id"), b"{}") is Reason.MISSING_ID
    assert decode_one(contract(), message)["id"] is None


@pytest.mark.parametrize(
    ("time_format", "value", "time_us"),
    [
        ("iso8601", b'"1970-01-01T00:00:01Z"', 1_000_000),
        ("iso8601", b'"1970-01-01 00:00:01"', 1_000_000),
        ("iso8601", b'"19700101T000001+0000"', 1_000_000),
        ("iso8601", b'"1970-01-01T05:30:00.000001+05:30"', 1),
        ("iso8601", b'"1970-01-01T00:00:00+00:00:01.000001"', -1_000_001),
        ("iso8601", b'"1969-12-31T23:59:59.999999"', -1),
        ("iso8601", b'"1970-01-02"', 86_400_000_000),
        ("iso8601", b'"0001-01-01T00:00:00Z"', -62_135_596_800_000_000),
        ("iso8601", b'"9999-12-31T23:59:59.999999Z"', 253_402_300_799_999_999),
        ("iso8601", b'"0001-01-01T00:00:00+01:00"', Reason.BAD_TIME),
        ("iso8601", b'"9999-12-31T23:59:59-01:00"', Reason.BAD_TIME),
        ("iso8601", b'"2026-02-29T00:00:00Z"', Reason.BAD_TIME),
        ("iso8601", b'"yesterday"', Reason.BAD_TIME),
        ("iso8601", b'""', Reason.BAD_TIME),
        ("iso8601", b"20260131", Reason.BAD_TIME),
        ("iso8601", b"null", Reason.MISSING_TIME),
        ("epoch_seconds", b"1", 1_000_000),
        ("epoch_seconds", b"1.5", 1_500_000),
        ("epoch_seconds", b"-1", -1_000_000),
        ("epoch_seconds", b"253402300799", 253_402_300_799_000_000),
        ("epoch_seconds", b"253402300799.0", 253_402_300_799_000_000),
        ("epoch_seconds", b"253402300800", Reason.BAD_TIME),
        ("epoch_milliseconds", b"1700000000123", 1_700_000_000_123_000),
        ("epoch_milliseconds", b"253402300799999.0", 253_402_300_799_999_000),
        ("epoch_microseconds", b"1700000000123456", 1_700_000_000_123_456),
        ("epoch_microseconds", b"0.5", 0),
        ("epoch_microseconds", b"1.5", 2),
        ("epoch_microseconds", b"18446744073709551616", Reason.BAD_TIME),
        ("epoch_seconds", b"1e300", Reason.BAD_TIME),
        ("epoch_seconds", b"1e400", Reason.BAD_TIME),
        ("epoch_seconds", b"true", Reason.BAD_TIME),
        ("epoch_seconds", b'"1"', Reason.BAD_TIME),
        ("epoch_seconds", b"null", Reason.MISSING_TIME),
    ],
)
def test_times(time_format: str, value: bytes, time_us: int | Reason) -> None:
    event = contract(time="at", time_format=time_format)
    message = b'{"at": ' + value + b"}"
    if isinstance(time_us, Reason):
        assert reason_of(event, message) is time_us
    else:
        assert decode_one(event, message)["time_us"] == time_us
    assert reason_of(event, b"{}") is Reason.MISSING_TIME


def test_a_time_without_an_offset_is_utc_wherever_the_daemon_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert decode_one(contract(time="at"), b'{"at": "1970-01-01T00:00:01"}')["time_us"] == 1_000_000
    finally:
        monkeypatch.undo()
        time.tzset()


def test_without_a_time_field_the_records_timestamp_is_the_event_time() -> None:
    assert decode_one(contract(), GOOD)["time_us"] == TIMESTAMP_MS * 1000


@pytest.mark.parametrize(
    ("timestamp_ms", "time_us"),
    [
        (-1, -1000),
        (2**63 - 1, 253_402_300_799_999_000),
        (-(2**63), -62_135_596_800_000_000),
    ],
)
def test_a_wild_record_timestamp_is_held_to_the_years_1_to_9999(timestamp_ms: int, time_us: int) -> None:
    decoded = JsonDecoder(contract(), "binary").decode(raw_batch([GOOD], timestamp_ms))
    assert decoded.column("time_us").to_pylist() == [time_us]


def test_fields_are_checked_in_the_contracts_order_not_the_messages() -> None:
    event = contract(id="id", time="at", numeric=("x", "x2"))
    faults = [
        (b'"id": true', Reason.BAD_ID),
        (b'"at": "never"', Reason.BAD_TIME),
        (b'"y": 9', Reason.BAD_LABEL),
        (b'"x": 1e400', Reason.NON_FINITE),
        (b'"c": []', Reason.WRONG_TYPE),
    ]
    good = {b"id": b'"id": 1', b"at": b'"at": "2026-01-31"'}
    for first in range(len(faults)):
        fields = [fault for fault, _ in faults[first:]]
        fields += [field for name, field in good.items() if not any(name in fault for fault in fields)]
        message = b"{" + b", ".join(reversed(fields)) + b"}"
        assert reason_of(event, message) is faults[first][1]


def test_of_equal_keys_the_last_one_counts() -> None:
    assert decode_one(contract(), b'{"x": 1, "c": "a", "\\u0078": 2, "c": "b"}')["numeric/x"] == 2.0
    assert decode_one(contract(), b'{"x": 1, "x": null}')["numeric/x"] is None
    assert decode_one(contract(), b'{"x": "one", "x": 1}')["numeric/x"] == 1.0
    assert reason_of(contract(), b'{"x": 1, "x": "one"}') is Reason.WRONG_TYPE


@pytest.mark.parametrize(
    "name", ["a.b", "a b", "é", "😀", "", "a/b", 'a"b', "a\\b", "a\nb", "type", "0", "field_0"]
)
def test_field_names_may_hold_any_characters(name: str) -> None:
    event = Event(label="y", numeric=(name,), categorical=("c",))
    assert decode_one(event, json.dumps({name: 2.5}).encode())[f"numeric/{name}"] == 2.5


def test_an_id_or_a_time_may_be_a_feature_too() -> None:
    shared = {
        "id": "n",
        "time": "n",
        "time_format": "epoch_seconds",
        "numeric": ("n",),
        "categorical": ("c",),
    }
    event = Event.model_construct(**(contract().model_dump() | shared))
    row = decode_one(event, b'{"n": 9007199254740993}')
    assert row["reason"] == Reason.BAD_TIME
    row = decode_one(event, b'{"n": 5}')
    assert (row["id"], row["time_us"], row["numeric/n"]) == ("5", 5_000_000, 5.0)
    assert reason_of(event, b'{"n": 5.0}') is Reason.BAD_ID
    number = Event.model_construct(**(contract().model_dump() | {"id": "n", "numeric": ("n",)}))
    assert decode_one(number, b'{"n": 18446744073709551616}')["numeric/n"] == 2.0**64
    assert reason_of(number, b'{"n": 1' + b"0" * 400 + b"}") is Reason.NON_FINITE
    assert reason_of(event, b'{"n": "5"}') is Reason.BAD_TIME
    texts = Event.model_construct(**(contract().model_dump() | {"time": "c", "id": "c"}))
    row = decode_one(texts, b'{"c": "1970-01-01"}')
    assert (row["id"], row["time_us"], row["categorical/c"]) == ('"1970-01-01"', 0, "1970-01-01")


def test_details_name_field_and_finding_but_never_hold_the_payload() -> None:
    row = decode_one(contract(), b'{"x": "' + b"secret " * 1000 + b'"}')
    assert row["detail"].startswith('x must be a number or a boolean; found "secret secret')
    assert row["detail"].endswith("(7002 bytes)")
    assert len(row["detail"]) < 120
    row = decode_one(Event(label="y", numeric=("n" * 5000,)), b'{"' + b"n" * 5000 + b'": []}')
    assert row["detail"].endswith("must be a number or a boolean; found []")
    row = decode_one(contract(), b'{"x": [\n1,\n2]}')
    assert "\n" not in row["detail"]


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "message",
    [
        b"[" * 100_000,
        b'{"x":' * 100_000,
        b"[" * 200 + b'"' + b'\\"' * 400_000,  # quadratic, were each quote the start of a search
        b'{"x":"' + b"a" * 1_000_000 + b'"}',
        b'{"x":' + b"9" * 1_000_000 + b"}",
        b"{" + b",".join(b'"%d":0' % i for i in range(100_000)) + b',"x":""}',
        b'{"x":[' + b"[]," * 300_000 + b"[]]}",
    ],
    ids=["arrays", "objects", "quotes", "text", "digits", "keys", "brackets"],
)
def test_bombs_are_rejected_in_linear_time(message: bytes) -> None:
    decoded = JsonDecoder(contract(), "binary").decode(raw_batch([message] * 16))
    assert Reason.ACCEPTED not in decoded.column("reason").to_pylist()


def test_the_verdict_does_not_depend_on_the_depth_of_the_stack() -> None:
    decoder = JsonDecoder(contract(), "binary")
    batch = raw_batch([b'{"z":' + b"[" * 127 + b"]" * 127 + b"}"] * 20)

    def deep(frames: int) -> pa.RecordBatch:
        return decoder.decode(batch) if frames == 0 else deep(frames - 1)

    here = len(list(_frames()))
    deepest, flat = deep(sys.getrecursionlimit() - here - 250), decoder.decode(batch)
    assert apart(deepest, ("x",)).equals(apart(flat, ("x",)))


def _frames() -> Any:
    frame = sys._getframe()
    while frame is not None:
        yield frame
        frame = frame.f_back


def test_ordinary_batches_never_need_the_exact_route(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: ExactDecoder, message: bytes | None) -> None:
        raise AssertionError(f"left the columns: {message!r}")

    monkeypatch.setattr(ExactDecoder, "decode", refuse)
    flights = [
        json.dumps(
            {
                "id": i if i % 3 else f"UA{i}",
                "at": f"2013-01-01T{i % 24:02}:00:00Z",
                "y": None if i % 7 == 0 else i % 2 == 0,
                "delay": None if i % 5 == 0 else i / 3,
                "hour": i % 24,
                "flag": bool(i % 2) if i % 3 else i % 2,
                "carrier": "AA",
                "flight": i,
                "tail": None if i % 4 == 0 else f"N{i}",
                "stop": i % 2 == 0 if i % 3 else str(i),
                "extra": [{"nested": [i]}],
            },
            indent=1 if i % 2 else None,
        ).encode()
        for i in range(300)
    ]
    event = Event(
        label="y",
        id="id",
        time="at",
        numeric=("delay", "hour", "flag"),
        categorical=("carrier", "flight", "tail", "stop"),
    )
    decoded = JsonDecoder(event, "binary").decode(raw_batch(list(flights)))
    assert decoded.column("reason").to_pylist() == [Reason.ACCEPTED] * 300
    assert decoded.column("id").to_pylist()[:3] == ['"UA0"', "1", "2"]
    assert decoded.column("label").to_pylist()[:3] == [None, "false", "true"]
    assert decoded.column("categorical/flight").to_pylist()[:3] == ["0", "1", "2"]
    assert decoded.column("categorical/stop").to_pylist()[:3] == ["0", "false", "true"]
    assert apart(decoded, event.numeric).column("numeric/flag").to_pylist()[:4] == [0.0, 1.0, 0.0, 1.0]


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 600, 1100])
def test_batches_of_any_size_and_slices_keep_their_rows(count: int) -> None:
    decoder = JsonDecoder(contract(), "binary")
    # Before the slice stands what must not be looked at, and in it what makes the columns look twice.
    messages: list[bytes | None] = [b"[" * 300, b"\xff", None, b'{"x": 1}' + b" " * 2000, b""]
    messages += [b'{"x": %d}' % i if i % 50 else None for i in range(5, count + 5)] + [b"{" * 300] * 4
    batch = raw_batch(messages).slice(5, count)
    decoded = decoder.decode(batch)
    assert decoded.schema.equals(decoder.schema)
    assert decoded.num_rows == count
    numbers = apart(decoded, ("x",)).column("numeric/x").to_pylist()
    assert numbers == [i if i % 50 else None for i in range(5, count + 5)]
    decoded.validate(full=True)


def test_in_a_slice_each_verdict_falls_on_its_own_row() -> None:
    decoder = JsonDecoder(contract(message_bytes_max=500), "binary")
    faults = [
        b'{"z": "' + b"z" * 500 + b'"}',
        b'{"z": "\xff"}',
        b'{"z": ' + b"[" * 200 + b"]" * 200 + b"}",
        None,
    ]
    messages: list[bytes | None] = [b"{}"] * 100
    messages[33:73:10] = faults
    for start in (0, 1, 33, 40):
        reasons = decoder.decode(raw_batch(messages).slice(start, 60)).column("reason").to_pylist()
        expected = [Reason.ACCEPTED] * 100
        expected[33:73:10] = [
            Reason.OVERSIZED,
            Reason.INVALID_UTF8,
            Reason.NESTING_TOO_DEEP,
            Reason.TOMBSTONE,
        ]
        assert reasons == expected[start : start + 60]


def test_decoding_changes_nothing_and_may_be_shared_by_threads() -> None:
    decoder = JsonDecoder(contract(), "binary")
    batch = raw_batch([b'{"x": %d, "c": "%d", "y": true}' % (i, i) if i % 9 else b"{" for i in range(500)])
    once = apart(decoder.decode(batch), ("x",))
    with ThreadPoolExecutor(4) as pool:
        decoded = pool.map(decoder.decode, [batch] * 16)
        assert all(apart(again, ("x",)).equals(once) for again in decoded)
