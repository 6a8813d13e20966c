"""The console's routes: verdicts, formats, headers, and a page that runs nothing but itself."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from itertools import pairwise

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from streamlearn.console.app import PAGE, make_app
from streamlearn.console.history import History
from streamlearn.console.status import (
    CheckpointStatus,
    DriftAlarm,
    Heartbeat,
    ModelStatus,
    PartitionStatus,
    Status,
)
from streamlearn.events import TopicPartition
from streamlearn.telemetry import Telemetry

ROUTES = ["/", "/api/status", "/api/history", "/metrics", "/healthz", "/readyz"]

RUNNING = Status(
    "flights",
    "binary",
    "stream",
    "leader",
    events_read=10,
    events_learned=9,
    events_rejected=1,
    event_time_seconds=1356998400.0,
    partitions=(PartitionStatus("flights", 0, 10, 5, "flights"),),
    models=(ModelStatus("logistic", "river", 9, {"accuracy": 0.8}, {"roc_auc": float("nan")}),),
    baselines=(ModelStatus("baseline_majority", "baseline", 9),),
    drift_alarms_total=1,
    drift_alarms=(DriftAlarm(1356998400.0, "logistic", "adwin", "flights", 0, 7),),
    rejections={"bad_label": 1},
    checkpoints=(CheckpointStatus("flights", 1, 1356998400.0, 2048, "checkpoints/1"),),
)


class Site:
    def __init__(self) -> None:
        self.status = RUNNING
        self.telemetry = Telemetry(CollectorRegistry())
        self.history = History()
        self.app = make_app(lambda: self.status, self.telemetry.registry, self.history)

    def ask(self, path: str, method: str = "GET", **headers: str) -> httpx.Response:
        async def answer() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://console") as client:
                return await client.request(method, path, headers=headers)

        return asyncio.run(answer())


@pytest.fixture
def site() -> Site:
    return Site()


def test_health_is_about_the_belt_going_round(site: Site) -> None:
    assert site.ask("/healthz").status_code == 200
    site.status = Status("flights", "binary", "stream", "leader", unhealthy=("the belt stands",))
    answer = site.ask("/healthz")
    assert answer.status_code == 503
    assert answer.json() == {"healthy": False, "reasons": ["the belt stands"]}


def test_readiness_needs_an_assignment_and_a_belt_that_moves(site: Site) -> None:
    answer = site.ask("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, "reasons": []})
    site.status = Status("flights", "binary", "stream", "member", unready=("no partition is assigned",))
    answer = site.ask("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "reasons": ["no partition is assigned"]}
    assert site.ask("/healthz").status_code == 200


def test_status_is_the_picture_as_strict_json(site: Site) -> None:
    answer = site.ask("/api/status")

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    picture = json.loads(answer.text, parse_constant=refuse)
    assert picture["stream"] == "flights"
    assert picture["models"][0]["sliding"] == {"roc_auc": None}
    assert picture["partitions"][0]["next_offset"] == 10
    assert picture["checkpoints"][0]["size_bytes"] == 2048


def test_history_is_what_was_sampled(site: Site) -> None:
    assert site.ask("/api/history").json() == []
    site.history.add(RUNNING)
    site.history.add(RUNNING)
    (point,) = site.ask("/api/history").json()
    assert point["event_time_seconds"] == 1356998400.0
    assert set(point["scores"]) == {"logistic", "baseline_majority"}


def test_history_keeps_first_and_last_and_bounds_its_memory() -> None:
    history = History(points_max=50)
    for second in range(10_001):
        history.add(Status("s", "binary", "stream", "leader", event_time_seconds=float(second)))
    times = [point.event_time_seconds for point in history.points()]
    assert len(times) <= 50
    assert times[0] == 0.0
    assert times[-1] > 9_700
    assert len({later - earlier for earlier, later in pairwise(times)}) == 1


def test_metrics_speak_both_formats(site: Site) -> None:
    site.telemetry.events_learned(TopicPartition("flights", 0), learned=3)
    plain = site.ask("/metrics")
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert {family.name for family in parse_text(plain.text)} >= {"streamlearn_events", "streamlearn_ready"}
    modern = site.ask("/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert modern.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert {family.name for family in parse_openmetrics(modern.text)} >= {"streamlearn_events"}


@pytest.mark.parametrize("path", [*ROUTES, "/nothing"])
def test_every_answer_carries_the_guard_headers(site: Site, path: str) -> None:
    headers = site.ask(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_but_get(site: Site, path: str, method: str) -> None:
    assert site.ask(path, method).status_code == 405


def test_an_unknown_path_is_not_reflected(site: Site) -> None:
    answer = site.ask("/<script>alert(1)</script>")
    assert answer.status_code == 404
    assert "script" not in answer.text


def test_the_policy_admits_exactly_the_page(site: Site) -> None:
    answer = site.ask("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    for tag in ("script", "style"):
        (inline,) = re.findall(rf"<{tag}>(.*?)</{tag}>", answer.text, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_the_page_asks_nobody_else_and_never_writes_markup() -> None:
    addresses = set(re.findall(r"https?://[^\s\"'`<>]+", PAGE))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name space, never fetched
    for sink in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", " style="):
        assert sink not in PAGE, sink
    assert not re.search(r"<[^>]+\son\w+=", PAGE)


def test_a_heartbeat_is_heard_until_it_is_silent_for_too_long() -> None:
    now = 0.0
    heartbeat = Heartbeat(10.0, clock=lambda: now)
    now = 9.0
    heartbeat.beat()
    now = 19.0
    assert heartbeat.unhealthy() == ()
    now = 19.5
    assert heartbeat.unhealthy() == ("the belt has not finished a step for 10 s (limit 10 s)",)
