"""Whether shares mean what they say: of the events that were given 0.8, eight in ten should be so.

Sources: reliability diagrams, Murphy and Winkler 1977, doi:10.2307/2346866; the expected calibration error,
Naeini, Cooper, Hauskrecht 2015 (two classes) and Guo et al. 2017, arXiv:1706.04599 (the class that was said).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from streamlearn.belt.scores.kernels import count_bins, shares_said
from streamlearn.contracts import Snapshot
from streamlearn.events import Examples, Float_BC, Predictions

BINS = 10


class Calibration:
    """The reliability of one model's shares, in ten equal bins, over all events that were judged.

    Parameters
    ----------
    is_binary
        Then the share of class 1 is judged; else that of the class that was said.

    >>> from streamlearn.events import Features
    >>> examples = Examples(Features((), np.zeros((4, 0)), np.zeros((4, 0), bool), ()),
    ...                     np.array([1, 1, 1, 0], np.int32), np.full(4, True), (False, True))
    >>> said = Predictions(np.zeros(4, np.int64), np.ones(4, np.int32), np.array([[0.1, 0.9]] * 4))
    >>> calibration = Calibration(is_binary=True)
    >>> calibration.update(said, examples)
    >>> round(calibration.error() or 0.0, 3), calibration.bins()
    (0.15, [{'from': 0.9, 'to': 1.0, 'events': 4, 'mean_share': 0.9, 'frequency': 0.75}])
    """

    def __init__(self, *, is_binary: bool) -> None:
        self._is_binary = is_binary
        self.bins_3N: Float_BC = np.zeros((3, BINS))  # events, their shares, how often it was so

    def update(self, said: Predictions, examples: Examples) -> None:
        """Count the labelled events of a batch. A model that gives no shares is not judged."""
        if said.probability_BC is None or said.class_B is None:
            return
        share_J, hit_J = np.empty(len(examples)), np.empty(len(examples), np.bool_)
        judged = shares_said(
            np.asarray(examples.target_B, np.int32),
            examples.labelled_B,
            said.class_B,
            said.probability_BC,
            self._is_binary,
            share_J,
            hit_J,
        )
        count_bins(share_J[:judged], hit_J[:judged], self.bins_3N)

    def error(self, others: Sequence[Calibration] = ()) -> float | None:
        """Return the expected calibration error, in 0..1: how far shares are from frequencies, on average."""
        events_N, shares_N, hits_N = self._with(others)
        total = float(events_N.sum())
        return float(np.abs(shares_N - hits_N).sum()) / total if total else None

    def bins(self, others: Sequence[Calibration] = ()) -> list[dict[str, Any]]:
        """Return the bins that have events, for a reliability diagram."""
        rows = []
        for place, (events, shares, hits) in enumerate(self._with(others).T.tolist()):
            if events:
                rows.append(
                    {
                        "from": place / BINS,
                        "to": (place + 1) / BINS,
                        "events": int(events),
                        "mean_share": round(shares / events, 6),
                        "frequency": round(hits / events, 6),
                    }
                )
        return rows

    def snapshot(self) -> Snapshot:
        """Return a copy of the whole state."""
        return Snapshot(arrays={"bins": self.bins_3N.copy()})

    def restore(self, snapshot: Snapshot) -> None:
        """Become what was snapshotted."""
        self.bins_3N = np.array(snapshot.arrays["bins"], np.float64)

    def _with(self, others: Sequence[Calibration]) -> Float_BC:
        total: Float_BC = self.bins_3N + sum(other.bins_3N for other in others)
        return total
