"""The world as a state machine: Hypothesis finds what happens, and shrinks it to what matters.

    STREAMLEARN_SIM_EXAMPLES=2000 pytest tests/sim/test_world_machine.py

Each rule is one action of a script (world_script.py), so a failure can be pasted into a test just as well.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from world import World
from world_script import (
    PARTITIONS_MAX,
    WORKERS,
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
)

EXAMPLES = int(os.environ.get("STREAMLEARN_SIM_EXAMPLES", "15"))

workers = st.sampled_from(WORKERS)
partitions = st.integers(0, PARTITIONS_MAX - 1)
calls = st.integers(1, 25)
counts = st.integers(1, 8)
# What makes a zombie: a worker is put out in the middle of a call, and others go on.
elsewhere = st.lists(
    st.one_of(
        st.builds(Join, workers),
        st.builds(Step, workers, st.integers(1, 12)),
        st.builds(Expire, workers),
        st.builds(Produce, partitions, counts),
    ),
    min_size=1,
    max_size=4,
).map(tuple)


class WorldMachine(RuleBasedStateMachine):
    """Poll, learn, checkpoint, crash, rebalance, and faults of disk and broker, in any order."""

    world: World | None = None

    @initialize(
        seed=st.integers(0, 1000),
        scope=st.sampled_from(["stream", "partition"]),
        delivery=st.sampled_from(["exactly_once", "at_least_once"]),
        count=st.integers(1, 3),
        eager=st.booleans(),
    )
    def begin(self, seed: int, scope: str, delivery: str, count: int, eager: bool) -> None:
        self.world = World(
            Settings(seed, scope, delivery, count, eager, checkpoint_events=5, poll_events=20)  # type: ignore[arg-type]
        )
        self.world.do(Join("w1"))

    def do(self, action: object) -> None:
        assert self.world is not None
        self.world.do(action)  # type: ignore[arg-type]

    @rule(partition=partitions, events=counts)
    def produce(self, partition: int, events: int) -> None:
        self.do(Produce(partition, events))

    @rule(partition=partitions, kind=st.sampled_from([lambda p: Late(p, 120), Bad, Control]))
    def produce_what_is_odd(self, partition: int, kind: type[Bad]) -> None:
        self.do(kind(partition))

    @rule(worker=workers, count=counts)
    def poll_learn_checkpoint(self, worker: str, count: int) -> None:
        self.do(Step(worker, count))

    @rule(worker=workers)
    def join(self, worker: str) -> None:
        self.do(Join(worker))

    @rule(worker=workers)
    def leave(self, worker: str) -> None:
        self.do(Leave(worker))

    @rule(worker=workers, at=st.integers(0, 25))
    def crash(self, worker: str, at: int) -> None:
        self.do(Crash(worker, at))

    @rule(worker=workers, kind=st.sampled_from([Freeze, Thaw, Expire]))
    def freeze_or_thaw(self, worker: str, kind: type[Freeze]) -> None:
        self.do(kind(worker))

    @rule(worker=workers, at=calls, script=elsewhere)
    def freeze_within(self, worker: str, at: int, script: tuple[Step, ...]) -> None:
        self.do(Within(worker, at, script))

    @rule(down=st.booleans())
    def broker(self, down: bool) -> None:
        self.do(BrokerDown(down))

    @rule(times=st.integers(1, 2))
    def transactions_abort(self, times: int) -> None:
        self.do(CommitFails(times))

    @rule(fault=st.sampled_from([DiskFull(True), DiskFull(False), SyncFails(1), FlipBit(), PowerLoss()]))
    def disk(self, fault: object) -> None:
        self.do(fault)

    @rule(other=st.sampled_from([AddPartition(), Trim(), Wait(3.0), Wait(12.0)]))
    def time_and_topic(self, other: object) -> None:
        self.do(other)

    @invariant()
    def whatever_is_published_is_right(self) -> None:
        if self.world is not None:
            self.world.check()

    def teardown(self) -> None:
        if self.world is not None:
            self.world.heal()
            self.world.end()


WorldMachine.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=25,
    deadline=None,
    derandomize="STREAMLEARN_SIM_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
TestWorld = WorldMachine.TestCase
