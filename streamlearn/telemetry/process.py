"""The process and its belt: how it starts, whether it moves, how it ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamlearn.config import Config
from streamlearn.errors import StreamlearnError
from streamlearn.telemetry.core import Happenings, Means

PAUSES = ("checkpoints_failing",)  # why the belt may stand still


class ProcessHappenings(Happenings):
    """From the start to the end of a daemon."""

    def __init__(self, means: Means) -> None:
        super().__init__(means)
        self._not_ready: tuple[str, ...] | None = ("starting",)  # None: ready
        self._paused: str | None = None
        self._build = means.make.info("streamlearn_build_info")
        self._ready = means.make.gauge("streamlearn_ready")
        self._last_step = means.make.gauge("streamlearn_last_step_timestamp_seconds")
        self._belt_pauses = means.make.counter("streamlearn_belt_pauses_total")
        self._belt_paused = means.make.gauge("streamlearn_belt_paused")
        for reason in PAUSES:
            self._belt_pauses.labels(reason)
            self._belt_paused.labels(reason)

    def started(self, version: str, config: Config) -> None:
        """The daemon has its config and begins."""
        stream = config.stream
        self._build.info(
            {"version": version, "stream": stream.name, "task": stream.task, "scope": stream.scope}
        )
        self._when_started(config)
        self._log.info(
            "started",
            version=version,
            stream=stream.name,
            task=stream.task,
            scope=stream.scope,
            models=[model.name for model in config.models],
            source="kafka" if config.source.kafka else "files",
        )

    def console_started(self, url: str) -> None:
        """The HTTP console listens."""
        self._log.info("console_started", url=url)

    def ready(self) -> None:
        """There is an assignment and the belt moves. Logged when it was not so before."""
        with self._lock:
            changed, self._not_ready = self._not_ready is not None, None
        self._ready.set(1)
        if changed:
            self._log.info("ready")

    def not_ready(self, *reasons: str) -> None:
        """Something keeps the daemon from learning. Logged when the reasons change."""
        assert reasons, "not ready for no reason"
        with self._lock:
            changed, self._not_ready = self._not_ready != reasons, reasons
        self._ready.set(0)
        if changed:
            self._log.warning("not_ready", reasons=list(reasons))

    def step_finished(self) -> None:
        """The belt has moved."""
        self._last_step.set(self._clock())

    def belt_paused(self, reason: str) -> None:
        """The belt stands still, ``reason`` one of ``PAUSES``; until ``belt_resumed``."""
        assert reason in PAUSES, f"{reason!r} is none of {PAUSES}"
        with self._lock:
            before, self._paused = self._paused, reason
        if before != reason:
            if before is not None:
                self._belt_paused.labels(before).set(0)
            self._belt_pauses.labels(reason).inc()
            self._belt_paused.labels(reason).set(1)
            self._log.warning("belt_paused", reason=reason)

    def belt_resumed(self) -> None:
        """The belt moves again. Does nothing when it did before."""
        with self._lock:
            reason, self._paused = self._paused, None
        if reason is not None:
            self._belt_paused.labels(reason).set(0)
            self._log.info("belt_resumed", reason=reason)

    def kernels_compiling(self) -> None:
        """No kernels of this version are on the disk yet: the first start compiles them."""
        self._log.info(
            "kernels_compiling",
            detail="the first start of a version compiles its kernels, once: up to a minute",
        )

    def kernels_ready(self, decoder: str, seconds: float, *, cold: bool) -> None:
        """All kernels that this config needs are loaded; ``decoder``: which route decodes."""
        log = self._log.info if cold else self._log.debug
        log("kernels_ready", decoder=decoder, seconds=round(seconds, 3))

    def reading_by(self, way: str, why: str) -> None:
        """Messages come out of the client library this way."""
        self._log.debug("reading_by", way=way, why=why)

    def model_ready(self, model: str, engine: str, why: str | None) -> None:
        """A model is run by this engine; ``why`` it is not the compiled one, where that was an option."""
        self._log.info("model_ready", model=model, engine=engine, **({} if why is None else {"why": why}))

    def stop_requested(self, signal: str) -> None:
        """A signal asked the daemon to stop; it finishes the micro-batch and checkpoints first."""
        self._log.info("stop_requested", signal=signal)

    def failed(self, error: StreamlearnError) -> None:
        """An operating error ends the daemon."""
        self._log.error("failed", error=type(error).__name__, what=error.what, remedy=error.remedy)

    def stopped(self, summary: Mapping[str, Any]) -> None:
        """The daemon has ended in order; ``summary`` is what it prints."""
        figures = {name: value for name, value in summary.items() if isinstance(value, str | int | float)}
        self._log.info("stopped", **figures)
