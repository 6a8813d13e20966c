"""The torch learner's rate beside a bare training step and beside an idle ``DataLoader``.

    python bench/torch_rate.py [--rows N] [--quick]

All run in turns in one process on one thread, over the same rows again and again (20 numeric features), and
the best turn of each counts: whatever disturbs a turn only slows it down. The loader shuffles ``rows`` rows. The learner gets float64
columns in polls of 5,000 events, standardizes, predicts every event and learns; the bare step gets float32
tensors that are there already, and trains the same network with the same optimizer; the loader's
batches are thrown away.

Shape letters: B events, F numeric features.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from itertools import chain, islice, repeat
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from streamlearn.config import TorchModel
from streamlearn.events import Examples, Features
from streamlearn.learners.torch_network import TorchLearner

FEATURES = 20
HIDDEN = (128, 64)
BATCH_EVENTS = 512
POLL_EVENTS = 5_000
TURN_ROWS = 50_000
SEED = 7


def measure(rows: int, quick: bool) -> list[dict[str, Any]]:
    """Measure rows/s and return benchmark records.

    Parameters
    ----------
    rows
        Rows that each contestant takes, over all turns.
    quick
        Two turns only.
    """
    torch.set_num_threads(1)
    polls = list(_polls(TURN_ROWS))
    contestants = {
        "learner": _learner(polls),
        "bare_step": _bare_step(polls),
        "idle_loader": _idle_loader(polls, rows),
        "single": _learner_of_single_events(polls),
    }
    rate = dict.fromkeys(contestants, 0.0)
    for _ in range(2 if quick else max(2, rows // TURN_ROWS)):
        for name, take_turn in contestants.items():
            started = time.perf_counter()
            done = take_turn()
            rate[name] = max(rate[name], done / (time.perf_counter() - started))
    return [
        _record("torch_predict_then_learn", rate["learner"], "bare_training_step", rate["bare_step"]),
        _record("torch_predict_then_learn", rate["learner"], "idle_dataloader", rate["idle_loader"]),
        _record("torch_polls_of_one_event", rate["single"], "polls_of_5000_events", rate["learner"]),
    ]


def _record(name: str, value: float, baseline: str, baseline_value: float) -> dict[str, Any]:
    return {
        "name": name,
        "unit": "rows/s",
        "value": round(value),
        "baseline": baseline,
        "baseline_value": round(baseline_value),
        "ratio": round(value / baseline_value, 3),
    }


def _polls(rows: int) -> Iterator[Examples]:
    generator = np.random.default_rng(SEED)
    names = tuple(f"x{i}" for i in range(FEATURES))
    weight_F = generator.normal(size=FEATURES)
    for start in range(0, rows, POLL_EVENTS):
        events = min(POLL_EVENTS, rows - start)
        numeric_BF = generator.normal(2.0, 3.0, (events, FEATURES))
        label_B = (np.sin(numeric_BF) @ weight_F > 0).astype(np.int32)
        missing_BF = np.zeros(numeric_BF.shape, np.bool_)
        features = Features(names, numeric_BF, missing_BF, ())
        yield Examples(features, label_B, np.ones(events, np.bool_), (False, True))


def _make_learner(polls: list[Examples]) -> TorchLearner:
    settings = TorchModel(
        name="mlp", learner="torch", hidden=HIDDEN, batch_events=BATCH_EVENTS, device="cpu", threads=1
    )
    return TorchLearner(settings, "binary", polls[0].features.numeric_names, (), SEED)


def _learner(polls: list[Examples]) -> Callable[[], int]:
    learner = _make_learner(polls)

    def take_turn() -> int:
        return sum(len(learner.predict_then_learn(poll)) for poll in polls)

    return take_turn


def _learner_of_single_events(polls: list[Examples]) -> Callable[[], int]:
    learner = _make_learner(polls)
    learner.predict_then_learn(polls[0])  # a network that has learned nothing says nothing, and faster
    events = [polls[0].rows(i, i + 1) for i in range(BATCH_EVENTS)]

    def take_turn() -> int:
        return sum(len(learner.predict_then_learn(event)) for event in events)

    return take_turn


def _tensors(polls: list[Examples]) -> tuple[torch.Tensor, torch.Tensor]:
    x_BF = np.concatenate([poll.features.numeric_BF for poll in polls])
    y_B = np.concatenate([poll.target_B for poll in polls])
    x_BF = (x_BF - x_BF.mean(axis=0)) / x_BF.std(axis=0)
    return torch.from_numpy(x_BF.astype(np.float32)), torch.from_numpy(y_B.astype(np.float32))


def _bare_step(polls: list[Examples]) -> Callable[[], int]:
    x_BF, y_B = _tensors(polls)
    layers: list[torch.nn.Module] = []
    width = FEATURES
    for units in HIDDEN:
        layers += [torch.nn.Linear(width, units), torch.nn.ReLU()]
        width = units
    network = torch.nn.Sequential(*layers, torch.nn.Linear(width, 1), torch.nn.Flatten(0))
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    steps = len(y_B) // BATCH_EVENTS

    def take_turn() -> int:
        for step in range(steps):
            rows = slice(step * BATCH_EVENTS, (step + 1) * BATCH_EVENTS)
            optimizer.zero_grad()
            functional.binary_cross_entropy_with_logits(network(x_BF[rows]), y_B[rows]).backward()
            optimizer.step()
        return steps * BATCH_EVENTS

    return take_turn


def _idle_loader(polls: list[Examples], rows: int) -> Callable[[], int]:
    x_BF, y_B = _tensors(polls)
    times = max(1, rows // len(y_B))
    data = TensorDataset(x_BF.repeat(times, 1), y_B.repeat(times))
    loader = DataLoader(data, batch_size=BATCH_EVENTS, shuffle=True)
    batches = chain.from_iterable(repeat(loader))

    def take_turn() -> int:
        return sum(len(target_B) for _, target_B in islice(batches, TURN_ROWS // BATCH_EVENTS))

    return take_turn


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.rows, arguments.quick), indent=2))


if __name__ == "__main__":
    main()
