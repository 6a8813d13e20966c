"""Run the benchmarks, print one table, write ``results.json`` and ``machine.json``.

    python -m bench [--quick] [--only NAME] [--bootstrap-servers HOST:PORT]

Exit code 1 when a contender failed; a target that was missed is shown in the table and is no failure.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

from bench import labels_rate, memory, river_rate
from bench.harness import (
    ContenderFailed,
    Record,
    failed,
    results_table,
    run_program,
    write_results,
)
from streamlearn.connectors.local_broker import LocalBroker
from streamlearn.environment import Environment
from streamlearn.errors import StreamlearnError

SUITES = ("river", "labels", "memory", "torch")
ON_KAFKA = ("river", "memory")
TORCH_ROWS = 10_000_000
TORCH_SECONDS_MAX = 3600.0
FOLDER = Path(__file__).parent
LIBRARIES = ("streamlearn", "river", "confluent-kafka", "numpy", "pyarrow", "polars", "torch")

# The table is wide; where there is no terminal, rich would cut it to 80 columns.
console = Console(width=None if sys.stdout.isatty() else 140)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer events and rounds: under 3 minutes")
    parser.add_argument("--only", choices=SUITES, action="append", help="this suite alone; repeatable")
    parser.add_argument("--bootstrap-servers", metavar="HOST:PORT", help="a Kafka that runs already")
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder for the two JSON files")
    options = parser.parse_args(arguments)
    suites = tuple(suite for suite in SUITES if options.only is None or suite in options.only)
    options.output.mkdir(parents=True, exist_ok=True)
    machine = options.output / "machine.json"
    machine.write_text(json.dumps(_machine(quick=options.quick), indent=2) + "\n", encoding="utf-8")

    records: list[Record] = []
    with ExitStack() as stack:
        bootstrap_servers = ""
        if any(suite in ON_KAFKA for suite in suites):
            bootstrap_servers = options.bootstrap_servers or _broker(stack)
        for suite in suites:
            began = time.monotonic()
            console.rule(suite, align="left")
            found = _run(suite, bootstrap_servers, quick=options.quick)
            found = [{**record, "quick": options.quick} for record in found]
            write_results(options.output / "results.json", suite, found)
            records += found
            console.print(f"{suite} took {time.monotonic() - began:.0f} s")
    console.print()
    console.print(results_table(records))
    failures = [record for record in records if "failure" in record]
    for record in failures:
        console.print(f"{record['name']} FAILED: {record['failure']}", style="red", markup=False)
    return 1 if failures else 0


def _run(suite: str, bootstrap_servers: str, *, quick: bool) -> list[Record]:
    try:
        match suite:
            case "river":
                return river_rate.measure(bootstrap_servers, quick=quick, say=_say)
            case "labels":
                return labels_rate.measure(quick=quick, say=_say)
            case "memory":
                return memory.measure(bootstrap_servers, quick=quick, say=_say)
            case _:
                return _torch(quick=quick)
    except (StreamlearnError, ContenderFailed, OSError) as error:
        return [failed(suite, f"{type(error).__name__}: {error}")]


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
    return stack.enter_context(LocalBroker(report=_say)).bootstrap_servers


def _machine(*, quick: bool) -> dict[str, object]:
    """Return what the figures depend on beside the code."""
    return {
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "quick": quick,
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "load_average_before": os.getloadavg()[0],
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {library: version(library) for library in LIBRARIES},
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _say(line: str) -> None:
    console.print(line, highlight=False, markup=False)


if __name__ == "__main__":
    sys.exit(main())
