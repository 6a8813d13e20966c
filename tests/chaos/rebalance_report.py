"""What became of the rebalances of one or several groups, as a table and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from chaos.rebalance_oracle import START, Took

KINDS = ("kill", "freeze", "return", "add", "remove", START)


@dataclass
class Report:
    """Of one group. Seconds throughout."""

    setup: str
    seed: int
    done: Counter[str] = field(default_factory=Counter)
    pauses: list[Took] = field(default_factory=list)
    gaps: list[Took] = field(default_factory=list)
    events: int = 0
    records: int = 0
    differences: list[str] = field(default_factory=list)

    def rows(self) -> list[dict[str, Any]]:
        """One row for each kind of disturbance that happened or moved something."""
        kinds = [kind for kind in KINDS if self.done[kind] or _of(kind, self.pauses + self.gaps)]
        return [
            {
                "setup": self.setup,
                "kind": kind,
                "count": self.done[kind],
                **_figures("pause", _of(kind, self.pauses)),
                **_figures("gap", _of(kind, self.gaps)),
            }
            for kind in kinds
        ]

    def as_json(self) -> dict[str, Any]:
        return {
            "setup": self.setup,
            "seed": self.seed,
            "actions": self.done.total() - self.done["return"],
            "events": self.events,
            "records": self.records,
            "differences": self.differences,
            "rows": self.rows(),
        }


def table(reports: Sequence[Report]) -> list[str]:
    """Return the lines of a table over all reports.

    >>> report = Report("stream", 0, Counter(kill=1), [Took("kill", 3.0)], [Took("kill", 3.5)])
    >>> for line in table([report])[1:]: print(" ".join(line.split()))
    stream kill 1 1 3.00 3.00 1 3.50 3.50
    together: 1 actions, 0 events, 0 records, 0 differences
    """
    lines = [
        f"{'setup':<28} {'kind':<8} {'count':>5} {'moves':>6} {'pause p50':>10} {'p99':>7} {'gaps':>6} "
        f"{'gap p50':>10} {'p99':>7}"
    ]
    for report in reports:
        for row in report.rows():
            lines.append(
                f"{row['setup']:<28} {row['kind']:<8} {row['count']:>5} {row['pause_count']:>6} "
                f"{_text(row['pause_p50_seconds']):>10} {_text(row['pause_p99_seconds']):>7} "
                f"{row['gap_count']:>6} {_text(row['gap_p50_seconds']):>10} {_text(row['gap_p99_seconds']):>7}"
            )
    actions = sum(report.as_json()["actions"] for report in reports)
    events, records = sum(report.events for report in reports), sum(report.records for report in reports)
    differences = [each for report in reports for each in report.differences]
    lines.append(
        f"together: {actions} actions, {events} events, {records} records, {len(differences)} differences"
    )
    return lines + differences


def write(reports: Sequence[Report], path: Path) -> None:
    path.write_text(json.dumps([report.as_json() for report in reports], indent=2) + "\n")


def _of(kind: str, took: Sequence[Took]) -> list[float]:
    return [each.seconds for each in took if each.kind == kind]


def _figures(name: str, seconds: Sequence[float]) -> dict[str, float | int | None]:
    p50, p99 = np.percentile(seconds, [50, 99]).round(3).tolist() if seconds else (None, None)
    return {f"{name}_count": len(seconds), f"{name}_p50_seconds": p50, f"{name}_p99_seconds": p99}


def _text(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.2f}"
