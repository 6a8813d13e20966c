"""What every group of happenings is given, and what it may be told of the others' happenings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import structlog
from structlog.typing import FilteringBoundLogger

from streamlearn.config import Config
from streamlearn.events import TopicPartition
from streamlearn.happenings import TappedLogger
from streamlearn.instruments import Instruments

Clock = Callable[[], float]  # seconds since 1970, UTC


def _drop(_logger: Any, _method: str, _line: Any) -> Any:
    raise structlog.DropEvent


def silent() -> FilteringBoundLogger:
    """Return a logger that says nothing.

    >>> silent().error("never seen")
    """
    logger: FilteringBoundLogger = structlog.wrap_logger(
        None,
        processors=[_drop],
        wrapper_class=structlog.make_filtering_bound_logger("critical"),
    ).bind()
    return logger


@dataclass(frozen=True, slots=True)
class Means:
    """By what happenings are told: metrics, a clock, a logger; and the lock of what threads share."""

    make: Instruments
    clock: Clock
    log: TappedLogger
    lock: Lock = field(default_factory=Lock)


class Happenings:
    """One group of happenings: makes its metrics from ``means``, and has one method a happening.

    The groups are the bases of one class, ``Telemetry``. A group overrides a ``_when_`` method to take part in
    a happening of another group, and calls ``super()`` in it.
    """

    def __init__(self, means: Means) -> None:
        self._clock = means.clock
        self._log = means.log
        self._lock = means.lock

    def _when_started(self, config: Config) -> None:
        """Make the series that alerts count from, at 0: a first alarm is else no increase."""

    def _when_no_shard_is_left(self) -> None:
        """Drop what was said of the shards that this worker held."""


def place(partition: TopicPartition) -> dict[str, Any]:
    """Return a partition as log lines name it."""
    return {"topic": partition.topic, "partition": partition.partition}
