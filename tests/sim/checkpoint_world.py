"""Two workers that publish the checkpoints of one shard to one simulated disk, by a script that is data.

The production ``CheckpointKeeper`` does the work, with real files; see ``disk.py`` for what the disk may do to them.
After each step the world checks what is promised (`old_or_new`):

- what a start loads is what was published, bit by bit, and nothing older than the last acknowledged publish,
- unless files rotted: then the newest one that did not, once; after two in a row it stops;
- a file that was told to be set aside stays; of the newest ones as many stay as are kept;
- no epoch is given out twice, and one whose claim is not the newest publishes nothing.

``run(script_of(seed))`` replays a seed. A violation is an ``AssertionError`` that names seed and step.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from checkpoint_faults import Faulty
from checkpoint_script import (
    Fault,
    Forge,
    MoveAway,
    PowerLoss,
    Publish,
    Release,
    Rot,
    Script,
    Start,
    Step,
)
from disk import Mount, SimulatedDisk

from streamlearn.checkpoints import keeper, stores
from streamlearn.checkpoints.format import encode
from streamlearn.checkpoints.names import Version, claimed_epoch, version_of
from streamlearn.contracts import ModelEntry, ShardState, Snapshot
from streamlearn.errors import CheckpointCorrupt, CheckpointError, CheckpointFenced, CheckpointRefused
from streamlearn.events import TopicPartition

ROOT = "/data/checkpoints"
FOLDER = f"{ROOT}/flights/flights"


@dataclass(frozen=True, slots=True)
class Code:
    """The code under test: production's, or a mutant of it."""

    open_store: Callable[..., stores.CheckpointStore] = stores.open_store
    keeper: Callable[..., keeper.CheckpointKeeper] = keeper.CheckpointKeeper


def run(script: Script, code: Code | None = None) -> World:
    """Run a script to its end. Raises AssertionError where a promise is broken."""
    world = World(script, code or Code())
    for number, step in enumerate(script.steps):
        try:
            world.do(step)
            world.check()
        except AssertionError as error:
            raise AssertionError(f"seed {script.seed}, step {number}, {step}: {error}\n{script}") from error
    return world


@dataclass(slots=True)
class Worker:
    mount: Mount
    keeper: keeper.CheckpointKeeper
    told: list[str]
    epoch: int = 0
    sequence: int = 0


