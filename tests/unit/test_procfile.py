"""Each line of the Procfile is a real command, and they speak of one broker."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from honcho.environ import parse_procfile
from typer.testing import CliRunner

from streamlearn.cli import app
from streamlearn.config_file import load

ROOT = Path(__file__).parents[2]
PROCFILE = parse_procfile((ROOT / "Procfile").read_text(encoding="utf-8")).processes
# The commands of each line, one after the other.
COMMANDS = {name: [shlex.split(part) for part in line.split("&&")] for name, line in PROCFILE.items()}


def of_streamlearn(name: str) -> list[str]:
    """The words of the line's own command, from `streamlearn` on."""
    (words,) = (words for words in COMMANDS[name] if "streamlearn" in words)
    return words[words.index("streamlearn") :]


def variables(name: str) -> dict[str, str]:
    assignments = (
        word.split("=", 1) for words in COMMANDS[name] for word in words if re.match(r"[A-Z_]+=", word)
    )
    return dict(assignments)


def test_the_procfile_has_what_the_stack_has() -> None:
    assert list(PROCFILE) == ["broker", "producer", "daemon", "prometheus"]


@pytest.mark.parametrize(
    ("name", "command"), [("broker", "broker"), ("producer", "produce"), ("daemon", "run")]
)
def test_a_line_of_the_procfile_is_a_real_command(name: str, command: str) -> None:
    words = of_streamlearn(name)
    assert words[1] == command
    shown = CliRunner().invoke(app, [command, "--help"], terminal_width=200)
    assert shown.exit_code == 0, shown.output
    for option in (word for word in words if word.startswith("--")):
        assert re.search(rf"{option}\b", shown.output), f"streamlearn {command} has no {option}"


def test_the_procfiles_daemon_runs_the_stacks_config_on_this_machine() -> None:
    words = of_streamlearn("daemon")
    overrides = [words[index + 1] for index, word in enumerate(words) if word == "--set"]
    config = load(ROOT / words[2], overrides, environment=variables("daemon"))
    assert config.http.host == "127.0.0.1"
    assert config.checkpoint.path.startswith("data/")
    assert config.dead_letters.path.startswith("data/")


def test_all_in_the_procfile_speak_of_one_broker() -> None:
    broker = of_streamlearn("broker")
    address = "127.0.0.1:" + broker[broker.index("--port") + 1]
    assert set(variables("producer").values()) == {address}
    assert variables("daemon") == {
        "STREAMLEARN_BOOTSTRAP_SERVERS": address,
        "KAFKA_BOOTSTRAP_SERVERS": address,
    }
    assert of_streamlearn("producer")[2] == "flights"


@pytest.mark.parametrize("name", ["producer", "daemon"])
def test_who_needs_the_topics_waits_for_them(name: str) -> None:
    # honcho starts all at once, and ends all when one ends.
    assert COMMANDS[name][1] == ["sh", "docker/topics.sh"]
    assert (ROOT / "docker" / "topics.sh").exists()


def test_the_producer_does_not_end_the_others_with_it() -> None:
    assert COMMANDS["producer"][-1] == ["exec", "sleep", "infinity"]


def test_the_procfiles_prometheus_has_a_config_and_the_loopback() -> None:
    ((program, *arguments),) = COMMANDS["prometheus"]
    options = dict(argument.split("=", 1) for argument in arguments)
    assert program == "prometheus"
    assert (ROOT / options["--config.file"]).exists()
    assert options["--web.listen-address"].startswith("127.0.0.1:")
    assert options["--storage.tsdb.path"].startswith("data/")
