"""Scripts as data: what happens in a world, one thing after the other, and how a seed becomes a script.

A script prints as Python that can be pasted back: ``play(Settings(...), [Produce(0, 5), Step("w1", 3), ...])``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

WORKERS = ("w1", "w2", "w3")
PARTITIONS_MAX = 4


@dataclass(frozen=True)
class Settings:
    """What a world is before anything happens."""

    seed: int = 0  # of everything that is left to chance while the script runs
    scope: Literal["stream", "partition"] = "stream"
    delivery: Literal["exactly_once", "at_least_once"] = "exactly_once"
    partitions: int = 2
    eager: bool = False  # the group's protocol: a rebalance takes everything from everybody first
    micro_batch_events: int = 8
    poll_events: int = 8
    checkpoint_events: int = 10
    keep: int = 3
    delayed: bool = False  # labels come later, on a topic of their own


@dataclass(frozen=True)
class Produce:
    """Events in one partition, each later than all before."""

    partition: int
    events: int


@dataclass(frozen=True)
class Late:
    """An event that comes so many milliseconds late."""

    partition: int
    late_ms: int


@dataclass(frozen=True)
class Bad:
    """A message that no contract allows: a dead letter."""

    partition: int


@dataclass(frozen=True)
class Control:
    """An offset that no reader ever sees."""

    partition: int


@dataclass(frozen=True)
class AddPartition:
    """The topic gets one more partition."""


@dataclass(frozen=True)
class Trim:
    """Retention: every log loses what no checkpoint needs any more."""


@dataclass(frozen=True)
class Join:
    """Start a worker that is not running."""

    worker: str


@dataclass(frozen=True)
class Step:
    """Let a worker's belt step so often."""

    worker: str
    count: int = 1


@dataclass(frozen=True)
class Leave:
    """Stop a worker in order."""

    worker: str


@dataclass(frozen=True)
class Crash:
    """Kill a worker; with ``calls``, in the middle of its next steps, before its n-th call to the outside."""

    worker: str
    calls: int = 0


@dataclass(frozen=True)
class Freeze:
    """Stop a worker and its heartbeats."""

    worker: str


@dataclass(frozen=True)
class Thaw:
    """Let it go on; it does not know that it was frozen."""

    worker: str


@dataclass(frozen=True)
class Within:
    """Freeze a worker before its n-th call to the outside from now, let this happen, and thaw it."""

    worker: str
    calls: int
    script: tuple[Action, ...]


@dataclass(frozen=True)
class Expire:
    """The group has heard nothing of a worker for too long, whatever the clock says."""

    worker: str


@dataclass(frozen=True)
class Wait:
    """Time passes, and nobody does anything."""

    seconds: float


@dataclass(frozen=True)
class BrokerDown:
    down: bool = True


@dataclass(frozen=True)
class CommitFails:
    """The next transactions are aborted; or, ``fatal``, refused so that the daemon must start again."""

    times: int
    fatal: bool = False


@dataclass(frozen=True)
class DiskFull:
    full: bool = True


@dataclass(frozen=True)
class SyncFails:
    """The next syncs fail, and lose what they were to save."""

    times: int


@dataclass(frozen=True)
class FlipBit:
    """A bit changes in the newest checkpoint of a shard, at rest."""


@dataclass(frozen=True)
class PowerLoss:
    """All workers are gone, and all that no sync has saved."""


Action = (
    Produce | Late | Bad | Control | AddPartition | Trim | Join | Step | Leave | Crash | Freeze | Thaw | Within
    | Expire | Wait | BrokerDown | CommitFails | DiskFull | SyncFails | FlipBit | PowerLoss
)  # fmt: skip


def settings_of(seed: int) -> Settings:
    """Return the world of a seed. The four kinds of scope and delivery take turns."""
    draw = random.Random(f"settings {seed}")
    return Settings(
        seed=seed,
        scope=("stream", "partition")[seed % 2],
        delivery=("exactly_once", "at_least_once")[seed // 2 % 2],
        partitions=draw.randint(1, 3),
        eager=draw.random() < 0.3,
        micro_batch_events=draw.choice([2, 5, 16, 64]),
        poll_events=draw.choice([3, 10, 40]),
        checkpoint_events=draw.choice([2, 8, 30]),
        keep=draw.choice([2, 3, 5]),
    )


def delayed_settings_of(seed: int) -> Settings:
    """Return the same world with labels that come later. What was learned when, only the journal knows: exactly once."""
    return replace(settings_of(seed), delayed=True, delivery="exactly_once")


def script_of(seed: int, length: int = 40) -> list[Action]:
    """Return the script of a seed: the same for the same seed, on every machine."""
    draw = random.Random(f"script {seed}")
    script: list[Action] = [Produce(0, draw.randint(1, 10)), Join("w1")]
    return script + [_draw(draw, nested=False) for _ in range(length)]


def _draw(draw: random.Random, *, nested: bool) -> Action:
    worker = draw.choice(WORKERS)
    partition = draw.randrange(PARTITIONS_MAX)
    kinds: Sequence[tuple[int, Callable[[], Action]]] = (
        (14, lambda: Produce(partition, draw.randint(1, 8))),
        (4, lambda: Late(partition, draw.randint(1, 200))),
        (3, lambda: Bad(partition)),
        (2, lambda: Control(partition)),
        (1, AddPartition),
        (1, Trim),
        (9, lambda: Join(worker)),
        (30, lambda: Step(worker, draw.randint(1, 8))),
        (3, lambda: Leave(worker)),
        (2, lambda: Crash(worker)),
        (5, lambda: Crash(worker, draw.randint(1, 25))),
        (3, lambda: Freeze(worker)),
        (4, lambda: Thaw(worker)),
        (4, lambda: Expire(worker)),
        (3, lambda: Wait(draw.choice([0.5, 3.0, 12.0]))),
        (1, lambda: BrokerDown(draw.random() < 0.5)),
        (2, lambda: CommitFails(draw.randint(1, 2), draw.random() < 0.2)),
        (1, lambda: DiskFull(draw.random() < 0.5)),
        (1, lambda: SyncFails(draw.randint(1, 2))),
        (1, FlipBit),
        (1, PowerLoss),
        (0 if nested else 7, lambda: _within(draw, worker)),
    )
    weights = [weight for weight, _ in kinds]
    return draw.choices([make for _, make in kinds], weights)[0]()


def _within(draw: random.Random, worker: str) -> Within:
    """Most often what makes a zombie: it is put out, and another takes its shards up meanwhile."""
    other = draw.choice([name for name in WORKERS if name != worker])
    script: list[Action] = [_draw(draw, nested=True) for _ in range(draw.randint(0, 3))]
    if draw.random() < 0.7:
        script = [Join(other), Expire(worker), Step(other, draw.randint(1, 12)), *script]
    return Within(worker, draw.randint(1, 25), tuple(script))


def as_text(settings: Settings, script: Sequence[Action]) -> str:
    """Return a call that plays this script again."""
    lines = "".join(f"    {action!r},\n" for action in script)
    return f"play({settings!r}, [\n{lines}])"
