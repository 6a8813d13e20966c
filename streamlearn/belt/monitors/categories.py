"""Watches a column of categories: how often they are missing, how often unseen, and their distribution.

The bins are the most frequent values of the window before the reference, and all others as one. Unseen is what that
window did not show. Python runs once a distinct value of a batch, never once an event.

Shape letters: B events of a batch, C bins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from streamlearn.belt.monitors.evidence import distance
from streamlearn.belt.monitors.kernels import FIRST_VALUE, NO_VALUE, UNSEEN, add_categories
from streamlearn.belt.monitors.windows import Difference, Moved, Rule, Told, Windows
from streamlearn.contracts import Snapshot
from streamlearn.events import MISSING_CATEGORY, Code_B, Float_B, Int_B

TOP_VALUES = 9  # with a bin of their own
SEEN_MAX = 10_000  # values of a window that are remembered
OTHERS = "(other)"

_OTHER, _UNSEEN, _MISSING = TOP_VALUES, TOP_VALUES + 1, TOP_VALUES + 2
_BINS = _MISSING + 1

DISTRIBUTION = "distribution"
SIGNALS: Mapping[str, slice] = {
    "missing": slice(NO_VALUE, NO_VALUE + 1),
    "unseen": slice(UNSEEN, UNSEEN + 1),
    DISTRIBUTION: slice(FIRST_VALUE, FIRST_VALUE + TOP_VALUES + 1),
}


class CategoryMonitor:
    """Watches one column.

    Parameters
    ----------
    name
        Of the column.
    tells_shares
        Whether ``told`` has the share of each bin as well.

    >>> codes_B = np.r_[np.arange(5200) % 3 % 2, np.arange(1000) % 3].astype(np.int32)
    >>> monitor = CategoryMonitor("carrier", Rule(1000, alarm_probability=1e-4, renews=True))
    >>> monitor.update(codes_B, ("AA", "DL", "UA"))
    [Moved(signal='carrier unseen', index=6199, detail='0 -> 0.333')]
    """

    def __init__(self, name: str, rule: Rule, *, tells_shares: bool = False) -> None:
        self._name = name
        self._rule = rule
        self._tells_shares = tells_shares
        self._windows = Windows(1, FIRST_VALUE + TOP_VALUES + 1, SIGNALS, rule)
        self._count_C: Float_B = np.zeros(_BINS)
        self._bins: dict[str, int] = {}  # of the values that were seen when the bins were found
        self._seen: dict[str, int] = {}  # values of the present window, and how often they came
        self._told_bins: list[str] = []  # of the last comparison

    def update(self, code_B: Code_B, values: Sequence[str]) -> list[Moved]:
        """Take events in, in shard order, ``values[code_B[i]]`` being event i's; return what moved."""
        moved: list[Moved] = []
        row = 0
        while row < len(code_B):
            shown = np.bincount(code_B[row:], minlength=len(values))  # how often each code
            start, row = (
                row,
                add_categories(
                    code_B,
                    self._bins_of(shown, values),
                    row,
                    self._rule.block_events,
                    self._windows.blocks,
                    self._count_C,
                    self._windows.place_2,
                    self._windows.present_KSF,
                ),
            )
            self._see(code_B[start:row], values, shown)
            if self._windows.is_full:
                moved += self._close(row - 1)
        return moved

    def told(self) -> Iterator[Told]:
        """Yield each signal that was compared."""
        reference_SF, present_SF, movement_SF = self._windows.means()
        for kind, rows in SIGNALS.items():
            movement = float(self._windows.movement(kind)[0])
            if np.isnan(movement):
                return
            before, now = reference_SF[rows, 0], present_SF[rows, 0]
            was, is_now = (0.0, distance(before, now)) if kind == DISTRIBUTION else (before[0], now[0])
            yield Told(f"{self._name} {kind}", float(was), float(is_now), movement)
        if self._tells_shares:
            for place, value in enumerate(self._told_bins):
                statistic = FIRST_VALUE + place
                yield Told(
                    f"{self._name} {value}",
                    float(reference_SF[statistic, 0]),
                    float(present_SF[statistic, 0]),
                    float(movement_SF[statistic, 0]),
                )

    def snapshot(self) -> Snapshot:
        """Return a copy of the whole state."""
        arrays = {**self._windows.snapshot().arrays, "count": self._count_C.copy()}
        pairs = {"bins": sorted(self._bins.items()), "seen": sorted(self._seen.items())}
        data = {name: [list(pair) for pair in each] for name, each in pairs.items()}
        return Snapshot(data={**data, "told_bins": list(self._told_bins)}, arrays=arrays)

    def restore(self, snapshot: Snapshot) -> None:
        """Become what was snapshotted. Raises CheckpointRefused on other windows."""
        self._windows.restore(snapshot)
        self._count_C = np.array(snapshot.arrays["count"])
        self._bins, self._seen = ({str(k): int(v) for k, v in snapshot.data[n]} for n in ("bins", "seen"))
        self._told_bins = list(snapshot.data["told_bins"])

    def _close(self, index: int) -> list[Moved]:
        """End a window with the event in row ``index``."""
        self._told_bins = self._bin_names()
        alarms, to_fit = self._windows.close()
        moved = [Moved(f"{self._name} {each.signal}", index, self._detail(each)) for each in alarms]
        if len(to_fit):
            self._fit()
        self._seen = {}
        return moved

    def _bins_of(self, shown: Int_B, values: Sequence[str]) -> Int_B:
        """Return the bin of each code that is shown."""
        bin_of_code = np.full(len(values), _UNSEEN)
        for code in shown.nonzero()[0].tolist():
            value = values[code]
            bin_of_code[code] = _MISSING if value == MISSING_CATEGORY else self._bins.get(value, _UNSEEN)
        return bin_of_code

    def _see(self, code_B: Code_B, values: Sequence[str], shown: Int_B) -> None:
        """Count the values of the present window, the first so many of them; ``shown``: of these events and later ones."""
        if int(shown.sum()) != len(code_B):
            shown = np.bincount(code_B, minlength=len(values))
        codes, counts = shown.nonzero()[0].tolist(), shown.tolist()
        if len(self._seen) + len(codes) > SEEN_MAX:  # then who comes first matters
            distinct, first = np.unique(code_B, return_index=True)
            codes = distinct[np.argsort(first)].tolist()
        for code in codes:
            value = values[code]
            if value in self._seen:
                self._seen[value] += counts[code]
            elif value != MISSING_CATEGORY and len(self._seen) < SEEN_MAX:
                self._seen[value] = counts[code]

    def _fit(self) -> None:
        """Find the bins in the window that ended: by count, then by name."""
        ordered = sorted(self._seen, key=lambda value: (-self._seen[value], value))
        self._bins = {value: min(place, _OTHER) for place, value in enumerate(ordered)}

    def _bin_names(self) -> list[str]:
        tops = sorted((place, value) for value, place in self._bins.items() if place < _OTHER)
        return [*(value for _, value in tops), *([OTHERS] if len(self._bins) > TOP_VALUES else [])]

    def _detail(self, moved: Difference) -> str:
        change = f"{moved.reference:.4g} -> {moved.present:.4g}"
        if moved.signal != DISTRIBUTION:
            return change
        place = moved.statistic - FIRST_VALUE
        name = OTHERS if place == _OTHER else next(v for v, b in self._bins.items() if b == place)
        return f"share of {name}: {change}"
