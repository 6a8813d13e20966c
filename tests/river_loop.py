"""What someone with a notebook would write: the events by time, one after the other through River."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from memory_source import Row
from river import compose, linear_model, metrics, preprocessing

Said = dict[tuple[int, int], dict[bool, float]]  # by partition and offset


def sorted_by_time(logs: dict[int, list[Row]]) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """The events by time, ties by partition and offset; a partition's time is its running maximum."""
    placed = []
    for partition, rows in logs.items():
        running = float("-inf")
        for offset, (_key, value, _timestamp) in enumerate(rows):
            event = json.loads(value)
            running = max(running, event["t"])
            placed.append((running, partition, offset, event))
    for _time, partition, offset, event in sorted(placed, key=lambda each: each[:3]):
        yield partition, offset, event


def river_loop(logs: dict[int, list[Row]]) -> tuple[Said, dict[str, float], int]:
    """Return what a plain loop predicts, its metrics, and how many events it learned.

    Test-then-train, with the running mean of the earlier values for a missing one.
    """
    model = compose.Pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression())
    scores = {
        "accuracy": metrics.Accuracy(),
        "balanced_accuracy": metrics.BalancedAccuracy(),
        "f1": metrics.F1(),
        "log_loss": metrics.LogLoss(),
        "roc_auc": metrics.ROCAUC(),
    }
    sums, counts, said, learned = {"a": 0.0, "b": 0.0}, {"a": 0, "b": 0}, {}, 0
    for partition, offset, event in sorted_by_time(logs):
        x = {}
        for name in ("a", "b"):
            if event[name] is None:
                x[name] = sums[name] / counts[name] if counts[name] else 0.0
            else:
                x[name] = event[name]
                sums[name] += event[name]
                counts[name] += 1
        share = model.predict_proba_one(x)
        said[partition, offset] = share
        if event["y"] is not None:
            for name, metric in scores.items():
                by_share = name in ("log_loss", "roc_auc")
                metric.update(event["y"], share if by_share else max(share, key=share.get))
            model.learn_one(x, event["y"])
            learned += 1
    return said, {name: metric.get() for name, metric in scores.items()}, learned
