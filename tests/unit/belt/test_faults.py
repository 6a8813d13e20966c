"""Faults of the world around the belt, each with what it is promised to do."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import pytest
from belt_world import World, events
from waiting import eventually

from streamlearn.checkpoints import places
from streamlearn.checkpoints.inspect import show

LOGS = events(600, partitions=2, seed=3, bad_every=50)
OFTEN = ["checkpoint.every_events=100", "checkpoint.every_seconds=1000"]


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("calm"), LOGS, overrides=OFTEN).run()


def step_until_done(world: World, deadline_seconds: float = 60.0) -> None:
    seconds = iter(range(10**9))

    def is_done() -> bool:
        world.belt.step(float(next(seconds)))
        return world.belt.is_done

    eventually(is_done, deadline_seconds)


def test_a_slow_disk_holds_up_checkpoints_and_not_learning(
    tmp_path: Path, calm: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, syncing = threading.Event(), threading.Event()
    sync = places.Disk.sync

    def slowly(disk: places.Disk, file: int) -> None:
        if slow.is_set():
            syncing.set()
            eventually(lambda: not slow.is_set(), 60.0)
        sync(disk, file)

    monkeypatch.setattr(places.Disk, "sync", slowly)
    world = World(tmp_path, LOGS, overrides=OFTEN, poll_events=20, threaded=True)
    eventually(lambda: world.belt.step(0.0) and bool(list(tmp_path.rglob("*.checkpoint"))), 60.0)
    before = sorted(tmp_path.rglob("*.checkpoint"))
    slow.set()
    try:
        step_until_done(world)
        assert syncing.is_set()
        assert world.belt.totals.events_read == 600, "all was learned while one checkpoint was on its way"
        assert len(sorted(tmp_path.rglob("*.checkpoint"))) <= len(before) + 1, "and no other was begun"
        assert not world.metric("streamlearn_belt_pauses_total", reason="checkpoints_failing")
    finally:
        slow.clear()
    world.run()
    assert world.digests() == calm.digests()


def test_a_clock_that_jumps_changes_nothing(
    tmp_path: Path, calm: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Days forth and back at every look: nothing is decided by the time of day, and no file is named by it."""
    chance, now = random.Random(1), time.time()
    monkeypatch.setattr(time, "time", lambda: now + chance.uniform(-1e7, 1e7))
    for stop_after in (150, 300, 450, None):
        world = World(tmp_path, LOGS, overrides=OFTEN, poll_events=20)
        object.__setattr__(world.parts, "clock", time.time)
        world.run(stop_after)
    assert world.digests() == calm.digests()
    versions = [path.name for path in sorted(tmp_path.rglob("*.checkpoint"))]
    assert len(versions) == len(set(versions)) == world.config.checkpoint.keep


def test_what_dead_letters_cannot_take_is_never_dropped_and_never_passed_by_a_checkpoint(
    tmp_path: Path, calm: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their topic is away: the checkpoint waits for it, and goes on by itself."""
    world = World(tmp_path, LOGS, overrides=OFTEN, poll_events=20, threaded=True)
    back = threading.Event()
    monkeypatch.setattr(world.letters, "flush", lambda _seconds: not world.letters.letters or back.wait(0.05))
    step_until_done(world)
    assert world.belt.totals.events_read == 600
    assert not world.belt.checkpoint_all(0.2)
    [kept] = show(str(tmp_path))["shards"]
    assert sum(each["next_offset"] for each in kept["next_offsets"]) == 0, (
        "that of where it began, and no other"
    )
    back.set()
    world.run()
    assert world.digests() == calm.digests()
    assert sorted((each.partition, each.offset) for each in world.letters.letters) == sorted(
        (each.partition, each.offset) for each in calm.letters.letters
    )
