"""A seeded world around the production belt: workers, a group, a broker, a disk and a clock, in one thread.

``play(settings, script)`` runs a script, heals the world, lets everything be read, and judges it by the oracles
(world_oracles.py), at every step and in the end. Nothing is patched but the size of segments: workers are production belts whose parts
(``belt.parts.Parts``) reach into the simulated world. All chance comes from the settings' seed, so the same
settings and script do the same again.
"""

from __future__ import annotations

import errno
import itertools
import os
import random
from collections.abc import Callable, Sequence

from disk import Dead, SimulatedDisk
from world_broker import Broker, Offsets
from world_checkpoints import Checkpoints
from world_group import Group, WorldMembership
from world_oracles import Oracles
from world_script import (
    Action,
    AddPartition,
    Bad,
    BrokerDown,
    CommitFails,
    Control,
    Crash,
    DiskFull,
    Expire,
    FlipBit,
    Freeze,
    Join,
    Late,
    Leave,
    PowerLoss,
    Produce,
    Settings,
    Step,
    SyncFails,
    Thaw,
    Trim,
    Wait,
    Within,
    as_text,
)
from world_wire import Wire
from world_worker import Ends, Worker, config_of, make_worker

from streamlearn.checkpoints.names import claimed_epoch, shard_name
from streamlearn.contracts import Revoked
from streamlearn.errors import StreamlearnError
from streamlearn.events import TopicPartition

STEP_SECONDS = 0.1  # of the simulated clock
HEALING_STEP_SECONDS = 1.0
HEALING_ROUNDS = 400
DELAYED_MS = 60  # most that an event is later than the one before, where labels come later
LABELS_SHARE = 0.5  # of events, by which one more label comes; many come twice


