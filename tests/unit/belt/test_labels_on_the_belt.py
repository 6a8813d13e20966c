"""Events and labels through the whole belt: the same bits however they were read, cut, stopped and owned."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest
from belt_world import DELAYED, World, delayed, events
from memory_transactions import MemoryTransactions
from prometheus_client import CollectorRegistry

from streamlearn.checkpoints.inspect import newest_states, show
from streamlearn.console.app import make_app
from streamlearn.console.feed import Feed
from streamlearn.console.history import History
from streamlearn.console.status import Status
from streamlearn.errors import SourceError, TooManyPending
from streamlearn.events import TopicPartition
from streamlearn.report.figures import label_figures
from streamlearn.report.observer import Observer
from streamlearn.report.summary import summary


@pytest.fixture(autouse=True)
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamlearn.belt.labels.layout.SEGMENT_ROWS_MIN", 32)
    monkeypatch.setattr("streamlearn.belt.labels.layout.SEGMENT_ROWS_MAX", 32)


LOGS, LABELS = delayed(events(900, 3, bad_every=41))


@pytest.mark.parametrize("late", ["learn", "correct"])
def test_replay_equals_run_with_delayed_labels(tmp_path: Path, late: str) -> None:
    late_label = [f"labels.on_late_label={late}"]
    whole = World(tmp_path / "whole", LOGS, text=DELAYED, labels=LABELS, overrides=late_label).run()
    figures = summary(whole.config, whole.belt, 1.0)["labels"]
    assert figures["labels_read"] == sum(map(len, LABELS.values()))
    ends = [count for name, count in figures.items() if name.startswith("labels_") and name != "labels_read"]
    assert sum(ends) == figures["labels_read"]
    late_ones = f"labels_late_{late}ed"
    for each in ("labels_joined", late_ones, "labels_correction_learned", "labels_duplicate"):
        assert figures[each] > 0, each
    pieces = tmp_path / "pieces"
    for stop_after in (70, 300, 301, 650, None):
        World(
            pieces,
            LOGS,
            text=DELAYED,
            labels=LABELS,
            overrides=[*late_label, "stream.micro_batch_events=17", "checkpoint.every_events=50"],
            poll_events=13,
            rows_each=1,
        ).run(stop_after=stop_after)
    assert World(pieces, LOGS, text=DELAYED, labels=LABELS).digests() == whole.digests()


def test_predictions_go_out_when_events_come_and_only_then(tmp_path: Path) -> None:
    world = World(tmp_path, LOGS, text=DELAYED, labels=LABELS).run()
    said = [record for _, record in world.predictions.records]
    good = sum(row[1] is not None and row[1].startswith(b'{"') for rows in LOGS.values() for row in rows)
    assert len(said) == good
    assert {record["topic"] for record in said} == {"events"}
    versions = [record["version"] for record in said]
    assert versions == sorted(versions)
    assert versions[-1] > 100
    assert len({record["id"] for record in said}) == good


def test_segments_lie_beside_the_checkpoints_that_need_them_and_no_longer(tmp_path: Path) -> None:
    World(
        tmp_path,
        LOGS,
        text=DELAYED,
        labels=LABELS,
        overrides=["checkpoint.every_events=40", "checkpoint.keep=2", "labels.remember=0"],
    ).run()
    folder = tmp_path / "flow" / "flow"
    there = {path.name for path in folder.glob("*.segment")}
    (state,) = newest_states(str(tmp_path), "flow")
    assert set(state.segments) <= there
    made = 900 // 32
    assert 0 < len(there) < made / 2, "segments that no checkpoint needs are gone"
    assert not list(folder.glob(".*")), "nothing unfinished is left"


def test_partition_scope_takes_the_labels_of_its_number(tmp_path: Path) -> None:
    overrides = ['stream.scope="partition"']
    world = World(tmp_path / "one", LOGS, text=DELAYED, labels=LABELS, overrides=overrides).run()
    assert sorted(world.digests()) == ["events[0]", "events[1]", "events[2]"]
    for number in range(3):
        World(
            tmp_path / "three", LOGS, text=DELAYED, labels=LABELS, overrides=overrides, assigned=[number]
        ).run()
    assert world.digests() == World(tmp_path / "three", LOGS, text=DELAYED, labels=LABELS).digests()
    offsets = show(str(tmp_path / "one"))["shards"][1]["next_offsets"]
    assert {(each["topic"], each["partition"]) for each in offsets} == {("events", 1), ("labels", 1)}


def test_partition_scope_asks_for_equal_partitions(tmp_path: Path) -> None:
    fewer = {0: LABELS[0]}
    world = World(tmp_path, LOGS, text=DELAYED, labels=fewer, overrides=['stream.scope="partition"'])
    with pytest.raises(SourceError, match=r"'labels' has 1 partition, and the events have 3"):
        world.run()


def test_two_events_of_one_id_are_a_named_rejection(tmp_path: Path) -> None:
    logs = {
        0: [(b"k", json.dumps({"id": 7, "t": t, "a": 1.0, "b": 1.0, "c": "x"}).encode(), t) for t in (1, 2)]
    }
    world = World(tmp_path, logs, text=DELAYED, labels={0: []}).run()
    assert [(letter.offset, letter.reason) for letter in world.letters.letters] == [(1, "duplicate_id")]
    assert world.metric("streamlearn_rejected_events_total", reason="duplicate_id") == 1


@pytest.mark.parametrize("scope", ["stream", "partition"])
def test_a_live_order_of_events_and_labels_is_repeated_after_a_crash(tmp_path: Path, scope: str) -> None:
    """The labels come late: the live read could not wait for them. Whoever replays takes them where they came."""
    transactions = MemoryTransactions()
    options = [f"stream.scope={scope}", "checkpoint.every_seconds=1000"]
    live = World(
        tmp_path / "live",
        LOGS,
        text=DELAYED,
        labels={number: [] for number in LABELS},
        overrides=options,
        transactions=transactions,
        until_end=False,
        poll_events=60,
    )
    for second in range(10):
        live.belt.step(float(second))
    early = len(transactions.records)
    assert 50 < early < 800
    for number, rows in LABELS.items():
        live.reader.logs[TopicPartition("labels", number)] += rows
    for second in range(10, 120):
        live.belt.step(float(second))
    live.belt.checkpoint_all(10)
    records, digests = list(transactions.records), live.digests()
    straight = World(tmp_path / "straight", LOGS, text=DELAYED, labels=LABELS, overrides=options).run()
    assert straight.digests() != digests, "the live order should not be that of a bounded read"
    # Again from nothing but events, labels and journal: every checkpoint is gone.
    again = World(
        tmp_path / "again",
        LOGS,
        text=DELAYED,
        labels=LABELS,
        overrides=options,
        transactions=transactions,
        until_end=False,
        poll_events=9,
    )
    for second in range(600):
        again.belt.step(float(second))
    again.belt.checkpoint_all(10)
    assert transactions.records == records, "nothing is sent twice"
    assert again.digests() == digests
    live.belt.abandon()
    again.belt.abandon()


def test_a_full_shard_reads_no_events_while_labels_go_on(tmp_path: Path) -> None:
    """Live: at the bound events wait in their topic, /readyz can say so, and they come when there is room."""
    world = World(
        tmp_path,
        LOGS,
        text=DELAYED,
        labels=LABELS,
        until_end=False,
        poll_events=10,
        overrides=["labels.pending_bytes_max=45000", "labels.remember=0", "stream.micro_batch_events=10"],
    )
    observer = Observer(world.config, world.belt, world.telemetry)
    was_full, steps, told_by_metric = 0, 0, 0.0
    while steps < 4000 and world.belt.totals.events_read < 900:
        world.belt.step(steps * 1.0)
        steps += 1
        told_by_metric += world.metric("streamlearn_pending_full") or 0.0
        status = observer.observe(steps * 1.0)
        assert status.labels is not None
        if status.labels.full_shards and not was_full:
            code, reasons = readyz(status)
            assert code == 503
            assert "flow keeps as much as labels.pending_bytes_max: reading events pauses" in reasons[0]
            assert status.labels.pending_bytes >= status.labels.pending_bytes_max == 45_000
        was_full += status.labels.full_shards
    assert was_full > 0
    assert told_by_metric > 0
    assert world.belt.totals.events_read == 900, world.belt.totals
    (lane,) = world.belt.lanes.values()
    assert label_figures([lane.shard])["events_pending"] < 900
    world.belt.abandon()


def readyz(status: Status) -> tuple[int, list[str]]:
    """What the console's own application answers to who asks whether the daemon is ready."""
    app = make_app(lambda: status, CollectorRegistry(), History(), Feed())

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app), base_url="http://console"
        ) as client:
            return await client.get("/readyz")

    answer = asyncio.run(ask())
    return answer.status_code, answer.json()["reasons"]


