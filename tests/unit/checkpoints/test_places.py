"""A local folder under crashes, full disks and failing fsyncs (`old_or_new`)."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import Any

import pytest

from streamlearn.checkpoints.disk import Disk
from streamlearn.checkpoints.names import Version
from streamlearn.checkpoints.places import LocalPlace, open_place
from streamlearn.checkpoints.stores import open_store
from streamlearn.errors import CheckpointCorrupt, CheckpointError, CheckpointLocked

FILE = "flights/flights/{:016d}.checkpoint"

STEPS = ("make_folder", "open_new", "write", "sync", "close", "link", "rename", "remove", "sync_folder")
OLD, NEW = b"old" * 1000, b"new" * 1000


class Crash(BaseException):
    """The process is gone: nothing after it reaches the disk."""


class Quick(Disk):
    """A disk that waits for nothing: no power is lost here (for that see tests/sim)."""

    def sync(self, file: int) -> None:
        pass

    def sync_folder(self, folder: str) -> None:
        pass


class WatchedDisk(Quick):
    """Records every change, and does something else in place of one of them."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.fail_at = -1
        self.failure: BaseException | None = None
        self.dead = False
        self.no_links = False
        self.write_bytes_max = 1 << 30

    def _before(self, step: str, *arguments: Any) -> None:
        if self.dead:
            raise Crash
        self.calls.append((step, *arguments))
        if len(self.calls) - 1 == self.fail_at:
            assert self.failure is not None
            self.dead = isinstance(self.failure, Crash)
            raise self.failure

    def make_folder(self, folder: str) -> None:
        self._before("make_folder", folder)
        super().make_folder(folder)

    def open_new(self, path: str) -> int:
        self._before("open_new", path)
        return super().open_new(path)

    def write(self, file: int, data: memoryview) -> int:
        self._before("write", len(data))
        return super().write(file, data[: self.write_bytes_max])

    def sync(self, file: int) -> None:
        self._before("sync", file)
        super().sync(file)

    def close(self, file: int) -> None:
        os.close(file)  # a process that dies closes its files, too
        self._before("close", file)

    def link(self, path: str, to: str) -> None:
        self._before("link", path, to)
        if self.no_links:
            raise OSError(errno.EPERM, "no hard links here")
        super().link(path, to)

    def rename(self, path: str, to: str) -> None:
        self._before("rename", path, to)
        super().rename(path, to)

    def remove(self, path: str) -> None:
        self._before("remove", path)
        super().remove(path)

    def sync_folder(self, folder: str) -> None:
        self._before("sync_folder", folder)
        super().sync_folder(folder)

    def steps(self) -> list[str]:
        return [call[0] for call in self.calls]


def decode(data: bytes) -> bytes:
    if data not in (OLD, NEW):
        raise CheckpointCorrupt(f"{len(data)} bytes of something else", remedy="none")
    return data


def names(tmp_path: Path) -> list[str]:
    folder = tmp_path / "flights/flights"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def publish(folder: Path, disk: Disk, sequence: int, data: bytes) -> str:
    path = f"{folder}/{FILE.format(sequence)}"
    LocalPlace(disk).create(path, [data[:1500], data[1500:]])
    return path


def steps_of_a_publish(tmp_path: Path, **settings: Any) -> int:
    disk = WatchedDisk()
    vars(disk).update(settings)
    publish(tmp_path / "dry", disk, 2, NEW)
    return len(disk.calls)


def test_the_order_of_a_publish(tmp_path: Path) -> None:
    """Content before name, name before return; each folder durable in the one above, whoever made it."""
    disk = WatchedDisk()
    path = publish(tmp_path / "new", disk, 1, NEW)
    folder = Path(path).parent
    above = [str(each) for each in folder.parents]
    assert disk.steps() == [
        *["make_folder"] * 5,  # from the inside, until there is one; then back
        *["sync_folder"] * len(above),
        *("open_new", "write", "write", "sync", "close", "link", "remove", "sync_folder"),
    ]
    assert [call[1] for call in disk.calls if call[0] == "sync_folder"] == [*above, str(folder)]
    disk.calls.clear()
    publish(tmp_path / "new", disk, 2, NEW)
    assert disk.steps()[: 1 + len(above)] == ["make_folder", *["sync_folder"] * len(above)], (
        "their names, in case their maker died"
    )


