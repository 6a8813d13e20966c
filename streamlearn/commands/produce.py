"""``streamlearn produce``."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamlearn.connectors.admin import create_topic, produce_lines
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
        key = options.key or ("id" if options.file is None else None)
        events = produce_lines(servers, options.topic, lines, key_field=key, rate=options.rate)
    return {"topic": options.topic, "events": events, "seconds": round(time.monotonic() - began, 3)}


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
