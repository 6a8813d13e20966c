"""Counts what became of events, for people: the totals of a run and the metrics. Decides nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from streamlearn.belt.shard import Alarm, Outcome
from streamlearn.events import Int_B, Reason, TopicPartition
from streamlearn.telemetry import Telemetry

ALARMS_KEPT = 50


@dataclass(slots=True)
class Totals:
    """What this run has done, over all shards that it ever held."""

    events_read: int = 0
    events_learned: int = 0
    events_rejected: int = 0
    drift_alarms: int = 0
    checkpoints_written: int = 0
    rejections: dict[str, int] = field(default_factory=dict)  # by reason
    last_alarms: deque[Alarm] = field(default_factory=lambda: deque(maxlen=ALARMS_KEPT))
    event_time_us: int | None = None  # the largest that was learned


class Accounts:
    """Takes note of outcomes."""

    def __init__(self, topics: tuple[str, ...], telemetry: Telemetry, clock: Callable[[], float]) -> None:
        self.totals = Totals()
        self._topics = topics
        self._telemetry = telemetry
        self._clock = clock

    def note(self, shard: str, outcome: Outcome) -> None:
        """Take note of one outcome."""
        totals = self.totals
        totals.events_read += outcome.events.num_rows
        totals.events_learned += outcome.events_learned
        totals.events_rejected += outcome.events_rejected
        totals.drift_alarms += len(outcome.alarms)
        totals.last_alarms.extend(outcome.alarms)
        self._by_partition(outcome)
        if outcome.events_rejected:
            self._by_reason(outcome)
        if len(outcome.examples):
            time_us = outcome.accepted.column("time_us").to_numpy()
            latest_us = int(time_us.max())
            totals.event_time_us = max(latest_us, totals.event_time_us or latest_us)
            self._telemetry.event_delays(self._clock() - time_us / 1e6)
        for name, events in outcome.learned.items():
            self._telemetry.model_events_learned(name, events)
        for alarm in outcome.alarms:
            self._telemetry.drift_alarm(
                shard=shard,
                model=alarm.model,
                detector=alarm.detector,
                signal="error",
                event_time=str(np.datetime64(alarm.event_time_us, "us")) + "Z",
                partition=alarm.partition,
                offset=alarm.offset,
            )

    def _by_partition(self, outcome: Outcome) -> None:
        source_of_events, source_of_accepted = _sources(outcome.events), _sources(outcome.accepted)
        time_us = outcome.accepted.column("time_us").to_numpy()
        for source in np.unique(source_of_events).tolist():
            partition = TopicPartition(self._topics[source >> 32], source & 0xFFFFFFFF)
            own_B = source_of_accepted == source
            seen, accepted = int((source_of_events == source).sum()), int(own_B.sum())
            learned = int((own_B & outcome.examples.labelled_B).sum())
            self._telemetry.events_read(partition, seen)
            self._telemetry.events_learned(
                partition,
                learned=learned,
                predicted=accepted - learned,
                rejected=seen - accepted,
                event_time_seconds=float(time_us[own_B].max()) / 1e6 if accepted else None,
            )

    def _by_reason(self, outcome: Outcome) -> None:
        reasons, counts = np.unique(outcome.events.column("reason").to_numpy(), return_counts=True)
        for code, count in zip(reasons.tolist(), counts.tolist(), strict=True):
            reason = Reason(code)
            if reason is not Reason.ACCEPTED:
                self._telemetry.rejected(reason, count)
                self.totals.rejections[reason.label] = self.totals.rejections.get(reason.label, 0) + count


def _sources(events: pa.RecordBatch) -> Int_B:
    """One integer a row that stands for its topic and partition."""
    topic_B: Int_B = events.column("topic").to_numpy().astype(np.int64)
    partition_B: Int_B = events.column("partition").to_numpy().astype(np.int64)
    return (topic_B << 32) | partition_B
