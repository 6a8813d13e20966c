"""The belt moves every event once, in order, and what it publishes is a pure function of the events."""

from __future__ import annotations

from pathlib import Path

import pytest
from belt_world import CONFIG, TORCH, World, events

from streamlearn.checkpoints.inspect import show
from streamlearn.contracts import Assigned, Lost, Revoked
from streamlearn.errors import BrokerUnavailable, CheckpointRefused, OffsetGap
from streamlearn.events import TopicPartition

LOGS = events(600, partitions=4, bad_every=50)
FIRST = TopicPartition("events", 0)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, World]:
    """One uninterrupted run in each scope."""
    return {
        scope: World(
            tmp_path_factory.mktemp(scope), LOGS, text=CONFIG + TORCH, overrides=[f"stream.scope={scope}"]
        ).run()
        for scope in ("stream", "partition")
    }


@pytest.mark.parametrize("scope", ["stream", "partition"])
@pytest.mark.parametrize(("poll_events", "rows_each"), [(1, 1), (7, 2), (500, 50), (10_000, 1000)])
def test_replay_equals_run_at_any_poll_size(
    scope: str, poll_events: int, rows_each: int, reference: dict[str, World], tmp_path: Path
) -> None:
    world = World(
        tmp_path,
        LOGS,
        text=CONFIG + TORCH,
        overrides=[f"stream.scope={scope}"],
        poll_events=poll_events,
        rows_each=rows_each,
    ).run()
    assert world.digests() == reference[scope].digests()
    by_place = sorted(r["offset"] for _key, r in world.predictions.records)
    assert by_place == sorted(r["offset"] for _key, r in reference[scope].predictions.records)


@pytest.mark.parametrize("scope", ["stream", "partition"])
@pytest.mark.parametrize("stop_after", [1, 130, 599])
def test_replay_equals_run_across_a_restart(
    scope: str, stop_after: int, reference: dict[str, World], tmp_path: Path
) -> None:
    settings = {
        "text": CONFIG + TORCH,
        "overrides": [f"stream.scope={scope}", "stream.micro_batch_events=13"],
    }
    first = World(tmp_path, LOGS, **settings).run(stop_after=stop_after)
    assert first.belt.totals.events_read < 600 or stop_after > 590
    second = World(tmp_path, LOGS, **settings, threaded=True).run()
    assert second.digests() == reference[scope].digests()
    told = [r for world in (first, second) for _key, r in world.predictions.records]
    expected = [r for _key, r in reference[scope].predictions.records]
    key = lambda r: (r["partition"], r["offset"], r["model"])  # noqa: E731
    assert sorted(told, key=key) == sorted(expected, key=key)


def test_learned_once_counts_add_up(reference: dict[str, World]) -> None:
    for world in reference.values():
        totals = world.belt.totals
        assert totals.events_read == 600
        assert totals.events_rejected == 12 == len(world.letters.letters)
        assert len(world.predictions.records) == 2 * (600 - 12)  # two models; unlabelled events too
        unlabelled = sum(
            world.metric("streamlearn_events_total", topic="events", partition=str(p), outcome="predicted")
            or 0
            for p in range(4)
        )
        assert totals.events_learned + unlabelled + totals.events_rejected == 600
        assert unlabelled > 0


def test_dead_letters_keep_the_bytes(reference: dict[str, World]) -> None:
    rejected = {
        (p, o): row for p, rows in LOGS.items() for o, row in enumerate(rows) if row[1].startswith(b"{{")
    }
    letters = reference["stream"].letters.letters
    assert {(each.partition, each.offset): (each.key, each.value) for each in letters} == {
        place: (row[0], row[1]) for place, row in rejected.items()
    }
    assert {each.reason for each in letters} == {"invalid_json"}


