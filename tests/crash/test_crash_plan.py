"""Plans of kills: drawn from a seed alone, and dealt so that no point is left out."""

from __future__ import annotations

import itertools
import os
import signal

import pytest
from crash_plan import ByClock, occurs, plans, point_plan
from crash_points import POINTS, KillAt, Steps

PLANS = 60


@pytest.mark.parametrize("seed", range(5))
def test_a_seed_says_it_all(seed: int) -> None:
    drawn = list(itertools.islice(plans(seed), PLANS))
    assert drawn == list(itertools.islice(plans(seed), PLANS))
    assert drawn != list(itertools.islice(plans(seed + 1), PLANS))


@pytest.mark.parametrize("seed", range(5))
def test_every_point_is_dealt_where_it_occurs_and_plans_are_of_every_kind(seed: int) -> None:
    drawn = list(itertools.islice(plans(seed), PLANS))
    named = [(kill.point, plan) for plan in drawn for kill in plan.kills if isinstance(kill, KillAt)]
    assert {point for point, _ in named} == set(POINTS)
    assert all(occurs(point, plan) for point, plan in named)
    assert all(any(isinstance(kill, ByClock) for kill in plan.kills) for plan in drawn)
    kinds = {(plan.scope, plan.delivery, plan.workers) for plan in drawn}
    assert {(scope, delivery) for scope, delivery, _ in kinds} == set(
        itertools.product(["stream", "partition"], ["exactly_once", "at_least_once"])
    )
    assert {workers for _, _, workers in kinds} == {1, 2}


@pytest.mark.parametrize("point", POINTS)
def test_a_point_has_a_plan_of_its_own(point: str) -> None:
    plan = point_plan(point, 7)
    assert plan.kills == (KillAt(point, 1),)
    assert occurs(point, plan)


def test_a_step_kills_at_its_number_and_on_its_side(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[object] = []
    monkeypatch.setattr(os, "kill", lambda process, number: killed.append((process, number)))
    steps = Steps(KillAt("disk.sync:after", 2))
    sync = steps.around("disk.sync", lambda: len(killed))
    assert sync() == 0
    assert killed == []
    assert sync() == 0, "killed after the call, not before"
    assert killed == [(os.getpid(), signal.SIGKILL)]
    with pytest.raises(ZeroDivisionError):
        steps.around("disk.link", lambda: 1 / 0)()
    assert steps.counts["disk.link:after"] == 1
