"""Compiled River beside River's own loop, in memory, over pipelines of several shapes.

    python -m bench.compiled_rate [--quick] [--json]

For each shape the same events go through both, in turns: a bare loop of ``predict_*_one`` and ``learn_one`` over
dicts that are there already, and ``CompiledLearner.predict_then_learn`` over columns in polls of 5,000 events. Both
begin fresh, and the clock runs over processor time of the thread, so that what else the machine does counts little.
What was compiled is compared first: a shape whose predictions differ by more than 1e-9 fails.
"""

from __future__ import annotations

import argparse
import json
import pickle
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.harness import Contender, ContenderFailed, Record, Target, compare, take_turns
from bench.pipelines import LOGISTIC, SCALER, encoded
from streamlearn.config import Task
from streamlearn.events import Categorical, Examples, Features, Label, Predictions
from streamlearn.learners.compiled.learner import CompiledLearner, make_compiled
from streamlearn.learners.river_build import build
from streamlearn.learners.river_model import RiverLearner

POLL_EVENTS = 5_000
ROUNDS, ROUNDS_QUICK = 5, 3
SEED = 7


@dataclass(frozen=True)
class Shape:
    """A pipeline and the events that it is given."""

    name: str
    task: Task
    pipeline: Sequence[Any]
    numeric: int
    categorical: tuple[int, ...] = ()  # how many categories each has
    classes: tuple[Label, ...] = (False, True)
    target: Target | None = None


def _encoded(numeric: int, categorical: int) -> dict[str, Any]:
    return encoded([f"n{f}" for f in range(numeric)], [f"c{k}" for k in range(categorical)])


FLIGHTS = (16, 105, 3)
FIVE = ("a", "b", "c", "d", "e")
SHAPES = (
    Shape("scaler_logistic_20", "binary", [SCALER, LOGISTIC], 20, target=Target("ratio", at_least=150.0)),
    Shape("scaler_logistic_3", "binary", [SCALER, LOGISTIC], 3),
    Shape("scaler_logistic_200", "binary", [SCALER, LOGISTIC], 200),
    Shape("scaler_logistic_20_adam", "binary", [SCALER, {"use": LOGISTIC, "optimizer": {"use": "optim.Adam"}}], 20),
    Shape("scaler_linear_20_l1", "regression", [SCALER, {"use": "linear_model.LinearRegression", "l1": 1e-4}], 20, classes=()),
    Shape("scaler_passive_20", "binary", [SCALER, "linear_model.PAClassifier"], 20),
    Shape("minmax_logistic_20", "binary", ["preprocessing.MinMaxScaler", LOGISTIC], 20),
    Shape("one_hot_logistic_5_3", "binary", [_encoded(5, 3), LOGISTIC], 5, FLIGHTS),
    Shape("one_hot_logistic_5_3_l2", "binary", [_encoded(5, 3), {"use": LOGISTIC, "l2": 1e-4}], 5, FLIGHTS),
    Shape("hashed_logistic_5_3", "binary", ["preprocessing.FeatureHasher", LOGISTIC], 5, FLIGHTS),
    Shape("softmax_20_5_classes", "multiclass", [SCALER, "linear_model.SoftmaxRegression"], 20, classes=FIVE),
    Shape("bayes_20_5_classes", "multiclass", ["naive_bayes.GaussianNB"], 20, classes=FIVE),
)  # fmt: skip


def measure(*, quick: bool, shapes: Sequence[Shape] = SHAPES) -> list[Record]:
    """Measure events/s and return benchmark records; River's loop is each shape's baseline."""
    records = []
    for shape in shapes:
        river_name = f"river_loop_{shape.name}"
        contenders = [
            Contender((shape.name,), lambda shape=shape: {shape.name: _compiled_rate(shape, quick)}),
            Contender((river_name,), lambda shape=shape, name=river_name: {name: _river_rate(shape, quick)}),
        ]
        rounds = ROUNDS_QUICK if quick else ROUNDS
        series = take_turns(contenders, rounds, lambda name, figures: None)
        records.append(compare(series, shape.name, river_name, "events/s", shape.target))
    return records


