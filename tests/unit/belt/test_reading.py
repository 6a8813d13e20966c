"""What is read ahead is bounded, and partitions are paused only where their merge waits for another."""

from __future__ import annotations

from operator import itemgetter
from pathlib import Path

import pytest
from belt_world import CONFIG, World, events
from memory_source import Row

from streamlearn.events import TopicPartition

ROOM_BYTES = 128 * 1024  # some 600 events; of one of four partitions at most a quarter waits for the others


@pytest.fixture(autouse=True)
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamlearn.belt.reading.LANE_BYTES_MIN", 1024)


def world(tmp_path: Path, logs: dict[int, list[Row]]) -> tuple[World, set[TopicPartition], list[int]]:
    """A run to the end, which partitions were ever paused, and how many bytes were held after each step."""
    made = World(
        tmp_path,
        logs,
        text=CONFIG.replace("[source.kafka]", f"[source.kafka]\nbuffer_bytes_max = {ROOM_BYTES}"),
        overrides=["stream.micro_batch_events=50"],
        rows_each=10,
    )
    paused: set[TopicPartition] = set()
    held: list[int] = []
    pause, step = made.reader.pause, made.belt.step

    def noting_pause(partitions: list[TopicPartition]) -> None:
        paused.update(partitions)
        pause(partitions)

    def noting_step(now: float) -> bool:
        moved = step(now)
        held.append(sum(lane.held_bytes for lane in made.belt.lanes.values()))
        return moved

    made.reader.pause = noting_pause  # type: ignore[method-assign]
    made.belt.step = noting_step  # type: ignore[method-assign]
    return made.run(), paused, held


def test_partitions_that_come_evenly_are_not_paused_however_full_the_belt_is(tmp_path: Path) -> None:
    # What librdkafka has read ahead is thrown away with a pause, and read again: it halved the rate.
    done, paused, held = world(tmp_path, events(4000, partitions=4))
    assert done.belt.totals.events_read == 4000
    assert ROOM_BYTES < max(held) < 2 * ROOM_BYTES
    assert not paused


def test_partitions_that_run_ahead_of_what_their_merge_waits_for_are_paused(tmp_path: Path) -> None:
    logs = events(8000, partitions=20)
    # One partition has as many events as 17 others, and is read no faster.
    logs = {
        0: sorted((row for p in range(3, 20) for row in logs[p]), key=itemgetter(2)),
        **{p: logs[p] for p in (1, 2)},
    }
    done, paused, held = world(tmp_path, logs)
    assert done.belt.totals.events_read == sum(map(len, logs.values()))
    assert {each.partition for each in paused} == {1, 2}
    assert max(held) < 2 * ROOM_BYTES
