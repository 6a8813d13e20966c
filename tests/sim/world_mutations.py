"""Shows that the world bites: the belt with one thing wrong, and the first seed that sees it.

    python tests/sim/world_mutations.py [NAME ...]

Each mutation is a piece of source that must be found exactly once, so that it cannot rot, and what stands in its
place. The changed module is made in this process only, before anything else imports it; the worlds then run on it
as they are. Run in a process of its own: what it has imported is not to be used for anything else.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from world_script import delayed_settings_of, script_of, settings_of

SEEDS = 400  # at most so many for one mutation

# What is made anew for each mutation, in the order of their imports. Kernels, connectors and events stay.
AGAIN = (
    *(
        f"streamlearn.belt.{name}"
        for name in ("checkpointing", "intake", "merge", "lane", "sending", "parts")
    ),
    *(
        f"streamlearn.belt.{name}"
        for name in ("placing", "reading", "upkeep", "holdings", "accounting", "loop")
    ),
    *(f"streamlearn.checkpoints.{name}" for name in ("segments", "stores", "keeper")),
    "world_group",
    "world_ends",
    "world_labels",
    "world_oracles",
    "world_worker",
    "world",
)


@dataclass(frozen=True)
class Mutation:
    """Something wrong in one module."""

    name: str
    module: str
    right: str
    wrong: str
    seed: int = 0  # that saw it when this was written: tried first
    delayed: bool = False  # in worlds whose labels come later


MUTATIONS = (
    Mutation(
        "predictions are not muted while the past is learned again",
        "streamlearn.belt.loop",
        "covered = lane.covered if lane.is_replaying else {}",
        "covered = {}",
        seed=8,
    ),
    Mutation(
        "the order journal is ignored",
        "streamlearn.belt.holdings",
        "cuts = parts.read_cuts(name, next_offsets)",
        "cuts = ()",
        seed=8,
    ),
    Mutation(
        "a checkpoint does not wait for what it covers to be out",
        "streamlearn.belt.checkpointing",
        "while not outbox.flush(FLUSH_SECONDS):",
        "while False:",
    ),
    Mutation(
        "the group is told before the checkpoint is durable",
        "streamlearn.belt.upkeep",
        "self._parts.writer.submit(state, care.lane.outbox)",
        "self._parts.membership.commit(state.next_offsets); self._parts.writer.submit(state, care.lane.outbox)",
    ),
    Mutation(
        "a revoked shard is let go without a checkpoint",
        "streamlearn.belt.holdings",
        "self.release(self._unwanted())",
        "self._let_go(self._unwanted())",
        seed=9,
    ),
    Mutation(
        "a lost shard is published",
        "streamlearn.belt.holdings",
        "self._let_go(self._unwanted())",
        "self.release(self._unwanted())",
        seed=77,
    ),
    Mutation(
        "what was read under an older assignment is taken",
        "streamlearn.belt.lane",
        "if portion.generation < self._generation:",
        "if False:",
        seed=162,
    ),
    Mutation(
        "a shard is read on from the beginning",
        "streamlearn.belt.holdings",
        "shard.next_offsets = next_offsets",
        "shard.next_offsets = dict.fromkeys(next_offsets, 0)",
    ),
    Mutation(
        "the partitions' clocks are forgotten at a restart",
        "streamlearn.belt.holdings",
        "known, clocks_us = state.next_offsets, clocks_of(state.parts[MERGE_PART])",
        "known, clocks_us = state.next_offsets, {}",
        seed=8,
    ),
    Mutation(
        "the events behind a cut are dropped",
        "streamlearn.belt.lane",
        "self._later.setdefault(partition, []).append(events.slice(within))",
        "pass",
        seed=8,
    ),
    Mutation(
        "added partitions are not read",
        "streamlearn.belt.holdings",
        "self._all_partitions = []  # partitions added to a topic come by a rebalance: look again",
        "pass",
        seed=13,
    ),
    Mutation(
        "a worker whose checkpoints are fenced keeps its shard",
        "streamlearn.belt.holdings",
        "for name in sorted(self._upkeep.fenced):",
        "for name in ():",
        seed=162,
    ),
    Mutation(
        "a shard is not claimed",
        "streamlearn.belt.holdings",
        "parts.store.claim(name)",
        "1",
    ),
    Mutation(
        "what the group has taken away is kept",
        "streamlearn.belt.holdings",
        "self._let_go(self._unwanted())",
        "pass",
        seed=87,
    ),
    Mutation(
        "an added partition is read from its end",
        "streamlearn.belt.placing",
        '"earliest" if known else start',
        '"latest" if known else start',
        seed=64,
    ),
    Mutation(
        "partitions of labels are read from their beginning at a restart",
        "streamlearn.belt.holdings",
        "shard.next_offsets = next_offsets",
        "shard.next_offsets = {p: n if p.topic != 'labels' else 0 for p, n in next_offsets.items()}",
        delayed=True,
    ),
    Mutation(
        "a checkpoint is visible before its segments are durable",
        "streamlearn.checkpoints.keeper",
        "self._store.make_durable(state.shard, epoch, state.segments)",
        "pass",
        seed=9,
        delayed=True,
    ),
)


class TextNotFound(AssertionError):
    """The source has changed: the mutation must be written anew."""


def world_with(mutation: Mutation | None) -> ModuleType:
    """Import the world anew, over a belt with this mutation in it; ``None``: over the belt as it is."""
    if mutation is None:
        _forget()
        return importlib.import_module("world")
    spec = importlib.util.find_spec(mutation.module)
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text()
    if source.count(mutation.right) != 1:
        raise TextNotFound(f"{mutation.name}: {mutation.module} has {source.count(mutation.right)} of it")
    _forget()
    module = importlib.util.module_from_spec(spec)
    sys.modules[mutation.module] = module
    changed = source.replace(mutation.right, mutation.wrong)
    exec(compile(changed, f"{spec.origin}, mutated", "exec"), module.__dict__)
    return importlib.import_module("world")


def _forget() -> None:
    for name in AGAIN:
        sys.modules.pop(name, None)


def first_seed(mutation: Mutation) -> tuple[int, str] | None:
    """Return the first seed that sees a mutation, and what it says; ``None``: none does.

    One that the belt as it is does not pass either, says nothing.
    """
    world = world_with(mutation)
    for seed in (mutation.seed, *range(SEEDS)):
        said = complaint(world, seed, delayed=mutation.delayed)
        if said is not None:
            if complaint(world_with(None), seed, delayed=mutation.delayed) is None:
                return seed, said
            world = world_with(mutation)
    return None


def complaint(world: ModuleType, seed: int, *, delayed: bool) -> str | None:
    """Play a seed, and return what is wrong; ``None``: nothing."""
    try:
        settings = delayed_settings_of(seed) if delayed else settings_of(seed)
        world.play(settings, script_of(seed))
    except world.Failed as failed:
        return str(failed).partition("\n")[0]
    return None


def main(names: list[str]) -> int:
    """Try mutations, all where none is named, print a table, and return how many nobody saw."""
    survived = 0
    for mutation in MUTATIONS:
        if names and mutation.name not in names:
            continue
        found = first_seed(mutation)
        survived += found is None
        seed, said = found if found is not None else ("-", "SURVIVED")
        print(f"{mutation.name:60} | seed {seed:>3} | {said[:100]}", flush=True)
    return survived


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
