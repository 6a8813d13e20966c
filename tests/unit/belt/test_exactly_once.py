"""Predictions leave once, whatever happens between two checkpoints, and in the order that the world has seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from belt_world import World, events
from memory_source import Row
from memory_transactions import MemoryTransactions

from streamlearn.contracts import Assigned, Lost
from streamlearn.events import TopicPartition

LOGS = events(400, partitions=3, seed=5, bad_every=29)
SCOPES = pytest.mark.parametrize("scope", ["stream", "partition"])


def world(folder: Path, transactions: MemoryTransactions, scope: str, **others: object) -> World:
    overrides = [f"stream.scope={scope}", "checkpoint.every_events=90", "checkpoint.every_seconds=1000"]
    return World(folder, LOGS, overrides=overrides, transactions=transactions, **others)  # type: ignore[arg-type]


def crash(world: World) -> None:
    """What is in memory is gone; nothing is said to anybody."""


def coordinates(transactions: MemoryTransactions) -> list[tuple[int, int]]:
    return [(record["partition"], record["offset"]) for record in transactions.records]


def uninterrupted(folder: Path, scope: str) -> tuple[MemoryTransactions, dict[str, str]]:
    transactions = MemoryTransactions()
    done = world(folder, transactions, scope).run()
    return transactions, done.digests()


def by_partition(records: Sequence[dict[str, object]]) -> list[dict[str, object]]:
    return sorted(records, key=lambda record: (record["partition"], record["offset"]))  # type: ignore[arg-type,return-value]


@SCOPES
@pytest.mark.parametrize("every", [7, 61, 150])
def test_crashes_neither_lose_nor_repeat_predictions(tmp_path: Path, scope: str, every: int) -> None:
    expected, digests = uninterrupted(tmp_path / "whole", scope)
    transactions = MemoryTransactions()
    steps = 0
    while True:
        one = world(tmp_path / "crashed", transactions, scope, poll_events=5)
        for _ in range(every):
            one.belt.step(float(steps))
            steps += 1
            if one.belt.is_done:
                break
        if one.belt.is_done:
            one.belt.checkpoint_all(10)
            break
        every += 1  # further each time, or a small one would never get anywhere
    assert by_partition(transactions.records) == by_partition(expected.records)
    if scope == "stream":
        assert transactions.records == expected.records
    assert {(each.partition, each.offset) for each in transactions.letters} == {
        (each.partition, each.offset) for each in expected.letters
    }
    assert len(transactions.letters) == len(expected.letters)
    assert one.digests() == digests


def test_a_live_order_is_repeated_after_a_crash(tmp_path: Path) -> None:
    """Partition 1 comes late: the live read could not wait. Whoever replays sees the same order."""
    late: dict[int, list[Row]] = {0: list(LOGS[0]), 1: [], 2: list(LOGS[2])}
    transactions = MemoryTransactions()
    live = World(
        tmp_path,
        late,
        overrides=["checkpoint.every_seconds=1000"],
        transactions=transactions,
        until_end=False,
        poll_events=20,
    )
    for second in range(40):
        live.belt.step(float(second))
    seen_before = len(transactions.records)
    assert seen_before > 50
    live.reader.logs[TopicPartition("events", 1)] += LOGS[1]  # older, by event time, than what was learned
    for second in range(40, 80):
        live.belt.step(float(second))
    live.belt.checkpoint_all(10)
    digests = live.digests()
    times = [record["event_time"] for record in transactions.records]
    assert times != sorted(times), "the live order should not be that of a bounded read"

    # Again from nothing but events and journal: every checkpoint is gone.
    records = list(transactions.records)
    again = World(
        tmp_path / "again",
        LOGS,
        overrides=["checkpoint.every_seconds=1000"],
        transactions=transactions,
        until_end=False,
        poll_events=9,
    )
    for second in range(300):
        again.belt.step(float(second))
    again.belt.checkpoint_all(10)
    assert transactions.records == records, "nothing is sent twice"
    assert again.digests() == digests


@SCOPES
def test_a_zombie_can_neither_send_nor_publish(tmp_path: Path, scope: str) -> None:
    expected, digests = uninterrupted(tmp_path / "whole", scope)
    transactions = MemoryTransactions()
    zombie = world(tmp_path / "shared", transactions, scope, poll_events=5)
    for step in range(12):
        zombie.belt.step(float(step))
    # Frozen; the group gives its partitions to another, which runs to the end.
    successor = world(tmp_path / "shared", transactions, scope).run()
    records = list(transactions.records)
    # It wakes up, and does not know yet.
    for step in range(12, 60):
        zombie.belt.step(float(step))
        if not zombie.belt.lanes:
            break
    assert zombie.belt.lanes == {}, "the fenced shards were let go"
    assert transactions.records == records
    zombie.membership.queue.append(Lost(tuple(zombie.reader.partitions())))
    zombie.belt.step(1000.0)
    zombie.belt.checkpoint_all(10)
    assert successor.digests() == digests
    assert by_partition(transactions.records) == by_partition(expected.records)


def test_the_group_is_not_told_behind_the_transactions_back(tmp_path: Path) -> None:
    transactions = MemoryTransactions()
    done = world(tmp_path, transactions, "stream").run()
    assert done.membership.committed == {}
    assert transactions.offsets == {TopicPartition("events", p): len(log) for p, log in LOGS.items()}


def test_a_shard_that_moves_goes_on_where_its_transactions_ended(tmp_path: Path) -> None:
    expected, digests = uninterrupted(tmp_path / "whole", "partition")
    transactions = MemoryTransactions()
    first = world(tmp_path / "moved", transactions, "partition", poll_events=5)
    for step in range(20):
        first.belt.step(float(step))
    moved = TopicPartition("events", 1)
    first.membership.queue.append(Lost((moved,)))
    first.belt.step(20.0)
    second = world(tmp_path / "moved", transactions, "partition", assigned=[1]).run()
    for step in range(21, 400):
        first.belt.step(float(step))
    first.belt.checkpoint_all(10)
    first.membership.queue.append(Assigned(()))
    assert second.digests() == digests
    assert by_partition(transactions.records) == by_partition(expected.records)


def test_what_the_cluster_has_lost_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transactions = MemoryTransactions()
    world(tmp_path, transactions, "partition").run()
    records = list(transactions.records)
    lost = TopicPartition("events", 1)
    transactions.offsets[lost] -= 7  # a transaction that it had called committed
    again = world(tmp_path, transactions, "partition")
    told: list[tuple[TopicPartition, int, int]] = []
    monkeypatch.setattr(again.telemetry, "sending_behind", lambda *what: told.append(what))
    again.run()
    assert told == [(lost, len(LOGS[1]) - 7, len(LOGS[1]))]
    assert transactions.records == records
