"""The join: which events wait, which labels meet them, and what is therefore to be done, in order.

Upholds `predict_before_learn` (an event is predicted by an operation of its own, before the one that learns it),
`learned_once` (a label resolves a pending event once; whatever else it may be has a name and a counter) and
`replay_equals_run` (all of it is a function of the rows in their order: see plan_kernels.py).

A batch goes through in portions: ``take`` it, ``plan`` until the last portion, keeping what each brings, ``finish``.

Shape letters: B rows of a batch, D different ids in it, O operations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamlearn.belt.labels import plan_kernels as kernels
from streamlearn.belt.labels.delays import DELAYS_SIZE, note_delays
from streamlearn.belt.labels.early import EarlyLabels
from streamlearn.belt.labels.ids import BatchIds
from streamlearn.belt.labels.kept import KeptEvents
from streamlearn.config import Labels
from streamlearn.contracts import Snapshot
from streamlearn.events import Bool_B, Float_B, Int_B

OPERATIONS_MAX = 65_536  # of one portion; a clock that leaps lets any number of events expire at once
_ON_LATE_LABEL = {
    "ignore": kernels.LATE_IGNORE,
    "learn": kernels.LATE_LEARN,
    "correct": kernels.LATE_CORRECT,
}
BEFORE_ALL_TIME_US = np.iinfo(np.int64).min // 4  # so that a wait may be added to it


@dataclass(slots=True)
class Taken:
    """A batch on its way through."""

    kind_B: npt.NDArray[np.uint8]
    time_us_B: Int_B
    ids: BatchIds
    label_B: Float_B
    row_D: Int_B
    clock_us_D: Int_B
    label_D: Float_B
    label_before_D: Float_B
    early_D: Int_B
    early_label_E: Float_B
    early_clock_us_E: Int_B
    early_waits_E: Bool_B
    early_code_E: Int_B
    state: Int_B
    counts: Int_B
    duplicate_B: Bool_B  # events that have the id of another one
    learned_B: Bool_B  # rows because of which a label is learned
    needed_N: Bool_B  # of events that are not sealed: whether they are to be with their features
    first_row: int  # of the events that this batch brings

    @property
    def events(self) -> int:
        """How many events it has brought so far."""
        return int(self.state[kernels.NEXT]) - self.first_row


@dataclass(frozen=True, slots=True)
class Portion:
    """Operations in their order, and which rows of the batch are dealt with by them."""

    start: int
    stop: int
    first_row: int  # of the events among these rows
    kind_O: npt.NDArray[np.uint8]
    row_O: Int_B
    label_O: Float_B
    source_O: Int_B
    delay_O: Int_B
    is_last: bool


class LabelJoin:
    """The state of the join in one shard.

    Parameters
    ----------
    labels
        The config section.
    default_label
        What an expired event is learned with: the index of its class, or the number; ``None``: it is dropped.
    kept
        Keeps the events.
    operations_max
        Most operations of a portion; changes no result.
    """

    def __init__(
        self,
        labels: Labels,
        default_label: float | None,
        kept: KeptEvents,
        operations_max: int = OPERATIONS_MAX,
    ) -> None:
        assert operations_max > kernels.OPERATIONS_A_ROW
        self.kept = kept
        self.early = EarlyLabels()
        self.clock_us = int(BEFORE_ALL_TIME_US)
        self.delays = np.zeros(DELAYS_SIZE, np.int64)
        # Rows of pending events whose default would ruin a model. Found by the guard, row by row; no state.
        self.refused: set[int] = set()
        self._default_label = np.nan if default_label is None else default_label
        self._operations_max = operations_max
        self._policy = np.zeros(kernels.POLICY_SIZE, np.int64)
        self._policy[kernels.WAIT] = round(labels.wait * 1e6)
        self._policy[kernels.REMEMBER] = round(labels.remember_seconds * 1e6)
        self._policy[kernels.EARLY_WAIT] = round(labels.early_seconds * 1e6)
        self._policy[kernels.EARLY_MAX] = labels.early_max
        self._policy[kernels.HAS_DEFAULT] = default_label is not None
        self._policy[kernels.ON_LATE_LABEL] = _ON_LATE_LABEL[labels.on_late_label]
        self._policy[kernels.LEARNS_CORRECTIONS] = labels.on_correction == "learn"
        self._policy[kernels.SEGMENT_ROWS] = kept.segment_rows
        self._bytes_max = labels.pending_bytes_max

    @property
    def default_label(self) -> float:
        """What an expired event is learned with; NaN: it is dropped."""
        return self._default_label

    @property
    def is_full(self) -> bool:
        """Whether as much is kept as may be: no more events, until some are forgotten."""
        return self.kept.nbytes >= self._bytes_max

    @property
    def pending(self) -> int:
        """Events that wait for their labels."""
        return int(np.count_nonzero(self.kept.statuses == kernels.PENDING))

    def take(
        self, tokens: pa.Array, kind_B: npt.NDArray[np.uint8], time_us_B: Int_B, label_B: Float_B
    ) -> Taken:
        """Look up what is known of a batch's ids.

        Parameters
        ----------
        tokens
            The rows' ids, null where ``kind_B`` is ``NOTHING``.
        """
        ids = BatchIds(tokens, kind_B != kernels.NOTHING)
        row_D, clock_us_D, label_D = self.kept.lookup(ids)
        labels = int(np.count_nonzero(kind_B == kernels.LABEL))
        events = int(np.count_nonzero(kind_B == kernels.EVENT))
        self.kept.reserve(events)
        waiting = len(self.early)
        state = np.zeros(kernels.STATE_SIZE, np.int64)
        state[kernels.CLOCK] = self.clock_us
        state[kernels.NEXT], state[kernels.EXPIRE] = self.kept.next_row, self.kept.expire_row
        state[kernels.EARLY_END] = state[kernels.EARLY_WAITING] = waiting
        return Taken(
            kind_B,
            time_us_B,
            ids,
            label_B,
            row_D,
            clock_us_D,
            label_D,
            label_D.copy(),
            self.early.lookup(ids),
            np.concatenate((self.early.label_E, np.empty(labels))),
            np.concatenate((self.early.clock_us_E, np.empty(labels, np.int64))),
            np.concatenate((np.ones(waiting, np.bool_), np.zeros(labels, np.bool_))),
            np.zeros(waiting + labels, np.int64),
            state,
            np.zeros(kernels.COUNTS_SIZE, np.int64),
            np.zeros(len(kind_B), np.bool_),
            np.zeros(len(kind_B), np.bool_),
            np.zeros(self.kept.open.count + events, np.bool_),
            self.kept.next_row,
        )

    def plan(self, taken: Taken) -> Portion:
        """Return the next operations. The events among its rows must be kept before the next call."""
        room = min(2 * kernels.OPERATIONS_A_ROW * len(taken.kind_B) + 1024, self._operations_max)
        kind_O, row_O, label_O = np.empty(room, np.uint8), np.empty(room, np.int64), np.empty(room)
        source_O, delay_O = np.empty(room, np.int64), np.empty(room, np.int64)
        kept, state = self.kept, taken.state
        start, first_row = int(state[kernels.ROW]), int(state[kernels.NEXT])
        state[kernels.OPERATIONS] = 0
        sealed_clock_us, first_sealed = np.empty(0, np.int64), 0
        refused_M = np.array(sorted(self.refused), np.int64)
        while True:
            ended = kernels.plan(
                taken.kind_B,
                taken.time_us_B,
                taken.ids.code_B,
                taken.label_B,
                self._policy,
                self._default_label,
                refused_M,
                taken.row_D,
                taken.clock_us_D,
                taken.label_D,
                taken.early_D,
                kept.status_N,
                kept.first_status,
                kept.open.clocks_us,
                kept.open.first_row,
                sealed_clock_us,
                first_sealed,
                taken.early_label_E,
                taken.early_clock_us_E,
                taken.early_waits_E,
                taken.early_code_E,
                state,
                taken.counts,
                taken.duplicate_B,
                taken.learned_B,
                taken.needed_N,
                kind_O,
                row_O,
                label_O,
                source_O,
                delay_O,
            )
            if ended != kernels.REFILL:
                break
            # A segment's cannot be written to; the kernel is compiled for one that can.
            clock_us, first_sealed = kept.expiring_clocks(int(state[kernels.EXPIRE]))
            sealed_clock_us = clock_us if clock_us.flags.writeable else clock_us.copy()
        count = int(state[kernels.OPERATIONS])
        return Portion(
            start,
            int(state[kernels.ROW]),
            first_row,
            kind_O[:count],
            row_O[:count],
            label_O[:count],
            source_O[:count],
            delay_O[:count],
            ended == kernels.DONE,
        )

    def finish(self, taken: Taken) -> None:
        """All of a batch was planned, and its events are kept, with what was said of them. Raises CheckpointError."""
        kept, state = self.kept, taken.state
        assert kept.next_row == state[kernels.NEXT], "every event that was planned is kept"
        changed = taken.label_D != taken.label_before_D
        changed &= ~np.isnan(taken.label_D) & (taken.row_D >= 0)
        kept.set_labels(taken.row_D[changed], taken.label_D[changed])
        new = slice(len(self.early), int(state[kernels.EARLY_END]))
        new_ids = taken.ids.tokens(taken.early_code_E[new])
        until = slice(0, new.stop)
        self.early.become(
            new_ids, taken.early_label_E[until], taken.early_clock_us_E[until], taken.early_waits_E[until]
        )
        self.clock_us = int(state[kernels.CLOCK])
        kept.expire_row = int(state[kernels.EXPIRE])
        kept.index(taken.first_row)
        kept.seal(taken.needed_N)  # before anything is forgotten: what is sealed depends on the rows alone
        kept.retire(self.clock_us - int(self._policy[kernels.WAIT] + self._policy[kernels.REMEMBER]))

    def note_delays(self, delay_us: Int_B) -> None:
        """Count how long labels took."""
        note_delays(self.delays, delay_us)

    def snapshot(self) -> Snapshot:
        """Return the state; sealed segments are named and not copied."""
        kept, early = self.kept.snapshot(), self.early.snapshot()
        data = {**kept.data, "clock_us": self.clock_us}
        return Snapshot(data=data, arrays={**kept.arrays, **early.arrays, "delays": self.delays.copy()})

    def restore(self, snapshot: Snapshot) -> None:
        """Become what was snapshotted. Raises CheckpointCorrupt where a segment is gone or does not verify."""
        self.kept.restore(snapshot)
        self._policy[kernels.SEGMENT_ROWS] = self.kept.segment_rows
        self.early.restore(snapshot)
        self.clock_us = int(snapshot.data["clock_us"])
        self.delays = np.array(snapshot.arrays["delays"])

    @property
    def segment_names(self) -> tuple[str, ...]:
        """The sealed segments that a checkpoint of this state needs, oldest first."""
        return self.kept.segment_names

    @property
    def segments_from(self) -> int:
        """The row before which no segment is needed, now or ever again."""
        return self.kept.segments_from
