"""Every metric and log line: one method per happening, which writes both from the same labels.

A method is named in the past tense for what happened, and its log line carries the method's name. In the
steady state (events come, are learned, are checkpointed) nothing is logged above debug. The registry, the
clock and the logger are passed in; ``Telemetry()`` alone has a registry of its own and logs nothing.
All methods may be called from any thread; those of one partition are called by the belt's thread alone.

To add a metric: a line in ``metrics_table.METRICS``, a method in the file of its group, a panel in grafana/;
tests say what is missing.
"""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from structlog.typing import FilteringBoundLogger

from streamlearn.happenings import LastHappenings, TappedLogger
from streamlearn.instruments import Instruments
from streamlearn.telemetry.checkpoints import CHECKPOINT_OUTCOMES, CheckpointHappenings
from streamlearn.telemetry.core import Clock, Means, silent
from streamlearn.telemetry.events import STAGES, EventHappenings
from streamlearn.telemetry.group import REBALANCES, TRANSACTION_HAPPENINGS, GroupHappenings
from streamlearn.telemetry.labels import LabelHappenings
from streamlearn.telemetry.models import WINDOWS, ModelHappenings
from streamlearn.telemetry.process import ProcessHappenings

__all__ = [
    "CHECKPOINT_OUTCOMES",
    "REBALANCES",
    "STAGES",
    "TRANSACTION_HAPPENINGS",
    "WINDOWS",
    "Clock",
    "Telemetry",
    "silent",
]


class Telemetry(
    ProcessHappenings,
    GroupHappenings,
    EventHappenings,
    LabelHappenings,
    ModelHappenings,
    CheckpointHappenings,
):
    """What the daemon tells the world of itself.

    Parameters
    ----------
    registry
        Where the metrics live; one ``Telemetry`` a registry. A fresh one by default.
    clock
        Seconds since 1970. Only for telling time to people, never for deciding anything.
    log
        A structlog logger, from ``logs.configure_logs``; by default nothing is logged.

    >>> from streamlearn.events import TopicPartition
    >>> telemetry = Telemetry()
    >>> flights = TopicPartition("flights", 0)
    >>> telemetry.events_learned(flights, learned=3, predicted=1, event_time_seconds=1356998400.0)
    >>> labels = {"topic": "flights", "partition": "0", "outcome": "learned"}
    >>> telemetry.registry.get_sample_value("streamlearn_events_total", labels)
    3.0
    """

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        clock: Clock = time.time,
        log: FilteringBoundLogger | None = None,
    ) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        self.happenings = LastHappenings(clock)  # what the live page shows of the log
        tapped = TappedLogger(silent() if log is None else log, self.happenings)
        super().__init__(Means(Instruments(self.registry), clock, tapped))
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
