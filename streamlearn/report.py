"""What the belt looks like from outside: the console's picture and the summary of a run. Only reads."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from streamlearn import __version__
from streamlearn.belt.labels.delays import DELAYS_SIZE, delay_quantiles
from streamlearn.belt.labels.shard import JoiningShard
from streamlearn.belt.loop import Belt
from streamlearn.belt.monitors.watch import ToldOf, Watch
from streamlearn.belt.scores.kappa import kappas
from streamlearn.belt.scores.scoreboard import Scoreboard
from streamlearn.belt.shard import Alarm, Shard
from streamlearn.belt.stations import WindowName
from streamlearn.belt.watchdog import Stand, Watchdog
from streamlearn.config import Config
from streamlearn.console.status import (
    CheckpointStatus,
    DriftAlarm,
    ModelStatus,
    MoverStatus,
    PartitionStatus,
    RejectedStatus,
    Role,
    Status,
    WorkerStatus,
)
from streamlearn.events import TopicPartition
from streamlearn.logs import without_credentials
from streamlearn.telemetry import Telemetry

DELAY_QUANTILES = {"0.5": 0.5, "0.9": 0.9, "0.99": 0.99}


class Rate:
    """Events a second over the last few seconds.

    >>> rate = Rate(); rate.note(0.0, 0); rate.note(2.0, 100); rate.per_second
    50.0
    """

    def __init__(self, window_seconds: float = 5.0) -> None:
        self._window_seconds = window_seconds
        self._points: list[tuple[float, int]] = []

    def note(self, now: float, events: int) -> None:
        """So many events had been done by now (monotonic seconds)."""
        self._points = [p for p in self._points if now - p[0] <= self._window_seconds] + [(now, events)]

    @property
    def per_second(self) -> float:
        """0 while there is nothing to measure between."""
        (began, first), (ended, last) = self._points[0], self._points[-1]
        return (last - first) / (ended - began) if ended > began else 0.0


class Observer:
    """Takes the picture of a belt; called by the belt's thread between two steps."""

    def __init__(self, config: Config, belt: Belt, telemetry: Telemetry) -> None:
        self._config = config
        self._belt = belt
        self._telemetry = telemetry
        self._rate = Rate()
        self._began = time.monotonic()
        self._watchdog = Watchdog(config.stream.stall_seconds, _message_limit(config))

    def observe(self, now: float) -> Status:
        """Take the picture, and set the gauges that show the same."""
        belt, totals = self._belt, self._belt.totals
        self._rate.note(now, totals.events_read)
        models, baselines = self._models()
        if belt.is_connected:
            self._telemetry.broker_back()
        else:
            self._telemetry.broker_lost("the group's coordinator does not answer")
        stuck = self._watch(now)
        unready = (*self._unready(), *stuck.values())
        self._count()
        if unready:
            self._telemetry.not_ready(*unready)
        else:
            self._telemetry.ready()
        return Status(
            stream=self._config.stream.name,
            task=self._config.stream.task,
            scope=self._config.stream.scope,
            role=self._role(),
            unready=unready,
            at_seconds=time.time(),
            uptime_seconds=now - self._began,
            worker=self._worker(),
            events_read=totals.events_read,
            events_learned=totals.events_learned,
            events_rejected=totals.events_rejected,
            events_per_second=self._rate.per_second,
            remaining_events=belt.holdings.remaining_events,
            event_time_seconds=None if totals.event_time_us is None else totals.event_time_us / 1e6,
            window_events=self._config.evaluate.window_events,
            partitions=tuple(self._partitions()),
            models=models,
            baselines=baselines,
            drift_alarms_total=totals.drift_alarms,
            drift_alarms=tuple(map(_alarm, totals.last_alarms)),
            movers=self._movers(),
            rejections=dict(totals.rejections),
            rejected_samples={
                reason: RejectedStatus(
                    *sample.partition, sample.offset, sample.detail, sample.size_bytes, sample.text
                )
                for reason, sample in totals.rejected_samples.items()
            },
            labels=self._labels(),
            checkpoints=tuple(self._checkpoints()),
            checkpoints_total=totals.checkpoints_written,
        )

    def _movers(self) -> tuple[MoverStatus, ...]:
        signals = signals_told([lane.shard for lane in self._belt.lanes.values()])
        self._telemetry.signals_compared(
            (of.model, of.told.signal, of.told.reference, of.told.present, of.told.movement) for of in signals
        )
        return tuple(
            MoverStatus(of.model, of.told.signal, of.told.reference, of.told.present, of.told.movement)
            for of in signals[:MOVERS_SHOWN]
        )

    def _worker(self) -> WorkerStatus:
        kafka = self._config.source.kafka
        return WorkerStatus(
            host=platform.node(),
            process_id=os.getpid(),
            version=__version__,
            group=None if kafka is None else kafka.group_id,
            assigned_partitions=len(self._belt.holdings.assigned),
            owned_shards=len(self._belt.lanes),
        )

    def _checkpoints(self) -> Iterable[CheckpointStatus]:
        for name, last in self._belt.upkeep.last.items():
            done = last.published
            yield CheckpointStatus(
                name, last.sequence, last.at, done.nbytes, without_credentials(done.path), done.seconds
            )

    def _role(self) -> Role:
        if self._config.stream.scope == "partition":
            return "member"
        return "standby" if self._belt.holdings.is_standby else "leader"

    def _watch(self, now: float) -> dict[TopicPartition, str]:
        """Return the partitions that stand still although there is work, unless the belt says why."""
        belt = self._belt
        paused = None
        if belt.upkeep.failing is not None:
            paused = "checkpoints_failing"
        elif belt.holdings.waits_for_broker is not None or not belt.is_connected:
            paused = "broker"
        stands = {
            partition: Stand(
                name,
                next_offset,
                max(lane.positions[partition], next_offset),
                belt.reading.highs.get(partition),
                lane.waiting_bytes(partition) > 0 or lane.has_ready,
            )
            for name, lane in belt.lanes.items()
            for partition, next_offset in lane.shard.next_offsets.items()
        }
        stuck = self._watchdog.look(now, stands, paused=paused)
        self._telemetry.partitions_stuck(stuck)
        return stuck

    def _count(self) -> None:
        """Hand on what others have counted."""
        member = self._belt.membership
        self._telemetry.member_counted(
            commits_refused=member.commits_failed, revokes_over_budget=member.revokes_over_budget
        )
        for feature in self._config.event.categorical:
            sizes = [lane.shard.parts.categories.sizes[feature] for lane in self._belt.lanes.values()]
            self._telemetry.categories(feature, max(sizes, default=0))

    def _labels(self) -> dict[str, float]:
        """Return what the page says of labels, and set the gauges that show the same."""
        if self._config.labels is None:
            return {}
        waits = label_figures([lane.shard for lane in self._belt.lanes.values()])
        self._telemetry.labels_wait(
            pending=waits["events_pending"],
            pending_bytes=waits["pending_bytes"],
            early=waits["labels_early"],
        )
        told: dict[str, float] = {} if waits["coverage"] is None else {"coverage_ratio": waits["coverage"]}
        for name, seconds in waits["delay_seconds"].items():
            if seconds is not None:
                self._telemetry.label_delay(name, seconds)
                told[f"delay_p{float(name):.0%}_seconds".replace("%", "")] = seconds
        return told | {
            "pending_events": waits["events_pending"],
            "pending_bytes": waits["pending_bytes"],
            "early_labels": waits["labels_early"],
        }

    def _unready(self) -> tuple[str, ...]:
        holdings = self._belt.holdings
        reasons = [f"{name} is stopped: {gap.what}" for name, gap in holdings.stopped.items()]
        if holdings.waits_for_broker is not None:
            reasons.append(f"the broker is away: {holdings.waits_for_broker}")
        elif not self._belt.is_connected:
            reasons.append("the broker is away")
        if self._belt.upkeep.failing is not None:
            reasons.append(f"no checkpoint can be written, and the belt stands: {self._belt.upkeep.failing}")
        reasons += [
            f"{name} keeps as much as labels.pending_bytes_max: reading events pauses until labels come"
            for name, lane in self._belt.lanes.items()
            if not lane.shard.takes_events
        ]
        if holdings.unowned:
            names = ", ".join(map(str, holdings.unowned))
            reasons.append(f"no worker of the group has {names}; another rebalance is asked for")
        if holdings.is_standby:
            reasons.append("standby: another worker learns")
        elif not holdings.assigned:
            reasons.append("no partition is assigned")
        elif not self._belt.lanes and not reasons:
            reasons.append("no shard is open yet")
        return tuple(reasons)

    def _partitions(self) -> Iterable[PartitionStatus]:
        held = {
            partition: (name, next_offset)
            for name, lane in self._belt.lanes.items()
            for partition, next_offset in lane.shard.next_offsets.items()
        }
        assigned = self._belt.holdings.assigned
        for partition in sorted(assigned | held.keys()):
            if partition not in held:  # it counts in the group, and another worker learns from it
                yield PartitionStatus(*partition, None, None, None)
                continue
            shard, next_offset = held[partition]
            high = self._belt.reading.highs.get(partition)
            lag_events = None if high is None else max(0, high - next_offset)
            yield PartitionStatus(*partition, next_offset, lag_events, shard, partition in assigned)

    def _models(self) -> tuple[tuple[ModelStatus, ...], tuple[ModelStatus, ...]]:
        shards = [lane.shard for lane in self._belt.lanes.values()]
        scores = model_scores(shards)
        for each in scores:
            for window, metrics in each.metrics.items():
                for metric, value in metrics.items():
                    self._telemetry.model_metric(each.name, metric, window, value)
            for verdict in each.scores.get("verdicts", ()):
                self._telemetry.model_verdict(each.name, **verdict)
        whys = self._telemetry.happenings.engine_whys()
        statuses = [
            ModelStatus(
                s.name, s.engine, s.events_learned, **s.metrics, scores=s.scores, engine_why=whys.get(s.name)
            )
            for s in scores
        ]
        return (
            tuple(s for s in statuses if s.engine != "baseline"),
            tuple(s for s in statuses if s.engine == "baseline"),
        )


