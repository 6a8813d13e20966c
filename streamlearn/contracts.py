"""What the belt asks of the parts that it is given: source, membership, learner, store, sink.

The belt knows these protocols and no implementation of them; ``assemble`` chooses. A simulator
passes its own. Every protocol has one suite in ``tests/contract/`` that all its implementations pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa

from streamlearn.events import Examples, Predictions, TopicPartition

# --------------------------------------------------------------------------------------- reading


@dataclass(frozen=True, slots=True)
class Polled:
    """What one ``Reader.poll`` brought.

    ``batch`` has ``RAW_SCHEMA``; offsets increase strictly within a partition and are never below the
    position that was assigned. ``positions`` holds, for each partition on which anything happened, the
    next offset that the reader will bring (it passes over control records, which no row shows).
    ``caught_up`` names the partitions whose end was reached in this poll.
    """

    batch: pa.RecordBatch
    positions: Mapping[TopicPartition, int] = field(default_factory=dict)
    caught_up: frozenset[TopicPartition] = frozenset()


@dataclass(frozen=True, slots=True)
class Watermarks:
    """The first offset that the log still holds, and the next one to be readable (last stable offset)."""

    low: int
    high: int


class Reader(Protocol):
    """Reads the partitions that it is told to, from the offsets that it is told. Owned by one thread."""

    @property
    def topics(self) -> tuple[str, ...]:
        """The configured topics, sorted; ``topic`` in a raw batch is an index into them."""
        ...

    def partitions(self) -> list[TopicPartition]:
        """All partitions of the topics, sorted. Raises TopicMissing, BrokerUnavailable."""
        ...

    def watermarks(self, partition: TopicPartition) -> Watermarks:
        """Ask the source. Raises BrokerUnavailable."""
        ...

    def offset_at(self, partition: TopicPartition, timestamp_ms: int) -> int:
        """The first offset whose record timestamp is at or after this; the end where there is none."""
        ...

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Read exactly these partitions from now on. One that was read before keeps its place unless
        its offset differs from the reader's position; a new one begins at its offset."""
        ...

    def pause(self, partitions: Sequence[TopicPartition]) -> None: ...

    def resume(self, partitions: Sequence[TopicPartition]) -> None: ...

    def poll(self, events_max: int, timeout_seconds: float) -> Polled:
        """Bring up to ``events_max`` messages; an empty batch after the timeout.
        Raises BrokerUnavailable never (it waits), OffsetGap when the log was cut below the position."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Assigned:
    partitions: tuple[TopicPartition, ...]


@dataclass(frozen=True, slots=True)
class Revoked:
    """The group wants these back: let go, then call ``Membership.released``; it waits, within a budget."""

    partitions: tuple[TopicPartition, ...]


@dataclass(frozen=True, slots=True)
class Lost:
    """These are gone already; nothing may be written or committed for them."""

    partitions: tuple[TopicPartition, ...]


@dataclass(frozen=True, slots=True)
class Unowned:
    """Of the group's partitions, these belong to none of its members, for longer than a rebalance takes.

    None named: that is over.
    """

    partitions: tuple[TopicPartition, ...]


Happening = Assigned | Revoked | Lost | Unowned


class Membership(Protocol):
    """This worker's place in the group: who owns what, and what the group was told is done."""

    def happenings(self) -> list[Happening]:
        """What happened since the last call, in order. Never blocks."""
        ...

    def released(self, revoked: Revoked) -> None:
        """The belt has let go of what was revoked."""
        ...

    def commit(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        """Tell the group, for lag tools. Called only after the checkpoint is durable. Never raises:
        a refused commit is counted, since nothing depends on it."""
        ...

    def connected(self) -> bool:
        """Whether the group's broker answers."""
        ...

    @property
    def commits_failed(self) -> int:
        """Commits that the group refused since the start."""
        ...

    @property
    def revokes_over_budget(self) -> int:
        """Revokes for which the belt did not let go in time, since the start."""
        ...

    def close(self) -> None:
        """Leave the group."""
        ...


# -------------------------------------------------------------------------------------- learning


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A learner's whole state at one instant; later learning does not change it.

    ``arrays`` are written as safetensors; ``data`` holds JSON types only; ``pickled`` is for objects
    that have no other form, and is read back by the checkpoint's own allow-listing unpickler.
    """

    data: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, Any] = field(default_factory=dict)  # name -> numpy array
    pickled: bytes | None = None


class Learner(Protocol):
    """One model of one shard.

    ``predict_then_learn`` takes events in order and must give the same predictions and reach the same
    state however the sequence is cut into batches (`replay_equals_run`), each event predicted before
    the model learned from it (`predict_before_learn`).
    """

    name: str
    engine: str  # river | compiled | torch | python | baseline

    @property
    def events_learned(self) -> int: ...

    def predict(self, examples: Examples) -> Predictions:
        """Predict without learning. Changes nothing (`reads_are_pure`)."""
        ...

    def predict_then_learn(self, examples: Examples) -> Predictions:
        """Predict each event, then learn from it where it is labelled. Raises LearnerError."""
        ...

    def snapshot(self) -> Snapshot: ...

    def restore(self, snapshot: Snapshot) -> None:
        """Become what was snapshotted. Raises CheckpointRefused when this learner cannot."""
        ...

    def describe(self) -> dict[str, Any]:
        """Facts for people: parameters, device, sizes."""
        ...


# ---------------------------------------------------------------------------------- checkpoints


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """What a checkpoint says of one model. ``version``: events that it had learned."""

    name: str
    version: int
    events_learned: int


@dataclass(frozen=True, slots=True)
class ShardState:
    """All that one ordered sequence of events has taught, and where to go on (`offsets_travel_with_state`)."""

    stream: str
    shard: str  # the stream's name, or "topic[3]"
    sequence: int  # grows by one with each checkpoint of the shard
    next_offsets: Mapping[TopicPartition, int]
    events_learned: int
    events_rejected: int
    counters: Mapping[str, int]  # every other count of the shard
    models: tuple[ModelEntry, ...]
    parts: Mapping[str, Snapshot]  # "merge", "features", "model/logistic", "evaluate/logistic", ...
    config: Mapping[str, Any]  # the part of the config on which state depends, JSON types
    source: Mapping[str, Any]  # such as the cluster's id; not part of the digest
    # The claim under which it was learned, as ``Store.claim`` returned it; not read back. Without it, it is
    # published under the claim that the store holds by then, which is another one where the same worker let
    # the shard go and took it up again meanwhile.
    epoch: int | None = field(default=None, compare=False)
    segments: tuple[str, ...] = ()  # sealed segments that its parts refer to (docs/labels.md)
    segments_from: int = field(
        default=0, compare=False
    )  # no segment before this row is needed; not read back


class Store(Protocol):
    """Keeps the checkpoints of one stream. A shard is looked at, claimed, loaded, published, and released."""

    def look(self, shard: str) -> ShardState | None:
        """The newest checkpoint, for who owns nothing yet; ``None`` where there is none, where it is its owner's to
        judge, or where this process has looked before. Raises CheckpointRefused. Changes nothing."""
        ...

    def claim(self, shard: str) -> int:
        """Own a shard from now on: whoever claimed it before publishes nothing more. Returns the claim's epoch,
        which grows with each claim, whoever makes it. To be called before ``newest``. Raises CheckpointError."""
        ...

    def newest(self, shard: str) -> ShardState | None:
        """The newest checkpoint that verifies; ``None`` where there never was one.
        Raises CheckpointCorrupt (also when the two newest do not verify), CheckpointRefused, and
        CheckpointFenced when it comes upon what a newer owner is about to publish."""
        ...

    def publish(self, state: ShardState) -> Published:
        """Make a checkpoint durable and visible as a whole (`old_or_new`), then remove those past ``keep``.
        Raises CheckpointFenced when its claim is no longer the newest, or was released: the shard belongs to
        somebody else, and nothing was published. Raises CheckpointError."""
        ...

    def release(self, shard: str) -> None:
        """Own a shard no longer; what is still being published fails as fenced. Writes nothing, never raises."""
        ...


@dataclass(frozen=True, slots=True)
class Published:
    """A checkpoint that is durable now."""

    path: str
    nbytes: int
    seconds: float


# ---------------------------------------------------------------------------------- writing out


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A rejected event, or a message that was rejected as a whole.

    ``row``: the place of the event in a message of many; ``value`` is then a message of this event alone.
    """

    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    key: bytes | None
    value: bytes | None
    row: int | None = None


class PredictionSink(Protocol):
    """Takes prediction records out. Nothing is dropped: a full queue makes ``send`` wait, and it pumps meanwhile."""

    def send(self, keys: pa.LargeBinaryArray, values: pa.LargeBinaryArray) -> None: ...

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until all that was sent is durable. False: not within the time; call again.
        Raises SourceError when a record failed for good."""
        ...

    def close(self) -> None: ...


class DeadLetterSink(Protocol):
    """Keeps the bytes of rejected events. Nothing is dropped, and a checkpoint waits for ``flush``."""

    def send(self, letters: Sequence[DeadLetter]) -> None: ...

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until all that was sent is durable. False: not within the time; call again.
        Raises DeadLetterError when a letter cannot be kept."""
        ...

    def close(self) -> None: ...


# ------------------------------------------------------------------------ kept events (docs/labels.md)


class Mapped(Protocol):
    """A file that is read where it lies."""

    @property
    def content(self) -> memoryview:
        """The whole of it; valid for as long as this object, whatever becomes of the file."""
        ...

    def rest(self) -> None:
        """Let go of the memory that reading took; the content comes back from the disk when it is looked at."""
        ...


class Segments(Protocol):
    """Keeps the sealed segments of one shard."""

    def seal(self, name: str, content: bytes | memoryview) -> Mapped:
        """Keep a segment, and return it. It is durable with the first checkpoint that refers to it.
        Raises CheckpointError."""
        ...

    def open(self, name: str) -> Mapped:
        """Return a segment that a checkpoint refers to, once it has verified.
        Raises CheckpointCorrupt."""
        ...
