"""Predictions as JSON read back exactly: by Python's own parser, whatever was said of whatever event."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamlearn.belt.emit import prediction_records
from streamlearn.belt.shard import Outcome
from streamlearn.events import ROW, Examples, Features, Predictions, Reason, event_schema

STREAM, TOPICS, MODEL = "a-stream", ("first", "the.second_1"), "a_model-1"
TIME_US = st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)  # of the years 1 to 9999
NUMBERS = st.one_of(
    st.floats(),  # subnormals, infinities and NaN among them
    st.sampled_from(
        [-0.0, 5e-324, -2.2250738585072011e-308, 1.7976931348623157e308, 2.0**53, 0.1, 1e22, 1e-7]
    ),
    st.integers(-(2**63), 2**63).map(float),
)
# Surrogates are no text: a decoder takes none.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
LABELS = st.one_of(TEXTS, st.integers(-(2**63), 2**63 - 1), st.booleans())
IDS = st.one_of(st.none(), TEXTS, st.integers(-(2**63), 2**63 - 1))
INTEGER_64 = st.integers(0, 2**63 - 1)


def token(value: Any, escaped: bool) -> str:
    """A value as a token of JSON; its text escaped throughout, or only where JSON demands it."""
    return json.dumps(value, ensure_ascii=escaped)


@st.composite
def said(draw: st.DrawFn) -> dict[str, Any]:
    """Some events, what was predicted for each, and with which labels."""
    count, many = draw(st.integers(1, 6)), draw(st.booleans())
    each = lambda strategy: draw(st.lists(strategy, min_size=count, max_size=count))  # noqa: E731
    # As a name of a share each label is there once: 1 and "1" are not both labels of one stream.
    labels = draw(st.lists(LABELS, max_size=5, unique_by=lambda label: name_of(label)))
    form = draw(st.sampled_from(["number", "class", "shares"]))
    return {
        "topic": each(st.integers(0, 1)),
        "partition": each(st.integers(0, 2**31 - 1)),
        "offset": each(INTEGER_64),
        "row": each(st.integers(0, 2**31 - 1)) if many else None,
        "id": each(IDS),
        "time_us": each(TIME_US),
        "version": each(INTEGER_64),
        "labels": labels,
        "class": None if form == "number" else each(st.integers(-1, len(labels) - 1)),
        "number": each(NUMBERS) if form == "number" else None,
        "shares": each(st.lists(NUMBERS, min_size=len(labels), max_size=len(labels)))
        if form == "shares"
        else None,
        "escaped": draw(st.booleans()),
        "sliced": draw(st.integers(0, 2)),
    }


def name_of(label: Any) -> str:
    return label if isinstance(label, str) else json.dumps(label)


def written(case: dict[str, Any]) -> list[bytes]:
    count, many = len(case["id"]), case["row"] is not None
    rows: list[dict[str, Any]] = [
        {
            "topic": case["topic"][n],
            "partition": case["partition"][n],
            "offset": case["offset"][n],
            "timestamp_ms": 0,
            "key": None,
            "value": b"",
            "time_us": case["time_us"][n],
            "label": None,
            "id": None if case["id"][n] is None else token(case["id"][n], case["escaped"]),
            "reason": Reason.ACCEPTED,
            **({ROW: case["row"][n], "last": True} if many else {}),
        }
        for n in range(count)
    ]
    # A slice, so that the first row does not begin at the first byte.
    schema = event_schema((), (), real_label=False, many=many)
    events = pa.RecordBatch.from_pylist([rows[0]] * case["sliced"] + rows, schema=schema).slice(
        case["sliced"]
    )
    none = np.zeros((count, 0))
    examples = Examples(
        Features((), none, none.astype(bool), ()), np.zeros(count, np.int32), np.zeros(count, bool), ()
    )
    tokens = tuple(token(label, case["escaped"]) for label in case["labels"])
    predictions = Predictions(
        np.array(case["version"], np.int64),
        None if case["class"] is None else np.array(case["class"], np.int32),
        None if case["shares"] is None else np.array(case["shares"], float).reshape(count, len(tokens)),
        None if case["number"] is None else np.array(case["number"], float),
    )
    outcome = Outcome(events, events, examples, tokens, {MODEL: predictions}, {MODEL: 0}, ())
    [records] = prediction_records(outcome, STREAM, TOPICS)
    values: list[bytes] = records.values.to_pylist()
    return values


def expected(case: dict[str, Any], n: int) -> dict[str, Any]:
    shares: dict[str, float] = {}
    if case["shares"] is not None:
        named = zip(map(name_of, case["labels"]), case["shares"][n], strict=True)
        shares = {name: share for name, share in named if math.isfinite(share)}
    if case["class"] is None:
        prediction = case["number"][n] if math.isfinite(case["number"][n]) else None
    else:
        prediction = None if case["class"][n] < 0 else case["labels"][case["class"][n]]
    return {
        "stream": STREAM,
        "topic": TOPICS[case["topic"][n]],
        "partition": case["partition"][n],
        "offset": case["offset"][n],
        **({} if case["row"] is None else {"row": case["row"][n]}),
        "id": case["id"][n],
        "event_time": case["time_us"][n],
        "model": MODEL,
        "version": case["version"][n],
        "prediction": prediction,
        "probabilities": shares or None,
    }


def read(value: bytes) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    # Floats by their bits, so that -0.0 is not 0.0; and a number that was a float is none of another kind.
    record: dict[str, Any] = json.loads(value.decode("utf-8"), parse_constant=refuse)
    assert record["event_time"].endswith("Z")
    time = datetime.fromisoformat(record["event_time"].removesuffix("Z")).replace(tzinfo=UTC)
    since = time - datetime(1970, 1, 1, tzinfo=UTC)
    return record | {"event_time": (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds}


def bits(number: float) -> str:
    return float(number).hex()


NOTHING: dict[str, Any] = {
    "topic": [0], "partition": [0], "offset": [0], "row": None, "id": [None], "time_us": [0], "version": [0],
    "labels": [], "class": None, "number": [-0.0], "shares": None, "escaped": False, "sliced": 0,
}  # fmt: skip
LONGEST: dict[str, Any] = NOTHING | {
    "topic": [1], "partition": [2**31 - 1], "offset": [2**63 - 1], "row": [2**31 - 1], "id": ["\x00" * 50],
    "time_us": [-1], "version": [2**63 - 1], "labels": ["\x7f" * 99, '"\\'], "class": [0], "number": None,
    "shares": [[-2.2250738585072011e-308, -5e-324]], "escaped": True,
}  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(said())
@example(NOTHING)
@example(LONGEST)
@example(LONGEST | {"shares": [[math.nan, math.inf]], "class": [-1], "id": [None]})
def test_what_was_said_reads_back_exactly(case: dict[str, Any]) -> None:
    values = written(case)
    assert len(values) == len(case["id"])
    for n, value in enumerate(values):
        found, due = read(value), expected(case, n)
        assert list(found) == list(due)
        if case["number"] is not None and due["prediction"] is not None:
            assert bits(found["prediction"]) == bits(due["prediction"])
        elif due["prediction"] is not None:
            assert type(found["prediction"]) is type(due["prediction"])
        if due["probabilities"] is not None:
            shares = found["probabilities"]
            assert {name: bits(share) for name, share in shares.items()} == {
                name: bits(share) for name, share in due["probabilities"].items()
            }
        assert found == due
