"""Workers that take a shard over from each other, call by call, and what must hold of them (see ``claims.py``).

    What a claimer does not load is never published.

That is: once a worker has claimed a shard and loaded it, no file of an older epoch appears that is newer than what it
loaded. And a publish that was acknowledged is loaded by the next claimer, or was its successor's to fence.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from checkpoint_world import Code
from disk import Mount, SimulatedDisk
from interleavings import Choose, Work, run

from streamlearn.checkpoints.names import Version, version_of
from streamlearn.errors import CheckpointCorrupt, CheckpointError, CheckpointFenced, CheckpointLocked

KEEP = 2


@dataclass(slots=True)
class Told:
    """What the workers were told, in the order in which they were."""

    epochs: list[int] = field(default_factory=list)
    loaded: dict[int, Version] = field(default_factory=dict)  # by epoch
    acknowledged: list[Version] = field(default_factory=list)
    fenced: list[Version] = field(default_factory=list)
    taken_over: int = 0  # starts that found another one at work


class FenceWorld:
    """One shard, with one checkpoint of epoch 1."""

    def __init__(self, code: Code, *, has_links: bool = True) -> None:
        self.code = code
        self.disk = SimulatedDisk(random.Random(0))
        self.disk.has_links = has_links
        self.told = Told()
        self.first = code.open_store("/data", "flights", self.disk.mount())
        self.first.publish("flights", Version(self.first.claim("flights"), 1), [_content(Version(1, 1))])
        self.told.epochs.append(1)

    def late(self) -> Work:
        """The owner of epoch 1 publishes once more, at whatever time."""

        def work(mount: Mount) -> None:
            self.first._place._disk = mount  # type: ignore[attr-defined]
            self._publish(self.first, Version(1, 2))

        return work

    def take_over(self) -> Work:
        """A worker claims the shard, loads it, and publishes."""

        def work(mount: Mount) -> None:
            store = self.code.open_store("/data", "flights", mount)
            epoch = store.claim("flights")
            assert epoch not in self.told.epochs, f"epoch {epoch} was given out twice"
            self.told.epochs.append(epoch)
            try:
                loaded, aside = store.newest("flights", _decode)
            except CheckpointLocked:
                self.told.taken_over += 1  # a file was pruned, or given up, between the list and the read
                return
            except (CheckpointFenced, CheckpointCorrupt):
                # Without links a name is taken before it has its content, and a take-over may see it so.
                assert not self.disk.has_links
                self.told.taken_over += 1
                return
            assert not aside or not self.disk.has_links, f"{aside} are not damaged"
            assert loaded is not None, "began anew"
            self.told.loaded[epoch] = loaded
            self._publish(store, Version(epoch, loaded.sequence + 1))
            if (epoch, loaded.sequence + 1) in self.told.acknowledged:
                store.prune("flights", KEEP, epoch)

        return work

    def claim_and_load(self) -> Work:
        """A worker claims the shard and loads it."""

        def work(mount: Mount) -> None:
            store = self.code.open_store("/data", "flights", mount)
            epoch = store.claim("flights")
            self.told.epochs.append(epoch)
            loaded, _ = store.newest("flights", _decode)
            assert loaded is not None, "began anew"
            self.told.loaded[epoch] = loaded

        return work

    def check(self) -> None:
        """What must hold when all have ended."""
        visible = self.visible()
        for epoch, loaded in self.told.loaded.items():
            slipped = [version for version in visible if loaded < version and version.epoch < epoch]
            assert not slipped, f"epoch {epoch} loaded {loaded}, and {slipped} were published"
        for version in self.told.fenced:
            assert version not in visible, f"{version} was fenced, and published"
        newest = max([Version(1, 1), *self.told.acknowledged])
        assert newest in visible, f"{newest} was acknowledged, and is gone"
        assert not [path for path in self.disk.files() if path.endswith(".unfinished")]

    def visible(self) -> list[Version]:
        names = [path.rpartition("/")[2] for path, content in self.disk.files().items() if content]
        return sorted(version for name in names if (version := version_of(name)) is not None)

    def _publish(self, store: object, version: Version) -> None:
        try:
            store.publish("flights", version, [_content(version)])  # type: ignore[attr-defined]
        except CheckpointFenced:
            self.told.fenced.append(version)
        except CheckpointError as error:
            raise AssertionError(f"{version} failed for no reason: {error}") from error
        else:
            self.told.acknowledged.append(version)


def one_late(code: Code, choose: Choose) -> Told:
    """One worker publishes while another takes over."""
    world = FenceWorld(code)
    return _run(world, [world.late(), world.claim_and_load()], choose)


def many(code: Code, choose: Choose, *, has_links: bool = True) -> Told:
    """One worker publishes while three others take over from it and from each other."""
    world = FenceWorld(code, has_links=has_links)
    return _run(world, [world.late(), world.take_over(), world.take_over(), world.take_over()], choose)


def one_slow(code: Code) -> Told:
    """A claimer stands still before its claim has its name, until so many others came that old claims are gone."""
    world = FenceWorld(code)
    turns = iter([0])
    return _run(world, [world.take_over() for _ in range(7)], lambda able: next(turns, able[-1]))


def _run(world: FenceWorld, works: list[Work], choose: Choose) -> Told:
    turns: list[int] = []

    def noted(able: list[int]) -> int:
        turns.append(choose(able))
        return turns[-1]

    try:
        run(world.disk, works, noted)  # type: ignore[arg-type]
        world.check()
    except AssertionError as error:
        raise AssertionError(f"schedule {turns}: {error}") from error
    return world.told


def _content(version: Version) -> bytes:
    return f"{version.epoch} {version.sequence}".encode()


def _decode(data: bytes) -> Version:
    epoch, _, sequence = data.partition(b" ")
    if not sequence:
        raise CheckpointCorrupt("it is empty", remedy="none")
    return Version(int(epoch), int(sequence))