def test_a_folder_above_that_may_not_be_read_is_none_of_ours(tmp_path: Path) -> None:
    class Guarded(WatchedDisk):
        def sync_folder(self, folder: str) -> None:
            if folder == guarded:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), folder)
            super().sync_folder(folder)

    guarded = str(tmp_path.parent)
    publish(tmp_path / "new", Guarded(), 1, NEW)
    guarded = str(tmp_path / "other/flights")
    with pytest.raises(CheckpointError, match="Permission"):
        publish(tmp_path / "other", Guarded(), 1, NEW)


def test_folders_are_made_durable_once(tmp_path: Path) -> None:
    disk = WatchedDisk()
    place = LocalPlace(disk)
    place.create(f"{tmp_path}/{FILE.format(1)}", [OLD])
    disk.calls.clear()
    place.create(f"{tmp_path}/{FILE.format(2)}", [NEW])
    assert disk.steps() == ["open_new", "write", "sync", "close", "link", "remove", "sync_folder"]


@pytest.mark.parametrize("no_links", [False, True], ids=["links", "no links"])
@pytest.mark.parametrize("write_bytes_max", [700, 1 << 30], ids=["short writes", "whole writes"])
def test_old_or_new_after_a_crash_at_any_step(tmp_path: Path, no_links: bool, write_bytes_max: int) -> None:
    settings = {"no_links": no_links, "write_bytes_max": write_bytes_max}
    seen = set()
    for step in range(steps_of_a_publish(tmp_path, **settings)):
        here = tmp_path / f"step-{step}"
        publish(here, Quick(), 1, OLD)
        disk = WatchedDisk()
        vars(disk).update(settings, fail_at=step, failure=Crash())
        with contextlib.suppress(Crash):
            publish(here, disk, 2, NEW)
        store = open_store(str(here), "flights", Quick())
        store.claim("flights")
        state, _ = store.newest("flights", decode)
        assert state in (OLD, NEW)
        seen.add(state)
        assert not [name for name in names(here) if name.startswith(".")], "what was unfinished is gone"
        # And life goes on.
        publish(here, Quick(), 3, NEW)
        assert open_store(str(here), "flights", Quick()).newest("flights", decode) == (NEW, [])
    assert seen == {OLD, NEW}, "or the crashes came too early"


