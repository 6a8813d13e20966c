"""What happens to two workers, their shard and their disk, as data; see ``checkpoint_world.py`` for what it means.

``script_of(seed)`` draws a script; ``stories`` are those that chance seldom brings about.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

KEY = b"secret"


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to the disk during one step of a script."""

    kind: str  # power | kill | error | sync errors | full
    at: int  # which call of the disk; how many bytes are left


@dataclass(frozen=True, slots=True)
class Start:
    """A new process claims the shard and loads it."""

    worker: str
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Publish:
    """A worker that has started once publishes, whether or not the shard is still its own."""

    worker: str
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """A worker lets the shard go, and then publishes what it had snapshotted before."""

    worker: str


@dataclass(frozen=True, slots=True)
class Rot:
    """A bit flips in each of the newest files."""

    files: int


@dataclass(frozen=True, slots=True)
class Forge:
    """Somebody who does not have the key replaces the newest file by a whole one."""


@dataclass(frozen=True, slots=True)
class MoveAway:
    """The operator moves the shard's folder away, as if no daemon ran."""


@dataclass(frozen=True, slots=True)
class PowerLoss:
    pass


Step = Start | Publish | Release | Rot | Forge | MoveAway | PowerLoss


@dataclass(frozen=True, slots=True)
class Script:
    seed: int
    keep: int
    key: bytes | None
    steps: tuple[Step, ...]


# What chance seldom brings about.
STORIES: tuple[tuple[Step, ...], ...] = (
    # A damaged file is set aside, and then the power goes.
    (Start("a"), *[Publish("a")] * 3, Rot(1), Start("a"), PowerLoss(), Start("b")),
    # A first checkpoint, with all the folders above it, and then the power goes.
    (Start("a"), Publish("a"), PowerLoss(), Start("b"), Publish("b"), PowerLoss(), Start("a")),
    # The same, and the first try to make the folders fails.
    (Start("a", Fault("sync errors", 0)), Start("a"), Publish("a"), PowerLoss(), Start("b")),
    # The folder is moved away from under a worker, and another one begins anew under the same epoch.
    (Start("a"), Publish("a"), MoveAway(), Start("b"), Publish("a"), Publish("b"), Publish("a"), Start("a")),
    # A failed sync is no success when it is tried again.
    (
        Start("a"),
        Publish("a"),
        *[Publish("a", Fault("error", at)) for at in range(9)],
        PowerLoss(),
        Start("b"),
    ),
    # Two files rot, one after the other; and at once.
    (Start("a"), *[Publish("a")] * 3, Rot(1), Start("b"), Rot(1), Start("a"), Publish("a"), Start("b")),
    (Start("a"), *[Publish("a")] * 3, Rot(2), Start("b"), Start("a"), Publish("a"), Start("b")),
    # What was snapshotted before the shard was released comes to be published after it.
    (Start("a"), Publish("a"), Release("a"), Start("a"), Publish("a"), Start("b"), Release("a")),
    # Somebody without the key puts a file in the place of the newest.
    (Start("a"), Publish("a"), Publish("a"), Forge(), Start("b"), Start("a"), Publish("a"), Start("b")),
)


def stories() -> Iterator[Script]:
    """Yield the scripts that are written by hand, each on some disks."""
    for seed in range(8):
        for steps in STORIES:
            yield Script(seed, keep=3, key=KEY, steps=steps)


def script_of(seed: int) -> Script:
    """Return the script of a seed."""
    chance = random.Random(seed)
    steps: list[Step] = [Start("a")]
    for _ in range(chance.randint(6, 14)):
        worker = chance.choice("aab")
        fault = _fault(chance) if chance.random() < 0.35 else None
        kinds: list[Step] = [Start(worker, fault), Publish(worker, fault), PowerLoss()]
        kinds += [Rot(chance.choice([1, 1, 1, 2])), Forge(), MoveAway(), Release(worker)]
        steps.append(chance.choices(kinds, [5, 14, 1, 1.5, 0.4, 0.3, 0.4])[0])
    steps.append(Start("b"))
    return Script(seed, chance.choice([2, 3]), chance.choice([None, KEY]), tuple(steps))


def _fault(chance: random.Random) -> Fault:
    kind = chance.choice(["power", "power", "power", "kill", "error", "sync errors", "full"])
    return Fault(kind, chance.randrange(1500) if kind == "full" else chance.randrange(24))
