"""From produce to a prediction that can be read: p50 and p99 at an even rate, by delivery and ``commit_ms``.

    python -m bench.latency [--quick] [--rate N] [--case NAME] [--bootstrap-servers HOST:PORT]

The events (JSON, 20 floats, 4 partitions) are sent by one process and the predictions read by another
(latency_ends.py), while a daemon with a compiled River model runs with its defaults between them. ``kafka_alone``
is the same without a daemon: the receiver reads the events themselves. A prediction passes the broker twice, so
twice that is the floor.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from rich.console import Console

from bench import daemons
from bench.harness import (
    REPOSITORY,
    Contender,
    ContenderFailed,
    Record,
    Target,
    compare,
    results_table,
    take_turns,
)
from bench.workload import PARTITIONS
from streamlearn.connectors.admin import create_topic, delete_topic
from streamlearn.connectors.local_broker import LocalBroker

RATE = 5_000
WARM_SECONDS = 2.0  # of events that are sent and not counted
EXTRA_SECONDS = 20.0
ALONE = "kafka_alone"
P99_MS_MAX = 25.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Case:
    """A daemon between the two ends; none: the receiver reads what was sent."""

    name: str
    delivery: str | None = None
    commit_ms: int | None = None
    scope: str = "stream"
    target: Target | None = None
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


P99 = Target("value", at_most=P99_MS_MAX)
CASES = (
    Case(ALONE),
    Case("latency_at_least_once", "at_least_once", target=P99),
    Case("latency_at_least_once_partition_scope", "at_least_once", scope="partition"),
    Case("latency_exactly_once_default", "exactly_once"),
    Case("latency_exactly_once_commit_5", "exactly_once", 5),
    Case("latency_exactly_once_commit_20", "exactly_once", 20),
    Case("latency_exactly_once_commit_50", "exactly_once", 50),
)
CASES_QUICK = (ALONE, "latency_at_least_once", "latency_exactly_once_default")


def measure(
    bootstrap_servers: str, *, quick: bool, say: Say, rate: int = RATE, only: str | None = None
) -> list[Record]:
    """Measure milliseconds and return benchmark records. Raises SourceError when the broker cannot be used."""
    seconds, rounds = (4.0, 1) if quick else (8.0, 3)
    cases = [case for case in CASES if not quick or case.name in CASES_QUICK]
    cases = [case for case in cases if only in (None, case.name)]
    contenders = [
        Contender(
            (f"{case.name}_p50", f"{case.name}_p99"),
            lambda case=case: _turn(case, bootstrap_servers, rate, seconds, stages),
        )
        for case in cases
    ]
    say(f"{rate:,} events/s for {seconds:g} s, {rounds} rounds, and some that are not counted")
    # A broker that has just started compiles itself, for as long as it is asked for the first time.
    _ages(next(case for case in CASES if case.delivery), bootstrap_servers, rate, seconds)
    stages: dict[str, dict[str, float]] = {}
    series = take_turns(contenders, rounds, lambda name, figures: say(_told(name, figures)))
    records = []
    for case in cases:
        for figure in ("p50", "p99"):
            target = case.target if figure == "p99" else None
            baseline = f"{ALONE if only is None else case.name}_{figure}"
            record = compare(series, f"{case.name}_{figure}", baseline, "ms", target)
            more = {"events_per_second": rate, "commit_ms": case.commit_ms, "stages": stages.get(case.name)}
            records.append({**record, **more})
    return records


def _told(name: str, figures: Mapping[str, float]) -> str:
    if not figures:
        return f"  {name.removesuffix('_p50')}: FAILED"
    p50, p99 = figures.values()
    return f"  {name.removesuffix('_p50')}: p50 {p50:.1f} ms, p99 {p99:.1f} ms"


def _turn(
    case: Case, bootstrap_servers: str, rate: int, seconds: float, stages: dict[str, dict[str, float]]
) -> dict[str, float]:
    ages_ms, stages[case.name] = _ages(case, bootstrap_servers, rate, seconds)
    return {
        f"{case.name}_p50": float(np.percentile(ages_ms, 50)),
        f"{case.name}_p99": float(np.percentile(ages_ms, 99)),
    }


def _ages(
    case: Case, bootstrap_servers: str, rate: int, seconds: float
) -> tuple[list[float], dict[str, float]]:
    """Return how old each record was when it was in hand, those of the first seconds left out; and the stages."""
    events_in = f"bench-latency-{uuid.uuid4().hex[:8]}"
    predictions = f"{events_in}-predictions"
    create_topic(bootstrap_servers, events_in, PARTITIONS, {})
    create_topic(bootstrap_servers, predictions, PARTITIONS, {})
    events = int(rate * (WARM_SECONDS + seconds))
    isolation = "read_committed" if case.delivery == "exactly_once" else "read_uncommitted"
    seconds_max = WARM_SECONDS + seconds + EXTRA_SECONDS
    read = events_in if case.delivery is None else predictions
    ends = [sys.executable, "-m", "bench.latency_ends"]
    try:
        with _daemon(case, bootstrap_servers, events_in, predictions) as daemon:
            receiver = subprocess.Popen(
                [*ends, "receive", bootstrap_servers, read, str(events), isolation, str(seconds_max)],
                cwd=REPOSITORY,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            assert receiver.stderr is not None
            said = receiver.stderr.readline()
            if said != "READY\n":
                raise ContenderFailed(f"the receiver does not read: {said}{receiver.communicate()[1]}")
            sender = subprocess.run(
                [*ends, "send", bootstrap_servers, events_in, str(rate), str(WARM_SECONDS + seconds)],
                cwd=REPOSITORY,
                capture_output=True,
                text=True,
                check=False,
            )
            out, err = receiver.communicate(timeout=seconds_max + EXTRA_SECONDS)
            stages = {} if daemon is None else _stages(daemon)
    finally:
        delete_topic(bootstrap_servers, events_in)
        delete_topic(bootstrap_servers, predictions)
    if sender.returncode != 0 or receiver.returncode != 0:
        raise ContenderFailed(f"an end failed: {sender.stderr[-1000:]}{err[-1000:]}")
    ages_ms: list[float] = json.loads(out)["ages_ms"]
    if len(ages_ms) != events:
        raise ContenderFailed(f"{len(ages_ms)} of {events} records came within {seconds_max:g} s")
    return ages_ms[int(rate * WARM_SECONDS) :], stages


def _stages(daemon: daemons.LiveDaemon) -> dict[str, float]:
    """Return how many milliseconds each stage took, on average a call, and how many calls there were."""
    stages = daemon.costs().stages
    means = {stage: round(1000 * seconds / calls, 3) for stage, (calls, seconds) in stages.items() if calls}
    return means | {"calls": stages["learn"][0]}


@contextmanager
def _daemon(
    case: Case, bootstrap_servers: str, events_in: str, predictions: str
) -> Iterator[daemons.LiveDaemon | None]:
    if case.delivery is None:
        yield None
        return
    out: dict[str, Any] = {"topic": predictions, "delivery": case.delivery}
    if case.commit_ms is not None:
        out["commit_ms"] = case.commit_ms
    tables = {"stream": {"scope": case.scope}, "event": {"id": "id"}, "predictions": out, **case.tables}
    with TemporaryDirectory(prefix="bench-latency-") as name:
        port = daemons.free_port()
        config = daemons.Stream(events_in, tables=tables).write(Path(name), bootstrap_servers, port)
        with daemons.live(config, port) as daemon:
            _await_ready(daemon)
            yield daemon


def _await_ready(daemon: daemons.LiveDaemon) -> None:
    deadline = time.monotonic() + daemons.START_SECONDS_MAX
    while not daemon.is_ready():
        if time.monotonic() > deadline:
            raise ContenderFailed(f"it is not ready: {daemon.tail()}")
        time.sleep(daemons.LOOK_EVERY_SECONDS)


def main() -> None:
    """Measure on a broker of our own, or a given one, and print a table."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.latency", description="From produce to prediction."
    )
    parser.add_argument("--quick", action="store_true", help="fewer cases, seconds and rounds")
    parser.add_argument("--rate", type=int, default=RATE, help="events/s")
    parser.add_argument("--case", choices=[case.name for case in CASES], help="this one alone")
    parser.add_argument("--json", action="store_true", help="print the records")
    parser.add_argument("--bootstrap-servers", metavar="HOST:PORT", help="a Kafka that runs already")
    options = parser.parse_args()
    console = Console()

    def run(servers: str) -> list[Record]:
        return measure(servers, quick=options.quick, say=console.print, rate=options.rate, only=options.case)

    if options.bootstrap_servers is not None:
        records = run(options.bootstrap_servers)
    else:
        with LocalBroker(lasting=True, report=console.print) as broker:
            records = run(broker.bootstrap_servers)
    console.print_json(json.dumps(records)) if options.json else console.print(results_table(records))


if __name__ == "__main__":
    main()