@pytest.mark.parametrize("no_links", [False, True], ids=["links", "no links"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_failing_step_publishes_nothing_and_may_be_tried_again(
    tmp_path: Path, no_links: bool, number: int
) -> None:
    failed = 0
    for step in range(steps_of_a_publish(tmp_path, no_links=no_links)):
        here = tmp_path / f"step-{step}"
        publish(here, Quick(), 1, OLD)
        disk = WatchedDisk()
        vars(disk).update(no_links=no_links, fail_at=step, failure=OSError(number, os.strerror(number)))
        place = LocalPlace(disk)
        told: CheckpointError | None = None
        try:
            place.create(f"{here}/{FILE.format(2)}", [NEW[:1500], NEW[1500:]])
        except CheckpointError as error:
            told = error
        if told is not None:
            failed += 1
            assert os.strerror(number) in told.what
            assert "space" in told.remedy
            assert open_store(str(here), "flights", Quick()).newest("flights", decode) == (OLD, [])
            assert names(here) == ["0000000000000001.checkpoint"]
            place.create(f"{here}/{FILE.format(2)}", [NEW])
        assert open_store(str(here), "flights", Quick()).newest("flights", decode) == (NEW, [])
    assert failed >= 7


def test_a_failed_fsync_is_not_tried_again(tmp_path: Path) -> None:
    disk = WatchedDisk()
    place = LocalPlace(disk)
    place.create(f"{tmp_path}/{FILE.format(1)}", [OLD])
    disk.calls.clear()
    disk.fail_at = 2
    disk.failure = OSError(errno.EIO, "lost pages")
    with pytest.raises(CheckpointError, match="lost pages"):
        place.create(f"{tmp_path}/{FILE.format(2)}", [NEW])
    assert disk.steps() == ["open_new", "write", "sync", "close", "remove"]


def test_what_was_discarded_while_it_was_written_is_not_created(tmp_path: Path) -> None:
    class TakenOver(Disk):
        def sync(self, file: int) -> None:
            LocalPlace(Disk()).discard_unfinished(f"{tmp_path}/flights/flights", bool)
            super().sync(file)

    publish(tmp_path, Disk(), 1, OLD)
    with pytest.raises(FileNotFoundError):
        publish(tmp_path, TakenOver(), 2, NEW)
    assert names(tmp_path) == ["0000000000000001.checkpoint"]


def test_what_a_last_look_refuses_is_not_created(tmp_path: Path) -> None:
    seen: list[list[str]] = []

    def look() -> None:
        seen.append(names(tmp_path))
        raise CheckpointLocked("somebody is there", remedy="none")

    with pytest.raises(CheckpointLocked):
        LocalPlace(Disk()).create(f"{tmp_path}/{FILE.format(1)}", [OLD], look)
    [[unfinished]] = seen
    assert unfinished.endswith(".unfinished"), "the look comes after the unfinished file, before the name"
    assert names(tmp_path) == []


def test_a_folder_that_was_moved_away_is_made_anew_by_the_next_file(tmp_path: Path) -> None:
    place = LocalPlace(Disk())
    place.create(f"{tmp_path}/{FILE.format(1)}", [OLD])
    (tmp_path / "flights").rename(tmp_path / "away")
    with pytest.raises(FileNotFoundError):
        place.create(f"{tmp_path}/{FILE.format(2)}", [NEW])
    place.create(f"{tmp_path}/{FILE.format(2)}", [NEW])
    assert names(tmp_path) == ["0000000000000002.checkpoint"]


def test_looking_discards_nothing_and_claiming_does(tmp_path: Path) -> None:
    publish(tmp_path, Disk(), 1, OLD)
    unfinished = tmp_path / "flights/flights/.0000000000000002.checkpoint.abc.unfinished"
    unfinished.write_bytes(b"half")
    store = open_store(str(tmp_path), "flights")
    assert [file.version for file in store.files("flights")] == [(0, 1)]
    store.newest("flights", decode)
    store.prune("flights", 1, 0)
    assert unfinished.exists()
    newer = unfinished.with_name(".00000002-0000000000000002.checkpoint.abc.unfinished")
    newer.write_bytes(b"half, by one that claims after us")
    store.claim("flights")
    assert not unfinished.exists()
    assert newer.exists()


def test_a_file_that_cannot_be_read_is_no_corrupt_file(tmp_path: Path) -> None:
    class Failing(Disk):
        def read(self, path: str) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

    publish(tmp_path, Disk(), 1, OLD)
    with pytest.raises(CheckpointError, match="Input/output") as error:
        open_store(str(tmp_path), "flights", Failing()).newest("flights", decode)
    assert type(error.value) is CheckpointError
    assert names(tmp_path) == ["0000000000000001.checkpoint"]


def test_a_file_that_vanishes_is_never_taken_for_none(tmp_path: Path) -> None:
    class Vanishing(Disk):
        def read(self, path: str) -> bytes:
            raise FileNotFoundError(errno.ENOENT, "gone", path)

    publish(tmp_path, Disk(), 1, OLD)
    with pytest.raises(CheckpointLocked, match="another process"):
        open_store(str(tmp_path), "flights", Vanishing()).newest("flights", decode)


def test_a_path_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "flights").write_text("no folder")
    with pytest.raises(CheckpointError, match="Not a directory"):
        publish(tmp_path, Disk(), 1, OLD)


def test_a_relative_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url in ("checkpoints", "./other/", "a/b/../c", "."):
        store = open_store(url, "flights")
        store.publish("flights", Version(store.claim("flights"), 1), [NEW])
        assert open_store(url, "flights").newest("flights", decode) == (NEW, [])
    assert (tmp_path / "checkpoints/flights/flights").is_dir()
    assert (tmp_path / "flights/flights").is_dir()


def test_an_unknown_scheme_is_told_with_what_to_install() -> None:
    with pytest.raises(CheckpointError, match="nowhere://") as error:
        open_place("nowhere://bucket/x")
    assert "fsspec" in error.value.remedy


@pytest.mark.parametrize("url", ["/", "file:///"])
def test_the_root_is_a_folder(url: str) -> None:
    place, path = open_place(url)
    assert isinstance(place, LocalPlace)
    assert path == "/"
