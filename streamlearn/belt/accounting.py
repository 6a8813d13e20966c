"""Counts what became of events, for people: the totals of a run and the metrics. Decides nothing.

Shape letters: J accepted events of a batch; S sources: topics times partitions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from streamlearn.belt.accounting_kernels import COLUMNS, SEEN, count_sources
from streamlearn.belt.shard import Alarm, Outcome
from streamlearn.events import Reason, TopicPartition
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


class _Counts(NamedTuple):
    """A row of what ``count_sources`` counts."""

    seen: int
    accepted: int
    learned: int
    time_us: int


class Accounts:
    """Takes note of outcomes."""

    def __init__(self, topics: tuple[str, ...], telemetry: Telemetry, clock: Callable[[], float]) -> None:
        self.totals = Totals()
        self._topics = topics
        self._telemetry = telemetry
        self._clock = clock
        self._partitions = 1  # of each topic, as many as were met
        self._counts_S4 = np.zeros((len(topics), COLUMNS), np.int64)

    def note(self, shard: str, outcome: Outcome) -> None:
        """Take note of one outcome."""
        totals = self.totals
        totals.drift_alarms += len(outcome.alarms)
        totals.last_alarms.extend(outcome.alarms)
        seen = accepted = learned = 0
        latest_us = totals.event_time_us
        for partition, counts in self._by_partition(outcome):
            seen += counts.seen
            accepted += counts.accepted
            learned += counts.learned
            if counts.accepted:
                latest_us = counts.time_us if latest_us is None else max(latest_us, counts.time_us)
            self._telemetry.events_read(partition, counts.seen)
            self._telemetry.events_learned(
                partition,
                learned=counts.learned,
                predicted=counts.accepted - counts.learned,
                rejected=counts.seen - counts.accepted,
                event_time_seconds=counts.time_us / 1e6 if counts.accepted else None,
            )
        totals.events_read += seen
        totals.events_learned += learned
        totals.events_rejected += seen - accepted
        totals.event_time_us = latest_us
        if seen > accepted:
            self._by_reason(outcome)
        if accepted:
            time_us = outcome.accepted.column("time_us").to_numpy()
            self._telemetry.event_delays(self._clock() - time_us / 1e6)
        for name, events in outcome.learned.items():
            self._telemetry.model_events_learned(name, events)
        for name, steps in outcome.steps_skipped.items():
            if steps:
                self._telemetry.model_steps_skipped(name, steps)
        for feature, events in outcome.overflowed.items():
            self._telemetry.categories_overflowed(feature, events)
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

    def _by_partition(self, outcome: Outcome) -> Iterator[tuple[TopicPartition, _Counts]]:
        """Yield the counts of each partition that has events here, sorted."""
        column = outcome.events.column
        topic_B, partition_B = column("topic").to_numpy(), column("partition").to_numpy()
        reason_B, time_us = column("reason").to_numpy(), column("time_us").to_numpy()
        labelled_J = outcome.examples.labelled_B
        while partitions := count_sources(
            topic_B, partition_B, reason_B, time_us, labelled_J, self._partitions, self._counts_S4
        ):
            self._partitions = partitions
            self._counts_S4 = np.zeros((len(self._topics) * partitions, COLUMNS), np.int64)
        for source in self._counts_S4[:, SEEN].nonzero()[0].tolist():
            topic, number = divmod(source, self._partitions)
            yield TopicPartition(self._topics[topic], number), _Counts(*self._counts_S4[source].tolist())

    def _by_reason(self, outcome: Outcome) -> None:
        reasons, counts = np.unique(outcome.events.column("reason").to_numpy(), return_counts=True)
        for code, count in zip(reasons.tolist(), counts.tolist(), strict=True):
            reason = Reason(code)
            if reason is not Reason.ACCEPTED:
                self._telemetry.rejected(reason, count)
                self.totals.rejections[reason.label] = self.totals.rejections.get(reason.label, 0) + count