def test_the_picture_says_what_the_summary_says_of_labels(tmp_path: Path) -> None:
    small = {"poll_events": 20, "overrides": ["stream.micro_batch_events=20"]}
    world = World(tmp_path, LOGS, text=DELAYED, labels=LABELS, **small)  # type: ignore[arg-type]
    observer = Observer(world.config, world.belt, world.telemetry)
    before = observer.observe(0.0).labels
    assert before is not None
    assert (before.pending_events, before.coverage_ratio, before.delay_seconds) == (0, None, {})
    while world.belt.totals.events_read < 500:
        world.belt.step(1.0)
    told = observer.observe(2.0).labels
    figures = summary(world.config, world.belt, 1.0)["labels"]
    assert told is not None
    assert (told.wait_seconds, told.pending_bytes_max) == (2.0, 16 * 2**30)
    assert told.coverage_ratio == figures["coverage"]
    assert told.delay_seconds == figures["delay_seconds"]
    assert told.pending_events == figures["events_pending"] > 0
    assert told.pending_bytes == figures["pending_bytes"] > 0
    assert told.early_labels == figures["labels_early"]
    assert sum(told.labels.values()) + told.early_labels == figures["labels_read"]
    rejected_events = world.belt.totals.events_rejected
    assert sum(told.events.values()) + told.pending_events + rejected_events == figures["events_read"]
    for name, count in told.labels.items():
        assert count == figures[f"labels_{name}"], name
    world.belt.abandon()


def test_the_digest_covers_what_waits(tmp_path: Path) -> None:
    """Events that are pending at the end: one number of one of them is another, and so is the digest."""
    plain = [
        (b"k", json.dumps({"id": n, "t": n, "a": 1.0, "b": 1.0, "c": "x"}).encode(), n) for n in range(40)
    ]
    other = [*plain]
    other[-1] = (b"k", json.dumps({"id": 39, "t": 39, "a": 1.0, "b": 2.0, "c": "x"}).encode(), 39)
    digests = [
        World(tmp_path / name, {0: rows}, text=DELAYED, labels={0: []}, overrides=['event.missing="zero"'])
        .run()
        .digests()
        for name, rows in (("plain", plain), ("again", plain), ("other", other))
    ]
    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


def test_a_bounded_read_cannot_pause_and_says_so(tmp_path: Path) -> None:
    overrides = ["labels.pending_bytes_max=20000", 'labels.wait="10h"']
    world = World(tmp_path, LOGS, text=DELAYED, labels=LABELS, overrides=overrides)
    with pytest.raises(TooManyPending, match=r"labels\.pending_bytes_max"):
        world.run()
