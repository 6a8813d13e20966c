"""What is measured on: events, the topics that hold them, and the daemon's config that reads them.

The events of a workload are a pure function of its seed. In a topic their timestamps grow by a millisecond
each over all partitions, so the daemon's merge by time gives them back in the order of the file, and a
bare loop over the file learns exactly what the daemon learns.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from streamlearn.connectors.admin import Record, create_topic, produce_lines

LABEL = "label"
PARTITIONS = 4
BEGIN_MS = 1_700_000_000_000
SEED = 7

_CHUNK_EVENTS = 10_000
_SCALE_MAX = 50.0


def feature_names(features: int) -> tuple[str, ...]:
    """Return the names of the numeric features.

    >>> feature_names(2)
    ('x_00', 'x_01')
    """
    return tuple(f"x_{number:02}" for number in range(features))


def write_events(path: Path, events: int, features: int, *, digits: int | None = None) -> None:
    """Write events as JSON lines: floats of different scales, and a boolean label that depends on them.

    Parameters
    ----------
    features
        20 of full precision make a line of about 550 bytes.
    digits
        Round the floats to so many digits behind the point; None keeps full precision.
    """
    with path.open("wb") as file:
        for line in _lines(events, features, digits):
            file.write(line + b"\n")


def _lines(events: int, features: int, digits: int | None) -> Iterator[bytes]:
    generator = np.random.default_rng(SEED)
    scale_F = generator.uniform(1.0, _SCALE_MAX, features)
    mean_F = generator.normal(0.0, _SCALE_MAX, features)
    weight_F = generator.normal(size=features)
    names = (*feature_names(features), LABEL)
    encode = msgspec.json.Encoder().encode
    for start in range(0, events, _CHUNK_EVENTS):
        chunk = min(_CHUNK_EVENTS, events - start)
        unit_BF = generator.normal(size=(chunk, features))
        label_B = unit_BF @ weight_F + generator.normal(size=chunk) > 0
        x_BF = unit_BF * scale_F + mean_F
        if digits is not None:
            x_BF = x_BF.round(digits)
        for row, label in zip(x_BF.tolist(), label_B.tolist(), strict=True):
            yield encode(dict(zip(names, (*row, label), strict=True)))


def produce(bootstrap_servers: str, topic: str, path: Path, *, times: int = 1) -> int:
    """Make a topic that keeps everything and write the file's lines to it; return how many.

    Parameters
    ----------
    times
        Write the whole file so often, one after the other.

    Raises SourceError.
    """
    create_topic(bootstrap_servers, topic, PARTITIONS, {"retention.ms": "-1", "retention.bytes": "-1"})
    lines = path.read_bytes().splitlines()
    records = (
        Record(line, None, number % PARTITIONS, BEGIN_MS + number)
        for number, line in enumerate(itertools.chain.from_iterable(itertools.repeat(lines, times)))
    )
    return produce_lines(bootstrap_servers, topic, records, properties={"compression.type": "lz4"})


def write_config(
    folder: Path,
    bootstrap_servers: str,
    topic: str,
    features: int,
    *,
    port: int = 0,
    engine: str = "auto",
    scope: str = "stream",
) -> Path:
    """Write the daemon's config, everything but addresses and paths at its default; return its path.

    Parameters
    ----------
    folder
        Takes the config, checkpoints and dead letters.
    topic
        To read; the consumer group is named after the folder, so that each run begins anew.
    port
        Of the console.
    engine
        Of the model.
    scope
        Of the stream: one model for all partitions, or one for each.
    """
    config = folder / "stream.toml"
    names = ", ".join(f'"{name}"' for name in feature_names(features))
    config.write_text(
        f"""\
[stream]
name = "bench"
task = "binary"
scope = "{scope}"

[source.kafka]
bootstrap_servers = "{bootstrap_servers}"
topics = ["{topic}"]
group_id = "{folder.name}"

[event]
label = "{LABEL}"
numeric = [{names}]

[[models]]
name = "logistic"
learner = "river"
engine = "{engine}"
pipeline = ["preprocessing.StandardScaler", "linear_model.LogisticRegression"]

[dead_letters]
path = "{folder.as_posix()}/dead-letters.jsonl"

[checkpoint]
path = "{folder.as_posix()}/checkpoints"

[http]
port = {port}
""",
        encoding="utf-8",
    )
    return config
