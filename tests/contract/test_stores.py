"""One suite over every place that checkpoints are kept in."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from streamlearn.checkpoints.places import RemotePlace
from streamlearn.checkpoints.stores import CheckpointStore, open_store
from streamlearn.errors import CheckpointCorrupt, CheckpointLocked, CheckpointRefused

Open = Callable[[str], CheckpointStore]
SHARDS = [
    "flights",
    "flights[3]",
    "topic.with-all_kinds[12]",
    "..",
    ".hidden[0]",
    "a/b",
    "a(b)%28[1]",
    "übung",
]

serial = itertools.count()


@pytest.fixture(params=["folder", "file URL", "memory URL", "fsspec local"])
def open_stream(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens the store of a stream; each time anew, all in one place."""
    memory = f"memory://contract-{next(serial)}/checkpoints"  # outlives the test, under a name of its own
    match request.param:
        case "folder":
            return lambda stream: open_store(str(tmp_path / "checkpoints"), stream)
        case "file URL":
            return lambda stream: open_store(f"file://{tmp_path}/a [folder]*", stream)
        case "memory URL":
            return lambda stream: open_store(memory, stream)
        case _:
            place = RemotePlace(fsspec.filesystem("file", use_listings_cache=True))
            return lambda stream: CheckpointStore(place, str(tmp_path / "far"), stream)


def decode(data: bytes) -> str:
    """A format in miniature."""
    if data.startswith(b"refused"):
        raise CheckpointRefused("another version", remedy="install it")
    if not data.startswith(b"good"):
        raise CheckpointCorrupt(f"it begins with {data[:3]!r}", remedy="none")
    return data.decode()


def test_a_shard_without_checkpoints_begins_anew(open_stream: Open) -> None:
    store = open_stream("flights")
    assert store.newest("flights", decode) == (None, [])
    assert store.files("flights") == []
    assert store.shards() == []
    assert store.prune("flights", 3) == []


def test_the_newest_one_counts(open_stream: Open) -> None:
    store = open_stream("flights")
    for sequence in (9, 10, 2, 100):
        path = store.publish("flights", sequence, [b"good ", memoryview(b"%d" % sequence)])
        assert path.endswith(f"/flights/flights/{sequence:016d}.checkpoint")
    assert open_stream("flights").newest("flights", decode) == ("good 100", [])
    assert [file.sequence for file in store.files("flights")] == [2, 9, 10, 100]
    assert [file.nbytes for file in store.files("flights")] == [6, 6, 7, 8]
    assert all(file.written_at > 1_500_000_000 for file in store.files("flights"))


@pytest.mark.parametrize("shard", SHARDS)
def test_any_name_of_a_shard_is_kept(open_stream: Open, shard: str) -> None:
    store = open_stream("a stream/..")
    store.publish(shard, 1, [b"good 1"])
    assert store.newest(shard, decode) == ("good 1", [])
    assert store.shards() == [shard]


def test_shards_and_streams_are_kept_apart(open_stream: Open) -> None:
    for stream, shard in itertools.product(("one", "two"), ("t[0]", "t[1]")):
        open_stream(stream).publish(shard, 1, [f"good {stream} {shard}".encode()])
    assert open_stream("one").shards() == ["t[0]", "t[1]"]
    assert open_stream("two").newest("t[1]", decode) == ("good two t[1]", [])
    open_stream("one").publish("t[0]", 2, [b"good"])
    open_stream("one").prune("t[0]", 1)
    assert len(open_stream("one").files("t[1]")) == len(open_stream("two").files("t[0]")) == 1


def test_a_sequence_is_published_once(open_stream: Open) -> None:
    open_stream("flights").publish("flights", 1, [b"good first"])
    with pytest.raises(CheckpointLocked, match="another process") as locked:
        open_stream("flights").publish("flights", 1, [b"good second"])
    assert "two daemons" in locked.value.remedy
    assert open_stream("flights").newest("flights", decode) == ("good first", [])


def test_an_older_one_counts_where_the_newest_is_corrupt(open_stream: Open) -> None:
    store = open_stream("flights")
    for sequence, data in enumerate([b"good 1", b"good 2", b"bad 3", b"", b"bad 5"], start=1):
        store.publish("flights", sequence, [data])
    state, set_aside = store.newest("flights", decode)
    assert state == "good 2"
    assert [Path(each.path).name for each in set_aside] == [
        f"{sequence:016d}.checkpoint.corrupt" for sequence in (5, 4, 3)
    ]
    assert set_aside[0].why == "it begins with b'bad'"
    assert [file.sequence for file in store.files("flights")] == [1, 2]
    assert open_stream("flights").newest("flights", decode) == ("good 2", [])


