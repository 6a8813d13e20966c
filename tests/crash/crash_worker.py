"""The process that workers are forked from (``zygote.py`` starts it), and the worker itself.

It has imported everything and warmed every kernel before the first fork, has one thread and no Kafka
handle, so a fork is safe and a restarted worker costs no imports. The worker then runs what
``streamlearn run`` runs: real signals, logs, threads and sockets.

It is asked by lines of JSON on stdin, and answers each by one on stdout: ``{"start": ...}`` forks a worker
and tells its process id, ``{"reap": id}`` tells how one that has ended did. At the end of stdin it kills what
is left.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from belt_world import CONFIG, World, events
from crash_points import KillAt, install
from replayed import replayed

from streamlearn.commands.run import run_stream
from streamlearn.config_file import parse
from streamlearn.connectors import (
    kafka_journal,
    kafka_member,
    kafka_outboxes,
    kafka_reader,
    kafka_sinks,
    librdkafka_door,
)
from streamlearn.errors import StreamlearnError

# Named here, so that nobody takes them for forgotten: they are imported for who is forked.
IMPORTED = (kafka_journal, kafka_member, kafka_outboxes, kafka_reader, kafka_sinks, librdkafka_door)

# The allocator that comes with Arrow, which the daemon does not use, stops its own thread for a fork.
SURVIVE = {Path("/proc/self/comm").read_text().strip(), "jemalloc_bg_thd"}


def main() -> int:
    """Answer until stdin ends; in a worker, return its exit code."""
    _warm()
    alive: set[int] = set()
    for line in sys.stdin:
        asked = json.loads(line)
        if "start" in asked:
            assert _threads() <= SURVIVE, f"a thread does not survive a fork: {_threads()}"
            worker = os.fork()
            if worker == 0:
                return _work(asked["start"])
            alive.add(worker)
            answer = {"started": worker}
        else:
            _, status = os.waitpid(asked["reap"], 0)
            alive.remove(asked["reap"])
            answer = {"ended": os.waitstatus_to_exitcode(status)}
        print(json.dumps(answer), flush=True)
    for worker in alive:
        os.kill(worker, signal.SIGKILL)
        os.waitpid(worker, 0)
    return 0


def _threads() -> set[str]:
    """Return the names of this process's threads, librdkafka's and all."""
    return {(each / "comm").read_text().strip() for each in Path("/proc/self/task").iterdir()}


def _warm() -> None:
    with tempfile.TemporaryDirectory() as folder:
        World(Path(folder), events(400, 4, bad_every=50), text=CONFIG).run()


def _work(job: dict[str, Any]) -> int:
    """Run the daemon; in the end write what it did, and how often it came to which point."""
    log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, nothing), (1, log), (2, log)):
        os.dup2(source, target)
    kill_at = None if job["kill_at"] is None else KillAt(*job["kill_at"])
    steps = install(kill_at, has_links=job["has_links"])
    try:
        config = parse(job["config"], job["overrides"], {})
        if job["does"] == "replay":
            Path(job["result"]).write_text(json.dumps(replayed(config)))
            return 0
        until_end = job["does"] == "read"
        summary = run_stream(config, until_end=until_end, log_format="json", verbose=False)
    except StreamlearnError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    Path(job["result"]).write_text(json.dumps({"summary": summary, "counts": steps.counts}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
