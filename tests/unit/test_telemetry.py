"""Telemetry: each happening reaches the metric that names it, with the labels it promises, and the log."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import structlog
from prometheus_client import CollectorRegistry

from streamlearn.config import Config
from streamlearn.errors import SourceError
from streamlearn.events import Reason, TopicPartition
from streamlearn.instruments import Instruments
from streamlearn.metrics_table import METRICS
from streamlearn.telemetry import STAGES, TRANSACTION_HAPPENINGS, Telemetry

FLIGHTS = TopicPartition("flights", 2)
PARTITION = {"topic": "flights", "partition": "2"}

# As DESIGN's contracts name them; they are relied on from outside.
CONTRACTED = {
    "streamlearn_events_total": ("topic", "partition", "outcome"),
    "streamlearn_consumer_lag_events": ("topic", "partition"),
    "streamlearn_event_delay_seconds": (),
    "streamlearn_stage_seconds": ("stage",),
    "streamlearn_model_metric": ("model", "metric", "window"),
    "streamlearn_drift_alarms_total": ("model", "detector", "signal"),
    "streamlearn_checkpoint_seconds": (),
    "streamlearn_checkpoint_bytes": (),
    "streamlearn_last_checkpoint_timestamp_seconds": (),
    "streamlearn_rejected_events_total": ("reason",),
}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Logged:
    """A telemetry whose log lines are kept."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.lines = structlog.testing.LogCapture()
        log = structlog.wrap_logger(
            None,
            processors=[self.lines],
            wrapper_class=structlog.make_filtering_bound_logger("debug"),
        ).bind()
        self.telemetry = Telemetry(CollectorRegistry(), self.clock, log)

    def names(self) -> list[str]:
        return [line["event"] for line in self.lines.entries]

    def value(self, name: str, **labels: str) -> float | None:
        return self.telemetry.registry.get_sample_value(name, labels)


@pytest.fixture
def logged() -> Logged:
    return Logged()


def config(**stream: str) -> Config:
    return Config.model_validate(
        {
            "stream": {"name": "flights", "task": "binary", **stream},
            "source": {
                "kafka": {
                    "bootstrap_servers": "localhost:9092",
                    "topics": ["flights"],
                    "group_id": "g",
                    "properties": {"sasl.password": "hunter2"},
                }
            },
            "event": {"label": "late", "numeric": ["distance"]},
            "models": [{"name": "logistic", "learner": "river", "pipeline": ["linear_model.Perceptron"]}],
        }
    )


def test_the_contracted_metrics_have_exactly_their_labels() -> None:
    table = {metric.name: metric for metric in METRICS}
    for name, labels in CONTRACTED.items():
        assert table[name].labels == labels
    assert "streamlearn_build_info" in table


def test_every_line_of_the_table_is_exported_and_nothing_else_of_ours(logged: Logged) -> None:
    families = {
        family.name + {"counter": "_total", "info": "_info"}.get(family.type, ""): family.type
        for family in logged.telemetry.registry.collect()
        if family.name.startswith("streamlearn_")
    }
    assert families == {metric.name: metric.kind for metric in METRICS}


def test_names_end_in_their_unit_and_counters_in_total() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        stem = metric.name.removesuffix("_total")
        assert (stem != metric.name) == (metric.kind == "counter"), metric.name
        if metric.unit:
            assert metric.unit in stem.split("_"), metric.name
        assert bool(metric.buckets) == (metric.kind == "histogram"), metric.name


def test_one_registry_takes_one_telemetry() -> None:
    registry = CollectorRegistry()
    Telemetry(registry)
    with pytest.raises(ValueError, match="Duplicated"):
        Telemetry(registry)
    with pytest.raises(ValueError, match="Duplicated"):
        Instruments(registry).histogram("streamlearn_stage_seconds")


def test_started_names_the_stream_and_begins_alert_series_at_zero(logged: Logged) -> None:
    logged.telemetry.started("1.2.3", config(scope="partition"))
    labels = {"version": "1.2.3", "stream": "flights", "task": "binary", "scope": "partition"}
    assert logged.value("streamlearn_build_info", **labels) == 1.0
    name = "streamlearn_drift_alarms_total"
    assert logged.value(name, model="logistic", detector="adwin", signal="error") == 0.0
    assert logged.value(name, model="logistic", detector="windows", signal="calibration mean") == 0.0
    assert logged.value("streamlearn_drift_expected_run_events") == 1_000_000
    for name in ("streamlearn_model_skipped_steps_total", "streamlearn_predictions_total"):
        assert logged.value(name, model="logistic") == 0.0
    assert logged.value("streamlearn_checkpoint_interval_seconds") == 30.0
    assert "hunter2" not in repr(logged.lines.entries)