class World:
    def __init__(self, script: Script, code: Code) -> None:
        self.script = script
        self.code = code
        self.disk = SimulatedDisk(random.Random(script.seed + 1))
        self.workers: dict[str, Worker] = {}
        self.owner: Worker | None = None  # who made the newest claim, and knows it
        self.published: dict[Version, int] = {}  # what was tried, by what was learned
        self.acknowledged: list[Version] = []
        self.kept = 0  # so many of them are there, at least
        self.damaged: set[Version] = set()
        self.forged: set[Version] = set()
        self.set_aside: set[str] = set()
        self.epochs_given: list[int] = [0]
        self.events_learned = 0
        self.happened: dict[str, int] = {}  # how often what was seen, so that a test can tell that it was

    # ---------------------------------------------------------------------------------- steps

    def do(self, step: Step) -> None:
        match step:
            case Start():
                self._start(step.worker, step.fault)
            case Publish() if step.worker in self.workers:
                self._publish(self.workers[step.worker], step.fault)
            case Release() if step.worker in self.workers:
                worker = self.workers[step.worker]
                worker.keeper.release("flights")
                self.owner = None if self.owner is worker else self.owner
                self._publish(worker, None)
            case Rot():
                for version in self._versions()[: -step.files - 1 : -1]:
                    if version not in self.forged:  # which is refused, or corrupt, as it happens to be hit
                        self.disk.flip_bit(self._path(version))
                        self.damaged.add(version)
            case Forge() if self.script.key is not None and self._versions():
                version = self._versions()[-1]
                forged = encode(state(10**6, version.sequence), key=b"guessed")
                self.disk.put(self._path(version), b"".join(forged))
                self.damaged.discard(version)
                self.forged.add(version)
            case MoveAway() if "/flights/" in "".join(self.disk.files()):
                self._move_away()
            case PowerLoss():
                self._lose_power()

    def _start(self, name: str, fault: Fault | None) -> None:
        mount = self.disk.mount()
        told: list[str] = []
        opened = self.code.open_store(ROOT, "flights", mount)
        kept = self.code.keeper(
            opened,
            keep=self.script.keep,
            key=self.script.key,
            on_corrupt=lambda path, why: told.append(path),
        )
        worker = Worker(mount, kept, told)
        before = self._versions_and_aside()
        loaded: ShardState | None = None
        failure: CheckpointError | None = None
        with Faulty(self.disk, mount, fault) as faulty:
            try:
                worker.epoch = kept.claim("flights")
                assert worker.epoch > max(self.epochs_given), "an epoch was given out before"
                self.epochs_given.append(worker.epoch)
                self.owner = worker
                unfinished = [_name(path) for path in self.disk.files() if path.endswith(".unfinished")]
                assert not [name for name in unfinished if int(name[1:9]) < worker.epoch], unfinished
                loaded = kept.newest("flights")
            except CheckpointError as error:
                failure = error
        if self.owner is not None and self._newest_claim() > self.owner.epoch:
            self.owner = None  # a claim stands, and its claimer has not come to know it
        if not mount.alive:
            self._seen("died while it started")
            self._bury()
            return
        if worker.epoch:
            self.workers[name] = worker
        if faulty.happened:
            self.set_aside |= set(told)
            self.workers.pop(name, None) if failure is not None else None
        if failure is None:
            worker.sequence = self._check_loaded(loaded, before, told)
        elif not faulty.happened:
            self._check_refusal(failure, before)
            assert not told, "nothing is set aside by a start that stops"
            self._follow_the_remedy(before)
            self.workers.pop(name, None)

    def _publish(self, worker: Worker, fault: Fault | None) -> None:
        before = self._versions()
        worker.sequence += 1
        self.events_learned += 1
        version = Version(worker.epoch, worker.sequence)
        is_owner = worker is self.owner
        if is_owner:
            self.published[version] = self.events_learned
        failure: CheckpointError | None = None
        with Faulty(self.disk, worker.mount, fault) as faulty:
            try:
                worker.keeper.publish(state(self.events_learned, worker.sequence, worker.epoch))
            except CheckpointError as error:
                failure = error
        if not worker.mount.alive:
            self._seen("died while it published")
            self._bury()
        elif failure is None:
            assert is_owner, "one whose claim is not the newest has published"
            self.acknowledged.append(version)
            self.kept = min(self.kept + 1, self.script.keep)
            self._seen("published")
        elif isinstance(failure, CheckpointFenced):
            assert not is_owner, "the owner was fenced"
            self._seen("fenced")
        else:
            assert faulty.happened, f"failed for no reason: {failure}"
            # One that could not remove what is past `keep` has published.
            if not faulty.was_published:
                assert self._versions() == before, "what failed was published"
            self._seen("failed")
        if not is_owner:
            assert version in before or version not in self._versions(), (
                "one whose claim is not the newest has added a file"
            )

    def _lose_power(self) -> None:
        self.disk.lose_power()
        self._bury()
        self._seen("power lost")

    def _bury(self) -> None:
        self.workers = {name: worker for name, worker in self.workers.items() if worker.mount.alive}

    def _move_away(self) -> None:
        folder = self.disk.folder(f"{ROOT}/flights")
        for entries in (folder.entries, folder.durable):
            entries.pop("flights", None)
        folder.unsynced.clear()
        self.owner = None
        self.published, self.acknowledged, self.kept = {}, [], 0
        self.damaged, self.forged, self.set_aside = set(), set(), set()
        self.epochs_given = [0]
        self._seen("moved away")

    def _follow_the_remedy(self, before: list[tuple[Version, bool]]) -> None:
        """Move away what does not verify, or what was forged, at the newest end."""
        folder = self.disk.folder(FOLDER)
        for version, _ in reversed(before):
            if self._is_good(version):
                break
            for entries in (folder.entries, folder.durable):
                for name in [name for name in entries if version_of(name) == version]:
                    del entries[name]
            folder.unsynced = [e for e in folder.unsynced if version_of(e[1] or "") != version]
            self.set_aside = {path for path in self.set_aside if version_of(_name(path)) != version}
            self.published.pop(version, None)
        left = {version for version, _ in self._versions_and_aside()}
        self.acknowledged = [version for version in self.acknowledged if version in left]
        self.kept = min(self.kept, len(left))

    # ---------------------------------------------------------------------------------- checks

    def check(self) -> None:
        """What holds after each step, whatever has happened."""
        there = set(self.disk.files())
        for path in sorted(self.set_aside):
            assert path in there, f"{path} was set aside and is gone"
        versions = {version for version, _ in self._versions_and_aside()}
        if self.acknowledged:
            assert self.acknowledged[-1] in versions, "the last acknowledged checkpoint is gone"
        assert len(versions) >= self.kept, f"fewer than {self.kept} checkpoints are left"

    def _check_loaded(
        self, loaded: ShardState | None, before: list[tuple[Version, bool]], told: list[str]
    ) -> int:
        """Check what a start without errors went on from, and return its sequence."""
        self.set_aside |= set(told)
        bad, good = self._expected(before)
        assert len(bad) < 2, f"went on past {bad}"
        expected = [self._path(version) + ".corrupt" for version, aside in bad if not aside]
        assert told == expected, f"set aside: {told}, expected {expected}"
        if self.acknowledged and self.acknowledged[-1] not in self.damaged:
            assert good is not None, "there is an acknowledged checkpoint"
            assert good >= self.acknowledged[-1], f"{good} is older than {self.acknowledged[-1]}"
        if loaded is None:
            assert good is None, f"{good} was not loaded"
            assert not bad, f"began anew where {bad} are damaged"
            return 0
        assert good is not None, f"loaded {loaded} where there is nothing good"
        assert good not in self.forged, "a forged file was loaded"
        _check_equal(loaded, state(self.published[good], good.sequence))
        self._seen("an older one loaded" if bad else "the newest loaded")
        return good.sequence

    def _check_refusal(self, failure: CheckpointError, before: list[tuple[Version, bool]]) -> None:
        bad, good = self._expected(before)
        if isinstance(failure, CheckpointRefused):
            assert good in self.forged, f"refused without need: {failure}"
            self._seen("refused")
        else:
            assert isinstance(failure, CheckpointCorrupt), f"failed for no reason: {failure}"
            assert len(bad) > 1 or good is None, f"one damaged file stopped it: {failure}"
            self._seen("stopped at two")

    def _expected(
        self, before: list[tuple[Version, bool]]
    ) -> tuple[list[tuple[Version, bool]], Version | None]:
        """Return the damaged files at the newest end, and the first one behind them that is none."""
        bad: list[tuple[Version, bool]] = []
        for version, aside in reversed(before):
            if not aside and version not in self.damaged:
                return bad, version
            bad.append((version, aside))
        return bad, None

    def _is_good(self, version: Version) -> bool:
        aside = {version for version, aside in self._versions_and_aside() if aside}
        return version not in self.damaged | self.forged | aside

    def _versions(self) -> list[Version]:
        return [version for version, aside in self._versions_and_aside() if not aside]

    def _versions_and_aside(self) -> list[tuple[Version, bool]]:
        """Return the shard's checkpoints, oldest first, and whether each was set aside."""
        names = [_name(path) for path in self.disk.files() if path.startswith(f"{FOLDER}/")]
        found = [(version, name) for name in names if (version := version_of(name)) is not None]
        return sorted((version, name.endswith(".corrupt")) for version, name in found)

    def _newest_claim(self) -> int:
        return max((claimed_epoch(_name(path)) or 0 for path in self.disk.files()), default=0)

    def _path(self, version: Version) -> str:
        return f"{FOLDER}/{version.epoch:08d}-{version.sequence:016d}.checkpoint"

    def _seen(self, what: str) -> None:
        self.happened[what] = self.happened.get(what, 0) + 1


def state(events_learned: int, sequence: int, epoch: int | None = None) -> ShardState:
    """A small state, all of which follows from what was learned."""
    return ShardState(
        stream="flights",
        shard="flights",
        sequence=sequence,
        next_offsets={TopicPartition("flights", 0): events_learned},
        events_learned=events_learned,
        events_rejected=0,
        counters={"events_missed": events_learned % 7},
        models=(ModelEntry("linear", events_learned, events_learned),),
        parts={"model/linear": Snapshot({"n": events_learned}, {"weights": np.full(16, events_learned / 7)})},
        config={"seed": 1},
        source={"cluster_id": "simulated"},
        epoch=epoch,
    )


def _check_equal(loaded: ShardState, expected: ShardState) -> None:
    for name in ("sequence", "next_offsets", "events_learned", "counters", "models", "config", "source"):
        assert getattr(loaded, name) == getattr(expected, name), f"other {name} than were published"
    one, other = loaded.parts["model/linear"], expected.parts["model/linear"]
    assert one.data == other.data, "other data than were published"
    assert one.arrays["weights"].tobytes() == other.arrays["weights"].tobytes(), (
        "other bits than were published"
    )


def _name(path: str) -> str:
    return path.rpartition("/")[2]