def examples_of(shape: Shape, events: int) -> Examples:
    """Events that can be learned from: full-precision floats, categories of uneven frequency."""
    rng = np.random.default_rng(SEED)
    numeric_BF = rng.normal(10.0, 3.0, (events, shape.numeric))
    names = tuple(f"n{f}" for f in range(shape.numeric))
    categorical = []
    for k, size in enumerate(shape.categorical):
        share = 1.0 / np.arange(1, size + 1)
        codes_B = rng.choice(size, events, p=share / share.sum()).astype(np.int32)
        categorical.append(Categorical(f"c{k}", codes_B, tuple(f"value{v}" for v in range(size))))
    signal_B = numeric_BF[:, 0] - 10.0 + rng.normal(0.0, 1.0, events)
    if shape.categorical:
        signal_B += categorical[0].codes_B % 3 - 1
    target_B: Any = signal_B
    if shape.task != "regression":
        order = np.argsort(np.argsort(signal_B))
        target_B = (order * len(shape.classes) // events).astype(np.int32)
    missing_BF = np.zeros(numeric_BF.shape, np.bool_)
    return Examples(
        Features(names, numeric_BF, missing_BF, tuple(categorical)),
        target_B,
        np.ones(events, np.bool_),
        shape.classes,
    )


def _compiled(shape: Shape, examples: Examples) -> CompiledLearner:
    features = examples.features
    texts = [column.name for column in features.categorical]
    learner = make_compiled(
        shape.name,
        build(shape.pipeline, SEED),
        shape.task,
        features.numeric_names,
        texts,
        missing_indicator=False,
        loads=pickle.loads,
    )
    if not isinstance(learner, CompiledLearner):
        raise ContenderFailed(f"{shape.name} is not compiled: {learner}")
    return learner


def _compiled_rate(shape: Shape, quick: bool) -> float:
    events = 50_000 if quick else 200_000
    examples = examples_of(shape, events)
    _check(shape, examples.rows(0, 500))
    learner = _compiled(shape, examples)
    polls = [examples.rows(start, start + POLL_EVENTS) for start in range(0, events, POLL_EVENTS)]
    began = time.thread_time()
    for poll in polls:
        learner.predict_then_learn(poll)
    return events / (time.thread_time() - began)


def _check(shape: Shape, examples: Examples) -> None:
    ours = _compiled(shape, examples).predict_then_learn(examples)
    model = build(shape.pipeline, SEED)
    learner = RiverLearner("m", model, shape.task, missing_indicator=False, loads=pickle.loads)
    theirs = learner.predict_then_learn(examples)
    if not np.allclose(_numbers(ours), _numbers(theirs), rtol=1e-9, atol=1e-9, equal_nan=True):
        raise ContenderFailed(f"{shape.name}: the predictions are not River's")


def _numbers(predictions: Predictions) -> Any:
    return predictions.value_B if predictions.probability_BC is None else predictions.probability_BC


def _river_rate(shape: Shape, quick: bool) -> float:
    events = 1_000 if quick else 5_000
    examples = examples_of(shape, events)
    model = build(shape.pipeline, SEED)
    xs = list(_dicts(examples.features))
    if shape.task == "regression":
        ys: list[Any] = examples.target_B.tolist()
        say = model.predict_one
    else:
        ys = [shape.classes[target] for target in examples.target_B]
        say = model.predict_proba_one
    began = time.thread_time()
    for x, y in zip(xs, ys, strict=True):
        say(x)
        model.learn_one(x, y)
    return events / (time.thread_time() - began)


def _dicts(features: Features) -> Iterator[Mapping[str, Any]]:
    for event, row in enumerate(features.numeric_BF.tolist()):
        texts = {column.name: column.values[column.codes_B[event]] for column in features.categorical}
        yield {**dict(zip(features.numeric_names, row, strict=True)), **texts}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.compiled_rate", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer events and rounds")
    parser.add_argument("--only", metavar="SHAPE", help="this shape alone")
    parser.add_argument("--json", action="store_true", help="print the records")
    options = parser.parse_args()
    shapes = [shape for shape in SHAPES if options.only in (None, shape.name)]
    records = measure(quick=options.quick, shapes=shapes)
    if options.json:
        print(json.dumps(records, indent=2))
        return
    for record in records:
        if record["value"] is None or record["baseline_value"] is None:
            print(f"{record['name']:28} FAILED")
            continue
        print(
            f"{record['name']:28} {record['value']:>12,.0f} events/s   River {record['baseline_value']:>8,.0f}   "
            f"{record['ratio']:>6.0f}x"
        )
    print(f"median ratio: {statistics.median(r['ratio'] for r in records if r['ratio']):.0f}x")


if __name__ == "__main__":
    main()
