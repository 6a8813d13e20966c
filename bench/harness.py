"""Contenders that take turns, and what is said of their figures.

Every ratio is of two contenders that ran side by side: in each round every one takes a turn, the next
round begins with the next of them, and a figure is the median over the rounds. So a machine that slows down
halfway slows down all of them, and no one always runs behind the same other one.

A contender that fails is reported with what it said, and one that is not installed here as absent, with why;
none is ever left out.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich.table import Table

# What is written for each comparison; the six keys of RECORD_KEYS always, others where they say more.
Record = dict[str, Any]
RECORD_KEYS = ("name", "unit", "value", "baseline", "baseline_value", "ratio")

REPOSITORY = Path(__file__).resolve().parents[1]
_MESSAGE_CHARACTERS = 2000


class ContenderFailed(Exception):
    """A contender did not do its work; the message says what it said."""


class ContenderAbsent(Exception):
    """A contender is not installed on this machine; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One that is measured.

    Parameters
    ----------
    names
        Of the figures that a turn brings.
    take_turn
        Do the work once and return these figures. Raises ContenderFailed and ContenderAbsent.
    """

    names: tuple[str, ...]
    take_turn: Callable[[], Mapping[str, float]]


@dataclass(slots=True)
class Series:
    """The figures of one name over the rounds.

    >>> series = Series([100.0, 104.0, 90.0])
    >>> series.median, series.spread
    (100.0, 0.14)
    """

    values: list[float] = field(default_factory=list)
    failure: str | None = None
    absence: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether it takes no further turn."""
        return self.failure is not None or self.absence is not None

    @property
    def median(self) -> float | None:
        """None where it failed, in whichever round, and where it was absent."""
        return statistics.median(self.values) if self.values and not self.is_over else None

    @property
    def spread(self) -> float | None:
        """How far the largest is from the smallest, as a share of the median."""
        return (max(self.values) - min(self.values)) / self.median if self.median else None

    @property
    def range(self) -> list[float]:
        """The smallest and the largest; nothing where there is no median."""
        return [] if self.median is None else [min(self.values), max(self.values)]


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure has to reach.

    >>> str(Target("ratio", at_least=0.85)), Target("ratio", at_least=0.85).is_met_by(value=3.0, ratio=0.9)
    ('ratio >= 0.85', True)
    """

    of: Literal["value", "ratio"]
    at_least: float = float("-inf")
    at_most: float = float("inf")

    def is_met_by(self, *, value: float, ratio: float) -> bool:
        return self.at_least <= (value if self.of == "value" else ratio) <= self.at_most

    def __str__(self) -> str:
        if self.at_least == self.at_most:
            return f"{self.of} = {self.at_least:g}"
        low = f"{self.of} >= {self.at_least:g}" if self.at_least != float("-inf") else ""
        high = f"{self.of} <= {self.at_most:g}" if self.at_most != float("inf") else ""
        return " and ".join(filter(None, (low, high)))


def take_turns(
    contenders: Sequence[Contender], rounds: int, on_turn: Callable[[str, Mapping[str, float]], None]
) -> dict[str, Series]:
    """Let all take a turn in each round, each round beginning with another one; return their figures.

    One that fails or is absent takes no further turn. ``on_turn`` is called after each turn, with what was taken and
    the figures (none: it brought none).

    >>> ada = Contender(("ada",), lambda: {"ada": 2.0})
    >>> bob = Contender(("bob",), lambda: {"bob": 1.0})
    >>> order = []
    >>> series = take_turns([ada, bob], 2, lambda name, figures: order.append(name))
    >>> order, series["ada"].values
    (['ada', 'bob', 'bob', 'ada'], [2.0, 2.0])
    """
    series = {name: Series() for contender in contenders for name in contender.names}
    for number in range(rounds):
        first = number % len(contenders)
        for contender in [*contenders[first:], *contenders[:first]]:
            own = [series[name] for name in contender.names]
            if any(each.is_over for each in own):
                continue
            figures: Mapping[str, float] = {}
            try:
                figures = contender.take_turn()
            except ContenderFailed as failure:
                for each in own:
                    each.failure = str(failure)
            except ContenderAbsent as absence:
                for each in own:
                    each.absence = str(absence)
            for name, figure in figures.items():
                series[name].values.append(figure)
            on_turn(contender.names[0], figures)
    return series


def compare(
    series: Mapping[str, Series], name: str, baseline: str, unit: str, target: Target | None = None
) -> Record:
    """Return the record of one contender beside another; figures that failed are None.

    ``ratio_range`` holds the smallest and the largest ratio within a round: it tells what noise does to
    the ratio better than the spreads, since both sides of a round share their disturbances.

    >>> series = {"ours": Series([9.0, 8.0, 8.0]), "theirs": Series([10.0, 8.0, 8.0])}
    >>> record = compare(series, "ours", "theirs", "events/s", Target("ratio", at_least=0.85))
    >>> record["value"], record["ratio"], record["ratio_range"], record["met"]
    (8.0, 1.0, [0.9, 1.0], True)
    """
    ours, theirs = series[name], series[baseline]
    record: Record = {
        "name": name,
        "unit": unit,
        "value": _short(ours.median),
        "baseline": baseline,
        "baseline_value": _short(theirs.median),
        "ratio": None,
        "spread": _short(ours.spread),
        "range": [_short(bound) for bound in ours.range],
        "baseline_spread": _short(theirs.spread),
        "repeats": len(ours.values),
    }
    if ours.median is not None and theirs.median:
        ratio = ours.median / theirs.median
        ratios = [own / other for own, other in zip(ours.values, theirs.values, strict=True)]
        record |= {"ratio": _short(ratio), "ratio_range": [_short(min(ratios)), _short(max(ratios))]}
        if target is not None:
            record["met"] = target.is_met_by(value=ours.median, ratio=ratio)
    if target is not None:
        record["target"] = str(target)
    failures = {each: series[each].failure for each in (name, baseline)}
    absences = {each: series[each].absence for each in (name, baseline)}
    for key, said in (("failure", failures), ("absent", absences)):
        if any(said.values()):
            record[key] = "; ".join(f"{each}: {text}" for each, text in said.items() if text)
    return record


def failed(name: str, failure: str) -> Record:
    """Return the record of a benchmark that brought nothing."""
    return {**dict.fromkeys(RECORD_KEYS), "name": name, "failure": failure}


def run_program(
    arguments: Sequence[str],
    *,
    seconds_max: float,
    environment: Mapping[str, str] | None = None,
    python: Path | None = None,
    log: Path | None = None,
) -> Any:
    """Run a Python program (what follows ``python``) from the repository; return the JSON of its stdout.

    Each turn of a contender is a process of its own, so that none inherits another's heap or threads.
    ``python`` is the interpreter, where it is not this one; what the program says on stderr goes to ``log``.

    Raises
    ------
    ContenderFailed
        It ended with another code than 0, said no JSON, or took longer than ``seconds_max`` (it is killed).
    """
    try:
        done = subprocess.run(
            [python or sys.executable, *arguments],
            cwd=REPOSITORY,
            env=None if environment is None else dict(environment),
            capture_output=True,
            text=True,
            timeout=seconds_max,
            check=True,
        )
        if log is not None:
            log.write_text(done.stderr, "utf-8")
        return json.loads(done.stdout)
    except subprocess.CalledProcessError as error:
        raise ContenderFailed(
            f"exit code {error.returncode}: {error.stderr.strip()[-_MESSAGE_CHARACTERS:]}"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ContenderFailed(f"it took longer than {seconds_max:g} s") from error
    except json.JSONDecodeError as error:
        raise ContenderFailed(f"it printed no JSON: {done.stdout[:_MESSAGE_CHARACTERS]!r}") from error


def write_results(path: Path, suite: str, records: Sequence[Record]) -> None:
    """Put a suite's records in place of its earlier ones; those of other suites stay as they were.

    Raises OSError, and ValueError where the file holds something else.
    """
    for record in records:
        missing = [key for key in RECORD_KEYS if key not in record]
        assert not missing, f"the record {record.get('name')!r} has no {missing}"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    kept = [record for record in kept if record["suite"] != suite]
    kept += [{**record, "suite": suite} for record in records]
    path.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


def results_table(records: Sequence[Record]) -> Table:
    """Return the records as a table for people."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("figure", "value", "unit", "against", "its value", "ratio", "in a round", "target"):
        right = column in ("value", "its value", "ratio")
        table.add_column(column, justify="right" if right else "left", no_wrap=True)
    for record in records:
        table.add_row(
            record["name"],
            _shown(record["value"]),
            record["unit"],
            record["baseline"],
            _shown(record["baseline_value"]),
            _shown(record["ratio"]),
            " to ".join(map(_shown, record.get("ratio_range", []))),
            _verdict(record),
        )
    return table


def _verdict(record: Record) -> str:
    if "absent" in record:
        return f"[red]ABSENT[/red] {record.get('target', '')}".rstrip()
    if "failure" in record:
        return f"[red]FAILED[/red] {record.get('target', '')}".rstrip()
    if "met" not in record:
        return ""
    return f"[green]{record['target']}[/green]" if record["met"] else f"[red]{record['target']}: missed[/red]"


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


def _shown(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3f}"


def measure_alone(program: str, doc: str, measure: Callable[..., list[Record]]) -> None:
    """Measure one suite by itself (``--quick``) and print its records as JSON; what it says meanwhile goes to stderr."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=doc.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer events and rounds")
    options = parser.parse_args()
    records = measure(quick=options.quick, say=lambda line: print(line, file=sys.stderr))
    sys.stdout.write(json.dumps(records, indent=2) + "\n")
