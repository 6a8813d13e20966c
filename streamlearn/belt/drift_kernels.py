"""ADWIN and Page-Hinkley over a column of errors, compiled: the numbers of River's, event after event.

Upholds `replay_equals_run`: everything that a detector carries stands in the array that it is given, and the
errors are taken strictly in order, so where a batch ends makes no difference in any bit. After an alarm a
detector is fresh at once; River's keeps what made it alarm until the next error comes.

Every expression is written in the order in which River computes it, since another one gives other last bits.

Shape letters: B errors of a batch, L levels of ADWIN's buckets, E ends of buckets.
"""

from __future__ import annotations

import math

import numpy as np

from streamlearn.events import Float_B, Float_BF, Int_B
from streamlearn.native import inlined, kernel

# Defaults of ``river.drift.ADWIN`` that the config does not offer.
_CLOCK = 32  # errors between two looks for a change; past the grace period, which is 10, from the first on
_BUCKETS_MAX = 5  # of one size; one more makes the two oldest into one of twice the size
_HALF_MIN = 5.0  # fewest errors in either part of the window

# ADWIN's state, float64 (1 + L, 13). Row 0 is the window: how many errors, their sum, their squared deviations.
# Row 1 + i holds the buckets of 2**i errors each, oldest first: how many there are, their sums, their
# squared deviations. What is not used is 0.
ADWIN_LEVELS = 56  # a window of 2**58 errors: more than anybody lives to see
_SLOTS = _BUCKETS_MAX + 1
ADWIN_COLUMNS = 1 + 2 * _SLOTS
_WIDTH, _TOTAL, _VARIANCE = 0, 1, 2
_USED, _SUMS, _SQUARES = 0, 1, 1 + _SLOTS

# Page-Hinkley's state, float64 (6,): events, mean, faded sums of (deviation - delta) and of (deviation + delta),
# the first one's minimum, the second one's maximum.
PAGE_HINKLEY_FRESH = (0.0, 0.0, 0.0, 0.0, math.inf, -1.0)
_EVENTS_MIN = 30.0  # defaults of ``river.drift.PageHinkley``
_FADING = 1 - 0.0001


@kernel
def adwin(errors_B: Float_B, delta: float, state: Float_BF, alarms_B: Int_B) -> int:
    """Take the errors in; write the index of each alarm and return how many there were.

    Source: Bifet and Gavalda 2007, doi:10.1137/1.9781611972771.42; ``river.drift.ADWIN``.
    """
    alarms = 0
    ends_3E = np.empty((3, _SLOTS * ADWIN_LEVELS))
    for index in range(len(errors_B)):
        _insert(errors_B[index], state)
        # Nothing leaves the window but all of it, so its width is also the clock.
        if int(state[0, _WIDTH]) % _CLOCK == 0 and _has_cut(delta, state, ends_3E):
            state[:] = 0.0
            alarms_B[alarms] = index
            alarms += 1
    return alarms


@inlined
def _insert(error: float, state: Float_BF) -> None:
    """Add a bucket of one error to the window, and merge where there are too many of a size."""
    width = state[0, _WIDTH] + 1.0
    if width > 1.0:
        deviation = error - state[0, _TOTAL] / (width - 1.0)
        state[0, _VARIANCE] += (width - 1.0) * deviation * deviation / width
    state[0, _WIDTH] = width
    state[0, _TOTAL] += error
    total, squares = error, 0.0
    level, size = 1, 1.0
    while True:
        used = int(state[level, _USED])
        state[level, _SUMS + used] = total
        state[level, _SQUARES + used] = squares
        if used < _BUCKETS_MAX:
            state[level, _USED] = used + 1
            return
        older, newer = state[level, _SUMS], state[level, _SUMS + 1]
        between = older / size - newer / size
        total = older + newer
        squares = state[level, _SQUARES] + state[level, _SQUARES + 1] + size * 0.5 * between * between
        for slot in range(_SLOTS - 2):
            state[level, _SUMS + slot] = state[level, _SUMS + slot + 2]
            state[level, _SQUARES + slot] = state[level, _SQUARES + slot + 2]
        for slot in range(_SLOTS - 2, _SLOTS):  # what is not used is 0: the same state is the same bits
            state[level, _SUMS + slot] = 0.0
            state[level, _SQUARES + slot] = 0.0
        state[level, _USED] = _SLOTS - 2
        level, size = level + 1, size * 2.0


@inlined
def _has_cut(delta: float, state: Float_BF, ends_3E: Float_BF) -> bool:
    """Whether the window falls into an older and a newer part of different means, at any end of a bucket.

    ``ends_3E`` is room for what lies before and behind each end: how many errors before it, the sum of these,
    and the sum of the others.
    """
    width = state[0, _WIDTH]
    # ``math.log`` is the C library's, as River's is: one and the same bound on one machine.
    delta_prime = math.log(2.0 * math.log(width) / delta)
    variance = state[0, _VARIANCE] / width
    level, size = 1, 1.0
    while state[level + 1, _USED] > 0.0:
        level, size = level + 1, size * 2.0
    ends = 0
    older, older_total, newer_total = 0.0, 0.0, state[0, _TOTAL]
    while level > 0:
        for slot in range(int(state[level, _USED])):
            older += size
            older_total += state[level, _SUMS + slot]
            newer_total -= state[level, _SUMS + slot]
            ends_3E[0, ends], ends_3E[1, ends], ends_3E[2, ends] = older, older_total, newer_total
            ends += 1
        level, size = level - 1, size * 0.5
    cuts = 0
    for end in range(ends):  # with no way out and no branch, so that several ends are looked at at once
        older = ends_3E[0, end]
        newer = width - older
        harmonic = 1.0 / (older - _HALF_MIN + 1.0) + 1.0 / (newer - _HALF_MIN + 1.0)
        bound = math.sqrt(2.0 * harmonic * variance * delta_prime)
        bound += 2.0 / 3.0 * delta_prime * harmonic
        differs = abs(ends_3E[1, end] / older - ends_3E[2, end] / newer) > bound
        cuts += int(differs & (older >= _HALF_MIN) & (newer >= _HALF_MIN))
    return cuts > 0


@kernel
def page_hinkley(errors_B: Float_B, delta: float, threshold: float, state: Float_B, alarms_B: Int_B) -> int:
    """Take the errors in; write the index of each alarm and return how many there were.

    Source: Page 1954, doi:10.2307/2333009; ``river.drift.PageHinkley`` with its default mode "both".
    """
    alarms = 0
    events, mean, increase, decrease, lowest, highest = state
    for index in range(len(errors_B)):
        events += 1.0
        mean += (1.0 / events) * (errors_B[index] - mean)
        deviation = errors_B[index] - mean
        increase = _FADING * increase + deviation - delta
        decrease = _FADING * decrease + deviation + delta
        if increase < lowest:
            lowest = increase
        if decrease > highest:
            highest = decrease
        if events >= _EVENTS_MIN and (increase - lowest > threshold or highest - decrease > threshold):
            alarms_B[alarms] = index
            alarms += 1
            events, mean, increase, decrease, lowest, highest = PAGE_HINKLEY_FRESH
    state[0], state[1], state[2] = events, mean, increase
    state[3], state[4], state[5] = decrease, lowest, highest
    return alarms
