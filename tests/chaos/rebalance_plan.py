"""What is done to a group of workers, drawn from a seed: scripts as data.

>>> plan = draw_plan(seed=3, count=40, scope="stream")
>>> plan == draw_plan(seed=3, count=40, scope="stream")
True
>>> sorted({action.kind for action in plan})
['add', 'freeze', 'kill', 'remove']
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Literal

Kind = Literal["kill", "freeze", "add", "remove"]
Scope = Literal["stream", "partition"]

WORKERS_FIRST = 3
WORKERS_MIN, WORKERS_MAX = 2, 4  # at rest: somebody is always there to take over
AT_OWNER = 0.75  # in stream scope whatever happens to a standby moves nothing
RUSHED = 0.25  # the next action comes before the group is at rest
SESSION_MS, HEARTBEAT_MS = 3000, 500


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that happens to a group.

    ``at_owner``: to a worker that holds a shard; ``pick``: to which of those, 0 to 1; ``rushed``: nobody
    waits until the group is at rest.
    """

    kind: Kind
    at_owner: bool = True
    pick: float = 0.0
    rushed: bool = False


@dataclass(frozen=True, slots=True)
class Setup:
    """How the workers of a group share the work; ``delayed_labels``: labels come later, in a topic of their own."""

    scope: Scope
    protocol: Literal["classic", "consumer"]
    static: bool
    delayed_labels: bool = False

    @property
    def name(self) -> str:
        labels = "-labels" if self.delayed_labels else ""
        return f"{self.scope}-{self.protocol}-{'static' if self.static else 'dynamic'}{labels}"

    def properties(self, seat: int) -> str:
        """Return ``source.kafka.properties`` of a worker; a static member is known by its seat."""
        found: dict[str, str | int] = {}
        if self.static:
            found["group.instance.id"] = f"seat-{seat}"
        if self.protocol == "consumer":
            found["group.protocol"] = "consumer"  # the broker has the times (KIP-848)
        else:
            found |= {"session.timeout.ms": SESSION_MS, "heartbeat.interval.ms": HEARTBEAT_MS}
        pairs = ", ".join(f"{json.dumps(key)} = {json.dumps(value)}" for key, value in found.items())
        return f"source.kafka.properties={{{pairs}}}"


def draw_plan(seed: int, count: int, scope: Scope) -> list[Action]:
    """Return so many actions, such that the group stays within ``WORKERS_MIN`` and ``WORKERS_MAX``."""
    draw = random.Random(f"{seed}-{scope}")
    plan, workers = [], WORKERS_FIRST
    for _ in range(count):
        kinds: list[Kind] = ["freeze"]
        kinds += ["kill", "remove"] if workers > WORKERS_MIN else []
        kinds += ["add"] if workers < WORKERS_MAX else []
        kind = draw.choice(kinds)
        workers += {"add": 1, "freeze": 0, "kill": -1, "remove": -1}[kind]
        at_owner = scope == "partition" or draw.random() < AT_OWNER
        plan.append(Action(kind, at_owner, draw.random(), draw.random() < RUSHED))
    return plan
