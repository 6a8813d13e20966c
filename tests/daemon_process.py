"""The daemon as a process of its own, as an operator runs it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from waiting import eventually

CONFIG = """
[stream]
name = "flow"
task = "binary"

[source.kafka]
bootstrap_servers = "${{KAFKA_SERVERS}}"
topics = ["{topic}"]
group_id = "{topic}-learner"
properties = {{ "session.timeout.ms" = 6000, "heartbeat.interval.ms" = 500 }}

[event]
label = "y"
time = "t"
time_format = "epoch_milliseconds"
id = "id"
numeric = ["a", "b"]
categorical = ["c"]

[[models]]
name = "logistic"
learner = "river"
pipeline = [{{ use = "compose.Select", keys = ["a", "b"] }}, "preprocessing.StandardScaler", "linear_model.LogisticRegression"]

[http]
port = 0
"""


class DaemonProcess:
    """``streamlearn run`` on a config in ``folder``; use as a context manager, which kills what is left."""

    def __init__(
        self,
        folder: Path,
        servers: str,
        text: str,
        *arguments: str,
        overrides: Sequence[str] = (),
        name: str = "run",
    ) -> None:
        self.folder = folder
        config = folder / f"{name}.toml"
        config.write_text(text)
        self._log_path = folder / f"{name}.log"
        sets = [
            part for each in [f"checkpoint.path={folder}/checkpoints", *overrides] for part in ("--set", each)
        ]
        self._log = self._log_path.open("wb")
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "streamlearn",
                "run",
                str(config),
                "--json",
                "--log-format",
                "json",
                *sets,
                *arguments,
            ],
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, "KAFKA_SERVERS": servers},
            cwd=folder,
        )
        self._out = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self._out = self.process.stdout.read()

    def __enter__(self) -> DaemonProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._log.close()

    @property
    def log(self) -> str:
        return self._log_path.read_text()

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The log lines of one happening so far."""
        lines = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def wait(self, seconds: float = 90.0) -> int:
        """Wait for its end and return the exit code."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s:\n{self.log[-4000:]}") from None
        self._reader.join()
        return code

    def summary(self, seconds: float = 90.0) -> dict[str, Any]:
        """Wait for an end in order and return the one JSON document on stdout."""
        assert self.wait(seconds) == 0, self.log[-4000:]
        document: dict[str, Any] = json.loads(self._out)
        return document

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def url(self) -> str:
        """The console's address, once it listens."""

        def listens() -> str | None:
            assert self.process.poll() is None, self.log[-4000:]
            lines = self.logged("console_started")
            return lines[0]["url"] if lines else None

        return eventually(listens, 60, why="the console's address in the log")

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a page of the console."""
        try:
            with urllib.request.urlopen(self.url() + path, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels, by a scrape; 0 where it has no samples."""
        _status, body = self.get("/metrics")
        values = re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", body, re.MULTILINE)
        return sum(map(float, values))

    def await_events(self, count: int, seconds: float = 60.0) -> None:
        """Wait until the belt is done with so many events."""
        eventually(
            lambda: self.process.poll() is not None or self.metric("streamlearn_events_total") >= count,
            seconds,
            why=f"{count} events",
        )
        assert self.process.poll() is None, self.log[-4000:]
