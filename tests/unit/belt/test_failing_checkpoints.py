"""A checkpoint that cannot be written: the old one stays, the belt stands, and goes on by itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from belt_world import World, events

from streamlearn.checkpoints.stores import CheckpointStore
from streamlearn.errors import CheckpointError, CheckpointRefused, StreamlearnError

LOGS = events(600, partitions=2, seed=3)
OFTEN = ["checkpoint.every_events=100", "checkpoint.every_seconds=1000"]


class Trouble:
    """Makes the store's publishing fail while it is on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.error: StreamlearnError | None = None
        publish = CheckpointStore.publish

        def troubled(store: CheckpointStore, *arguments: Any, **named: Any) -> str:
            if self.error is not None:
                raise self.error
            return publish(store, *arguments, **named)

        monkeypatch.setattr(CheckpointStore, "publish", troubled)


@pytest.fixture
def trouble(monkeypatch: pytest.MonkeyPatch) -> Trouble:
    return Trouble(monkeypatch)


def checkpoints(folder: Path) -> Sequence[Path]:
    return sorted(folder.rglob("*.checkpoint"))


def test_the_belt_stands_while_the_disk_is_full_and_goes_on_by_itself(
    tmp_path: Path, trouble: Trouble
) -> None:
    world = World(tmp_path, LOGS, overrides=OFTEN, poll_events=20)
    world.steps(3)
    written = checkpoints(tmp_path)
    assert written
    trouble.error = CheckpointError("no space left on the device", remedy="free some space")
    for second in range(100, 140):
        world.belt.step(float(second))
    stood_at = world.belt.totals.events_read
    assert 0 < stood_at < 600
    assert world.belt.upkeep.failing == "no space left on the device"
    assert checkpoints(tmp_path) == written, "the old ones stay"
    assert world.metric("streamlearn_belt_pauses_total", reason="checkpoints_failing") == 1
    trouble.error = None
    world.run(begins_at=140.0)
    assert world.belt.upkeep.failing is None
    assert world.belt.totals.events_read == 600
    assert world.digests() == World(tmp_path / "calm", LOGS, overrides=OFTEN).run().digests()


def test_a_new_shard_learns_nothing_before_it_is_known_where_it_began(
    tmp_path: Path, trouble: Trouble
) -> None:
    trouble.error = CheckpointError("the folder is read-only", remedy="mount it for writing")
    world = World(tmp_path, LOGS, overrides=OFTEN)
    world.steps(5)
    assert world.belt.totals.events_read == 0
    assert world.belt.lanes == {}
    trouble.error = None
    world.run()
    assert world.belt.totals.events_read == 600


def test_what_no_later_try_can_mend_ends_the_daemon(tmp_path: Path, trouble: Trouble) -> None:
    world = World(tmp_path, LOGS, overrides=OFTEN)
    world.steps(2)
    trouble.error = CheckpointRefused("the model cannot be read back", remedy="admit its class")
    with pytest.raises(CheckpointRefused, match="cannot be read back"):
        world.run()
