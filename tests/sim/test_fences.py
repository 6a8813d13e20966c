"""Whatever the order of their calls: what a claimer does not load is never published."""

from __future__ import annotations

from collections import Counter

import pytest
from checkpoint_world import Code
from fence_world import Told, many, one_late, one_slow
from interleavings import drawn, every

from streamlearn.checkpoints.names import Version

SEEDS = 400


def test_every_interleaving_of_a_late_publish_and_a_take_over() -> None:
    ends: Counter[str] = Counter()
    for schedule in every():
        ends[_end(one_late(Code(), schedule.choose))] += 1
    assert set(ends) == {"published and loaded", "fenced"}, ends
    assert ends.total() > 1000, ends


@pytest.mark.parametrize("has_links", [True, False], ids=["links", "no links"])
def test_workers_that_take_over_from_each_other(has_links: bool) -> None:
    acknowledged, fenced = 0, 0
    for seed in range(SEEDS):
        told = many(Code(), drawn(seed), has_links=has_links)
        acknowledged += len(told.acknowledged)
        fenced += len(told.fenced)
    assert acknowledged > SEEDS
    assert fenced > SEEDS / 4


def test_a_claimer_that_was_slow_takes_no_epoch_that_was_given_out() -> None:
    told = one_slow(Code())
    assert sorted(told.epochs) == list(range(1, 9))
    assert told.epochs[-1] == 8


def _end(told: Told) -> str:
    loaded = told.loaded[2] == Version(1, 2)
    if told.acknowledged == [Version(1, 2)] and loaded:
        return "published and loaded"
    if told.fenced == [Version(1, 2)] and not loaded:
        return "fenced"
    return f"{told}"
