"""What the crash suite counts, as a table for people and as JSON for machines."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crash_plan import ByClock, Kill, Plan

BY_CLOCK = "by the clock"
DIFFERENCES_MAX = 3  # more say nothing new: no further plan is begun


@dataclass
class Tally:
    """Kills, restarts and differences of one run of the suite. Counted from any thread."""

    seed: int
    kills: Counter[str] = field(default_factory=Counter)  # by point, and BY_CLOCK
    not_reached: Counter[str] = field(default_factory=Counter)  # the worker ended in order before
    plans: Counter[str] = field(default_factory=Counter)  # by scope, delivery and count of workers
    restarts: int = 0
    differences: list[str] = field(default_factory=list)
    seconds: float = 0.0
    counting: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def killed(self) -> int:
        return self.kills.total()

    @property
    def is_over(self) -> bool:
        return len(self.differences) >= DIFFERENCES_MAX

    def met(self, kill: Kill, *, was_killed: bool) -> None:
        """A worker ran up to a kill, or ended in order before it."""
        point = BY_CLOCK if isinstance(kill, ByClock) else kill.point
        with self.counting:
            (self.kills if was_killed else self.not_reached)[point] += 1
            self.restarts += was_killed

    def lived(self, plan: Plan, differences: Sequence[str], kind: str = "") -> None:
        """A plan came to its end, or a worker failed."""
        with self.counting:
            self.plans[f"{kind}{plan.scope} {plan.delivery} by {plan.workers}"] += 1
            self.differences += [f"{plan}: {each}" for each in differences]

    def table(self) -> list[str]:
        """Return the lines of a table."""
        lines = [f"{'point':<48} kills"]
        lines += [f"{point:<48} {count:>5}" for point, count in sorted(self.kills.items())]
        lines += [
            f"{'together':<48} {self.killed:>5}",
            f"{self.restarts} restarts in {self.plans.total()} plans: "
            + ", ".join(f"{count} {name}" for name, count in sorted(self.plans.items())),
            f"{self.not_reached.total()} chosen kills came after the end of a run",
            f"{len(self.differences)} differences, {self.seconds:.1f} s, seed {self.seed}",
        ]
        return lines

    def as_json(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "kills": self.killed,
            "kills_by_point": dict(sorted(self.kills.items())),
            "not_reached": self.not_reached.total(),
            "restarts": self.restarts,
            "plans": dict(sorted(self.plans.items())),
            "differences": self.differences,
            "seconds": round(self.seconds, 1),
        }

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(self.as_json(), indent=2) + "\n")
