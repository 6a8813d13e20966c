"""What the belt is given: everything that reaches outside of it. A simulator gives other parts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streamlearn.belt.checkpointing import CheckpointWriter
from streamlearn.belt.intake import Intake
from streamlearn.belt.sending import PredictionsFormat
from streamlearn.belt.shard import Shard
from streamlearn.contracts import Membership, Reader, ShardState, Store
from streamlearn.emission import Outbox
from streamlearn.events import TopicPartition
from streamlearn.telemetry import Telemetry

Offsets = Mapping[TopicPartition, int]


@dataclass(frozen=True, slots=True)
class Parts:
    """The belt's parts, made by ``assemble``."""

    topics: tuple[str, ...]  # what the ``topic`` column of a batch indexes
    membership: Membership
    intake: Intake
    identify: Callable[[Reader], Mapping[str, Any]]  # facts that tell this source from another
    new_shard: Callable[[str, Mapping[TopicPartition, int]], Shard]
    store: Store
    writer: CheckpointWriter
    open_outbox: Callable[[str, Sequence[TopicPartition]], Outbox]  # of a shard, given its partitions
    close_outlets: Sequence[Callable[[], None]]  # what outboxes share
    telemetry: Telemetry
    check_config: Callable[[ShardState], None] = lambda _state: None  # raises CheckpointRefused
    predicts: PredictionsFormat | None = "json"  # in which form predictions leave the daemon, if they do
    outbox_commits: bool = False  # whether outboxes tell the group its offsets, with what they send
    read_cuts: Callable[[str, Offsets], Sequence[Offsets]] = lambda _shard, _after: ()  # of the order journal
    give_up: Callable[[], bool] = lambda: False  # whether the daemon wants to end: nobody waits any more
    clock: Callable[[], float] = field(default=time.time)  # for telling people, never for deciding
