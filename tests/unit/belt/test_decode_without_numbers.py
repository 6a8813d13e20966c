"""A contract without a numeric feature: each text column still has rows of its own."""

from __future__ import annotations

import json

import pyarrow as pa

from streamlearn.belt.decode import JsonDecoder
from streamlearn.config import Event
from streamlearn.events import RAW_SCHEMA

COUNT = 40


def test_texts_stand_in_their_own_rows() -> None:
    event = Event(id="id", label="y", categorical=("c", "d"))
    messages = [{"id": n, "c": f"c{n % 3}", "d": f"d{n}", "y": n % 2 == 0} for n in range(COUNT)]
    raw = pa.RecordBatch.from_pydict(
        {
            "topic": [0] * COUNT,
            "partition": [0] * COUNT,
            "offset": range(COUNT),
            "timestamp_ms": [0] * COUNT,
            "key": [None] * COUNT,
            "value": [json.dumps(message).encode() for message in messages],
        },
        schema=RAW_SCHEMA,
    )
    decoded = JsonDecoder(event, "binary").decode(raw)
    for message, row in zip(messages, decoded.to_pylist(), strict=True):
        assert row["id"] == str(message["id"])
        assert (row["categorical/c"], row["categorical/d"]) == (message["c"], message["d"])
        assert row["label"] == ("true" if message["y"] else "false")
