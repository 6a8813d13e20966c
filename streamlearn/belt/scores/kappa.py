"""How much of the way from a baseline to perfection a classifier has gone.

Accuracy alone flatters a model where one class is rare (say always the other one) or labels come in runs (say
the last one again). 1: perfect; 0: no better than the baseline; below 0: worse.
Source: Bifet, de Francisci Morales, Read, Holmes, Pfahringer 2015, doi:10.1145/2783258.2783372 (kappa M and, after
Zliobaite et al. 2015, kappa temporal).
"""

from __future__ import annotations

from collections.abc import Mapping

# By the metric's name: the baseline whose accuracy counts as nothing.
BASELINES: Mapping[str, str] = {
    "kappa_m": "baseline_majority",
    "kappa_temporal": "baseline_no_change",
}


def kappas(accuracy: float, accuracy_of: Mapping[str, float]) -> dict[str, float]:
    """Return the kappas of a classifier, by the accuracies of baselines over the same events.

    A kappa is absent where its baseline was not scored, or was perfect.

    >>> kappas(0.9, {"baseline_majority": 0.8, "baseline_no_change": 0.95})
    {'kappa_m': 0.5, 'kappa_temporal': -1.0}
    """
    found = {}
    for name, baseline in BASELINES.items():
        chance = accuracy_of.get(baseline)
        if chance is not None and chance < 1.0:
            found[name] = round((accuracy - chance) / (1.0 - chance), 12)
    return found
