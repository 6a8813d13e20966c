"""The torch learner's rate beside a bare training step and beside an idle ``DataLoader``.

    python -m bench.torch_rate [--rows N] [--quick]

All take turns in one process on one thread, over the same rows again and again (20 numeric features):
``rows`` each. What is reported is the median of the turns, and the ratio of medians; ``ratio_range`` holds the
least and the largest ratio within a round.

- ``learner``: takes float64 columns in polls of 5,000 events, standardizes them on the stream, predicts every
  event before it learns it, learns in mini-batches of 512, clips gradients, and refuses what is not finite.
- ``bare_step``: float32 tensors that are there already, standardized; zero_grad, forward, loss, backward, fused
  Adam's step, in mini-batches of 512 of the same network. It predicts nothing, clips nothing, looks at nothing.
- ``bare_step_clipped``: the same, with ``clip_grad_norm_``.
- ``idle_loader``: ``DataLoader(TensorDataset(...), batch_size=512, shuffle=True)`` over ``rows`` rows, whose
  batches are thrown away.
- ``single``: the learner in polls of one event; its turns are short.

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

from bench.harness import Contender, Record, Target, compare, take_turns
from streamlearn.config import TorchModel
from streamlearn.events import Examples, Features
from streamlearn.learners.torch_network import TorchLearner

FEATURES = 20
HIDDEN = (128, 64)
BATCH_EVENTS = 512
POLL_EVENTS = 5_000
TURN_ROWS = 50_000
QUICK_ROWS = 1_000_000
SEED = 7

LEARNER, BARE, CLIPPED, IDLE, SINGLE = (
    "learner",
    "bare_step",
    "bare_step_clipped",
    "idle_dataloader",
    "learner_polls_of_one_event",
)


def measure(rows: int, quick: bool) -> list[Record]:
    """Measure rows/s and return benchmark records.

    Parameters
    ----------
    rows
        Rows that each contender takes, over all turns (``single`` takes fewer).
    quick
        No more than ``QUICK_ROWS``.
    """
    torch.set_num_threads(1)
    rows = min(rows, QUICK_ROWS) if quick else rows
    polls = list(make_polls(TURN_ROWS))
    contenders = [
        contender(LEARNER, learner_turn(polls, device="cpu")),
        contender(BARE, bare_turn(polls, torch.device("cpu"), clipped=False)),
        contender(CLIPPED, bare_turn(polls, torch.device("cpu"), clipped=True)),
        contender(IDLE, loader_turn(polls, rows)),
        contender(SINGLE, _learner_of_single_events(polls)),
    ]
    for each in contenders:
        each.take_turn()  # the first turn pays for what is made once
    series = take_turns(contenders, max(3, rows // TURN_ROWS), lambda name, figures: None)
    return [
        compare(series, LEARNER, BARE, "rows/s", Target("ratio", at_least=0.8)),
        compare(series, LEARNER, CLIPPED, "rows/s"),
        compare(series, LEARNER, IDLE, "rows/s", Target("ratio", at_least=1.0)),
        compare(series, SINGLE, LEARNER, "rows/s"),
    ]


def contender(name: str, take_turn: Callable[[], int]) -> Contender:
    """Return a contender whose figure is its rows/s."""

    def rate() -> dict[str, float]:
        began = time.perf_counter()
        done = take_turn()
        return {name: done / (time.perf_counter() - began)}

    return Contender((name,), rate)


def make_polls(rows: int) -> Iterator[Examples]:
    """Yield labelled events in polls of ``POLL_EVENTS``."""
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


def make_learner(polls: list[Examples], **settings: Any) -> TorchLearner:
    """Return a learner of the benchmark's network."""
    shape: dict[str, Any] = {"hidden": HIDDEN, "batch_events": BATCH_EVENTS, "threads": 1, **settings}
    model = TorchModel(name="mlp", learner="torch", **shape)
    return TorchLearner(model, "binary", polls[0].features.numeric_names, (), SEED)


def learner_turn(polls: list[Examples], **settings: Any) -> Callable[[], int]:
    """Return a turn of a learner, which predicts and learns all polls."""
    learner = make_learner(polls, **settings)

    def take_turn() -> int:
        return sum(len(learner.predict_then_learn(poll)) for poll in polls)

    return take_turn


def _learner_of_single_events(polls: list[Examples]) -> Callable[[], int]:
    learner = make_learner(polls, device="cpu")
    learner.predict_then_learn(polls[0])  # a network that has learned nothing says nothing, and faster
    events = [polls[0].rows(i, i + 1) for i in range(BATCH_EVENTS)]

    def take_turn() -> int:
        return sum(len(learner.predict_then_learn(event)) for event in events)

    return take_turn


def tensors(polls: list[Examples]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return all rows, standardized, and their labels; float32."""
    x_BF = np.concatenate([poll.features.numeric_BF for poll in polls])
    y_B = np.concatenate([poll.target_B for poll in polls])
    x_BF = (x_BF - x_BF.mean(axis=0)) / x_BF.std(axis=0)
    return torch.from_numpy(x_BF.astype(np.float32)), torch.from_numpy(y_B.astype(np.float32))


def bare_turn(
    polls: list[Examples],
    device: torch.device,
    *,
    clipped: bool,
    hidden: tuple[int, ...] = HIDDEN,
    batch_events: int = BATCH_EVENTS,
) -> Callable[[], int]:
    """Return a turn of plain eager PyTorch over tensors that are on the device already."""
    x_BF, y_B = (tensor.to(device) for tensor in tensors(polls))
    layers: list[torch.nn.Module] = []
    width = FEATURES
    for units in hidden:
        layers += [torch.nn.Linear(width, units), torch.nn.ReLU()]
        width = units
    network = torch.nn.Sequential(*layers, torch.nn.Linear(width, 1), torch.nn.Flatten(0)).to(device)
    parameters = list(network.parameters())
    optimizer = torch.optim.Adam(parameters, fused=True)
    steps = len(y_B) // batch_events

    def take_turn() -> int:
        for step in range(steps):
            rows = slice(step * batch_events, (step + 1) * batch_events)
            optimizer.zero_grad()
            functional.binary_cross_entropy_with_logits(network(x_BF[rows]), y_B[rows]).backward()
            if clipped:
                torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return steps * batch_events

    return take_turn


def loader_turn(polls: list[Examples], rows: int) -> Callable[[], int]:
    """Return a turn of a ``DataLoader`` over so many rows; it goes on where the turn before ended."""
    x_BF, y_B = tensors(polls)
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
