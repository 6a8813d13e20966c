"""The belt's store: what it writes is what a start goes on from."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamlearn.checkpoints.keeper import CheckpointKeeper
from streamlearn.checkpoints.stores import open_store
from streamlearn.contracts import ModelEntry, ShardState, Snapshot, Store
from streamlearn.errors import CheckpointCorrupt, CheckpointLocked, CheckpointRefused
from streamlearn.events import TopicPartition


class Mine:
    pass


def state(sequence: int, **changes: Any) -> ShardState:
    whole = ShardState(
        stream="flights",
        shard="flights",
        sequence=sequence,
        next_offsets={TopicPartition("flights", 0): sequence * 10},
        events_learned=sequence * 10,
        events_rejected=0,
        counters={},
        models=(ModelEntry("mlp", sequence, sequence),),
        parts={"model/mlp": Snapshot(arrays={"weights": np.full(4, float(sequence))})},
        config={},
        source={},
    )
    return replace(whole, **changes)


def keeper(tmp_path: Path, **settings: Any) -> CheckpointKeeper:
    return CheckpointKeeper(open_store(str(tmp_path), "flights"), **{"keep": 3, **settings})


def damage(path: str) -> None:
    content = bytearray(Path(path).read_bytes())
    content[-3] ^= 0x10
    Path(path).write_bytes(content)


def test_a_start_goes_on_from_the_newest(tmp_path: Path) -> None:
    store: Store = keeper(tmp_path)
    assert store.newest("flights") is None
    for sequence in (1, 2, 3, 4, 5):
        published = store.publish(state(sequence))
        assert Path(published.path).stat().st_size == published.nbytes
        assert published.seconds > 0
    restored = keeper(tmp_path).newest("flights")
    assert restored is not None
    assert restored.sequence == 5
    assert restored.parts["model/mlp"].arrays["weights"].tolist() == [5.0] * 4
    assert [file.sequence for file in open_store(str(tmp_path), "flights").files("flights")] == [3, 4, 5]


def test_a_corrupt_one_is_told_and_an_older_one_counts(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    store = keeper(tmp_path, on_corrupt=lambda path, why: told.append((path, why)))
    paths = [store.publish(state(sequence)).path for sequence in (1, 2, 3)]
    damage(paths[2])
    restored = store.newest("flights")
    assert restored is not None
    assert restored.sequence == 2
    assert [path for path, _ in told] == [f"{paths[2]}.corrupt"]
    assert "section 'arrays' of 'model/mlp'" in told[0][1]
    assert store.publish(state(3)).path == paths[2], "the sequence is free again"
    for path in paths:
        damage(path)
    with pytest.raises(CheckpointCorrupt, match="none of the checkpoints"):
        store.newest("flights")


def test_with_a_key_files_are_signed(tmp_path: Path) -> None:
    keeper(tmp_path, key=b"secret").publish(state(1))
    assert keeper(tmp_path, key=b"secret").newest("flights") is not None
    with pytest.raises(CheckpointRefused, match="another key"):
        keeper(tmp_path, key=b"guessed").newest("flights")
    keeper(tmp_path).publish(state(2))
    with pytest.raises(CheckpointRefused, match="is not signed"):
        keeper(tmp_path, key=b"secret").newest("flights")


def test_what_could_not_be_restored_is_not_published(tmp_path: Path) -> None:
    """And said with the first checkpoint, not at a restart."""
    parts = {"model/mine": Snapshot(pickled=pickle.dumps(Mine()))}
    with pytest.raises(CheckpointRefused, match="Mine"):
        keeper(tmp_path).publish(state(1, parts=parts))
    assert keeper(tmp_path).newest("flights") is None
    config = {"models": [{"name": "mine", "admit": [f"{Mine.__module__}:Mine"]}]}
    keeper(tmp_path).publish(state(1, parts=parts, config=config))
    assert keeper(tmp_path).newest("flights") is not None


def test_two_keepers_do_not_both_publish(tmp_path: Path) -> None:
    keeper(tmp_path).publish(state(1))
    with pytest.raises(CheckpointLocked):
        keeper(tmp_path).publish(state(1))
