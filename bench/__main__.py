"""Run the benchmarks, print one table, write ``results.json``, draw the plots.

    python -m bench [--quick] [--only NAME] [--rounds N] [--bootstrap-servers HOST:PORT] [--output FOLDER]

``speed`` is the run of all contenders side by side (``bench/speed.py``). A quick run does ``speed`` and
``compiled`` with fewer cases, events and rounds, and writes below ``build/bench``: what is in ``bench/`` stays.
Exit code 1 when a contender failed; a target that was missed, and a contender that is absent, are shown and are no
failure.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from bench import checkpoints, compiled_rate, decode_rate, labels_rate, latency, memory, plots, speed, stages
from bench.harness import (
    REPOSITORY,
    ContenderAbsent,
    ContenderFailed,
    Record,
    failed,
    results_table,
    run_program,
    write_results,
)
from bench.surroundings import surroundings
from streamlearn.connectors.local_broker import LocalBroker
from streamlearn.environment import Environment
from streamlearn.errors import StreamlearnError

SUITES = ("speed", "compiled", "decode", "stages", "labels", "latency", "checkpoints", "memory", "torch")
QUICK_SUITES = ("speed", "compiled")
ON_KAFKA = ("speed", "stages", "latency", "memory")
TORCH_ROWS = 10_000_000
TORCH_SECONDS_MAX = 3600.0
FOLDER, QUICK_FOLDER = REPOSITORY / "bench", REPOSITORY / "build" / "bench"
PLOTS = REPOSITORY / "docs" / "plots"

# The table is wide; where there is no terminal, rich would cut it to 80 columns.
console = Console(width=None if sys.stdout.isatty() else 160)


def main(arguments: Sequence[str]) -> int:
    """Run what was asked for; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="under two minutes on two cores")
    parser.add_argument("--only", choices=SUITES, action="append", help="this suite alone; repeatable")
    parser.add_argument("--rounds", type=int, help="of the speed suite")
    parser.add_argument("--bootstrap-servers", metavar="HOST:PORT", help="a Kafka that runs already")
    parser.add_argument("--output", type=Path, help="folder for results.json")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _leave)
    suites = options.only or (QUICK_SUITES if options.quick else SUITES)
    output: Path = (options.output or (QUICK_FOLDER if options.quick else FOLDER)).resolve()
    output.mkdir(parents=True, exist_ok=True)
    beside = surroundings(arguments, quick=options.quick)

    records: list[Record] = []
    with ExitStack() as stack:
        bootstrap_servers = ""
        if any(suite in ON_KAFKA for suite in suites):
            bootstrap_servers = options.bootstrap_servers or _broker(stack)
        for suite in suites:
            began = time.monotonic()
            console.rule(suite, align="left")
            found = _run(suite, bootstrap_servers, quick=options.quick, rounds=options.rounds)
            write_results(output / "results.json", suite, [{**record, **beside} for record in found])
            records += found
            _say(f"{suite} took {time.monotonic() - began:.0f} s")
    console.print()
    console.print(results_table(records))
    _say(f"written: {output / 'results.json'}")
    for path in _plots(output):
        _say(f"written: {path}")
    for key, word in (("failure", "FAILED"), ("absent", "ABSENT")):
        for told in dict.fromkeys(record[key] for record in records if key in record):
            console.print(f"{word}: {told}", style="bold red", markup=False)
    return 1 if any("failure" in record for record in records) else 0


def _leave(signum: int, frame: object) -> None:
    """End as Ctrl-C does: the contender that takes its turn, the broker and the topics go too."""
    sys.exit(128 + signum)


def _run(suite: str, bootstrap_servers: str, *, quick: bool, rounds: int | None) -> list[Record]:
    try:
        match suite:
            case "speed":
                return speed.measure(bootstrap_servers, quick=quick, say=_say, rounds=rounds)
            case "compiled":
                shapes = compiled_rate.SHAPES[:1] if quick else compiled_rate.SHAPES
                return compiled_rate.measure(quick=quick, shapes=shapes)
            case "decode":
                return decode_rate.measure(quick=quick, say=_say)
            case "stages":
                return stages.measure(bootstrap_servers, quick=quick, say=_say)
            case "labels":
                return labels_rate.measure(quick=quick, say=_say)
            case "latency":
                return latency.measure(bootstrap_servers, quick=quick, say=_say)
            case "checkpoints":
                return checkpoints.measure(quick=quick, say=_say)
            case "memory":
                return memory.measure(bootstrap_servers, quick=quick, say=_say)
            case _:
                return _torch(quick=quick)
    except (StreamlearnError, ContenderFailed, OSError) as error:
        return [failed(suite, f"{type(error).__name__}: {error}")]


def _plots(output: Path) -> list[Path]:
    """Draw what is in the results, where the run was a speed run; those of ``bench/`` are the documentation's."""
    records = json.loads((output / "results.json").read_text("utf-8"))
    try:
        return plots.draw(records, PLOTS if output == FOLDER else output / "plots")
    except ContenderAbsent as absence:
        console.print(f"NO PLOTS: {absence}", style="bold red", markup=False)
        return []


def _torch(*, quick: bool) -> list[Record]:
    """Run the torch benchmark in a process of its own: torch is big, and sets threads for a whole process."""
    arguments = ["-m", "bench.torch_rate", "--rows", str(TORCH_ROWS), *(["--quick"] if quick else [])]
    records: list[Record] = run_program(arguments, seconds_max=TORCH_SECONDS_MAX)
    return records


def _broker(stack: ExitStack) -> str:
    given = Environment().streamlearn_bootstrap_servers
    if given:
        return given
    _say("Apache Kafka starts on this machine")
    return stack.enter_context(LocalBroker(lasting=True, report=_say)).bootstrap_servers


def _say(line: str) -> None:
    console.print(line, highlight=False, markup=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
