"""Whether two windows differ, at a probability of error that can be proven.

Both windows are cut into as many blocks. Where nothing has changed, a block and the one that stands at its place in
the other window could as well be exchanged, so the difference of any statistic of theirs is as often so much above 0
as below. Of K independent such differences D, whatever their distribution and however heavy its tails,

    P(|sum D| >= x * sqrt(sum D^2)) <= 2 exp(-x^2 / 2)

Sources: Hoeffding 1963, doi:10.1080/01621459.1963.10500830, applied to the signs given the sizes; Efron 1969,
"Student's t-test under symmetry conditions", JASA 64. Blocks in place of events, so that events may depend on those
near them: batch means, Conway 1963, doi:10.1287/mnsc.10.1.47.

Shape letters: K blocks of a window, S statistics, F columns.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from streamlearn.events import Float_B, Float_BF
from streamlearn.native import uncounted, uncounted_inlined

# More blocks see smaller changes; fewer, longer ones bear more dependence between events. No evidence is above the
# root of their number, about 7.1, which bounds what alarm probability can be asked for: 3e-11.
BLOCKS = 50

Float_KSF = npt.NDArray[np.float64]


@uncounted
def compare(
    reference_KSF: Float_KSF,
    present_KSF: Float_KSF,
    reference_SF: Float_BF,
    present_SF: Float_BF,
    evidence_SF: Float_BF,
    sum_7F: Float_BF,
) -> None:
    """Set the means of both windows' blocks, and |sum D| / sqrt(sum D^2) of each statistic, in 0..sqrt(K).

    A mean is over the blocks that have the statistic, NaN where none has; a pair that has no finite difference
    counts as 0. Every sum adds one block after the other.

    Parameters
    ----------
    sum_7F
        Room for what is added up of one statistic.

    >>> calm, moved = np.array([0.0, 1.0, 0.0, 1.0]), np.array([5.0, 6.0, 6.0, 5.0])
    >>> shape, found = (4, 1, 1), np.empty((3, 1, 1))
    >>> compare(calm.reshape(shape), moved.reshape(shape), *found, np.empty((7, 1)))
    >>> found.ravel().round(2).tolist()
    [0.5, 5.5, 1.98]
    """
    blocks, statistics, columns = reference_KSF.shape
    largest_F, difference_F, square_F = sum_7F[0], sum_7F[1], sum_7F[2]
    for statistic in range(statistics):
        for each in range(len(sum_7F)):
            for column in range(columns):
                sum_7F[each, column] = 0.0
        for block in range(blocks):
            was_F, is_F = reference_KSF[block, statistic], present_KSF[block, statistic]
            _add_finite(was_F, sum_7F[3], sum_7F[4])
            _add_finite(is_F, sum_7F[5], sum_7F[6])
            for column in range(columns):
                distance = abs(is_F[column] - was_F[column])
                distance = distance if distance < math.inf else 0.0  # NaN is not, either
                largest_F[column] = distance if distance > largest_F[column] else largest_F[column]
        for column in range(columns):
            largest_F[column] = largest_F[column] if largest_F[column] > 0.0 else 1.0
        for block in range(blocks):
            was_F, is_F = reference_KSF[block, statistic], present_KSF[block, statistic]
            for column in range(columns):
                difference = is_F[column] - was_F[column]
                difference = difference if abs(difference) < math.inf else 0.0
                difference = difference / largest_F[column]  # so that no square leaves float64
                difference_F[column] += difference
                square_F[column] += difference * difference
        for column in range(columns):
            norm = math.sqrt(square_F[column])
            evidence_SF[statistic, column] = abs(difference_F[column]) / (norm if norm > 0.0 else 1.0)
            reference_SF[statistic, column] = sum_7F[3, column] / sum_7F[4, column]
            present_SF[statistic, column] = sum_7F[5, column] / sum_7F[6, column]


@uncounted_inlined
def _add_finite(value_F: Float_B, sum_F: Float_B, count_F: Float_B) -> None:
    for column in range(len(value_F)):
        is_finite = abs(value_F[column]) < math.inf
        sum_F[column] += value_F[column] if is_finite else 0.0
        count_F[column] += 1.0 if is_finite else 0.0


def threshold(alarm_probability: float) -> float:
    """Return the evidence at which the probability of a false alarm is at most this, in (0, 1).

    >>> round(threshold(1e-4), 2)
    4.45
    """
    return math.sqrt(2.0 * math.log(2.0 / alarm_probability))


def distance(reference_S: Float_B, present_S: Float_B) -> float:
    """Return the Jensen-Shannon distance of two distributions over the same bins, in 0..1.

    Source: Endres and Schindelin 2003, doi:10.1109/TIT.2003.813506, with logarithms to the base of 2.

    >>> distance(np.array([0.5, 0.5]), np.array([0.5, 0.5])), distance(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    (0.0, 1.0)
    """
    middle_S = (reference_S + present_S) / 2.0

    def entropy_to_middle(share_S: Float_B) -> float:
        shown = share_S > 0.0
        return float(np.sum(share_S[shown] * np.log2(share_S[shown] / middle_S[shown])))

    return math.sqrt(max(0.0, (entropy_to_middle(reference_S) + entropy_to_middle(present_S)) / 2.0))
