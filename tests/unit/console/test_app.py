"""The console's routes: verdicts, formats, headers, and a page that runs nothing but itself."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from itertools import pairwise
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from streamlearn.console.app import PAGE, make_app
from streamlearn.console.feed import PAGES_MAX, Feed
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
STREAM = "/api/events"

RUNNING = Status(
    "flights",
    "binary",
    "stream",
    "leader",
    events_read=10,
    events_learned=9,
    events_rejected=1,
    at_seconds=1800000000.0,
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
        self.feed = Feed()
        self.app = make_app(lambda: self.status, self.telemetry.registry, self.history, self.feed)

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
    assert site.ask("/api/history").json() == {"points": [], "alarms": []}
    site.history.add(RUNNING)
    site.history.add(RUNNING)
    past = site.ask("/api/history").json()
    (point,) = past["points"]
    assert (point["at_seconds"], point["event_time_seconds"]) == (1800000000.0, 1356998400.0)
    assert (point["lag_events"], point["lags"]) == (5, {"flights[0]": 5})
    assert set(point["scores"]) == {"sliding", "fading", "cumulative"}
    assert all(set(each) == {"logistic", "baseline_majority"} for each in point["scores"].values())
    assert point["scores"]["cumulative"]["logistic"] == {"accuracy": 0.8}
    assert [alarm["signal"] for alarm in past["alarms"]] == ["error"]


def test_history_spans_the_hour_evenly_and_bounds_its_memory() -> None:
    history = History(points_max=50, seconds=3600.0)
    for second in range(1, 10_001):
        history.add(Status("s", "binary", "stream", "leader", at_seconds=float(second)))
    times = [point.at_seconds for point in history.past().points]
    assert 20 <= len(times) <= 50
    assert times[0] < 10_000 - 3400
    assert times[-1] > 9_870
    assert len({later - earlier for earlier, later in pairwise(times)}) == 1


def test_history_keeps_each_alarm_once_and_a_bounded_number() -> None:
    history = History()
    for second in range(1, 300):
        alarms = tuple(
            DriftAlarm(float(n), "m", "adwin", "t", 0, n)
            for n in range(max(0, 10 * second - 50), 10 * second)
        )
        history.add(
            replace(RUNNING, at_seconds=float(second), drift_alarms_total=10 * second, drift_alarms=alarms)
        )
    offsets = [alarm.offset for alarm in history.past().alarms]
    assert offsets == list(range(1990, 2990))


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


@pytest.mark.parametrize("path", [*ROUTES, STREAM])
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
        (sources,) = re.findall(rf"{tag}-src ([^;]+);", policy)
        inline = re.findall(rf"<{tag}>(.*?)</{tag}>", answer.text, flags=re.DOTALL)
        digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in inline)
        assert sources.split() == [f"'sha256-{digest}'" for digest in digests]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_our_part_of_the_page_asks_nobody_else_and_never_writes_markup() -> None:
    own = [path for path in files("streamlearn.console").joinpath("page").iterdir() if path.name[0] != "_"]
    assert len(own) >= 10
    for path in own:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"https?://", text), path.name
        for sink in ("innerHTML", "insertAdjacentHTML", "document.write", "eval(", " style=", "new Function"):
            assert sink not in text, f"{path.name} has {sink}"
        assert not re.search(r"<[^>]+\son\w+=", text), path.name


def test_the_charts_come_with_their_licence() -> None:
    assert "The MIT License (MIT)" in PAGE
    assert "Leon Sorokin" in PAGE


class Listener:
    """A browser at the feed, by hand: ``takes`` says whether it reads."""

    def __init__(self) -> None:
        self.got = b""
        self.status = 0
        self.takes = asyncio.Event()
        self.takes.set()
        self.left = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        await self.takes.wait()
        self.status = message.get("status", self.status)
        self.got += message.get("body", b"")

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0.01)


def follow(feed: Feed, listener: Listener) -> asyncio.Task[None]:
    return asyncio.create_task(feed({"type": "http", "method": "GET"}, listener.receive, listener.send))


def test_a_slow_page_gets_the_newest_picture_and_nothing_queues_for_it() -> None:
    async def scenario() -> None:
        feed, slow, quick = Feed(), Listener(), Listener()
        tasks = [follow(feed, slow), follow(feed, quick)]
        feed.publish(b"1")
        await slow.until(lambda: b"data: 1" in slow.got)
        slow.takes.clear()
        for number in range(2, 1000):
            feed.publish(b"%d" % number)
            if number % 250 == 0:
                await quick.until(lambda number=number: b"data: %d\n\n" % number in quick.got)  # type: ignore[misc]
        await quick.until(lambda: b"data: 999\n\n" in quick.got)
        slow.takes.set()
        await slow.until(lambda: b"data: 999\n\n" in slow.got)
        assert slow.got.count(b"data: ") <= 3
        feed.end()
        await asyncio.gather(*tasks)
        assert slow.got.endswith(b"event: end\ndata: {}\n\n")
        assert feed.pages == 0

    asyncio.run(scenario())


def test_pages_are_bounded_and_one_that_leaves_makes_room() -> None:
    async def scenario() -> None:
        feed = Feed()
        listeners = [Listener() for _ in range(PAGES_MAX)]
        tasks = [follow(feed, each) for each in listeners]
        await listeners[-1].until(lambda: feed.pages == PAGES_MAX)
        refused = Listener()
        await follow(feed, refused)
        assert refused.status == 503
        listeners[0].left.set()
        await tasks[0]
        assert feed.pages == PAGES_MAX - 1
        feed.end()
        await asyncio.gather(*tasks)

    asyncio.run(scenario())


def test_a_heartbeat_is_heard_until_it_is_silent_for_too_long() -> None:
    now = 0.0
    heartbeat = Heartbeat(10.0, clock=lambda: now)
    now = 9.0
    heartbeat.beat()
    now = 19.0
    assert heartbeat.unhealthy() == ()
    now = 19.5
    assert heartbeat.unhealthy() == ("the belt has not finished a step for 10 s (limit 10 s)",)
