"""The guard: what it started never outlives whoever started it, and its folder goes with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import eventually

from streamlearn.connectors import guard


def python(code: str, *arguments: object) -> tuple[str, ...]:
    return (sys.executable, "-c", code, *map(str, arguments))


WRITES_ITS_PID = """
import os, pathlib, signal, sys
{before}
pathlib.Path(sys.argv[1] + ".part").write_text(str(os.getpid()))
os.rename(sys.argv[1] + ".part", sys.argv[1])
signal.pause()
"""
WAITS = WRITES_ITS_PID.format(before="")
WILL_NOT_GO = WRITES_ITS_PID.format(before="signal.signal(signal.SIGTERM, signal.SIG_IGN)")


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def pid_in(path: Path) -> int:
    eventually(path.exists, why=f"{path}, which the command writes when it runs")
    return int(path.read_text())


@pytest.fixture
def run(tmp_path):
    started = []

    def start(*commands, grace_seconds=5.0, remove=None):
        with (tmp_path / "log").open("ab") as log:
            process = guard.start(guard.Plan(commands, grace_seconds, remove), output=log.fileno())
        started.append(process)
        return process

    yield start
    for process in started:
        process.stdin.close()
        process.wait(20)


def test_closing_the_pipe_ends_the_command_and_removes_the_folder(run, tmp_path):
    folder = tmp_path / "data"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "file").write_text("x")
    process = run(python(WAITS, tmp_path / "pid"), remove=str(folder))
    pid = pid_in(tmp_path / "pid")
    assert folder.exists()
    process.stdin.close()
    assert process.wait(10) == 0
    assert is_gone(pid)
    assert not folder.exists()


def test_a_command_that_ignores_sigterm_is_killed_after_the_grace(run, tmp_path):
    process = run(python(WILL_NOT_GO, tmp_path / "pid"), grace_seconds=0.2)
    pid = pid_in(tmp_path / "pid")
    process.stdin.close()
    assert process.wait(10) == 0
    assert is_gone(pid)


def test_sigterm_to_the_guard_ends_the_command(run, tmp_path):
    process = run(python(WAITS, tmp_path / "pid"))
    pid = pid_in(tmp_path / "pid")
    process.send_signal(signal.SIGINT)  # a Ctrl-C is for the starter
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert is_gone(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
def test_sigkill_to_the_guard_ends_the_command(run, tmp_path):
    process = run(python(WAITS, tmp_path / "pid"))
    pid = pid_in(tmp_path / "pid")
    process.kill()
    process.wait(10)
    eventually(lambda: is_gone(pid), why="the command's end")


def test_sigkill_to_the_starter_ends_the_command_and_removes_the_folder(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    plan = guard.Plan((python(WAITS, tmp_path / "pid"),), remove=str(folder))
    code = (
        "import signal, sys\n"
        "from streamlearn.connectors import guard\n"
        "guard.start(guard.Plan.from_json(sys.argv[1]), output=2)\n"
        "signal.pause()\n"
    )
    starter = subprocess.Popen(python(code, plan.to_json()))
    try:
        pid = pid_in(tmp_path / "pid")
    finally:
        starter.kill()
        starter.wait()
    eventually(lambda: is_gone(pid), why="the command's end")
    eventually(lambda: not folder.exists(), why="the folder's removal")


def test_commands_run_in_order(run, tmp_path):
    append = "import sys; open(sys.argv[1], 'a').write(sys.argv[2])"
    process = run(*(python(append, tmp_path / "out", word) for word in "abc"))
    assert process.wait(20) == 0
    assert (tmp_path / "out").read_text() == "abc"


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [("raise SystemExit(3)", 3), ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 128 + 9)],
)
def test_the_first_command_that_fails_ends_the_plan_with_its_code(run, tmp_path, code, exit_code):
    folder = tmp_path / "data"
    folder.mkdir()
    process = run(python(code), python(WAITS, tmp_path / "pid"), remove=str(folder))
    assert process.wait(10) == exit_code
    assert not (tmp_path / "pid").exists()
    assert not folder.exists()


def test_a_command_that_cannot_be_started_fails_and_removes_the_folder(run, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    process = run(("/nonexistent/java", "-version"), remove=str(folder))
    assert process.wait(10) != 0
    assert "/nonexistent/java" in (tmp_path / "log").read_text()
    assert not folder.exists()
