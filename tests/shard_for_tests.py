"""A guarded shard without a belt, decoded events for it, and some that ruin a model."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
from numbers_for_tests import together

from streamlearn.assemble import learning_config, shard_factory
from streamlearn.belt.guard import GuardedShard, OnLearnerError
from streamlearn.belt.shard import Outcome, Shard
from streamlearn.checkpoints.digest import state_digest
from streamlearn.config import Config
from streamlearn.config_file import parse
from streamlearn.events import Reason, TopicPartition, event_schema

FIRST = TopicPartition("events", 0)
CONFIG = """
[stream]
name = "flow"
task = "{task}"
[source.kafka]
bootstrap_servers = "nowhere:1"
topics = ["events"]
group_id = "flow"
[event]
label = "y"
numeric = ["a", "b"]
categorical = ["c"]
[[models]]
name = "model"
{model}
[[models]]
name = "counts"
learner = "river"
pipeline = ["{counts}"]
"""
LINEAR = 'learner = "river"\npipeline = [{use = "compose.Select", keys = ["a", "b"]}, "preprocessing.StandardScaler", "linear_model.LinearRegression"]'
SOFTMAX = LINEAR.replace("LinearRegression", "SoftmaxRegression")
# One step of such a size takes any weight out of float64.
STEEP = 'learner = "river"\npipeline = [{use = "compose.Select", keys = ["a", "b"]}, {use = "linear_model.LogisticRegression", optimizer = {use = "optim.SGD", lr = 1e3}}]'


def config(task: str = "regression", model: str = LINEAR) -> Config:
    counts = "dummy.StatisticRegressor" if task == "regression" else "dummy.PriorClassifier"
    text = CONFIG.format(task=task, model=model, counts=counts)
    if counts == "dummy.StatisticRegressor":
        text = text.replace(
            '["dummy.StatisticRegressor"]',
            '[{use = "dummy.StatisticRegressor", statistic = {use = "stats.Mean"}}]',
        )
    return parse(text, [], {})


def rows(count: int, poisoned: Iterable[int], *, labels: Sequence[Any] = ()) -> list[dict[str, Any]]:
    draw = random.Random(7)
    made = []
    for number in range(count):
        a, b = draw.gauss(0, 1), draw.gauss(3, 2)
        y = labels[number % len(labels)] if labels else a + b
        made.append(
            {"a": a, "b": b if number % 9 else None, "c": f"c{number % 5}", "y": y if number % 7 else None}
        )
    for number in poisoned:
        made[number] |= {"a": 1.7e308, "y": labels[-1] if labels else 1.0}
    return made


def batch(events: Sequence[dict[str, Any]], settings: Config, first: int = 0) -> pa.RecordBatch:
    """Decoded events of one partition; one whose ``a`` is text is rejected, as a decoder would."""
    event, task = settings.event, settings.stream.task
    schema = event_schema(event.numeric, event.categorical, real_label=task == "regression")
    broken = [isinstance(each["a"], str) for each in events]
    columns: dict[str, Any] = {name: [None] * len(events) for name in schema.names}
    columns |= {"topic": [0] * len(events), "partition": [0] * len(events)}
    for name in ("offset", "timestamp_ms", "time_us"):
        columns[name] = range(first, first + len(events))
    columns["value"] = [json.dumps(each).encode() for each in events]
    columns["reason"] = [Reason.WRONG_TYPE if each else Reason.ACCEPTED for each in broken]
    columns["detail"] = ["a is text" if each else None for each in broken]
    found = {
        name: [None if bad else each[name] for each, bad in zip(events, broken, strict=True)]
        for name in "abcy"
    }
    columns |= {
        "categorical/c": found["c"],
        "label": found["y"],
        "numeric": together([found["a"], found["b"]]),
    }
    if task != "regression":
        columns["label"] = [None if y is None else json.dumps(y) for y in columns["label"]]
    return pa.RecordBatch.from_pydict(columns, schema=schema)


def make(settings: Config, on_learner_error: OnLearnerError = "reject") -> GuardedShard:
    plain = shard_factory(settings)("flow", {FIRST: 0})
    return GuardedShard(
        "flow",
        "flow",
        settings.stream.task,
        settings.topics,
        plain.parts,
        learning_config(settings),
        {FIRST: 0},
        on_learner_error=on_learner_error,
    )


def run(shard: GuardedShard, events: pa.RecordBatch, sizes: Sequence[int]) -> list[Outcome]:
    outcomes, start, turn = [], 0, 0
    while start < events.num_rows:
        outcomes += shard.advance(events.slice(start, sizes[turn % len(sizes)]))
        start, turn = start + sizes[turn % len(sizes)], turn + 1
    return outcomes


def letters(outcomes: Iterable[Outcome]) -> list[tuple[int, str, str]]:
    found = []
    for outcome in outcomes:
        for row in outcome.events.select(["offset", "reason", "detail"]).to_pylist():
            if row["reason"] != Reason.ACCEPTED:
                found.append((row["offset"], Reason(row["reason"]).label, row["detail"]))
    return found


def said(outcomes: Iterable[Outcome]) -> dict[str, list[Any]]:
    """All that the models said, by model and column, and the offsets of what they said it of."""
    everything: dict[str, list[Any]] = {"offset": []}
    for outcome in outcomes:
        everything["offset"] += outcome.accepted.column("offset").to_pylist()
        for model, told in outcome.predictions.items():
            for name, column in (
                ("version", told.version_B),
                ("value", told.value_B),
                ("class", told.class_B),
            ):
                if column is not None:
                    everything.setdefault(f"{model}/{name}", []).extend(map(repr, column.tolist()))
    return everything


def models_digest(shard: Shard) -> str:
    """The digest of all but the watch over the input, which remembers for which reason an event was rejected."""
    state = shard.snapshot({})
    return state_digest(replace(state, parts={k: v for k, v in state.parts.items() if k != "inputs"}))