def test_events_are_counted_by_partition_and_outcome(logged: Logged) -> None:
    logged.telemetry.events_read(FLIGHTS, 10)
    logged.telemetry.events_learned(FLIGHTS, learned=5, predicted=3, rejected=2, event_time_seconds=50.0)
    logged.telemetry.events_learned(FLIGHTS, learned=1, event_time_seconds=40.0)
    outcomes = {
        outcome: logged.value("streamlearn_events_total", **PARTITION, outcome=outcome)
        for outcome in ("learned", "predicted", "rejected")
    }
    assert logged.value("streamlearn_missed_events_total", **PARTITION) == 0.0
    assert logged.value("streamlearn_partition_stuck", **PARTITION) == 0.0
    assert outcomes == {"learned": 6.0, "predicted": 3.0, "rejected": 2.0}
    assert logged.value("streamlearn_read_events_total", **PARTITION) == 10.0
    assert logged.value("streamlearn_last_event_timestamp_seconds", **PARTITION) == 50.0


def test_every_reason_has_a_series_from_the_start(logged: Logged) -> None:
    for reason in Reason:
        expected = None if reason is Reason.ACCEPTED else 0.0
        assert logged.value("streamlearn_rejected_events_total", reason=reason.label) == expected
    logged.telemetry.rejected(Reason.BAD_LABEL, 4)
    assert logged.value("streamlearn_rejected_events_total", reason="bad_label") == 4.0


def test_event_delays_count_a_batch_and_the_future_as_zero(logged: Logged) -> None:
    logged.telemetry.event_delays(np.array([-5.0, 0.01, 0.02, 1e9]))
    logged.telemetry.event_delays(np.array([], dtype=np.float64))
    name = "streamlearn_event_delay_seconds"
    assert logged.value(f"{name}_bucket", le="0.01") == 2.0
    assert logged.value(f"{name}_bucket", le="0.025") == 3.0
    assert logged.value(f"{name}_bucket", le="604800.0") == 3.0
    assert logged.value(f"{name}_bucket", le="+Inf") == 4.0
    assert logged.value(f"{name}_count") == 4.0
    assert logged.value(f"{name}_sum") == pytest.approx(1e9 + 0.03)


def test_stages_are_a_closed_set(logged: Logged) -> None:
    for stage in STAGES:
        logged.telemetry.stage_seconds(stage, 0.3)
        assert logged.value("streamlearn_stage_seconds_count", stage=stage) == 1.0
    with pytest.raises(AssertionError, match="lunch"):
        logged.telemetry.stage_seconds("lunch", 0.3)


def test_a_partition_that_left_takes_its_gauges_along_and_keeps_its_counts(logged: Logged) -> None:
    telemetry = logged.telemetry
    telemetry.partitions_assigned([FLIGHTS, TopicPartition("flights", 3)])
    telemetry.events_learned(FLIGHTS, learned=1, event_time_seconds=1.0)
    telemetry.lag(FLIGHTS, 7)
    assert logged.value("streamlearn_consumer_lag_events", **PARTITION) == 7.0
    telemetry.partitions_revoked([FLIGHTS])
    telemetry.partition_closed(FLIGHTS)
    telemetry.partition_closed(FLIGHTS)
    assert logged.value("streamlearn_consumer_lag_events", **PARTITION) is None
    assert logged.value("streamlearn_last_event_timestamp_seconds", **PARTITION) is None
    assert logged.value("streamlearn_assigned_partitions") == 1.0
    telemetry.events_learned(FLIGHTS, learned=1)
    assert logged.value("streamlearn_events_total", **PARTITION, outcome="learned") == 2.0
    assert logged.value("streamlearn_rebalances_total", kind="revoked") == 1.0


def test_the_last_checkpoint_is_the_oldest_of_the_shards_held(logged: Logged) -> None:
    telemetry, name = logged.telemetry, "streamlearn_last_checkpoint_timestamp_seconds"
    telemetry.shard_opened("a", events_learned=5, path="a/1", checkpoint_timestamp_seconds=900.0)
    telemetry.shard_opened("b", events_learned=0, path=None)
    assert logged.value(name) == 0.0
    written = {"seconds": 0.2, "pause_seconds": 0.003, "size_bytes": 4096}
    telemetry.checkpoint_published("b", path="b/1", **written)
    assert logged.value(name) == 900.0
    logged.clock.now = 1100.0
    telemetry.checkpoint_published("a", path="a/2", **written)
    assert logged.value(name) == 1000.0
    telemetry.shard_closed("b")
    assert logged.value(name) == 1100.0
    # A write that ends after its shard was let go counts, but does not bring the shard back.
    telemetry.checkpoint_published("b", path="b/2", **written)
    assert logged.value("streamlearn_owned_shards") == 1.0
    assert logged.value("streamlearn_checkpoints_total", outcome="published") == 3.0
    assert logged.value("streamlearn_checkpoint_bytes") == 4096.0
    assert logged.value("streamlearn_checkpoint_seconds") == 0.2
    assert logged.value("streamlearn_checkpoint_pause_seconds_bucket", le="0.005") == 3.0


