"""What is to be done, in the order of the stream, when events and labels come: compiled, row by row.

Nothing here looks at a feature, a prediction or the text of an id: ids are numbers of the batch (equal ids,
equal numbers), kept events are row numbers, counted over the shard's life. So a batch is planned before anything
of it is predicted, and how the stream was cut into batches shows nowhere (`replay_equals_run`).

The clock is the largest time of a row that was accepted. An event's wait begins at the clock at which it came, so
deadlines come in the order of the rows: a pointer that moves on is all that expiry takes.

Shape letters: B rows of a batch, D different ids in it, N kept events, E labels that came early, O operations.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streamlearn.events import Bool_B, Float_B, Int_B
from streamlearn.native import inlined, kernel

Byte_B = npt.NDArray[np.uint8]

# What a row of a batch is.
NOTHING, EVENT, LABEL = 0, 1, 2

# How a kept event stands. RESOLVED: its label came; EXPIRED: nothing of it was learned; DEFAULTED: it was learned with
# on_expiry.
PENDING, RESOLVED, EXPIRED, DEFAULTED = 0, 1, 2, 3

# An operation: predict an event; judge what was predicted and then learn; learn alone; learn with the weight that
# undoes the default.
PREDICT, JUDGE_AND_LEARN, LEARN, CORRECT = 0, 1, 2, 3

# on_late_label.
LATE_IGNORE, LATE_LEARN, LATE_CORRECT = 0, 1, 2

# Where in ``state`` what stands.
ROW, CLOCK, NEXT, EXPIRE, EARLY_HEAD, EARLY_END, EARLY_WAITING, OPERATIONS = 0, 1, 2, 3, 4, 5, 6, 7
STATE_SIZE = 8

# Where in ``policy`` what stands; times in microseconds, choices 0 or 1.
WAIT, REMEMBER, EARLY_WAIT, EARLY_MAX, HAS_DEFAULT, ON_LATE_LABEL, LEARNS_CORRECTIONS = 0, 1, 2, 3, 4, 5, 6
SEGMENT_ROWS = 7
POLICY_SIZE = 8

# Where in ``counts`` what stands: how events ended their wait, then what became of labels.
EVENTS_RESOLVED, EVENTS_EXPIRED, EVENTS_DEFAULTED, EVENTS_REFUSED, EVENTS_DUPLICATE = 0, 1, 2, 3, 4
JOINED, ORPHANED, DUPLICATE, LATE_IGNORED, LATE_LEARNED, LATE_CORRECTED = 5, 6, 7, 8, 9, 10
CORRECTION_IGNORED, CORRECTION_LEARNED = 11, 12
COUNTS_SIZE = 13

# What ``plan`` returns.
DONE, FULL, REFILL = 0, 1, 2

OPERATIONS_A_ROW = 2  # at most, expiries apart: predict, and learn a label that waited

NO_DELAY = -1


@inlined
def _may_be_learned_yet(status: int, policy: Int_B) -> bool:
    """Whether any label that may still come makes a kept event learned, or learned once more."""
    if status == PENDING:
        return True
    if status == RESOLVED:
        return bool(policy[LEARNS_CORRECTIONS])
    return bool(policy[ON_LATE_LABEL] != LATE_IGNORE)


@inlined
def _decide(
    policy: Int_B, status_N: Byte_B, first_status: int, first_open: int, state: Int_B, needed_N: Bool_B
) -> None:
    """Where a segment is full, decide of the one before it which events' features are sealed with it."""
    rows = policy[SEGMENT_ROWS]
    first = state[NEXT] - 2 * rows
    if state[NEXT] % rows == 0 and first >= first_open:
        for row in range(first, first + rows):
            needed_N[row - first_open] = _may_be_learned_yet(status_N[row - first_status], policy)


@inlined
def _operate(
    kind: int,
    row: int,
    label: float,
    source: int,
    delay_us: int,
    state: Int_B,
    kind_O: Byte_B,
    row_O: Int_B,
    label_O: Float_B,
    source_O: Int_B,
    delay_O: Int_B,
) -> None:
    at = state[OPERATIONS]
    kind_O[at] = kind
    row_O[at] = row
    label_O[at] = label
    source_O[at] = source
    delay_O[at] = delay_us
    state[OPERATIONS] = at + 1


@inlined
def _holds(ascending: Int_B, row: int) -> bool:
    if len(ascending) == 0:
        return False
    at = np.searchsorted(ascending, row)
    return bool(at < len(ascending) and ascending[at] == row)


