"""The table of every metric: name, kind, labels, unit and help.

``METRICS`` is the single source: nothing is exported that it does not name, and docs/metrics.md is
generated from it. Names are ``streamlearn_<noun>_<unit>[_total]`` in base units, times are timestamps
(never ages), and labels come from small closed sets, so the number of series is bounded by topics,
partitions, models and features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram", "info"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One line of the table. ``buckets`` are upper bounds in the metric's unit, without infinity."""

    name: str
    kind: Kind
    help: str
    unit: str = ""
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


# From one poll's time to a week: a live stream sits at the left, a stream that catches up at the right.
DELAY_BUCKETS = (
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    30,
    60,
    300,
    1800,
    3600,
    21600,
    86400,
    604800,
)
# A stage of one micro-batch: from a few vectorized columns to a generic River model over thousands of events.
STAGE_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
PAUSE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)

PARTITION = ("topic", "partition")

METRICS: tuple[Metric, ...] = (
    Metric(
        "streamlearn_build_info",
        "info",
        "Always 1; the labels say what runs: the version of streamlearn, the stream, its task and its scope.",
        labels=("version", "stream", "task", "scope"),
    ),
    Metric("streamlearn_ready", "gauge", "1 while this worker has an assignment and its belt moves, else 0."),
    Metric(
        "streamlearn_standby",
        "gauge",
        "1 while this worker is a hot standby: it is in the group, and another worker learns.",
    ),
    Metric("streamlearn_broker_connected", "gauge", "1 while the group's broker answers, else 0."),
    Metric("streamlearn_assigned_partitions", "gauge", "Partitions that the group has given this worker."),
    Metric("streamlearn_owned_shards", "gauge", "Shards whose state this worker holds."),
    Metric(
        "streamlearn_last_step_timestamp_seconds",
        "gauge",
        "When the belt last finished a step, seconds since 1970; 0: not yet.",
        "seconds",
    ),
    Metric(
        "streamlearn_belt_pauses_total", "counter", "Times the belt had to stand still.", labels=("reason",)
    ),
    Metric(
        "streamlearn_belt_paused",
        "gauge",
        "1 while the belt stands still for this reason, else 0.",
        labels=("reason",),
    ),
    Metric("streamlearn_read_events_total", "counter", "Events read from the source.", "events", PARTITION),
    Metric(
        "streamlearn_events_total",
        "counter",
        "Events that the belt is done with: learned, predicted only (no label), or rejected.",
        "events",
        (*PARTITION, "outcome"),
    ),
    Metric(
        "streamlearn_rejected_events_total", "counter", "Events rejected, by reason.", "events", ("reason",)
    ),
    Metric(
        "streamlearn_missed_events_total",
        "counter",
        "Offsets skipped because the log no longer held them (on_gap = skip).",
        "events",
        PARTITION,
    ),
    Metric(
        "streamlearn_dead_letters_total", "counter", "Rejected events whose bytes were handed on to be kept."
    ),
    Metric(
        "streamlearn_consumer_lag_events",
        "gauge",
        "Last stable offset minus the next offset to learn from.",
        "events",
        PARTITION,
    ),
    Metric("streamlearn_queue_bytes", "gauge", "Bytes of messages read ahead of the belt.", "bytes"),
    Metric(
        "streamlearn_last_event_timestamp_seconds",
        "gauge",
        "Largest event time that the belt is done with, seconds since 1970.",
        "seconds",
        PARTITION,
    ),
    Metric(
        "streamlearn_event_delay_seconds",
        "histogram",
        "From an event's time to when it was learned; an event from the future counts as 0.",
        "seconds",
        buckets=DELAY_BUCKETS,
    ),
    Metric(
        "streamlearn_stage_seconds",
        "histogram",
        "Time that a stage of the belt took for one micro-batch.",
        "seconds",
        ("stage",),
        STAGE_BUCKETS,
    ),
    Metric(
        "streamlearn_model_metric",
        "gauge",
        "What a model scored, from what it predicted before it learned; the mean over this worker's shards, "
        "weighted by events.",
        labels=("model", "metric", "window"),
    ),
    Metric(
        "streamlearn_model_verdict",
        "gauge",
        "Whether a model is better than another one or a baseline: 1 better, -1 worse, 0 too early to tell. "
        "Valid whenever it is looked at.",
        labels=("model", "against"),
    ),
    Metric(
        "streamlearn_model_advantage",
        "gauge",
        "How much smaller a model's error was than another's, on average, in -1..1; `lower` and `upper` enclose "
        "the true value at all times at once.",
        labels=("model", "against", "bound"),
    ),
    Metric(
        "streamlearn_model_events_learned_total",
        "counter",
        "Events that a model learned from since this process started.",
        "events",
        ("model",),
    ),
    Metric(
        "streamlearn_model_skipped_steps_total",
        "counter",
        "Optimizer steps not taken because they were not finite.",
        labels=("model",),
    ),
    Metric(
        "streamlearn_predictions_total",
        "counter",
        "Prediction records handed to the sink.",
        labels=("model",),
    ),
    Metric(
        "streamlearn_drift_alarms_total",
        "counter",
        "Alarms of the drift detectors; without a model: of an input of all models.",
        labels=("model", "detector", "signal"),
    ),
    Metric(
        "streamlearn_drift_expected_run_events",
        "gauge",
        "The budget of false alarms: so many events bring one on average (drift.expected_run_events).",
        "events",
    ),
    Metric(
        "streamlearn_signal_value",
        "gauge",
        "What a watched signal was in its reference window and in the last window compared with it; of a "
        "distribution the Jensen-Shannon distance. Of several shards, where it moved most.",
        labels=("model", "signal", "of"),
    ),
    Metric(
        "streamlearn_signal_movement",
        "gauge",
        "How far a watched signal has moved from its reference, in parts of what is an alarm.",
        labels=("model", "signal"),
    ),
    Metric(
        "streamlearn_checkpoints_total",
        "counter",
        "Checkpoints, by what became of them.",
        labels=("outcome",),
    ),
    Metric(
        "streamlearn_checkpoint_seconds",
        "gauge",
        "From the snapshot of the last published checkpoint until it was durable.",
        "seconds",
    ),
    Metric(
        "streamlearn_checkpoint_interval_seconds",
        "gauge",
        "How often a checkpoint is due while there are events: checkpoint.every_seconds.",
        "seconds",
    ),
    Metric(
        "streamlearn_checkpoint_pause_seconds",
        "histogram",
        "How long the belt stood still for a snapshot.",
        "seconds",
        buckets=PAUSE_BUCKETS,
    ),
    Metric("streamlearn_checkpoint_bytes", "gauge", "Size of the last published checkpoint.", "bytes"),
    Metric(
        "streamlearn_last_checkpoint_timestamp_seconds",
        "gauge",
        "When the last checkpoint became durable, seconds since 1970; of several shards the oldest. 0: not yet.",
        "seconds",
    ),
    Metric(
        "streamlearn_rebalances_total", "counter", "Changes of the assignment, by kind.", labels=("kind",)
    ),
    Metric(
        "streamlearn_refused_commits_total",
        "counter",
        "Commits that the group refused; nothing depends on them, lag tools lag behind.",
    ),
    Metric(
        "streamlearn_overdue_revokes_total",
        "counter",
        "Revokes for which the belt did not let go within source.kafka.revoke_budget_seconds.",
    ),
    Metric(
        "streamlearn_fenced_shards_total",
        "counter",
        "Shards that another worker took over while this one held them.",
    ),
    Metric(
        "streamlearn_transactions_total",
        "counter",
        "What became of Kafka transactions: committed; aborted and sent again; fenced by another worker; a call "
        "retried; a producer recreated that was beyond repair.",
        labels=("outcome",),
    ),
    Metric(
        "streamlearn_partition_stuck",
        "gauge",
        "1 while a partition has lag and has not moved for stream.stall_seconds, 0 once it moves again.",
        labels=PARTITION,
    ),
    Metric(
        "streamlearn_categories",
        "gauge",
        "Categories of a feature that are known; of several shards, in the one that knows most.",
        labels=("feature",),
    ),
    Metric(
        "streamlearn_overflowed_events_total",
        "counter",
        "Events whose category came after the first event.categories_max of its feature.",
        "events",
        ("feature",),
    ),
    Metric(
        "streamlearn_waited_events_total",
        "counter",
        "Events that wait for a label no longer, by why: it came (resolved), it did not and the event was dropped "
        "(expired) or learned with labels.on_expiry (defaulted), or that would have ruined a model (default_refused).",
        "events",
        ("outcome",),
    ),
    Metric(
        "streamlearn_labels_total",
        "counter",
        "Labels from a topic of their own, by what became of them (docs/labels.md).",
        labels=("outcome",),
    ),
    Metric("streamlearn_pending_events", "gauge", "Events that wait for their labels.", "events"),
    Metric(
        "streamlearn_pending_bytes",
        "gauge",
        "Bytes of events that wait for their labels or are remembered, on disk and in memory.",
        "bytes",
    ),
    Metric(
        "streamlearn_pending_full",
        "gauge",
        "Shards that keep as much as labels.pending_bytes_max allows: no events are read for them.",
    ),
    Metric("streamlearn_early_labels", "gauge", "Labels that came first and wait for their events."),
    Metric(
        "streamlearn_label_delay_seconds",
        "gauge",
        "How long labels took after their events, in event time: quantiles over the shards' life, within 4.5%.",
        "seconds",
        ("quantile",),
    ),
)
