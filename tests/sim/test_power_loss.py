"""Checkpoints on a disk that loses power, fills up, fails and rots (`old_or_new`, and the fence)."""

from __future__ import annotations

import os
from collections import Counter

import pytest
import segment_world
from checkpoint_script import script_of, stories
from checkpoint_world import run

HAPPENINGS = {
    *("published", "fenced", "failed", "died while it published", "died while it started", "power lost"),
    *("the newest loaded", "an older one loaded", "stopped at two", "refused", "moved away"),
}
SEEDS = 2000
SEGMENT_SEEDS = 150
BLOCKS = 10


def seeds(block: int) -> range:
    """One seed from the environment, or a block's share of as many as it says."""
    if (only := os.environ.get("STREAMLEARN_SIM_SEED")) is not None:
        return range(int(only), int(only) + (block == 0))
    first = int(os.environ.get("STREAMLEARN_SIM_FROM", "0"))
    return range(first + block, first + int(os.environ.get("STREAMLEARN_SIM_SEEDS", SEEDS)), BLOCKS)


@pytest.mark.parametrize("block", range(BLOCKS))
def test_old_or_new_whatever_the_disk_does(block: int) -> None:
    """A failure names its seed: `STREAMLEARN_SIM_SEED=440 pytest tests/sim/test_power_loss.py` replays it."""
    happened: Counter[str] = Counter()
    for seed in seeds(block):
        happened.update(run(script_of(seed)).happened)
    if len(seeds(block)) < SEEDS / BLOCKS:
        return
    assert happened.keys() >= HAPPENINGS, "or the scripts have become too tame to tell anything"


def test_the_stories_that_chance_seldom_tells() -> None:
    happened: Counter[str] = Counter()
    for script in stories():
        happened.update(run(script).happened)
    assert happened.keys() >= {"published", "fenced", "failed", "moved away", "stopped at two", "refused"}


def test_what_a_checkpoint_refers_to_is_there_whatever_the_disk_does() -> None:
    happened: Counter[str] = Counter()
    for seed in range(SEGMENT_SEEDS):
        happened.update(segment_world.run(seed).happened)
    assert happened.keys() == {
        *("published", "failed", "died while it published", "power lost", "a segment opened")
    }


def test_a_seed_is_one_story() -> None:
    for seed in range(20):
        one, other = run(script_of(seed)), run(script_of(seed))
        assert {name: data for name, data in one.disk.files().items() if not name.endswith(".claim")} == {
            name: data for name, data in other.disk.files().items() if not name.endswith(".claim")
        }
        assert one.happened == other.happened
