"""Seeded worlds around the production belt: whatever happens, nothing is lost and nothing counts twice.

    STREAMLEARN_SIM_SEED=147 pytest tests/sim/test_world.py      one seed, as it failed
    STREAMLEARN_SIM_SEEDS=5000 pytest tests/sim/test_world.py    that many, instead of some sixty
    STREAMLEARN_SIM_FROM=5000 ...                                beginning with this one

A failure prints the whole script as ``play(Settings(...), [...])``: paste it into a test, and take out what it does
not need. What is judged, and by which name, stands in world_oracles.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import pytest
import world_script
from world import Failed, World, play
from world_script import (
    Action,
    AddPartition,
    Bad,
    BrokerDown,
    Crash,
    DiskFull,
    Expire,
    FlipBit,
    Freeze,
    Join,
    Late,
    Leave,
    PowerLoss,
    Produce,
    Settings,
    Step,
    SyncFails,
    Thaw,
    Wait,
    Within,
    as_text,
    delayed_settings_of,
    script_of,
    settings_of,
)

SEEDS = 64
DELAYED_SEEDS = 16
GROUPS = 4  # tests of so many seeds each, so that a run says where it is

SCOPES = pytest.mark.parametrize("scope", ["stream", "partition"])
DELIVERIES = pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])


def seeds(group: int, count: int = SEEDS) -> range:
    """The seeds of one group, in order."""
    if (only := os.environ.get("STREAMLEARN_SIM_SEED")) is not None:
        return range(int(only), int(only) + (group == 0))
    first = int(os.environ.get("STREAMLEARN_SIM_FROM", "0"))
    return range(first + group, first + int(os.environ.get("STREAMLEARN_SIM_SEEDS", count)), GROUPS)


def play_each(seeds: Iterable[int], settings: Callable[[int], Settings]) -> None:
    """Play the script of each seed in its world, and say which seed it was that failed."""
    for seed in seeds:
        try:
            play(settings(seed), script_of(seed))
        except Failed as failed:
            raise AssertionError(f"seed {seed} (STREAMLEARN_SIM_SEED={seed}): {failed}") from failed


@pytest.mark.timeout(0)  # as many as are asked for
@pytest.mark.parametrize("group", range(GROUPS))
def test_learned_once_old_or_new_offsets_travel_with_state_replay_equals_run(group: int) -> None:
    play_each(seeds(group), settings_of)


@pytest.mark.timeout(0)  # as many as are asked for
@pytest.mark.parametrize("group", range(GROUPS))
def test_learned_once_replay_equals_run_with_labels_that_come_later(group: int) -> None:
    play_each(seeds(group, DELAYED_SEEDS), delayed_settings_of)


def everything(world: World) -> object:
    """What a world has come to, but for the random names of its claims."""
    shards = {shard: (each.records, each.letters, each.cuts) for shard, each in world.broker.shards.items()}
    return shards, world.broker.offsets, world.now, world.group.generation, [e.what for e in world.errors]


@pytest.mark.parametrize("seed", [8, 9, 10, 11])
def test_a_seed_does_the_same_again(seed: int) -> None:
    assert settings_of(seed) == settings_of(seed)
    assert script_of(seed) == script_of(seed)
    assert everything(play(settings_of(seed), script_of(seed))) == everything(
        play(settings_of(seed), script_of(seed))
    )


def test_a_script_can_be_pasted_back() -> None:
    said = as_text(settings_of(5), script_of(5))
    names = {name: getattr(world_script, name) for name in dir(world_script) if name[0].isupper()}
    assert eval(said, {**names, "play": lambda *given: given}) == (settings_of(5), script_of(5))


def test_an_oracle_that_is_not_content_says_how_to_see_it_again() -> None:
    class Forgetful(World):
        def heal(self) -> None:
            super().heal()
            self.broker.shards["flow"].records.pop()

    with pytest.raises(
        Failed, match=r"(?s)exactly once.*play\(Settings\(seed=3.*Produce\(partition=0, events=4\)"
    ):
        play(Settings(seed=3), [Produce(0, 4), Join("w1")], Forgetful)


# ------------------------------------------------------------------------------- single happenings, named


@SCOPES
@DELIVERIES
def test_a_zombie_neither_publishes_nor_sends(scope: str, delivery: str) -> None:
    """At every call of a worker: it freezes there, is put out, another takes its shards up, and it wakes up."""
    for calls in range(1, 60, 12):
        script: list[Action] = [Produce(0, 20), Produce(1, 20), Bad(0), Join("w1"), Step("w1", 2)]
        taken_over = (Join("w2"), Expire("w1"), Step("w2", 6), Produce(0, 5))
        script += [Within("w1", calls, taken_over), Step("w1", 30), Step("w2", 3)]
        play(Settings(seed=calls, scope=scope, delivery=delivery, checkpoint_events=5), script)  # type: ignore[arg-type]


@SCOPES
@DELIVERIES
def test_old_or_new_at_every_call(scope: str, delivery: str) -> None:
    """A worker dies before each of its calls in turn, and starts again."""
    for calls in range(1, 120, 20):
        script: list[Action] = [
            Produce(0, 12),
            Late(1, 50),
            Produce(1, 12),
            Bad(1),
            Join("w1"),
            Crash("w1", calls),
        ]
        script += [Step("w1", 20), Join("w1"), Step("w1", 3)]
        play(Settings(seed=calls, scope=scope, delivery=delivery, checkpoint_events=5), script)  # type: ignore[arg-type]


@SCOPES
@DELIVERIES
def test_power_is_lost_and_comes_back(scope: str, delivery: str) -> None:
    script: list[Action] = [
        Produce(0, 12),
        Produce(1, 12),
        Join("w1"),
        Join("w2"),
        Step("w1", 4),
        Step("w2", 4),
    ]
    script += [PowerLoss(), Join("w1"), Step("w1", 3), Late(0, 30), PowerLoss()]
    play(Settings(seed=1, scope=scope, delivery=delivery, checkpoint_events=3), script)  # type: ignore[arg-type]


@SCOPES
def test_a_full_disk_stops_the_belt_and_an_empty_one_lets_it_go_on(scope: str) -> None:
    world = World(Settings(seed=2, scope=scope, checkpoint_events=4, micro_batch_events=4))  # type: ignore[arg-type]
    for action in (Produce(0, 8), Join("w1"), Step("w1", 8), DiskFull(), Produce(0, 100), Produce(1, 100)):
        world.do(action)
    world.do(Step("w1", 20))
    stands_at = dict(world.workers["w1"].reached)
    world.do(Step("w1", 20))
    assert world.workers["w1"].belt.upkeep.failing is not None
    assert world.workers["w1"].reached == stands_at
    world.do(DiskFull(False))
    world.heal()
    world.end()
    assert world.workers["w1"].alive, "it went on by itself"
    assert world.errors == []


@SCOPES
@DELIVERIES
def test_the_broker_is_away_for_a_minute(scope: str, delivery: str) -> None:
    world = World(Settings(seed=4, scope=scope, delivery=delivery))  # type: ignore[arg-type]
    for action in (Produce(0, 30), Join("w1"), Step("w1", 3), BrokerDown(), Step("w1", 300), Wait(30.0)):
        world.do(action)
    world.heal()
    world.end()
    assert world.workers["w1"].alive
    assert world.errors == []


@SCOPES
def test_a_frozen_worker_is_replaced_within_the_session(scope: str) -> None:
    """In stream scope: the standby takes the lead, from checkpoint and journal."""
    world = World(Settings(seed=6, scope=scope, partitions=1))  # type: ignore[arg-type]
    for action in (Produce(0, 20), Join("w1"), Step("w1", 20), Join("w2"), Step("w2", 3), Freeze("w1")):
        world.do(action)
    world.do(Produce(0, 10))
    frozen_at = world.now
    while world.workers["w2"].reached.get(min(world.broker.logs), 0) < 30:
        assert world.now < frozen_at + 30.0, "nobody took the shard up"
        world.do(Step("w2", 1))
    assert world.now - frozen_at < 15.0, "session and take-over"
    world.do(Thaw("w1"))
    world.do(Step("w1", 20))
    world.heal()
    world.end()


@DELIVERIES
def test_a_corrupt_newest_checkpoint_costs_nothing_but_time(delivery: str) -> None:
    script: list[Action] = [
        Produce(0, 30),
        Late(1, 90),
        Produce(1, 9),
        Join("w1"),
        Step("w1", 20),
        Leave("w1"),
        FlipBit(),
    ]
    world = play(Settings(seed=7, delivery=delivery, checkpoint_events=5), script)  # type: ignore[arg-type]
    assert world.checkpoints.flipped
    assert world.errors == []


@SCOPES
def test_a_shard_that_was_let_go_holds_nobody_up(scope: str) -> None:
    """Its last checkpoint fails after the worker has lost it; what the worker still holds goes on."""
    for calls in range(1, 40, 4):
        script: list[Action] = [Produce(0, 9), Produce(1, 9), Join("w1"), Step("w1", 3), SyncFails(1)]
        script += [Within("w1", calls, (Join("w2"), Expire("w1"), Step("w2", 2))), Step("w1", 8)]
        play(Settings(seed=calls, scope=scope, checkpoint_events=2), script)  # type: ignore[arg-type]


def test_an_added_partition_is_read_from_its_beginning() -> None:
    script: list[Action] = [
        Produce(0, 9),
        Join("w1"),
        Step("w1", 5),
        AddPartition(),
        Produce(2, 9),
        Step("w1", 2),
    ]
    world = play(Settings(seed=9, partitions=2), [*script, Crash("w1"), Join("w2")])
    assert len(world.broker.logs) == 3
