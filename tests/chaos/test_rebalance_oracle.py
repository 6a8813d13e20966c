"""The oracles of the rebalance suites find what they are there to find."""

from __future__ import annotations

import pytest
from chaos.rebalance_oracle import (
    Said,
    Took,
    gaps,
    letters_lost_or_repeated,
    lost_or_repeated,
    not_as_river_says,
    pauses,
    shards_with_two_producers,
    two_leaders_by_producer,
    two_leaders_by_version,
    writers,
)
from chaos.rebalance_plan import WORKERS_FIRST, WORKERS_MAX, WORKERS_MIN, Setup, draw_plan
from chaos.rebalance_worker import Disturbance, Holding
from chaos.record_batches import Batch

LOGS = {0: [b"{}", b"{{}", b"{}"], 1: [b"{}"]}
# In the order of commits: stream scope, two leaders, the second from the third record on.
SEEN = [
    Said((0, 0), "m", 0, 0, 10.0, 0.5),
    Said((1, 0), "m", 1, 1, 10.5, 0.6),
    Said((0, 2), "m", 2, 3, 13.0, 0.7),
]
BATCHES = [Batch(0, 1, 7, 0), Batch(3, 3, 7, 1)]
HELD = [Holding(0, "all", 9.0, 20.0), Holding(1, "all", 12.5, None)]


def test_what_is_as_it_should_be_differs_in_nothing() -> None:
    assert lost_or_repeated(SEEN, LOGS, ["m"]) == []
    assert letters_lost_or_repeated([(0, 1)], LOGS) == []
    assert two_leaders_by_version(SEEN, "stream") == []
    assert two_leaders_by_producer(BATCHES) == []
    assert writers(SEEN, BATCHES) == [(7, 0), (7, 0), (7, 1)]
    assert shards_with_two_producers(SEEN, writers(SEEN, BATCHES), "stream") == []


def test_versions_never_go_back_where_labels_come_later() -> None:
    stays = [SEEN[0], SEEN[1]._replace(version=0), SEEN[2]._replace(version=5)]
    assert two_leaders_by_version(stays, "stream", every_event_learns=False) == []
    back = [SEEN[0]._replace(version=3), SEEN[1]]
    assert two_leaders_by_version(back, "stream", every_event_learns=False)


def test_a_lost_a_repeated_and_a_strange_record_are_found() -> None:
    assert "1 of 3 lost" in lost_or_repeated(SEEN[1:], LOGS, ["m"])[0]
    assert "1 twice" in lost_or_repeated([*SEEN, SEEN[0]], LOGS, ["m"])[0]
    rejected = Said((0, 1), "m", 3, 4, 14.0, 0.5)
    assert "1 of no event" in lost_or_repeated([*SEEN, rejected], LOGS, ["m"])[0]
    assert len(lost_or_repeated(SEEN, LOGS, ["m", "n"])) == 1


@pytest.mark.parametrize("letters", [[], [(0, 1), (0, 1)], [(0, 0)]])
def test_a_lost_and_a_repeated_letter_are_found(letters: list[tuple[int, int]]) -> None:
    assert len(letters_lost_or_repeated(letters, LOGS)) == 1


def test_two_that_lead_at_once_are_found_by_what_they_had_learned() -> None:
    """Both go on from the same version; or one says again what the other has said."""
    beside = Said((0, 2), "m", 1, 3, 13.0, 0.7)
    assert two_leaders_by_version([*SEEN[:2], beside], "stream")
    assert two_leaders_by_version([SEEN[1], SEEN[0]], "stream")
    # Partitions are shards of their own in partition scope.
    assert two_leaders_by_version(SEEN, "partition")


def test_a_record_of_a_fenced_owner_behind_its_successors_first_is_found() -> None:
    assert two_leaders_by_producer([*BATCHES, Batch(4, 4, 7, 0)])
    assert not two_leaders_by_producer([*BATCHES, Batch(4, 4, 8, 0)])


def test_a_share_that_no_plain_loop_gives_is_found() -> None:
    """An event learned twice, in another order, or not at all changes what is said of those behind it."""
    assert not_as_river_says(SEEN, "stream", "m", lambda _places: [0.5, 0.6, 0.7]) == []
    assert not_as_river_says(SEEN, "stream", "m", lambda _places: [0.5, 0.6, 0.70001])


def test_owners_that_would_not_fence_each_other_are_found() -> None:
    assert shards_with_two_producers(SEEN, [(7, 0), (7, 0), (8, 0)], "stream")
    assert not shards_with_two_producers(SEEN, [(7, 0), (8, 0), (7, 0)], "partition")


@pytest.mark.parametrize(
    ("done", "kind", "pause_seconds"),
    [
        ([Disturbance("kill", 0, 11.0)], "kill", 1.5),
        # What a frozen worker logs when it goes on says nothing of when it stopped.
        ([Disturbance("freeze", 0, 11.0), Disturbance("return", 0, 19.0)], "freeze", 1.5),
    ],
)
def test_pause_and_gap_of_a_hand_over(done: list[Disturbance], kind: str, pause_seconds: float) -> None:
    assert pauses(HELD, done) == [Took(kind, pause_seconds)]
    shard_of = {0: "all", 1: "all"}
    assert gaps(SEEN, writers(SEEN, BATCHES), HELD, done, shard_of) == [Took(kind, 2.5)]


def test_a_shard_that_was_let_go_in_order_pauses_from_then_on() -> None:
    held = [Holding(0, "all", 9.0, 12.0), Holding(1, "all", 12.5, None)]
    assert pauses(held, [Disturbance("add", 1, 11.0)]) == [Took("add", 0.5)]


@pytest.mark.parametrize("seed", range(20))
def test_a_plan_leaves_somebody_to_take_over(seed: int) -> None:
    workers = WORKERS_FIRST
    for action in draw_plan(seed, 50, "stream"):
        workers += {"add": 1, "freeze": 0, "kill": -1, "remove": -1}[action.kind]
        assert WORKERS_MIN <= workers <= WORKERS_MAX


def test_a_static_member_keeps_its_name_and_kip_848_has_its_times_from_the_broker() -> None:
    assert Setup("stream", "consumer", static=True).properties(2) == (
        'source.kafka.properties={"group.instance.id" = "seat-2", "group.protocol" = "consumer"}'
    )
    assert "session.timeout.ms" in Setup("stream", "classic", static=False).properties(0)
