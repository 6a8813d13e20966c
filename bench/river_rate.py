"""The whole daemon with one River model, generic and compiled, beside a bare River loop and a plain consumer.

All learn from the same events: JSON of 20 full-precision floats and a boolean label, about 550 bytes, in 4
partitions, lz4. The daemon runs as its users run it (``streamlearn run``), with everything on that is on by
default: it judges on six metrics, all and sliding, scores two baselines, watches for drift, checkpoints,
serves /metrics.

Two things are measured, and named so. A **rate** is steady: events over the seconds of the contender's own clock, from
before it connects to its last event (the daemon's: from its first line to its last checkpoint). Fast contenders
get the events of the topic many times over, so that connecting and loading are a small share for all; rates are
compared, not equal counts. ``*_life`` is the rate over the whole life of the process, interpreter and imports too.

That all did the same work is compared too: the daemon's accuracy has to be the bare loop's.
"""

from __future__ import annotations

import math
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
TOPIC, LONG_TOPIC = "bench-river", "bench-river-long"
SECONDS_MAX = 300.0

DAEMON, LIFE = "daemon", "daemon_life"
COMPILED, COMPILED_LIFE, PER_PARTITION = (
    "daemon_compiled",
    "daemon_compiled_life",
    "daemon_compiled_partition_scope",
)
BARE, UNJUDGED = "bare_river_loop", "bare_river_loop_unjudged"
PLAIN, PLAIN_LIFE = "plain_consumer", "plain_consumer_life"
RAW, C_BATCHES = "consume_thrown_away", "c_batches_thrown_away"
COMPILED_SHORT, COMPILED_ACCURACY = "daemon_compiled_short", "daemon_compiled_accuracy"
ACCURACY, BARE_ACCURACY = "daemon_accuracy", "bare_river_loop_accuracy"

Say = Callable[[str], None]


def measure(bootstrap_servers: str, *, quick: bool, say: Say) -> list[Record]:
    """Measure rates and return benchmark records. Raises SourceError when the broker cannot be written to."""
    slow, fast, rounds = (50_000, 20, 2) if quick else (200_000, 20, 5)
    with TemporaryDirectory(prefix="bench-river-") as name:
        folder = Path(name)
        lines = folder / "events.jsonl"
        workload.write_events(lines, slow, FEATURES)
        event_bytes = lines.stat().st_size / slow - 1
        say(f"{slow:,} events of {event_bytes:.0f} bytes, {fast} times for fast ones, {rounds} rounds")
        try:
            workload.produce(bootstrap_servers, TOPIC, lines)
            workload.produce(bootstrap_servers, LONG_TOPIC, lines, times=fast)
            contenders = _contenders(bootstrap_servers, lines, slow, fast, folder)
            series = take_turns(contenders, rounds, lambda name, figures: say(_told(name, figures)))
        finally:
            for topic in (TOPIC, LONG_TOPIC):
                delete_topic(bootstrap_servers, topic)
    rate, same = "events/s", Target("ratio", at_least=1.0, at_most=1.0)
    return [
        compare(series, DAEMON, BARE, rate, Target("ratio", at_least=0.85)),
        compare(series, DAEMON, PLAIN, rate, Target("ratio", at_least=1.0)),
        compare(series, DAEMON, UNJUDGED, rate),
        compare(series, COMPILED, PLAIN, rate, Target("ratio", at_least=30.0)),
        compare(series, COMPILED, RAW, rate, Target("ratio", at_least=1.0)),
        compare(series, COMPILED, C_BATCHES, rate, Target("ratio", at_least=0.6)),
        compare(series, COMPILED, PER_PARTITION, rate, Target("ratio", at_least=0.9)),
        compare(series, LIFE, BARE, rate),
        compare(series, COMPILED_LIFE, PLAIN_LIFE, rate),
        compare(series, PLAIN, BARE, rate),
        compare(series, RAW, BARE, rate),
        compare(series, ACCURACY, BARE_ACCURACY, "share", same),
        compare(series, COMPILED_ACCURACY, BARE_ACCURACY, "share", same),
    ]


def _contenders(bootstrap_servers: str, lines: Path, slow: int, fast: int, folder: Path) -> list[Contender]:
    of_topic, of_long_topic = (TOPIC, slow), (LONG_TOPIC, slow * fast)

    def daemon(names: tuple[str, ...], events: tuple[str, int], engine: str, scope: str) -> Contender:
        def take_turn() -> Mapping[str, float]:
            return dict(zip(names, _daemon(bootstrap_servers, events, folder, engine, scope), strict=False))

        return Contender(names, take_turn)

    def reader(names: tuple[str, ...], program: str, events: tuple[str, int]) -> Contender:
        arguments = (program, bootstrap_servers, events[0], str(events[1]))
        return Contender(names, lambda: dict(zip(names, _rival(*arguments), strict=False)))

    def in_memory(names: tuple[str, ...], program: str) -> Contender:
        def take_turn() -> Mapping[str, float]:
            rate, _, accuracy = _rival(program, str(lines))
            return dict(zip(names, (rate, accuracy), strict=False))

        return Contender(names, take_turn)

    return [
        in_memory((BARE, BARE_ACCURACY), "bare"),
        daemon((DAEMON, LIFE, ACCURACY), of_topic, "river", "stream"),
        daemon((COMPILED,), of_long_topic, "compiled", "stream"),
        daemon((COMPILED_SHORT, COMPILED_LIFE, COMPILED_ACCURACY), of_topic, "compiled", "stream"),
        daemon((PER_PARTITION,), of_long_topic, "compiled", "partition"),
        reader((PLAIN, PLAIN_LIFE), "plain", of_topic),
        in_memory((UNJUDGED,), "unjudged"),
        reader((RAW,), "raw", of_long_topic),
        reader((C_BATCHES,), "c_batches", of_long_topic),
    ]


def _rival(*arguments: str) -> tuple[float, float, float]:
    """Let a rival run; return its rate, the rate over its process's life, and its accuracy (NaN: it judges none)."""
    # The daemon fixes its own hash seed; its rivals are given the same.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    began = time.perf_counter()
    done = run_program(["-m", "bench.rivals", *arguments], seconds_max=SECONDS_MAX, environment=environment)
    life_seconds = time.perf_counter() - began
    events = done["events"]
    return events / done["seconds"], events / life_seconds, done.get("accuracy", math.nan)


def _daemon(
    bootstrap_servers: str, of_topic: tuple[str, int], below: Path, engine: str, scope: str
) -> tuple[float, float, float]:
    """Let the daemon run to the end of a topic of so many events; return the same of it."""
    topic, events = of_topic
    with TemporaryDirectory(prefix="bench-daemon-", dir=below) as name:
        config = workload.write_config(
            Path(name), bootstrap_servers, topic, FEATURES, engine=engine, scope=scope
        )
        command = ["-m", "streamlearn", "run", str(config), "--until-end", "--json"]
        began = time.perf_counter()
        summary = run_program(command, seconds_max=SECONDS_MAX)
        life_seconds = time.perf_counter() - began
    if summary["events_learned"] != events:
        raise ContenderFailed(f"it learned {summary['events_learned']} of {events} events: {summary}")
    accuracy = summary["models"][0]["metrics"]["accuracy"]
    return events / summary["seconds"], events / life_seconds, accuracy


def _told(name: str, figures: Mapping[str, float]) -> str:
    return f"  {name}: {figures[name]:,.0f} events/s" if figures else f"  {name}: FAILED"
