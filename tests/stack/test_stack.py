"""The stack of docker/compose.yaml, started for real and looked at from outside: ``make stack-test``.

Images by the variables of docs/stack.md. STREAMLEARN_IMAGE unset: it is built. Whatever image is neither here nor to be
pulled is told; without Grafana's all else is tested. Compose 2, or the Compose 1.29 that Debian has.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.request
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from confluent_kafka.admin import AdminClient
from prometheus_for_tests import PrometheusServer, free_port
from promql_text import ONLY_WITH_LABELS, ROOT, filled_in, rules
from waiting import eventually

BOARDS = sorted((ROOT / "grafana").glob("*.json"))
BUILD_SECONDS = 2400  # the first build fetches torch
PORTS = ("KAFKA", "HTTP", "PROMETHEUS", "GRAFANA")

pytestmark = [
    pytest.mark.docker,
    pytest.mark.slow,
    pytest.mark.timeout(BUILD_SECONDS + 600),
    pytest.mark.skipif(os.environ.get("STACK_TEST") != "1", reason="starts five containers: make stack-test"),
]


class Stack(NamedTuple):
    """The addresses of what runs; ``grafana`` is None where its image is not to be had."""

    kafka: str
    daemon: str
    prometheus: str
    grafana: str | None


def run(*command: str, seconds: float = 300, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, timeout=seconds, check=False, env={**os.environ, **more}
    )


def compose() -> list[str]:
    """The command of whichever Compose there is."""
    if shutil.which("docker") is None or run("docker", "info").returncode != 0:
        pytest.fail("no Docker engine answers", pytrace=False)
    if run("docker", "compose", "version").returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose") is None:
        pytest.fail("there is no Docker Compose", pytrace=False)
    return ["docker-compose"]


def default_image(service: dict[str, Any]) -> str:
    """The image that a service runs, by the environment or by default."""
    name, default = re.fullmatch(r"\$\{(\w+):-(.+)\}", service["image"]).groups()  # type: ignore[union-attr]
    return os.environ.get(name) or default


def is_here(image: str) -> bool:
    if run("docker", "image", "inspect", image).returncode == 0:
        return True
    return run("docker", "pull", image, seconds=900).returncode == 0


def get(url: str) -> tuple[int, str]:
    """Status and body; 0 while nothing listens."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    command = compose()
    document = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text(encoding="utf-8"))
    services = document["services"]
    has_grafana = is_here(default_image(services["grafana"]))
    if not has_grafana:
        del services["grafana"], document["volumes"]["grafana-data"]
        warnings.warn(
            pytest.PytestWarning(
                "NOT TESTED: Grafana, its data source and dashboards: the image cannot be had"
            ),
            stacklevel=1,
        )
    for name in ("kafka", "prometheus"):
        if not is_here(default_image(services[name])):
            pytest.fail(f"{default_image(services[name])} is not here, and cannot be pulled", pytrace=False)
    # What Compose 1.29 does not know: a name, which is given on the command line, and keys of our own.
    kept = {key: value for key, value in document.items() if key in ("services", "volumes")}
    file = tmp_path_factory.mktemp("stack") / "compose.yaml"
    file.write_text(yaml.safe_dump(kept, sort_keys=False), encoding="utf-8")
    project = f"streamlearn-test-{uuid.uuid4().hex[:8]}"
    here = [
        *command,
        "--project-name",
        project,
        "--project-directory",
        str(ROOT / "docker"),
        "--file",
        str(file),
    ]
    ports = {name: free_port() for name in PORTS}
    settings = {f"STREAMLEARN_{name}_PORT": str(port) for name, port in ports.items()}
    try:
        if "STREAMLEARN_IMAGE" not in os.environ:
            built = run(*here, "build", "daemon", seconds=BUILD_SECONDS, **settings)
            assert built.returncode == 0, built.stdout[-4000:] + built.stderr[-4000:]
        up = run(*here, "up", "--detach", "--no-build", seconds=600, **settings)
        assert up.returncode == 0, up.stdout[-4000:] + up.stderr[-4000:]
        address = "http://127.0.0.1:{}"
        stack = Stack(
            f"127.0.0.1:{ports['KAFKA']}",
            address.format(ports["HTTP"]),
            address.format(ports["PROMETHEUS"]),
            address.format(ports["GRAFANA"]) if has_grafana else None,
        )
        try:
            eventually(lambda: get(f"{stack.daemon}/readyz")[0] == 200, 180, why="a ready daemon")
            prometheus = PrometheusServer(stack.prometheus)
            eventually(prometheus.is_ready, 60, why="a ready Prometheus")
            learned = 'sum(streamlearn_events_total{outcome="learned"})'
            eventually(lambda: prometheus.now(learned) > 5000, 120, why="flights that are learned")
            checkpoints = 'sum(streamlearn_checkpoints_total{outcome="published"})'
            eventually(lambda: prometheus.now(checkpoints) >= 1, 60, why="a checkpoint")
        except AssertionError as error:
            error.add_note(run(*here, "logs", "--tail=40", **settings).stdout[-8000:])
            raise
        yield stack
    finally:
        run(*here, "down", "--volumes", "--timeout", "20", seconds=180, **settings)


