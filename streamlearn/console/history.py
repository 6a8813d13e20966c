"""The scores so far, thinned out: what the chart shows to somebody who opens the page late.

Points stand at event times and only go forward, so a chart over event time is a line. Memory is
bounded: when it is full, every second point goes and the next ones are taken half as often, so that
the whole past stays in view at an even spacing.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

from streamlearn.console.status import Status


@dataclass(frozen=True, slots=True)
class Point:
    event_time_seconds: float
    scores: dict[str, dict[str, float]]  # model or baseline -> metric -> sliding value


class History:
    """A bounded list of points.

    Parameters
    ----------
    points_max
        Most points kept; more than a chart has pixels to spare for is of no use.

    Threads may share it.

    >>> history = History(points_max=4)
    >>> for second in range(9):
    ...     history.add(Status("s", "binary", "stream", "leader", event_time_seconds=float(second)))
    >>> [point.event_time_seconds for point in history.points()]
    [0.0, 4.0, 8.0]
    """

    def __init__(self, points_max: int = 600) -> None:
        assert points_max >= 2, "a line needs two points"
        self._points_max = points_max
        self._points: list[Point] = []
        self._stride = 1  # one in so many offered points is kept
        self._offered = 0
        self._lock = Lock()

    def add(self, status: Status) -> None:
        """Offer a picture. Nothing is kept of one that has no newer event time than the last one kept."""
        time = status.event_time_seconds
        if time is None:
            return
        with self._lock:
            if self._points and time <= self._points[-1].event_time_seconds:
                return
            self._offered += 1
            if (self._offered - 1) % self._stride:
                return
            scored = (*status.models, *status.baselines)
            self._points.append(Point(time, {model.name: dict(model.sliding) for model in scored}))
            if len(self._points) > self._points_max:
                self._points = self._points[::2]
                self._stride *= 2

    def points(self) -> list[Point]:
        """Return the points, oldest first."""
        with self._lock:
            return list(self._points)
