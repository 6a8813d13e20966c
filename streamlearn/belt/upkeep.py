"""When a shard is checkpointed, and what the group is told of it.

Upholds `publish_before_commit`: ``commit`` is called with what a published checkpoint covers, and only when
it was collected. A checkpoint that failed is tried again after ``checkpoint.every_seconds`` at the latest;
the one before it stands.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from streamlearn.belt.checkpointing import Written
from streamlearn.belt.lane import MERGE_PART, Lane
from streamlearn.belt.parts import Parts
from streamlearn.config import Checkpoint
from streamlearn.contracts import Published

COLLECT_SECONDS = 0.05  # between two looks at the writer, while the belt waits for it
FAILED_RETRY_SECONDS = 5.0


@dataclass(slots=True)
class _Care:
    """One shard's checkpoints."""

    lane: Lane
    next_at: float
    events_since: int = 0
    pause_seconds: float = 0.0


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
        self.written = 0
        self.last: dict[str, Last] = {}  # by shard
        self.failing: str | None = None  # why the last one could not be published

    def begin(self, lane: Lane, now: float) -> None:
        """Care for a shard from now on."""
        self._cares[lane.shard.name] = _Care(lane, now + self._settings.every_seconds)

    def end(self, name: str) -> None:
        """Care for it no longer; what is being written is still collected."""
        del self._cares[name]
        self.last.pop(name, None)

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
        self._collect(0.0)
        every_events = self._settings.every_events
        for name, care in self._cares.items():
            due = now >= care.next_at or (every_events is not None and care.events_since >= every_events)
            if due and care.events_since and not self._parts.writer.is_writing(name):
                care.next_at = now + (
                    self._settings.every_seconds if self.failing is None else FAILED_RETRY_SECONDS
                )
                self._submit(name)

    def publish_now(self, name: str, deadline: float) -> bool:
        """Publish what a shard has learned; False where the time (monotonic) did not do.

        Whoever takes the shard up then starts from the checkpoint before, and learns the rest again.
        """
        self._await(name, deadline)
        if not self._cares[name].events_since:
            return True
        if self._parts.writer.is_writing(name):
            return False
        self._submit(name)
        self._await(name, deadline)
        return not self._cares[name].events_since

    def _submit(self, name: str) -> None:
        """Stand still for a snapshot; the writer does the rest."""
        began = time.perf_counter()
        care = self._cares[name]
        shard = care.lane.shard
        state = shard.snapshot({MERGE_PART: care.lane.clocks()})
        shard.sequence = state.sequence
        care.events_since = 0
        care.pause_seconds = time.perf_counter() - began
        self._parts.telemetry.stage_seconds("checkpoint", care.pause_seconds)
        self._parts.writer.submit(state)

    def _await(self, name: str, deadline: float) -> None:
        while self._parts.writer.is_writing(name) and time.monotonic() < deadline:
            self._collect(COLLECT_SECONDS)

    def _collect(self, timeout_seconds: float) -> None:
        while (written := self._parts.writer.collect(timeout_seconds)) is not None:
            timeout_seconds = 0.0
            if written.published is None:
                self._failed(written)
            else:
                self._published(written)

    def _failed(self, written: Written) -> None:
        assert written.failure is not None
        self.failing = written.failure.what
        self._parts.telemetry.checkpoint_failed(written.state.shard, written.failure)
        care = self._cares.get(written.state.shard)
        if care is not None:
            care.events_since += 1  # what it held is not durable: there is something to write

    def _published(self, written: Written) -> None:
        assert written.published is not None
        self.failing = None
        self.written += 1
        shard = written.state.shard
        care = self._cares.get(shard)
        self._parts.telemetry.checkpoint_published(
            shard,
            seconds=written.flush_seconds + written.published.seconds,
            pause_seconds=0.0 if care is None else care.pause_seconds,
            size_bytes=written.published.nbytes,
            path=written.published.path,
        )
        if care is not None:
            self.last[shard] = Last(written.state.sequence, written.published, self._parts.clock())
            self._parts.membership.commit(written.state.next_offsets)
