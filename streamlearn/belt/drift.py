"""Detect drift: ADWIN and Page-Hinkley on a model's error, event by event, with River's numbers.

Upholds `replay_equals_run`: a detector's state is a pure function of the errors in order. After an alarm a
detector starts afresh, as River's do. The arithmetic stands in drift_kernels.py.

A model's error goes up and down with what happens in a day, and a detector alarms both ways: so alarms that follow
one on the same model within some errors belong to it, and are counted with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from streamlearn.belt.drift_kernels import (
    ADWIN_COLUMNS,
    ADWIN_LEVELS,
    PAGE_HINKLEY_FRESH,
    adwin,
    page_hinkley,
)
from streamlearn.config import Drift
from streamlearn.contracts import Snapshot
from streamlearn.errors import CheckpointRefused
from streamlearn.events import Float_B, Float_BF

_LOOK_ERRORS, _ENDS = 32, 100  # between two looks of ADWIN; at which it looks, in a window of a million


@dataclass(frozen=True, slots=True)
class DriftAlarm:
    """A detector's alarm at ``errors_B[index]``, where ``errors_B`` is what ``update`` was given."""

    detector: str
    index: int


class _Detector(Protocol):
    def update(self, errors_B: Float_B) -> list[int]:
        """Take the errors in, in order; return the indices at which there was an alarm."""
        ...

    def state(self) -> npt.NDArray[Any]:
        """Return a copy of the whole state."""
        ...

    def restore(self, state: npt.NDArray[Any]) -> None:
        """Become what ``state`` returned. Raises CheckpointRefused on an array of another form."""
        ...


class DriftMonitor:
    """The drift detectors of one model in one shard.

    ``alarms`` counts each detector's alarms since the shard's first event, ``folded`` those that were not told, since
    they followed another one within ``quiet_events`` errors.

    Parameters
    ----------
    settings
        The config section.
    signals
        How many signals share the budget from which ADWIN's delta follows, where none is set.
    quiet_events
        0: every alarm is told.

    >>> monitor = DriftMonitor(Drift(detectors=("page_hinkley",), page_hinkley_threshold=5.0))
    >>> monitor.update(np.repeat([0.0, 1.0], 100))
    [DriftAlarm(detector='page_hinkley', index=105)]
    >>> monitor.alarms
    {'page_hinkley': 1}
    """

    def __init__(self, settings: Drift, signals: int = 1, quiet_events: int = 0) -> None:
        makers: dict[str, Callable[[], _Detector]] = {
            "adwin": lambda: Adwin(
                settings.adwin_delta or adwin_delta(settings.expected_run_events * signals)
            ),
            "page_hinkley": lambda: PageHinkley(settings.page_hinkley_delta, settings.page_hinkley_threshold),
        }
        self._detectors: dict[str, _Detector] = {name: makers[name]() for name in settings.detectors}
        self.alarms = dict.fromkeys(self._detectors, 0)
        self.folded = 0
        self._quiet_events = quiet_events
        self._errors = 0
        self._quiet_until = 0

    def update(self, errors_B: Float_B) -> list[DriftAlarm]:
        """Take finite errors in, in shard order; return the alarms by index, then in configured order."""
        found = [
            DriftAlarm(name, index)
            for name, detector in self._detectors.items()
            for index in detector.update(errors_B)
        ]
        told = []
        for alarm in sorted(found, key=lambda alarm: alarm.index):
            if self._errors + alarm.index < self._quiet_until:
                self.folded += 1
                continue
            self._quiet_until = self._errors + alarm.index + self._quiet_events
            self.alarms[alarm.detector] += 1
            told.append(alarm)
        self._errors += len(errors_B)
        return told

    def snapshot(self) -> Snapshot:
        """Return a copy of the whole state, in arrays."""
        arrays = {name: detector.state() for name, detector in self._detectors.items()}
        counts = {"errors": self._errors, "quiet_until": self._quiet_until, "folded": self.folded}
        return Snapshot(data={"alarms": dict(self.alarms), **counts}, arrays=arrays)

    def restore(self, snapshot: Snapshot) -> None:
        """Become what was snapshotted. Raises CheckpointRefused on other detectors or forms."""
        theirs = sorted(snapshot.arrays)
        if theirs != sorted(self._detectors):
            raise CheckpointRefused(
                f"the checkpoint has the drift detectors {theirs}, the config {sorted(self._detectors)}",
                remedy="set drift.detectors back, or start this stream anew with another checkpoint.path",
            )
        for name, detector in self._detectors.items():
            detector.restore(snapshot.arrays[name])
            self.alarms[name] = int(snapshot.data["alarms"][name])
        self._errors, self._quiet_until, self.folded = (
            int(snapshot.data[name]) for name in ("errors", "quiet_until", "folded")
        )


