"""Every metric and log line: one method per happening, which writes both from the same labels.

A method is named in the past tense for what happened, and its log line carries the method's name. In the
steady state (events come, are learned, are checkpointed) nothing is logged above debug. The registry, the
clock and the logger are passed in; ``Telemetry()`` alone has a registry of its own and logs nothing.
All methods may be called from any thread; those of one partition are called by the belt's thread alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, GCCollector, ProcessCollector
from structlog.typing import FilteringBoundLogger

from streamlearn.config import Config
from streamlearn.errors import StreamlearnError
from streamlearn.events import Float_B, Reason, TopicPartition
from streamlearn.instruments import Distribution, Instruments

Clock = Callable[[], float]  # seconds since 1970, UTC

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
REBALANCES = ("assigned", "revoked", "lost")
CHECKPOINT_OUTCOMES = ("published", "failed", "corrupt")
WINDOWS = ("cumulative", "sliding")


def _drop(_logger: Any, _method: str, _line: Any) -> Any:
    raise structlog.DropEvent


def silent() -> FilteringBoundLogger:
    """Return a logger that says nothing.

    >>> silent().error("never seen")
    """
    logger: FilteringBoundLogger = structlog.wrap_logger(
        None,
        processors=[_drop],
        wrapper_class=structlog.make_filtering_bound_logger("critical"),
    ).bind()
    return logger


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


class Telemetry:
    """What the daemon tells the world of itself.

    Parameters
    ----------
    registry
        Where the metrics live; one ``Telemetry`` a registry. A fresh one by default.
    clock
        Seconds since 1970. Only for telling time to people, never for deciding anything.
    log
        A structlog logger, from ``logs.configure_logs``; by default nothing is logged.

    >>> telemetry = Telemetry()
    >>> flights = TopicPartition("flights", 0)
    >>> telemetry.events_learned(flights, learned=3, predicted=1, event_time_seconds=1356998400.0)
    >>> labels = {"topic": "flights", "partition": "0", "outcome": "learned"}
    >>> telemetry.registry.get_sample_value("streamlearn_events_total", labels)
    3.0
    """

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        clock: Clock = time.time,
        log: FilteringBoundLogger | None = None,
    ) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        self._clock = clock
        self._log = silent() if log is None else log
        self._lock = Lock()
        self._partitions: dict[TopicPartition, _PartitionSeries] = {}
        self._checkpoint_seconds: dict[str, float] = {}  # shard -> when its last one became durable; 0: never
        self._not_ready: tuple[str, ...] | None = ("starting",)  # None: ready
        self._connected: bool | None = None  # None: not known yet
        self._paused: str | None = None

        make = Instruments(self.registry)
        self._build = make.info("streamlearn_build_info")
        self._ready = make.gauge("streamlearn_ready")
        self._standby = make.gauge("streamlearn_standby")
        self._broker_connected = make.gauge("streamlearn_broker_connected")
        self._assigned_partitions = make.gauge("streamlearn_assigned_partitions")
        self._owned_shards = make.gauge("streamlearn_owned_shards")
        self._last_step = make.gauge("streamlearn_last_step_timestamp_seconds")
        self._belt_pauses = make.counter("streamlearn_belt_pauses_total")
        self._read_events = make.counter("streamlearn_read_events_total")
        self._events = make.counter("streamlearn_events_total")
        rejected = make.counter("streamlearn_rejected_events_total")
        self._rejected: dict[Reason, Counter] = {
            reason: rejected.labels(reason.label) for reason in Reason if reason is not Reason.ACCEPTED
        }
        self._missed_events = make.counter("streamlearn_missed_events_total")
        self._dead_letters = make.counter("streamlearn_dead_letters_total")
        self._lag = make.gauge("streamlearn_consumer_lag_events")
        self._queue_bytes = make.gauge("streamlearn_queue_bytes")
        self._last_event = make.gauge("streamlearn_last_event_timestamp_seconds")
        self._event_delay = make.histogram("streamlearn_event_delay_seconds").labels()
        self._stages = make.histogram("streamlearn_stage_seconds")
        self._stage: dict[str, Distribution] = {}  # a stage that is never timed on its own has no series
        self._model_metric = make.gauge("streamlearn_model_metric")
        self._model_events_learned = make.counter("streamlearn_model_events_learned_total")
        self._model_skipped_steps = make.counter("streamlearn_model_skipped_steps_total")
        self._predictions = make.counter("streamlearn_predictions_total")
        self._drift_alarms = make.counter("streamlearn_drift_alarms_total")
        checkpoints = make.counter("streamlearn_checkpoints_total")
        self._checkpoints = {outcome: checkpoints.labels(outcome) for outcome in CHECKPOINT_OUTCOMES}
        self._checkpoint_duration = make.gauge("streamlearn_checkpoint_seconds")
        self._checkpoint_pause = make.histogram("streamlearn_checkpoint_pause_seconds").labels()
        self._checkpoint_bytes = make.gauge("streamlearn_checkpoint_bytes")
        self._last_checkpoint = make.gauge("streamlearn_last_checkpoint_timestamp_seconds")
        rebalances = make.counter("streamlearn_rebalances_total")
        self._rebalances = {kind: rebalances.labels(kind) for kind in REBALANCES}
        self._fenced_shards = make.counter("streamlearn_fenced_shards_total")
        # By what the member calls its totals.
        self._of_member = {
            "commits_refused": make.counter("streamlearn_refused_commits_total"),
            "revokes_over_budget": make.counter("streamlearn_overdue_revokes_total"),
        }
        self._member_totals = dict.fromkeys(self._of_member, 0)
        self._stuck_gauge = make.gauge("streamlearn_partition_stuck")
        self._stuck: dict[TopicPartition, str] = {}  # with what was said of it
        self._categories = make.gauge("streamlearn_categories")
        self._overflowed_events = make.counter("streamlearn_overflowed_events_total")
        self._overflowed: set[str] = set()  # features of which it was said
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    # ------------------------------------------------------------------------------- lifecycle

    def started(self, version: str, config: Config) -> None:
        """The daemon has its config and begins. Makes the series that alerts count from, at 0."""
        stream = config.stream
        self._build.info(
            {"version": version, "stream": stream.name, "task": stream.task, "scope": stream.scope}
        )
        names = [model.name for model in config.models]
        for name in names:
            self._model_events_learned.labels(name)
            for detector in config.drift.detectors:
                self._drift_alarms.labels(name, detector, "error")
        for feature in config.event.categorical:
            self._overflowed_events.labels(feature)
        self._log.info(
            "started",
            version=version,
            stream=stream.name,
            task=stream.task,
            scope=stream.scope,
            models=names,
            source="kafka" if config.source.kafka else "files",
        )

    def console_started(self, url: str) -> None:
        """The HTTP console listens."""
        self._log.info("console_started", url=url)

    def ready(self) -> None:
        """There is an assignment and the belt moves. Logged when it was not so before."""
        with self._lock:
            changed, self._not_ready = self._not_ready is not None, None
        self._ready.set(1)
        if changed:
            self._log.info("ready")

    def not_ready(self, *reasons: str) -> None:
        """Something keeps the daemon from learning. Logged when the reasons change."""
        assert reasons, "not ready for no reason"
        with self._lock:
            changed, self._not_ready = self._not_ready != reasons, reasons
        self._ready.set(0)
        if changed:
            self._log.warning("not_ready", reasons=list(reasons))

    def step_finished(self) -> None:
        """The belt has moved."""
        self._last_step.set(self._clock())

    def belt_paused(self, reason: str) -> None:
        """The belt stands still, ``reason`` from a small closed set; until ``belt_resumed``."""
        with self._lock:
            changed, self._paused = self._paused != reason, reason
        if changed:
            self._belt_pauses.labels(reason).inc()
            self._log.warning("belt_paused", reason=reason)

    def belt_resumed(self) -> None:
        """The belt moves again. Does nothing when it did before."""
        with self._lock:
            reason, self._paused = self._paused, None
        if reason is not None:
            self._log.info("belt_resumed", reason=reason)

    def kernels_compiling(self) -> None:
        """No kernels of this version are on the disk yet: the first start compiles them."""
        self._log.info(
            "kernels_compiling",
            detail="the first start of a version compiles its kernels, once: up to a minute",
        )

    def kernels_ready(self, decoder: str, seconds: float, *, cold: bool) -> None:
        """All kernels that this config needs are loaded; ``decoder``: which route decodes."""
        log = self._log.info if cold else self._log.debug
        log("kernels_ready", decoder=decoder, seconds=round(seconds, 3))

    def reading_by(self, way: str, why: str) -> None:
        """Messages come out of the client library this way."""
        self._log.debug("reading_by", way=way, why=why)

    def model_ready(self, model: str, engine: str, why: str | None) -> None:
        """A model is run by this engine; ``why`` it is not the compiled one, where that was an option."""
        self._log.info("model_ready", model=model, engine=engine, **({} if why is None else {"why": why}))

    def stop_requested(self, signal: str) -> None:
        """A signal asked the daemon to stop; it finishes the micro-batch and checkpoints first."""
        self._log.info("stop_requested", signal=signal)

    def failed(self, error: StreamlearnError) -> None:
        """An operating error ends the daemon."""
        self._log.error("failed", error=type(error).__name__, what=error.what, remedy=error.remedy)

    def stopped(self, summary: Mapping[str, Any]) -> None:
        """The daemon has ended in order; ``summary`` is what it prints."""
        figures = {name: value for name, value in summary.items() if isinstance(value, str | int | float)}
        self._log.info("stopped", **figures)

    # ----------------------------------------------------------------------------------- group

    def partitions_assigned(self, partitions: Iterable[TopicPartition]) -> None:
        """The group gave these to this worker, beside what it has."""
        self._rebalanced("assigned", list(partitions))

    def partitions_revoked(self, partitions: Iterable[TopicPartition]) -> None:
        """The group took these back, and the belt has let go."""
        self._rebalanced("revoked", list(partitions))

    def partitions_lost(self, partitions: Iterable[TopicPartition]) -> None:
        """These were gone before the belt could let go; what was not checkpointed is learned elsewhere."""
        self._rebalanced("lost", list(partitions))

    def _rebalanced(self, kind: str, partitions: list[TopicPartition]) -> None:
        self._rebalances[kind].inc()
        change = len(partitions) if kind == "assigned" else -len(partitions)
        self._assigned_partitions.inc(change)
        log = self._log.warning if kind == "lost" else self._log.info
        log(f"partitions_{kind}", partitions=[str(partition) for partition in partitions])

    def partition_closed(self, partition: TopicPartition) -> None:
        """This worker no longer reads it: drop its gauges, or its last lag would stay on a dashboard."""
        if self._partitions.pop(partition, None) is not None:
            self._lag.remove(partition.topic, str(partition.partition))
            self._last_event.remove(partition.topic, str(partition.partition))
            self._stuck_gauge.remove(partition.topic, str(partition.partition))
            self._stuck.pop(partition, None)

    def standby(self, first_partition: TopicPartition) -> None:
        """Another worker holds the first partition and learns; this one waits."""
        self._standby.set(1)
        self._log.info(
            "standby",
            detail=f"the worker that holds {first_partition} learns; this one takes over when it leaves",
        )

    def leading(self) -> None:
        """This worker learns from now on."""
        self._standby.set(0)
        self._log.info("leading")

    def broker_lost(self, detail: str) -> None:
        """No broker answers; state is kept and the client retries. Logged once until it is back."""
        with self._lock:
            changed, self._connected = self._connected is not False, False
        self._broker_connected.set(0)
        if changed:
            self._log.warning("broker_lost", detail=detail)

    def broker_back(self) -> None:
        """A broker answers. Logged when there was none before."""
        with self._lock:
            changed, self._connected = self._connected is False, True
        self._broker_connected.set(1)
        if changed:
            self._log.info("broker_back")

    def member_counted(self, *, commits_refused: int, revokes_over_budget: int) -> None:
        """What the member counted since it joined; says and adds what is new.

        Parameters
        ----------
        commits_refused
            Commits that the group took not. Checkpoints stand, so nothing is lost (`publish_before_commit`).
        revokes_over_budget
            Revokes for which the belt did not let go in time. What was not checkpointed is learned elsewhere.
        """
        totals = {"commits_refused": commits_refused, "revokes_over_budget": revokes_over_budget}
        for name, total in totals.items():
            new = total - self._member_totals[name]
            self._member_totals[name] = total
            if new:
                self._of_member[name].inc(new)
                self._log.warning(name, new=new, total=total)

    def fenced(self, shard: str) -> None:
        """Another worker has taken the shard over, and this one lets it go: nothing of it counts any more."""
        self._fenced_shards.inc()
        self._log.warning("fenced", shard=shard)

    def partitions_stuck(self, stuck: Mapping[TopicPartition, str]) -> None:
        """All partitions that stand still although there is lag, each with why; the others move.

        Logged once for each, and once when it moves again.
        """
        for partition, detail in stuck.items():
            if partition not in self._stuck:
                self._log.error("partition_stuck", **_place(partition), detail=detail)
                self._stuck_gauge.labels(partition.topic, str(partition.partition)).set(1)
        for partition in self._stuck.keys() - stuck.keys():
            self._log.info("partition_moves_again", **_place(partition))
            self._stuck_gauge.labels(partition.topic, str(partition.partition)).set(0)
        self._stuck = dict(stuck)

    # ---------------------------------------------------------------------------------- events

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

    def _series(self, partition: TopicPartition) -> _PartitionSeries:
        series = self._partitions.get(partition)
        if series is None:
            labels = (partition.topic, str(partition.partition))
            series = self._partitions[partition] = _PartitionSeries(
                read=self._read_events.labels(*labels),
                learned=self._events.labels(*labels, "learned"),
                predicted=self._events.labels(*labels, "predicted"),
                rejected=self._events.labels(*labels, "rejected"),
                lag=self._lag.labels(*labels),
                last_event=self._last_event.labels(*labels),
            )
        return series

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

    # ---------------------------------------------------------------------------------- models

    def model_metric(self, model: str, metric: str, window: str, value: float) -> None:
        """What a model scores, over this worker's shards; NaN: not defined yet. Once a second at most, or
        on a scrape."""
        assert window in WINDOWS, f"{window!r} is none of {WINDOWS}"
        self._model_metric.labels(model, metric, window).set(value)

    def model_events_learned(self, model: str, events: int) -> None:
        """A model learned from so many more events."""
        self._model_events_learned.labels(model).inc(events)

    def model_steps_skipped(self, model: str, steps: int) -> None:
        """Optimizer steps were not taken because they were not finite; the weights are unharmed."""
        self._model_skipped_steps.labels(model).inc(steps)
        self._log.warning("model_steps_skipped", model=model, steps=steps)

    def predictions_sent(self, model: str, predictions: int) -> None:
        """Prediction records of a model were handed to the sink."""
        self._predictions.labels(model).inc(predictions)

    def drift_alarm(
        self,
        *,
        shard: str,
        model: str,
        detector: str,
        signal: str,
        event_time: str,
        partition: TopicPartition,
        offset: int,
    ) -> None:
        """A detector says that what it watches has changed, at this event (its time as ISO 8601)."""
        self._drift_alarms.labels(model, detector, signal).inc()
        self._log.warning(
            "drift_alarm",
            shard=shard,
            model=model,
            detector=detector,
            signal=signal,
            event_time=event_time,
            topic=partition.topic,
            partition=partition.partition,
            offset=offset,
        )

    # ------------------------------------------------------------------- shards and checkpoints

    def shard_opened(
        self, shard: str, *, events_learned: int, path: str | None, checkpoint_timestamp_seconds: float = 0.0
    ) -> None:
        """This worker holds the shard's state: restored from ``path``, or new (None)."""
        with self._lock:
            self._checkpoint_seconds[shard] = checkpoint_timestamp_seconds
            self._shards_changed()
        self._log.info("shard_opened", shard=shard, events_learned=events_learned, path=path)

    def shard_closed(self, shard: str) -> None:
        """This worker has let the shard go. With the last one, models have no score here any more."""
        with self._lock:
            self._checkpoint_seconds.pop(shard, None)
            self._shards_changed()
            if not self._checkpoint_seconds:
                self._model_metric.clear()
        self._log.info("shard_closed", shard=shard)

    def _shards_changed(self) -> None:
        self._owned_shards.set(len(self._checkpoint_seconds))
        self._last_checkpoint.set(min(self._checkpoint_seconds.values(), default=0.0))

    def checkpoint_published(
        self, shard: str, *, seconds: float, pause_seconds: float, size_bytes: int, path: str
    ) -> None:
        """A checkpoint is durable: ``seconds`` after its snapshot, for which the belt stood ``pause_seconds``."""
        self._checkpoints["published"].inc()
        self._checkpoint_duration.set(seconds)
        self._checkpoint_pause.observe(pause_seconds)
        self._checkpoint_bytes.set(size_bytes)
        with self._lock:
            # A shard that was let go meanwhile must not come back by its last write.
            if shard in self._checkpoint_seconds:
                self._checkpoint_seconds[shard] = self._clock()
                self._shards_changed()
        self._log.debug(
            "checkpoint_published",
            shard=shard,
            seconds=round(seconds, 6),
            pause_seconds=round(pause_seconds, 6),
            size_bytes=size_bytes,
            path=path,
        )

    def checkpoint_failed(self, shard: str, error: Exception) -> None:
        """A checkpoint could not be written; the one before stands, and the next is tried (`old_or_new`)."""
        self._checkpoints["failed"].inc()
        self._log.error("checkpoint_failed", shard=shard, error=type(error).__name__, detail=str(error))

    def checkpoint_corrupt(self, path: str, detail: str) -> None:
        """A file does not verify: it is set aside, and an older one is tried (`old_or_new`)."""
        self._checkpoints["corrupt"].inc()
        self._log.error("checkpoint_corrupt", path=path, detail=detail)


def _place(partition: TopicPartition) -> dict[str, Any]:
    return {"topic": partition.topic, "partition": partition.partition}
