"""The demo as a user starts it: it ends by itself, leaves nothing behind, and its figures are the same each time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from kafka_for_tests import KafkaForTests

EVENTS = 4000


def demo(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "streamlearn", "demo", "--events", str(EVENTS), "--port", "0", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder), **environment},
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert list(folder.iterdir()) == [], "something was left behind"
    return done


def scores(summary: dict[str, Any]) -> dict[str, dict[str, float]]:
    return {model["name"]: model["metrics"] for model in summary["models"]}


@pytest.mark.kafka
def test_over_kafka_and_over_files_the_same_events_teach_the_same(
    kafka: KafkaForTests, tmp_path: Path
) -> None:
    before = set(AdminClient({"bootstrap.servers": kafka.bootstrap_servers}).list_topics(timeout=10).topics)
    done = demo("--json", "--bootstrap-servers", kafka.bootstrap_servers, folder=tmp_path)
    over_kafka = json.loads(done.stdout)
    assert (over_kafka["events_read"], over_kafka["events_rejected"]) == (EVENTS, 0)
    assert [model["name"] for model in over_kafka["models"]] == [
        "logistic", "mlp", "baseline_majority", "baseline_no_change",
    ]  # fmt: skip
    after = set(AdminClient({"bootstrap.servers": kafka.bootstrap_servers}).list_topics(timeout=10).topics)
    assert {topic for topic in after - before if "demo" in topic} == set()
    over_files = json.loads(demo("--json", "--source", "files", folder=tmp_path).stdout)
    # Other partitions hold other flights, so flights of the same minute may come in another order.
    for name, metrics in scores(over_kafka).items():
        assert metrics["accuracy"] == pytest.approx(scores(over_files)[name]["accuracy"], abs=0.01)
    assert (
        scores(over_kafka)["logistic"]["accuracy"]
        > scores(over_kafka)["baseline_majority"]["accuracy"] + 0.05
    )


@pytest.mark.kafka
def test_its_own_broker_ends_with_it(tmp_path: Path) -> None:
    done = demo(folder=tmp_path, STREAMLEARN_BOOTSTRAP_SERVERS="")
    assert "logistic" in done.stdout
    assert "Try next" in done.stdout
    processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(tmp_path) not in processes


@pytest.mark.kafka
def test_at_a_rate_the_flights_come_while_it_learns(kafka: KafkaForTests, tmp_path: Path) -> None:
    servers = ["--bootstrap-servers", kafka.bootstrap_servers]
    summary = json.loads(demo("--json", "--rate", "2000", *servers, folder=tmp_path).stdout)
    assert summary["events_read"] == EVENTS
    assert summary["seconds"] >= EVENTS / 2000 * 0.9
