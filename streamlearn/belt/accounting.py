"""Counts what became of events, for people: the totals of a run and the metrics. Decides nothing.

Shape letters: J accepted events of a batch; S sources: topics times partitions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from streamlearn.belt.accounting_kernels import COLUMNS, SEEN, count_sources
from streamlearn.belt.shard import Alarm, LabelOutcome, Outcome
from streamlearn.events import Reason, TopicPartition
from streamlearn.telemetry import Telemetry

ALARMS_KEPT = 50
DETAIL_MAX = 300  # characters


@dataclass(frozen=True, slots=True)
class RejectedSample:
    """One rejected event, for people to look at."""

    partition: TopicPartition
    offset: int
    detail: str
    size_bytes: int | None  # None: a tombstone
    text: str  # the first of its bytes, see ``readable``


@dataclass(slots=True)
class Totals:
    """What this run has done, over all shards that it ever held."""

    events_read: int = 0
    events_learned: int = 0
    events_rejected: int = 0
    drift_alarms: int = 0
    checkpoints_written: int = 0
    rejections: dict[str, int] = field(default_factory=dict)  # by reason
    rejected_samples: dict[str, RejectedSample] = field(default_factory=dict)  # the last one, by reason
    labels: dict[str, int] = field(default_factory=dict)  # with [labels]: what became of events and labels
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

    def __init__(
        self,
        topics: tuple[str, ...],
        telemetry: Telemetry,
        clock: Callable[[], float],
        sample_bytes: int = 0,
    ) -> None:
        self.totals = Totals()
        self._sample_bytes = sample_bytes
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
        label_topic = None if outcome.labels is None else self._topics[outcome.labels.topic]
        latest_us = totals.event_time_us
        for partition, counts in self._by_partition(outcome):
            is_label = partition.topic == label_topic
            if not is_label:
                seen += counts.seen
                accepted += counts.accepted
            learned += counts.learned
            if counts.accepted:
                latest_us = counts.time_us if latest_us is None else max(latest_us, counts.time_us)
            self._telemetry.events_read(partition, counts.seen)
            self._telemetry.events_learned(
                partition,
                learned=counts.learned,
                predicted=0 if is_label else counts.accepted - counts.learned,
                rejected=counts.seen - counts.accepted,
                event_time_seconds=counts.time_us / 1e6 if counts.accepted else None,
            )
        totals.events_read += seen
        totals.events_learned += learned
        totals.events_rejected += seen - accepted  # of labels: see ``Totals.labels``
        totals.event_time_us = latest_us
        if outcome.events_rejected:
            self._by_reason(outcome)
        if outcome.labels is not None:
            self._labels(outcome.labels)
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
                signal=alarm.signal,
                detail=alarm.detail,
                event_time=str(np.datetime64(alarm.event_time_us, "us")) + "Z",
                partition=alarm.partition,
                offset=alarm.offset,
            )

    def _by_partition(self, outcome: Outcome) -> Iterator[tuple[TopicPartition, _Counts]]:
        """Yield the counts of each partition that has events here, sorted."""
        column = outcome.events.column
        topic_B, partition_B = column("topic").to_numpy(), column("partition").to_numpy()
        reason_B, time_us = column("reason").to_numpy(), column("time_us").to_numpy()
        labelled_J = outcome.examples.labelled_B if outcome.labels is None else outcome.labels.learned_J
        while partitions := count_sources(
            topic_B, partition_B, reason_B, time_us, labelled_J, self._partitions, self._counts_S4
        ):
            self._partitions = partitions
            self._counts_S4 = np.zeros((len(self._topics) * partitions, COLUMNS), np.int64)
        for source in self._counts_S4[:, SEEN].nonzero()[0].tolist():
            topic, number = divmod(source, self._partitions)
            yield TopicPartition(self._topics[topic], number), _Counts(*self._counts_S4[source].tolist())

    def _labels(self, labels: LabelOutcome) -> None:
        """What became of events and labels, by the shard's own names (docs/labels.md)."""
        for name, count in labels.counted.items():
            self.totals.labels[name] = self.totals.labels.get(name, 0) + count
            if count:
                self._telemetry.labels_counted(name, count)

    def _by_reason(self, outcome: Outcome) -> None:
        reason_B = outcome.events.column("reason").to_numpy()
        reasons, counts = np.unique(reason_B, return_counts=True)
        for code, count in zip(reasons.tolist(), counts.tolist(), strict=True):
            reason = Reason(code)
            if reason is not Reason.ACCEPTED:
                self._telemetry.rejected(reason, count)
                self.totals.rejections[reason.label] = self.totals.rejections.get(reason.label, 0) + count
                if self._sample_bytes:
                    row = int(np.flatnonzero(reason_B == code)[-1])
                    self.totals.rejected_samples[reason.label] = self._sample(outcome.events, row)

    def _sample(self, events: pa.RecordBatch, row: int) -> RejectedSample:
        """Copy one event out of its batch: a few hundred bytes, and once a reason and batch."""
        scalar = events.column("value")[row]
        # A merged event refers to its message, as those of a message of many do.
        scalar = scalar.value if isinstance(scalar, pa.DictionaryScalar) else scalar
        value = None if scalar is None else scalar.as_buffer()
        partition = events.column("partition")[row].as_py()
        return RejectedSample(
            TopicPartition(self._topics[events.column("topic")[row].as_py()], partition),
            events.column("offset")[row].as_py(),
            readable((events.column("detail")[row].as_py() or "")[:DETAIL_MAX].encode()),
            None if value is None else value.size,
            "" if value is None else readable(bytes(memoryview(value)[: self._sample_bytes])),
        )


def readable(raw: bytes) -> str:
    r"""Write bytes as text of one line in which nothing is hidden: what does not print, and what changes the
    direction of writing, stands as an escape.

    >>> print(readable('{"a": "é\n\u202e'.encode() + b"\xff"))
    {"a": "é\n\u202e\xff
    """
    text = raw.decode("utf-8", "backslashreplace")
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )
