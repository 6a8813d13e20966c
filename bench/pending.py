"""How much memory events take that wait for labels, and how long a checkpoint of them stops the belt.

    python bench/pending.py [--events 1000000] [--features 20]

Runs the join itself, with the production segments and checkpoints on a disk, and no learners: what is measured is
what waits. 10 million events need 3 GB of disk.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from streamlearn.belt.labels import plan_kernels as kernels
from streamlearn.belt.labels.join import LabelJoin
from streamlearn.belt.labels.kept import KeptEvents
from streamlearn.belt.labels.layout import FEATURES, SAID, SHARE, Layout
from streamlearn.checkpoints.keeper import CheckpointKeeper
from streamlearn.checkpoints.stores import open_store
from streamlearn.config import Labels
from streamlearn.contracts import ShardState
from streamlearn.events import Features, Predictions

BATCH = 4096
LEARNERS = 3
CHECKPOINTS = 100
LABELLED_EVERY = 50  # batches: one in so many is of labels for events all over what waits


def resident_bytes() -> int:
    """What the process holds in memory, mapped files included."""
    fields = dict(
        line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line
    )
    return int(fields["VmRSS"].split()[0]) * 1024


def take(join: LabelJoin, first: int, events: int, features: int, draw: np.random.Generator) -> None:
    """Let a batch of events come, each with what three learners said of it."""
    tokens = pa.array(np.arange(first, first + events)).cast(pa.large_string())
    kinds = np.full(events, kernels.EVENT, np.uint8)
    taken = join.take(tokens, kinds, np.arange(first, first + events), np.zeros(events))
    portion = join.plan(taken)
    assert portion.is_last
    numeric = draw.normal(size=(events, features))
    made = Features(tuple(map(str, range(features))), numeric, np.zeros(numeric.shape, np.bool_), ())
    join.kept.keep(tokens, made, np.zeros((events, 0), np.int32))
    said = Predictions(np.full(events, first), np.zeros(events, np.int32), np.full((events, 2), 0.5))
    for learner in range(LEARNERS):
        join.kept.open.set_said(portion.first_row, learner, said)
    join.finish(taken)


def label(join: LabelJoin, first: int, events: int, now: int, draw: np.random.Generator) -> None:
    """Let labels come for events that wait anywhere, and look up all that is kept of those."""
    chosen = first + draw.choice(events, min(BATCH, events), replace=False)
    tokens = pa.array(chosen).cast(pa.large_string())
    taken = join.take(
        tokens, np.full(len(chosen), kernels.LABEL, np.uint8), np.full(len(chosen), now), np.ones(len(chosen))
    )
    portion = join.plan(taken)
    join.kept.gather(portion.row_O, (*FEATURES, *SAID, SHARE))
    join.finish(taken)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--events", type=int, default=1_000_000)
    asked.add_argument("--features", type=int, default=20)
    asked.add_argument("--folder", default=".", help="on a disk, not in memory")
    options = asked.parse_args()
    draw = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="pending-", dir=options.folder) as folder:
        keeper = CheckpointKeeper(open_store(folder, "bench"), keep=2)
        keeper.claim("bench")
        layout = Layout(options.features, 0, LEARNERS, is_regression=False)
        labels = Labels(id="id", label="y", wait="30d")
        join = LabelJoin(labels, None, KeptEvents(layout, keeper.segments("bench")))
        before, peak, pauses, sequence = resident_bytes(), 0, [], 0
        batches = -(-options.events // BATCH)
        every = max(1, batches // CHECKPOINTS)
        spent = looked = 0.0
        for number in range(batches):
            began = time.perf_counter()
            take(join, number * BATCH, min(BATCH, options.events - number * BATCH), options.features, draw)
            spent += time.perf_counter() - began
            if number % LABELLED_EVERY == LABELLED_EVERY - 1:
                began = time.perf_counter()
                label(join, 0, number * BATCH, number * BATCH, draw)
                looked += time.perf_counter() - began
            if number % every == every - 1 or number == batches - 1:
                began = time.perf_counter()
                part = join.snapshot()
                pauses.append(time.perf_counter() - began)
                sequence += 1
                keeper.publish(
                    ShardState(
                        "bench", "bench", sequence, {}, 0, 0, {}, (), {"labels": part}, {}, {},
                        segments=join.segment_names, segments_from=join.segments_from,
                    )
                )  # fmt: skip
                del part
            peak = max(peak, resident_bytes())
        figures: dict[str, Any] = {
            "events": options.events,
            "pending": join.pending,
            "features": options.features,
            "resident_bytes_before": before,
            "resident_bytes_peak": peak,
            "kept_bytes": join.kept.nbytes,
            "checkpoints": len(pauses),
            "pause_p99_ms": round(float(np.quantile(pauses, 0.99)) * 1e3, 2),
            "pause_max_ms": round(max(pauses) * 1e3, 2),
            "us_an_event": round(spent / options.events * 1e6, 3),
            "us_a_label": round(looked / max(1, batches // LABELLED_EVERY * BATCH) * 1e6, 3),
        }
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