def adwin_delta(expected_errors: float) -> float:
    """Return the delta with which one false alarm in so many errors is expected at most, by a union bound.

    At one end of a bucket ADWIN errs with a probability of delta / ln(width); it looks at about a hundred of them
    (five or six of each size, in a window of a million) at every 32nd error.
    Source: Bifet and Gavalda 2007, doi:10.1137/1.9781611972771.42, theorem 1.

    >>> adwin_delta(1_000_000)
    1.1090354888959125e-06
    """
    return _LOOK_ERRORS * math.log(_LOOK_ERRORS) / (_ENDS * expected_errors)


class Adwin:
    """River's ADWIN, with its own defaults beside ``delta``.

    Source: Bifet and Gavalda 2007, doi:10.1137/1.9781611972771.42; ``river.drift.ADWIN``.

    >>> Adwin(delta=0.002).update(np.repeat([0.0, 1.0], 1000))
    [1023]
    """

    def __init__(self, delta: float) -> None:
        self._delta = delta
        self._state_LM: Float_BF = np.zeros((1 + ADWIN_LEVELS, ADWIN_COLUMNS))

    @property
    def width(self) -> int:
        """How many errors the window holds."""
        return int(self._state_LM[0, 0])

    @property
    def estimation(self) -> float:
        """Mean of the window; 0 where it is empty."""
        return float(self._state_LM[0, 1] / max(1, self.width))

    @property
    def variance(self) -> float:
        """Sum of the squared deviations within the window, as River's property of this name."""
        return float(self._state_LM[0, 2])

    def update(self, errors_B: Float_B) -> list[int]:
        alarms_B = np.empty(len(errors_B), np.int64)
        count = adwin(errors_B, self._delta, self._state_LM, alarms_B)
        alarms: list[int] = alarms_B[:count].tolist()
        return alarms

    def state(self) -> Float_BF:
        levels = np.count_nonzero(self._state_LM[1:, 0])
        return self._state_LM[: 1 + levels].copy()

    def restore(self, state: npt.NDArray[Any]) -> None:
        is_ours = state.dtype == np.float64 and state.ndim == 2 and state.shape[1] == ADWIN_COLUMNS
        if not is_ours or not 1 <= len(state) <= 1 + ADWIN_LEVELS:
            raise _other_form("adwin", state)
        self._state_LM[:] = 0.0
        self._state_LM[: len(state)] = state


class PageHinkley:
    """Page-Hinkley, both ways, with River's own defaults beside ``delta`` and ``threshold``.

    Source: Page 1954, doi:10.2307/2333009; ``river.drift.PageHinkley``.

    >>> PageHinkley(delta=0.005, threshold=50.0).update(np.repeat([0.0, 1.0], 1000))
    [1051]
    """

    def __init__(self, delta: float, threshold: float) -> None:
        self._delta = delta
        self._threshold = threshold
        self._state = np.array(PAGE_HINKLEY_FRESH)

    def update(self, errors_B: Float_B) -> list[int]:
        alarms_B = np.empty(len(errors_B), np.int64)
        count = page_hinkley(errors_B, self._delta, self._threshold, self._state, alarms_B)
        alarms: list[int] = alarms_B[:count].tolist()
        return alarms

    def state(self) -> Float_B:
        return self._state.copy()

    def restore(self, state: npt.NDArray[Any]) -> None:
        if state.dtype != np.float64 or state.shape != self._state.shape:
            raise _other_form("page_hinkley", state)
        self._state = state.copy()


def _other_form(detector: str, state: npt.NDArray[Any]) -> CheckpointRefused:
    return CheckpointRefused(
        f"the checkpoint holds {detector} as {state.dtype} of shape {state.shape}, in the form of another "
        "version of streamlearn",
        remedy="go on with the version that wrote it, or start this stream anew with another checkpoint.path",
    )
