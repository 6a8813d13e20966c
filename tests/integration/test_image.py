"""The image of the checkout: built, looked at, run as docs/stack.md says, stopped.

On the base image that STREAMLEARN_BASE_IMAGE names. Nothing is pulled: without a Docker engine, or without that
image, these tests are skipped. The image stays behind as streamlearn:test, so that the next build is quick.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually

from streamlearn import __version__

ROOT = Path(__file__).parents[2]
BASE_IMAGE = os.environ.get("STREAMLEARN_BASE_IMAGE") or "python:3.12-slim"
IMAGE = "streamlearn:test"
# The first build fetches torch, which is gigabytes.
BUILD_SECONDS = 2400
STOP_SECONDS = 10
# As docs/stack.md runs it.
HARDENED = ("--init", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges")

CONFIG = """
[stream]
name = "numbers"
task = "binary"

[source.files]
paths = ["/events/*.jsonl"]

[event]
label = "y"
numeric = ["x"]

[[models]]
name = "logistic"
learner = "river"
pipeline = ["preprocessing.StandardScaler", "linear_model.LogisticRegression"]

[checkpoint]
path = "checkpoints"

[http]
host = "0.0.0.0"
"""
EVENTS = 200

pytestmark = [
    pytest.mark.docker,
    pytest.mark.slow,
    pytest.mark.timeout(BUILD_SECONDS + 300),
    pytest.mark.filterwarnings("default:the image is NOT tested"),
]


def docker(*arguments: str, timeout_seconds: float = 120, check: bool = True) -> str:
    """Run a docker command and return its output; an error shows what it said."""
    ran = subprocess.run(
        ["docker", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=timeout_seconds, check=False
    )
    assert ran.returncode == 0 or not check, (arguments, ran.stdout[-4000:], ran.stderr[-4000:])
    return ran.stdout.strip()


def logs(name: str) -> str:
    """What a container said, on both of its streams."""
    said = subprocess.run(
        ["docker", "logs", name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False
    )
    return said.stdout.decode(errors="replace")


def why_not() -> str | None:
    """Why the image cannot be built here; None when it can."""
    if shutil.which("docker") is None:
        return "there is no docker command"
    for arguments, reason in (
        (["info"], "no Docker engine answers"),
        (["image", "inspect", BASE_IMAGE], f"the base image is not here (docker pull {BASE_IMAGE})"),
    ):
        asked = subprocess.run(["docker", *arguments], capture_output=True, timeout=60, check=False)
        if asked.returncode != 0:
            return reason
    return None


@pytest.fixture(scope="module")
def image() -> str:
    """The name of the image, built from the checkout."""
    reason = why_not()
    if reason is not None:
        warnings.warn(pytest.PytestWarning(f"the image is NOT tested: {reason}"), stacklevel=1)
        pytest.skip(reason)
    docker(
        "build",
        "--file=docker/Dockerfile",
        f"--tag={IMAGE}",
        f"--build-arg=BASE_IMAGE={BASE_IMAGE}",
        # By name alone: docker takes the values from the environment, where there are any.
        "--build-arg=PIP_INDEX_URL",
        "--build-arg=PIP_EXTRA_INDEX_URL",
        ".",
        timeout_seconds=BUILD_SECONDS,
    )
    return IMAGE


@pytest.fixture
def name() -> Iterator[str]:
    """A name for a container that is removed with its volume when the test ends."""
    name = f"streamlearn-test-{uuid.uuid4().hex[:12]}"
    yield name
    docker("rm", "--force", "--volumes", name, check=False)


def inspected(image: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(docker("image", "inspect", image))[0]["Config"]
    return document


def test_it_runs_this_version_of_streamlearn(image: str) -> None:
    assert docker("run", "--rm", *HARDENED, image, "--version") == __version__


def test_it_is_not_root_and_says_so(image: str) -> None:
    assert inspected(image)["User"] == "10001:10001"
    assert docker("run", "--rm", "--entrypoint=id", image, "-u") == "10001"


def test_it_says_how_it_is_asked_for_its_health_and_stopped(image: str) -> None:
    config = inspected(image)
    assert config["Healthcheck"]["Test"][0] == "CMD"
    assert config["StopSignal"] == "SIGTERM"
    assert config["Entrypoint"] == ["streamlearn"]
    assert list(config["Volumes"]) == [config["WorkingDir"]] == ["/var/lib/streamlearn"]


def test_it_holds_nothing_of_where_it_was_built(image: str) -> None:
    assert not [each for each in inspected(image)["Env"] if each.startswith("PIP_")]
    found = docker("run", "--rm", "--entrypoint=sh", image, "-c", "ls -A /src /root/.cache 2>&1 || true")
    assert "constraints" not in found
    assert "pip" not in found


def test_it_cannot_write_but_in_its_volume(image: str) -> None:
    script = "touch /var/lib/streamlearn/a && ! touch /opt/streamlearn/a && ! touch /etc/a && echo right"
    assert docker("run", "--rm", *HARDENED, "--entrypoint=sh", image, "-c", script) == "right"


def test_the_daemon_becomes_healthy_and_stops_in_time(image: str, name: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "stream.toml").write_text(CONFIG, encoding="utf-8")
    events = (json.dumps({"x": number, "y": number % 3 == 0}) for number in range(EVENTS))
    (tmp_path / "events.jsonl").write_text("".join(f"{event}\n" for event in events), encoding="utf-8")
    docker(
        "run",
        "--detach",
        f"--name={name}",
        *HARDENED,
        "--network=none",
        "--health-interval=1s",
        f"--mount=type=bind,source={tmp_path / 'stream.toml'},target=/etc/streamlearn/stream.toml,readonly",
        f"--mount=type=bind,source={tmp_path},target=/events,readonly",
        image,
    )

    def learned() -> bool:
        state = json.loads(docker("inspect", name))[0]["State"]
        assert state["Running"], logs(name)
        metrics = docker("exec", name, "python3", "-c", ASK_FOR_METRICS, check=False)
        all_learned = re.search(rf'outcome="learned".* {EVENTS}\.0$', metrics, flags=re.MULTILINE)
        return state["Health"]["Status"] == "healthy" and all_learned is not None

    eventually(learned, 120, why="a healthy daemon that has learned all events")

    began = time.monotonic()
    docker("stop", "-t=60", name)
    assert time.monotonic() - began < STOP_SECONDS
    state = json.loads(docker("inspect", name))[0]["State"]
    assert state["ExitCode"] == 0, logs(name)

    kept = docker(
        "run", "--rm", f"--volumes-from={name}", image, "checkpoints", "show", "checkpoints", "--json"
    )
    assert json.loads(kept)["shards"][0]["events_learned"] == EVENTS


ASK_FOR_METRICS = """
from urllib.request import urlopen
print(urlopen("http://127.0.0.1:9464/metrics", timeout=5).read().decode())
"""
