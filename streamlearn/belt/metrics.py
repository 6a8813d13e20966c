"""What the metrics of every task are made of: a tally of all events, and a window of the newest ones.

Upholds `replay_equals_run` for evaluation: a ``Window`` holds the same events whatever came how, and a tally
counts in compiled loops (metrics_kernels.py) that see events and no batches.

A **tally** keeps the cumulative metrics of one task in memory that does not grow with the events. The
sliding metrics are a fresh tally that is given the events of the window, so both mean the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

# What is kept of judged events: columns of one length, by name. A tally says which it needs.
Columns = Mapping[str, npt.NDArray[Any]]


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
            newest = columns[name]
            if until_end == count:  # nearly always, and half the work for a small batch
                ring[self._next : self._next + count] = newest
                continue
            newest = newest[count - kept :]
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
