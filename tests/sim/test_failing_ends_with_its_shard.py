"""A checkpoint that fails holds up who still holds its shard, and nobody else; what cannot heal ends the daemon."""

from __future__ import annotations

from world import play
from world_script import CommitFails, DiskFull, Join, Produce, Settings, Step, Wait, script_of, settings_of


def test_the_belt_goes_on_once_the_shard_that_could_not_be_written_is_another_workers() -> None:
    script = [
        Produce(0, 4),
        Produce(1, 4),
        Join("w1"),
        Step("w1", 30),
        Wait(25.0),
        Step("w1", 9),
        DiskFull(),
        Produce(1, 8),
        Step("w1", 8),
    ]
    script += [Join("w2"), Step("w1", 8), DiskFull(False), Step("w2", 8), Produce(0, 8), Step("w1", 30)]
    play(Settings(seed=1, scope="partition", checkpoint_events=4), script)


def test_a_way_out_that_failed_for_good_ends_the_daemon() -> None:
    script = [
        Produce(0, 9),
        Join("w1"),
        Step("w1", 4),
        Produce(0, 9),
        CommitFails(1, fatal=True),
        Step("w1", 30),
    ]
    for seed in range(8):
        play(Settings(seed=seed, checkpoint_events=4), script)


def test_the_seeds_that_found_it() -> None:
    for seed in (232, 308, 313):
        play(settings_of(seed), script_of(seed))
