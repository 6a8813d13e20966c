"""What judging costs beside learning: CPU microseconds an event of each part, and of River's own objects.

    python -m bench.judging_rate [--batch-events N ...] [--task TASK] [--json]

One model and the baselines of the task, as ``assemble`` puts them together: the baselines predict and learn,
every one of them is judged on all metrics, cumulative and sliding, and the model's error goes to both drift
detectors; then the batch is accounted for. Features and labels are made of Arrow columns beside it. All
parts see the same events in the same batches, in turns within one process, and each part's best turn counts:
whatever disturbs a turn only slows it down. River's metrics and detectors take the same events one by one.

Shape letters: B events, F numeric features.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table
from river import drift, metrics

from streamlearn.belt.accounting import Accounts
from streamlearn.belt.classes import ClassIndex
from streamlearn.belt.drift import DriftMonitor
from streamlearn.belt.evaluate import Evaluator, errors_of
from streamlearn.belt.features import FeatureBuilder
from streamlearn.belt.shard import Outcome
from streamlearn.config import Drift, Event, Task
from streamlearn.events import NUMERIC, Examples, Features, Predictions, event_schema, numeric_column
from streamlearn.learners.baseline import baselines
from streamlearn.telemetry import Telemetry

EVENTS = 200_000
RIVER_EVENTS = 20_000
FEATURES = 20
CATEGORICAL = 2
PARTITIONS = 4
CLASSES = 5
ACCURACY = 0.85
MISSING_SHARE = 0.02
WINDOW_EVENTS = 10_000
TURNS = 7
SEED = 7

# The parts that issue 6 counts as judging; the others stand beside them.
JUDGING = ("judge model", "drift", "baselines", "judge baselines")

Part = Callable[[], None]


@dataclass(frozen=True, slots=True)
class World:
    """Events with the predictions of one model, whole."""

    task: Task
    event: Event
    events: pa.RecordBatch
    examples: Examples
    said: Predictions


def world_of(task: Task) -> World:
    """Return ``EVENTS`` events in which the model is right (or near) as often as ``ACCURACY`` says."""
    random = np.random.default_rng(SEED)
    names = tuple(f"x{index}" for index in range(FEATURES))
    categorical = tuple(f"c{index}" for index in range(CATEGORICAL))
    event = Event(label=None if task == "anomaly" else "y", numeric=names, categorical=categorical)
    classes = {"binary": 2, "anomaly": 2, "multiclass": CLASSES, "regression": 0}[task]
    if task == "regression":
        target_B: Any = random.normal(50.0, 10.0, EVENTS)
        said = Predictions(np.arange(EVENTS), value_B=target_B + random.normal(0.0, 3.0, EVENTS))
        label = pa.array(target_B)
    else:
        target_B = random.integers(0, classes, EVENTS).astype(np.int32)
        wrong_B = random.random(EVENTS) > ACCURACY
        class_B = np.where(wrong_B, random.integers(0, classes, EVENTS), target_B).astype(np.int32)
        share_BC = random.dirichlet(np.ones(classes), EVENTS)
        said = Predictions(np.arange(EVENTS), class_B, share_BC)
        if task == "anomaly":
            said = Predictions(np.arange(EVENTS), value_B=share_BC[:, 1].copy())
        label = pa.array([str(code) for code in target_B.tolist()], pa.large_string())
    schema = event_schema(names, categorical, real_label=task == "regression")
    numeric_BF = random.normal(size=(EVENTS, FEATURES))
    columns: dict[str, Any] = {
        "topic": pa.array(np.zeros(EVENTS, np.int16)),
        "partition": pa.array((np.arange(EVENTS) // 50 % PARTITIONS).astype(np.int32)),
        "offset": pa.array(np.arange(EVENTS)),
        "timestamp_ms": pa.array(np.arange(EVENTS)),
        "time_us": pa.array(np.arange(EVENTS) * 1000),
        "label": label,
        "reason": pa.array(np.zeros(EVENTS, np.uint8)),
    }
    read_BF = numeric_BF.copy()
    for index in range(FEATURES):
        missing_B = random.random(EVENTS) < (MISSING_SHARE if index == 0 else 0.0)
        read_BF[missing_B, index] = np.nan
    columns[NUMERIC] = numeric_column(read_BF)
    for name in categorical:
        codes_B = random.integers(0, 12, EVENTS)
        columns[f"categorical/{name}"] = pa.array([f"value {code}" for code in codes_B], pa.large_string())
    arrays = [columns.get(field.name, pa.nulls(EVENTS, field.type)) for field in schema]
    events = pa.RecordBatch.from_arrays(arrays, schema=schema)
    empty = Features(names, numeric_BF, np.zeros((EVENTS, FEATURES), bool), ())
    labels = () if task == "regression" else tuple(range(classes))
    return World(task, event, events, Examples(empty, target_B, np.ones(EVENTS, bool), labels), said)


def rows_of(said: Predictions, start: int, stop: int) -> Predictions:
    """Return predictions ``start:stop`` as views."""
    columns = (said.version_B, said.class_B, said.probability_BC, said.value_B)
    return Predictions(*(None if column is None else column[start:stop] for column in columns))


def parts_of(world: World, batch_events: int) -> dict[str, Part]:
    """Return a pass over all events, in batches, of each part."""
    task = world.task
    cuts = [(start, min(start + batch_events, EVENTS)) for start in range(0, EVENTS, batch_events)]
    examples = [world.examples.rows(*cut) for cut in cuts]
    said = [rows_of(world.said, *cut) for cut in cuts]
    batches = [world.events.slice(start, stop - start) for start, stop in cuts]
    outcomes = [
        Outcome(batch, batch, each, (), {}, {"model": len(each)}, ())
        for batch, each in zip(batches, examples, strict=True)
    ]
    rivals = baselines(task)
    of_rivals = [[rival.predict_then_learn(each) for each in examples] for rival in baselines(task)]
    judge, monitor = Evaluator(task, WINDOW_EVENTS), DriftMonitor(Drift())
    judges = [Evaluator(task, WINDOW_EVENTS) for _ in of_rivals]
    accounts = Accounts(("events",), Telemetry(), lambda: 1000.0)
    builder, index = FeatureBuilder(world.event), ClassIndex(world.event, task)

    def judge_model() -> None:
        for one, other in zip(said, examples, strict=True):
            judge.update(one, other)

    def watch() -> None:
        for one, other in zip(said, examples, strict=True):
            monitor.update(errors_of(task, one, other)[1])

    def predict_baselines() -> None:
        for rival in rivals:
            for each in examples:
                rival.predict_then_learn(each)

    def judge_baselines() -> None:
        for own, predictions in zip(judges, of_rivals, strict=True):
            for one, other in zip(predictions, examples, strict=True):
                own.update(one, other)

    def account() -> None:
        for outcome in outcomes:
            accounts.note("bench", outcome)

    def build() -> None:
        for batch in batches:
            builder.build(batch)

    def encode() -> None:
        for batch in batches:
            index.encode(batch.column("label"))

    parts = {
        "judge model": judge_model,
        "drift": watch,
        "baselines": predict_baselines,
        "judge baselines": judge_baselines,
        "accounting": account,
        "features": build,
    }
    return parts if task == "regression" else {**parts, "labels": encode}


def river_parts(world: World) -> dict[str, Part]:
    """Return River's own passes over the first ``RIVER_EVENTS`` events, one by one."""
    examples, said = world.examples.rows(0, RIVER_EVENTS), rows_of(world.said, 0, RIVER_EVENTS)
    errors = errors_of(world.task, said, examples)[1].tolist()

    def watch() -> None:
        detectors = drift.ADWIN(), drift.PageHinkley()
        for error in errors:
            for detector in detectors:
                detector.update(error)

    judged = list(_river_judged(world.task, said, examples))

    def judge() -> None:
        for metric, pairs in judged:
            for truth, answer in pairs:
                metric.update(truth, answer)

    return {"judge model": judge, "drift": watch}


