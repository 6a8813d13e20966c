"""The parts of the console's picture, each from what the belt holds. Only reads (`reads_are_pure`)."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping, Sequence

from streamlearn import __version__
from streamlearn.belt.accounting import Totals
from streamlearn.belt.loop import Belt
from streamlearn.belt.monitors.watch import ToldOf
from streamlearn.config import Config
from streamlearn.console.status import (
    CheckpointStatus,
    DriftAlarm,
    LabelsStatus,
    ModelStatus,
    MoverStatus,
    PartitionStatus,
    RejectedStatus,
    Role,
    WorkerStatus,
)
from streamlearn.logs import without_credentials
from streamlearn.report.figures import Figures, Score, label_counts
from streamlearn.telemetry.labels import EVENT_OUTCOMES, LABEL_OUTCOMES

MOVERS_SHOWN = 8


def worker_status(config: Config, belt: Belt) -> WorkerStatus:
    """Return this worker among those of its group."""
    kafka = config.source.kafka
    return WorkerStatus(
        host=platform.node(),
        process_id=os.getpid(),
        version=__version__,
        group=None if kafka is None else kafka.group_id,
        assigned_partitions=len(belt.holdings.assigned),
        owned_shards=len(belt.lanes),
    )


def role_of(config: Config, belt: Belt) -> Role:
    """Return what this worker is in its group."""
    if config.stream.scope == "partition":
        return "member"
    return "standby" if belt.holdings.is_standby else "leader"


def partition_statuses(belt: Belt) -> Iterable[PartitionStatus]:
    """Return all partitions that are assigned to this worker or learned here, sorted."""
    held = {
        partition: (name, next_offset)
        for name, lane in belt.lanes.items()
        for partition, next_offset in lane.shard.next_offsets.items()
    }
    assigned = belt.holdings.assigned
    for partition in sorted(assigned | held.keys()):
        if partition not in held:  # it counts in the group, and another worker learns from it
            yield PartitionStatus(*partition, None, None, None)
            continue
        shard, next_offset = held[partition]
        high = belt.reading.highs.get(partition)
        lag_events = None if high is None else max(0, high - next_offset)
        yield PartitionStatus(*partition, next_offset, lag_events, shard, partition in assigned)


def model_statuses(scores: Sequence[Score], whys: Mapping[str, str]) -> tuple[ModelStatus, ...]:
    """Return how models stand; ``whys``: why one is not compiled, by name."""
    return tuple(
        ModelStatus(
            s.name, s.engine, s.events_learned, **s.metrics, scores=s.scores, engine_why=whys.get(s.name)
        )
        for s in scores
    )


def mover_statuses(signals: Sequence[ToldOf]) -> tuple[MoverStatus, ...]:
    """Return the signals that moved most."""
    return tuple(
        MoverStatus(of.model, of.told.signal, of.told.reference, of.told.present, of.told.movement)
        for of in signals[:MOVERS_SHOWN]
    )


def drift_alarms(totals: Totals) -> tuple[DriftAlarm, ...]:
    """Return the last alarms, oldest first."""
    return tuple(
        DriftAlarm(
            event_time_seconds=alarm.event_time_us / 1e6,
            model=alarm.model,
            detector=alarm.detector,
            topic=alarm.partition.topic,
            partition=alarm.partition.partition,
            offset=alarm.offset,
            signal=alarm.signal,
            detail=alarm.detail,
        )
        for alarm in totals.last_alarms
    )


def rejected_statuses(totals: Totals) -> dict[str, RejectedStatus]:
    """Return the last event that was rejected, by reason."""
    return {
        reason: RejectedStatus(
            *sample.partition, sample.offset, sample.detail, sample.size_bytes, sample.text
        )
        for reason, sample in totals.rejected_samples.items()
    }


def labels_status(config: Config, belt: Belt, figures: Figures) -> LabelsStatus | None:
    """Return how labels stand that have a topic of their own; ``None`` where they have none."""
    if config.labels is None or figures.labels is None:
        return None
    waits = figures.labels
    shards = [lane.shard for lane in belt.lanes.values()]
    counts = label_counts(shards)
    return LabelsStatus(
        wait_seconds=config.labels.wait,
        pending_events=waits["events_pending"],
        pending_bytes=waits["pending_bytes"],
        pending_bytes_max=config.labels.pending_bytes_max,
        full_shards=sum(not shard.takes_events for shard in shards),
        early_labels=waits["labels_early"],
        coverage_ratio=waits["coverage"],
        delay_seconds={name: s for name, s in waits["delay_seconds"].items() if s is not None},
        events={outcome: counts[name] for name, outcome in EVENT_OUTCOMES.items()},
        labels={outcome: counts[name] for name, outcome in LABEL_OUTCOMES.items()},
    )


def checkpoint_statuses(belt: Belt) -> Iterable[CheckpointStatus]:
    """Return the last published checkpoint of each shard."""
    for name, last in belt.upkeep.last.items():
        done = last.published
        yield CheckpointStatus(
            name, last.sequence, last.at, done.nbytes, without_credentials(done.path), done.seconds
        )
