"""Scores by slice: is a model worse for one carrier, one country, one device than the mean of all shows?

Of each feature the values that come first get a row of their own, so many at most; later ones share one row. What
is told are the most frequent of them, and the rest as one: an answer of bounded size, whatever comes in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from streamlearn.belt.scores.kernels import count_slices
from streamlearn.contracts import Snapshot
from streamlearn.events import MISSING_CATEGORY, Categorical, Float_BC

VALUES_MAX = 1000  # of one feature that get a row of their own
REST = "(other)"
MISSING = "(missing)"


class Slices:
    """Mean errors by the value of one categorical feature.

    Parameters
    ----------
    learners
        How many there are: the rows of the errors.

    >>> slices = Slices("carrier", learners=1)
    >>> slices.update(Categorical("carrier", np.array([0, 1, 0], np.int32), ("AA", "DL")), np.array([[1.0, 0.0, 0.0]]))
    >>> slices.told(20)
    [('AA', [(2, 0.5)]), ('DL', [(1, 0.0)])]
    """

    def __init__(self, feature: str, learners: int) -> None:
        self.feature = feature
        self._rows: dict[str, int] = {}
        self._table_RL2: npt.NDArray[np.float64] = np.zeros((16, learners, 2))  # row 0: the rest

    def update(self, categories: Categorical, error_LB: Float_BC) -> None:
        """Take errors in, in shard order, NaN where one was not judged; rows are given by first appearance."""
        row_of_value = np.zeros(len(categories.values), np.int64)
        for code in self._appearing(categories):
            value = categories.values[code]
            if value not in self._rows and len(self._rows) < VALUES_MAX:
                self._rows[value] = len(self._rows) + 1
            row_of_value[code] = self._rows.get(value, 0)
        lacking = len(self._rows) + 1 - len(self._table_RL2)
        if lacking > 0:
            more = max(lacking, len(self._table_RL2))
            self._table_RL2 = np.pad(self._table_RL2, ((0, more), (0, 0), (0, 0)))
        count_slices(row_of_value[categories.codes_B], error_LB, self._table_RL2)

    def told(
        self, values_max: int, others: Sequence[Slices] = ()
    ) -> list[tuple[str, list[tuple[int, float | None]]]]:
        """Return the most frequent values, the rest as one; for each learner the events judged and their mean error."""
        sums: dict[str, npt.NDArray[np.float64]] = {}
        for each in (self, *others):
            for value, row in [(REST, 0), *each._rows.items()]:
                shown = MISSING if value == MISSING_CATEGORY else value
                sums[shown] = sums.get(shown, 0.0) + each._table_RL2[row]
        rest = sums.pop(REST)
        ordered = sorted(sums.items(), key=lambda item: (-float(item[1][:, 0].max()), item[0]))
        for _value, table in ordered[values_max:]:
            rest = rest + table
        shown_rows = [(value, table) for value, table in ordered[:values_max] if table[:, 0].any()]
        if rest[:, 0].any():
            shown_rows.append((REST, rest))
        return [
            (value, [(int(n), total / n if n else None) for n, total in table.tolist()])
            for value, table in shown_rows
        ]

    def snapshot(self) -> Snapshot:
        """Return a copy of the whole state."""
        return Snapshot(
            data={"values": list(self._rows)}, arrays={"table": self._table_RL2[: len(self._rows) + 1].copy()}
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Become what was snapshotted."""
        self._rows = {value: row for row, value in enumerate(snapshot.data["values"], 1)}
        self._table_RL2 = np.array(snapshot.arrays["table"], np.float64)

    def _appearing(self, categories: Categorical) -> list[int]:
        """Return the codes that appear, in the order of their first event: not how a batch numbered them."""
        codes, first = np.unique(categories.codes_B, return_index=True)
        order: list[int] = codes[np.argsort(first)].tolist()
        return order


def as_json(
    slices: Slices, names: Sequence[str], values_max: int, others: Sequence[Slices] = ()
) -> dict[str, Any]:
    """Return what is told of one feature, by learner."""
    rows = slices.told(values_max, others)
    return {
        name: [
            {"value": value, "events": of_learner[place][0], "mean_error": of_learner[place][1]}
            for value, of_learner in rows
        ]
        for place, name in enumerate(names)
    }
