"""One daemon of a group: what was done to it, and what it held when, by its own log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from daemon_process import DaemonProcess


@dataclass(frozen=True, slots=True)
class Disturbance:
    """Something that was done to a worker. ``return``: a frozen one goes on. ``at``: seconds since 1970."""

    kind: str
    worker: int
    at: float


@dataclass(frozen=True, slots=True)
class Holding:
    """A worker's time with a shard; ``closed_at`` is None while it holds it, or where it died with it."""

    worker: int
    shard: str
    opened_at: float
    closed_at: float | None


class Worker:
    """One daemon. ``seat``: its name as a static member; the next one may have it when this one has ended."""

    def __init__(self, number: int, seat: int, process: DaemonProcess) -> None:
        self.number = number
        self.seat = seat
        self.process = process
        self.is_frozen = False
        self.is_ended = False  # by us

    @property
    def is_alive(self) -> bool:
        return self.process.process.poll() is None

    @property
    def is_running(self) -> bool:
        return self.is_alive and not self.is_frozen

    def holdings(self) -> list[Holding]:
        """What it held and holds. Who stops in order learns no more from then on."""
        opened: dict[str, float] = {}
        found = []
        for line in self._lines("shard_opened", "shard_closed", "stop_requested"):
            ended = [line["shard"]] if "shard" in line else list(opened)
            for shard in ended:
                if shard in opened:
                    found.append(Holding(self.number, shard, opened.pop(shard), line["at"]))
            if line["event"] == "shard_opened":
                opened[line["shard"]] = line["at"]
        return found + [Holding(self.number, shard, at, None) for shard, at in opened.items()]

    def holds(self) -> set[str]:
        """What it holds now; of one that was killed, what it died with."""
        return {held.shard for held in self.holdings() if held.closed_at is None}

    def _lines(self, *events: str) -> list[dict[str, Any]]:
        """Return log lines in their order, each with ``at`` in seconds since 1970."""
        lines = [line for event in events for line in self.process.logged(event)]
        for line in lines:
            line["at"] = datetime.fromisoformat(line["timestamp"]).timestamp()
        return sorted(lines, key=lambda line: line["at"])