@kernel
def plan(
    kind_B: Byte_B,
    time_us_B: Int_B,
    code_B: Int_B,
    label_B: Float_B,
    policy: Int_B,
    default_label: float,
    refused_M: Int_B,
    row_D: Int_B,
    clock_us_D: Int_B,
    label_D: Float_B,
    early_D: Int_B,
    status_N: Byte_B,
    first_status: int,
    open_clock_us: Int_B,
    first_open: int,
    sealed_clock_us: Int_B,
    first_sealed: int,
    early_label_E: Float_B,
    early_clock_us_E: Int_B,
    early_waits_E: Bool_B,
    early_code_E: Int_B,
    state: Int_B,
    counts: Int_B,
    duplicate_B: Bool_B,
    learned_B: Bool_B,
    needed_N: Bool_B,
    kind_O: Byte_B,
    row_O: Int_B,
    label_O: Float_B,
    source_O: Int_B,
    delay_O: Int_B,
) -> int:
    """Plan a batch from ``state[ROW]`` on; everything that it is given is brought up to date.

    Parameters
    ----------
    code_B
        For each row its id's number, below D.
    label_B
        Of labels: the index of the class, or the number.
    refused_M
        Kept events, ascending, that are not learned with the default when they expire: it would ruin a model.
    row_D, clock_us_D, label_D, early_D
        For each id: its kept event (-1: none), the clock at which that came, the label that it has (NaN: none), and
        the label that waits for it (-1: none).
    status_N, first_status
        How kept events stand, from this row on; with room for an event a row of the batch.
    open_clock_us, first_open
        The clock at which kept events came, from this row on, with the same room.
    sealed_clock_us, first_sealed
        The same of a run of earlier ones.
    early_..._E
        Labels that came before their events, oldest first, with room for one a row of the batch. ``early_code_E``
        is set for those that this batch brings.
    duplicate_B, learned_B
        Set where an event has the id of another one, and where a label is learned because of this row.
    needed_N
        From ``first_open`` on, with the same room: whether an event is sealed with its features. Decided when a
        segment's worth of events has come behind its own segment, so by their order alone.
    kind_O, row_O, label_O, source_O, delay_O
        The operations: what, on which kept event, with which label, because of which row of the batch, and how long
        after its event the label came.

    Returns
    -------
    DONE; FULL, when there may be no room for another operation; REFILL, when ``sealed_clock_us`` must begin at the
    row ``state[EXPIRE]``. Call again then: nothing is done twice.
    """
    wait_us, kept_us = policy[WAIT], policy[WAIT] + policy[REMEMBER]
    while state[ROW] < len(kind_B):
        at = state[ROW]
        kind = kind_B[at]
        if kind == NOTHING:
            state[ROW] += 1
            continue
        if state[OPERATIONS] + OPERATIONS_A_ROW > len(kind_O):
            return FULL
        code = code_B[at]
        # By the clock before this row: a rejected row moves nothing, the clock neither.
        if kind == EVENT and row_D[code] >= 0 and clock_us_D[code] + kept_us > state[CLOCK]:
            duplicate_B[at] = True
            counts[EVENTS_DUPLICATE] += 1
            state[ROW] += 1
            continue
        if time_us_B[at] > state[CLOCK]:
            now_us = time_us_B[at]
            while state[EXPIRE] < state[NEXT]:
                row = state[EXPIRE]
                if row >= first_open:
                    came_us = open_clock_us[row - first_open]
                elif first_sealed <= row < first_sealed + len(sealed_clock_us):
                    came_us = sealed_clock_us[row - first_sealed]
                else:
                    return REFILL
                if came_us + wait_us > now_us:
                    break
                if status_N[row - first_status] == PENDING:
                    if _holds(refused_M, row):
                        status_N[row - first_status] = EXPIRED
                        counts[EVENTS_REFUSED] += 1
                    elif policy[HAS_DEFAULT]:
                        if state[OPERATIONS] + OPERATIONS_A_ROW + 1 > len(kind_O):
                            return FULL
                        _operate(
                            JUDGE_AND_LEARN,
                            row,
                            default_label,
                            at,
                            NO_DELAY,
                            state,
                            kind_O,
                            row_O,
                            label_O,
                            source_O,
                            delay_O,
                        )
                        status_N[row - first_status] = DEFAULTED
                        counts[EVENTS_DEFAULTED] += 1
                    else:
                        status_N[row - first_status] = EXPIRED
                        counts[EVENTS_EXPIRED] += 1
                state[EXPIRE] += 1
            while state[EARLY_HEAD] < state[EARLY_END]:
                early = state[EARLY_HEAD]
                if early_waits_E[early]:
                    if early_clock_us_E[early] + policy[EARLY_WAIT] > now_us:
                        break
                    early_waits_E[early] = False
                    state[EARLY_WAITING] -= 1
                    counts[ORPHANED] += 1
                state[EARLY_HEAD] += 1
            state[CLOCK] = now_us
        clock_us = state[CLOCK]
        early = early_D[code]
        is_early = early >= 0 and early_waits_E[early]
        if kind == EVENT:
            row = state[NEXT]
            state[NEXT] += 1
            open_clock_us[row - first_open] = clock_us
            status_N[row - first_status] = PENDING
            row_D[code] = row
            clock_us_D[code] = clock_us
            label_D[code] = np.nan
            _operate(PREDICT, row, 0.0, at, NO_DELAY, state, kind_O, row_O, label_O, source_O, delay_O)
            if is_early:
                early_waits_E[early] = False
                state[EARLY_WAITING] -= 1
                status_N[row - first_status] = RESOLVED
                label_D[code] = early_label_E[early]
                counts[EVENTS_RESOLVED] += 1
                counts[JOINED] += 1
                learned_B[at] = True
                _operate(
                    JUDGE_AND_LEARN,
                    row,
                    early_label_E[early],
                    at,
                    0,
                    state,
                    kind_O,
                    row_O,
                    label_O,
                    source_O,
                    delay_O,
                )
            _decide(policy, status_N, first_status, first_open, state, needed_N)
            state[ROW] += 1
            continue
        label = label_B[at]
        row = row_D[code]
        if row < 0 or clock_us_D[code] + kept_us <= clock_us:
            row_D[code] = -1
            if is_early:
                if early_label_E[early] == label:
                    counts[DUPLICATE] += 1
                elif policy[LEARNS_CORRECTIONS]:
                    early_label_E[early] = label
                    counts[CORRECTION_LEARNED] += 1
                else:
                    counts[CORRECTION_IGNORED] += 1
            elif policy[EARLY_MAX] == 0:
                counts[ORPHANED] += 1
            else:
                while state[EARLY_WAITING] >= policy[EARLY_MAX]:
                    oldest = state[EARLY_HEAD]
                    if early_waits_E[oldest]:
                        early_waits_E[oldest] = False
                        state[EARLY_WAITING] -= 1
                        counts[ORPHANED] += 1
                    state[EARLY_HEAD] += 1
                early = state[EARLY_END]
                state[EARLY_END] += 1
                state[EARLY_WAITING] += 1
                early_label_E[early] = label
                early_clock_us_E[early] = clock_us
                early_waits_E[early] = True
                early_code_E[early] = code
                early_D[code] = early
            state[ROW] += 1
            continue
        status = status_N[row - first_status]
        delay_us = clock_us - clock_us_D[code]
        known = default_label if status == DEFAULTED else label_D[code]
        if status == PENDING:
            status_N[row - first_status] = RESOLVED
            label_D[code] = label
            counts[EVENTS_RESOLVED] += 1
            counts[JOINED] += 1
            learned_B[at] = True
            _operate(
                JUDGE_AND_LEARN,
                row,
                label,
                at,
                delay_us,
                state,
                kind_O,
                row_O,
                label_O,
                source_O,
                delay_O,
            )
        elif label == known:
            counts[DUPLICATE] += 1
        elif status == RESOLVED:
            if policy[LEARNS_CORRECTIONS]:
                label_D[code] = label
                counts[CORRECTION_LEARNED] += 1
                learned_B[at] = True
                _operate(LEARN, row, label, at, NO_DELAY, state, kind_O, row_O, label_O, source_O, delay_O)
            else:
                counts[CORRECTION_IGNORED] += 1
        elif policy[ON_LATE_LABEL] != LATE_IGNORE:
            # An event that was dropped was never judged; one that got the default was, by that.
            what = JUDGE_AND_LEARN
            if status == DEFAULTED:
                what = CORRECT if policy[ON_LATE_LABEL] == LATE_CORRECT else LEARN
            status_N[row - first_status] = RESOLVED
            label_D[code] = label
            counts[LATE_CORRECTED if what == CORRECT else LATE_LEARNED] += 1
            learned_B[at] = True
            _operate(what, row, label, at, delay_us, state, kind_O, row_O, label_O, source_O, delay_O)
        else:
            counts[LATE_IGNORED] += 1
        state[ROW] += 1
    return DONE