def _river_judged(
    task: Task, said: Predictions, examples: Examples
) -> Iterator[tuple[Any, Sequence[tuple[Any, Any]]]]:
    truth = examples.target_B.tolist()
    if said.value_B is not None:
        pairs = list(zip(truth, said.value_B.tolist(), strict=True))
        regression = (metrics.MAE(), metrics.RMSE(), metrics.R2())
        for metric in regression if task == "regression" else (metrics.ROCAUC(),):
            yield metric, pairs
        return
    assert said.class_B is not None
    assert said.probability_BC is not None
    pairs = list(zip(truth, said.class_B.tolist(), strict=True))
    shares = [dict(enumerate(row)) for row in said.probability_BC.tolist()]
    for metric in (
        metrics.Accuracy(),
        metrics.BalancedAccuracy(),
        metrics.F1() if task == "binary" else metrics.MacroF1(),
    ):
        yield metric, pairs
    if task == "binary":
        on_shares = list(
            zip(map(bool, truth), ({bool(k): v for k, v in row.items()} for row in shares), strict=True)
        )
        for metric in (metrics.LogLoss(), metrics.ROCAUC()):
            yield metric, on_shares
    else:
        yield metrics.CrossEntropy(), list(zip(truth, shares, strict=True))


def measure(task: Task, batch_events: Sequence[int]) -> list[dict[str, Any]]:
    """Return a record for each part: microseconds an event at each batch size, and River's."""
    world = world_of(task)
    passes = {(name, size): each for size in batch_events for name, each in parts_of(world, size).items()}
    river = river_parts(world)
    best = {key: float("inf") for key in passes}
    for _ in range(TURNS):
        for key, one_pass in passes.items():
            best[key] = min(best[key], _microseconds(one_pass, EVENTS))
    rivers = {name: min(_microseconds(each, RIVER_EVENTS) for _ in range(2)) for name, each in river.items()}
    names = list(dict.fromkeys(name for name, _ in passes))
    records: list[dict[str, Any]] = [
        {
            "name": name,
            "unit": "CPU us/event",
            "by_batch_events": {size: round(best[name, size], 4) for size in batch_events},
            "river": round(rivers[name], 3) if name in rivers else None,
        }
        for name in names
    ]
    total = {size: round(sum(best[name, size] for name in JUDGING), 4) for size in batch_events}
    return [
        *records,
        {"name": "all judging", "unit": "CPU us/event", "by_batch_events": total, "river": None},
    ]


def _microseconds(one_pass: Part, events: int) -> float:
    began = time.process_time()
    one_pass()
    return (time.process_time() - began) / events * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU microseconds an event of judging")
    parser.add_argument("--batch-events", type=int, nargs="+", default=[512, 5000])
    parser.add_argument("--task", choices=get_args(Task), default="binary")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    records = measure(options.task, options.batch_events)
    if options.json:
        print(json.dumps(records, indent=2))
        return
    table = Table(title=f"{options.task}, CPU microseconds an event")
    for title in ("part", *(f"batches of {size:,}" for size in options.batch_events), "River, one by one"):
        table.add_column(title, justify="left" if title == "part" else "right")
    for record in records:
        figures = [f"{value:.3f}" for value in record["by_batch_events"].values()]
        table.add_row(record["name"], *figures, "" if record["river"] is None else f"{record['river']:.2f}")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
