"""The whole daemon and its rivals in one run, on one broker, in turns: who is how fast, and what makes us slower.

Who takes part, and on what, is said in ``plan.py``. The daemon runs as its users run it (``streamlearn run``), with
everything on that is on by default: it judges on six metrics, all and sliding, scores two baselines, watches for
drift, checkpoints, serves /metrics.

A **rate** is steady: events over the seconds from the first event in hand to the last one done (the daemon's: from
when its first shard is open, before it has asked for an event, to its end, with the last checkpoint). Fast contenders
get the events of the topic many times over; rates are compared, not equal counts. All else in the life of the process
(interpreter, imports, loading kernels, joining the group, exit) is **start-up**, and told beside the rate.

That all did the same work is compared too: the daemon's accuracy has to be the bare River loop's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import plan, vw_file, workload
from bench.daemons import run_to_end
from bench.harness import (
    REPOSITORY,
    Contender,
    ContenderAbsent,
    Record,
    Series,
    compare,
    run_program,
    take_turns,
)
from bench.plan import ACCURACY, STARTUP, Case, Feed, Sizes
from bench.surroundings import QUIX_PYTHON
from streamlearn.connectors.admin import create_topic, delete_topic

SECONDS_MAX = 300.0
VW_SHARE = 0.5  # of the main feed's events are in VW's file

Say = Callable[[str], None]
# What a program that ran says of itself, and how long its process lived.
Turn = Callable[[], tuple[Mapping[str, float], float]]


@dataclass(frozen=True, slots=True)
class Filled:
    """A feed whose topic is full."""

    events: int
    event_bytes: float


def measure(bootstrap_servers: str, *, quick: bool, say: Say, rounds: int | None = None) -> list[Record]:
    """Measure rates and return benchmark records. Raises SourceError when the broker cannot be written to."""
    sizes = plan.QUICK if quick else plan.FULL
    cases = [case for case in plan.CASES if case.quick or not quick]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-speed-")))
        stack.callback(delete_topic, bootstrap_servers, plan.PREDICTIONS_TOPIC)
        create_topic(bootstrap_servers, plan.PREDICTIONS_TOPIC, workload.PARTITIONS, {})
        feeds: dict[Feed, Filled] = {}
        for feed in dict.fromkeys((plan.MAIN, plan.BRIEF, *(case.feed for case in cases))):
            stack.callback(delete_topic, bootstrap_servers, feed.topic)
            feeds[feed] = _fill(bootstrap_servers, feed, sizes, folder)
            say(f"{feed.name}: {feeds[feed].events:,} events of {feeds[feed].event_bytes:.0f} bytes")
        contenders = [
            *_rivals(bootstrap_servers, feeds, sizes, folder),
            *(_daemon(bootstrap_servers, case, feeds[case.feed].events) for case in cases),
        ]
        rounds = rounds or sizes.rounds
        series = take_turns(contenders, rounds, lambda name, figures: say(_told(name, figures)))
    return _records(series, cases, feeds)


def _fill(bootstrap_servers: str, feed: Feed, sizes: Sizes, folder: Path) -> Filled:
    lines = _lines(feed, folder)
    if not lines.exists():
        workload.write_events(lines, sizes.distinct, feed.shape)
    times = feed.times(sizes)
    if feed.form == "arrow":
        workload.produce_arrow(bootstrap_servers, feed.topic, lines, times=times)
    else:
        workload.produce(bootstrap_servers, feed.topic, lines, times=times, partitions=feed.partitions)
    return Filled(feed.events(sizes), lines.stat().st_size / sizes.distinct - 1)


def _lines(feed: Feed, folder: Path) -> Path:
    """Return the file of a feed's distinct events; feeds of one shape share it."""
    return folder / f"{feed.shape}.jsonl"


def _contender(name: str, turn: Turn, *, judges: bool = False) -> Contender:
    """Return one whose figures are its rate, its start-up and, where it judges, its accuracy."""
    names = (name, name + STARTUP, *((name + ACCURACY,) if judges else ()))

    def take_turn() -> Mapping[str, float]:
        done, life_seconds = turn()
        found = (done["events"] / done["seconds"], life_seconds - done["seconds"], done.get("accuracy"))
        return {each: figure for each, figure in zip(names, found, strict=False) if figure is not None}

    return Contender(names, take_turn)


