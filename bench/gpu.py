"""The torch learner on a GPU, beside the bare eager step there and beside iterating a ``DataLoader``.

    python -m bench.gpu [--rows N] [--batch-events N] [--hidden N ...]

Prints the card and the versions, then one JSON document: rows/s of each contender (see ``bench.torch_rate``; medians
of interleaved turns of ``TURN_ROWS`` rows), waits of the host for the device (as
``torch.cuda.set_sync_debug_mode`` tells them) in a warm turn of the learner, and the device memory at its peak.
The answers of a poll are waited for by an event, once a poll; that is no wait for the device, and is not counted.

Where torch sees no cuda device it says so and ends with code 2: nothing here is a figure of a CPU.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable
from typing import Any

import torch

from bench.harness import Contender, compare, take_turns
from bench.torch_rate import (
    BATCH_EVENTS,
    HIDDEN,
    POLL_EVENTS,
    TURN_ROWS,
    bare_turn,
    contender,
    learner_turn,
    loader_turn,
    make_polls,
)

CUDA = torch.device("cuda")
SYNC_WORDS = "called a synchronizing CUDA operation"


def measure(rows: int, hidden: tuple[int, ...], batch_events: int) -> dict[str, Any]:
    """Measure on the first cuda device.

    Parameters
    ----------
    rows
        Rows that each contender takes, over all turns.
    hidden, batch_events
        Of the learner and of the bare step alike.
    """
    torch.set_num_threads(1)
    polls = list(make_polls(TURN_ROWS))
    shape: dict[str, Any] = {"hidden": hidden, "batch_events": batch_events}
    learners = {
        "learner_bfloat16": learner_turn(polls, device="cuda", precision="bfloat16", **shape),
        "learner_float32": learner_turn(polls, device="cuda", precision="float32", **shape),
    }
    contenders: list[Contender] = [
        *(contender(name, turn) for name, turn in learners.items()),
        contender("bare_step", bare_turn(polls, CUDA, clipped=False, **shape)),
        contender("bare_step_clipped", bare_turn(polls, CUDA, clipped=True, **shape)),
        contender("idle_dataloader", loader_turn(polls, rows)),
    ]
    for each in contenders:
        each.take_turn()  # warms up: kernels are chosen and graphs captured
    syncs = {name: syncs_of(turn) for name, turn in learners.items()}
    torch.cuda.reset_peak_memory_stats()
    series = take_turns(contenders, max(3, rows // TURN_ROWS), lambda name, figures: None)
    return {
        **machine(),
        "rows": rows,
        "hidden": hidden,
        "batch_events": batch_events,
        "polls_in_a_turn": -(-TURN_ROWS // POLL_EVENTS),
        "mini_batches_in_a_turn": TURN_ROWS // batch_events,
        "syncs_in_a_turn": syncs,
        "device_memory_peak_bytes": torch.cuda.max_memory_allocated(),  # of all contenders together
        "device_memory_reserved_bytes": torch.cuda.max_memory_reserved(),
        "records": [
            compare(series, name, baseline, "rows/s")
            for name in learners
            for baseline in ("bare_step", "bare_step_clipped", "idle_dataloader")
        ],
    }


def syncs_of(take_turn: Callable[[], int]) -> int:
    """Return how often the host waited for the device in a turn."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            take_turn()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum(SYNC_WORDS in str(each.message) for each in caught)


def machine() -> dict[str, Any]:
    """Return the card and the versions."""
    card = torch.cuda.get_device_properties(0)
    return {
        "card": card.name,
        "card_memory_bytes": card.total_memory,
        "compute_capability": f"{card.major}.{card.minor}",
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": sys.version.split()[0],
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--batch-events", type=int, default=BATCH_EVENTS)
    parser.add_argument("--hidden", type=int, nargs="*", default=list(HIDDEN))
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print(f"torch {torch.__version__} sees no cuda device here: nothing was measured", file=sys.stderr)
        return 2
    print(json.dumps(measure(options.rows, tuple(options.hidden), options.batch_events), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
