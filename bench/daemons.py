"""The daemon as a contender: the config of a stream, a run to the ends of its topic, a run that goes on.

Everything that a stream does not name is at its default, as its users have it: six metrics, two baselines,
drift detectors, checkpoints, ``/metrics``.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPException
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from bench.harness import REPOSITORY, ContenderFailed, run_program
from bench.pipelines import LOGISTIC, SCALER
from bench.workload import LABEL, feature_names

SECONDS_MAX = 300.0
START_SECONDS_MAX = 90.0  # kernels may have to be compiled
STOP_SECONDS_MAX = 15.0
LOOK_EVERY_SECONDS = 0.1

RIVER: Mapping[str, Any] = {"learner": "river", "pipeline": [SCALER, LOGISTIC]}


@dataclass(frozen=True, slots=True)
class Stream:
    """What a benchmark's config says beside the defaults; ``tables`` win over what is said here."""

    topic: str
    numeric: tuple[str, ...] = feature_names(20)
    categorical: tuple[str, ...] = ()
    models: Sequence[Mapping[str, Any]] = (RIVER,)
    tables: Mapping[str, Mapping[str, Any]] | None = None

    def write(self, folder: Path, bootstrap_servers: str, port: int = 0) -> Path:
        """Write the config; checkpoints, dead letters and a group of their own go by the folder's name."""
        tables: dict[str, dict[str, Any]] = {
            "stream": {"name": "bench", "task": "binary"},
            "source.kafka": {
                "bootstrap_servers": bootstrap_servers,
                "topics": [self.topic],
                "group_id": folder.name,
            },
            "event": {"label": LABEL, "numeric": self.numeric, "categorical": self.categorical},
            "dead_letters": {"path": (folder / "dead-letters.jsonl").as_posix()},
            "checkpoint": {"path": (folder / "checkpoints").as_posix()},
            "http": {"port": port},
        }
        for name, table in (self.tables or {}).items():
            tables[name] = {**tables.get(name, {}), **table}
        lines = []
        for name, table in tables.items():
            lines += [f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in table.items()), ""]
        for number, model in enumerate(self.models):
            named = {"name": f"model_{number}", **model}
            lines += ["[[models]]", *(f"{key} = {_toml(value)}" for key, value in named.items()), ""]
        path = folder / "stream.toml"
        path.write_text("\n".join(lines), encoding="utf-8")
        return path


def _toml(value: Any) -> str:
    """Return a value as TOML.

    >>> _toml([{"use": "optim.Adam", "lr": 0.1}, True])
    '[{ use = "optim.Adam", lr = 0.1 }, true]'
    """
    match value:
        case Mapping():
            return "{ " + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + " }"
        case list() | tuple():
            return "[" + ", ".join(map(_toml, value)) + "]"
        case _:
            return json.dumps(value)


def run_to_end(stream: Stream, bootstrap_servers: str, events: int) -> dict[str, Any]:
    """Run a daemon to the ends of its topic and return its summary, as ``run_config``, and ``wall_seconds``."""
    with TemporaryDirectory(prefix="bench-daemon-") as name:
        config = stream.write(Path(name), bootstrap_servers)
        began = time.perf_counter()
        summary = run_config(config, events)
        return {**summary, "wall_seconds": time.perf_counter() - began}


def run_config(
    config: Path, events: int, *options: str, log: Path | None = None, seconds_max: float = SECONDS_MAX
) -> dict[str, Any]:
    """Run a daemon to the end of its events; return its summary and ``steady_seconds``.

    Steady is from when the first of its shards is open, before it has asked for an event. Its log is left beside the
    config, unless ``log`` says where. Raises ContenderFailed, also where it learned another number of events.
    """
    log = log or config.with_suffix(".log")
    command = ["-m", "streamlearn", "run", str(config), "--until-end", "--json", *options]
    summary: dict[str, Any] = run_program(command, seconds_max=seconds_max, log=log)
    if summary["events_learned"] != events:
        raise ContenderFailed(f"it learned {summary['events_learned']} of {events} events: {summary}")
    start_seconds = _seconds_between(log, "started", "shard_opened")
    return {**summary, "steady_seconds": summary["seconds"] - start_seconds}