def _rivals(
    bootstrap_servers: str, feeds: Mapping[Feed, Filled], sizes: Sizes, folder: Path
) -> list[Contender]:
    brief, main = feeds[plan.BRIEF], feeds[plan.MAIN]
    of_brief = (bootstrap_servers, plan.BRIEF.topic, str(brief.events))
    of_main = (bootstrap_servers, plan.MAIN.topic, str(main.events))
    lines = _lines(plan.MAIN, folder)
    vw_lines = folder / "events.vw"

    def quix() -> tuple[Mapping[str, float], float]:
        if not QUIX_PYTHON.exists():
            raise ContenderAbsent(f"no {QUIX_PYTHON.relative_to(REPOSITORY)}: 'make bench' could not make it")
        return _program("bench/quix_app.py", *of_brief, python=QUIX_PYTHON)

    def vw() -> tuple[Mapping[str, float], float]:
        vw_file.check_installed()
        if not vw_lines.exists():
            vw_file.write(lines, vw_lines, times=max(1, round(sizes.times * VW_SHARE)))
        return _program("-m", "bench.vw_file", str(vw_lines))

    def raw(feed: Feed) -> Contender:
        arguments = ("raw", bootstrap_servers, feed.topic, str(feeds[feed].events))
        return _contender(plan.raw_name(feed), lambda: _program("-m", "bench.rivals", *arguments))

    return [
        _contender(plan.BARE, lambda: _program("-m", "bench.rivals", "bare", str(lines)), judges=True),
        _contender(plan.PLAIN, lambda: _program("-m", "bench.rivals", "plain", *of_brief), judges=True),
        _contender(plan.QUIX, quix, judges=True),
        _contender(plan.VW, vw),
        _contender(plan.C_BATCHES, lambda: _program("-m", "bench.rivals", "c_batches", *of_main)),
        *(raw(feed) for feed in feeds if feed == plan.MAIN or plan.raw_name(feed) != plan.RAW),
    ]


def _program(*arguments: str, python: Path | None = None) -> tuple[Mapping[str, float], float]:
    # The daemon fixes its own hash seed; its rivals are given the same.
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    began = time.perf_counter()
    done = run_program(arguments, seconds_max=SECONDS_MAX, environment=environment, python=python)
    return done, time.perf_counter() - began


def _daemon(bootstrap_servers: str, case: Case, events: int) -> Contender:
    def turn() -> tuple[Mapping[str, float], float]:
        summary = run_to_end(case.stream(), bootstrap_servers, events)
        accuracy = summary["models"][0]["metrics"]["accuracy"]
        done = {"events": summary["events_read"], "seconds": summary["steady_seconds"], "accuracy": accuracy}
        return done, summary["wall_seconds"]

    return _contender(case.name, turn, judges=True)


def _records(
    series: Mapping[str, Series], cases: Sequence[Case], feeds: Mapping[Feed, Filled]
) -> list[Record]:
    """Return what has to be reached first, then each contender beside the raw ``consume()`` of its feed."""
    records = [
        {**compare(series, each.name, each.baseline, each.unit, each.target), "group": "comparison"}
        for each in plan.COMPARISONS
        if each.name in series  # a quick run has fewer
    ]
    rivals = (plan.RAW, plan.C_BATCHES, plan.VW, plan.BARE, plan.PLAIN, plan.QUIX)
    for name in rivals:
        records.append({**_beside(series, name, plan.RAW, feeds[plan.MAIN]), "group": "side_by_side"})
    for case in cases:
        record = _beside(series, case.name, plan.raw_name(case.feed), feeds[case.feed])
        records.append({**record, "group": case.group, "at": case.at})
    return records


def _beside(series: Mapping[str, Series], name: str, baseline: str, filled: Filled) -> Record:
    startup = series[name + STARTUP].median
    return {
        **compare(series, name, baseline, "events/s"),
        "event_bytes": round(filled.event_bytes),
        "startup_seconds": None if startup is None else round(startup, 2),
    }


def _told(name: str, figures: Mapping[str, float]) -> str:
    if not figures:
        return f"  {name}: NO FIGURE"
    return f"  {name}: {figures[name]:,.0f} events/s, {figures[name + STARTUP]:.1f} s of start-up"
