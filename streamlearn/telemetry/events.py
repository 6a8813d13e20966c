"""Events: read, learned, rejected, missed; how far behind, and where their time goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client import Counter, Gauge

from streamlearn.config import Config
from streamlearn.events import Float_B, Reason, TopicPartition
from streamlearn.instruments import Distribution
from streamlearn.telemetry.core import Happenings, Means, place

STAGES = (
    "poll",
    "decode",
    "merge",
    "features",
    "learn",  # predicting included: event by event, the two take turns
    "evaluate",
    "drift",
    "emit",
    "checkpoint",
)


@dataclass(slots=True)
class _PartitionSeries:
    """The children of one partition, bound once."""

    read: Counter
    learned: Counter
    predicted: Counter
    rejected: Counter
    lag: Gauge
    last_event: Gauge
    last_event_seconds: float = float("-inf")


class EventHappenings(Happenings):
    """What becomes of events on the belt."""

    def __init__(self, means: Means) -> None:
        super().__init__(means)
        make = means.make
        self._partitions: dict[TopicPartition, _PartitionSeries] = {}
        self._read_events = make.counter("streamlearn_read_events_total")
        self._events = make.counter("streamlearn_events_total")
        rejected = make.counter("streamlearn_rejected_events_total")
        self._rejected: dict[Reason, Counter] = {
            reason: rejected.labels(reason.label) for reason in Reason if reason is not Reason.ACCEPTED
        }
        self._missed_events = make.counter("streamlearn_missed_events_total")
        self._dead_letters = make.counter("streamlearn_dead_letters_total")
        self._lag = make.gauge("streamlearn_consumer_lag_events")
        self._stuck_gauge = make.gauge("streamlearn_partition_stuck")
        self._stuck: dict[TopicPartition, str] = {}  # with what was said of it
        self._queue_bytes = make.gauge("streamlearn_queue_bytes")
        self._last_event = make.gauge("streamlearn_last_event_timestamp_seconds")
        self._event_delay = make.histogram("streamlearn_event_delay_seconds").labels()
        self._stages = make.histogram("streamlearn_stage_seconds")
        self._stage: dict[str, Distribution] = {}  # a stage that is never timed on its own has no series
        self._categories = make.gauge("streamlearn_categories")
        self._overflowed_events = make.counter("streamlearn_overflowed_events_total")
        self._overflowed: set[str] = set()  # features of which it was said

    def _when_started(self, config: Config) -> None:
        super()._when_started(config)
        for feature in config.event.categorical:
            self._overflowed_events.labels(feature)

    def events_read(self, partition: TopicPartition, events: int) -> None:
        """The reader brought these."""
        self._series(partition).read.inc(events)

    def events_learned(
        self,
        partition: TopicPartition,
        *,
        learned: int = 0,
        predicted: int = 0,
        rejected: int = 0,
        event_time_seconds: float | None = None,
    ) -> None:
        """The belt is done with these events of one partition (`learned_once`).

        Parameters
        ----------
        learned, predicted, rejected
            Counts by outcome; ``predicted`` are those without a label.
        event_time_seconds
            The largest event time among them, seconds since 1970.
        """
        series = self._series(partition)
        if learned:
            series.learned.inc(learned)
        if predicted:
            series.predicted.inc(predicted)
        if rejected:
            series.rejected.inc(rejected)
        if event_time_seconds is not None and event_time_seconds > series.last_event_seconds:
            series.last_event_seconds = event_time_seconds
            series.last_event.set(event_time_seconds)

    def event_delays(self, seconds_B: Float_B) -> None:
        """From event time to learned, one value an event, float64 seconds, finite; below 0 counts as 0."""
        self._event_delay.observe_many(seconds_B.clip(min=0.0))

    def rejected(self, reason: Reason, events: int) -> None:
        """Events were rejected for this reason."""
        self._rejected[reason].inc(events)

    def dead_letters_written(self, events: int) -> None:
        """The bytes of rejected events were handed on to be kept."""
        self._dead_letters.inc(events)

    def gap_skipped(self, partition: TopicPartition, next_offset: int, resumed_at: int) -> None:
        """The log was cut past the next offset, and ``on_gap = "skip"`` goes on behind it (`offsets_increase`)."""
        missed = max(0, resumed_at - next_offset)
        self._missed_events.labels(partition.topic, str(partition.partition)).inc(missed)
        self._log.warning(
            "gap_skipped",
            topic=partition.topic,
            partition=partition.partition,
            next_offset=next_offset,
            resumed_at=resumed_at,
            missed_events=missed,
        )

    def lag(self, partition: TopicPartition, events: int) -> None:
        """How far the partition's last stable offset is ahead of the next offset to learn from."""
        self._series(partition).lag.set(events)

    def partitions_stuck(self, stuck: Mapping[TopicPartition, str]) -> None:
        """All partitions that stand still although there is lag, each with why; the others move.

        Logged once for each, and once when it moves again.
        """
        for partition, detail in stuck.items():
            if partition not in self._stuck:
                self._log.error("partition_stuck", **place(partition), detail=detail)
                self._stuck_gauge.labels(partition.topic, str(partition.partition)).set(1)
        for partition in self._stuck.keys() - stuck.keys():
            self._log.info("partition_moves_again", **place(partition))
            self._stuck_gauge.labels(partition.topic, str(partition.partition)).set(0)
        self._stuck = dict(stuck)

    def queue_bytes(self, size_bytes: int) -> None:
        """What waits between the reader and the belt."""
        self._queue_bytes.set(size_bytes)

    def stage_seconds(self, stage: str, seconds: float) -> None:
        """One of ``STAGES`` took this long for one micro-batch."""
        series = self._stage.get(stage)
        if series is None:
            assert stage in STAGES, f"{stage!r} is none of {STAGES}"
            series = self._stage[stage] = self._stages.labels(stage)
        series.observe(seconds)

    def categories(self, feature: str, categories: int) -> None:
        """So many categories of a feature are known; of several shards, in the one that knows most."""
        self._categories.labels(feature).set(categories)

    def categories_overflowed(self, feature: str, events: int) -> None:
        """Events had a category past ``event.categories_max``. Logged once a feature."""
        self._overflowed_events.labels(feature).inc(events)
        if feature not in self._overflowed:
            self._overflowed.add(feature)
            self._log.warning(
                "categories_overflowed",
                feature=feature,
                detail="it has more categories than event.categories_max; those that came later are one to every "
                "model. A field that is no category (an id, a time) teaches nothing: take it out of the features",
            )

    def partition_closed(self, partition: TopicPartition) -> None:
        """This worker no longer reads it: drop its gauges, or its last lag would stay on a dashboard."""
        if self._partitions.pop(partition, None) is not None:
            self._lag.remove(partition.topic, str(partition.partition))
            self._last_event.remove(partition.topic, str(partition.partition))
            self._stuck_gauge.remove(partition.topic, str(partition.partition))
            self._stuck.pop(partition, None)

    def _series(self, partition: TopicPartition) -> _PartitionSeries:
        series = self._partitions.get(partition)
        if series is None:
            labels = (partition.topic, str(partition.partition))
            self._missed_events.labels(*labels)
            self._stuck_gauge.labels(*labels)
            series = self._partitions[partition] = _PartitionSeries(
                read=self._read_events.labels(*labels),
                learned=self._events.labels(*labels, "learned"),
                predicted=self._events.labels(*labels, "predicted"),
                rejected=self._events.labels(*labels, "rejected"),
                lag=self._lag.labels(*labels),
                last_event=self._last_event.labels(*labels),
            )
        return series
