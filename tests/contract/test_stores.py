"""One suite over every place that checkpoints are kept in."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from streamlearn.checkpoints.names import Version
from streamlearn.checkpoints.places import RemotePlace
from streamlearn.checkpoints.stores import CheckpointStore, open_store
from streamlearn.errors import CheckpointCorrupt, CheckpointFenced, CheckpointLocked, CheckpointRefused

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


def owner(open_stream: Open, shard: str = "flights", *, stream: str = "flights") -> CheckpointStore:
    """A store whose process has claimed a shard."""
    store = open_stream(stream)
    store.claim(shard)
    return store


def publish(store: CheckpointStore, sequence: int, *data: bytes | memoryview, shard: str = "flights") -> str:
    """Publish under the claim that the store holds."""
    epoch = store.held(shard)
    assert epoch is not None
    return store.publish(shard, Version(epoch, sequence), data)


def sequences(store: CheckpointStore) -> list[int]:
    return [file.version.sequence for file in store.files("flights")]


def test_a_shard_without_checkpoints_begins_anew(open_stream: Open) -> None:
    store = open_stream("flights")
    assert store.newest("flights", decode) == (None, [])
    assert store.files("flights") == []
    assert store.shards() == []
    assert store.prune("flights", 3, 1) == []
    assert store.claim("flights") == 1
    assert store.newest("flights", decode) == (None, [])


def test_the_newest_one_counts(open_stream: Open) -> None:
    store = owner(open_stream)
    for sequence in (9, 10, 2, 100):
        path = publish(store, sequence, b"good ", memoryview(b"%d" % sequence))
        assert path.endswith(f"/flights/flights/00000001-{sequence:016d}.checkpoint")
    assert open_stream("flights").newest("flights", decode) == ("good 100", [])
    assert [file.version for file in store.files("flights")] == [(1, 2), (1, 9), (1, 10), (1, 100)]
    assert [file.nbytes for file in store.files("flights")] == [6, 6, 7, 8]
    assert all(file.written_at > 1_500_000_000 for file in store.files("flights"))


@pytest.mark.parametrize("shard", SHARDS)
def test_any_name_of_a_shard_is_kept(open_stream: Open, shard: str) -> None:
    store = owner(open_stream, shard, stream="a stream/..")
    publish(store, 1, b"good 1", shard=shard)
    assert store.newest(shard, decode) == ("good 1", [])
    assert store.shards() == [shard]


def test_shards_and_streams_are_kept_apart(open_stream: Open) -> None:
    stores = {}
    for stream, shard in itertools.product(("one", "two"), ("t[0]", "t[1]")):
        stores[stream, shard] = owner(open_stream, shard, stream=stream)
        assert stores[stream, shard].held(shard) == 1
        publish(stores[stream, shard], 1, f"good {stream} {shard}".encode(), shard=shard)
    assert open_stream("one").shards() == ["t[0]", "t[1]"]
    assert open_stream("two").newest("t[1]", decode) == ("good two t[1]", [])
    publish(stores["one", "t[0]"], 2, b"good", shard="t[0]")
    stores["one", "t[0]"].prune("t[0]", 1, 1)
    assert len(open_stream("one").files("t[1]")) == len(open_stream("two").files("t[0]")) == 1


def test_a_version_is_published_once(open_stream: Open) -> None:
    store = owner(open_stream)
    publish(store, 1, b"good first")
    with pytest.raises(CheckpointLocked, match="another process") as locked:
        publish(store, 1, b"good second")
    assert "two daemons" in locked.value.remedy
    assert open_stream("flights").newest("flights", decode) == ("good first", [])


def test_each_claim_is_a_new_epoch_and_its_files_come_first(open_stream: Open) -> None:
    first = owner(open_stream)
    publish(first, 7, b"good 1-7")
    second = owner(open_stream)
    assert (first.held("flights"), second.held("flights")) == (1, 2)
    publish(second, 3, b"good 2-3")
    assert open_stream("flights").newest("flights", decode) == ("good 2-3", [])
    assert owner(open_stream).held("flights") == 3
    assert first.claim("flights") == 4


def test_one_who_was_thought_dead_publishes_nothing(open_stream: Open) -> None:
    first = owner(open_stream)
    publish(first, 1, b"good 1")
    second = owner(open_stream)
    before = [entry.name for entry in first._place.entries(first._shard_folder("flights"))]
    for _ in range(2):
        with pytest.raises(CheckpointFenced, match="claim 1 on flights counts no more: claim 2") as fenced:
            publish(first, 2, b"good 2")
    assert "the worker with the newest claim goes on" in fenced.value.remedy
    assert [entry.name for entry in first._place.entries(first._shard_folder("flights"))] == before
    publish(second, 2, b"good 2")
    assert first.claim("flights") == 3, "it may claim again"
    publish(first, 3, b"good 3")


def test_what_was_released_is_not_published(open_stream: Open) -> None:
    store = owner(open_stream)
    store.release("flights")
    with pytest.raises(CheckpointFenced, match="let go"):
        store.publish("flights", Version(1, 1), [b"good"])
    assert store.claim("flights") == 2
    with pytest.raises(CheckpointFenced, match="let go"):
        store.publish("flights", Version(1, 1), [b"good"])
    assert store.files("flights") == []


def test_a_claim_that_is_gone_or_was_replaced_counts_no_more(open_stream: Open) -> None:
    store = owner(open_stream)
    claim = f"{store._shard_folder('flights')}/00000001.claim"
    store._place.remove(claim)
    with pytest.raises(CheckpointFenced, match="claim is gone"):
        publish(store, 1, b"good")
    store._place.create(claim, [b"somebody else"])
    with pytest.raises(CheckpointFenced, match="belongs to somebody else"):
        publish(store, 1, b"good")
    assert store.files("flights") == []


def test_old_claims_are_removed_and_the_newest_stays(open_stream: Open) -> None:
    for _ in range(9):
        store = owner(open_stream)
    names = [entry.name for entry in store._place.entries(store._shard_folder("flights"))]
    assert names == [f"{epoch:08d}.claim" for epoch in (6, 7, 8, 9)]


def test_files_of_before_there_were_epochs_are_the_oldest(open_stream: Open) -> None:
    store = open_stream("flights")
    for sequence in (3, 4):
        store._place.create(
            f"{store._shard_folder('flights')}/{sequence:016d}.checkpoint", [b"good 0-%d" % sequence]
        )
    assert store.claim("flights") == 1
    assert store.newest("flights", decode) == ("good 0-4", [])
    publish(store, 1, b"good 1-1")
    assert store.newest("flights", decode) == ("good 1-1", [])
    assert [file.version for file in store.files("flights")] == [(0, 3), (0, 4), (1, 1)]
    assert len(store.prune("flights", 1, 1)) == 2


def test_an_older_one_counts_where_the_newest_is_corrupt(open_stream: Open) -> None:
    store = owner(open_stream)
    for sequence, data in enumerate([b"good 1", b"good 2", b"bad 3"], start=1):
        publish(store, sequence, data)
    state, set_aside = store.newest("flights", decode)
    assert state == "good 2"
    assert [Path(each.path).name for each in set_aside] == ["00000001-0000000000000003.checkpoint.corrupt"]
    assert set_aside[0].why == "it begins with b'bad'"
    assert sequences(store) == [1, 2]
    assert open_stream("flights").newest("flights", decode) == ("good 2", [])


def test_what_a_newer_owner_published_is_not_set_aside(open_stream: Open) -> None:
    first = owner(open_stream)
    publish(first, 1, b"good 1")
    publish(owner(open_stream), 2, b"bad")
    with pytest.raises(CheckpointFenced, match="there are checkpoints of claim 2"):
        first.newest("flights", decode)
    assert [file.version for file in first.files("flights")] == [(1, 1), (2, 2)]


@pytest.mark.parametrize("bad", [2, 3])
def test_where_the_two_newest_are_corrupt_it_says_what_to_do(open_stream: Open, bad: int) -> None:
    store = owner(open_stream)
    publish(store, 1, b"good 1")
    for sequence in range(2, 2 + bad):
        publish(store, sequence, b"bad")
    for _ in range(2):  # and nothing has changed by trying
        with pytest.raises(CheckpointCorrupt, match=f"the {bad} newest checkpoints of flights") as corrupt:
            store.newest("flights", decode)
    assert len(store.files("flights")) == 1 + bad
    remedy = corrupt.value.remedy
    assert f"to go on from {store.files('flights')[0].path}" in remedy
    for file in store.files("flights")[1:]:
        assert Path(file.path).name in remedy
        store._place.remove(file.path)
    assert store.newest("flights", decode) == ("good 1", [])


def test_one_that_was_set_aside_at_the_start_before_counts_as_well(open_stream: Open) -> None:
    store = owner(open_stream)
    for sequence, data in enumerate([b"good 1", b"good 2", b"bad 3"], start=1):
        publish(store, sequence, data)
    for _ in range(3):  # starts without news
        assert owner(open_stream).newest("flights", decode)[0] == "good 2"
    store._place.remove(store.files("flights")[1].path)
    store = owner(open_stream)
    store._place.create(f"{store._shard_folder('flights')}/00000001-0000000000000002.checkpoint", [b"bad"])
    with pytest.raises(CheckpointCorrupt, match="set aside before"):
        store.newest("flights", decode)
    publish(store, 4, b"good 4")
    assert store.newest("flights", decode) == ("good 4", []), "what is older says nothing any more"


def test_a_copy_that_is_put_back_and_is_corrupt_again_is_the_second_one(open_stream: Open) -> None:
    store = owner(open_stream)
    publish(store, 1, b"good 1")
    publish(store, 2, b"bad")
    assert store.newest("flights", decode)[0] == "good 1"
    publish(store, 2, b"bad copy")
    with pytest.raises(CheckpointCorrupt, match=r"set aside before; .*b'bad'"):
        store.newest("flights", decode)
    assert sequences(store) == [1, 2], "and the first one's bytes were not replaced"


def test_files_of_which_none_verifies_are_never_taken_for_none(open_stream: Open) -> None:
    store = owner(open_stream)
    publish(store, 1, b"bad 1")
    publish(store, 2, b"bad 2")
    for _ in range(2):  # and nothing has changed by trying
        with pytest.raises(CheckpointCorrupt, match=r"0002\.checkpoint: it begins with") as corrupt:
            store.newest("flights", decode)
        assert "move that folder away" in corrupt.value.remedy
    assert len(store.files("flights")) == 2


def test_only_files_set_aside_are_never_taken_for_none(open_stream: Open) -> None:
    store = owner(open_stream)
    publish(store, 1, b"good 1")
    publish(store, 2, b"bad 2")
    store.newest("flights", decode)
    store._place.remove(store.files("flights")[0].path)
    with pytest.raises(CheckpointCorrupt, match="set aside before"):
        store.newest("flights", decode)


def test_names_alone_are_no_damage(open_stream: Open) -> None:
    store = owner(open_stream)
    publish(store, 1, b"good 1")
    for _ in range(3):  # each start is killed within its first publish
        publish(store, 2, b"")
        store = owner(open_stream)
        state, set_aside = store.newest("flights", decode)
        assert (state, len(set_aside)) == ("good 1", 1)
    publish(store, 2, b"bad 2")
    store = owner(open_stream)
    assert store.newest("flights", decode)[0] == "good 1", "of damage this is the first sign"


def test_a_shard_whose_first_checkpoint_is_a_name_alone_never_was(open_stream: Open) -> None:
    for _ in range(3):
        store = owner(open_stream)
        state, _ = store.newest("flights", decode)
        assert state is None
        publish(store, 1, b"")
    store = owner(open_stream)
    store.newest("flights", decode)
    publish(store, 1, b"good 1")
    assert store.newest("flights", decode) == ("good 1", [])


def test_what_was_emptied_is_never_taken_for_none(open_stream: Open) -> None:
    store = owner(open_stream)
    publish(store, 7, b"")  # there were some before it, which were removed
    with pytest.raises(CheckpointCorrupt, match="none of the checkpoints"):
        store.newest("flights", decode)


def test_a_refused_one_is_not_passed_over(open_stream: Open) -> None:
    store = owner(open_stream)
    publish(store, 1, b"good 1")
    publish(store, 2, b"refused")
    with pytest.raises(CheckpointRefused, match=r"0002\.checkpoint: another version") as refused:
        store.newest("flights", decode)
    assert refused.value.remedy == "install it"
    assert len(store.files("flights")) == 2


def test_old_ones_are_removed(open_stream: Open) -> None:
    store = owner(open_stream)
    for sequence in range(1, 8):
        publish(store, sequence, b"good %d" % sequence)
    removed = store.prune("flights", 3, 1)
    assert [Path(path).name for path in removed] == [f"00000001-{n:016d}.checkpoint" for n in (1, 2, 3, 4)]
    assert sequences(store) == [5, 6, 7]
    assert store.prune("flights", 3, 1) == []


def test_what_a_newer_owner_published_is_not_removed(open_stream: Open) -> None:
    first = owner(open_stream)
    publish(first, 1, b"good 1-1")
    second = owner(open_stream)
    for sequence in (2, 3, 4):
        publish(second, sequence, b"good 2-%d" % sequence)
    assert [Path(path).name[:8] for path in first.prune("flights", 1, 1)] == ["00000001"]
    assert [file.version for file in first.files("flights")] == [(2, 2), (2, 3), (2, 4)]


def test_other_files_in_the_folder_are_left_alone(open_stream: Open) -> None:
    store = owner(open_stream)
    path = publish(store, 1, b"good 1")
    folder = path.rpartition("/")[0]
    for name in (
        "notes.txt",
        "1.checkpoint",
        "0000000000000009.checkpoint.bak",
        "x0000000000000009.checkpoint",
        "9.claim",
    ):
        store._place.create(f"{folder}/{name}", [b"mine"])
    assert store.newest("flights", decode) == ("good 1", [])
    store.prune("flights", 1, 1)
    assert owner(open_stream).held("flights") == 2
    assert store._place.read(f"{folder}/notes.txt") == b"mine"
    assert store._place.read(f"{folder}/9.claim") == b"mine"


def test_large_files_in_many_pieces(open_stream: Open) -> None:
    store = owner(open_stream)
    pieces = [b"good", *(bytes([n]) * 100_000 for n in range(30)), b"", memoryview(b"end")]
    path = publish(store, 1, *pieces)
    assert store._place.read(path) == b"".join(pieces)


def in_threads(count: int, work: Callable[[int], None]) -> None:
    """Run something `count` times at once."""
    gate = threading.Barrier(count)

    def begin(number: int) -> None:
        gate.wait(timeout=30)
        work(number)

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)


@pytest.mark.parametrize("round_", range(3))
def test_of_two_writers_one_publishes(tmp_path: Path, round_: int) -> None:
    """`old_or_new`, and never a mixture. A folder alone promises it."""
    place = open_store(str(tmp_path), "flights")._place
    path = f"{tmp_path}/flights/flights/00000001-0000000000000001.checkpoint"
    outcomes: list[str] = []

    def write(number: int) -> None:
        try:
            place.create(path, [b"good ", bytes([48 + number]) * 300_000])
            outcomes.append("created")
        except FileExistsError:
            outcomes.append("exists")

    in_threads(8, write)
    assert sorted(outcomes) == ["created", *["exists"] * 7]
    content = open_store(str(tmp_path), "flights").newest("flights", bytes)[0]
    assert content is not None
    assert len(content) == 300_005
    assert len(set(content[5:])) == 1
    assert [path.name for path in (tmp_path / "flights/flights").iterdir()] == [Path(path).name]


@pytest.mark.parametrize("round_", range(3))
def test_of_many_claimers_each_has_an_epoch_and_the_last_one_publishes(tmp_path: Path, round_: int) -> None:
    stores = [open_store(str(tmp_path), "flights") for _ in range(6)]
    epochs: list[int] = []
    published: list[int] = []

    def take_over(number: int) -> None:
        for sequence in range(1, 6):
            epoch = stores[number].claim("flights")
            epochs.append(epoch)
            try:
                stores[number].publish("flights", Version(epoch, sequence), [b"good"])
                published.append(epoch)
            except CheckpointFenced:
                continue

    in_threads(6, take_over)
    assert len(set(epochs)) == len(epochs) == 30
    assert max(epochs) in published
    assert sorted(published) == sorted({file.version.epoch for file in stores[0].files("flights")})
