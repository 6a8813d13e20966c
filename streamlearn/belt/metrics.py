"""What every metric is made of: sums that do not see batches, a logarithm that does not see the CPU, a window.

Shape letters: B judged events of a batch.

Upholds `replay_equals_run` for evaluation: a sum here is the same bits however the events were cut
into batches, since it always adds one event after the other to what it carried; and a ``Window``
holds the same events whatever came how.

A **tally** keeps the cumulative metrics of one task in memory that does not grow with the events. The
sliding metrics are a fresh tally that is given the events of the window, so both mean the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from streamlearn.events import Float_B

# What is kept of judged events: columns of one length, by name. A tally says which it needs.
Columns = Mapping[str, npt.NDArray[Any]]

_SQRT_HALF = math.sqrt(0.5)
_LN_2 = math.log(2.0)


class Tally(Protocol):
    """The metrics of one task over all events that it was given."""

    columns: ClassVar[Mapping[str, type[np.generic]]]  # what ``add`` needs, and each one's dtype

    def add(self, judged: Columns) -> None:
        """Count these events, in order."""
        ...

    def metrics(self) -> dict[str, float]:
        """The metrics that are defined by now, all finite. Changes nothing (`reads_are_pure`)."""
        ...

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """A copy of everything that was counted."""
        ...

    def restore(self, state: Columns) -> None:
        """Become what ``state`` returned."""
        ...


def sequential_sum(carried: float, values_B: Float_B) -> float:
    """Add the values to what was carried, strictly one after the other.

    ``numpy.sum`` adds in pairs, in an order that depends on where a batch ends; this does not.

    >>> tenths = np.full(10, 0.1)
    >>> sequential_sum(sequential_sum(0.0, tenths[:3]), tenths[3:]) == sequential_sum(0.0, tenths)
    True
    """
    terms = np.empty(len(values_B) + 1)
    terms[0] = carried
    terms[1:] = values_B
    return float(np.add.accumulate(terms)[-1])


def logarithm(x_B: Float_B) -> Float_B:
    """Return the natural logarithm of positive, normal numbers, within 4 units in the last place.

    ``numpy.log`` is one function on a CPU with AVX-512 and another one elsewhere, and their last bits
    differ; a sum of them would give one stream two digests. This takes exact steps and the four
    operations of IEEE 754 only: the same bits for a number wherever it stands, on every machine.
    Source: ln m = 2 artanh((m - 1) / (m + 1)), Abramowitz and Stegun 4.1.27 and 4.6.33.

    >>> logarithm(np.array([1.0, 0.25])).tolist() == [0.0, math.log(0.25)]
    True
    """
    mantissa_B, exponent_B = np.frexp(x_B)
    below_B = mantissa_B < _SQRT_HALF  # bring the mantissa around 1, where the series is short
    mantissa_B = np.where(below_B, mantissa_B * 2.0, mantissa_B)
    ratio_B = (mantissa_B - 1.0) / (mantissa_B + 1.0)
    square_B = ratio_B * ratio_B  # at most 0.0295, so the first term left out is below 2e-18
    series_B = np.full(len(x_B), 1.0 / 21.0)
    for odd in range(19, 0, -2):
        series_B *= square_B
        series_B += 1.0 / odd
    series_B *= 2.0 * ratio_B
    result: Float_B = (exponent_B - below_B) * _LN_2 + series_B
    return result


class Window:
    """The columns of the newest ``events_max`` judged events, in a ring.

    >>> window = Window(3, {"error": np.float64})
    >>> window.append({"error": np.array([1.0, 2.0])})
    >>> window.append({"error": np.array([3.0, 4.0])})
    >>> window.columns()["error"].tolist()
    [2.0, 3.0, 4.0]
    """

    def __init__(self, events_max: int, dtypes: Mapping[str, type[np.generic]]) -> None:
        assert events_max > 0
        self._events_max = events_max
        # Pages of zeros that nobody has written to cost no memory, so a long window grows as it fills.
        self._rings = {name: np.zeros(events_max, dtype) for name, dtype in dtypes.items()}
        self._events = 0
        self._next = 0

    def __len__(self) -> int:
        return self._events

    def append(self, columns: Columns) -> None:
        """Take these events in, in order, and let the oldest go."""
        count = len(next(iter(columns.values())))
        kept = min(count, self._events_max)
        until_end = min(kept, self._events_max - self._next)
        for name, ring in self._rings.items():
            newest = columns[name][count - kept :]
            ring[self._next : self._next + until_end] = newest[:until_end]
            ring[: kept - until_end] = newest[until_end:]
        self._next = (self._next + kept) % self._events_max
        self._events = min(self._events + kept, self._events_max)

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Return copies of the columns, oldest event first."""
        oldest = (self._next - self._events) % self._events_max
        if oldest + self._events <= self._events_max:
            return {name: ring[oldest : oldest + self._events].copy() for name, ring in self._rings.items()}
        return {
            name: np.concatenate((ring[oldest:], ring[: self._next])) for name, ring in self._rings.items()
        }
