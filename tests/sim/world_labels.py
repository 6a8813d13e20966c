"""Worlds whose labels come later: how they wait, and what they must have taught by the plain simulation of the join."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from unittest.mock import patch

from label_oracle import Oracle, Row, Rules
from world_broker import TOPIC, Broker

from streamlearn.assemble import shard_factory
from streamlearn.belt.labels import layout
from streamlearn.belt.shard import Shard
from streamlearn.checkpoints.segments import UnsavedSegments
from streamlearn.config import Config
from streamlearn.contracts import Segments
from streamlearn.events import TopicPartition

SEGMENT_ROWS = 8  # so that what waits is sealed, and forgotten, within a script

# In milliseconds, and short against what the world's clock moves: events wait in vain, and are forgotten. What is
# late is learned, so that an event may be learned long after its time.
RULES = Rules(wait=300, remember=200, early_wait=150, early_max=3, on_late_label="learn")


def joined(
    broker: Broker, order: Sequence[tuple[TopicPartition, int]], rules: Rules
) -> list[tuple[int, int]]:
    """Return the partition and offset of each event that is learned, in that order, given that of all messages."""
    rows, events = [], []
    for partition, offset in order:
        message = broker.logs[partition].messages[offset]
        assert message is not None
        rows.append(Row(message.id, message.time_ms, message.label, rejected=not message.accepted))
        if partition.topic == TOPIC and message.accepted:
            events.append((partition.partition, offset))
    oracle = Oracle(rules).take(rows)
    assert not oracle.rejected, "each event has an id of its own here"
    return [events[number] for what, number, _ in oracle.done if what in ("judge", "learn")]


def small_segments(
    config: Config, segments: Callable[[str], Segments] = lambda _shard: UnsavedSegments()
) -> Callable[[str, Mapping[TopicPartition, int]], Shard]:
    """Return ``shard_factory(...)``, whose shards seal after a few events."""
    make = shard_factory(config, segments)

    def new_shard(name: str, next_offsets: Mapping[TopicPartition, int]) -> Shard:
        with patch.multiple(layout, SEGMENT_ROWS_MIN=SEGMENT_ROWS, SEGMENT_ROWS_MAX=SEGMENT_ROWS):
            return make(name, next_offsets)

    return new_shard
