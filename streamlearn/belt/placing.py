"""Which shards a worker owns, and where each of their partitions is read from.

The group's coordinator is the scheduler: ownership follows from the partitions that it assigned, and from
nothing else. Upholds `offsets_increase`: a checkpoint that points outside the log is an error or an exact
count (gaps.py), never a silent reset.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from streamlearn.config import Stream
from streamlearn.contracts import Reader
from streamlearn.errors import SourceError
from streamlearn.events import TopicPartition
from streamlearn.gaps import OnGap, resume_in_log

Start = Literal["earliest", "latest"] | datetime

# In ``ShardState.source``: where each partition of the shard was first read, for who reads all of it again.
BEGAN_AT = "began_at"


def shards_to_own(
    stream: Stream,
    assigned: Collection[TopicPartition],
    partitions: Sequence[TopicPartition],
    label_topic: str | None = None,
) -> dict[str, tuple[TopicPartition, ...]]:
    """Return the shards of a worker by name, each with its partitions, those of labels last.

    In stream scope the worker that was assigned the first partition leads and reads all of them; in
    partition scope each assigned partition is a shard. Partitions of labels are never assigned: they go with
    their events, in partition scope each with the partition of its number.

    >>> first, second = TopicPartition("t", 0), TopicPartition("t", 1)
    >>> stream = Stream(name="s", task="binary", scope="stream")
    >>> shards_to_own(stream, [second], [first, second])
    {}
    >>> shards_to_own(stream, [first], [first, second])["s"] == (first, second)
    True
    >>> list(shards_to_own(stream.model_copy(update={"scope": "partition"}), [second], [first, second]))
    ['t[1]']
    >>> label = TopicPartition("a", 1)
    >>> by_partition = stream.model_copy(update={"scope": "partition"})
    >>> shards_to_own(by_partition, [second], [label, first, second], "a")["t[1]"] == (second, label)
    True
    """
    events = [partition for partition in partitions if partition.topic != label_topic]
    labels = [partition for partition in partitions if partition.topic == label_topic]
    if stream.scope == "stream":
        return {stream.name: (*events, *labels)} if events and events[0] in assigned else {}
    own: dict[str, tuple[TopicPartition, ...]] = {}
    for partition in events:
        if partition in assigned:
            its = [label for label in labels if label.partition == partition.partition]
            own[str(partition)] = (partition, *its)
    return own


def check_copartitioned(partitions: Sequence[TopicPartition], label_topic: str) -> None:
    """See that events and labels have the same partitions, as partition scope needs.

    Raises
    ------
    SourceError
        They do not: a label could never meet its event.

    >>> check_copartitioned([TopicPartition("labels", 0), TopicPartition("t", 0), TopicPartition("t", 1)], "labels")
    Traceback (most recent call last):
    ...
    streamlearn.errors.SourceError: 'labels' has 1 partition, and the events have 2
      remedy: ...
    """
    labels = {p.partition for p in partitions if p.topic == label_topic}
    events = {p.partition for p in partitions if p.topic != label_topic}
    if labels != events:
        raise SourceError(
            f"{label_topic!r} has {len(labels)} partition{'s' if len(labels) != 1 else ''}, and the events have "
            f"{len(events)}",
            remedy='with stream.scope = "partition" a label must be in the partition of its event: give both topics '
            'as many partitions and one key, or take stream.scope = "stream"',
        )


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a partition is read from, and what was passed over to get there."""

    next_offset: int
    wanted: int  # the checkpoint's next offset; the same where there was no gap
    missed: int


def place(
    reader: Reader,
    partitions: Sequence[TopicPartition],
    known: Mapping[TopicPartition, int],
    start: Start,
    on_gap: OnGap,
) -> dict[TopicPartition, Placed]:
    """Return where to read each partition of a shard from.

    Parameters
    ----------
    reader
        Asked for watermarks and for offsets by time.
    partitions
        The shard's.
    known
        The checkpoint's ``next_offsets``; empty where there is no checkpoint.
    start
        For a shard without a checkpoint. A partition that came up after the first checkpoint of its shard
        is read from its beginning, since all its events came after what the shard has learned.
    on_gap
        What to do about a checkpoint that points outside the log.

    Raises
    ------
    OffsetGap
        Under ``on_gap = "stop"``.
    BrokerUnavailable
        Try again.
    """
    placed = {}
    for partition in partitions:
        if partition in known:
            resumption = resume_in_log(
                partition, known[partition], reader.watermarks(partition), on_gap=on_gap
            )
            placed[partition] = Placed(resumption.next_offset, known[partition], resumption.missed)
        else:
            offset = _start_offset(reader, partition, "earliest" if known else start)
            placed[partition] = Placed(offset, offset, 0)
    return placed


def began_at(
    source: Mapping[str, Any] | None, next_offsets: Mapping[TopicPartition, int]
) -> list[tuple[str, int, int]]:
    """Return topic, partition and first offset of each partition: as a checkpoint says, else as placed now.

    >>> began_at({"began_at": [["t", 0, 7]]}, {TopicPartition("t", 0): 90, TopicPartition("t", 1): 3})
    [('t', 0, 7), ('t', 1, 3)]
    """
    known = {(topic, number): offset for topic, number, offset in (source or {}).get(BEGAN_AT, ())}
    return [(*partition, known.get(partition, offset)) for partition, offset in next_offsets.items()]


def _start_offset(reader: Reader, partition: TopicPartition, start: Start) -> int:
    match start:
        case "earliest":
            return reader.watermarks(partition).low
        case "latest":
            return reader.watermarks(partition).high
        case datetime():
            in_utc = start if start.tzinfo else start.replace(tzinfo=UTC)
            return reader.offset_at(partition, int(in_utc.timestamp() * 1000))
