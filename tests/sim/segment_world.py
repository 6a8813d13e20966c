"""A worker that seals segments and publishes checkpoints that name them, on a simulated disk, and what holds of it.

    Each segment that a checkpoint names is there, and is what it was.

That is `offsets_travel_with_state` for state that a checkpoint refers to and does not copy: whatever the disk does, the
newest checkpoint of a start names segments that verify, and is not older than the last one that was acknowledged.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field, replace
from hashlib import sha256

from checkpoint_faults import Faulty
from checkpoint_script import Fault
from checkpoint_world import ROOT, Code, state
from disk import SimulatedDisk

from streamlearn.checkpoints.names import checksum_of, first_row_of
from streamlearn.errors import CheckpointError

ROWS = 4  # of a segment
STARTS = 5
PUBLISHES = 5  # of a start, at most
CALLS = 40  # of the disk, in a publish


@dataclass(slots=True)
class Told:
    """What the workers were told, and how often what was seen."""

    names: dict[int, tuple[str, ...]] = field(default_factory=dict)  # of what was tried, by its sequence
    acknowledged: int = 0
    happened: Counter[str] = field(default_factory=Counter)


def run(seed: int, code: Code | None = None) -> Told:
    """Run one story to its end. Raises AssertionError where the promise is broken."""
    chance, told, code = random.Random(seed), Told(), code or Code()
    disk = SimulatedDisk(random.Random(seed + 1))
    for start in range(STARTS):
        if start:
            disk.lose_power()
            told.happened["power lost"] += 1
        try:
            _work(chance, disk, code, told)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, start {start}: {error}") from error
    return told


def _work(chance: random.Random, disk: SimulatedDisk, code: Code, told: Told) -> None:
    """Start, check what is loaded, and publish until chance ends it."""
    mount = disk.mount()
    keeper = code.keeper(code.open_store(ROOT, "flights", mount), keep=2)
    epoch = keeper.claim("flights")
    newest, segments = keeper.newest("flights"), keeper.segments("flights")
    sequence = 0 if newest is None else newest.sequence
    assert sequence >= told.acknowledged, f"{sequence} was loaded, and {told.acknowledged} was acknowledged"
    live = () if newest is None else newest.segments
    assert live == told.names.get(sequence, ()), "other segments than were named"
    for name in live:
        content = segments.open(name).content
        assert sha256(content).hexdigest() == checksum_of(name), f"{name} is not what it was"
        told.happened["a segment opened"] += 1
    for _ in range(chance.randint(1, PUBLISHES)):
        sequence += 1
        kind = chance.choice(["none", "none", "power", "error", "sync errors"])
        with Faulty(disk, mount, Fault(kind, chance.randrange(CALLS))):
            try:
                row = ROWS * sequence
                content = bytes([sequence % 256]) * chance.choice([100, 5000])
                name = f"{row:016d}-{sha256(content).hexdigest()}.segment"
                segments.seal(name, content)
                live = (*live, name)[-3:]
                told.names[sequence] = live
                made = state(sequence, sequence, epoch)
                keeper.publish(replace(made, segments=live, segments_from=first_row_of(live[0])))
                told.acknowledged = sequence
                told.happened["published"] += 1
            except CheckpointError:
                told.happened["failed"] += 1
        if not mount.alive:
            told.happened["died while it published"] += 1
            return
