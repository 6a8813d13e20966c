"""The production belt over a source, sinks and a clock in memory, for tests."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
from memory_source import MemoryMembership, MemoryReader, Row
from memory_transactions import MemoryTransactions

from streamlearn.assemble import make_decoder, shard_factory
from streamlearn.belt.checkpointing import CheckpointWriter
from streamlearn.belt.intake import Intake
from streamlearn.belt.loop import Belt
from streamlearn.belt.parts import Parts
from streamlearn.belt.sending import SharedOutbox
from streamlearn.checkpoints.inspect import show
from streamlearn.checkpoints.keeper import CheckpointKeeper
from streamlearn.checkpoints.stores import open_store
from streamlearn.config import Config
from streamlearn.config_file import parse
from streamlearn.contracts import DeadLetter
from streamlearn.telemetry import Telemetry

CONFIG = """
[stream]
name = "flow"
task = "binary"

[source.kafka]
bootstrap_servers = "nowhere:1"
topics = ["events"]
group_id = "flow"

[event]
label = "y"
time = "t"
time_format = "epoch_milliseconds"
id = "id"
numeric = ["a", "b"]
categorical = ["c"]

[[models]]
name = "logistic"
learner = "river"
pipeline = [{ use = "compose.Select", keys = ["a", "b"] }, "preprocessing.StandardScaler", "linear_model.LogisticRegression"]

[predictions]
topic = "predictions"
"""


def labels_section(topic: str, on_late_label: str = "learn") -> str:
    """The ``[labels]`` that goes with ``delayed``: half of the waits end without a label, some labels come late."""
    return f"""
