"""Claims where something goes wrong; see tests/sim for what happens in which order, and tests/contract for the rest."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import fsspec
import pytest

from streamlearn.checkpoints.claims import Claims
from streamlearn.checkpoints.disk import Disk
from streamlearn.checkpoints.names import Version, checkpoint_name
from streamlearn.checkpoints.places import LocalPlace, RemotePlace
from streamlearn.checkpoints.stores import CheckpointStore, open_store
from streamlearn.errors import CheckpointError, CheckpointFenced, CheckpointLocked


class Busy(LocalPlace):
    """Where somebody else is always faster."""

    def create(self, path: str, data: Sequence[Any], before_visible: Callable[[], None] = bool) -> None:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)


def test_a_claim_is_not_tried_forever(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointLocked, match="100 times another worker has claimed flights first"
    ) as locked:
        Claims(Busy(Disk())).claim("flights", str(tmp_path))
    assert "two daemons" in locked.value.remedy


@pytest.mark.parametrize("step", ["open_new", "write", "sync", "link", "sync_folder"])
def test_a_claim_that_cannot_be_written_owns_nothing_and_leaves_nothing(tmp_path: Path, step: str) -> None:
    class Full(Disk):
        def fail(self, *arguments: object) -> Any:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    disk = Full()
    claims = Claims(LocalPlace(disk))
    vars(disk)[step] = disk.fail
    with pytest.raises(CheckpointError, match="No space left"):
        claims.claim("flights", str(tmp_path / "flights"))
    with pytest.raises(AssertionError, match="claimed before"):
        claims.held("flights")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    del vars(disk)[step]
    assert claims.claim("flights", str(tmp_path / "flights")) == 1, "and is tried again"


def test_the_folder_may_be_moved_away_and_claimed_anew(tmp_path: Path) -> None:
    claims, folder = Claims(LocalPlace(Disk())), tmp_path / "flights"
    assert claims.claim("flights", str(folder)) == 1
    assert claims.claim("flights", str(folder)) == 2
    folder.rename(tmp_path / "away")
    with pytest.raises(CheckpointFenced, match="a worker whose claim is gone"):
        claims.look("flights", str(folder), 2)
    assert claims.claim("flights", str(folder)) == 1
    claims.look("flights", str(folder), 1)


def test_who_has_claimed_it_is_told(tmp_path: Path) -> None:
    older, newer = Claims(LocalPlace(Disk())), Claims(LocalPlace(Disk()))
    older.claim("flights", str(tmp_path))
    newer.claim("flights", str(tmp_path))
    with pytest.raises(CheckpointFenced, match=rf"claim 2 was made by .*, process {os.getpid()}, "):
        older.look("flights", str(tmp_path), 1)


def test_a_claim_that_a_crash_left_empty_is_a_claim(tmp_path: Path) -> None:
    """As on a file system without links, where the name comes first."""
    older = Claims(LocalPlace(Disk()))
    older.claim("flights", str(tmp_path))
    (tmp_path / "00000002.claim").touch()
    with pytest.raises(CheckpointFenced, match="claim 2 was made by a worker whose claim is gone"):
        older.look("flights", str(tmp_path), 1)
    assert older.claim("flights", str(tmp_path)) == 3


class Uploads:
    """A file system on which something happens between an owner's last look and its upload."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self._files = fsspec.filesystem("memory")
        self._meanwhile = meanwhile

    def __getattr__(self, name: str) -> Any:
        return getattr(self._files, name)

    def pipe_file(self, path: str, value: bytes, mode: str) -> None:
        if path.endswith(".checkpoint"):
            self._meanwhile()
        self._files.pipe_file(path, value, mode=mode)


def test_what_slips_through_in_an_object_store_is_older_than_all_that_counts() -> None:
    newer = open_store("memory://slipping", "flights")
    older = CheckpointStore(RemotePlace(Uploads(lambda: take_over())), "/slipping", "flights")

    def take_over() -> None:
        assert newer.claim("flights") == 2
        newer.publish("flights", Version(2, 1), [b"2-1"])

    assert older.claim("flights") == 1
    path = older.publish("flights", Version(1, 99), [b"1-99"])
    assert path.endswith(checkpoint_name(Version(1, 99)))
    assert newer.newest("flights", bytes) == (b"2-1", [])
    assert newer.prune("flights", 1, 2) == [path]
    with pytest.raises(CheckpointFenced):
        older.publish("flights", Version(1, 100), [b"1-100"])
