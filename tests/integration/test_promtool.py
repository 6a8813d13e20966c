"""Prometheus's own linter reads a live scrape."""

from __future__ import annotations

import subprocess

import httpx
import numpy as np
from programs import program
from prometheus_client import CollectorRegistry

from streamlearn.console.server import Console
from streamlearn.console.status import Status
from streamlearn.events import Reason, TopicPartition
from streamlearn.telemetry import STAGES, Telemetry

FLIGHTS = TopicPartition("flights", 0)


def busy() -> Telemetry:
    """A telemetry to which everything that makes a series has happened."""
    telemetry = Telemetry(CollectorRegistry())
    telemetry.partitions_assigned([FLIGHTS])
    telemetry.shard_opened("flights", events_learned=0, path=None)
    telemetry.events_read(FLIGHTS, 10)
    telemetry.events_learned(FLIGHTS, learned=8, predicted=1, rejected=1, event_time_seconds=1356998400.0)
    telemetry.event_delays(np.array([0.1, 3.0, 1e9]))
    telemetry.rejected(Reason.BAD_LABEL, 1)
    telemetry.dead_letters_written(1)
    telemetry.lag(FLIGHTS, 3)
    telemetry.queue_bytes(4096)
    telemetry.gap_skipped(FLIGHTS, next_offset=1, resumed_at=4)
    for stage in STAGES:
        telemetry.stage_seconds(stage, 0.01)
    telemetry.model_metric("logistic", "accuracy", "cumulative", 0.9)
    telemetry.model_metric("logistic", "roc_auc", "sliding", float("nan"))
    telemetry.model_events_learned("logistic", 8)
    telemetry.model_steps_skipped("mlp", 1)
    telemetry.categories("carrier", 16)
    telemetry.categories_overflowed("carrier", 2)
    telemetry.member_counted(commits_refused=1, revokes_over_budget=1)
    telemetry.fenced("flights")
    telemetry.partitions_stuck({FLIGHTS: "nothing comes"})
    telemetry.predictions_sent("logistic", 9)
    telemetry.signals_compared(
        [("", "dep_delay mean", 12.6, 31.0, 1.3), ("mlp", "predicted false", 0.9, 0.8, 0.2)]
    )
    telemetry.drift_alarm(
        shard="flights",
        model='a "quoted" name',
        detector="adwin",
        signal="error",
        detail="",
        event_time="2013-01-01T00:00:00Z",
        partition=FLIGHTS,
        offset=1,
    )
    telemetry.checkpoint_published("flights", seconds=0.1, pause_seconds=0.01, size_bytes=1, path="p")
    telemetry.belt_paused("checkpoints_failing")
    telemetry.step_finished()
    telemetry.ready()
    return telemetry


def test_promtool_finds_nothing_to_say_about_a_live_scrape() -> None:
    tool = program("promtool", "prometheus")
    console = Console(
        "127.0.0.1", 0, lambda: Status("flights", "binary", "stream", "leader"), busy().registry
    )
    console.start()
    try:
        scrape = httpx.get(f"{console.url}/metrics").content
    finally:
        console.stop()
    assert scrape.count(b"# HELP streamlearn_") >= 25
    checked = subprocess.run(
        [tool, "check", "metrics"], input=scrape, capture_output=True, timeout=60, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
    broken = subprocess.run(
        [tool, "check", "metrics"],
        input=scrape + b"# TYPE a_total gauge\na_total 1\n",
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert broken.returncode != 0, "promtool would find anything fine"