[labels]
topic = "{topic}"
id = "of"
label = "y"
time = "t"
time_format = "epoch_milliseconds"
wait = "2s"
on_expiry = false
on_late_label = "{on_late_label}"
on_correction = "learn"
early_max = 20
"""


DELAYED = CONFIG.replace('label = "y"\n', "") + labels_section("labels")

TORCH = """
[[models]]
name = "mlp"
learner = "torch"
hidden = [8]
batch_events = 32
"""


def events(count: int, partitions: int, seed: int = 0, *, bad_every: int = 0) -> dict[int, list[Row]]:
    """Return logs of JSON events whose times interleave the partitions, some late within their own."""
    draw = random.Random(seed)
    logs: dict[int, list[Row]] = {partition: [] for partition in range(partitions)}
    for number in range(count):
        a, b = draw.gauss(0, 1), draw.gauss(3, 2)
        event = {
            "id": number,
            "t": number * 10 + draw.randrange(-40, 40),
            "a": a,
            "b": b if draw.random() > 0.1 else None,
            "c": draw.choice(["x", "y", "z"]),
            "y": (a + b > 3) if draw.random() > 0.1 else None,
        }
        value = json.dumps(event).encode()
        if bad_every and number % bad_every == 0:
            value = b"{" + value
        logs[draw.randrange(partitions)].append((str(number).encode(), value, number))
    return logs


def delayed(
    logs: Mapping[int, Sequence[Row]], seed: int = 0
) -> tuple[dict[int, list[Row]], dict[int, list[Row]]]:
    """Return logs of the same events without labels, and logs of their labels: late, early, twice, corrected, never."""
    draw = random.Random(seed)
    without: dict[int, list[Row]] = {}
    labels: dict[int, list[Row]] = {}
    for partition, rows in logs.items():
        without[partition] = []
        told: list[tuple[int, Row]] = []
        for key, value, timestamp_ms in rows:
            assert value is not None
            if not value.startswith(b'{"'):
                without[partition].append((key, value, timestamp_ms))
                continue
            event = json.loads(value)
            y = event.pop("y")
            without[partition].append((key, json.dumps(event).encode(), timestamp_ms))
            for _ in range(draw.choice([0, 1, 1, 1, 1, 2]) if y is not None else 0):
                at = event["t"] + draw.choice([-30, 5, 100, 800, 1500, 3000, 6000])
                answer = y if draw.random() > 0.1 else not y
                label = json.dumps({"of": event["id"], "t": at, "y": answer}).encode()
                told.append((at, (key, label, timestamp_ms)))
        labels[partition] = [row for _, row in sorted(told, key=lambda each: each[0])]
    return without, labels


def _set() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


@dataclass
class MemorySink:
    """Keeps what was sent; ``flush`` can be made to wait."""

    records: list[tuple[bytes | None, dict[str, Any]]] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    flushes: threading.Event = field(default_factory=_set)  # cleared: ``flush`` waits for it

    def send_predictions(self, keys: pa.LargeBinaryArray, values: pa.LargeBinaryArray) -> None:
        rows = zip(keys.to_pylist(), values.to_pylist(), strict=True)
        self.records += [(key, json.loads(value)) for key, value in rows]

    def send_letters(self, letters: Sequence[DeadLetter]) -> None:
        self.letters += letters

    def flush(self, timeout_seconds: float) -> bool:
        return self.flushes.wait(timeout_seconds)

    def close(self) -> None:
        pass


class _Predictions(MemorySink):
    send = MemorySink.send_predictions


class _Letters(MemorySink):
    send = MemorySink.send_letters


class World:
    """One worker's belt over logs in memory, with checkpoints in a folder."""

    def __init__(
        self,
        folder: Path,
        logs: Mapping[int, Sequence[Row]],
        *,
        text: str = CONFIG,
        overrides: Sequence[str] = (),
        poll_events: int = 100,
        rows_each: int = 3,
        threaded: bool = False,
        until_end: bool = True,
        assigned: Sequence[int] | None = None,
        transactions: MemoryTransactions | None = None,
        labels: Mapping[int, Sequence[Row]] | None = None,
    ) -> None:
        self.folder = folder
        self.config: Config = parse(text, [f"checkpoint.path={folder.as_posix()}", *overrides], {})
        self.reader = MemoryReader(logs, rows_each, labels)
        events = [p for p in self.reader.partitions() if p.topic != self.config.label_topic]
        owned = [p for p in events if assigned is None or p.partition in assigned]
        self.membership = MemoryMembership(owned)
        self.telemetry = Telemetry()
        self.predictions, self.letters = _Predictions(), _Letters()
        store = CheckpointKeeper(
            open_store(self.config.checkpoint.path, self.config.stream.name), keep=self.config.checkpoint.keep
        )
        decoder = make_decoder(self.config)
        self.parts = Parts(
            topics=self.reader.topics,
            membership=self.membership,
            intake=Intake(self.reader, decoder, poll_events, 1 << 24, threaded=threaded),
            identify=lambda _reader: {"cluster_id": "memory"},
            new_shard=shard_factory(self.config, store.segments),
            store=store,
            writer=CheckpointWriter(store, threaded=threaded),
            open_outbox=lambda shard, partitions: (
                SharedOutbox(self.predictions, self.letters)
                if transactions is None
                else transactions.outbox(shard, partitions)
            ),
            close_outlets=(self.predictions.close, self.letters.close),
            telemetry=self.telemetry,
            check_config=lambda state: shard_factory(self.config)("probe", {}).check_config(state),
            predicts="json" if self.config.predictions is None else self.config.predictions.format,
            outbox_commits=transactions is not None,
            read_cuts=(lambda _shard, _after: ()) if transactions is None else transactions.read_cuts,
        )
        self.belt = Belt(self.config, self.parts, until_end=until_end)

    def steps(self, count: int) -> None:
        """Step so often, at a clock that shows the number of the step in seconds."""
        for second in range(count):
            self.belt.step(float(second))

    def run(
        self, stop_after: int | None = None, deadline_seconds: float = 60.0, *, begins_at: float = 0.0
    ) -> World:
        """Step to the end (or until so many events were read), checkpoint, and close; ``begins_at``: the clock."""
        deadline = time.monotonic() + deadline_seconds
        second = begins_at
        while not self.belt.is_done:
            assert time.monotonic() < deadline, f"not done after {self.belt.totals}"
            self.belt.step(second)
            second += 0.001
            if stop_after is not None and self.belt.totals.events_read >= stop_after:
                break
        self.belt.checkpoint_all(deadline_seconds)
        self.belt.abandon()
        return self

    def digests(self) -> dict[str, str]:
        """The state digest of each shard in the folder."""
        return {shard["shard"]: shard["state_digest"] for shard in show(str(self.folder))["shards"]}

    def metric(self, name: str, **labels: str) -> float | None:
        """A metric's value as a scrape would show it."""
        return self.telemetry.registry.get_sample_value(name, labels)
