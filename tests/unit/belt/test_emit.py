"""What leaves the belt reads back as what was said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from belt_world import CONFIG, World, events

from streamlearn.belt.emit import prediction_records
from streamlearn.belt.shard import Outcome
from streamlearn.events import Examples, Features, Predictions, Reason, event_schema

FIELDS = [
    "stream", "topic", "partition", "offset", "id", "event_time", "model", "version", "prediction", "probabilities",
]  # fmt: skip


def outcome(said: Predictions, tokens: tuple[str, ...], ids: list[str | None]) -> Outcome:
    import pyarrow as pa

    rows = [
        {
            "topic": 0,
            "partition": 3,
            "offset": 7 + i,
            "timestamp_ms": 0,
            "key": b"k%d" % i if i else None,
            "value": b"{}",
            "time_us": 1_357_034_400_123_456 + i,
            "label": None,
            "id": each,
            "reason": Reason.ACCEPTED,
        }
        for i, each in enumerate(ids)
    ]
    events = pa.RecordBatch.from_pylist(rows, schema=event_schema((), (), real_label=False))
    none = np.zeros((len(ids), 0))
    examples = Examples(
        Features((), none, none.astype(bool), ()), np.zeros(len(ids), np.int32), np.zeros(len(ids), bool), ()
    )
    return Outcome(events, events, examples, tokens, {"m": said}, {"m": 0}, ())


def records(said: Predictions, tokens: tuple[str, ...], ids: list[str | None]) -> list[dict[str, object]]:
    [found] = prediction_records(outcome(said, tokens, ids), "s", ("t",))
    assert (found.model, found.events) == ("m", len(ids))
    return [json.loads(value) for value in found.values.to_pylist()]


def test_a_record_has_the_fields_of_the_contract() -> None:
    said = Predictions(np.array([0, 5]), np.array([1, 0], np.int32), np.array([[0.25, 0.75], [1.0, 0.0]]))
    first, second = records(said, ("false", "true"), ['"AA1"', "17"])
    assert list(first) == FIELDS
    assert first == {
        "stream": "s",
        "topic": "t",
        "partition": 3,
        "offset": 7,
        "id": "AA1",
        "event_time": "2013-01-01T10:00:00.123456Z",
        "model": "m",
        "version": 0,
        "prediction": True,
        "probabilities": {"false": 0.25, "true": 0.75},
    }
    assert (second["id"], second["version"], second["prediction"]) == (17, 5, False)


def test_labels_go_out_as_they_came_in() -> None:
    said = Predictions(np.zeros(3, np.int64), np.array([0, 1, 2], np.int32), np.eye(3))
    got = records(said, ('"a,b"', "1", '"say \\"hi\\""'), [None] * 3)
    assert [each["prediction"] for each in got] == ["a,b", 1, 'say "hi"']
    assert got[0]["probabilities"] == {"a,b": 1.0, "1": 0.0, 'say "hi"': 0.0}
    assert got[0]["id"] is None


def test_nothing_said_is_null() -> None:
    shares = np.array([[np.nan, np.nan], [np.nan, 1.0]])
    silent, partly = records(
        Predictions(np.zeros(2, np.int64), np.array([-1, 1], np.int32), shares), ("0", "1"), [None] * 2
    )
    assert (silent["prediction"], silent["probabilities"]) == (None, None)
    assert (partly["prediction"], partly["probabilities"]) == (1, {"1": 1.0})


def test_regression_has_numbers_and_no_probabilities() -> None:
    values = np.array([0.1 + 0.2, 1e300, -5e-324, 3.0, np.nan])
    got = records(Predictions(np.zeros(5, np.int64), value_B=values), (), [None] * 5)
    assert [each["prediction"] for each in got] == [0.1 + 0.2, 1e300, -5e-324, 3.0, None]
    assert all(each["probabilities"] is None for each in got)


@pytest.mark.parametrize("seed", range(3))
def test_every_share_reads_back_exactly(seed: int) -> None:
    shares = np.random.default_rng(seed).random((500, 2)) ** 20
    said = Predictions(np.zeros(500, np.int64), np.zeros(500, np.int32), shares)
    got = records(said, ("false", "true"), [None] * 500)
    assert [[each["probabilities"][k] for k in ("false", "true")] for each in got] == shares.tolist()


def test_keys_are_the_events_own(tmp_path: Path) -> None:
    logs = events(50, 2)
    world = World(tmp_path, logs, text=CONFIG).run()
    keys = {(p, o): row[0] for p, rows in logs.items() for o, row in enumerate(rows)}
    assert len(world.predictions.records) == 50
    for key, record in world.predictions.records:
        assert key == keys[record["partition"], record["offset"]]
