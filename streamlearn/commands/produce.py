"""``streamlearn produce``."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import pyarrow as pa

from streamlearn.belt.messages.arrow import message_of
from streamlearn.connectors.admin import Record, create_topic, produce_lines
from streamlearn.environment import Environment
from streamlearn.errors import SourceError

DEFAULT_BOOTSTRAP_SERVERS = "localhost:9092"


@dataclass(frozen=True, slots=True)
class ProduceOptions:
    """What to write where; ``file`` None means the demo's flights, ``-`` stdin."""

    topic: str
    file: Path | None
    key: str | None
    partitions: int
    events: int | None
    rate: float | None
    bootstrap_servers: str | None
    format: Literal["json", "arrow"] = "json"
    batch_events: int = 1000


def servers_or_default(named: str | None) -> str:
    """Return the brokers that a command was told, or that the environment names, or the usual ones."""
    return named or Environment().streamlearn_bootstrap_servers or DEFAULT_BOOTSTRAP_SERVERS


def produce_events(options: ProduceOptions) -> dict[str, Any]:
    """Write the events, and return how many in which time. Raises StreamlearnError."""
    servers = servers_or_default(options.bootstrap_servers)
    create_topic(servers, options.topic, options.partitions, {})
    began = time.monotonic()
    with ExitStack() as stack:
        lines = itertools.islice(_lines(options, stack), options.events)
        if options.format == "arrow":
            events = _produce_batches(servers, options, lines)
        else:
            key = options.key or ("id" if options.file is None else None)
            events = produce_lines(servers, options.topic, lines, key_field=key, rate=options.rate)
    return {"topic": options.topic, "events": events, "seconds": round(time.monotonic() - began, 3)}


def _produce_batches(servers: str, options: ProduceOptions, lines: Iterable[bytes]) -> int:
    """Write messages of many events each, in order; return how many events."""
    counted = itertools.count()
    batches = arrow_messages((line for line, _ in zip(lines, counted, strict=False)), options.batch_events)
    rate = None if options.rate is None else options.rate / options.batch_events
    produce_lines(servers, options.topic, map(Record, batches), rate=rate)
    return next(counted)


def arrow_messages(lines: Iterable[bytes], batch_events: int) -> Iterator[bytes]:
    """Yield JSON lines as Arrow messages of so many events each; the last may hold fewer. Raises SourceError.

    >>> [len(message) > 0 for message in arrow_messages([b'{"x": 1}', b'{"x": 2}', b'{"x": 3}'], 2)]
    [True, True]
    """
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    lines = iter(lines)
    number = 0
    while some := list(itertools.islice(lines, batch_events)):
        try:
            yield message_of(pa.RecordBatch.from_pylist([decode(line) for line in some]))
        except (msgspec.DecodeError, pa.ArrowException) as error:
            raise SourceError(
                f"lines {number + 1} to {number + len(some)} make no record batch: {error}",
                remedy="write JSON objects whose fields are of one type each, or --format json",
            ) from error
        number += len(some)


def _lines(options: ProduceOptions, stack: ExitStack) -> Iterable[bytes]:
    if options.file is None:
        from streamlearn.demo.flights import flight_events

        return flight_events(options.events)
    if str(options.file) == "-":
        return _stripped(sys.stdin.buffer)
    try:
        return _stripped(stack.enter_context(options.file.open("rb")))
    except OSError as error:
        raise SourceError(
            f"{options.file} cannot be read: {error}", remedy="name a file of JSON lines"
        ) from error


def _stripped(lines: Iterable[bytes]) -> Iterator[bytes]:
    return (line.rstrip(b"\r\n") for line in lines)
