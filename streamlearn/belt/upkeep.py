"""When a shard is checkpointed, and what the group is told of it.

Upholds `publish_before_commit`: ``commit`` is called with what a published checkpoint covers, and only when
it was collected (outboxes that tell the group with what they send do so before, see emission.py, and
nothing is placed by it). While a checkpoint cannot be written the one before it stands, and so does the belt.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from streamlearn.belt.checkpointing import Written
from streamlearn.belt.lane import MERGE_PART, Lane
from streamlearn.belt.parts import Parts
from streamlearn.config import Checkpoint
from streamlearn.contracts import Published, ShardState
from streamlearn.errors import (
    BrokerUnavailable,
    CheckpointFenced,
    CheckpointRefused,
    DeadLetterError,
    Fenced,
    SourceError,
)

COLLECT_SECONDS = 0.05  # between two looks at the writer, while the belt waits for it
FAILED_RETRY_SECONDS = 2.0  # the belt stands meanwhile: what it learned would only be lost


@dataclass(slots=True)
class _Care:
    """One shard's checkpoints."""

    lane: Lane
    next_at: float
    events_since: int = 0
    pause_seconds: float = 0.0
    submitted: ShardState | None = None  # that which is being written, if any


@dataclass(frozen=True, slots=True)
class Last:
    """The last published checkpoint of a shard."""

    sequence: int
    published: Published
    at: float  # seconds since 1970


class Upkeep:
    """Keeps the checkpoints of the shards that this worker holds."""

    def __init__(self, settings: Checkpoint, parts: Parts) -> None:
        self._settings = settings
        self._parts = parts
        self._cares: dict[str, _Care] = {}
        self._now = 0.0
        self.written = 0
        self.last: dict[str, Last] = {}  # by shard
        self._failing: dict[str, str] = {}  # by shard that is held: why its last one could not be published
        self.fenced: set[str] = set()  # shards that another worker has taken over

    @property
    def failing(self) -> str | None:
        """Why a shard's last checkpoint could not be published; ``None``: all could."""
        return next(iter(self._failing.values()), None)

    def begin(self, lane: Lane, now: float) -> None:
        """Care for a shard from now on."""
        self._cares[lane.shard.name] = _Care(lane, now + self._settings.every_seconds)

    def end(self, name: str) -> None:
        """Care for it no longer; what is being written is still collected."""
        del self._cares[name]
        self.last.pop(name, None)
        self.fenced.discard(name)
        self._failing.pop(name, None)

    def publish_soon(self, name: str) -> None:
        """The shard has changed by more than events: what it is now is not durable yet."""
        care = self._cares[name]
        care.events_since += 1
        care.next_at = 0.0

    def moved(self, name: str, events: int) -> None:
        """The shard has changed by so many events."""
        self._cares[name].events_since += events

    def keep(self, now: float) -> None:
        """Collect what was written, and submit what is due."""
        self._now = now
        self._collect(0.0)
        every_events = self._settings.every_events
        for name, care in self._cares.items():
            due = now >= care.next_at or (every_events is not None and care.events_since >= every_events)
            if due and care.events_since and not self._parts.writer.is_writing(name):
                care.next_at = now + self._settings.every_seconds
                self._submit(name)

    def publish_now(self, name: str, deadline: float) -> bool:
        """Publish what a shard has learned; False where the time (monotonic) did not do.

        Whoever takes the shard up then starts from the checkpoint before, and learns the rest again.
        """
        self._await(name, deadline)
        if self._cares[name].events_since and not self._parts.writer.is_writing(name):
            self._submit(name)
            self._await(name, deadline)
        # What is still being written is not published, and may fail.
        return not self._parts.writer.is_writing(name) and not self._cares[name].events_since

    def _submit(self, name: str) -> None:
        """Stand still for a snapshot; the writer does the rest."""
        began = time.perf_counter()
        care = self._cares[name]
        shard = care.lane.shard
        state = shard.snapshot({MERGE_PART: care.lane.clocks()})
        shard.sequence = state.sequence
        care.events_since = 0
        care.submitted = state
        care.pause_seconds = time.perf_counter() - began
        self._parts.telemetry.stage_seconds("checkpoint", care.pause_seconds)
        self._parts.writer.submit(state, care.lane.outbox)

    def _await(self, name: str, deadline: float) -> None:
        while self._parts.writer.is_writing(name) and time.monotonic() < deadline:
            self._collect(COLLECT_SECONDS)

    def _collect(self, timeout_seconds: float) -> None:
        while (written := self._parts.writer.collect(timeout_seconds)) is not None:
            timeout_seconds = 0.0
            care = self._cares.get(written.state.shard)
            if care is not None and care.submitted is not written.state:
                care = None  # of the shard as it was before it was let go and taken up again
            if care is not None:
                care.submitted = None
            if written.published is None:
                self._failed(written, care)
            else:
                self._published(written, care)

    def _failed(self, written: Written, care: _Care | None) -> None:
        assert written.failure is not None
        if isinstance(written.failure, Fenced | CheckpointFenced):
            if care is not None:
                self.fenced.add(written.state.shard)
            return
        if isinstance(written.failure, CheckpointRefused):
            raise written.failure  # no later try can be better
        # A way out that has failed for good says so at each try; an absent broker only takes its time.
        is_final = isinstance(written.failure, SourceError | DeadLetterError) and not isinstance(
            written.failure, BrokerUnavailable
        )
        if is_final and care is not None and not self._parts.give_up():
            raise written.failure
        self._parts.telemetry.checkpoint_failed(written.state.shard, written.failure)
        if care is not None:
            self._failing[written.state.shard] = written.failure.what
            care.events_since += 1  # what it held is not durable: there is something to write
            care.next_at = min(care.next_at, self._now + FAILED_RETRY_SECONDS)

    def _published(self, written: Written, care: _Care | None) -> None:
        assert written.published is not None
        self.written += 1
        shard = written.state.shard
        self._parts.telemetry.checkpoint_published(
            shard,
            seconds=written.flush_seconds + written.published.seconds,
            pause_seconds=0.0 if care is None else care.pause_seconds,
            size_bytes=written.published.nbytes,
            path=written.published.path,
        )
        if care is not None:
            self._failing.pop(shard, None)
            self.last[shard] = Last(written.state.sequence, written.published, self._parts.clock())
            if not self._parts.outbox_commits:
                self._parts.membership.commit(written.state.next_offsets)
