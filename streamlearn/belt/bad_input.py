"""Stops a shard whose input is not what the event contract says, before all of it is dead letters.

A stream of which everything is rejected learns nothing, and says so only in a counter. This station counts over
the newest events of the shard and raises once the rejected ones are more than the configured share.

Upholds `replay_equals_run`: the window is shard state, counted in events, so the same event stops the shard
however events were cut into batches, after a restart, too, until somebody mends the input or the config.

Shape letters: B events of a batch, W events of the window.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamlearn.contracts import Snapshot
from streamlearn.errors import TooManyRejected
from streamlearn.events import Reason

WINDOW_EVENTS = 10_000  # a stop takes as many; fewer bad ones after a deploy are dead letters, not a stop
REASONS_SHOWN = 3

OF_LEARNING = (Reason.NON_FINITE_LEARNING, Reason.LEARNER_FAILED)
LEARNING_REMEDY = (
    "a model takes no event any more: scale its inputs (preprocessing.StandardScaler), lower its learning rate, "
    "mend it or take it out, and start anew under another checkpoint.path or from an older checkpoint"
)
INPUT_REMEDY = (
    "compare the [event] section with what the producers write now (the dead letters keep every event's bytes and "
    "reason); or raise stream.rejected_ratio_max, where 1.0 never stops"
)

Reason_B = npt.NDArray[np.uint8]


class InputWatch:
    """The reasons of the newest events of a shard, and the share of rejected ones that is too much.

    Parameters
    ----------
    rejected_ratio_max
        Above 0 and at most 1; more than this share of the last ``window_events`` stops the shard, so 1
        stops nothing. Nothing is stopped before there were so many events.
    window_events
        Events of the window.
    """

    def __init__(self, rejected_ratio_max: float, window_events: int = WINDOW_EVENTS) -> None:
        assert 0 < rejected_ratio_max <= 1
        self._ratio_max = rejected_ratio_max
        self._rejected_max = int(np.floor(rejected_ratio_max * window_events))
        self._window_events = window_events
        self._reason_W: Reason_B = np.zeros(0, np.uint8)  # oldest first
        self._rejected = 0

    def note(self, events: pa.RecordBatch) -> None:
        """Count the next events of the shard, with the reasons that stand in the end.

        Raises
        ------
        TooManyRejected
            At some event, more of the window than allowed was rejected. What to do: see its remedy.
        """
        reason_B: Reason_B = events.column("reason").to_numpy()
        rejected = int(np.count_nonzero(reason_B))
        # Oldest first; the window at each of the new events is part of it.
        reason_W = np.concatenate((self._reason_W, reason_B))
        if self._rejected + rejected > self._rejected_max:
            self._look_at_each_event(events, reason_W)
        self._reason_W = reason_W[-self._window_events :]
        dropped = reason_W[: -self._window_events]
        self._rejected += rejected - int(np.count_nonzero(dropped))

    def _look_at_each_event(self, events: pa.RecordBatch, reason_W: Reason_B) -> None:
        before = np.concatenate(([0], np.cumsum(reason_W != Reason.ACCEPTED)))
        rejected_B = before[self._window_events :] - before[: -self._window_events]
        over = np.flatnonzero(rejected_B > self._rejected_max)
        if len(over):
            first = int(over[0])
            raise self._error(events, reason_W[first : first + self._window_events])

    def _error(self, events: pa.RecordBatch, reason_W: Reason_B) -> TooManyRejected:
        counts = np.bincount(reason_W, minlength=len(Reason))
        counts[Reason.ACCEPTED] = 0
        rejected = int(counts.sum())
        commonest = np.argsort(-counts, kind="stable")[:REASONS_SHOWN]
        shares = ", ".join(
            f"{Reason(code).label} {counts[code] / self._window_events:.1%}"
            for code in commonest.tolist()
            if counts[code]
        )
        return TooManyRejected(
            f"{rejected / self._window_events:.1%} of the last {self._window_events:,} events were rejected, more "
            f"than stream.rejected_ratio_max = {self._ratio_max:g}: {shares}; {_sample(events, int(commonest[0]))}",
            remedy=LEARNING_REMEDY if commonest[0] in OF_LEARNING else INPUT_REMEDY,
        )

    def snapshot(self) -> Snapshot:
        """Return a copy of the window."""
        return Snapshot(
            data={"window_events": self._window_events}, arrays={"reasons": self._reason_W.copy()}
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Become what was snapshotted; of a longer window, the newest events."""
        self._reason_W = np.array(snapshot.arrays["reasons"], np.uint8)[-self._window_events :]
        self._rejected = int(np.count_nonzero(self._reason_W))


def _sample(events: pa.RecordBatch, reason: int) -> str:
    """Show one event of the commonest reason, or the last rejected one; the dead letters have those before."""
    reason_B = events.column("reason").to_numpy()
    rows = np.flatnonzero(reason_B == reason)
    if not len(rows):
        rows = np.flatnonzero(reason_B != Reason.ACCEPTED)
    if not len(rows):
        return "see the dead letters"
    row = int(rows[-1])
    partition, offset = events.column("partition")[row].as_py(), events.column("offset")[row].as_py()
    detail = events.column("detail")[row].as_py()
    return f"such as partition {partition} offset {offset}: {detail or Reason(int(reason_B[row])).label}"
