"""Watches columns of numbers: their mean, their spread, how often they are missing, and their distribution.

The bins of a distribution are the deciles of a sample of the window before the reference.

Shape letters: B events of a batch, F columns, E edges of bins, N values of a sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from streamlearn.belt.monitors.evidence import distance
from streamlearn.belt.monitors.kernels import FIRST_BIN, MEAN, MISSING, SPREAD, add_numbers
from streamlearn.belt.monitors.windows import Difference, Moved, Rule, Told, Windows
from streamlearn.contracts import Snapshot
from streamlearn.events import Bool_BF, Float_B, Float_BF, Int_B

BINS = 10
SAMPLE_EVENTS = 500  # of a window, evenly spaced: a decile of so many is within 2% of events

DISTRIBUTION = "distribution"
ALL_SIGNALS: Mapping[str, slice] = {
    "mean": slice(MEAN, MEAN + 1),
    "spread": slice(SPREAD, SPREAD + 1),
    "missing": slice(MISSING, MISSING + 1),
    DISTRIBUTION: slice(FIRST_BIN, FIRST_BIN + BINS),
}
MEAN_ALONE: Mapping[str, slice] = {"mean": ALL_SIGNALS["mean"]}


class NumberMonitor:
    """Watches F columns.

    Parameters
    ----------
    names
        Of the columns.
    signals
        What is watched of each: ``ALL_SIGNALS`` or ``MEAN_ALONE``.

    >>> random = np.random.default_rng(1)
    >>> value_B1 = np.r_[random.normal(12.6, 5.0, 5200), random.normal(31.0, 5.0, 1000)].reshape(-1, 1)
    >>> monitor = NumberMonitor(["dep_delay"], MEAN_ALONE, Rule(1000, alarm_probability=1e-4, renews=True))
    >>> monitor.update(value_B1, np.zeros((6200, 1), np.bool_))
    [Moved(signal='dep_delay mean', index=6199, detail='12.36 -> 31.26')]
    """

    def __init__(self, names: Sequence[str], signals: Mapping[str, slice], rule: Rule) -> None:
        self._names = list(names)
        self._signals = signals
        self._rule = rule
        columns = len(self._names)
        edges, samples = (BINS - 1, SAMPLE_EVENTS) if DISTRIBUTION in signals else (0, 0)
        self._sample_every = -(-rule.window_events // SAMPLE_EVENTS)
        self._windows = Windows(columns, FIRST_BIN + edges + 1, signals, rule)
        self._edge_EF: Float_BF = np.full((edges, columns), np.inf)
        self._first_F: Float_B = np.zeros(columns)
        self._sum_XF: Float_BF = np.zeros((3 + edges, columns))
        self._shown_F: Float_B = np.zeros(columns)  # no state
        self._sample_NF: Float_BF = np.full((samples, columns), np.nan)

    def update(self, value_BF: Float_BF, missing_BF: Bool_BF) -> list[Moved]:
        """Take C-contiguous rows in, in shard order; return what moved.

        Where ``missing_BF`` is set, the value has no meaning; all others are finite.
        """
        moved: list[Moved] = []
        row = 0 if self._names else len(value_BF)
        while row < len(value_BF):
            row = add_numbers(
                value_BF,
                missing_BF,
                row,
                self._rule.block_events,
                self._windows.blocks,
                self._sample_every,
                self._edge_EF,
                self._first_F,
                self._sum_XF,
                self._shown_F,
                self._sample_NF,
                self._windows.place_2,
                self._windows.present_KSF,
            )
            if self._windows.is_full:
                alarms, to_fit = self._windows.close()
                moved += [Moved(self._signal(each), row - 1, self._detail(each)) for each in alarms]
                self._fit(to_fit)
        return moved

    def told(self) -> Iterator[Told]:
        """Yield each signal that was compared."""
        reference_SF, present_SF, _ = self._windows.means()
        for kind, rows in self._signals.items():
            movement_F = self._windows.movement(kind)
            for column in np.flatnonzero(~np.isnan(movement_F)).tolist():
                before, now = (each[rows, column] for each in (reference_SF, present_SF))
                was, is_now = (0.0, distance(before, now)) if kind == DISTRIBUTION else (before[0], now[0])
                signal = f"{self._names[column]} {kind}"
                yield Told(signal, float(was), float(is_now), float(movement_F[column]))

    def snapshot(self) -> Snapshot:
        """Return a copy of the whole state."""
        own = {
            "edge": self._edge_EF.copy(),
            "first": self._first_F.copy(),
            "sum": self._sum_XF.copy(),
            "sample": self._sample_NF.copy(),
        }
        return Snapshot(arrays={**self._windows.snapshot().arrays, **own})

    def restore(self, snapshot: Snapshot) -> None:
        """Become what was snapshotted. Raises CheckpointRefused on other columns."""
        self._windows.restore(snapshot)
        arrays = snapshot.arrays
        self._edge_EF, self._first_F = np.array(arrays["edge"]), np.array(arrays["first"])
        self._sum_XF, self._sample_NF = np.array(arrays["sum"]), np.array(arrays["sample"])

    def _fit(self, columns: Int_B) -> None:
        """Find the bins of columns in the sample; bins that no value can fall into stand at infinity."""
        if len(self._sample_NF):
            self._edge_EF[:, columns] = np.inf
            for column in columns.tolist():
                values = self._sample_NF[:, column]
                values = np.sort(values[~np.isnan(values)])
                if len(values):
                    ranks = np.arange(1, BINS) * len(values) // BINS
                    edges = np.unique(values[np.maximum(ranks - 1, 0)])
                    self._edge_EF[: len(edges), column] = edges
        self._sample_NF[:] = np.nan

    def _signal(self, moved: Difference) -> str:
        return f"{self._names[moved.column]} {moved.signal}"

    def _detail(self, moved: Difference) -> str:
        change = f"{moved.reference:.4g} -> {moved.present:.4g}"
        if moved.signal != DISTRIBUTION:
            return change
        edges = [-np.inf, *self._edge_EF[:, moved.column].tolist(), np.inf]
        low, high = edges[moved.statistic - FIRST_BIN], edges[moved.statistic - FIRST_BIN + 1]
        if np.isinf(high):
            return f"share above {low:.4g}: {change}"
        return (
            f"share up to {high:.4g}: {change}"
            if np.isinf(low)
            else f"share in {low:.4g}..{high:.4g}: {change}"
        )
