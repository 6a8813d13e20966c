"""Lives plans side by side until so many kills are done, and holds each against an uninterrupted run."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from crash_plan import Delivery, Plan, Scope, plans, point_plan
from crash_points import POINTS
from crash_tally import Tally
from crash_world import CrashWorld, Failure, Lived, Seen, differences

SCOPES: tuple[Scope, ...] = ("stream", "partition")
# Hash seeds: each delivery is compared with the other under the first one.
SEEDS: tuple[tuple[Delivery, int], ...] = (("exactly_once", 0), ("at_least_once", 0), ("exactly_once", 1))
SIDE_BY_SIDE = 4  # a plan mostly waits: for the group, for transactions, for its own end
# What all plans are held against: neither the kills nor how events are batched may change it.
CALM = Plan("", "stream", "exactly_once", 0, 1, True, 40, 30, 400, 20)


class CrashSuite:
    """The suite over one world. Runs the uninterrupted plans when it is made."""

    def __init__(self, world: CrashWorld) -> None:
        self._world = world
        calm = [
            replace(CALM, name=f"calm-{scope}-{delivery}-{seed}", scope=scope, delivery=delivery, seed=seed)
            for scope, (delivery, seed) in itertools.product(SCOPES, SEEDS)
        ]
        without_links = replace(calm[0], name="calm-no-links", has_links=False)
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            lived = dict(
                zip([*calm, without_links], pool.map(self._live_calm, [*calm, without_links]), strict=True)
            )
        self.lived: Mapping[Plan, Lived] = lived
        self.calm: Mapping[tuple[Scope, int], Seen] = {
            (plan.scope, plan.seed): each.seen
            for plan, each in lived.items()
            if plan.delivery == "exactly_once" and plan.has_links
        }
        self._seconds = {(plan.scope, plan.delivery): each.seconds for plan, each in lived.items()}

    def run(self, seed: int, kills: int) -> Tally:
        """Kill at least so often; where that is as often as there are points, at each of them."""
        tally = Tally(seed)
        drawn = plans(seed)
        began = time.monotonic()
        # Plans whose workers end in order before a kill comes are made up for by further ones.
        while tally.killed < kills and not tally.is_over:
            self._live_all(_enough(drawn, kills - tally.killed), tally)
        if kills >= len(POINTS):
            self._live_all([point_plan(point, seed) for point in POINTS if not tally.kills[point]], tally)
        tally.seconds = time.monotonic() - began
        return tally

    def run_one(self, seed: int, which: str) -> Tally:
        """Live one plan again: by its index, or by the point that it is for."""
        tally = Tally(seed)
        began = time.monotonic()
        if which in POINTS:
            plan = point_plan(which, seed)
        else:
            plan = next(itertools.islice(plans(seed), int(which), None))
        self._live(plan, tally)
        tally.seconds = time.monotonic() - began
        return tally

    def _live_calm(self, plan: Plan) -> Lived:
        lived = self._world.live(plan, calm_seconds=0.0)
        self._world.forget(plan)
        return lived

    def _live_all(self, chosen: Sequence[Plan], tally: Tally) -> None:
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            for ended in [pool.submit(self._live, plan, tally) for plan in chosen]:
                ended.result()

    def _live(self, plan: Plan, tally: Tally) -> None:
        if tally.is_over:
            return
        try:
            lived = self._world.live(plan, self._seconds[plan.scope, plan.delivery], tally)
        except Failure as failure:
            found = [str(failure)]
        else:
            found = differences(lived.seen, self.calm[plan.scope, plan.seed], plan)
        tally.lived(plan, found)
        if not found:
            self._world.forget(plan)


def _enough(drawn: Iterator[Plan], kills: int) -> list[Plan]:
    """Return the next plans that have so many kills together."""
    chosen: list[Plan] = []
    while kills > 0:
        chosen.append(next(drawn))
        kills -= len(chosen[-1].kills)
    return chosen