def test_kafka_has_the_topics(stack: Stack) -> None:
    topics = AdminClient({"bootstrap.servers": stack.kafka}).list_topics(timeout=15).topics
    assert {"flights", "flights-predictions"} <= set(topics)
    assert len(topics["flights"].partitions) == 4


def test_the_daemon_is_healthy_and_ready(stack: Stack) -> None:
    assert get(f"{stack.daemon}/healthz")[0] == 200
    assert get(f"{stack.daemon}/readyz")[0] == 200


def test_prometheus_scrapes_the_daemon_and_has_all_rules(stack: Stack) -> None:
    prometheus = PrometheusServer(stack.prometheus)
    targets = prometheus.get("targets")["activeTargets"]
    assert [(each["labels"]["instance"], each["health"]) for each in targets] == [("daemon:9464", "up")]

    def evaluated() -> bool:
        groups = prometheus.get("rules")["groups"]
        said = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}
        return said == {rule["alert"]: "ok" for rule in rules()}

    eventually(evaluated, 90, why="every rule evaluated")


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_the_dashboards_queries_return_data(path: Path, stack: Stack) -> None:
    # Through Grafana's data source where there is one. What is narrowed to "> 0" may have nothing to show.
    base = (
        stack.prometheus if stack.grafana is None else f"{stack.grafana}/api/datasources/proxy/uid/prometheus"
    )
    source = PrometheusServer(base)
    asked = [
        target["expr"]
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]
        for target in panel.get("targets", ())
        if not target["expr"].endswith("> 0") and not any(name in target["expr"] for name in ONLY_WITH_LABELS)
    ]
    assert asked
    queries = [filled_in(each, rate_interval="30s") for each in asked]
    assert [query for query in queries if not source.get("query", query=query)["result"]] == []


def test_grafana_has_its_data_source_dashboards_and_runbooks(stack: Stack) -> None:
    if stack.grafana is None:
        pytest.skip("no image of Grafana")
    base = stack.grafana
    eventually(lambda: get(f"{base}/api/health")[0] == 200, 120, why="a healthy Grafana")
    assert json.loads(get(f"{base}/api/health")[1])["database"] == "ok"
    found = {each["uid"] for each in json.loads(get(f"{base}/api/search?tag=streamlearn")[1])}
    assert found == {f"streamlearn-{path.stem}" for path in BOARDS}
    for uid in found:
        assert get(f"{base}/api/dashboards/uid/{uid}")[0] == 200
    status, page = get(f"{base}/public/runbooks/README.md")
    assert (status, page.startswith("# Runbooks")) == (200, True)
