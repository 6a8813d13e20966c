"""The command: its help, its exit codes, and what stands on stdout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from belt_world import CONFIG, World, events

from streamlearn import __version__
from streamlearn.demo.run import config_text

COMMANDS = [
    "init",
    "run",
    "demo",
    "check",
    "broker",
    "produce",
    "checkpoints ls",
    "checkpoints show",
    "checkpoints verify",
    "dead-letters ls",
    "dead-letters resend",
]


def streamlearn(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "streamlearn", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=120,
    )


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with checkpoints of a short run."""
    folder = tmp_path_factory.mktemp("checkpoints")
    often = ["stream.micro_batch_events=10", "checkpoint.every_events=10"]
    World(folder, events(50, 2), text=CONFIG, overrides=often).run()
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    done = streamlearn(*command.split(), "--help")
    assert done.returncode == 0
    assert f"Example: streamlearn {command}" in " ".join(done.stdout.split())


def test_the_version_and_the_exit_codes_are_told() -> None:
    assert streamlearn("--version").stdout.strip() == __version__
    assert "4 checkpoint" in streamlearn("--help").stdout


def test_completion_can_be_had() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "streamlearn", "--show-completion", "bash"],
        capture_output=True,
        text=True,
        env={**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "complete" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["run", "none.toml"], 2, "cannot be read"),
        (["check", "broken.toml"], 2, "did you mean 'name'?"),
        (["run", "flights.toml", "--set", "http.prot=1"], 2, "did you mean 'port'?"),
        (["check", "flights.toml", "--set", 'models.logistic.pipeline=["linear_model.LogisticRegresion"]'], 2, "LogisticRegression"),
        (["checkpoints", "show", "nowhere"], 4, "remedy"),
        (["demo", "--source", "kafkaa"], 2, "kafka or files"),
    ],
)  # fmt: skip
def test_an_error_has_its_code_and_its_remedy(
    arguments: list[str], code: int, says: str, tmp_path: Path
) -> None:
    (tmp_path / "broken.toml").write_text('[stream]\nnme = "x"\n')
    (tmp_path / "flights.toml").write_text(config_text())
    done = streamlearn(*arguments, folder=tmp_path)
    assert done.returncode == code, done.stderr
    assert says in " ".join(done.stderr.split())
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_check_says_what_would_run(tmp_path: Path) -> None:
    (tmp_path / "flights.toml").write_text(config_text())
    done = streamlearn("check", "flights.toml", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["ok"]
    assert {model["name"]: model["engine"] for model in report["models"]} == {
        "logistic": "compiled",
        "mlp": "torch",
    }


def test_checkpoints_show_is_the_contract(learned: Path) -> None:
    shown = json.loads(streamlearn("checkpoints", "show", str(learned), "--json").stdout)
    assert (shown["stream"], shown["format_version"]) == ("flow", 1)
    [shard] = shown["shards"]
    assert list(shard) == [
        "shard",
        "next_offsets",
        "events_learned",
        "events_rejected",
        "state_digest",
        "models",
    ]
    assert [list(place) for place in shard["next_offsets"]] == [["topic", "partition", "next_offset"]] * 2
    [model] = shard["models"]
    assert list(model) == ["name", "version", "events_learned", "digest"]
    assert sum(place["next_offset"] for place in shard["next_offsets"]) == 50


def test_checkpoints_ls_and_verify(learned: Path) -> None:
    listed = json.loads(streamlearn("checkpoints", "ls", str(learned), "--json").stdout)
    sequences = [row["sequence"] for row in listed]
    assert sequences == list(range(sequences[0], sequences[0] + len(listed)))
    assert streamlearn("checkpoints", "verify", str(learned)).returncode == 0
    newest = sorted(learned.rglob("*.checkpoint"))[-1]
    whole = newest.read_bytes()
    try:
        newest.write_bytes(whole[:-1])
        done = streamlearn("checkpoints", "verify", str(learned))
        assert done.returncode == 4
        assert "ok" in done.stdout
    finally:
        newest.write_bytes(whole)


def test_run_over_files_until_the_end(tmp_path: Path) -> None:
    for partition, rows in events(200, 2, bad_every=20).items():
        lines = b"".join(value + b"\n" for _key, value, _time in rows if value is not None)
        (tmp_path / f"part-{partition}.jsonl").write_bytes(lines)
    text = CONFIG[: CONFIG.index("[source.kafka]")] + '[source.files]\npaths = ["part-*.jsonl"]\n'
    text += CONFIG[CONFIG.index("[event]") : CONFIG.index("[predictions]")]
    (tmp_path / "flow.toml").write_text(text)
    done = streamlearn("run", "flow.toml", "--until-end", "--json", "--set", "http.port=0", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert list(summary) == [
        "stream", "events_read", "events_learned", "events_rejected", "seconds", "events_per_second",
        "models", "drift_alarms", "movers", "checkpoints_written",
    ]  # fmt: skip
    assert (summary["events_read"], summary["events_rejected"]) == (200, 10)
    assert list(summary["models"][0]) == ["name", "engine", "events_learned", "metrics", "scores"]
    assert list(summary["models"][-1]) == ["name", "engine", "events_learned", "metrics"]  # a baseline
    assert len((tmp_path / "dead-letters.jsonl").read_text().splitlines()) == 10
    again = streamlearn("run", "flow.toml", "--until-end", "--json", "--set", "http.port=0", folder=tmp_path)
    assert json.loads(again.stdout)["events_read"] == 0
