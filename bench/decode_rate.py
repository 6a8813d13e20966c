"""Rates of decoding JSON, on one core: the scanner, the library route (msgspec), polars.

    python -m bench.decode_rate [--quick]

All three turn the same messages into columns of the contract's fields. The scanner and the library route
take them as a batch of messages, as they come from Kafka, and say of each row what is wrong with it; polars
gets them joined by line ends beforehand, one thread, with the schema given, and fails all where one is bad.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Console

from bench.harness import Contender, Record, Target, compare, results_table, run_program, take_turns
from streamlearn.belt.decode import JsonDecoder
from streamlearn.belt.decode_fields import class_tokens, rules, time_scale
from streamlearn.belt.decode_library import LibraryDecoder
from streamlearn.config import Event
from streamlearn.events import RAW_SCHEMA

SCANNER, LIBRARY, POLARS = "scanner", "msgspec", "polars"
BATCH_MESSAGES = 5000
SEED = 1
SECONDS_MAX = 600.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Shape:
    """What the messages of a workload look like, and what is wanted of them."""

    name: str
    event: Event
    message: Callable[[random.Random], dict[str, Any]]
    shuffled: bool = False  # the keys of each message, in an order of its own
    target: Target | None = None


def _floats(count: int) -> tuple[str, ...]:
    return tuple(f"feature_{i}" for i in range(count))


def _random_floats(count: int) -> Callable[[random.Random], dict[str, Any]]:
    names = _floats(count)
    return lambda chance: {**{name: chance.gauss(0, 1) for name in names}, "late": chance.random() < 0.5}


def _mixed(chance: random.Random) -> dict[str, Any]:
    return {
        "id": f"{chance.randrange(10**12):012}",
        "at": f"2026-01-{chance.randrange(1, 29):02}T{chance.randrange(24):02}:05:09.{chance.randrange(1000):03}Z",
        **{f"count_{i}": chance.randrange(10 ** (i + 1)) for i in range(5)},
        **{f"kind_{i}": chance.choice(["AA", "carrier", "LaGuardia Airport", "é"]) for i in range(5)},
        "late": chance.randrange(2),
    }


_MIXED = Event(
    label="late",
    id="id",
    time="at",
    numeric=tuple(f"count_{i}" for i in range(5)),
    categorical=tuple(f"kind_{i}" for i in range(5)),
)


def _with_extras(chance: random.Random) -> dict[str, Any]:
    return {
        "meta": {"host": "node-7", "tags": ["a", 'b "quoted"', None], "at": {"line": chance.randrange(999)}},
        **_random_floats(10)(chance),
        "trace": [{"span": chance.randrange(10**9), "ok": True} for _ in range(chance.randrange(4))],
    }


SHAPES = (
    Shape(
        "20_floats",
        Event(label="late", numeric=_floats(20)),
        _random_floats(20),
        target=Target("ratio", at_least=2.5),
    ),
    Shape("20_floats_any_order", Event(label="late", numeric=_floats(20)), _random_floats(20), shuffled=True),
    Shape("5_ints_5_categories_time_id", _MIXED, _mixed),
    Shape("200_floats", Event(label="late", numeric=_floats(200)), _random_floats(200)),
    Shape("10_floats_and_nested_extras", Event(label="late", numeric=_floats(10)), _with_extras),
)


def measure(*, quick: bool, say: Say) -> list[Record]:
    """Measure all shapes, in a process of their own, and return benchmark records (rows/s of one core).

    Raises ContenderFailed.
    """
    arguments = ["-m", "bench.decode_rate", "--records", *(["--quick"] if quick else [])]
    environment = os.environ | {"POLARS_MAX_THREADS": "1"}
    records: list[Record] = run_program(arguments, seconds_max=SECONDS_MAX, environment=environment)
    for record in records:
        say(f"{record['name']}: {record.get('taken', 1.0):.2%} taken by the scanner")
    return records


def _measured(shape: Shape, *, quick: bool) -> list[Record]:
    messages = _messages(shape, (10_000_000 if quick else 40_000_000))
    contenders = [
        Contender((name,), lambda name=name, turn=turn: {name: len(messages) / _seconds(turn)})
        for name, turn in _turns(shape, messages).items()
    ]
    for contender in contenders:
        contender.take_turn()  # warm
    series = take_turns(contenders, 3 if quick else 9, _nothing)
    said = {
        "bytes": sum(map(len, messages)) / len(messages),
        "taken": _taken(shape, messages),
        "shape": shape.name,
    }
    records = [
        compare(series, SCANNER, POLARS, "rows/s", shape.target),
        compare(series, SCANNER, LIBRARY, "rows/s"),
    ]
    return [{**record, "name": f"{SCANNER}_{shape.name}", **said} for record in records]


def _nothing(name: str, figures: Mapping[str, float]) -> None:
    """Stdout is for the records."""


def _messages(shape: Shape, total_bytes: int) -> list[bytes]:
    chance = random.Random(SEED)
    messages: list[bytes] = []
    while total_bytes > 0:
        fields = list(shape.message(chance).items())
        if shape.shuffled:
            chance.shuffle(fields)
        messages.append(json.dumps(dict(fields), ensure_ascii=False).encode())
        total_bytes -= len(messages[-1])
    return messages


def _turns(shape: Shape, messages: list[bytes]) -> dict[str, Callable[[], object]]:
    import polars  # reads POLARS_MAX_THREADS when it is imported

    decoder = JsonDecoder(shape.event, "binary")
    assert decoder.engine == SCANNER
    typed = list(decoder.schema)[len(RAW_SCHEMA) :]
    library = LibraryDecoder(rules(shape.event, "binary"), typed, shape.event.message_bytes_max)
    batches = _batches(messages)
    timestamps_us = np.zeros(BATCH_MESSAGES, np.int64)
    lines = [b"\n".join(messages[i : i + BATCH_MESSAGES]) for i in range(0, len(messages), BATCH_MESSAGES)]
    label = polars.Int64 if shape.event.id else polars.Boolean
    schema: dict[str, Any] = dict.fromkeys(shape.event.numeric, polars.Float64)
    schema |= dict.fromkeys((*shape.event.categorical, shape.event.id, shape.event.time), polars.String)
    schema = {name: dtype for name, dtype in schema.items() if name is not None} | {"late": label}
    return {
        SCANNER: lambda: [decoder.decode(batch) for batch in batches],
        LIBRARY: lambda: [
            library.columns(batch.column("value"), timestamps_us[: len(batch)]) for batch in batches
        ],
        POLARS: lambda: [polars.read_ndjson(some, schema=schema) for some in lines],
    }


def _batches(messages: list[bytes]) -> list[pa.RecordBatch]:
    zeros = [0] * len(messages)
    columns = [zeros, zeros, zeros, zeros, [None] * len(messages), messages]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, RAW_SCHEMA, strict=True)]
    batch = pa.RecordBatch.from_arrays(arrays, schema=RAW_SCHEMA)
    return [batch.slice(i, BATCH_MESSAGES) for i in range(0, len(messages), BATCH_MESSAGES)]


def _taken(shape: Shape, messages: list[bytes]) -> float:
    from streamlearn.belt.scan import Scanner  # imports Numba

    decoder = JsonDecoder(shape.event, "binary")
    scanner = Scanner(
        rules(shape.event, "binary"),
        class_tokens(shape.event, "binary"),
        time_scale(shape.event),
        list(decoder.schema)[len(RAW_SCHEMA) :],
        shape.event.message_bytes_max,
    )
    scanned = scanner.scan(pa.array(messages, pa.large_binary()), np.zeros(len(messages), np.int64))
    return 1 - float(scanned.doubtful_B.mean())


def _seconds(turn: Callable[[], object]) -> float:
    started = time.process_time()
    turn()
    return time.process_time() - started


def main() -> None:
    """Measure and print a table; with ``--records`` the records as JSON."""
    parser = argparse.ArgumentParser(description="Rates of decoding JSON.")
    parser.add_argument("--quick", action="store_true", help="fewer messages and rounds")
    parser.add_argument("--records", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.records:
        print(json.dumps([record for shape in SHAPES for record in _measured(shape, quick=options.quick)]))
        return
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(results_table(measure(quick=options.quick, say=console.print)))


if __name__ == "__main__":
    main()
