"""The whole daemon with one River model, generic and compiled, beside a bare River loop and a plain consumer.

All learn from the same events: JSON of 20 full-precision floats and a boolean label, about 550 bytes, in 4
partitions, lz4. The daemon runs as its users run it (``streamlearn run``), with everything on that is on by
default: it judges on six metrics, all and sliding, scores two baselines, watches for drift, checkpoints,
serves /metrics. Its rate is from its own summary, whose clock begins once the interpreter has started and
ends after the last checkpoint; ``wall`` is the rate over the life of the process.

That all did the same work is compared too: the daemon's accuracy has to be the bare loop's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import workload
from bench.harness import (
    Contender,
    ContenderFailed,
    Record,
    Target,
    compare,
    run_program,
    take_turns,
)
from streamlearn.connectors.admin import delete_topic

FEATURES = 20
TOPIC = "bench-river"
SECONDS_MAX = 300.0

DAEMON, WALL, COMPILED = "daemon", "daemon_wall", "daemon_compiled"
BARE, UNJUDGED = "bare_river_loop", "bare_river_loop_unjudged"
PLAIN, RAW = "plain_consumer", "consume_thrown_away"
ACCURACY, BARE_ACCURACY = "daemon_accuracy", "bare_river_loop_accuracy"
COMPILED_ACCURACY = "daemon_compiled_accuracy"

Say = Callable[[str], None]


def measure(bootstrap_servers: str, *, quick: bool, say: Say) -> list[Record]:
    """Measure rates and return benchmark records. Raises SourceError when the broker cannot be written to."""
    events, rounds = (100_000, 3) if quick else (400_000, 5)
    with TemporaryDirectory(prefix="bench-river-") as name:
        folder = Path(name)
        lines = folder / "events.jsonl"
        workload.write_events(lines, events, FEATURES)
        say(f"{events:,} events of {lines.stat().st_size / events - 1:.0f} bytes, {rounds} rounds")
        workload.produce(bootstrap_servers, TOPIC, lines)
        try:
            contenders = _contenders(bootstrap_servers, lines, events, folder)
            series = take_turns(contenders, rounds, lambda name, figures: say(_told(name, figures)))
        finally:
            delete_topic(bootstrap_servers, TOPIC)
    rate = "events/s"
    return [
        compare(series, DAEMON, BARE, rate, Target("ratio", at_least=0.85)),
        compare(series, DAEMON, PLAIN, rate, Target("ratio", at_least=1.0)),
        compare(series, DAEMON, UNJUDGED, rate),
        compare(series, COMPILED, PLAIN, rate, Target("ratio", at_least=30.0)),
        compare(series, COMPILED, RAW, rate, Target("ratio", at_least=1.0)),
        compare(series, WALL, BARE, rate),
        compare(series, PLAIN, BARE, rate),
        compare(series, RAW, BARE, rate),
        compare(series, ACCURACY, BARE_ACCURACY, "share", Target("ratio", at_least=1.0, at_most=1.0)),
        compare(
            series, COMPILED_ACCURACY, BARE_ACCURACY, "share", Target("ratio", at_least=1.0, at_most=1.0)
        ),
    ]


def _contenders(bootstrap_servers: str, lines: Path, events: int, folder: Path) -> list[Contender]:
    from_kafka = (bootstrap_servers, TOPIC, str(events))
    return [
        Contender((BARE, BARE_ACCURACY), lambda: _rival(BARE, "bare", str(lines))),
        Contender((DAEMON, WALL, ACCURACY), lambda: _daemon(bootstrap_servers, events, folder, "river")),
        Contender((COMPILED, COMPILED_ACCURACY), lambda: _compiled(bootstrap_servers, events, folder)),
        Contender((PLAIN,), lambda: {PLAIN: _rival(PLAIN, "plain", *from_kafka)[PLAIN]}),
        Contender((UNJUDGED,), lambda: _rival(UNJUDGED, "unjudged", str(lines))),
        Contender((RAW,), lambda: _rival(RAW, "raw", *from_kafka)),
    ]


def _rival(name: str, *arguments: str) -> Mapping[str, float]:
    # The daemon fixes its own hash seed; its rivals are given the same.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    done = run_program(["-m", "bench.rivals", *arguments], seconds_max=SECONDS_MAX, environment=environment)
    figures = {name: done["events"] / done["seconds"]}
    if "accuracy" in done:
        figures[f"{name}_accuracy"] = done["accuracy"]
    return figures


def _compiled(bootstrap_servers: str, events: int, below: Path) -> Mapping[str, float]:
    figures = _daemon(bootstrap_servers, events, below, "compiled")
    return {COMPILED: figures[DAEMON], COMPILED_ACCURACY: figures[ACCURACY]}


def _daemon(bootstrap_servers: str, events: int, below: Path, engine: str) -> Mapping[str, float]:
    with TemporaryDirectory(prefix="bench-daemon-", dir=below) as name:
        config = workload.write_config(Path(name), bootstrap_servers, TOPIC, FEATURES, engine=engine)
        command = ["-m", "streamlearn", "run", str(config), "--until-end", "--json"]
        began = time.perf_counter()
        summary = run_program(command, seconds_max=SECONDS_MAX)
        wall_seconds = time.perf_counter() - began
    if summary["events_learned"] != events:
        raise ContenderFailed(f"it learned {summary['events_learned']} of {events} events: {summary}")
    return {
        DAEMON: summary["events_read"] / summary["seconds"],
        WALL: summary["events_read"] / wall_seconds,
        ACCURACY: summary["models"][0]["metrics"]["accuracy"],
    }


def _told(name: str, figures: Mapping[str, float]) -> str:
    return f"  {name}: {figures[name]:,.0f} events/s" if figures else f"  {name}: FAILED"
