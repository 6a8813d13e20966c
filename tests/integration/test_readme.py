"""Every block of the README is executed, as it stands there, on fewer events."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from kafka_for_tests import KafkaForTests

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


def block(language: str, containing: str) -> str:
    [found] = [text for each, text in BLOCKS if each == language and containing in text]
    return found


def shell(commands: str, folder: Path, **environment: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        capture_output=True,
        text=True,
        cwd=folder,
        # The make that may run these tests must not tell the one started here what to do.
        env={**{k: v for k, v in os.environ.items() if k != "MAKEFLAGS"}, "PATH": path, **environment},
        timeout=280,
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def test_there_is_a_test_for_each_block() -> None:
    executed = ["make demo", "flights: ", "make test", "[stream]", "streamlearn check", "docker compose"]
    assert [sum(word in text for word in executed) for _language, text in BLOCKS] == [1] * len(BLOCKS)


@pytest.mark.kafka
def test_make_demo_prints_what_the_readme_shows(kafka: KafkaForTests) -> None:
    printed = shell(
        block("sh", "make demo"),
        ROOT,
        DEMO="--events 3000 --port 0",
        STREAMLEARN_BOOTSTRAP_SERVERS=kafka.bootstrap_servers,
        COLUMNS="120",
    )
    assert skeleton(block("text", "flights: ")) <= skeleton(printed)
    assert VERDICT.search(printed)


# What is said of a model depends on how many events there were.
VERDICT = re.compile(r"^\w+: (?:better than|worse than|too early to tell).*\n?", re.MULTILINE)


def skeleton(text: str) -> set[str]:
    """The lines of a text without their figures and verdicts."""
    return {" ".join(re.sub(r"-?[\d.,]+", "0", line).split()) for line in VERDICT.sub("", text).splitlines()}


def test_make_test_finds_the_tests() -> None:
    printed = shell(block("sh", "make test"), ROOT, PYTEST_ADDOPTS="--collect-only -q", TEST="")
    assert "test_there_is_a_test_for_each_block" in printed


@pytest.mark.kafka
def test_the_config_and_the_commands_work(kafka: KafkaForTests, tmp_path: Path) -> None:
    topic = kafka.topic(partitions=4)
    shell(
        f"streamlearn produce {topic} --flights --events 500",
        tmp_path,
        STREAMLEARN_BOOTSTRAP_SERVERS=kafka.bootstrap_servers,
    )
    config = block("toml", "[stream]")
    assert len(config.splitlines()) <= 14
    config = config.replace("localhost:9092", kafka.bootstrap_servers).replace(
        'topics = ["flights"]', f'topics = ["{topic}"]'
    )
    config = config.replace("flights-learner", f"{topic}-learner") + "[http]\nport = 0\n"
    (tmp_path / "flights.toml").write_text(config)
    printed = shell(block("sh", "streamlearn check"), tmp_path)
    assert "500 events read" in printed
    shown = json.loads(shell("streamlearn checkpoints show checkpoints --json", tmp_path))
    assert sum(place["next_offset"] for place in shown["shards"][0]["next_offsets"]) == 500
    assert "fit the event contract" in shell("streamlearn check flights.toml --connect", tmp_path)


def test_the_stack_is_a_compose_file() -> None:
    command = block("sh", "docker compose").strip()
    has_plugin = (
        shutil.which("docker")
        and not subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode
    )
    if not has_plugin:
        pytest.skip(
            "NO DOCKER COMPOSE: the stack's block was not executed; tests/unit/test_stack_files.py reads its file"
        )
    shell(re.sub(r"up$", "config --quiet", command), ROOT)