def _message_limit(config: Config) -> str | None:
    """Return what bounds the size of a message that can be read, as the operator knows it."""
    kafka = config.source.kafka
    if kafka is None or kafka.client != "confluent-kafka":
        return None
    name = "receive.message.max.bytes"
    return f"{name} = {int(kafka.plain_properties().get(name, 100_000_000)):,}"


class Score(NamedTuple):
    """What one model or baseline scored, over some shards. ``scores``: as ``Scoreboard.told``; none of a baseline."""

    name: str
    engine: str
    events_learned: int
    metrics: dict[WindowName, dict[str, float]]
    scores: dict[str, Any]


WINDOWS: tuple[WindowName, ...] = ("cumulative", "sliding", "fading")


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


MOVERS_SHOWN = 8


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


def _alarm(alarm: Alarm) -> DriftAlarm:
    return DriftAlarm(
        event_time_seconds=alarm.event_time_us / 1e6,
        model=alarm.model,
        detector=alarm.detector,
        topic=alarm.partition.topic,
        partition=alarm.partition.partition,
        offset=alarm.offset,
        signal=alarm.signal,
        detail=alarm.detail,
    )


def summary(config: Config, belt: Belt, seconds: float) -> dict[str, Any]:
    """Return the summary of a run (JSON types): what ``run`` prints at its end.

    Counts of events are this run's; a model's count and metrics are over its life. Configured models come
    first, then the baselines (``"engine": "baseline"``).
    """
    totals = belt.totals
    return {
        "stream": config.stream.name,
        "events_read": totals.events_read,
        "events_learned": totals.events_learned,
        "events_rejected": totals.events_rejected,
        "seconds": round(seconds, 3),
        "events_per_second": round(totals.events_read / seconds, 1) if seconds > 0 else 0.0,
        "models": [
            {
                "name": score.name,
                "engine": score.engine,
                "events_learned": score.events_learned,
                "metrics": score.metrics["cumulative"],
                **({"scores": score.scores} if score.scores else {}),
            }
            for score in model_scores([lane.shard for lane in belt.lanes.values()])
        ],
        "drift_alarms": totals.drift_alarms,
        "movers": [
            {
                "model": of.model or None,
                "signal": of.told.signal,
                "reference": of.told.reference,
                "present": of.told.present,
                "movement": round(of.told.movement, 4),
            }
            for of in signals_told([lane.shard for lane in belt.lanes.values()])[:MOVERS_SHOWN]
        ],
        "checkpoints_written": totals.checkpoints_written,
        **_of_labels(config, belt),
    }


def _of_labels(config: Config, belt: Belt) -> dict[str, Any]:
    """Return what the summary says of labels, where they have a topic of their own."""
    if config.labels is None:
        return {}
    figures = label_figures([lane.shard for lane in belt.lanes.values()])
    return {"labels": {**belt.totals.labels, **figures}}


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
