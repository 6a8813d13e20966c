"""Torch learners of a few shapes, a stream for them, and digests of what they say and become.

Shape letters: B events, F numeric features, C classes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from streamlearn.config import TorchModel
from streamlearn.contracts import Snapshot
from streamlearn.events import Categorical, Examples, Features, Predictions
from streamlearn.learners.torch_device import Capture, captured
from streamlearn.learners.torch_network import TorchLearner

VARIANTS: dict[str, dict[str, Any]] = {
    "binary": {"task": "binary"},
    "multiclass": {"task": "multiclass"},
    "regression": {"task": "regression"},
    "dropout": {"task": "binary", "dropout": 0.3, "optimizer": "adamw", "weight_decay": 0.01},
    "sgd": {"task": "regression", "optimizer": "sgd", "missing_indicator": True},
    "linear": {"task": "multiclass", "hidden": ()},
    "every_event": {"task": "binary", "batch_events": 1},
    "tall": {"task": "binary", "batch_events": 1100},  # several blocks, the last one shorter
    "wide": {"task": "binary", "hidden": (128, 64), "batch_events": 512},
}

NUMERIC = ("a", "b", "c")
CATEGORICAL = ("carrier", "origin")
CARRIERS = ("AA", "UA", "\x00missing", "é", "\ud800")


def make(
    task: str = "binary", seed: int = 3, *, capture: Capture = captured, **settings: Any
) -> TorchLearner:
    chosen: dict[str, Any] = {
        "name": "mlp",
        "learner": "torch",
        "hidden": (16, 8),
        "batch_events": 64,
        "embedding_buckets": 32,
        "embedding_width": 3,
        "device": "cpu",
        **settings,
    }
    return TorchLearner(
        TorchModel(**chosen),
        task,  # type: ignore[arg-type]
        NUMERIC,
        CATEGORICAL,
        seed,
        capture=capture,
    )


def stream(events: int, task: str = "binary", *, labelled_share: float = 1.0, seed: int = 11) -> Examples:
    """A world in which the label depends on a product of features and on the carrier."""
    generator = np.random.default_rng(seed)
    numeric_BF = generator.normal(5.0, 2.0, (events, len(NUMERIC)))
    carrier_B = generator.integers(0, len(CARRIERS), events).astype(np.int32)
    origin_B = generator.integers(0, 2, events).astype(np.int32)
    signal_B = (numeric_BF[:, 0] - 5) * (numeric_BF[:, 1] - 5) + 2.0 * (carrier_B == 1)
    classes: tuple[Any, ...] = ()
    if task == "binary":
        target_B, classes = (signal_B > 1).astype(np.int32), (False, True)
    elif task == "multiclass":
        # Classes come one after the other, as they do where they are learned from the stream.
        target_B = np.clip(np.digitize(signal_B, [-2, 0, 2, 5]), 0, np.arange(events) // 150).astype(np.int32)
        classes = ("k0", "k1", "k2", "k3", "k4")
    else:
        target_B = 100.0 + 30.0 * signal_B
    labelled_B = generator.random(events) < labelled_share
    features = Features(
        NUMERIC,
        numeric_BF,
        generator.random(numeric_BF.shape) < 0.05,
        (
            Categorical("carrier", carrier_B, CARRIERS),
            Categorical("origin", origin_B, ("JFK", "LGA")),
        ),
    )
    return Examples(features, target_B, labelled_B, classes)


def digest(snapshot: Snapshot) -> str:
    """A digest of all bits of a snapshot."""
    sha = hashlib.sha256(json.dumps(snapshot.data, sort_keys=True).encode())
    for name in sorted(snapshot.arrays):
        array = snapshot.arrays[name]
        sha.update(f"{name}{array.dtype}{array.shape}".encode() + array.tobytes())
    assert snapshot.pickled is None
    return sha.hexdigest()


def bits(predictions: Predictions) -> list[bytes]:
    columns = (
        predictions.version_B,
        predictions.class_B,
        predictions.probability_BC,
        predictions.value_B,
    )
    return [b"" if column is None else np.ascontiguousarray(column).tobytes() for column in columns]


def fed(learner: TorchLearner, examples: Examples, cuts: Sequence[int]) -> list[bytes]:
    """Feed the events in calls of these sizes, the last one repeated; return the bits of all predictions."""
    parts, start, turn = [], 0, 0
    while start < len(examples):
        stop = min(start + cuts[min(turn, len(cuts) - 1)], len(examples))
        parts.append(learner.predict_then_learn(examples.rows(start, stop)))
        start, turn = stop, turn + 1
    together = Predictions(
        np.concatenate([part.version_B for part in parts]),
        *(
            None
            if getattr(parts[0], name) is None
            else np.concatenate([getattr(part, name) for part in parts])
            for name in ("class_B", "probability_BC", "value_B")
        ),
    )
    return bits(together)
