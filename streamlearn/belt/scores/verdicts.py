"""Is this model better than that one? An answer that is valid whenever it is looked at.

A test that is repeated while events come in finds a difference sooner or later, whether there is one or not.
A **confidence sequence** holds at all times at once: the probability that it ever leaves out the truth stays below
a level that is stated before. So a verdict may be looked at after every event, and acted on when it comes.

What is compared is the **advantage** of one model over another on the events that both were judged on: how much
smaller its error was, in -1..1. For classes that is 1 where it alone was right and -1 where the other one was;
for scores the difference of their distances from the label; for real targets the difference of the absolute
errors as a share of their sum, which no outlier and no unit can dominate. The truth is the mean of what could be
expected of each event before it came; it may change over time, and need not be the same for any two events.

Sources: Howard, Ramdas, McAuliffe, Sekhon 2021, doi:10.1214/20-AOS1991, theorem 4 (empirical Bernstein) with the
boundary of equation 10 (stitching); Choe and Ramdas 2023, doi:10.1287/opre.2021.0792, for comparing forecasters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any, Literal, NamedTuple

import numpy as np

from streamlearn.belt.scores.kernels import compare_pairs
from streamlearn.config import Task
from streamlearn.contracts import Snapshot
from streamlearn.events import Float_BC

Word = Literal["better", "worse", "too early to tell"]

# The boundary's shape; any choice is valid. They are those of the paper's section 3.1, but for the first one: the sum
# of squares from which on the boundary is made to be tight.
_SQUARES_FROM = 10.0
_ETA = 2.0
_S = 1.4
_ZETA_S = 3.105547
_RANGE = 2.0  # of an advantage: from -1 to 1


class Verdict(NamedTuple):
    """How a model stands to another. ``lower`` and ``upper`` enclose its true mean advantage, in -1..1."""

    model: str
    against: str
    word: Word
    advantage: float
    lower: float
    upper: float
    events: int  # that both were judged on

    def as_json(self) -> dict[str, Any]:
        return {
            "against": self.against,
            "verdict": self.word,
            "advantage": self.advantage,
            "lower": self.lower,
            "upper": self.upper,
            "events": self.events,
        }


def boundary(squares: float, error: float) -> float:
    """Return what a sum of deviations in a range of 2 ever exceeds with at most this probability.

    Parameters
    ----------
    squares
        Sum of the squared distances of the values from what was predicted of them.
    error
        Probability, above 0 and below 1.

    >>> round(boundary(100.0, 0.025), 1), round(boundary(10_000.0, 0.025), 1)
    (57.7, 430.6)
    """
    v = max(squares, _SQUARES_FROM)
    level = _S * math.log(math.log(_ETA * v / _SQUARES_FROM)) + math.log(
        _ZETA_S / (error * math.log(_ETA) ** _S)
    )
    k1 = (_ETA**0.25 + _ETA**-0.25) / math.sqrt(2.0)
    k2 = (math.sqrt(_ETA) + 1.0) / 2.0
    linear = k2 * _RANGE * level
    return math.sqrt(k1 * k1 * v * level + linear * linear) + linear


class Verdicts:
    """Compares each model with each baseline, and with each other model.

    Parameters
    ----------
    models, baselines
        Their names; together, and in this order, the rows of the errors that ``update`` takes.
    task
        Whether errors have a bound of their own.

    >>> verdicts = Verdicts(["good"], ["bad"], "binary")
    >>> verdicts.update(np.array([[0.0] * 200, [0.0, 1.0] * 100]))
    >>> [(verdict.against, verdict.word, verdict.advantage) for verdict in verdicts.told(0.05)]
    [('bad', 'better', 0.5)]
    """

    def __init__(self, models: Sequence[str], baselines: Sequence[str], task: Task) -> None:
        self._models = frozenset(models)
        places = {name: place for place, name in enumerate([*models, *baselines])}
        among = list(combinations(models, 2))
        self._pairs = [*((model, baseline) for model in models for baseline in baselines), *among]
        self._pair_P2 = np.array(
            [(places[one], places[other]) for one, other in self._pairs], np.int64
        ).reshape(-1, 2)
        self._is_relative = task == "regression"
        self.state_P3: Float_BC = np.zeros((len(self._pairs), 3))

    def update(self, error_LB: Float_BC) -> None:
        """Take errors in, in shard order: L learners x B events, not negative, NaN where one was not judged."""
        compare_pairs(error_LB, self._pair_P2, self._is_relative, self.state_P3)

    def told(self, error: float, others: Sequence[Verdicts] = ()) -> list[Verdict]:
        """Return the verdicts, those among models both ways round.

        Parameters
        ----------
        error
            The probability that any of these verdicts is ever wrong, over the whole life of the stream.
        others
            The same comparisons in other shards: what each has seen adds up.
        """
        found: list[Verdict] = []
        state_P3 = self.state_P3 + sum(other.state_P3 for other in others)
        for (model, against), (events, total, squares) in zip(self._pairs, state_P3.tolist(), strict=True):
            if not events:
                found.append(Verdict(model, against, "too early to tell", 0.0, -1.0, 1.0, 0))
            else:
                # Both sides of each comparison may be wrong.
                reach = boundary(squares, error / (2 * len(self._pairs))) / events
                advantage = total / events
                lower, upper = max(-1.0, advantage - reach), min(1.0, advantage + reach)
                word = _word(lower, upper)
                found.append(Verdict(model, against, word, advantage, lower, upper, int(events)))
        return found + [_turned(verdict) for verdict in found if verdict.against in self._models]

    def snapshot(self) -> Snapshot:
        """Return a copy of the whole state."""
        return Snapshot(
            data={"pairs": [list(pair) for pair in self._pairs]}, arrays={"sums": self.state_P3.copy()}
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Become what was snapshotted; its models are the config's, as the shard has checked."""
        assert snapshot.data["pairs"] == [list(pair) for pair in self._pairs]
        self.state_P3 = np.array(snapshot.arrays["sums"], np.float64)


def _word(lower: float, upper: float) -> Word:
    if lower > 0.0:
        return "better"
    return "worse" if upper < 0.0 else "too early to tell"


def _turned(verdict: Verdict) -> Verdict:
    words: dict[Word, Word] = {"better": "worse", "worse": "better", "too early to tell": "too early to tell"}
    return Verdict(
        verdict.against,
        verdict.model,
        words[verdict.word],
        -verdict.advantage,
        -verdict.upper,
        -verdict.lower,
        verdict.events,
    )
