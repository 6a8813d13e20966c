"""The examples of docs/wire.md do what the page says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from streamlearn.belt.decode_arrow import ArrowDecoder
from streamlearn.belt.emit import prediction_records
from streamlearn.belt.emit_arrow import prediction_batches, prediction_schema
from streamlearn.belt.shard import Outcome
from streamlearn.config import Event
from streamlearn.events import RAW_SCHEMA, Examples, Features, Predictions, Reason

PAGE = (Path(__file__).parents[2] / "docs/wire.md").read_text(encoding="utf-8")
WRITES, READS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
EVENT = Event(format="arrow", label="late", numeric=("distance",), categorical=("carrier",))


def decoded() -> pa.RecordBatch:
    names: dict[str, Any] = {}
    exec(compile(WRITES, "docs/wire.md", "exec"), names)
    columns = {name: [0] for name in ("topic", "partition", "timestamp_ms")}
    raw = columns | {"offset": [7], "key": [b"k"], "value": [names["message"]]}
    return ArrowDecoder(EVENT, "binary").decode(pa.RecordBatch.from_pydict(raw, schema=RAW_SCHEMA))


def outcome() -> Outcome:
    events = decoded()
    none = np.zeros((2, 0))
    examples = Examples(
        Features((), none, none.astype(bool), ()), np.zeros(2, np.int32), np.zeros(2, bool), ()
    )
    shares = np.array([[0.25, 0.75], [np.nan, np.nan]])
    said = Predictions(np.array([17, 18]), np.array([1, -1], np.int32), shares)
    return Outcome(events, events, examples, ("false", "true"), {"logistic": said}, {"logistic": 0}, ())


def test_a_message_that_is_written_so_is_taken() -> None:
    rows = decoded().to_pylist()
    assert [row["reason"] for row in rows] == [Reason.ACCEPTED] * 2
    assert [(row["numeric"], row["categorical/carrier"], row["label"]) for row in rows] == [
        ([1400.0], "UA", "true"),
        ([200.0], None, None),
    ]


def test_predictions_are_read_so() -> None:
    [records] = prediction_batches(outcome(), "flights", ("events",))
    assert (records.model, records.events, records.keys.to_pylist()) == ("logistic", 2, [b"logistic"])
    names: dict[str, Any] = {"pa": pa, "values": records.values.to_pylist()}
    exec(compile(READS, "docs/wire.md", "exec"), names)
    assert names["latest"].to_pylist() == [{"model": "logistic", "version_max": 18}]
    first, second = names["table"].to_pylist()
    of_json = [json.loads(value) for each in prediction_records(outcome(), "flights", ("events",)) for value in each.values.to_pylist()]  # fmt: skip
    for row, record in zip((first, second), of_json, strict=True):
        for name in ("stream", "topic", "partition", "offset", "row", "id", "model", "version"):
            assert row[name] == record[name]
        assert row["event_time"].isoformat(timespec="microseconds") == record["event_time"].replace(
            "Z", "+00:00"
        )
        assert dict(row["probabilities"] or ()) == (record["probabilities"] or {})
    assert (first["prediction"], second["prediction"], second["probabilities"]) == ("true", None, None)
    assert (first["key"], list(first)) == (b"k", prediction_schema(is_class=True, many=True).names)


def test_the_page_names_every_column_and_every_field() -> None:
    for name in prediction_schema(is_class=True, many=True).names:
        assert f"`{name}`" in PAGE
    [example] = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    [records] = prediction_records(outcome(), "flights", ("events",))
    fields = list(json.loads(records.values[0].as_py()))
    assert list(json.loads(example)) == [name for name in fields if name != "row"]


@pytest.mark.parametrize("reason", ["invalid_arrow", "wrong_column_type", "too_many_events"])
def test_the_page_names_the_reasons_of_messages(reason: str) -> None:
    assert f"`{reason}`" in PAGE
    assert reason in {each.label for each in Reason}


def test_a_batch_too_large_goes_out_in_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamlearn.belt.emit_arrow.MESSAGE_BYTES_MAX", 1000)
    [records] = prediction_batches(outcome(), "flights", ("events",))
    assert len(records) == 2
    rows = [row for value in records.values.to_pylist() for row in pa.ipc.open_stream(value).read_all().to_pylist()]  # fmt: skip
    assert [row["version"] for row in rows] == [17, 18]
