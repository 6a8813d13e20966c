"""What the watch over inputs and outputs adds to an event, beside a compiled pipeline in memory.

    python -m bench.watching_rate [--batch-events N] [--turns N]

The same shard (20 numbers; a scaler and a logistic regression, compiled; the baselines; all metrics) takes the same
batches with the watch and without it, in turns within one process, and the best turn of each counts, in processor time. Decoding, which
comes before, is told beside it.

Shape letters: B events, F numeric features.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from streamlearn.assemble import make_decoder, shard_factory
from streamlearn.config import Config
from streamlearn.config_file import parse
from streamlearn.events import RAW_SCHEMA, TopicPartition

EVENTS = 50_000
FEATURES = 20
CONFIG = """
[stream]
name = "watching"
task = "binary"
[source.files]
paths = ["nothing.jsonl"]
[event]
label = "y"
numeric = {names}
[[models]]
name = "logistic"
learner = "river"
engine = "compiled"
pipeline = ["preprocessing.StandardScaler", "linear_model.LogisticRegression"]
[drift]
watch = {watch}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--batch-events", type=int, default=5000)
    parser.add_argument("--turns", type=int, default=40)
    options = parser.parse_args()
    names = [f"x{place}" for place in range(FEATURES)]
    without, watched = (
        parse(CONFIG.format(names=json.dumps(names), watch=json.dumps(watch)), [], {})
        for watch in ([], ["inputs", "outputs", "errors"])
    )
    raw = raw_batches(names, options.batch_events)
    decoder = make_decoder(without)
    decoding = learning = watching = float("inf")
    batches: list[pa.RecordBatch] = []
    for _ in range(options.turns):
        began = time.thread_time()
        batches = [decoder.decode(each) for each in raw]
        decoding = min(decoding, time.thread_time() - began)
        learning = min(learning, seconds(without, batches))
        watching = min(watching, seconds(watched, batches))
    events = sum(each.num_rows for each in raw)
    decoding, learning, watching = (1e6 * each / events for each in (decoding, learning, watching))
    added = watching - learning
    print(f"decode {decoding:.3f} us, the shard {learning:.3f} us an event; the watch adds {added:.3f} us:")
    print(f"{added / learning:.1%} of the shard, {added / (learning + decoding):.1%} of shard and decoding")


def raw_batches(names: Sequence[str], batch_events: int) -> list[pa.RecordBatch]:
    """Return messages of full-precision floats, ``EVENTS`` in all; the batches differ in their offsets alone."""
    random = np.random.default_rng(7)
    x_BF = random.normal(size=(batch_events, len(names)))
    y_B = x_BF[:, 0] + random.normal(size=batch_events) > 0.0
    values = [
        json.dumps({**dict(zip(names, row, strict=True)), "y": label}).encode()
        for row, label in zip(x_BF.tolist(), y_B.tolist(), strict=True)
    ]
    made = []
    for start in range(0, EVENTS, batch_events):
        offsets = np.arange(start, start + batch_events)
        columns = {"offset": offsets, "timestamp_ms": offsets, "key": [None] * batch_events, "value": values}
        columns |= {"topic": [0] * batch_events, "partition": [0] * batch_events}
        made.append(pa.RecordBatch.from_pydict(columns, schema=RAW_SCHEMA))
    return made


def seconds(config: Config, batches: Sequence[pa.RecordBatch]) -> float:
    """Return how much processor time a new shard takes for all batches."""
    shard = shard_factory(config)("watching", {TopicPartition(config.topics[0], 0): 0})
    began = time.thread_time()
    for batch in batches:
        for _outcome in shard.advance(batch):
            pass
    return time.thread_time() - began


if __name__ == "__main__":
    main()
