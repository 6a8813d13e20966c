"""What is done to a worker, drawn from a seed: which scope, how it polls, and where it is killed.

A plan is a pure function of the suite's seed and the plan's index, so a failure is repeated by these two
numbers. (A kill by the clock comes at the same time again, not at the same instruction.)
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from crash_points import POINTS, KillAt

Scope = Literal["stream", "partition"]
Delivery = Literal["exactly_once", "at_least_once"]

# Reached at the beginning of a run or at its end: these come first or last in a plan.
FIRST = ("disk.make_folder",)
LAST = ("producer.abort_transaction",)
# About how often an uninterrupted run takes a step (others: once). Written down, so that a seed says it all.
TIMES = {
    "disk.write": 80,
    "producer.produce": 4700,
    "producer.begin_transaction": 35,
    "producer.send_offsets_to_transaction": 35,
    "producer.commit_transaction": 35,
    "producer.flush": 18,
    "member.commit": 8,
    **{
        f"disk.{name}": 9 for name in ("open_new", "sync", "close", "link", "rename", "remove", "sync_folder")
    },
}
KILLS_MAX = 6  # named ones; half as many come by the clock


@dataclass(frozen=True, slots=True)
class ByClock:
    """End the worker when this share of an uninterrupted run's time has passed, wherever it is."""

    share: float


Kill = KillAt | ByClock


@dataclass(frozen=True, slots=True)
class Plan:
    """One life of one shard or four: the config's free choices, and how it is interrupted."""

    name: str
    scope: Scope
    delivery: Delivery
    seed: int  # stream.seed, and so PYTHONHASHSEED
    workers: int
    has_links: bool
    poll_events: int
    micro_batch_events: int
    every_events: int
    commit_ms: int
    kills: tuple[Kill, ...] = ()


def plans(seed: int) -> Iterator[Plan]:
    """Yield plans without end. Their points are dealt from a shuffled deck of all, one deck after the other."""
    rounds = (_deal(random.Random(f"{seed} round {number}")) for number in itertools.count())
    points = itertools.chain.from_iterable(rounds)
    waiting: list[str] = []
    for index in itertools.count():
        draw = random.Random(f"{seed} plan {index}")
        plan = draw_plan(draw, f"{seed}-{index}", scope=("stream", "partition")[index % 2])
        count = draw.randint(2, KILLS_MAX)
        # A point that does not occur in this plan waits for the next in which it does.
        waiting += itertools.islice(points, max(0, 2 * KILLS_MAX - len(waiting)))
        dealt = [each for each in waiting if occurs(each, plan)][:count]
        for each in dealt:
            waiting.remove(each)
        kills: list[Kill] = [KillAt(each, _number(draw, each)) for each in dealt]
        kills += [ByClock(draw.random()) for _ in range(max(1, len(kills) // 2))]
        draw.shuffle(kills)
        kills.sort(key=_turn)
        yield replace(plan, kills=tuple(kills))


def draw_plan(draw: random.Random, name: str, *, scope: Scope) -> Plan:
    """Return a plan without kills."""
    workers = 2 if scope == "partition" and draw.random() < 0.35 else 1
    return Plan(
        name=name,
        scope=scope,
        delivery="exactly_once" if draw.random() < 0.65 else "at_least_once",
        seed=draw.randrange(2),
        workers=workers,
        has_links=workers > 1 or draw.random() < 0.75,
        poll_events=draw.choice([7, 40, 300, 5000]),
        micro_batch_events=draw.choice([10, 30, 100]),
        every_events=draw.choice([150, 400, 900]),
        commit_ms=draw.choice([2, 20, 100]),
    )


def occurs(point: str, plan: Plan) -> bool:
    """Whether a run of this plan comes to a point at all."""
    step = point.partition(":")[0]
    if step in ("producer.flush", "member.commit"):
        return plan.delivery == "at_least_once"
    if step.startswith("journal."):
        return plan.delivery == "exactly_once" and plan.scope == "stream"
    if step == "disk.rename":
        return not plan.has_links
    if step.startswith("producer.") and step != "producer.produce":
        return plan.delivery == "exactly_once"
    return True


def point_plan(point: str, seed: int) -> Plan:
    """Return a plan in which a fresh worker is killed the first time that it comes to a point."""
    for number in itertools.count():
        draw = random.Random(f"{seed} {point} {number}")
        plan = draw_plan(draw, f"{seed}-{point}", scope=draw.choice(["stream", "partition"]))
        if occurs(point, plan) and plan.workers == 1:
            return replace(plan, kills=(KillAt(point, 1),))
    raise AssertionError("not reached")


def _deal(draw: random.Random) -> list[str]:
    points = list(POINTS)
    draw.shuffle(points)
    return points


def _number(draw: random.Random, point: str) -> int:
    """Return which time: as often one of the first as any in the first half of a whole run."""
    times = TIMES.get(point.partition(":")[0], 1)
    return draw.randint(1, 3 if draw.random() < 0.5 else 1 + times // 2) if times > 1 else 1


def _turn(kill: Kill) -> int:
    step = kill.point.partition(":")[0] if isinstance(kill, KillAt) else ""
    return 0 if step in FIRST else 2 if step in LAST else 1
