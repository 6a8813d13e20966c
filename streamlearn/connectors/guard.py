"""Runs commands in order and ends them when whoever started this process is gone, however it went.

    python -m streamlearn.connectors.guard '{"commands": [[...], ...], "grace_seconds": 5, "remove": FOLDER}'

The starter holds the only write end of a pipe that is this process's standard input, and writes nothing
to it. The kernel closes that end when the starter ends, by ``SIGKILL`` too, so end of file means: end the
command that runs (``SIGTERM``, and ``SIGKILL`` after ``grace_seconds``), remove ``FOLDER``, exit. A process
that the starter forked without exec holds the pipe as well, and is waited for.

Invariants: no command outlives the guard; the folder is gone before the guard is.

A process of its own, since a thread of the starter dies with it; standard library only, so that it starts
in milliseconds.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Final

# Bounds how late an end is noticed that no file descriptor announces: a command's own.
_LOOK_EVERY_SECONDS: Final = 0.1
_PR_SET_PDEATHSIG: Final = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """What a guard is to do.

    Parameters
    ----------
    commands
        Argument lists, run one after the other; the first that fails ends the plan.
    grace_seconds
        How long a command has to end after ``SIGTERM`` before it is killed.
    remove
        A folder that is removed at the end, or None.
    """

    commands: tuple[tuple[str, ...], ...]
    grace_seconds: float = 5.0
    remove: str | None = None

    def to_json(self) -> str:
        """Return the plan as the guard's one argument.

        >>> Plan.from_json(Plan((("true",),), remove="/tmp/x").to_json())
        Plan(commands=(('true',),), grace_seconds=5.0, remove='/tmp/x')
        """
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Return the plan that ``to_json`` wrote."""
        document = json.loads(text)
        commands = tuple(tuple(command) for command in document["commands"])
        return cls(commands, document["grace_seconds"], document["remove"])


def start(plan: Plan, *, output: int, hold: int | None = None) -> subprocess.Popen[bytes]:
    """Start a guard over ``plan``; closing the returned process's ``stdin`` ends it.

    Parameters
    ----------
    plan
        What to run.
    output
        File descriptor that takes what the commands and the guard print.
    hold
        File descriptor that the guard keeps open until it ends, such as a locked file's.

    Returns
    -------
    The guard. Its exit code is 0 when it was told to end, else that of the command that ended by itself
    (128 + n for signal n).
    """
    return subprocess.Popen(
        [sys.executable, "-m", "streamlearn.connectors.guard", plan.to_json()],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=output,
        pass_fds=() if hold is None else (hold,),
        # A Ctrl-C in the terminal is for the starter: it decides when the broker goes.
        start_new_session=True,
    )


class _Told:
    """Whether this process was told to end: by the end of the pipe or by a signal."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._signalled = False
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._signalled = True

    def within(self, seconds: float) -> bool:
        readable, _, _ = select.select([self._pipe], [], [], seconds)
        return self._signalled or (bool(readable) and not os.read(self._pipe, 4096))


def _die_with_parent() -> None:
    # Linux alone has this. Elsewhere a command outlives a guard that is itself killed by SIGKILL.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _run(command: tuple[str, ...], told: _Told, grace_seconds: float) -> int | None:
    """Return the command's exit code, or None when this process was told to end."""
    on_linux = sys.platform == "linux"
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, preexec_fn=_die_with_parent if on_linux else None
    )
    while process.poll() is None:
        if told.within(_LOOK_EVERY_SECONDS):
            process.terminate()
            try:
                process.wait(grace_seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            return None
    return process.returncode


def main(argument: str) -> int:
    """Do what the plan says; returns the exit code that ``start`` describes."""
    plan = Plan.from_json(argument)
    told = _Told(sys.stdin.fileno())
    code: int | None = 0
    try:
        for command in plan.commands:
            code = _run(command, told, plan.grace_seconds)
            if code != 0:
                break
    finally:
        if plan.remove is not None:
            shutil.rmtree(plan.remove)
    if code is None:
        return 0
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
