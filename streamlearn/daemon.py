"""The daemon's life: start, step until told to stop or done, checkpoint, leave, end.

SIGTERM or SIGINT finishes the micro-batch, checkpoints, leaves the group and ends in order, within ten
seconds; a second one ends at once, without a last checkpoint (the next start goes on from the one before).
"""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import Any

from streamlearn import __version__
from streamlearn.assemble import assemble
from streamlearn.belt.loop import Belt
from streamlearn.config import Config
from streamlearn.console.server import Console
from streamlearn.console.stages import stage_times
from streamlearn.console.status import Heartbeat, Status
from streamlearn.environment import Environment
from streamlearn.errors import ExitCode, StreamlearnError
from streamlearn.memory import keep_freed_blocks
from streamlearn.report.observer import Observer
from streamlearn.report.summary import summary
from streamlearn.telemetry import Telemetry

OBSERVE_SECONDS = 1.0  # between two pictures, which the belt waits for
CHECKPOINT_SECONDS = 6.0  # of the ten that stopping may take; leaving the group and closing have the rest
SILENCE_SECONDS = 60.0  # a step that takes longer is unhealthy


class Daemon:
    """One stream's worker in this process.

    Parameters
    ----------
    config
        Validated.
    telemetry
        With the registry that /metrics shows.
    until_end
        Read to the ends of the partitions as they stood at the start, then end.
    on_status
        Called with each picture, on the belt's thread; must be quick.
    on_url
        Called with the console's address once it listens.
    observe_seconds
        Between two pictures.
    """

    def __init__(
        self,
        config: Config,
        telemetry: Telemetry,
        *,
        until_end: bool,
        environment: Environment | None = None,
        on_status: Callable[[Status], None] | None = None,
        on_url: Callable[[str], None] | None = None,
        observe_seconds: float = OBSERVE_SECONDS,
    ) -> None:
        self._config = config
        self._telemetry = telemetry
        self._until_end = until_end
        self._environment = environment or Environment()
        self._on_status = on_status
        self._on_url = on_url
        self._observe_seconds = observe_seconds
        self._stop = threading.Event()
        self._stop_reason = ""
        self._heartbeat = Heartbeat(SILENCE_SECONDS)
        self._status = Status(
            config.stream.name, config.stream.task, config.stream.scope, "member", unready=("starting",)
        )

    def stop(self, reason: str) -> None:
        """End in order, soon. May be called from any thread or signal handler."""
        self._stop_reason = reason
        self._stop.set()

    def status(self) -> Status:
        """The last picture, with what only the caller's moment can tell. Never waits for the belt."""
        return replace(
            self._status,
            unhealthy=self._heartbeat.unhealthy(),
            stages=stage_times(self._telemetry.registry),
            happenings=self._telemetry.happenings.last(),
        )

    def run(self) -> dict[str, Any]:
        """Run to the end and return the summary. Raises StreamlearnError."""
        began = time.monotonic()
        keep_freed_blocks()
        self._telemetry.started(__version__, self._config)
        try:
            with self._console():
                belt = assemble(
                    self._config,
                    self._telemetry,
                    self._environment,
                    until_end=self._until_end,
                    give_up=self._stop.is_set,
                )
                try:
                    observer = Observer(self._config, belt, self._telemetry)
                    with _lasting_objects_set_aside():
                        self._turn(belt, observer)
                    self._finish(belt, observer)
                    result = summary(self._config, belt, time.monotonic() - began)
                finally:
                    belt.abandon()
        except StreamlearnError as error:
            self._telemetry.failed(error)
            raise
        self._telemetry.stopped(result)
        return result

    def _turn(self, belt: Belt, observer: Observer) -> None:
        """Step until told to stop, or done."""
        observe_at = 0.0
        while not self._stop.is_set() and not belt.is_done:
            now = time.monotonic()
            belt.step(now)
            self._heartbeat.beat()
            if now >= observe_at:
                observe_at = now + self._observe_seconds
                self._observe(observer.observe(now))

    def _finish(self, belt: Belt, observer: Observer) -> None:
        """Publish what was learned: told to stop, in the time there is; at the end of a bounded read, all of it.

        A bounded read that ended in order without its last checkpoint would look as if all were done. So it waits, as
        the belt does, for a disk or a topic; and where that fails for good, the error ends it.
        """
        if self._stop.is_set():
            self._telemetry.stop_requested(self._stop_reason)
        while not belt.checkpoint_all(CHECKPOINT_SECONDS) and not self._stop.wait(OBSERVE_SECONDS):
            self._heartbeat.beat()
            self._observe(observer.observe(time.monotonic()))
        self._observe(observer.observe(time.monotonic()))

    def _observe(self, status: Status) -> None:
        self._status = status
        if self._on_status is not None:
            self._on_status(status)

    @contextmanager
    def _console(self) -> Iterator[None]:
        http = self._config.http
        if not http.enabled:
            yield
            return
        console = Console(
            http.host,
            http.port,
            self.status,
            self._telemetry.registry,
            sample_every_seconds=self._observe_seconds,
        )
        console.start()
        if self._on_url is not None:
            self._on_url(console.url)
        self._telemetry.console_started(console.url)
        try:
            yield
        finally:
            console.stop()


@contextmanager
def _lasting_objects_set_aside() -> Iterator[None]:
    """Keep modules, kernels and parts, which live as long as the daemon, out of the garbage collector's sight.

    A full collection looks through all of them otherwise: for 0.15 s (measured) nothing is predicted.
    """
    gc.collect()
    gc.freeze()
    gc.enable()  # the command line starts without
    try:
        yield
    finally:
        gc.unfreeze()


@contextmanager
def stopping_on_signals(stop: Callable[[str], None]) -> Iterator[None]:
    """Let the first SIGTERM or SIGINT call ``stop``, and the second end the process at once."""
    asked = False

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            os._exit(ExitCode.INTERRUPTED)
        asked = True
        stop(signal.Signals(number).name)

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
