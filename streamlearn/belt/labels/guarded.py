"""A joining shard that survives the labels which it gives itself: a default that would ruin a model is not learned.

The row that ends a wait is not to blame for it. So where such a row comes out as a culprit, what it made the shard
learn is looked through: the first event whose default ruins a model expires without it, and the row is taken again.

Upholds `replay_equals_run`: the first default that ruins a model is the same however events were cut, and what is noted
of it (``LabelJoin.refused``) is needed only until its wait has ended, which it does with the row at hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from streamlearn.belt.guard import CanTell, Fault
from streamlearn.belt.labels import plan_kernels as kernels
from streamlearn.belt.labels.join import Portion
from streamlearn.belt.labels.shard import JoiningShard
from streamlearn.belt.shard import Outcome
from streamlearn.contracts import Learner, ShardState, Snapshot
from streamlearn.errors import LearnerError, LearnerOutOfMemory
from streamlearn.events import Examples, Features


@dataclass(frozen=True, slots=True)
class Ruin:
    """The first of some examples after which a learner is of no use."""

    place: int
    error: LearnerError | None = None  # what it raised; None: it is not finite


def first_that_ruins(learner: Learner, examples: Examples) -> Ruin | None:
    """Return the first example that ruins a learner, whose state is as before in the end."""
    before = learner.snapshot()
    found: Ruin | None = None
    start, size, at_start = 0, len(examples), before
    while start < len(examples) and size:
        error = None
        try:
            learner.predict_then_learn(examples.rows(start, start + size))
        except LearnerOutOfMemory:
            raise
        except LearnerError as raised:
            error = raised
        if error is None and (not isinstance(learner, CanTell) or learner.is_finite()):
            start += size
            at_start = learner.snapshot()
            continue
        found = Ruin(start, error)
        learner.restore(at_start)
        size //= 2
    learner.restore(before)
    return found


class SelfGuardedShard(JoiningShard):
    """Parameters are those of ``JoiningShard``."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._searches = False
        self._ruined: tuple[int, Ruin] | None = None  # what was found: an event that was kept, and by what

    def snapshot(self, extra: Mapping[str, Snapshot]) -> ShardState:
        """Return the state as it is now; it also serves as the way back from here on."""
        state = super().snapshot(extra)
        join = self.join
        join.refused = {row for row in join.refused if row >= join.kept.expire_row}
        return state

    def restore(self, state: ShardState) -> None:
        """Become what was snapshotted. Raises CheckpointRefused when the config has another shape."""
        super().restore(state)
        self.join.refused.clear()

    def _reject(self, event: pa.RecordBatch, fault: Fault) -> list[Outcome]:
        """Reject an event or a label for this fault, unless a default is the cause.

        1. Find the default that ruins a model. There is none: reject the row.
        2. Let its event expire without, and take the row again: there may be another.
        """
        while True:
            # Step 1.
            found = self._default_that_ruins(event)
            if found is None:
                return super()._reject(event, fault)
            row, ruin = found
            if ruin.error is not None and self._on_learner_error == "stop":
                raise LearnerError(
                    f"{ruin.error.what} (labels.on_expiry, for the event of id {self.join.kept.id_of(row)})",
                    remedy=f'{ruin.error.remedy}; or set stream.on_learner_error = "reject", which lets such events '
                    "expire without being learned",
                ) from ruin.error
            # Step 2.
            self.join.refused.add(row)
            outcomes, left = self._attempt(event)
            if left is None:
                return outcomes
            fault = left
            self._go_back()

    def _default_that_ruins(self, event: pa.RecordBatch) -> tuple[int, Ruin] | None:
        self._searches, self._ruined = True, None
        try:
            self._attempt(event)
        finally:
            self._searches = False
        self._go_back()
        return self._ruined

    def _examples_of(self, portion: Portion, features: Features | None) -> Examples:
        examples = super()._examples_of(portion, features)
        if self._searches:
            self._search(portion, examples)
        return examples

    def _search(self, portion: Portion, examples: Examples) -> None:
        """Note the first default that ruins a model, unless something else does before it."""
        found = [first_that_ruins(learner, examples) for learner in self.parts.learners]
        ruins = [ruin for ruin in found if ruin is not None]
        if not ruins:
            return
        self._searches = False
        first = min(ruins, key=lambda ruin: ruin.place)
        kind, delay = portion.kind_O[first.place], portion.delay_O[first.place]
        if kind == kernels.JUDGE_AND_LEARN and delay == kernels.NO_DELAY:
            self._ruined = int(portion.row_O[first.place]), first
