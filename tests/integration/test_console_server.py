"""The console over real sockets: it answers, ends in time, and says what is wrong with its address."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

import httpx
import pytest
from prometheus_client import CollectorRegistry

from streamlearn.console.server import Console
from streamlearn.console.status import Status
from streamlearn.errors import ConfigError, ExitCode


def status() -> Status:
    return Status("flights", "binary", "stream", "leader", at_seconds=1.0, event_time_seconds=1.0)


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        threading.Event().wait(0.01)


def test_it_answers_as_soon_as_it_has_started_and_leaves_nothing_behind() -> None:
    before = threading.active_count()
    console = Console("127.0.0.1", 0, status, CollectorRegistry())
    console.start()
    try:
        host, port = console.address
        assert host == "127.0.0.1"
        assert port > 0
        assert httpx.get(f"{console.url}/healthz").status_code == 200
    finally:
        console.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/healthz")
    wait_for(lambda: threading.active_count() <= before)
    console.stop()


def test_a_client_that_says_nothing_does_not_hold_the_end_up() -> None:
    console = Console("127.0.0.1", 0, status, CollectorRegistry())
    console.start()
    with (
        socket.create_connection(console.address),
        socket.create_connection(console.address) as half,
    ):
        half.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        assert httpx.get(f"{console.url}/healthz").status_code == 200
        began = time.monotonic()
        console.stop()
        assert time.monotonic() - began < 5.0


def test_an_answer_that_hangs_holds_up_neither_health_nor_the_end() -> None:
    release = threading.Event()
    seen = threading.Event()

    class Slow:
        def collect(self) -> list[object]:
            seen.set()
            release.wait(20)
            return []

    registry = CollectorRegistry()
    registry.register(Slow())  # type: ignore[arg-type]
    console = Console("127.0.0.1", 0, status, registry)
    console.start()
    try:
        with socket.create_connection(console.address) as scrape:
            scrape.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            assert seen.wait(10)
            assert httpx.get(f"{console.url}/healthz").status_code == 200
            began = time.monotonic()
            console.stop()
            assert time.monotonic() - began < 8.0
    finally:
        release.set()


def test_pictures_are_sampled_without_anybody_looking() -> None:
    console = Console("127.0.0.1", 0, status, CollectorRegistry(), sample_every_seconds=0.01)
    console.start()
    try:
        wait_for(lambda: len(httpx.get(f"{console.url}/api/history").json()["points"]) == 1)
    finally:
        console.stop()


def test_pages_that_are_open_hear_of_the_end_and_do_not_hold_it_up(caplog: pytest.LogCaptureFixture) -> None:
    console = Console("127.0.0.1", 0, status, CollectorRegistry(), sample_every_seconds=0.01)
    console.start()
    with (
        socket.create_connection(console.address) as hung,
        httpx.stream("GET", f"{console.url}/api/events") as events,
    ):
        hung.sendall(b"GET /api/events HTTP/1.1\r\nHost: x\r\n\r\n")
        lines = events.iter_lines()
        assert any(line.startswith('data: {"stream":"flights"') for line in lines)
        began = time.monotonic()
        console.stop()
        assert time.monotonic() - began < 5.0
        assert "event: end" in list(lines)
    assert not caplog.records


def test_a_taken_port_is_an_error_with_a_remedy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError) as caught:
            Console("127.0.0.1", port, status, CollectorRegistry()).start()
    assert f"127.0.0.1:{port}" in caught.value.what
    assert "http.port" in caught.value.remedy
    assert caught.value.exit_code == ExitCode.CONFIG


def test_a_host_that_is_not_ours_is_an_error_with_a_remedy() -> None:
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1"):
        Console("192.0.2.1", 0, status, CollectorRegistry()).start()
