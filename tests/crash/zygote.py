"""Workers that are forked from a warm process, so that a kill and a restart cost no imports.

``crash_worker.py`` is that process. Whoever is killed is killed by SIGKILL, through a descriptor of the
process: never by an id that might be another's by now.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from crash_points import KillAt

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Job:
    """What one worker is to run. ``result`` is written where it ends in order.

    ``does``: ``read`` to the ends of the partitions, ``live`` until it is terminated, or ``replay`` (replayed.py).
    """

    config: str
    overrides: tuple[str, ...]
    log: Path
    result: Path
    kill_at: KillAt | None = None
    has_links: bool = True
    does: Literal["read", "live", "replay"] = "read"

    def as_json(self) -> dict[str, Any]:
        kill_at = None if self.kill_at is None else [self.kill_at.point, self.kill_at.number]
        return {
            "config": self.config,
            "overrides": self.overrides,
            "log": str(self.log),
            "result": str(self.result),
            "kill_at": kill_at,
            "has_links": self.has_links,
            "does": self.does,
        }


class Worker:
    """One forked worker. ``wait`` until it has ended, ``kill`` it before; ``end`` does both."""

    def __init__(self, zygote: Zygote, process: int) -> None:
        self._zygote = zygote
        self._process = process
        self._descriptor = os.pidfd_open(process)

    def wait(self, seconds: float) -> bool:
        """Whether it ends within so many seconds."""
        return bool(select.select([self._descriptor], [], [], max(0.0, seconds))[0])

    def kill(self) -> None:
        signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end in order."""
        signal.pidfd_send_signal(self._descriptor, signal.SIGTERM)

    def end(self, seconds: float) -> int:
        """Wait so long at most, kill it where that did not do, and return its exit code (below 0: a signal)."""
        if not self.wait(seconds):
            self.kill()
        code = self._zygote.reap(self._process)
        os.close(self._descriptor)
        return code


class Zygote:
    """A warm process under one PYTHONHASHSEED; use as a context manager. For any thread."""

    def __init__(self, hash_seed: int) -> None:
        paths = [str(HERE), str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {
            **os.environ,
            "PYTHONHASHSEED": str(hash_seed),
            "PYTHONPATH": os.pathsep.join(paths),
            "OPENBLAS_NUM_THREADS": "1",  # what is forked has one thread
        }
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "crash_worker.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env=environment,
        )
        self._asking = threading.Lock()

    def __enter__(self) -> Zygote:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def start(self, job: Job) -> Worker:
        with self._asking:
            # Nobody reaps it before its descriptor is open.
            return Worker(self, self._ask({"start": job.as_json()})["started"])

    def reap(self, process: int) -> int:
        """Return how a worker has ended; waits for it."""
        with self._asking:
            code: int = self._ask({"reap": process})["ended"]
            return code

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        answer = self._process.stdout.readline()
        assert answer, "the process that workers are forked from has ended"
        found: dict[str, Any] = json.loads(answer)
        return found
