"""What is measured on: events, and the topics that hold them.

The events of a workload are a pure function of its seed. In a topic their timestamps grow by a millisecond
each over all partitions, so the daemon's merge by time gives them back in the order of the file, and a
bare loop over the file learns exactly what the daemon learns.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamlearn.commands.produce import arrow_messages
from streamlearn.connectors.admin import Record, create_topic, produce_lines

LABEL = "label"
PARTITIONS = 4
ARROW_EVENTS = 1000  # in a message
BEGIN_MS = 1_700_000_000_000
SEED = 7

_CHUNK_EVENTS = 10_000
_SCALE_MAX = 50.0
_CATEGORIES = 40
_CATEGORY = "category"
_TEXT = "What came with the event and is of no use to a model. "


@dataclass(frozen=True, slots=True)
class Shape:
    """What an event of a workload holds beside its boolean label.

    Parameters
    ----------
    floats, integers, booleans
        How many numeric features of each type. 20 floats of full precision make a line of about 550 bytes.
    categorical
        How many features of text; the values of each are of uneven frequency.
    null_share
        Of the numeric values: so many are null.
    text_bytes
        Of one more field, a text that no model reads.
    digits
        The floats are rounded to so many digits behind the point; None keeps full precision.
    """

    floats: int = 20
    integers: int = 0
    booleans: int = 0
    categorical: int = 0
    null_share: float = 0.0
    text_bytes: int = 0
    digits: int | None = None

    @property
    def numeric_names(self) -> tuple[str, ...]:
        return feature_names(self.floats + self.integers + self.booleans)

    @property
    def categorical_names(self) -> tuple[str, ...]:
        return feature_names(self.categorical, "c")


def feature_names(features: int, letter: str = "x") -> tuple[str, ...]:
    """Return the names of features.

    >>> feature_names(2)
    ('x_00', 'x_01')
    """
    return tuple(f"{letter}_{number:02}" for number in range(features))


def write_events(path: Path, events: int, shape: Shape) -> None:
    """Write events as JSON lines: numbers of different scales, and a boolean label that depends on them."""
    with path.open("wb") as file:
        for line in _lines(events, shape):
            file.write(line + b"\n")


def _lines(events: int, shape: Shape) -> Iterator[bytes]:
    generator = np.random.default_rng(SEED)
    features = len(shape.numeric_names)
    scale_F = generator.uniform(1.0, _SCALE_MAX, features)
    mean_F = generator.normal(0.0, _SCALE_MAX, features)
    weight_F = generator.normal(size=features)
    names = (*shape.numeric_names, *shape.categorical_names, LABEL, *(("text",) if shape.text_bytes else ()))
    text = (_TEXT * (shape.text_bytes // len(_TEXT) + 1))[: shape.text_bytes]
    encode = msgspec.json.Encoder().encode
    for start in range(0, events, _CHUNK_EVENTS):
        chunk = min(_CHUNK_EVENTS, events - start)
        unit_BF = generator.normal(size=(chunk, features))
        label_B = unit_BF @ weight_F + generator.normal(size=chunk) > 0
        x_BF = unit_BF * scale_F + mean_F
        if shape.digits is not None:
            x_BF = x_BF.round(shape.digits)
        columns = _typed(shape, x_BF, unit_BF)
        for number in range(shape.categorical):
            rank_B = generator.geometric(0.1, chunk) % _CATEGORIES
            columns.append([f"{_CATEGORY} {(each + number) % _CATEGORIES}" for each in rank_B.tolist()])
        if shape.null_share:
            for column in columns[:features]:
                for row in np.flatnonzero(generator.random(chunk) < shape.null_share).tolist():
                    column[row] = None
        columns += [label_B.tolist(), *([[text] * chunk] if text else [])]
        for row in zip(*columns, strict=True):
            yield encode(dict(zip(names, row, strict=True)))


def _typed(shape: Shape, x_BF: NDArray[np.float64], unit_BF: NDArray[np.float64]) -> list[list[Any]]:
    """Return the numeric columns as they are written: floats first, then integers, then booleans."""
    integers, booleans = shape.floats, shape.floats + shape.integers
    return [
        *(x_BF[:, f].tolist() for f in range(integers)),
        *(x_BF[:, f].round().astype(np.int64).tolist() for f in range(integers, booleans)),
        *((unit_BF[:, f] > 0).tolist() for f in range(booleans, x_BF.shape[1])),
    ]


def produce(
    bootstrap_servers: str, topic: str, path: Path, *, times: int = 1, partitions: int = PARTITIONS
) -> None:
    """Make a topic that keeps everything and write the file's lines to it, so often, one after the other.

    Raises SourceError.
    """
    lines = path.read_bytes().splitlines()
    _fill(bootstrap_servers, topic, lines, times, partitions, 1)


def produce_arrow(bootstrap_servers: str, topic: str, path: Path, *, times: int = 1) -> None:
    """The same as Arrow, ``ARROW_EVENTS`` in a message. Raises SourceError."""
    with path.open("rb") as file:
        messages = list(arrow_messages((line.rstrip() for line in file), ARROW_EVENTS))
    _fill(bootstrap_servers, topic, messages, times, PARTITIONS, ARROW_EVENTS)


def _fill(
    bootstrap_servers: str, topic: str, messages: list[bytes], times: int, partitions: int, step_ms: int
) -> None:
    create_topic(bootstrap_servers, topic, partitions, {"retention.ms": "-1", "retention.bytes": "-1"})
    records = (
        Record(message, None, number % partitions, BEGIN_MS + number * step_ms)
        for number, message in enumerate(itertools.chain.from_iterable(itertools.repeat(messages, times)))
    )
    produce_lines(bootstrap_servers, topic, records, properties={"compression.type": "lz4"})
