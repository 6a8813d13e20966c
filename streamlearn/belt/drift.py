"""Detect drift: ADWIN and Page-Hinkley on a model's error, event by event, as River runs them.

Upholds `replay_equals_run`: a detector's state is a pure function of the errors in order. After an alarm a
detector starts afresh, as River's do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from river import drift

from streamlearn.config import Drift
from streamlearn.contracts import Snapshot
from streamlearn.errors import CheckpointRefused
from streamlearn.events import Float_B


@dataclass(frozen=True, slots=True)
class DriftAlarm:
    """A detector's alarm at ``errors_B[index]``, where ``errors_B`` is what ``update`` was given."""

    detector: str
    index: int


class _Detector(Protocol):
    def update(self, errors: list[float]) -> list[int]:
        """Take the errors in, in order; return the indices at which there was an alarm."""
        ...

    def state(self) -> npt.NDArray[Any]: ...

    def restore(self, state: npt.NDArray[Any]) -> None: ...


class DriftMonitor:
    """The drift detectors of one model in one shard.

    ``alarms`` counts each detector's alarms since the shard's first event.

    >>> monitor = DriftMonitor(Drift(detectors=("page_hinkley",), page_hinkley_threshold=5.0))
    >>> monitor.update(np.repeat([0.0, 1.0], 100))
    [DriftAlarm(detector='page_hinkley', index=105)]
    >>> monitor.alarms
    {'page_hinkley': 1}
    """

    def __init__(self, settings: Drift) -> None:
        makers: dict[str, Callable[[], _Detector]] = {
            "adwin": lambda: Adwin(settings.adwin_delta),
            "page_hinkley": lambda: PageHinkley(settings.page_hinkley_delta, settings.page_hinkley_threshold),
        }
        self._detectors: dict[str, _Detector] = {name: makers[name]() for name in settings.detectors}
        self.alarms = dict.fromkeys(self._detectors, 0)

    def update(self, errors_B: Float_B) -> list[DriftAlarm]:
        """Take finite errors in, in shard order; return the alarms by index, then in configured order."""
        errors = errors_B.tolist()
        found = []
        for name, detector in self._detectors.items():
            indices = detector.update(errors)
            self.alarms[name] += len(indices)
            found += [DriftAlarm(name, index) for index in indices]
        return sorted(found, key=lambda alarm: alarm.index)

    def snapshot(self) -> Snapshot:
        """Return a copy of the whole state, in arrays."""
        arrays = {name: detector.state() for name, detector in self._detectors.items()}
        return Snapshot(data={"alarms": dict(self.alarms)}, arrays=arrays)

    def restore(self, snapshot: Snapshot) -> None:
        """Become what was snapshotted. Raises CheckpointRefused on another set of detectors."""
        theirs = sorted(snapshot.arrays)
        if theirs != sorted(self._detectors):
            raise CheckpointRefused(
                f"the checkpoint has the drift detectors {theirs}, the config {sorted(self._detectors)}",
                remedy="set drift.detectors back, or start this stream anew with another checkpoint.path",
            )
        for name, detector in self._detectors.items():
            detector.restore(snapshot.arrays[name])
            self.alarms[name] = int(snapshot.data["alarms"][name])


class Adwin:
    """River's ADWIN, with its own defaults beside ``delta``.

    Source: Bifet and Gavalda 2007, doi:10.1137/1.9781611972771.42; ``river.drift.ADWIN``.

    >>> Adwin(delta=0.002).update([0.0] * 1000 + [1.0] * 1000)
    [1023]
    """

    def __init__(self, delta: float) -> None:
        self._delta = delta
        self._window = self._fresh()

    def _fresh(self) -> Any:
        # The Rust object inside: River's Python around it costs twice as much as its work. What that adds
        # is a new object after an alarm, which ``update`` does.
        detector: Any = drift.ADWIN(delta=self._delta)  # type: ignore[no-untyped-call]
        return detector._helper

    def update(self, errors: list[float]) -> list[int]:
        alarms = []
        take = self._window.update
        for index, error in enumerate(errors):
            if take(error):
                alarms.append(index)
                self._window = self._fresh()
                take = self._window.update
        return alarms

    def state(self) -> npt.NDArray[np.uint8]:
        return np.frombuffer(self._window.__getstate__(), np.uint8).copy()

    def restore(self, state: npt.NDArray[np.uint8]) -> None:
        self._window = self._fresh()
        self._window.__setstate__(state.tobytes())


class PageHinkley:
    """Page-Hinkley, both ways, with River's own defaults beside ``delta`` and ``threshold``.

    The recurrence of ``river.drift.PageHinkley`` to the last bit, in local floats: River's costs three
    times as much. Source: Page 1954, doi:10.2307/2333009; ``river.drift.PageHinkley``.

    >>> PageHinkley(delta=0.005, threshold=50.0).update([0.0] * 1000 + [1.0] * 1000)
    [1051]
    """

    _EVENTS_MIN = 30
    _FADING = 1 - 0.0001
    _START = (0.0, 0.0, 0.0, 0.0, float("inf"), -1.0)

    def __init__(self, delta: float, threshold: float) -> None:
        self._delta = delta
        self._threshold = threshold
        # events, mean, faded sums of (deviation - delta) and (deviation + delta), the first's minimum, the
        # second's maximum
        self._state: tuple[float, ...] = self._START

    def update(self, errors: list[float]) -> list[int]:
        alarms = []
        events, mean, increase, decrease, lowest, highest = self._state
        delta, threshold, fading, events_min = self._delta, self._threshold, self._FADING, self._EVENTS_MIN
        for index, error in enumerate(errors):
            events += 1.0
            mean += (1.0 / events) * (error - mean)
            deviation = error - mean
            # Left to right, as River adds; another order gives other last bits.
            increase = fading * increase + deviation - delta
            decrease = fading * decrease + deviation + delta
            if increase < lowest:
                lowest = increase
            if decrease > highest:
                highest = decrease
            if events >= events_min and (increase - lowest > threshold or highest - decrease > threshold):
                alarms.append(index)
                events, mean, increase, decrease, lowest, highest = self._START
        self._state = (events, mean, increase, decrease, lowest, highest)
        return alarms

    def state(self) -> Float_B:
        return np.array(self._state)

    def restore(self, state: Float_B) -> None:
        self._state = tuple(state.tolist())
