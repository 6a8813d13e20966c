"""Writes checkpoints off the belt.

Upholds `publish_before_commit` and, for what leaves the belt, the order: flush what was sent for events
below `next_offsets`, publish the checkpoint, then tell the group. A checkpoint therefore never covers an
event whose prediction or dead letter could still be lost.

The belt hands over a snapshot and goes on; one thread flushes and writes; the belt collects what became
of it. Without a thread (``threaded=False``) ``submit`` does the work itself, as a simulator needs.
"""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass
from typing import Protocol

from streamlearn.contracts import Published, ShardState, Store
from streamlearn.errors import StreamlearnError

FLUSH_SECONDS = 1.0  # one try; between two the writer looks whether it was told to give up


class Flushable(Protocol):
    def flush(self, timeout_seconds: float) -> bool: ...


@dataclass(frozen=True, slots=True)
class Written:
    """What became of one checkpoint: published, or the reason why not."""

    state: ShardState
    published: Published | None
    failure: StreamlearnError | None
    flush_seconds: float


class CheckpointWriter:
    """One writer for all shards of a worker; the checkpoints of a shard are written in their order."""

    def __init__(self, store: Store, *, threaded: bool = True) -> None:
        self._store = store
        self._submitted: queue.Queue[tuple[ShardState, Flushable] | None] = queue.Queue()
        self._written: queue.SimpleQueue[Written] = queue.SimpleQueue()
        self._in_flight: set[str] = set()
        self._give_up = threading.Event()
        self._thread: threading.Thread | None = None
        if threaded:
            self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)
            self._thread.start()

    def is_writing(self, shard: str) -> bool:
        """Whether a checkpoint of this shard was submitted and not collected."""
        return shard in self._in_flight

    def submit(self, state: ShardState, outbox: Flushable) -> None:
        """Hand over a snapshot, and the way out of what its events sent. The last one must have been collected."""
        assert state.shard not in self._in_flight, f"{state.shard}: a checkpoint is being written"
        self._in_flight.add(state.shard)
        if self._thread is None:
            self._written.put(self._write(state, outbox))
        else:
            self._submitted.put((state, outbox))

    def collect(self, timeout_seconds: float = 0.0) -> Written | None:
        """Return the next checkpoint that was dealt with; ``None`` where there is none in time."""
        try:
            written = (
                self._written.get(timeout=timeout_seconds) if timeout_seconds else self._written.get_nowait()
            )
        except queue.Empty:
            return None
        self._in_flight.discard(written.state.shard)
        return written

    def close(self) -> None:
        """Stop; what is not flushed by now is given up and not published."""
        self._give_up.set()
        if self._thread is not None:
            self._submitted.put(None)
            self._thread.join()

    def _run(self) -> None:
        while self._write_next():
            pass

    def _write_next(self) -> bool:
        # A name of this function and not of the loop: what was written is not held until the next one comes.
        submitted = self._submitted.get()
        if submitted is None:
            return False
        self._written.put(self._write(*submitted))
        return True

    def _write(self, state: ShardState, outbox: Flushable) -> Written:
        # Step 1. Everything that the events below next_offsets sent out is durable.
        began = time.perf_counter()
        try:
            while not outbox.flush(FLUSH_SECONDS):
                if self._give_up.is_set():
                    return Written(state, None, _GAVE_UP, time.perf_counter() - began)
            flushed = time.perf_counter()
            # Step 2. The checkpoint is durable. (Step 3, telling the group, is the belt's.)
            return Written(state, self._store.publish(state), None, flushed - began)
        except StreamlearnError as failure:
            return Written(state, None, failure, time.perf_counter() - began)


_GAVE_UP = StreamlearnError(
    "what was sent for a checkpoint could not be made durable before the stop",
    remedy="none needed: the next start goes on from the checkpoint before, and sends it again",
)
