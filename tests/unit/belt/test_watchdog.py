"""A partition that stands still with work to do is stuck; one that has a reason is not."""

from __future__ import annotations

from dataclasses import replace

from streamlearn.belt.watchdog import Stand, Watchdog
from streamlearn.events import TopicPartition

FIRST, SECOND = TopicPartition("t", 0), TopicPartition("t", 1)
BEHIND = Stand("flow", next_offset=5, position=5, high=9, waits=False)


def dog() -> Watchdog:
    return Watchdog(60.0, "receive.message.max.bytes = 1,000")


def test_a_partition_with_lag_that_does_not_move_is_stuck_until_it_does() -> None:
    watchdog = dog()
    found = [
        sorted(watchdog.look(now, {FIRST: BEHIND}, paused=None)) for now in (10.0, 40.0, 69.9, 70.0, 90.0)
    ]
    assert found == [[], [], [], [FIRST], [FIRST]]
    moved = replace(BEHIND, next_offset=6, position=6)
    assert watchdog.look(91.0, {FIRST: moved}, paused=None) == {}
    assert watchdog.look(150.0, {FIRST: moved}, paused=None) == {}
    text = watchdog.look(151.5, {FIRST: moved}, paused=None)[FIRST]
    assert text == (
        "t[0] has stood at offset 6 for 60 s, and its log goes on to 9: nothing comes from the source; if a message "
        "there, with its batch, is larger than receive.message.max.bytes = 1,000, raise that under "
        "source.kafka.properties"
    )


def test_a_source_without_such_a_limit_names_none() -> None:
    watchdog = Watchdog(1.0, None)
    watchdog.look(0.0, {FIRST: BEHIND}, paused=None)
    assert watchdog.look(1.0, {FIRST: BEHIND}, paused=None)[FIRST].endswith("nothing comes from the source")


def test_what_has_nothing_to_do_is_not_stuck() -> None:
    watchdog = dog()
    at_end = {
        FIRST: Stand("flow", next_offset=9, position=9, high=9, waits=False),
        # A commit marker is all that the log goes on by, and the reader has passed it.
        SECOND: Stand("flow", next_offset=8, position=9, high=9, waits=False),
        TopicPartition("t", 2): Stand("flow", next_offset=3, position=3, high=None, waits=False),
    }
    for now in (0.0, 1000.0):
        assert watchdog.look(now, at_end, paused=None) == {}


def test_idle_time_does_not_count() -> None:
    watchdog = dog()
    idle = replace(BEHIND, high=5)
    watchdog.look(0.0, {FIRST: idle}, paused=None)
    watchdog.look(1000.0, {FIRST: idle}, paused=None)
    assert watchdog.look(1001.0, {FIRST: BEHIND}, paused=None) == {}
    assert sorted(watchdog.look(1060.0, {FIRST: BEHIND}, paused=None)) == [FIRST]


def test_a_reader_that_passes_over_control_records_moves() -> None:
    watchdog = dog()
    for second in range(200):
        stand = replace(BEHIND, position=5 + second, high=10_000)
        assert watchdog.look(float(second), {FIRST: stand}, paused=None) == {}


def test_a_belt_that_says_why_it_stands_has_no_stuck_partition() -> None:
    watchdog = dog()
    for now in (0.0, 100.0, 200.0):
        assert watchdog.look(now, {FIRST: BEHIND}, paused="checkpoints_failing") == {}
    assert watchdog.look(259.0, {FIRST: BEHIND}, paused=None) == {}
    assert sorted(watchdog.look(260.0, {FIRST: BEHIND}, paused=None)) == [FIRST]


def test_events_that_wait_for_those_of_others_are_not_stuck_while_their_shard_moves() -> None:
    watchdog = dog()
    waiting = replace(BEHIND, waits=True)
    for second in range(200):
        stands = {FIRST: waiting, SECOND: replace(BEHIND, next_offset=second, position=second, high=10_000)}
        assert watchdog.look(float(second), stands, paused=None) == {}
    stands = {FIRST: waiting, SECOND: replace(BEHIND, next_offset=199, position=199, high=10_000)}
    found = watchdog.look(259.0, stands, paused=None)
    assert found[FIRST].endswith("its events were read and wait, and shard flow learns none")
    assert "for 259 s" in found[FIRST]
    assert "nothing comes from the source" in found[SECOND]


def test_another_shard_that_moves_is_no_excuse() -> None:
    watchdog = dog()
    for second in range(61):
        stands = {
            FIRST: replace(BEHIND, waits=True),
            SECOND: replace(BEHIND, shard="other", next_offset=second, position=second, high=10_000),
        }
        found = watchdog.look(float(second), stands, paused=None)
    assert sorted(found) == [FIRST]


def test_a_partition_that_is_gone_is_forgotten() -> None:
    watchdog = dog()
    watchdog.look(0.0, {FIRST: BEHIND}, paused=None)
    watchdog.look(59.0, {}, paused=None)
    assert watchdog.look(100.0, {FIRST: BEHIND}, paused=None) == {}