def logged(log: Path) -> list[dict[str, Any]]:
    """Return what a daemon logged."""
    return [json.loads(line) for line in log.read_text("utf-8").splitlines() if line.startswith("{")]


def _seconds_between(log: Path, earlier: str, later: str) -> float:
    """Return the time between the first happenings of these names in a log of JSON lines."""
    times: dict[str, datetime] = {}
    for told in logged(log):
        times.setdefault(told["event"], datetime.fromisoformat(told["timestamp"]))
    return (times[later] - times[earlier]).total_seconds()


@dataclass(frozen=True, slots=True)
class Costs:
    """What a daemon has spent so far: stages by name, each with how often it was called and for how many seconds."""

    events: int  # learned
    processor_seconds: float
    stages: Mapping[str, tuple[int, float]]


class LiveDaemon:
    """A daemon that runs until it is told to stop."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self._process = process
        self._port = port
        self._log = log

    @property
    def pid(self) -> int:
        return self._process.pid

    def metrics(self) -> dict[str, list[tuple[Mapping[str, str], float]]]:
        """Return what /metrics shows, by name: labels and value. Empty while nothing listens yet.

        Raises ContenderFailed when it has ended.
        """
        if self._process.poll() is not None:
            raise ContenderFailed(f"it ended by itself, exit code {self._process.returncode}: {self.tail()}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=5) as answer:
                text = answer.read().decode()
        except (urllib.error.URLError, ConnectionError, TimeoutError, HTTPException):
            return {}
        found: dict[str, list[tuple[Mapping[str, str], float]]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found.setdefault(sample.name, []).append((sample.labels, sample.value))
        return found

    def events_learned(self) -> int:
        """Return the count that /metrics shows."""
        return _learned(self.metrics())

    def costs(self) -> Costs:
        """Return what /metrics tells of them. Raises ContenderFailed where it tells nothing."""
        metrics = self.metrics()
        if not metrics:
            raise ContenderFailed(f"it does not answer: {self.tail()}")
        calls = {each["stage"]: int(n) for each, n in metrics.get("streamlearn_stage_seconds_count", ())}
        sums = {each["stage"]: s for each, s in metrics.get("streamlearn_stage_seconds_sum", ())}
        processor_seconds = metrics["process_cpu_seconds_total"][0][1]
        stages = {stage: (n, sums[stage]) for stage, n in calls.items()}
        return Costs(_learned(metrics), processor_seconds, stages)

    def await_learned(self, events: int, seconds: float = START_SECONDS_MAX) -> None:
        """Wait until it has learned so many. Raises ContenderFailed."""
        deadline = time.monotonic() + seconds
        while (learned := self.events_learned()) < events:
            if time.monotonic() > deadline:
                raise ContenderFailed(f"{learned} of {events} events within {seconds:g} s: {self.tail()}")
            time.sleep(LOOK_EVERY_SECONDS)

    def is_ready(self) -> bool:
        """Whether it takes events: its partitions are assigned and its broker answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError, HTTPException):
            return False

    def tail(self) -> str:
        """The end of its log."""
        return self._log.read_text("utf-8", "replace")[-2000:]


def _learned(metrics: Mapping[str, list[tuple[Mapping[str, str], float]]]) -> int:
    counted = metrics.get("streamlearn_events_total", ())
    return int(sum(value for labels, value in counted if labels["outcome"] == "learned"))


@contextmanager
def live(config: Path, port: int) -> Iterator[LiveDaemon]:
    """Run a daemon on a config whose console has this port; stop it in order at the end.

    Raises ContenderFailed when it does not stop in order.
    """
    log = config.with_name("daemon.log")
    command = [sys.executable, "-m", "streamlearn", "run", str(config), "--json"]
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=file)
        daemon = LiveDaemon(process, port, log)
        try:
            yield daemon
            process.send_signal(signal.SIGTERM)
            if process.wait(STOP_SECONDS_MAX) != 0:
                raise ContenderFailed(f"exit code {process.returncode} after SIGTERM: {daemon.tail()}")
        except subprocess.TimeoutExpired as error:
            raise ContenderFailed(f"it did not end within {STOP_SECONDS_MAX:g} s of SIGTERM") from error
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
