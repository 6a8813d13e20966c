"""What the belt is given: everything that reaches outside of it. A simulator gives other parts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from streamlearn.belt.checkpointing import CheckpointWriter
from streamlearn.belt.intake import Intake
from streamlearn.belt.shard import Shard
from streamlearn.contracts import DeadLetterSink, Membership, PredictionSink, Reader, Store
from streamlearn.events import TopicPartition
from streamlearn.telemetry import Telemetry


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
    predictions: PredictionSink | None
    dead_letters: DeadLetterSink
    telemetry: Telemetry
    give_up: Callable[[], bool] = lambda: False  # whether the daemon wants to end: nobody waits any more
    clock: Callable[[], float] = field(default=time.time)  # for telling people, never for deciding