def test_publish_before_commit(tmp_path: Path) -> None:
    world = World(tmp_path, LOGS, until_end=False)
    world.steps(10)
    assert world.belt.totals.events_read == 600
    began_at = world.membership.committed  # of the checkpoint that says where the shard began
    assert began_at == next_offsets_in(tmp_path)
    assert sum(began_at.values()) < 600
    assert world.belt.checkpoint_all(10)
    assert world.membership.committed == next_offsets_in(tmp_path)
    assert world.membership.committed == {TopicPartition("events", p): len(LOGS[p]) for p in range(4)}


def next_offsets_in(folder: Path) -> dict[TopicPartition, int]:
    """What the newest checkpoints say."""
    return {
        TopicPartition(place["topic"], place["partition"]): place["next_offset"]
        for shard in show(str(folder))["shards"]
        for place in shard["next_offsets"]
    }


def test_where_a_shard_began_is_durable_before_the_first_interval(tmp_path: Path) -> None:
    latest = ["source.kafka.start=latest"]
    world = World(tmp_path, {0: LOGS[0][:50]}, overrides=latest, until_end=False)
    world.steps(3)  # and then it dies, without a last checkpoint
    again = World(tmp_path, {0: LOGS[0]}, overrides=latest).run()
    assert again.belt.totals.events_read == len(LOGS[0]) - 50


def test_no_checkpoint_covers_what_is_not_flushed(tmp_path: Path) -> None:
    world = World(tmp_path, LOGS, until_end=False, threaded=True)
    world.belt.holdings.follow_group()
    world.belt.holdings.take_up(0.0)  # opens the shard: where it began is published before anything is read
    began_at = next_offsets_in(tmp_path)
    world.letters.flushes.clear()
    while world.belt.totals.events_read < 600:
        world.belt.step(0.0)
    assert not world.belt.checkpoint_all(0.3)
    world.belt.abandon()
    assert next_offsets_in(tmp_path) == began_at
    assert set(began_at.values()) == {0}
    assert world.membership.committed == began_at


def test_a_shard_whose_beginning_cannot_be_published_reads_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamlearn.belt.holdings.FIRST_CHECKPOINT_SECONDS", 0.1)
    world = World(tmp_path, LOGS, until_end=False, threaded=True)
    world.letters.flushes.clear()
    world.steps(3)
    assert world.belt.lanes == {}
    assert world.belt.totals.events_read == 0
    world.letters.flushes.set()
    second = 3.0
    while world.belt.totals.events_read < 600:
        world.belt.step(second)
        second += 1.0
    world.belt.abandon()


def test_told_to_end_while_a_sink_waits_nothing_unsent_is_covered(tmp_path: Path) -> None:
    world = World(tmp_path, LOGS, until_end=False, poll_events=50)
    world.steps(3)
    covered, wants_to_end = next_offsets_in(tmp_path), False

    def refuse(*_: object) -> None:
        raise BrokerUnavailable("nobody answers", remedy="wait")

    object.__setattr__(world.parts, "give_up", lambda: wants_to_end)
    world.predictions.send = refuse  # type: ignore[method-assign]
    with pytest.raises(BrokerUnavailable):
        world.steps(1)
    wants_to_end = True
    world.steps(1)
    assert world.belt.lanes == {}
    assert world.belt.checkpoint_all(1)
    assert next_offsets_in(tmp_path) == covered


def test_a_revoked_shard_is_published_before_it_is_released(tmp_path: Path) -> None:
    world = World(tmp_path, LOGS, overrides=["stream.scope=partition"], until_end=False)
    world.steps(3)
    read = {name: lane.shard.next_offsets for name, lane in world.belt.lanes.items()}
    revoked = Revoked((TopicPartition("events", 1), TopicPartition("events", 2)))
    world.membership.queue.append(revoked)
    world.belt.holdings.follow_group()
    assert world.membership.was_released == [revoked]
    assert sorted(world.belt.lanes) == ["events[0]", "events[3]"]
    durable = next_offsets_in(tmp_path)
    for name in ("events[1]", "events[2]"):
        assert read[name].items() <= durable.items()
        assert read[name].items() <= world.membership.committed.items()


