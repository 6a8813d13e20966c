"""The reference window and the present one of some columns: filled block by block, compared whenever one is full.

A column is first **fitted** (what its bins are is read off a window), then the next window is its **reference**, and
every later one is compared with it. The reference comes after the bins, since a window in which the bins were chosen
is no longer exchangeable with the others. After an alarm a column is fitted anew on the window that alarmed, or keeps
its reference, as the rule says.

Upholds `replay_equals_run`: windows end by the count of events, and all of this is shard state.

Shape letters: K blocks of a window, S statistics of a block, F columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamlearn.belt.monitors.evidence import BLOCKS, Float_KSF, compare, threshold
from streamlearn.belt.monitors.kernels import BLOCKS_DONE
from streamlearn.contracts import Snapshot
from streamlearn.errors import CheckpointRefused
from streamlearn.events import Float_BF, Int_B

FIRST_BLOCKS = 10  # of the first window, in which bins alone are found

_FITS, _REFERS, _WATCHES = 0, 1, 2
_REFERENCE, _PRESENT, _MOVEMENT = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Rule:
    """When there is an alarm, and what becomes of the reference then."""

    window_events: int  # a multiple of ``BLOCKS``
    alarm_probability: float  # of a false alarm, of one signal when a window ends
    renews: bool  # the reference, after an alarm

    @property
    def block_events(self) -> int:
        return self.window_events // BLOCKS


@dataclass(frozen=True, slots=True)
class Moved:
    """A signal is no longer what it was; noticed with the event in row ``index`` of what a monitor was given."""

    signal: str  # such as "dep_delay mean"
    index: int
    detail: str  # such as "12.6 -> 31"


@dataclass(frozen=True, slots=True)
class Told:
    """How a signal stood when the last window ended. ``movement`` is 1 where it is an alarm."""

    signal: str
    reference: float
    present: float
    movement: float


class Difference(NamedTuple):
    """The strongest signal of a column that alarmed, and the statistic that shows it best."""

    column: int
    signal: str
    statistic: int
    reference: float
    present: float


class Windows:
    """The windows of F columns.

    Parameters
    ----------
    signals
        Which of the S statistics each signal is made of; what is in none is not compared.
    """

    def __init__(self, columns: int, statistics: int, signals: Mapping[str, slice], rule: Rule) -> None:
        self._signals = signals
        self._rule = rule
        self._threshold_S1 = np.full((statistics, 1), np.inf)
        for rows in signals.values():
            self._threshold_S1[rows] = threshold(rule.alarm_probability / (rows.stop - rows.start))
        shape = (BLOCKS, statistics, columns)
        self.place_2: Int_B = np.zeros(2, np.int64)
        self.present_KSF: Float_KSF = np.full(shape, np.nan)
        self._reference_KSF: Float_KSF = np.full(shape, np.nan)
        self._told_3SF: Float_KSF = np.full((3, statistics, columns), np.nan)
        self._phase_F: Int_B = np.full(columns, _FITS)
        self._windows_closed: Int_B = np.zeros(1, np.int64)

    @property
    def blocks(self) -> int:
        """How many blocks the present window has when it is full."""
        return BLOCKS if self._windows_closed[0] else FIRST_BLOCKS

    @property
    def is_full(self) -> bool:
        return int(self.place_2[BLOCKS_DONE]) == self.blocks

    def close(self) -> tuple[list[Difference], Int_B]:
        """End the present window, which is full, and begin the next one.

        Returns
        -------
        (alarms, to_fit)
            One alarm a column at most, and the columns whose bins are to be found in the window that ended.
        """
        watched_F = self._phase_F == _WATCHES
        alarms = self._compare(watched_F) if watched_F.any() else []
        referred_F = self._phase_F == _REFERS
        self._reference_KSF[:, :, referred_F] = self.present_KSF[:, :, referred_F]
        self._phase_F[referred_F] = _WATCHES
        to_fit_F = self._phase_F == _FITS
        if self._rule.renews:
            to_fit_F[[alarm.column for alarm in alarms]] = True
        self._phase_F[to_fit_F] = _REFERS
        self.place_2[:] = 0
        self.present_KSF[:] = np.nan
        self._windows_closed[0] += 1
        return alarms, np.flatnonzero(to_fit_F)

    def means(self) -> tuple[Float_BF, Float_BF, Float_BF]:
        """Return of each statistic and column the reference, what was compared with it last, and the movement; NaN: not yet."""
        return self._told_3SF[_REFERENCE], self._told_3SF[_PRESENT], self._told_3SF[_MOVEMENT]

    def movement(self, signal: str) -> npt.NDArray[np.float64]:
        """Return of each column how far a signal has moved; 1: that is an alarm."""
        found: npt.NDArray[np.float64] = self._told_3SF[_MOVEMENT, self._signals[signal]].max(axis=0)
        return found

    def _compare(self, watched_F: npt.NDArray[np.bool_]) -> list[Difference]:
        found_3SF, sum_7F = np.empty_like(self._told_3SF), np.empty((7, len(watched_F)))
        compare(self._reference_KSF, self.present_KSF, found_3SF[0], found_3SF[1], found_3SF[2], sum_7F)
        found_3SF[_MOVEMENT] /= self._threshold_S1
        np.copyto(self._told_3SF, found_3SF, where=watched_F)
        reference_SF, present_SF, movement_SF = self.means()
        alarms = []
        for column in np.flatnonzero(watched_F & (movement_SF.max(axis=0) >= 1.0)).tolist():
            statistic = int(movement_SF[:, column].argmax())
            signal = next(name for name, rows in self._signals.items() if rows.start <= statistic < rows.stop)
            alarms.append(
                Difference(
                    column,
                    signal,
                    statistic,
                    float(reference_SF[statistic, column]),
                    float(present_SF[statistic, column]),
                )
            )
        return alarms

    def snapshot(self) -> Snapshot:
        """Return a copy of the whole state."""
        return Snapshot(arrays={name: array.copy() for name, array in self._arrays().items()})

    def restore(self, snapshot: Snapshot) -> None:
        """Become what was snapshotted. Raises CheckpointRefused on other windows."""
        for name, ours in self._arrays().items():
            theirs = np.asarray(snapshot.arrays.get(name))
            if theirs.shape != ours.shape or theirs.dtype != ours.dtype:
                raise CheckpointRefused(
                    f"the checkpoint holds {name} of drift windows as {theirs.dtype} of shape {theirs.shape}, in the "
                    "form of another version of streamlearn",
                    remedy="go on with the version that wrote it, or start this stream anew with another checkpoint.path",
                )
            ours[...] = theirs

    def _arrays(self) -> dict[str, npt.NDArray[np.float64] | Int_B]:
        return {
            "place": self.place_2,
            "present": self.present_KSF,
            "reference": self._reference_KSF,
            "told": self._told_3SF,
            "phase": self._phase_F,
            "windows_closed": self._windows_closed,
        }
