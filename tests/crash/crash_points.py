"""The named steps around which a worker can be killed. The production code knows nothing of them.

A step is a call of the disk, of the producer, of the member, of the checkpoint store or of the order
journal. ``install`` puts subclasses of the production classes in their places, in this process: they do
the same, count, and end the process by SIGKILL before or after the call that was chosen.
"""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

DISK = ("make_folder", "open_new", "write", "sync", "close", "link", "rename", "remove", "sync_folder")
TRANSACTIONS = (
    "init_transactions",
    "begin_transaction",
    "send_offsets_to_transaction",
    "commit_transaction",
    "abort_transaction",
)
PRODUCER = ("produce", *TRANSACTIONS, "flush")
STEPS = (
    *(f"disk.{name}" for name in DISK),
    *(f"producer.{name}" for name in PRODUCER),
    "member.commit",
    "store.claim",
    "journal.ensure",
    "journal.read_cuts",
)
POINTS = tuple(f"{step}:{side}" for step in STEPS for side in ("before", "after"))

# So that a file is written in several pieces, and a kill between two of them leaves a part of it.
WRITE_BYTES_MAX = 64 * 1024
COLUMN_ROWS_MAX = 16  # so that a kill finds some of a column's records queued, and others not
SEGMENT_ROWS = 64  # so that what waits for its label is sealed often, and forgotten within a run


@dataclass(frozen=True, slots=True)
class KillAt:
    """End the process when it comes to a point for the ``number``-th time (1 is the first)."""

    point: str
    number: int


class Steps:
    """Counts the points that this process has come to, and kills it at one of them."""

    def __init__(self, kill_at: KillAt | None) -> None:
        self._kill_at = kill_at
        self._counting = threading.Lock()
        self.counts: Counter[str] = Counter()

    def come_to(self, point: str) -> None:
        assert point in POINTS, point
        with self._counting:
            self.counts[point] += 1
            if self._kill_at == KillAt(point, self.counts[point]):
                os.kill(os.getpid(), signal.SIGKILL)

    def around(self, step: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return the call as a step, whether it returns or raises."""

        def stepped(*arguments: Any, **named: Any) -> Any:
            self.come_to(f"{step}:before")
            try:
                return call(*arguments, **named)
            finally:
                self.come_to(f"{step}:after")

        return stepped

    def of_class(self, base: type, steps: dict[str, str]) -> type:
        """Return a subclass whose methods are steps; ``steps`` names the step of each."""
        methods = {method: self.around(step, getattr(base, method)) for method, step in steps.items()}
        return type(f"Crashing{base.__name__}", (base,), methods)


def install(kill_at: KillAt | None, *, has_links: bool) -> Steps:
    """Put counting subclasses in the places of the production classes, for the rest of this process.

    ``has_links=False``: the disk is one without hard links, as some network file systems are.
    """
    from streamlearn import assemble
    from streamlearn.belt.labels import layout
    from streamlearn.checkpoints import places
    from streamlearn.connectors import (
        kafka_journal,
        kafka_member,
        kafka_outbox,
        kafka_producers,
        librdkafka_producer,
    )

    steps = Steps(kill_at)
    layout.SEGMENT_ROWS_MIN = layout.SEGMENT_ROWS_MAX = SEGMENT_ROWS

    class InPieces(places.Disk):
        def write(self, file: int, data: memoryview) -> int:
            return super().write(file, data[:WRITE_BYTES_MAX])

        def link(self, path: str, to: str) -> None:
            if not has_links:
                raise OSError(errno.EPERM, "this disk has no links", path)
            super().link(path, to)

    class InSmallColumns(librdkafka_producer.ColumnProducer):
        def produce_columns(
            self, topic: str, keys: pa.LargeBinaryArray, values: pa.LargeBinaryArray, start: int = 0
        ) -> int:
            produce = steps.around("producer.produce", super().produce_columns)
            while start < len(values):
                end = start + COLUMN_ROWS_MAX
                start = produce(topic, keys[:end], values[:end], start)
                if start < min(end, len(values)):
                    break
            return start

    producer = {name: f"producer.{name}" for name in PRODUCER}
    _replace(places, "Disk", steps.of_class(InPieces, {name: f"disk.{name}" for name in DISK}))
    _replace(librdkafka_producer, "ColumnProducer", steps.of_class(InSmallColumns, producer))
    _replace(kafka_producers, "RecordProducer", steps.of_class(kafka_producers.RecordProducer, producer))
    _replace(kafka_member, "Consumer", steps.of_class(kafka_member.Consumer, {"commit": "member.commit"}))
    _replace(
        assemble, "CheckpointKeeper", steps.of_class(assemble.CheckpointKeeper, {"claim": "store.claim"})
    )
    _replace(kafka_outbox, "ensure_journal", steps.around("journal.ensure", kafka_outbox.ensure_journal))
    _replace(kafka_journal, "read_cuts", steps.around("journal.read_cuts", kafka_journal.read_cuts))
    return steps


def _replace(module: Any, name: str, by: Any) -> None:
    assert hasattr(module, name), f"{module.__name__} uses {name} no more: the crash points have to follow"
    setattr(module, name, by)
