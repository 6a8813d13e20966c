"""A real Prometheus on the loopback, and what tests ask it."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from programs import program
from promql_text import RULES
from waiting import eventually


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


class PrometheusServer:
    """A Prometheus by its address; every answer that is an error fails the test that asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.began = time.time()

    def get(self, path: str, **arguments: str) -> Any:
        """The ``data`` of an answer of the HTTP API."""
        asked = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(arguments)}"
        try:
            with urllib.request.urlopen(asked, timeout=20) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{arguments or path}: {error.read().decode()}") from None

    def over_time(self, expression: str) -> list[dict[str, Any]]:
        """The series of an expression, each second since this began."""
        times = {"start": f"{self.began:.3f}", "end": f"{time.time():.3f}", "step": "1"}
        found: list[dict[str, Any]] = self.get("query_range", query=expression, **times)["result"]
        return found

    def now(self, expression: str) -> float:
        """The one value of an expression now; 0 where there is none."""
        found = self.get("query", query=expression)["result"]
        return float(found[0]["value"][1]) if found else 0.0

    def is_ready(self) -> bool:
        """Whether it answers yet."""
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@contextmanager
def prometheus_on(ports: Sequence[int], folder: Path) -> Iterator[PrometheusServer]:
    """Provide a Prometheus that scrapes these ports of the loopback twice a second and knows all rules."""
    binary, port = program("prometheus", "prometheus"), free_port()
    targets = [f"127.0.0.1:{each}" for each in ports]
    config = {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "1s"},
        "rule_files": [str(path) for path in RULES],
        "scrape_configs": [{"job_name": "streamlearn", "static_configs": [{"targets": targets}]}],
    }
    file, log_path = folder / "prometheus.yml", folder / "prometheus.log"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [
        binary,
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with log_path.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            server = PrometheusServer(f"http://127.0.0.1:{port}")

            def answers() -> bool:
                assert process.poll() is None, log_path.read_text()[-4000:]
                return server.is_ready()

            eventually(answers, 60, why="a ready Prometheus")
            yield server
        finally:
            process.terminate()
            process.wait(30)
