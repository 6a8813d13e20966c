"""A real Prometheus scrapes real daemons at work; every query of every dashboard and rule finds its data.

The scenario: two workers of one stream, events with bad ones among them, a concept that turns around, checkpoints,
a worker that leaves and comes back. What no healthy worker shows is shown by a third target, which only says so.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from daemon_process import CONFIG, DaemonProcess
from kafka_for_tests import KafkaForTests, Row
from programs import program
from prometheus_for_tests import PrometheusServer, free_port, prometheus_on
from promql_text import ONLY_WITH_LABELS, ROOT, filled_in, rules
from waiting import eventually

from streamlearn.config_file import parse
from streamlearn.console.server import Console
from streamlearn.console.status import Status
from streamlearn.events import TopicPartition
from streamlearn.telemetry import Telemetry

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

BOARDS = sorted((ROOT / "grafana").glob("*.json"))
PARTITIONS, PORTION = 4, 4000
OVERRIDES = (
    "stream.scope=partition",
    "checkpoint.every_seconds=1",
    "event.categories_max=2",
    "drift.window_events=500",
    "drift.every_events=1",
)

# Of these no healthy worker has anything to show.
ONLY_IN_TROUBLE = {"streamlearn_belt_paused", "streamlearn_partition_stuck"}
# Their other side is no number but what a worker shows itself, or six hours ago.
NOT_BY_A_NUMBER = {
    "StreamlearnNoProgress",
    "StreamlearnLagGrowing",
    "StreamlearnCheckpointTooOld",
    "StreamlearnDriftAlarmsOverBudget",
    "StreamlearnModelFell",
}


class Seen(NamedTuple):
    """What is left of the scenario: the Prometheus, the addresses of workers, and what it said meanwhile."""

    prometheus: PrometheusServer
    workers: str
    in_trouble: str
    rules: dict[str, Any]
    targets: list[dict[str, Any]]


def portion(first: int, turned: bool) -> list[Row]:
    """Events whose label is plain to see, or its opposite; one in fifty is no JSON."""
    draw, rows = random.Random(first), []
    for number in range(first, first + PORTION):
        a, b = draw.gauss(0, 1), draw.gauss(0, 1)
        label = None if number % 10 == 0 else (a + b > 0) != turned
        event = {"id": number, "t": number * 10, "a": a, "b": b, "c": draw.choice("xyz"), "y": label}
        value = json.dumps(event).encode()
        rows.append((number % PARTITIONS, b"%d" % number, b"{" + value if number % 50 == 0 else value, None))
    return rows


def trouble(topic: str) -> Telemetry:
    """The telemetry of a worker that stands."""
    telemetry, place = Telemetry(), TopicPartition(topic, 0)
    telemetry.started("0", parse(CONFIG.format(topic=topic), (), {"KAFKA_SERVERS": "nowhere:1"}))
    telemetry.lag(place, 5)
    telemetry.partitions_stuck({place: "it was told to"})
    telemetry.belt_paused("checkpoints_failing")
    return telemetry


@pytest.fixture(scope="module")
def seen(kafka: KafkaForTests, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    program("prometheus", "prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    topic, out = kafka.topic(partitions=PARTITIONS), kafka.topic()
    text = CONFIG.format(topic=topic) + f'[predictions]\ntopic = "{out}"\n'
    first_port, second_port = free_port(), free_port()
    standing = Console(
        "127.0.0.1", 0, lambda: Status("flow", "binary", "partition", "member"), trouble(topic).registry
    )

    def worker(name: str, port: int) -> DaemonProcess:
        overrides = [*OVERRIDES, f"http.port={port}"]
        return DaemonProcess(folder, kafka.bootstrap_servers, text, overrides=overrides, name=name)

    def wait(worker: DaemonProcess, condition: Callable[[], bool], why: str) -> None:
        def holds() -> bool:
            assert worker.process.poll() is None, worker.log[-4000:]
            return condition()

        try:
            eventually(holds, 90, why=why)
        except AssertionError as error:
            error.add_note(worker.log[-4000:])
            raise

    standing.start()
    third_port = standing.address[1]
    workers = f"127.0.0.1:({first_port}|{second_port})"
    done = f'sum(streamlearn_events_total{{instance=~"{workers}"}})'
    try:
        with (
            prometheus_on([first_port, second_port, third_port], folder) as prometheus,
            worker("first", first_port) as first,
        ):
            kafka.produce(topic, portion(0, turned=False))
            wait(first, lambda: prometheus.now(done) >= PORTION, "the first portion in Prometheus")
            with worker("second", second_port) as second:
                wait(second, lambda: second.metric("streamlearn_owned_shards") == 2, "half of the shards")
                kafka.produce(topic, portion(PORTION, turned=True))
                wait(second, lambda: prometheus.now(done) >= 2 * PORTION, "the second portion")
                published = 'sum(streamlearn_checkpoints_total{outcome="published"})'
                wait(second, lambda: prometheus.now(published) >= 6, "checkpoints of both")
                second.terminate()
                assert second.wait(30) == 0, second.log
            wait(first, lambda: first.metric("streamlearn_owned_shards") == PARTITIONS, "all shards")
            with worker("second-again", second_port) as second:
                wait(second, lambda: second.metric("streamlearn_owned_shards") == 2, "half of the shards")
                started = f'changes(process_start_time_seconds{{instance="127.0.0.1:{second_port}"}}[1m])'
                wait(second, lambda: prometheus.now(started) >= 1, "the restart in Prometheus")
                said = prometheus.get("rules")
                targets = prometheus.get("targets")["activeTargets"]
            yield Seen(
                prometheus,
                workers,
                f"127.0.0.1:{third_port}",
                {rule["name"]: rule for group in said["groups"] for rule in group["rules"]},
                targets,
            )
    finally:
        standing.stop()


def board(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def test_the_workers_are_scraped_and_nothing_is_wrong_with_what_they_say(seen: Seen) -> None:
    assert [(each["health"], each["lastError"]) for each in seen.targets] == [("up", "")] * 3


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_every_panel_finds_its_data(path: Path, seen: Seen) -> None:
    empty = []
    for panel in board(path)["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"]
            in_trouble = expression.endswith("> 0") and any(name in expression for name in ONLY_IN_TROUBLE)
            asked = filled_in(expression, seen.in_trouble if in_trouble else seen.workers)
            data = seen.prometheus.over_time(asked)  # a query that does not parse raises
            if not data and not any(name in expression for name in ONLY_WITH_LABELS):
                empty.append((panel["title"], asked))
            if data and in_trouble:
                assert not seen.prometheus.over_time(filled_in(expression, seen.workers)), panel["title"]
    assert empty == []


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_every_mark_is_set(path: Path, seen: Seen) -> None:
    for mark in board(path)["annotations"]["list"]:
        assert seen.prometheus.over_time(filled_in(mark["expr"], seen.workers)), mark["name"]


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_every_choice_has_values(path: Path, seen: Seen) -> None:
    for choice in board(path)["templating"]["list"]:
        if choice["type"] == "query":
            selector, label = re.fullmatch(r"label_values\((.+), (\w+)\)", choice["definition"]).groups()  # type: ignore[union-attr]
            match = filled_in(selector, seen.workers)
            assert seen.prometheus.get(f"label/{label}/values", **{"match[]": match}), choice["name"]


def test_every_rule_is_evaluated(seen: Seen) -> None:
    assert {name: (rule["health"], rule.get("lastError")) for name, rule in seen.rules.items()} == {
        rule["alert"]: ("ok", None) for rule in rules()
    }


def test_no_alert_fires_of_the_workers_and_all_find_what_they_watch(seen: Seen) -> None:
    workers = re.compile(seen.workers)
    for name, rule in seen.rules.items():
        for alert in rule["alerts"]:
            if alert["state"] == "firing":
                assert not workers.fullmatch(alert["labels"].get("instance", "")), name
    for rule in rules():
        if rule["alert"] not in NOT_BY_A_NUMBER:
            without_bounds = re.sub(r"(?:>|==) [\d.]+(?! [*+])", "", rule["expr"])
            assert without_bounds != rule["expr"]
            assert seen.prometheus.over_time(without_bounds), rule["alert"]