def test_of_a_lost_shard_nothing_is_written(tmp_path: Path) -> None:
    world = World(tmp_path, LOGS, overrides=["stream.scope=partition"], until_end=False)
    world.steps(3)
    written, told = sorted(tmp_path.rglob("*.checkpoint")), dict(world.membership.committed)
    world.membership.queue.append(Lost((TopicPartition("events", 1),)))
    world.belt.holdings.follow_group()
    assert "events[1]" not in world.belt.lanes
    assert sorted(tmp_path.rglob("*.checkpoint")) == written
    assert world.membership.committed == told


@pytest.mark.parametrize("moves", [(1,), (2, 3), (0, 1, 2, 3)])
def test_shards_that_move_between_workers_end_in_the_same_state(
    moves: tuple[int, ...], reference: dict[str, World], tmp_path: Path
) -> None:
    overrides = ["stream.scope=partition", "stream.micro_batch_events=20"]
    settings = {"text": CONFIG + TORCH, "overrides": overrides, "poll_events": 20}
    one = World(tmp_path, LOGS, **settings, until_end=False)
    one.steps(5)
    moved = tuple(TopicPartition("events", p) for p in moves)
    one.membership.queue.append(Revoked(moved))
    one.steps(1)
    other = World(tmp_path, LOGS, **settings, assigned=moves).run()
    while one.belt.totals.events_read + other.belt.totals.events_read < 600:
        one.belt.step(100.0)
    one.belt.checkpoint_all(10)
    assert one.digests() == reference["partition"].digests()


def test_without_the_first_partition_a_worker_stands_by(tmp_path: Path) -> None:
    world = World(tmp_path, LOGS, assigned=[1, 2, 3], until_end=False)
    world.steps(5)
    assert world.belt.holdings.is_standby
    assert world.belt.totals.events_read == 0
    assert world.metric("streamlearn_standby") == 1
    world.membership.queue.append(Assigned((FIRST,)))
    world.steps(20)
    assert not world.belt.holdings.is_standby
    assert world.belt.totals.events_read == 600  # one that leads reads all partitions


def test_a_leader_that_loses_other_partitions_goes_on(tmp_path: Path) -> None:
    world = World(tmp_path, LOGS, until_end=False)
    world.steps(2)
    world.membership.queue.append(Revoked((TopicPartition("events", 2),)))
    world.steps(20)
    assert world.belt.totals.events_read == 600


@pytest.mark.parametrize("cut", ["retention", "truncation"])
def test_a_checkpoint_outside_the_log_stops(cut: str, tmp_path: Path) -> None:
    World(tmp_path, LOGS).run(stop_after=300)
    again = World(tmp_path, LOGS)
    _cut(again, cut)
    with pytest.raises(OffsetGap, match=r"retention|truncated"):
        again.steps(3)


@pytest.mark.parametrize("cut", ["retention", "truncation"])
def test_a_gap_is_skipped_and_counted_when_asked(cut: str, tmp_path: Path) -> None:
    before = World(tmp_path, LOGS).run(stop_after=300)
    learned = before.belt.lanes["flow"].shard.next_offsets[FIRST]
    again = World(tmp_path, LOGS, overrides=["source.kafka.on_gap=skip"])
    _cut(again, cut)
    again.run()
    missed = again.metric("streamlearn_missed_events_total", topic="events", partition="0")
    assert missed == (again.reader.low[FIRST] - learned if cut == "retention" else 0)
    assert again.belt.lanes["flow"].shard.counters["events_missed"] == missed


def test_one_partition_that_cannot_go_on_does_not_hold_the_others(tmp_path: Path) -> None:
    scope = ["stream.scope=partition"]
    World(tmp_path, LOGS, overrides=scope).run(stop_after=300)
    again = World(tmp_path, LOGS, overrides=scope)
    _cut(again, "retention")
    again.run()
    assert list(again.belt.holdings.stopped) == ["events[0]"]
    assert all(again.belt.lanes[f"events[{p}]"].is_done for p in (1, 2, 3))


def _cut(world: World, how: str) -> None:
    log = world.reader.logs[FIRST]
    if how == "retention":
        world.reader.low[FIRST] = len(log) - 5
    else:
        del log[10:]


