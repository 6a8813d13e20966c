"""Progress: on a terminal rate, remaining and time left; elsewhere not a byte."""

from __future__ import annotations

import io
import logging
import sys
from pathlib import Path

import pytest
from belt_world import World, events
from rich.console import Console

from streamlearn.commands.progress import Progress, progress
from streamlearn.console.status import Status
from streamlearn.logs import configure_logs, unconfigure_logs
from streamlearn.report.observer import Observer

HALF = Status(
    "flow", "binary", "stream", "leader", events_read=500, events_per_second=50.0, remaining_events=500
)


def shown(status: Status, *, terminal: bool, is_bounded: bool = True) -> str:
    file = io.StringIO()
    with Progress(Console(file=file, force_terminal=terminal, width=120), is_bounded=is_bounded) as moving:
        moving.show(status)
    return file.getvalue()


def test_on_a_terminal_it_tells_rate_remaining_and_time_left() -> None:
    assert "500 read, 500 remaining, 50 events/s, ETA 0:10" in shown(HALF, terminal=True)


def test_it_says_nothing_off_a_terminal_or_without_an_end() -> None:
    assert shown(HALF, terminal=False) == ""
    assert shown(HALF, terminal=True, is_bounded=False) == ""


def test_log_lines_go_past_it(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=120)
    monkeypatch.setattr(sys, "stderr", file)
    try:
        with Progress(console, is_bounded=True) as moving:
            log = configure_logs("json")
            moving.show(HALF)
            log.warning("broker_lost")
            moving.show(HALF)
    finally:
        unconfigure_logs()
    assert '"event": "broker_lost"' in file.getvalue()
    assert logging.getLogger().level == logging.WARNING


@pytest.mark.parametrize("scope", ["stream", "partition"])
def test_remaining_is_counted_down_to_nothing(tmp_path: Path, scope: str) -> None:
    world = World(tmp_path, events(300, 3), overrides=[f"stream.scope={scope}"])
    observer = Observer(world.config, world.belt, world.telemetry)
    assert observer.observe(0.0).remaining_events is None
    world.run()
    status = observer.observe(1.0)
    assert (status.events_read, status.remaining_events) == (300, 0)
    console = Console(width=120, file=io.StringIO())
    with console.capture() as captured:
        console.print(progress(status))
    assert "300 read, 0 remaining" in captured.get()
    assert "done" in captured.get()
