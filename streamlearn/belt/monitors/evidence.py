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

# More blocks see smaller changes; fewer, longer ones bear more dependence between events. No evidence is above the
# root of their number, about 7.1, which bounds what alarm probability can be asked for: 3e-11.
BLOCKS = 50

Float_KSF = npt.NDArray[np.float64]


def evidence(reference_KSF: Float_KSF, present_KSF: Float_KSF) -> Float_BF:
    """Return |sum D| / sqrt(sum D^2) of each statistic, in 0..sqrt(K); a pair that has no finite difference counts as 0.

    >>> calm, moved = np.array([0.0, 1.0, 0.0, 1.0]), np.array([5.0, 6.0, 6.0, 5.0])
    >>> shape = (4, 1, 1)
    >>> evidence(calm.reshape(shape), calm[::-1].reshape(shape)), evidence(calm.reshape(shape), moved.reshape(shape)).round(2)
    (array([[0.]]), array([[1.98]]))
    """
    with np.errstate(invalid="ignore", over="ignore"):
        difference_KSF = present_KSF - reference_KSF
        # Of the largest one, so that no square leaves float64.
        difference_KSF = np.where(np.isfinite(difference_KSF), difference_KSF, 0.0)
        largest_SF = np.abs(difference_KSF).max(axis=0)
        difference_KSF = difference_KSF / np.where(largest_SF > 0.0, largest_SF, 1.0)
    norm_SF = np.sqrt(np.square(difference_KSF).sum(axis=0))
    found: Float_BF = np.abs(difference_KSF.sum(axis=0)) / np.where(norm_SF > 0.0, norm_SF, 1.0)
    return found


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
