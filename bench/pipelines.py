"""River pipelines as a config writes them, of which several benchmarks make use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

SCALER, LOGISTIC = "preprocessing.StandardScaler", "linear_model.LogisticRegression"


def encoded(numeric: Sequence[str], categorical: Sequence[str]) -> dict[str, Any]:
    """Return a step that scales some features and one-hot encodes others.

    >>> [step["steps"][1] for step in encoded(["n"], ["c"])["transformers"]]
    ['preprocessing.StandardScaler', 'preprocessing.OneHotEncoder']
    """
    numbers = {"use": "compose.Select", "keys": [*numeric]}
    texts = {"use": "compose.Select", "keys": [*categorical]}
    return {
        "use": "compose.TransformerUnion",
        "transformers": [
            {"use": "compose.Pipeline", "steps": [numbers, SCALER]},
            {"use": "compose.Pipeline", "steps": [texts, "preprocessing.OneHotEncoder"]},
        ],
    }
