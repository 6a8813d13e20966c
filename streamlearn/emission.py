"""What leaves the belt for a run of events, and the way out that takes it as a whole or not at all.

Between belt and connectors: the belt makes emissions and knows no Kafka; an outbox sends them and knows no
shard. What upholds what: see ``connectors/kafka_outbox.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from streamlearn.contracts import DeadLetter
from streamlearn.events import TopicPartition


@dataclass(frozen=True, slots=True)
class Records:
    """What one model says of a run of events, as Kafka records: keys and values, row by row, in order.

    ``events`` says of how many events; a record may hold several.
    """

    model: str
    events: int
    keys: pa.LargeBinaryArray
    values: pa.LargeBinaryArray

    def __len__(self) -> int:
        return len(self.values)

    @property
    def value_bytes(self) -> int:
        """Bytes of all values."""
        return int(pc.sum(pc.binary_length(self.values)).as_py() or 0)


@dataclass(frozen=True, slots=True)
class Emission:
    """What one run of events of a shard sends out.

    ``predictions`` holds the records of each model; ``letters`` the rejected events.
    ``next_offsets`` are the shard's once these events are learned, for all its partitions. ``cuts`` is for
    the order journal: ``next_offsets`` at each place inside this run, and at its end, behind which events need
    not follow in time. Empty where the order is that of the offsets (of one partition).
    """

    predictions: Sequence[Records]
    letters: Sequence[DeadLetter]
    next_offsets: Mapping[TopicPartition, int]
    cuts: Sequence[Mapping[TopicPartition, int]]


@dataclass(frozen=True, slots=True)
class Covered:
    """What the transactions that were committed before an outbox was opened have covered.

    ``next_offsets`` are the group's committed offsets, read after the predecessor was fenced; a partition
    that is absent was never committed.
    """

    next_offsets: Mapping[TopicPartition, int]


class Outbox(Protocol):
    """The way out of one shard. ``flush`` and ``close`` may be called from any thread."""

    def open(self, timeout_seconds: float) -> Covered:
        """Fence whoever sent for this shard before. Raises BrokerUnavailable (try again), SourceError."""
        ...

    def send(self, emission: Emission) -> None:
        """Hand over; waits while too much is not committed yet.
        Raises Fenced, SourceError, DeadLetterError, and BrokerUnavailable when told to give up."""
        ...

    def flush(self, timeout_seconds: float) -> bool:
        """Whether all that was sent so far is out for good; waits for it at most so long.
        Raises Fenced, SourceError, DeadLetterError."""
        ...

    def close(self) -> None:
        """Abort what is open and let go. Never hangs. Idempotent."""
        ...
