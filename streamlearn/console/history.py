"""The past hour, thinned out: what the charts show to somebody who opens the page late.

Memory is bounded twice: what is older than an hour goes, and when the ring is full, every second point goes
and the next ones are taken half as often, so that the whole hour stays in view at an even spacing.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from threading import Lock

from streamlearn.console.status import DriftAlarm, Status

POINTS_MAX = 1200  # more than a chart has pixels to spare for is of no use
HISTORY_SECONDS = 3600.0
ALARMS_MAX = 1000
WINDOWS = ("sliding", "fading", "cumulative")
PARTITIONS_MAX = 16  # of more than so many partitions only the whole lag is kept


@dataclass(frozen=True, slots=True)
class Point:
    at_seconds: float  # seconds since 1970
    event_time_seconds: float | None  # the largest learned by then
    events_per_second: float
    lag_events: int | None
    lags: dict[str, int]  # partition -> lag
    scores: dict[str, dict[str, dict[str, float]]]  # window -> model or baseline -> metric -> value


@dataclass(frozen=True, slots=True)
class Past:
    points: tuple[Point, ...]  # oldest first
    alarms: tuple[DriftAlarm, ...]  # oldest first


class History:
    """A bounded ring of points, and the drift alarms that came meanwhile.

    Parameters
    ----------
    points_max
        Most points kept.
    seconds
        How far back they go.

    Threads may share it.

    >>> history = History(points_max=4)
    >>> for second in range(1, 10):
    ...     history.add(Status("s", "binary", "stream", "leader", at_seconds=float(second)))
    >>> [point.at_seconds for point in history.past().points]
    [1.0, 5.0, 9.0]
    """

    def __init__(self, points_max: int = POINTS_MAX, seconds: float = HISTORY_SECONDS) -> None:
        assert points_max >= 2, "a line needs two points"
        self._points_max = points_max
        self._seconds = seconds
        self._points: list[Point] = []
        self._alarms: deque[DriftAlarm] = deque(maxlen=ALARMS_MAX)
        self._alarms_total = 0
        self._last_at = 0.0
        self._stride = 1  # one in so many offered points is kept
        self._offered = 0
        self._lock = Lock()

    def add(self, status: Status) -> None:
        """Offer a picture. Nothing is kept of one that is no newer than the last one kept."""
        with self._lock:
            if status.at_seconds <= self._last_at:  # 0: the daemon has not taken one yet
                return
            self._last_at = status.at_seconds
            new_alarms = status.drift_alarms_total - self._alarms_total
            if new_alarms > 0:
                self._alarms.extend(status.drift_alarms[-new_alarms:])
                self._alarms_total = status.drift_alarms_total
            self._offered += 1
            if (self._offered - 1) % self._stride:
                return
            self._points.append(_point(status))
            oldest = status.at_seconds - self._seconds
            while self._points[0].at_seconds < oldest:
                self._points.pop(0)
            if len(self._points) > self._points_max:
                self._points = self._points[::2]
                self._stride *= 2

    def past(self) -> Past:
        """Return what is kept."""
        with self._lock:
            return Past(tuple(self._points), tuple(self._alarms))


def _point(status: Status) -> Point:
    lags = {
        f"{each.topic}[{each.partition}]": each.lag_events
        for each in status.partitions
        if each.lag_events is not None
    }
    return Point(
        status.at_seconds,
        status.event_time_seconds,
        round(status.events_per_second, 1),
        sum(lags.values()) if lags else None,
        lags if len(lags) <= PARTITIONS_MAX else {},
        {
            window: {
                model.name: _short(getattr(model, window)) for model in (*status.models, *status.baselines)
            }
            for window in WINDOWS
        },
    )


def _short(metrics: dict[str, float]) -> dict[str, float]:
    """Return six digits of each value: more than a chart shows, and half the bytes of an hour."""
    return {metric: float(f"{value:.6g}") for metric, value in metrics.items()}