def test_scores_leave_with_the_last_shard(logged: Logged) -> None:
    labels = {"model": "logistic", "metric": "accuracy", "window": "sliding"}
    logged.telemetry.shard_opened("flights", events_learned=0, path=None)
    logged.telemetry.model_metric(value=0.9, **labels)
    assert logged.value("streamlearn_model_metric", **labels) == 0.9
    logged.telemetry.shard_closed("flights")
    assert logged.value("streamlearn_model_metric", **labels) is None


def test_a_partition_that_is_stuck_is_said_once_and_shown_until_it_moves(logged: Logged) -> None:
    telemetry, other = logged.telemetry, TopicPartition("flights", 1)
    telemetry.lag(FLIGHTS, 5)
    telemetry.partitions_stuck({})
    for seconds in (60, 61):
        telemetry.partitions_stuck({FLIGHTS: f"for {seconds} s"})
    assert logged.value("streamlearn_partition_stuck", **PARTITION) == 1.0
    telemetry.partitions_stuck({FLIGHTS: "for 62 s", other: "for 60 s"})
    telemetry.partitions_stuck({other: "for 61 s"})
    assert logged.value("streamlearn_partition_stuck", **PARTITION) == 0.0
    said = [(line["event"], line["partition"], line.get("detail")) for line in logged.lines.entries]
    assert said == [
        ("partition_stuck", FLIGHTS.partition, "for 60 s"),
        ("partition_stuck", 1, "for 60 s"),
        ("partition_moves_again", FLIGHTS.partition, None),
    ]
    telemetry.partition_closed(FLIGHTS)
    assert logged.value("streamlearn_partition_stuck", **PARTITION) is None


def test_what_the_member_counted_is_added_once(logged: Logged) -> None:
    for refused in (0, 2, 2, 3):
        logged.telemetry.member_counted(commits_refused=refused, revokes_over_budget=0)
    assert logged.value("streamlearn_refused_commits_total") == 3.0
    assert logged.value("streamlearn_overdue_revokes_total") == 0.0
    assert [(line["event"], line["new"]) for line in logged.lines.entries] == [
        ("commits_refused", 2),
        ("commits_refused", 1),
    ]


def test_a_feature_with_too_many_categories_is_said_once(logged: Logged) -> None:
    for _ in range(3):
        logged.telemetry.categories_overflowed("tail_number", 10)
    logged.telemetry.categories("tail_number", 100_000)
    assert logged.value("streamlearn_overflowed_events_total", feature="tail_number") == 30.0
    assert logged.value("streamlearn_categories", feature="tail_number") == 100_000.0
    assert logged.names() == ["categories_overflowed"]


def test_states_are_logged_when_they_change(logged: Logged) -> None:
    telemetry = logged.telemetry
    for _ in range(3):
        telemetry.not_ready("no partition is assigned")
    for _ in range(3):
        telemetry.ready()
    for _ in range(3):
        telemetry.broker_lost("localhost:9092 refused")
    for _ in range(3):
        telemetry.broker_back()
    for _ in range(3):
        telemetry.belt_paused("checkpoints_failing")
    assert logged.value("streamlearn_belt_paused", reason="checkpoints_failing") == 1.0
    for _ in range(3):
        telemetry.belt_resumed()
    assert logged.names() == [
        "not_ready",
        "ready",
        "broker_lost",
        "broker_back",
        "belt_paused",
        "belt_resumed",
    ]
    assert logged.value("streamlearn_ready") == 1.0
    assert logged.value("streamlearn_broker_connected") == 1.0
    assert logged.value("streamlearn_belt_pauses_total", reason="checkpoints_failing") == 1.0
    assert logged.value("streamlearn_belt_paused", reason="checkpoints_failing") == 0.0


def test_the_first_sight_of_the_broker_is_no_news(logged: Logged) -> None:
    logged.telemetry.broker_back()
    assert logged.names() == []


def test_the_steady_state_logs_nothing_above_debug(logged: Logged) -> None:
    telemetry = logged.telemetry
    telemetry.events_read(FLIGHTS, 10)
    telemetry.events_learned(FLIGHTS, learned=9, rejected=1)
    telemetry.rejected(Reason.INVALID_JSON, 1)
    telemetry.dead_letters_written(1)
    telemetry.predictions_sent("logistic", 9)
    telemetry.model_events_learned("logistic", 9)
    telemetry.lag(FLIGHTS, 0)
    telemetry.queue_bytes(100)
    telemetry.stage_seconds("learn", 0.1)
    telemetry.step_finished()
    telemetry.ready()
    before = len(logged.lines.entries)
    telemetry.ready()
    telemetry.checkpoint_published("s", seconds=1.0, pause_seconds=0.1, size_bytes=1, path="p")
    assert {line["log_level"] for line in logged.lines.entries[before:]} == {"debug"}


