"""Keeps one event from ruining a shard: what it did is undone, and it is rejected instead.

The rule, told of one event: an event on which a model raises, or after whose learning a model is no longer
finite, is undone and rejected, and everything goes on as if it had been rejected from the start. So no
model that is not finite is ever checkpointed, and no prediction of one leaves the belt.

Upholds `replay_equals_run`: the rule speaks of events, so how they are cut into batches changes nothing.
Upholds `learned_once`: an event that was undone is counted as rejected, with its bytes kept.

How it is kept at 2% of the time:

- **One look a batch.** What is not finite stays so (see ``river_finite``), so it is enough to look at every
  model once, after a batch and before anything of it leaves.
- **A way back.** Now and then the state is saved in memory, as for a checkpoint (and a checkpoint serves as well);
  since then the events are kept (their columns, not their bytes). State at any event is what was saved, with
  those events learned again.
- **Bisection.** A batch that went wrong is undone and learned in parts, down to the event; behind a culprit one
  event at a time, then two, four, ..., since culprits come together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

from streamlearn.belt.rejecting import rejected
from streamlearn.belt.shard import Outcome, Shard, ShardParts
from streamlearn.config import Task
from streamlearn.contracts import ShardState, Snapshot
from streamlearn.errors import LearnerError, LearnerOutOfMemory
from streamlearn.events import REFERRED, Reason, TopicPartition

SHARE_OF_SAVING = 0.01  # of the time that learning takes
REDO_SECONDS_MAX = 20.0  # of learning that may have to be done again; before the daemon is taken for dead
HELD_BYTES_MAX = 32 * 1024 * 1024  # of events kept for doing it again
MEASURED_EVENTS_MIN = 256  # to ask fewer how large they are takes longer than to learn them
DETAIL_CHARACTERS_MAX = 1000
BYTES_COLUMNS = ("key", "value")

OnLearnerError = Literal["stop", "reject"]


@runtime_checkable
class CanTell(Protocol):
    """A learner that can tell whether its state is finite, at a cost that is small beside a batch's."""

    def is_finite(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a batch must be undone."""

    reason: Reason
    detail: str
    error: LearnerError | None = None  # what the model raised


class GuardedShard(Shard):
    """A shard that survives its events. Parameters are those of ``Shard``, and:

    Parameters
    ----------
    on_learner_error
        What becomes of an event on which a model raises: it is rejected, or the daemon stops and names it.
    clock
        Seconds; decides only when state is saved, which changes no result.
    """

    def __init__(
        self,
        name: str,
        stream: str,
        task: Task,
        topics: tuple[str, ...],
        parts: ShardParts,
        config: Mapping[str, Any],
        next_offsets: Mapping[TopicPartition, int],
        *,
        on_learner_error: OnLearnerError,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        super().__init__(name, stream, task, topics, parts, config, next_offsets)
        self._on_learner_error = on_learner_error
        self._clock = clock
        self._telling = [learner for learner in parts.learners if isinstance(learner, CanTell)]
        self._saved: ShardState | None = None
        self._save_seconds = 0.0
        self._since: list[pa.RecordBatch] = []  # events learned since, as they stood in the end
        self._since_bytes = 0.0
        self._each_bytes = 0.0
        self._since_seconds = 0.0
        self._left_at = self._place  # where this object left the shard, lest others have moved it since

    def advance(self, events: pa.RecordBatch) -> Iterator[Outcome]:
        """Predict, judge and learn events that follow; reject those that would ruin a model.

        Yields outcomes in the order of the events: one, or several where a batch had to be learned in parts.
        By the first of them the shard may be past all that were learned with it: see ``Outcome.next_offsets``.

        Raises
        ------
        LearnerError
            A model raised on an event, under ``on_learner_error = "stop"``: what names the event; or the
            state was not finite to begin with. LearnerOutOfMemory in any case. The shard must not be
            checkpointed.
        """
        if self._is_saving_due:
            self.snapshot({})
        start, size, bad_until = 0, events.num_rows, 0
        while start < events.num_rows:
            part = events.slice(start, size)
            outcomes, fault = self._attempt(part)
            if fault is not None:
                self._go_back()
                if size > 1:
                    bad_until, size = start + size, size // 2
                    continue
                outcomes = self._reject(part, fault)
                bad_until, size = 0, 0
            start += part.num_rows
            # Half of what is known to hold a culprit; else more and more, from a single event on.
            size = max(1, (bad_until - start) // 2 if start < bad_until else 2 * size)
            self._keep(outcomes)
            yield from outcomes

    def snapshot(self, extra: Mapping[str, Snapshot]) -> ShardState:
        """Return the state as it is now; it also serves as the way back from here on."""
        began = self._clock()
        state = super().snapshot(extra)
        self._saved = state
        self._save_seconds = self._clock() - began
        self._forget_events()
        self._left_at = self._place
        return state

    def restore(self, state: ShardState) -> None:
        """Become what was snapshotted. Raises CheckpointRefused when the config has another shape."""
        super().restore(state)
        self._saved = None

    # ------------------------------------------------------------------------------------ going on

    def _attempt(self, events: pa.RecordBatch) -> tuple[list[Outcome], Fault | None]:
        """Learn these events, and say what is wrong with that; after a fault the state is undefined."""
        began = self._clock()
        try:
            outcomes = list(super().advance(events))
        except LearnerOutOfMemory:
            raise  # of the machine, not of an event
        except LearnerError as error:
            return [], Fault(Reason.LEARNER_FAILED, error.what, error)
        for learner in self._telling:
            if not learner.is_finite():
                detail = f"model {learner.name!r} is not finite after learning this event"
                return [], Fault(Reason.NON_FINITE_LEARNING, detail)
        self._since_seconds += self._clock() - began
        return outcomes, None

    def _reject(self, event: pa.RecordBatch, fault: Fault) -> list[Outcome]:
        """Reject an event for this fault, of which it alone can be the cause."""
        row = event.select(["topic", "partition", "offset"]).to_pylist()[0]
        place = f"{TopicPartition(self._topics[row['topic']], row['partition'])} offset {row['offset']}"
        if fault.error is not None and self._on_learner_error == "stop":
            raise LearnerError(
                f"{fault.error.what} (the event: {place})",
                remedy=f'{fault.error.remedy}; or set stream.on_learner_error = "reject", which makes such '
                "events dead letters",
            ) from fault.error
        detail = fault.detail[:DETAIL_CHARACTERS_MAX]
        outcomes, fault_without = self._attempt(rejected(event, np.zeros(1, np.int64), fault.reason, detail))
        if fault_without is not None:
            raise LearnerError(
                f"shard {self.name}: {fault_without.detail}, although {place} was rejected and taught nothing: "
                "the state was like that before",
                remedy="go on from an older checkpoint (move the newest away), or start anew under another "
                "checkpoint.path",
            )
        return outcomes

    # ----------------------------------------------------------------------------------- going back

    @property
    def _place(self) -> tuple[dict[TopicPartition, int], dict[str, int]]:
        return dict(self.next_offsets), dict(self.counters)

    @property
    def _is_saving_due(self) -> bool:
        due_after_seconds = min(self._save_seconds / SHARE_OF_SAVING, REDO_SECONDS_MAX)
        return (
            self._saved is None
            or self._place != self._left_at  # partitions added, or a gap passed over
            or self._since_bytes > HELD_BYTES_MAX
            or (bool(self._since) and self._since_seconds > due_after_seconds)
        )

    def _keep(self, outcomes: Sequence[Outcome]) -> None:
        """Keep the events of these outcomes, as they stood in the end."""
        for outcome in outcomes:
            light = outcome.events.drop_columns(list(BYTES_COLUMNS))
            self._since.append(light)
            self._since_bytes += light.num_rows * self._event_bytes(light)
        self._left_at = self._place

    def _event_bytes(self, light: pa.RecordBatch) -> float:
        """Return what an event of a batch takes, as far as memory has to be reckoned with: of small batches as before."""
        if light.num_rows >= MEASURED_EVENTS_MIN or not self._each_bytes:
            self._each_bytes = _nbytes(light) / max(light.num_rows, 1)
        return self._each_bytes

    def _forget_events(self) -> None:
        self._since.clear()
        self._since_bytes = 0.0
        self._since_seconds = 0.0

    def _go_back(self) -> None:
        """Become what the shard was before the last attempt.

        1. Become what was saved.
        2. Learn again what was learned since; all of it went well the first time.
        3. Save it, where that costs no more: another attempt may fail, too.
        """
        # Step 1.
        saved, sequence = self._saved, self.sequence
        assert saved is not None, "a way back is kept before anything is learned"
        super().restore(saved)
        self.sequence = sequence  # of checkpoints, of which none was undone
        # Step 2.
        began = self._clock()
        for events in self._since:
            for _outcome in super().advance(events):
                pass
        assert self._place == self._left_at, f"replay_equals_run: {self.name} is not where it was"
        # Step 3.
        if self._clock() - began > self._save_seconds:
            self.snapshot({})


def _nbytes(events: pa.RecordBatch) -> int:
    """Return the bytes of a batch; where it refers to the features of a larger one, its share of them."""
    nbytes = int(events.nbytes)
    if REFERRED in events.schema.names:
        features = events.column(REFERRED).dictionary
        share = events.num_rows / max(len(features), 1)
        nbytes -= int((1 - share) * features.nbytes)
    return nbytes
