"""Events for learner tests: seeded examples of every task, and comparing predictions bit by bit."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from streamlearn.config import Task
from streamlearn.contracts import Learner
from streamlearn.events import MISSING_CATEGORY, Categorical, Examples, Features, Label, Predictions

NUMERIC = ("distance", "delay", "hour")
CATEGORICAL = ("carrier", "origin")
CLASSES: dict[Task, tuple[Label, ...]] = {
    "binary": (False, True),
    "multiclass": ("early", "late", "never"),
    "regression": (),
    "anomaly": (False, True),
}


def make_examples(task: Task, events: int, *, seed: int = 0, labelled_share: float = 0.8) -> Examples:
    """Learnable events: three numeric features in [0, 1), of which some were missing, and two categorical
    ones, of which one is sometimes missing. The third class of multiclass comes in the second half only."""
    rng = np.random.default_rng(seed)
    numeric_BF = rng.random((events, len(NUMERIC)))
    missing_BF = rng.random(numeric_BF.shape) < 0.1
    carriers = ("AA", "DL", MISSING_CATEGORY, "UA")
    categorical = (
        Categorical("carrier", rng.integers(0, len(carriers), events).astype(np.int32), carriers),
        Categorical("origin", rng.integers(0, 2, events).astype(np.int32), ("JFK", "LGA")),
    )
    signal_B = numeric_BF[:, 0] + 0.2 * rng.random(events) + 0.2 * (categorical[0].codes_B == 1)
    target_B: Any = (signal_B > 0.7).astype(np.int32)
    if task == "regression":
        target_B = 3 * signal_B - 1
    if task == "multiclass":
        target_B[(numeric_BF[:, 1] > 0.7) & (np.arange(events) >= events // 2)] = 2
    labelled_B = rng.random(events) < labelled_share
    target_B[~labelled_B] = -7  # means nothing, so nothing may depend on it
    return Examples(
        Features(NUMERIC, numeric_BF, missing_BF, categorical), target_B, labelled_B, CLASSES[task]
    )


def with_classes(examples: Examples, classes: tuple[Label, ...]) -> Examples:
    return replace(examples, classes=classes)


def xs_of(examples: Examples) -> list[dict[str, Any]]:
    """Each event's features as a plain River loop would hold them."""
    features = examples.features
    return [
        {
            **{name: float(features.numeric_BF[event, f]) for f, name in enumerate(features.numeric_names)},
            **{column.name: column.values[column.codes_B[event]] for column in features.categorical},
        }
        for event in range(len(examples))
    ]


def ys_of(examples: Examples) -> list[Label | None]:
    """Each event's label as a plain River loop would hold it; None where there is none."""
    return [
        None if not labelled else (examples.classes[int(target)] if examples.classes else float(target))
        for target, labelled in zip(examples.target_B, examples.labelled_B, strict=True)
    ]


def cut(examples: Examples, sizes: Iterable[int]) -> Iterator[Examples]:
    """Cut into parts of these sizes, the last one as large as is left."""
    start = 0
    for size in sizes:
        yield examples.rows(start, start + size)
        start += size
    if start < len(examples):
        yield examples.rows(start, len(examples))


def learn(learner: Learner, parts: Iterable[Examples]) -> Predictions:
    return joined([learner.predict_then_learn(part) for part in parts])


def joined(parts: Sequence[Predictions]) -> Predictions:
    def column(name: str) -> Any:
        columns = [getattr(part, name) for part in parts]
        assert all((c is None) == (columns[0] is None) for c in columns), f"{name} comes and goes"
        return None if columns[0] is None else np.concatenate(columns)

    return Predictions(*(column(name) for name in ("version_B", "class_B", "probability_BC", "value_B")))


def rows_of(predictions: Predictions, start: int, stop: int) -> Predictions:
    columns = (predictions.version_B, predictions.class_B, predictions.probability_BC, predictions.value_B)
    return Predictions(*(None if column is None else column[start:stop] for column in columns))


def assert_same(ours: Predictions, theirs: Predictions) -> None:
    """Same bits (NaN for NaN) in every column."""
    for name in ("version_B", "class_B", "probability_BC", "value_B"):
        mine, other = getattr(ours, name), getattr(theirs, name)
        assert (mine is None) == (other is None), name
        if mine is not None:
            np.testing.assert_array_equal(mine, other, err_msg=name, strict=True)


class CarrierRates:
    """A model as a user may write one, with a state of its own: how often each carrier's label was true."""

    def __init__(self, prior: float) -> None:
        self.prior = prior
        self.counts: dict[str, list[int]] = {}

    def learn_one(self, x: dict[str, Any], y: Label) -> None:
        counts = self.counts.setdefault(x["carrier"], [0, 0])
        counts[bool(y)] += 1

    def predict_proba_one(self, x: dict[str, Any]) -> dict[Label, float]:
        negative, positive = self.counts.get(x["carrier"], [0, 0])
        rate = (positive + self.prior) / (positive + negative + 2 * self.prior)
        return {False: 1 - rate, True: rate}

    def snapshot(self) -> bytes:
        return json.dumps(self.counts).encode()

    def restore(self, state: bytes) -> None:
        self.counts = json.loads(state)
