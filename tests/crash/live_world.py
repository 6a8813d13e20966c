"""Kills of workers whose stream is still being written: they read without an end, and never know the whole of it.

Events come partition by partition, in pieces whose order is drawn, so a live read learns many of them out of their
time. What it had learned in what order is in the order journal, and an uninterrupted replay of the same order is what
the kills are held against: digests, prediction records and dead letters (``replayed.py``).
"""

from __future__ import annotations

import itertools
import json
import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from crash_plan import FIRST, LAST, ByClock, Kill, Plan, draw_plan, occurs
from crash_points import POINTS, KillAt
from crash_tally import Tally
from crash_world import PARTITIONS, RUN_SECONDS, STATIC, CrashWorld, Failure, Seen, differences
from kafka_for_tests import Row
from waiting import eventually
from zygote import Job, Worker

from streamlearn.connectors.kafka_group_offsets import committed_offsets
from streamlearn.events import TopicPartition

KILLS_A_PLAN = 3
# A point that a live worker has not come to by then, it may not come to while nothing else happens.
REACH_SECONDS = 4.0
LIFE_SECONDS = 1.5  # about what a worker needs to start, to take up its shards and to learn
PIECES = 60
# A live read commits and checkpoints by time as well as by count.
LIVE = ("checkpoint.every_seconds=1", "stream.idle_wait_ms=50")


def live_plans(seed: int) -> Iterator[Plan]:
    """Yield plans without end. In stream scope only exactly-once delivery keeps the order of a live read."""
    for index in itertools.count():
        draw = random.Random(f"{seed} live {index}")
        plan = draw_plan(draw, f"live-{seed}-{index}", scope=("stream", "partition")[index % 2])
        if plan.scope == "stream":
            plan = replace(plan, delivery="exactly_once")
        kills: list[Kill] = [ByClock(draw.random())]
        reached = [
            each for each in POINTS if occurs(each, plan) and each.partition(":")[0] not in (*FIRST, *LAST)
        ]
        kills += [KillAt(point, draw.randint(1, 3)) for point in draw.sample(reached, KILLS_A_PLAN - 1)]
        draw.shuffle(kills)
        yield replace(plan, kills=tuple(kills))


class Feed:
    """Writes a topic piece by piece on a thread of its own: slowly until ``hurry``; use as a context manager."""

    def __init__(self, world: CrashWorld, topic: str, draw: random.Random, pause_seconds: float) -> None:
        self._world = world
        self._topic = topic
        self._pause_seconds = pause_seconds
        self._hurry = threading.Event()
        self._pieces = list(_pieces(world.rows, draw))
        self._thread = threading.Thread(target=self._run, name="feed")

    def __enter__(self) -> Feed:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.hurry()

    def hurry(self) -> None:
        """Write the rest at once, and return when it is written."""
        self._hurry.set()
        self._thread.join()

    def _run(self) -> None:
        for piece in self._pieces:
            self._world.kafka.produce(self._topic, piece)
            self._hurry.wait(self._pause_seconds)


def _pieces(rows: Sequence[Row], draw: random.Random) -> Iterator[list[Row]]:
    """Yield rows in pieces of one partition each: in its order, and the partitions in any."""
    left = {number: [row for row in rows if row[0] == number] for number in range(PARTITIONS)}
    size = len(rows) // PIECES
    while any(left.values()):
        number = draw.choice([each for each, waiting in left.items() if waiting])
        yield left[number][:size]
        del left[number][:size]