def test_a_sequence_may_be_corrupt_twice_and_both_are_kept(open_stream: Open) -> None:
    store = open_stream("flights")
    store.publish("flights", 1, [b"good 1"])
    aside = []
    for _ in range(3):
        store.publish("flights", 2, [b"bad"])
        aside += store.newest("flights", decode)[1]
    assert [Path(each.path).name[16:] for each in aside] == [
        ".checkpoint.corrupt",
        ".checkpoint.2.corrupt",
        ".checkpoint.3.corrupt",
    ]
    store.prune("flights", 1)
    assert store.newest("flights", decode) == ("good 1", [])


def test_files_of_which_none_verifies_are_never_taken_for_none(open_stream: Open) -> None:
    store = open_stream("flights")
    store.publish("flights", 1, [b"bad 1"])
    store.publish("flights", 2, [b"bad 2"])
    for _ in range(2):  # and nothing has changed by trying
        with pytest.raises(CheckpointCorrupt, match=r"0002\.checkpoint: it begins with") as corrupt:
            store.newest("flights", decode)
        assert "move that folder away" in corrupt.value.remedy
    assert len(store.files("flights")) == 2


def test_only_files_set_aside_are_never_taken_for_none(open_stream: Open) -> None:
    store = open_stream("flights")
    store.publish("flights", 1, [b"good 1"])
    store.publish("flights", 2, [b"bad 2"])
    store.newest("flights", decode)
    store._place.remove(store.files("flights")[0].path)
    with pytest.raises(CheckpointCorrupt, match="set aside before"):
        store.newest("flights", decode)


def test_a_refused_one_is_not_passed_over(open_stream: Open) -> None:
    store = open_stream("flights")
    store.publish("flights", 1, [b"good 1"])
    store.publish("flights", 2, [b"refused"])
    with pytest.raises(CheckpointRefused, match=r"0002\.checkpoint: another version") as refused:
        store.newest("flights", decode)
    assert refused.value.remedy == "install it"
    assert len(store.files("flights")) == 2


def test_old_ones_are_removed(open_stream: Open) -> None:
    store = open_stream("flights")
    for sequence in range(1, 8):
        store.publish("flights", sequence, [b"good %d" % sequence])
    removed = store.prune("flights", 3)
    assert [Path(path).name for path in removed] == [f"{n:016d}.checkpoint" for n in (1, 2, 3, 4)]
    assert [file.sequence for file in store.files("flights")] == [5, 6, 7]
    assert store.prune("flights", 3) == []


def test_other_files_in_the_folder_are_left_alone(open_stream: Open) -> None:
    store = open_stream("flights")
    path = store.publish("flights", 1, [b"good 1"])
    folder = path.rpartition("/")[0]
    for name in (
        "notes.txt",
        "1.checkpoint",
        "0000000000000009.checkpoint.bak",
        "x0000000000000009.checkpoint",
    ):
        store._place.create(f"{folder}/{name}", [b"mine"])
    assert store.newest("flights", decode) == ("good 1", [])
    store.prune("flights", 1)
    assert store._place.read(f"{folder}/notes.txt") == b"mine"


def test_large_files_in_many_pieces(open_stream: Open) -> None:
    store = open_stream("flights")
    pieces = [b"good", *(bytes([n]) * 100_000 for n in range(30)), b"", memoryview(b"end")]
    path = store.publish("flights", 1, pieces)
    assert store._place.read(path) == b"".join(pieces)


@pytest.mark.parametrize("round_", range(3))
def test_of_two_writers_one_publishes(tmp_path: Path, round_: int) -> None:
    """`old_or_new`, and never a mixture. A folder alone promises it."""
    stores = [open_store(str(tmp_path), "flights") for _ in range(8)]
    gate = threading.Barrier(len(stores))
    outcomes: list[str] = []

    def write(number: int) -> None:
        data = [b"good ", bytes([48 + number]) * 300_000]
        gate.wait(timeout=30)
        try:
            outcomes.append(stores[number].publish("flights", 1, data))
        except CheckpointLocked:
            outcomes.append("locked")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(len(stores))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(outcomes) == [*[stores[0].files("flights")[0].path], *["locked"] * 7]
    content = stores[0].newest("flights", bytes)[0]
    assert content is not None
    assert len(content) == 300_005
    assert len(set(content[5:])) == 1
    assert [path.name for path in (tmp_path / "flights/flights").iterdir()] == ["0000000000000001.checkpoint"]