def test_signals_are_shown_as_they_stood_last(logged: Logged) -> None:
    logged.telemetry.signals_compared(
        [("", "dep_delay mean", 12.6, 31.0, 1.3), ("m", "predicted a", 0.9, 0.8, 0.2)]
    )
    logged.telemetry.signals_compared([("", "dep_delay mean", 12.6, 30.0, 1.2)])
    name, labels = "streamlearn_signal_value", {"model": "", "signal": "dep_delay mean"}
    assert [logged.value(name, **labels, of=each) for each in ("reference", "present")] == [12.6, 30.0]
    assert logged.value("streamlearn_signal_movement", **labels) == 1.2
    assert logged.value("streamlearn_signal_movement", model="m", signal="predicted a") is None


def test_what_goes_wrong_is_counted_and_said(logged: Logged) -> None:
    telemetry = logged.telemetry
    telemetry.checkpoint_failed("s", OSError(28, "No space left on device"))
    telemetry.checkpoint_corrupt("s/1", "checksum of section 'arrays'")
    telemetry.member_counted(commits_refused=1, revokes_over_budget=2)
    telemetry.fenced("flights")
    telemetry.gap_skipped(FLIGHTS, next_offset=10, resumed_at=25)
    telemetry.model_steps_skipped("mlp", 1)
    telemetry.drift_alarm(
        shard="flights",
        model="logistic",
        detector="adwin",
        signal="error",
        detail="",
        event_time="2013-02-08T13:00:00Z",
        partition=FLIGHTS,
        offset=99,
    )
    for happened in ("committed", "committed", "retried", "aborted", "recreated", "fenced"):
        telemetry.transaction_happened(happened)
    telemetry.failed(SourceError("the topic is gone", remedy="create it"))
    levels = {line["event"]: line["log_level"] for line in logged.lines.entries}
    assert levels == {
        "checkpoint_failed": "error",
        "checkpoint_corrupt": "error",
        "commits_refused": "warning",
        "revokes_over_budget": "warning",
        "fenced": "warning",
        "transaction_aborted": "warning",
        "transaction_recreated": "warning",
        "gap_skipped": "warning",
        "model_steps_skipped": "warning",
        "drift_alarm": "warning",
        "failed": "error",
    }
    assert logged.value("streamlearn_missed_events_total", **PARTITION) == 15.0
    assert logged.value("streamlearn_checkpoints_total", outcome="failed") == 1.0
    assert logged.value("streamlearn_checkpoints_total", outcome="corrupt") == 1.0
    assert logged.value("streamlearn_refused_commits_total") == 1.0
    assert logged.value("streamlearn_overdue_revokes_total") == 2.0
    assert logged.value("streamlearn_fenced_shards_total") == 1.0
    transactions = "streamlearn_transactions_total"
    assert logged.value(transactions, outcome="committed") == 2.0
    assert [logged.value(transactions, outcome=each) for each in TRANSACTION_HAPPENINGS[1:]] == [1.0] * 4
    name = "streamlearn_drift_alarms_total"
    assert logged.value(name, model="logistic", detector="adwin", signal="error") == 1.0
    alarm = next(line for line in logged.lines.entries if line["event"] == "drift_alarm")
    assert (alarm["event_time"], alarm["offset"]) == ("2013-02-08T13:00:00Z", 99)
    assert logged.lines.entries[-1]["remedy"] == "create it"


def test_a_telemetry_of_its_own_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    telemetry = Telemetry()
    telemetry.failed(SourceError("gone", remedy="look"))
    telemetry.stopped({"events_read": 1, "models": []})
    assert capfd.readouterr() == ("", "")


def test_threads_lose_no_count(logged: Logged) -> None:
    def work() -> None:
        for _ in range(500):
            logged.telemetry.stage_seconds("learn", 0.1)
            logged.telemetry.event_delays(np.array([1.0, 2.0]))
            logged.telemetry.checkpoint_published("s", seconds=1.0, pause_seconds=1.0, size_bytes=1, path="p")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert logged.value("streamlearn_stage_seconds_count", stage="learn") == 2000.0
    assert logged.value("streamlearn_event_delay_seconds_count") == 4000.0
    assert logged.value("streamlearn_event_delay_seconds_sum") == 6000.0
    assert logged.value("streamlearn_checkpoints_total", outcome="published") == 2000.0
