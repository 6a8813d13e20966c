"""Compiles what will be needed before the first event, so that no event waits for it. A part of ``assemble``."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, Protocol

import msgspec
import pyarrow as pa

from streamlearn.belt.messages.arrow import message_of
from streamlearn.belt.sending import RECORDS
from streamlearn.belt.shard import Shard
from streamlearn.config import Config
from streamlearn.events import RAW_SCHEMA
from streamlearn.native import is_compiled
from streamlearn.telemetry import Telemetry

MESSAGES = 8  # enough for the decoder to take its fast route
# Their kernels are ours. Other engines have none, and a user's own model is not shown what never happened.
WARMED = ("compiled", "baseline")


class Decoder(Protocol):
    @property
    def engine(self) -> Literal["scanner", "msgspec", "arrow"]: ...

    def decode(self, raw: pa.RecordBatch) -> pa.RecordBatch: ...


def is_quick() -> bool:
    """Return whether warming up only loads what is on the disk, within a second, or has to compile."""
    return is_compiled()


def warm_up(config: Config, decoder: Decoder, probe: Shard, telemetry: Telemetry) -> None:
    """Take a few made-up events the whole way through decoder and shard; both are as good as new, or thrown away.

    Parameters
    ----------
    decoder
        Stateless, so nothing of it stays in there.
    probe
        A shard of this config that learns nothing else.
    """
    began = time.perf_counter()
    cold = not is_compiled()
    if cold:
        telemetry.kernels_compiling()
    learners = [each for each in probe.parts.learners if each.engine in WARMED]
    probe.parts = replace(probe.parts, learners=learners)
    for outcome in probe.advance(decoder.decode(_made_up(config))):
        if config.predictions is not None:
            for _records in RECORDS[config.predictions.format](outcome, config.stream.name, config.topics):
                pass  # as they would leave; they go nowhere
    telemetry.kernels_ready(decoder.engine, time.perf_counter() - began, cold=cold)


def _made_up(config: Config) -> pa.RecordBatch:
    """Return raw messages that the contracts accept, with both or several labels among them."""
    event = config.event
    fields: dict[str, Any] = dict.fromkeys(event.numeric, 0.5) | dict.fromkeys(event.categorical, "a")
    if event.time is not None:
        fields.setdefault(event.time, "2020-01-01T00:00:00Z" if event.time_format == "iso8601" else 0)
    classes: tuple[Any, ...] = event.classes or {"multiclass": ("a", "b"), "regression": (0.5, 1.5)}.get(
        config.stream.task, (False, True)
    )
    labels = [classes[number % len(classes)] for number in range(MESSAGES)]
    topic = next(number for number, name in enumerate(config.topics) if name != config.label_topic)
    made = []
    for number, label in enumerate(labels):
        made.append((topic, number, fields.copy()))
        if event.id is not None:
            made[-1][2].setdefault(event.id, number)
        if event.label is not None:
            made[-1][2][event.label] = label
    if config.labels is not None:
        contract = config.labels
        for number, label in enumerate(labels):
            message = {contract.id: number, contract.label: label}
            if contract.time is not None:
                message.setdefault(
                    contract.time, "2020-01-01T00:00:00Z" if contract.time_format == "iso8601" else 0
                )
            made.append((config.topics.index(contract.topic), number, message))
    topics, offsets, messages = zip(*made, strict=True)
    columns = {
        "topic": topics,
        "partition": [0] * len(made),
        "offset": offsets,
        "timestamp_ms": [0] * len(made),
        "key": [None] * len(made),
        "value": [_encoded(message, event.format) for message in messages],
    }
    return pa.RecordBatch.from_pydict(columns, schema=RAW_SCHEMA)


def _encoded(message: Mapping[str, Any], form: Literal["json", "arrow"]) -> bytes:
    if form == "arrow":
        return message_of(pa.RecordBatch.from_pylist([dict(message)]))
    return msgspec.json.encode(message)
