"""Segments are durable before a checkpoint that names them, verified when opened, and removed when nobody needs them."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from streamlearn.checkpoints.keeper import CheckpointKeeper
from streamlearn.checkpoints.places import open_place
from streamlearn.checkpoints.segments import ShardSegments
from streamlearn.checkpoints.stores import open_store
from streamlearn.contracts import ShardState
from streamlearn.errors import CheckpointCorrupt, CheckpointFenced


def name_of(first_row: int, content: bytes) -> str:
    return f"{first_row:016d}-{sha256(content).hexdigest()}.segment"


def state(sequence: int, names: tuple[str, ...], before: int = 0, epoch: int | None = None) -> ShardState:
    return ShardState(
        "s", "s", sequence, {}, 0, 0, {}, (), {}, {}, {}, epoch=epoch, segments=names, segments_from=before
    )  # fmt: skip


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "s" / "s").iterdir() if "segment" in path.name)


@pytest.fixture(params=["folder", "remote"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path) if request.param == "folder" else f"memory:/{tmp_path}"


def test_a_segment_reads_back_after_a_checkpoint_named_it(url: str) -> None:
    keeper = CheckpointKeeper(open_store(url, "s"), keep=2)
    keeper.claim("s")
    name = name_of(0, b"kept")
    assert bytes(keeper.segments("s").seal(name, b"kept").content) == b"kept"
    keeper.publish(state(1, (name,)))
    again = CheckpointKeeper(open_store(url, "s"), keep=2)
    again.claim("s")
    newest = again.newest("s")
    assert newest is not None
    assert newest.segments == (name,)
    mapped = again.segments("s").open(name)
    mapped.rest()
    assert bytes(mapped.content) == b"kept"


def test_what_nobody_published_is_gone_with_the_next_owner(tmp_path: Path) -> None:
    keeper = CheckpointKeeper(open_store(str(tmp_path), "s"), keep=2)
    keeper.claim("s")
    keeper.segments("s").seal(name_of(0, b"kept"), b"kept")
    assert len(files(tmp_path)) == 1
    CheckpointKeeper(open_store(str(tmp_path), "s"), keep=2).claim("s")
    assert files(tmp_path) == []


def test_a_segment_goes_when_no_kept_checkpoint_names_it(tmp_path: Path) -> None:
    keeper = CheckpointKeeper(open_store(str(tmp_path), "s"), keep=2)
    keeper.claim("s")
    segments = keeper.segments("s")
    names = [name_of(4 * number, b"%d" % number) for number in range(4)]
    for number, name in enumerate(names):
        segments.seal(name, b"%d" % number)
        keeper.publish(state(number + 1, (name,), before=4 * number))
        assert files(tmp_path) == names[max(0, number - 1) : number + 1], "those of the two that are kept"


def test_a_changed_segment_is_corrupt_and_a_missing_one_too(tmp_path: Path) -> None:
    segments = ShardSegments(open_place(str(tmp_path))[0], str(tmp_path))
    name = name_of(0, b"kept")
    segments.seal(name, b"kept")
    segments.make_durable([name])
    for changed in (b"kepT", b""):
        (tmp_path / name).write_bytes(changed)
        with pytest.raises(CheckpointCorrupt, match="does not verify"):
            ShardSegments(open_place(str(tmp_path))[0], str(tmp_path)).open(name)
    (tmp_path / name).unlink()
    with pytest.raises(CheckpointCorrupt, match="is gone"):
        ShardSegments(open_place(str(tmp_path))[0], str(tmp_path)).open(name)


@pytest.mark.parametrize("left", [b"ke", b""], ids=["cut short", "a name alone"])
def test_a_file_of_that_name_that_a_crash_cut_short_is_written_anew(tmp_path: Path, left: bytes) -> None:
    segments = ShardSegments(open_place(str(tmp_path))[0], str(tmp_path))
    name = name_of(0, b"kept")
    segments.seal(name, b"kept")
    (tmp_path / name).write_bytes(left)
    segments.make_durable([name])
    assert (tmp_path / name).read_bytes() == b"kept"


def test_one_that_was_let_go_of_publishes_nothing(tmp_path: Path) -> None:
    keeper = CheckpointKeeper(open_store(str(tmp_path), "s"), keep=2)
    epoch = keeper.claim("s")
    name = name_of(0, b"kept")
    keeper.segments("s").seal(name, b"kept")
    keeper.claim("s")
    keeper.segments("s")
    with pytest.raises(CheckpointFenced):
        keeper.publish(state(1, (name,), epoch=epoch))