class LiveWorld:
    """Lives plans over topics that are written meanwhile."""

    def __init__(self, world: CrashWorld) -> None:
        self._world = world

    def run(self, seed: int, kills: int, side_by_side: int, tally: Tally) -> None:
        """Kill at least so often more."""
        wanted = tally.killed + kills
        drawn = live_plans(seed)
        while tally.killed < wanted and not tally.is_over:
            count = -(-(wanted - tally.killed) // KILLS_A_PLAN)
            with ThreadPoolExecutor(side_by_side) as pool:
                for ended in [pool.submit(self.live, next(drawn), tally) for _ in range(count)]:
                    ended.result()

    def live(self, plan: Plan, tally: Tally) -> None:
        """Live one plan, and tell the tally what differs."""
        if tally.is_over:
            return
        try:
            found = differences(*self.lived(plan, tally), plan)
        except Failure as failure:
            found = [str(failure)]
        tally.lived(plan, found, "live ")
        if not found:
            self._world.forget(plan)

    def lived(self, plan: Plan, tally: Tally) -> tuple[Seen, Seen]:
        """Live one plan; return what is seen of it and what an uninterrupted replay says. Raises Failure."""
        world, name = self._world, self._world.name(plan)
        topic = world.kafka.topic(PARTITIONS)
        folder = world.folder / name
        folder.mkdir()
        text = world.text(plan, folder, name, topic)
        lives = [_LiveLife(world, plan, text, folder, number, tally) for number in range(plan.workers)]
        turns = 1 + max(len(life.kills) for life in lives)
        pause_seconds = turns * LIFE_SECONDS / PIECES
        with (
            Feed(world, topic, random.Random(plan.name), pause_seconds),
            ThreadPoolExecutor(len(lives)) as pool,
        ):
            for ended in [pool.submit(life.live) for life in lives]:
                ended.result()
        self._await_all(name, topic)
        for life in lives:
            life.end()
        expected = self._replayed(plan, text, folder, name)
        if plan.scope == "stream" and not _has_stragglers(expected):
            raise Failure(
                f"{name} was learned as a bounded read would: the feed is too tame to tell anything"
            )
        return world.look(plan, folder, name), expected

    def _await_all(self, name: str, topic: str) -> None:
        """Wait until the group has committed all that was written."""
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        rows = len(self._world.rows)

        def is_all() -> bool:
            found = committed_offsets(self._world.kafka.admin, name, partitions, 10.0)
            return sum(found.values()) == rows

        try:
            eventually(is_all, RUN_SECONDS, why=f"all of {topic} committed by {name}")
        except AssertionError as error:
            raise Failure(str(error)) from error

    def _replayed(self, plan: Plan, text: str, folder: Path, name: str) -> Seen:
        log, result = folder / "replay.log", folder / "replayed.json"
        worker = self._world.zygotes[plan.seed].start(Job(text, LIVE, log, result, does="replay"))
        code = worker.end(RUN_SECONDS)
        if code != 0:
            raise Failure(f"the replay ended with {code}: {log}\n{log.read_text()[-4000:]}")
        said = json.loads(result.read_text())
        letters = [
            (
                _bytes(key),
                _bytes(value),
                tuple((each, _renamed(_bytes(text), name)) for each, text in headers),
            )
            for key, value, headers in said["letters"]
        ]
        return Seen(
            {shard.replace(name, "all"): digest for shard, digest in said["digests"].items()},
            [_renamed(each.encode("latin-1"), name) for each in said["predictions"]],
            sorted(letters, key=repr),
        )


def _has_stragglers(seen: Seen) -> bool:
    """Whether events were learned behind newer ones, as only a live read does."""
    records = [json.loads(each) for each in seen.predictions]
    times = [each["event_time"] for each in records if each["model"] == records[0]["model"]]
    return times != sorted(times)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode("latin-1")


def _renamed(value: bytes | None, name: str) -> bytes:
    assert value is not None
    return value.replace(name.encode(), b"all")


class _LiveLife:
    """One worker of a plan: killed again and again, then left to itself, then told to end."""

    def __init__(
        self, world: CrashWorld, plan: Plan, text: str, folder: Path, number: int, tally: Tally
    ) -> None:
        self.kills = plan.kills[number :: plan.workers]
        self._zygote = world.zygotes[plan.seed]
        self._plan = plan
        self._text = text
        self._log = folder / f"worker-{number}.log"
        self._result = folder / f"result-{number}.json"
        self._overrides = (STATIC.format(number=number), *LIVE)
        self._tally = tally
        self._last: Worker | None = None

    def live(self) -> None:
        """Start it and kill it, as often as the plan says; then start it for good."""
        for kill in self.kills:
            self._suffer(kill)
        self._last = self._start(None)

    def end(self) -> None:
        """End it in order."""
        assert self._last is not None
        self._last.terminate()
        code = self._last.end(RUN_SECONDS)
        if code != 0:
            raise Failure(f"ended with {code}: {self._log}\n{self._log.read_text()[-4000:]}")

    def _suffer(self, kill: Kill) -> None:
        began = time.monotonic()
        worker = self._start(kill if isinstance(kill, KillAt) else None)
        seconds = kill.share * LIFE_SECONDS if isinstance(kill, ByClock) else REACH_SECONDS
        ended = worker.wait(seconds)
        was_killed = isinstance(kill, ByClock) or ended
        code = worker.end(0)  # by SIGKILL, in either case
        if code != -9:
            raise Failure(f"ended with {code} {time.monotonic() - began:.1f} s after its start: {self._log}")
        # A point that was not reached ends in a kill as well, only not there.
        self._tally.met(kill if was_killed else ByClock(1.0), was_killed=True)

    def _start(self, kill_at: KillAt | None) -> Worker:
        return self._zygote.start(
            Job(
                self._text,
                self._overrides,
                self._log,
                self._result,
                kill_at,
                self._plan.has_links,
                does="live",
            )
        )
