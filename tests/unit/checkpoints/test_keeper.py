"""The belt's store: what it writes is what a start goes on from."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamlearn.checkpoints.digest import state_digest
from streamlearn.checkpoints.keeper import CheckpointKeeper
from streamlearn.checkpoints.places import LocalPlace
from streamlearn.checkpoints.stores import open_store
from streamlearn.contracts import ModelEntry, ShardState, Snapshot, Store
from streamlearn.errors import CheckpointCorrupt, CheckpointFenced, CheckpointLocked, CheckpointRefused
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
    """A worker's keeper, which has taken the shard up."""
    kept = CheckpointKeeper(open_store(str(tmp_path), "flights"), **{"keep": 3, **settings})
    kept.claim("flights")
    return kept


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
    files = open_store(str(tmp_path), "flights").files("flights")
    assert [file.version for file in files] == [(1, 3), (1, 4), (1, 5)]


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
    assert len(told) == 1


def test_the_two_newest_corrupt_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    told: list[tuple[str, str]] = []
    store = keeper(tmp_path, on_corrupt=lambda path, why: told.append((path, why)))
    paths = [store.publish(state(sequence)).path for sequence in (1, 2, 3)]
    for path in paths[1:]:
        damage(path)
    with pytest.raises(CheckpointCorrupt, match="the 2 newest checkpoints of flights do not verify") as error:
        keeper(tmp_path).newest("flights")
    first, second, third = (Path(path).name for path in paths)
    assert f"to go on from {paths[0]}" in error.value.remedy
    assert f"move {third}, {second} out of that folder" in error.value.remedy
    assert all(Path(path).exists() for path in paths), "nothing was touched"
    # What the remedy says, done.
    for path in paths[1:]:
        Path(path).rename(tmp_path / Path(path).name)
    restored = store.newest("flights")
    assert restored is not None
    assert (restored.sequence, told) == (1, [])
    assert first in paths[0]


def test_one_set_aside_at_the_last_start_and_the_next_corrupt_too_are_two(tmp_path: Path) -> None:
    paths = [keeper(tmp_path).publish(state(sequence)).path for sequence in (1, 2, 3)]
    damage(paths[2])
    assert keeper(tmp_path).newest("flights") is not None
    assert keeper(tmp_path).newest("flights") is not None, "and a start without news changes nothing"
    damage(paths[1])
    with pytest.raises(CheckpointCorrupt, match="set aside before") as error:
        keeper(tmp_path).newest("flights")
    assert f"{Path(paths[2]).name}.corrupt" in error.value.remedy


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


def test_of_two_keepers_the_one_with_the_newer_claim_publishes(tmp_path: Path) -> None:
    older, newer = keeper(tmp_path), keeper(tmp_path)
    with pytest.raises(CheckpointFenced, match="claim 1 on flights counts no more: claim 2 was made by"):
        older.publish(state(7))
    newer.publish(state(1))
    restored = keeper(tmp_path).newest("flights")
    assert restored is not None
    assert restored.sequence == 1


def test_a_sequence_is_published_once_in_an_epoch(tmp_path: Path) -> None:
    store = keeper(tmp_path)
    store.publish(state(1))
    with pytest.raises(CheckpointLocked):
        store.publish(state(1))


def test_what_was_released_publishes_no_more(tmp_path: Path) -> None:
    store = keeper(tmp_path)
    store.publish(state(1, epoch=1))
    store.release("flights")
    for late in (state(2, epoch=1), state(2)):
        with pytest.raises(CheckpointFenced, match="let go of"):
            store.publish(late)
    assert [file.version for file in open_store(str(tmp_path), "flights").files("flights")] == [(1, 1)]


def test_a_state_of_before_a_release_is_not_published_under_the_next_claim(tmp_path: Path) -> None:
    """The writer's thread may come to it only after the shard was let go and taken up again."""
    store = keeper(tmp_path)
    late = state(5, epoch=1)
    store.release("flights")
    assert store.claim("flights") == 2
    with pytest.raises(CheckpointFenced, match="let go of"):
        store.publish(late)
    store.publish(state(5, epoch=2))


def test_nothing_is_used_unclaimed(tmp_path: Path) -> None:
    kept = CheckpointKeeper(open_store(str(tmp_path), "flights"), keep=3)
    with pytest.raises(AssertionError, match="claimed before"):
        kept.publish(state(1))
    with pytest.raises(AssertionError, match="claimed before"):
        kept.newest("flights")
    kept.claim("flights")
    kept.release("flights")
    with pytest.raises(AssertionError, match="released"):
        kept.newest("flights")


def test_a_look_owns_nothing_and_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = keeper(tmp_path)
    owner.publish(state(1))
    reads: list[str] = []
    read = LocalPlace.read
    monkeypatch.setattr(LocalPlace, "read", lambda self, path: reads.append(path) or read(self, path))
    other = CheckpointKeeper(open_store(str(tmp_path), "flights"), keep=3)
    looked = other.look("flights")
    assert looked is not None
    owner.publish(state(2))  # nobody was fenced
    other.claim("flights")
    newest = other.newest("flights")
    assert newest is not None
    assert (looked.sequence, newest.sequence) == (1, 2), "what a look saw does not decide what counts"
    assert other.look("flights") is None, "once in a process"
    reads.clear()
    third = CheckpointKeeper(open_store(str(tmp_path), "flights"), keep=3)
    third.look("flights")
    third.claim("flights")
    reread = third.newest("flights")
    assert reread is not None
    assert state_digest(reread) == state_digest(newest)
    assert len([path for path in reads if path.endswith(".checkpoint")]) == 1


def test_a_look_judges_nothing_but_what_its_process_cannot_go_on_from(tmp_path: Path) -> None:
    path = keeper(tmp_path, key=b"secret").publish(state(1)).path
    store = open_store(str(tmp_path), "flights")
    with pytest.raises(CheckpointRefused, match="another key"):
        CheckpointKeeper(store, keep=3, key=b"guessed").look("flights")
    damage(path)
    assert CheckpointKeeper(store, keep=3, key=b"secret").look("flights") is None
    assert Path(path).exists(), "a corrupt one is its owner's to set aside"
    assert CheckpointKeeper(open_store(str(tmp_path), "another"), keep=3).look("flights") is None
