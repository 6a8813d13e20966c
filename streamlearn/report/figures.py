"""Figures over the shards of a worker: how models score, what signals moved, how labels stand. Only reads.

Upholds `reads_are_pure`: nothing here changes a shard.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from streamlearn.belt.labels.delays import DELAYS_SIZE, delay_quantiles
from streamlearn.belt.labels.shard import LABEL_COUNTERS, JoiningShard
from streamlearn.belt.loop import Belt
from streamlearn.belt.monitors.watch import ToldOf, Watch
from streamlearn.belt.scores.kappa import kappas
from streamlearn.belt.scores.scoreboard import Scoreboard
from streamlearn.belt.shard import Shard
from streamlearn.belt.stations import WindowName
from streamlearn.config import Config

DELAY_QUANTILES = {"0.5": 0.5, "0.9": 0.9, "0.99": 0.99}
WINDOWS: tuple[WindowName, ...] = ("cumulative", "sliding", "fading")


class Score(NamedTuple):
    """What one model or baseline scored, over some shards. ``scores``: as ``Scoreboard.told``; none of a baseline."""

    name: str
    engine: str
    events_learned: int
    metrics: dict[WindowName, dict[str, float]]
    scores: dict[str, Any]


class Figures(NamedTuple):
    """All figures at one moment. ``labels``: as ``label_figures``; ``None`` where labels have no topic of their own."""

    scores: list[Score]
    signals: list[ToldOf]
    labels: dict[str, Any] | None


def figures_of(config: Config, belt: Belt) -> Figures:
    """Return the figures over all shards that a belt holds now."""
    shards = [lane.shard for lane in belt.lanes.values()]
    labels = None if config.labels is None else label_figures(shards)
    return Figures(model_scores(shards), signals_told(shards), labels)


def model_scores(shards: Sequence[Shard]) -> list[Score]:
    """Return each model's scores over shards: the mean of their metrics, weighted by the events that they judged."""
    if not shards:
        return []
    learners = shards[0].parts.learners
    metrics = {window: _metrics(shards, window) for window in WINDOWS}
    told = _told(shards)
    for name, scores in told.items():
        if "calibration" in scores:
            metrics["cumulative"][name]["calibration_error"] = scores["calibration"]["error"]
    return [
        Score(
            learner.name,
            learner.engine,
            sum(shard.parts.learners[place].events_learned for shard in shards),
            {window: metrics[window][learner.name] for window in WINDOWS},
            told.get(learner.name, {}),
        )
        for place, learner in enumerate(learners)
    ]


def _told(shards: Sequence[Shard]) -> dict[str, dict[str, Any]]:
    boards = [shard.parts.scores for shard in shards]
    first, *others = [board for board in boards if isinstance(board, Scoreboard)]
    return first.told(others)


def _metrics(shards: Sequence[Shard], window: WindowName) -> dict[str, dict[str, float]]:
    """Return each learner's metrics; of a classifier also how it stands to the baselines of the same window."""
    found = {each.name: dict(_weighted(shards, each.name, window)) for each in shards[0].parts.learners}
    accuracy_of = {name: metrics["accuracy"] for name, metrics in found.items() if "accuracy" in metrics}
    for name in shards[0].parts.monitors:
        if name in accuracy_of:
            found[name] |= kappas(accuracy_of[name], accuracy_of)
    return found


def _weighted(shards: Sequence[Shard], model: str, window: WindowName) -> dict[str, float]:
    if len(shards) == 1:  # the very number, not one that went through a product and a quotient
        return shards[0].parts.judges[model].metrics(window)
    sums: dict[str, float] = {}
    weights: dict[str, int] = {}
    for shard in shards:
        for metric, value in shard.parts.judges[model].metrics(window).items():
            sums[metric] = sums.get(metric, 0.0) + value * shard.events_learned
            weights[metric] = weights.get(metric, 0) + shard.events_learned
    return {metric: total / weights[metric] for metric, total in sums.items() if weights[metric]}


def signals_told(shards: Sequence[Shard]) -> list[ToldOf]:
    """Return how all watched signals stand, most moved first; of several shards, where each moved most."""
    most: dict[tuple[str, str], ToldOf] = {}
    for shard in shards:
        watch = shard.parts.watch
        for each in watch.told() if isinstance(watch, Watch) else ():
            key = (each.model, each.told.signal)
            if key not in most or most[key].told.movement < each.told.movement:
                most[key] = each
    return sorted(most.values(), key=lambda each: (-each.told.movement, each.model, each.told.signal))


def label_figures(shards: Sequence[Shard]) -> dict[str, Any]:
    """Return what waits in some shards, how many of their events have a label, and how long labels took.

    ``coverage`` is the share of accepted events whose label came; ``None`` before there are any.
    """
    joining = [shard for shard in shards if isinstance(shard, JoiningShard)]
    pending = sum(shard.events_pending for shard in joining)
    came = ("events_resolved", "labels_late_learned", "labels_late_corrected")
    resolved = sum(shard.counters[name] for shard in joining for name in came)
    events = sum(shard.counters["events_unlabelled"] for shard in joining)
    delays = sum((shard.join.delays for shard in joining), np.zeros(DELAYS_SIZE, np.int64))
    quantiles = delay_quantiles(delays, list(DELAY_QUANTILES.values()))
    return {
        "events_pending": pending,
        "labels_early": sum(len(shard.join.early) for shard in joining),
        "pending_bytes": sum(shard.join.kept.nbytes for shard in joining),
        "coverage": resolved / events if events else None,
        "delay_seconds": {
            name: None if np.isnan(seconds) else float(seconds)
            for name, seconds in zip(DELAY_QUANTILES, quantiles, strict=True)
        },
    }


def label_counts(shards: Sequence[Shard]) -> dict[str, int]:
    """Return the join's counters over the life of some shards: they add up with what waits (`learned_once`)."""
    joining = [shard for shard in shards if isinstance(shard, JoiningShard)]
    return {name: sum(shard.counters[name] for shard in joining) for name in LABEL_COUNTERS}
