"""One simulated worker: a production belt, made of production parts and of ends that reach into the world."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from disk import Mount
from world_broker import LABEL_TOPIC, Broker, Offsets
from world_ends import LateIntake, LateWriter, SharedEnds, TransactionalOutbox, WorldReader, cuts_after
from world_group import Group, WorldMembership
from world_labels import RULES, small_segments
from world_script import Settings
from world_wire import Wire

from streamlearn.assemble import make_decoder
from streamlearn.belt.loop import Belt
from streamlearn.belt.parts import Parts
from streamlearn.belt.sending import SharedOutbox
from streamlearn.checkpoints.keeper import CheckpointKeeper
from streamlearn.checkpoints.stores import open_store
from streamlearn.config import Config
from streamlearn.config_file import parse
from streamlearn.contracts import Revoked
from streamlearn.emission import Outbox
from streamlearn.events import TopicPartition
from streamlearn.telemetry import Telemetry

_CONFIG = """
[stream]
name = "flow"
task = "binary"

[source.kafka]
bootstrap_servers = "nowhere:1"
topics = ["events"]
group_id = "flow"

[event]
label = "y"
time = "t"
time_format = "epoch_milliseconds"
numeric = ["p", "o", "a"]

[[models]]
name = "chain"
learner = "python"
factory = "chain_learner:make"

[predictions]
topic = "predictions"

[checkpoint]
every_seconds = 20
path = "/data"
"""

_LABELS = f"""
[labels]
topic = "{LABEL_TOPIC}"
id = "id"
label = "y"
time = "t"
time_format = "epoch_milliseconds"
wait = "{RULES.wait}ms"
remember = "{RULES.remember}ms"
early_wait = "{RULES.early_wait}ms"
early_max = {RULES.early_max}
on_late_label = "{RULES.on_late_label}"
"""


class UnhurriedBelt(Belt):
    """The production belt, whose micro-batches are as long as the config says, however long they take."""

    def _fit_batch(self, events: int, seconds: float, *, is_full: bool) -> None:
        """Nothing: real time is not part of this world, and a seed must do the same again."""


@functools.cache
def config_of(settings: Settings) -> Config:
    """Return the config of a world; the same for worlds that differ in what is no part of it."""
    overrides = [
        f"stream.scope={settings.scope}",
        f"stream.micro_batch_events={settings.micro_batch_events}",
        f"source.kafka.poll_events={settings.poll_events}",
        f"predictions.delivery={settings.delivery}",
        f"checkpoint.every_events={settings.checkpoint_events}",
        f"checkpoint.keep={settings.keep}",
    ]
    if settings.delayed:
        return parse(_CONFIG.replace('label = "y"\n', 'id = "id"\n') + _LABELS, overrides, {})
    return parse(_CONFIG, overrides, {})


@dataclass
class Worker:
    """One incarnation of a worker's process."""

    name: str
    belt: Belt
    wire: Wire
    member: WorldMembership
    works_meanwhile: Sequence[Callable[[], None]]  # what its other threads do
    outboxes: list[TransactionalOutbox]
    reached: dict[TopicPartition, int] = field(default_factory=dict)  # what it had learned at the last look
    troubles: int = 0  # of the world, when the present step began
    frozen: bool = False
    stepping: bool = False

    @property
    def alive(self) -> bool:
        return not self.wire.cut


@dataclass(frozen=True)
class Ends:
    """What of the world a worker is given."""

    config: Config
    broker: Broker
    group: Group
    wire: Wire
    mount: Mount
    chance: random.Random
    shard_of: Callable[[int], str]  # a partition's
    clock: Callable[[], float]


def make_worker(
    name: str,
    member_name: str,
    world: Ends,
    on_commit: Callable[[str, Mapping[TopicPartition, int]], None],
    on_release: Callable[[str, Revoked], None],
) -> Worker:
    """Start a worker: it joins the group, and does nothing before it is stepped."""
    config, broker, wire, chance = world.config, world.broker, world.wire, world.chance
    keeper = CheckpointKeeper(
        open_store(config.checkpoint.path, config.stream.name, world.mount), keep=config.checkpoint.keep
    )
    writer = LateWriter(keeper, broker, chance)
    member = WorldMembership(world.group, wire, member_name, on_commit, on_release)
    ends = SharedEnds(broker, wire, chance, world.shard_of)
    outboxes: list[TransactionalOutbox] = []

    def open_outbox(shard: str, partitions: Sequence[TopicPartition]) -> Outbox:
        if not config.exactly_once:
            return SharedOutbox(ends.predictions, ends.letters)
        outbox = TransactionalOutbox(broker, wire, chance, lambda: member.name, shard, partitions)
        outboxes.append(outbox)
        return outbox

    def read_cuts(shard: str, after: Offsets) -> Sequence[Offsets]:
        wire.call(broker.ask)
        return cuts_after(broker.shards[shard].cuts, after) if config.exactly_once else ()

    reader = WorldReader(broker, wire, chance)
    parts = Parts(
        topics=config.topics,
        membership=member,
        intake=LateIntake(reader, make_decoder(config), config.source.chosen.poll_events, chance),
        identify=lambda _reader: {"cluster_id": "world"},
        new_shard=small_segments(config, keeper.segments),
        store=keeper,
        writer=writer,
        open_outbox=open_outbox,
        close_outlets=(),
        telemetry=Telemetry(),
        outbox_commits=config.exactly_once,
        read_cuts=read_cuts,
        clock=world.clock,
    )
    belt = UnhurriedBelt(config, parts, until_end=False)
    return Worker(name, belt, wire, member, (writer.now_and_then, ends.now_and_then), outboxes)
