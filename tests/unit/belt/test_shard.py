"""What a shard tells of a run of events, and the stations that it may have."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numbers_for_tests import together

from streamlearn.assemble import learning_config, shard_factory
from streamlearn.belt.bad_input import InputWatch
from streamlearn.belt.categories import CategoryBound
from streamlearn.belt.rejecting import rejected
from streamlearn.belt.shard import Shard
from streamlearn.checkpoints.digest import state_digest
from streamlearn.config import Config
from streamlearn.config_file import parse
from streamlearn.errors import CheckpointRefused, TooManyRejected
from streamlearn.events import OTHER_CATEGORY, Reason, TopicPartition, event_schema

FIRST = TopicPartition("events", 0)
CONFIG = """
[stream]
name = "flow"
task = "binary"
[source.kafka]
bootstrap_servers = "nowhere:1"
topics = ["events"]
group_id = "flow"
[event]
label = "y"
classes = [false, true]
numeric = ["a"]
categorical = ["c"]
[[models]]
name = "mlp"
learner = "torch"
hidden = []
batch_events = 2
device = "cpu"
"""
SETTINGS: Config = parse(CONFIG, [], {})
SCHEMA = event_schema(("a",), ("c",), real_label=False)


def batch(rows: Sequence[Mapping[str, Any]], first: int = 0) -> pa.RecordBatch:
    """Decoded events; a row may hold ``a``, ``c``, ``y`` and ``reason``."""
    columns = {
        "topic": [0] * len(rows),
        "partition": [0] * len(rows),
        "offset": range(first, first + len(rows)),
        "timestamp_ms": [0] * len(rows),
        "key": [None] * len(rows),
        "value": [json.dumps(dict(row)).encode() for row in rows],
        "time_us": range(first, first + len(rows)),
        "numeric": together([[row.get("a", 0.5) for row in rows]]),
        "categorical/c": [row.get("c", "x") for row in rows],
        "label": [row.get("y", "true") for row in rows],
        "id": [None] * len(rows),
        "reason": [row.get("reason", Reason.ACCEPTED) for row in rows],
        "detail": [None] * len(rows),
    }
    return pa.RecordBatch.from_pydict(columns, schema=SCHEMA)


def make(**stations: Any) -> Shard:
    plain = shard_factory(SETTINGS)("flow", {FIRST: 0})
    parts = replace(plain.parts, **stations)
    return Shard("flow", "flow", "binary", SETTINGS.topics, parts, learning_config(SETTINGS), {FIRST: 0})


def test_an_outcome_tells_how_long_each_stage_took_and_where_the_shard_is() -> None:
    shard = make()
    (first,) = shard.advance(batch([{}] * 5))
    (second,) = shard.advance(batch([{}] * 3, first=5))
    assert list(first.stage_seconds) == ["features", "drift", "learn", "evaluate"]
    assert all(seconds > 0 for seconds in first.stage_seconds.values())
    assert (first.next_offsets, second.next_offsets) == ({FIRST: 5}, {FIRST: 8})


def test_steps_that_a_learner_skipped_are_told_once() -> None:
    shard = make()
    (huge,) = shard.advance(batch([{"a": 1.7e308}, {"a": -1.7e308}] * 2))
    (ordinary,) = shard.advance(batch([{"a": 0.1}] * 2, first=4))
    assert huge.steps_skipped == {"mlp": 2}
    assert ordinary.steps_skipped == {"mlp": 0}


def test_categories_past_the_bound_are_one_to_every_model() -> None:
    shard = make(categories=CategoryBound(("c",), 2))
    (outcome,) = shard.advance(batch([{"c": value} for value in ("x", "y", "z", "w", "x")]))
    column = outcome.examples.features.categorical[0]
    assert [column.values[code] for code in column.codes_B] == ["x", "y", OTHER_CATEGORY, OTHER_CATEGORY, "x"]
    assert outcome.overflowed == {"c": 2}
    again = make(categories=CategoryBound(("c",), 2))
    again.restore(shard.snapshot({}))
    (outcome,) = again.advance(batch([{"c": "q"}], first=5))
    assert outcome.overflowed == {"c": 1}


def test_a_rejected_event_shows_no_category() -> None:
    bound = CategoryBound(("c",), 1)
    shard = make(categories=bound)
    list(shard.advance(batch([{"c": "bad", "reason": Reason.BAD_TIME}, {"c": "x"}])))
    assert bound.sizes == {"c": 1}
    (outcome,) = shard.advance(batch([{"c": "x"}], first=2))
    assert outcome.overflowed == {}


def test_a_shard_stops_once_its_input_is_bad() -> None:
    shard = make(inputs=InputWatch(0.5, window_events=4))
    list(shard.advance(batch([{}, {"reason": Reason.WRONG_TYPE}] * 2)))
    with pytest.raises(TooManyRejected, match=r"75.0% of the last 4 events"):
        list(shard.advance(batch([{"reason": Reason.WRONG_TYPE}] * 3, first=4)))


def test_stations_are_state() -> None:
    stations = {"categories": CategoryBound(("c",), 2), "inputs": InputWatch(0.5, window_events=4)}
    shard = make(**stations)
    list(shard.advance(batch([{"c": "x"}, {"c": "y"}, {"c": "z", "reason": Reason.WRONG_TYPE}])))
    again = make(categories=CategoryBound(("c",), 2), inputs=InputWatch(0.5, window_events=4))
    again.restore(shard.snapshot({}))
    assert state_digest(again.snapshot({})) == state_digest(shard.snapshot({}))
    assert {"categories", "inputs"} <= set(shard.snapshot({}).parts)


def test_a_checkpoint_without_a_part_is_refused_by_name() -> None:
    older = make().snapshot({})
    del older.parts["categories"]  # type: ignore[attr-defined]
    with pytest.raises(CheckpointRefused, match="no part 'categories'"):
        make().restore(older)


def test_what_was_read_of_an_event_that_is_rejected_later_is_gone() -> None:
    events = rejected(batch([{"a": 1.0}, {"a": 2.0}]), np.array([1]), Reason.BAD_LABEL, "why")
    assert events.schema == SCHEMA
    first, second = events.to_pylist()
    assert (first["numeric"], first["label"], first["reason"]) == ([1.0], "true", Reason.ACCEPTED)
    assert [second[name] for name in ("categorical/c", "label", "id")] == [None] * 3
    assert (second["reason"], second["detail"], second["offset"], second["time_us"]) == (
        Reason.BAD_LABEL,
        "why",
        1,
        1,
    )
    assert second["value"] is not None