def test_start_latest_reads_nothing_old(tmp_path: Path) -> None:
    world = World(tmp_path, LOGS, overrides=["source.kafka.start=latest"]).run()
    assert world.belt.totals.events_read == 0


def test_start_at_a_time(tmp_path: Path) -> None:
    start = '"1970-01-01T00:00:00.300Z"'  # record timestamps are the events' numbers, in milliseconds
    world = World(tmp_path, LOGS, overrides=[f"source.kafka.start={start}"]).run()
    assert world.belt.totals.events_read == 300


def test_partitions_that_are_added_are_read_from_their_beginning(tmp_path: Path) -> None:
    some = {p: LOGS[p] for p in (0, 1, 2)}
    world = World(tmp_path, some, overrides=["source.kafka.start=latest"], until_end=False)
    world.steps(3)
    added = TopicPartition("events", 3)
    world.reader.logs[added] = list(LOGS[3])
    world.membership.queue.append(Assigned((added,)))
    world.steps(20)
    assert world.belt.totals.events_read == 0 + len(LOGS[3])
    assert world.belt.lanes["flow"].shard.next_offsets[added] == len(LOGS[3])


def test_offsets_increase_a_gap_is_counted_when_partitions_are_added_too(tmp_path: Path) -> None:
    some = {p: LOGS[p] for p in (0, 1, 2)}
    world = World(tmp_path, some, overrides=["source.kafka.on_gap=skip"], until_end=False)
    world.steps(20)
    learned = world.belt.lanes["flow"].shard.next_offsets[FIRST]
    world.reader.logs[FIRST] += LOGS[0][:50]
    world.reader.low[FIRST] = learned + 30
    added = TopicPartition("events", 3)
    world.reader.logs[added] = list(LOGS[3])
    world.membership.queue.append(Assigned((added,)))
    world.steps(20)
    assert world.belt.lanes["flow"].shard.counters["events_missed"] == 30
    assert world.metric("streamlearn_missed_events_total", topic="events", partition="0") == 30


@pytest.mark.parametrize("scope", ["stream", "partition"])
def test_partitions_that_are_added_are_not_in_a_bounded_read(scope: str, tmp_path: Path) -> None:
    world = World(
        tmp_path, {p: LOGS[p] for p in (0, 1, 2)}, overrides=[f"stream.scope={scope}"], poll_events=20
    )
    world.steps(2)
    added = TopicPartition("events", 3)
    world.reader.logs[added] = list(LOGS[3])
    world.membership.queue.append(Assigned((added,)))
    assert world.run().belt.totals.events_read == 600 - len(LOGS[3])


def test_another_config_is_refused_and_named(tmp_path: Path) -> None:
    World(tmp_path, LOGS).run(stop_after=100)
    with pytest.raises(CheckpointRefused, match=r"event\.missing was 'mean', is 'zero'"):
        World(tmp_path, LOGS, overrides=["event.missing=zero"]).steps(2)
    assert len(list(tmp_path.rglob("*.claim"))) == 1, "who is refused fences nobody"


def test_another_cluster_is_refused(tmp_path: Path) -> None:
    World(tmp_path, LOGS).run(stop_after=100)
    other = World(tmp_path, LOGS)
    object.__setattr__(other.parts, "identify", lambda _reader: {"cluster_id": "another"})
    with pytest.raises(CheckpointRefused, match="cluster_id was 'memory', is 'another'"):
        other.steps(2)
    assert len(list(tmp_path.rglob("*.claim"))) == 1, "who is refused fences nobody"


def test_every_events_makes_checkpoints(tmp_path: Path) -> None:
    overrides = ["checkpoint.every_events=100", "stream.micro_batch_events=50", "checkpoint.keep=3"]
    world = World(tmp_path, LOGS, overrides=overrides).run()
    assert 6 <= world.belt.totals.checkpoints_written <= 9
    assert len(list(tmp_path.rglob("*.checkpoint"))) == 3