class World:
    """Everything, from one seed on."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.config = config_of(Settings(**{**settings.__dict__, "seed": 0, "partitions": 1, "eager": False}))
        self.chance = random.Random(f"world {settings.seed}")
        self.broker = Broker(settings.partitions, delayed=settings.delayed)
        self.disk = SimulatedDisk(random.Random(f"disk {settings.seed}"))
        self.group = Group(lambda: self.broker.event_partitions, eager=settings.eager)
        self.oracles = Oracles(self.config, self.broker)
        self.broker.is_member = self.group.is_member
        self.broker.on_commit = self.oracles.committed
        self.workers: dict[str, Worker] = {}
        self.now = 0.0
        self.time_ms = 1_000_000
        self.errors: list[StreamlearnError] = []  # that ended a daemon
        self.syncs_that_fail = 0
        self.claimed_by: dict[str, Wire] = {}  # whose each shard is
        self.troubles = 0  # syncs that failed so far
        self._incarnations = itertools.count(1)
        self.checkpoints = Checkpoints(
            self.disk, self.config.stream.name, self.oracles.checkpoint, self._is_stepping
        )

    # ------------------------------------------------------------------------------------- scripts

    def do(self, action: Action) -> None:
        """Have one thing happen; what makes no sense now is passed over, so that any script can run."""
        match action:
            case Produce(partition, events):
                for _ in range(events):
                    self._produce(partition, late_ms=0)
            case Late(partition, late_ms):
                self._produce(partition, late_ms)
            case Bad(partition):
                self.broker.produce_bad(self._in_range(partition), self.time_ms)
            case Control(partition):
                self.broker.produce_control(self._in_range(partition))
            case AddPartition():
                if self.broker.width < 4:
                    self.broker.add_partition()
                    self.group.rebalance()
            case Trim():
                self._trim()
            case Wait(seconds):
                self._pass_time(seconds)
            case BrokerDown(down):
                self.broker.down = down
            case CommitFails(times, fatal):
                if fatal:
                    self.broker.fatal_commits = times
                else:
                    self.broker.commits_that_fail = times
            case DiskFull(full):
                self.disk.fill(0 if full else None)
            case SyncFails(times):
                self.syncs_that_fail = times
            case FlipBit():
                self.checkpoints.flip_bit(self.chance)
            case PowerLoss():
                for worker in self.workers.values():
                    self._kill(worker)
                self.disk.lose_power()
                self.checkpoints.have_changed()
            case _:
                self._do_to_worker(action)

    def _do_to_worker(self, action: Action) -> None:
        assert isinstance(action, Join | Step | Leave | Crash | Freeze | Thaw | Within | Expire)
        worker = self.workers.get(action.worker)
        if isinstance(action, Join):
            if worker is None or not worker.alive:
                self._start(action.worker)
            return
        if worker is None or not worker.alive:
            return
        match action:
            case Step(_, count):
                for _ in range(count):
                    self._step(worker)
            case Leave():
                self._leave(worker)
            case Crash(_, calls):
                if calls:
                    worker.wire.at_point(calls, lambda: self._kill(worker))
                else:
                    self._kill(worker)
            case Freeze():
                worker.frozen = True
                self.group.silence(worker.member.name)
            case Thaw():
                worker.frozen = False
                self.group.speaks(worker.member.name)
            case Expire():
                if worker.frozen or worker.stepping:
                    self.group.leave(worker.member.name)
            case Within(_, calls, script):
                worker.wire.at_point(calls, lambda: self._meanwhile(worker, script))

    def _produce(self, partition: int, late_ms: int) -> None:
        self.time_ms += self.chance.randint(0, DELAYED_MS if self.settings.delayed else 20)
        # What has no label leaves no trace in a model's order: there it would not be known where it came.
        is_labelled = self.chance.random() < 0.9 or not self.oracles.order_is_known
        label = self.chance.random() < 0.5 if is_labelled else None
        self.broker.produce(self._in_range(partition), self.time_ms - late_ms, self.chance.random(), label)
        while self.settings.delayed and self.chance.random() < LABELS_SHARE:
            self.broker.produce_label(self._in_range(partition), self.time_ms, self.chance)

    def _in_range(self, partition: int) -> int:
        return partition % self.broker.width

    def _meanwhile(self, worker: Worker, script: Sequence[Action]) -> None:
        """The worker stands in the middle of a call; everything else goes on."""
        self.group.silence(worker.member.name)
        was_frozen, worker.frozen = worker.frozen, True
        for action in script:
            self.do(action)
        worker.frozen = was_frozen
        self.group.speaks(worker.member.name)

    def _pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.group.pass_time(self.now)

    # ------------------------------------------------------------------------------------- workers

    def _start(self, name: str) -> None:
        wire, mount = Wire(), self.disk.mount()
        number = next(self._incarnations)
        chance = random.Random(f"worker {self.settings.seed} {number}")

        def before(step: str, path: str) -> None:
            wire.point()
            if step in ("link", "rename", "remove"):
                self.checkpoints.have_changed()
            shard = shard_name(path.split("/")[-2]) if step == "link" else ""
            if step == "link" and claimed_epoch(path.rpartition("/")[2]):
                self.claimed_by[shard] = wire
            elif step == "link":
                assert not self._is_lost(member, shard), f"lost: {path} is published by who has lost {shard}"
            if step == "sync" and self.syncs_that_fail:
                self.syncs_that_fail -= 1
                self.troubles += 1
                raise OSError(errno.EIO, os.strerror(errno.EIO))

        mount.before = before
        ends = Ends(
            self.config, self.broker, self.group, wire, mount, chance, self._shard_of, lambda: self.now
        )
        worker = make_worker(name, f"{name}.{number}", ends, self._group_commit, self._released)
        member = worker.member
        self.workers[name] = worker

    def _shard_of(self, partition: int) -> str:
        if self.settings.scope == "stream":
            return self.config.stream.name
        return str(TopicPartition(self.config.topics[0], partition))

    def _step(self, worker: Worker, seconds: float = STEP_SECONDS) -> None:
        if worker.frozen or worker.stepping or not worker.alive:
            return
        self._pass_time(seconds)
        worker.troubles = self.troubles
        self._as_worker(worker, lambda: self._turn(worker))
        self.check(worker)

    def _turn(self, worker: Worker) -> None:
        worker.belt.step(self.now)
        for each in (*worker.works_meanwhile, *(outbox.now_and_then for outbox in worker.outboxes)):
            each()

    def _as_worker(self, worker: Worker, act: Callable[[], object]) -> None:
        """Do something that only a living process does; what ends it, ends it."""
        worker.stepping = True
        try:
            act()
        except Dead:
            self._kill(worker)
        except StreamlearnError as error:
            self.errors.append(error)
            self._abandon(worker)
        finally:
            worker.stepping = False

    def _leave(self, worker: Worker) -> None:
        if worker.frozen or worker.stepping:
            return
        self._as_worker(worker, lambda: worker.belt.checkpoint_all(10.0))
        if worker.alive:
            self._abandon(worker)
        self.check()

    def _abandon(self, worker: Worker) -> None:
        """What the daemon does at its end, however it came to it."""
        worker.stepping = True
        try:
            worker.belt.abandon()
        except Dead:
            pass
        finally:
            worker.stepping = False
        self._kill(worker)
        self.group.leave(worker.member.name)

    def _kill(self, worker: Worker) -> None:
        worker.wire.die()
        self.group.silence(worker.member.name)

    # ------------------------------------------------------------------------------ disk and group

    def _group_commit(self, member: str, told: Offsets) -> None:
        if not self.broker.down and self.group.is_member(member):
            durable: dict[TopicPartition, int] = {}
            for state in self.checkpoints.newest().values():
                durable.update(state.next_offsets)
            self.oracles.group_offsets(durable, told)

    def _released(self, member: str, revoked: Revoked) -> None:
        """Where nothing hinders it, a shard is published before it is given back."""
        broker = self.broker
        hindered = broker.down or self.syncs_that_fail or self.disk.free_bytes() < 1 << 30
        worker = next(each for each in self.workers.values() if each.member.name == member)
        hindered = hindered or any(outbox.has_failed for outbox in worker.outboxes)
        if hindered or self.troubles > worker.troubles or not self.group.is_member(member):
            return
        durable = {
            p: n for state in self.checkpoints.newest().values() for p, n in state.next_offsets.items()
        }
        for partition in self._shards_of(revoked.partitions):
            if self.claimed_by.get(self._shard_of(partition.partition)) is not worker.wire:
                continue  # a zombie, that was frozen while it took the shard up, has fenced its owner
            assert durable.get(partition, 0) >= worker.reached.get(partition, 0), (
                f"a revoked shard is published: {partition} at {worker.reached[partition]}, {durable} is durable"
            )

    def _shards_of(self, partitions: Sequence[TopicPartition]) -> Sequence[TopicPartition]:
        """All partitions of the shards that go with these."""
        if self.settings.scope == "partition":
            return partitions
        return self.broker.event_partitions if min(self.broker.logs) in partitions else []

    def _is_lost(self, member: WorldMembership, shard: str) -> bool:
        first = min(self.broker.logs) if self.settings.scope == "stream" else None
        return any(first == each if first else str(each) == shard for each in member.lost)

    def _is_stepping(self) -> bool:
        return any(worker.stepping for worker in self.workers.values())

    def _trim(self) -> None:
        lows: dict[TopicPartition, int] = {}
        for states in self.checkpoints.states().values():
            for _, state in states.values():
                for partition, next_offset in state.next_offsets.items():
                    lows[partition] = min(lows.get(partition, next_offset), next_offset)
        for partition, low in lows.items():
            self.broker.logs[partition].low = max(low, self.broker.logs[partition].low)

    # ------------------------------------------------------------------------------------- judging

    def check(self, worker: Worker | None = None) -> None:
        """Judge what a worker holds, and what is on the disk."""
        lanes = worker.belt.lanes.values() if worker is not None and worker.alive else ()
        if worker is not None:
            worker.reached = {p: n for lane in lanes for p, n in lane.shard.next_offsets.items()}
        for lane in lanes:
            model = lane.shard.parts.learners[0].snapshot()
            self.oracles.learned_once(f"{lane.shard.name} at work", model, lane.shard.next_offsets)
        self.checkpoints.states()

    def heal(self) -> None:
        """End all trouble, and let everything be read and written."""
        self.broker.down = False
        self.broker.commits_that_fail = self.broker.fatal_commits = self.syncs_that_fail = 0
        self.disk.fill(None)
        for worker in self.workers.values():
            worker.wire.disarm()
            self.do(Thaw(worker.name))
        for _ in range(HEALING_ROUNDS):
            if not any(worker.alive for worker in self.workers.values()):
                self._start("healer")
            for worker in list(self.workers.values()):
                self._step(worker, HEALING_STEP_SECONDS)
            if self._is_read() and self._is_written():
                return
        where = {p: n for state in self.checkpoints.newest().values() for p, n in state.next_offsets.items()}
        told = [error.what for error in self.errors[-3:]]
        raise AssertionError(f"the healed world does not come to its end: {where}, errors: {told}")

    def _is_read(self) -> bool:
        reached: dict[TopicPartition, int] = {}
        for worker in self.workers.values():
            for lane in worker.belt.lanes.values() if worker.alive else ():
                reached.update(lane.shard.next_offsets)
        return all(reached.get(p, -1) >= self._last(p) for p in self.broker.logs)

    def _last(self, partition: TopicPartition) -> int:
        """The offset behind the last message; control records behind it need not be passed."""
        messages = self.broker.logs[partition].messages
        return max((offset + 1 for offset, each in enumerate(messages) if each is not None), default=0)

    def _is_written(self) -> bool:
        alive = [worker for worker in self.workers.values() if worker.alive]
        for worker in alive:
            self._as_worker(worker, lambda worker=worker: worker.belt.checkpoint_all(10.0))
        newest = {p: n for state in self.checkpoints.newest().values() for p, n in state.next_offsets.items()}
        return all(newest.get(p, -1) >= self._last(p) for p in self.broker.logs)

    def end(self) -> None:
        """Judge the healed world."""
        self.check()
        self.oracles.end(self.checkpoints.newest())


class Failed(AssertionError):
    """An oracle was not content; says how to see it again."""


def play(settings: Settings, script: Sequence[Action], make: Callable[[Settings], World] = World) -> World:
    """Run a script, heal the world, and judge it. Raises Failed, with what to paste to see it again."""
    world = make(settings)
    try:
        for action in script:
            world.do(action)
        world.heal()
        world.end()
    except Exception as error:
        raise Failed(f"{type(error).__name__}: {error}\n\n{as_text(settings, script)}\n") from error
    return world
