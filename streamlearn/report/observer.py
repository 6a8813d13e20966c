"""Takes the picture of a belt: looks once, and tells the console and the metrics the same."""

from __future__ import annotations

import time

from streamlearn.belt.loop import Belt
from streamlearn.config import Config
from streamlearn.console.status import Status
from streamlearn.report import status as parts
from streamlearn.report.figures import Figures, figures_of
from streamlearn.report.gauges import set_gauges
from streamlearn.report.readiness import Readiness
from streamlearn.telemetry import Telemetry


class Rate:
    """Events a second over the last few seconds.

    >>> rate = Rate(); rate.note(0.0, 0); rate.note(2.0, 100); rate.per_second
    50.0
    """

    def __init__(self, window_seconds: float = 5.0) -> None:
        self._window_seconds = window_seconds
        self._points: list[tuple[float, int]] = []

    def note(self, now: float, events: int) -> None:
        """So many events had been done by now (monotonic seconds)."""
        self._points = [p for p in self._points if now - p[0] <= self._window_seconds] + [(now, events)]

    @property
    def per_second(self) -> float:
        """0 while there is nothing to measure between."""
        (began, first), (ended, last) = self._points[0], self._points[-1]
        return (last - first) / (ended - began) if ended > began else 0.0


class Observer:
    """Takes the picture of a belt; called by the belt's thread between two steps."""

    def __init__(self, config: Config, belt: Belt, telemetry: Telemetry) -> None:
        self._config = config
        self._belt = belt
        self._telemetry = telemetry
        self._rate = Rate()
        self._readiness = Readiness(config, belt)
        self._began = time.monotonic()

    def observe(self, now: float) -> Status:
        """Take the picture, and set the gauges that show the same."""
        self._rate.note(now, self._belt.totals.events_read)
        figures = figures_of(self._config, self._belt)
        unready = self._tell_readiness(now)
        set_gauges(self._config, self._belt, figures, self._telemetry)
        return self._picture(now, figures, unready)

    def _tell_readiness(self, now: float) -> tuple[str, ...]:
        """Return why this worker is not ready, after the log and the gauges were told."""
        if self._belt.is_connected:
            self._telemetry.broker_back()
        else:
            self._telemetry.broker_lost("the group's coordinator does not answer")
        stuck = self._readiness.stuck(now)
        self._telemetry.partitions_stuck(stuck)
        unready = (*self._readiness.unready(), *stuck.values())
        if unready:
            self._telemetry.not_ready(*unready)
        else:
            self._telemetry.ready()
        return unready

    def _picture(self, now: float, figures: Figures, unready: tuple[str, ...]) -> Status:
        config, belt, totals = self._config, self._belt, self._belt.totals
        models = parts.model_statuses(figures.scores, self._telemetry.happenings.engine_whys())
        return Status(
            stream=config.stream.name,
            task=config.stream.task,
            scope=config.stream.scope,
            role=parts.role_of(config, belt),
            unready=unready,
            at_seconds=time.time(),
            uptime_seconds=now - self._began,
            worker=parts.worker_status(config, belt),
            events_read=totals.events_read,
            events_learned=totals.events_learned,
            events_rejected=totals.events_rejected,
            events_per_second=self._rate.per_second,
            remaining_events=belt.holdings.remaining_events,
            event_time_seconds=None if totals.event_time_us is None else totals.event_time_us / 1e6,
            window_events=config.evaluate.window_events,
            fading_factor=config.evaluate.fading_factor,
            partitions=tuple(parts.partition_statuses(belt)),
            models=tuple(model for model in models if model.engine != "baseline"),
            baselines=tuple(model for model in models if model.engine == "baseline"),
            drift_alarms_total=totals.drift_alarms,
            drift_alarms=parts.drift_alarms(totals),
            movers=parts.mover_statuses(figures.signals),
            rejections=dict(totals.rejections),
            rejected_samples=parts.rejected_statuses(totals),
            labels=parts.labels_status(config, belt, figures),
            checkpoints=tuple(parts.checkpoint_statuses(belt)),
            checkpoints_total=totals.checkpoints_written,
        )
