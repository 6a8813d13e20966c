"""Apache Kafka on this machine, for the demo, for tests and for ``streamlearn broker``.

One node, broker and controller in one (KRaft), on the loopback alone, with nothing but pip: see
``kafka_runtime`` for where the jars and the Java come from.

Invariants: the broker ends when this process does, however it ends (``guard``); a data folder that was
not given is removed with it; a given one keeps its topics, is never removed, and is used by one broker at a
time (a lock of ours: Kafka takes its own only after it has begun to write metadata, and corrupts them).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Final, Self

from streamlearn.connectors import guard, kafka_runtime
from streamlearn.connectors import local_broker_host as host
from streamlearn.connectors.local_broker_settings import (
    BRIEF_OPTIONS,
    JAVA_OPTIONS,
    LASTING_OPTIONS,
    LOOPBACK,
    new_cluster_id,
    server_properties,
)
from streamlearn.environment import Environment
from streamlearn.errors import LocalBrokerError

# The broker stops by itself in half a second; one whose disk is slow is given longer before it is killed.
_GRACE_SECONDS: Final = 10.0
_LOOK_EVERY_SECONDS: Final = 0.05
_PORT_ATTEMPTS: Final = 3
_LOG_TAIL_LINES: Final = 20
_LOG_TAIL_BYTES: Final = 65_536


class LocalBroker:
    """A single-node Apache Kafka; a context manager that starts and stops it.

    Parameters
    ----------
    port
        Port of the listener for clients; None picks a free one.
    data
        Folder for logs and settings, made where it is missing; topics of an earlier run in it are served
        again. None: a temporary folder, removed at the end.
    heap_megabytes
        Java's heap at most.
    lasting
        Run Java as Kafka's own scripts do. Otherwise as what ends in a minute is best run: it starts sooner, with less
        work, and stands for longer when it collects.
    message_bytes_max
        The largest record batch that the broker takes (``message.max.bytes``).
    properties
        Further broker settings; they win over all others.
    start_seconds
        How long the broker has to answer, a download not counted.
    environment
        Where to find Java, jars and the cache; this process's own unless given.
    report
        Called with a line for people when the start takes long, such as for a download.

    >>> broker = LocalBroker(port=19092)
    >>> broker.bootstrap_servers
    '127.0.0.1:19092'
    >>> broker.running
    False
    """

    def __init__(
        self,
        port: int | None = None,
        data: Path | None = None,
        *,
        heap_megabytes: int = 1024,
        lasting: bool = False,
        message_bytes_max: int = 1_048_588,
        properties: Mapping[str, str] | None = None,
        start_seconds: float = 60.0,
        environment: Environment | None = None,
        report: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self._port = port
        self._port_given = port is not None
        self._data = data
        runs = LASTING_OPTIONS if lasting else BRIEF_OPTIONS
        self._java_options = (f"-Xmx{heap_megabytes}m", *runs, *JAVA_OPTIONS)
        self._properties = {"message.max.bytes": str(message_bytes_max), **(properties or {})}
        self._start_seconds = start_seconds
        self._environment = environment or Environment()
        self._report = report
        self._guard: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._log_begins = 0

    @property
    def bootstrap_servers(self) -> str:
        """``host:port`` for clients; known once started, or from the beginning where a port was given."""
        assert self._port is not None, "the broker picks its port when it starts"
        return f"{LOOPBACK}:{self._port}"

    @property
    def running(self) -> bool:
        """Whether the broker was started and has not ended."""
        return self._guard is not None and self._guard.poll() is None

    def start(self, told_to_end: threading.Event | None = None) -> Self:
        """Start the broker and wait until it answers: 3 to 4 s, a second less on data that is there.

        Steps:
        1. Find a Java and the jars, downloading them the first time.
        2. Write the settings to the data folder.
        3. Start the guard, which formats new storage and runs the broker.
        4. Wait until the broker answers, or ``told_to_end`` is set (then ``stop`` is the caller's to call).

        Raises
        ------
        LocalBrokerError
            There is nothing to run it on, the folder cannot be used, or the broker ended or did not answer
            in time; the message holds the end of its log. Nothing is left running.
        """
        assert self._guard is None, "this broker was started already"
        told_to_end = told_to_end or threading.Event()
        # Step 1.
        runtime = kafka_runtime.find_runtime(self._environment, report=self._report)
        for attempt in range(_PORT_ATTEMPTS):
            # Steps 2 and 3.
            self._launch(runtime)
            # Step 4.
            try:
                self._wait_until_it_answers(told_to_end)
            except BaseException as error:
                # Between our picking a free port and Kafka's binding it, another process may take it.
                again = (
                    isinstance(error, _PortTaken) and not self._port_given and attempt < _PORT_ATTEMPTS - 1
                )
                self.stop()
                if not again:
                    raise
            else:
                break
        return self

    def stop(self) -> None:
        """End the broker and wait until it is gone, a temporary folder with it. Does nothing when ended."""
        if self._guard is None:
            return
        assert self._guard.stdin is not None
        assert self._log is not None
        self._guard.stdin.close()  # the end of the pipe is what the guard waits for
        self._guard.wait()  # bounded: the guard kills what does not end within the grace
        self._log.close()
        self._guard = None
        self._log = None

    def log_tail(self) -> str:
        """Return the last lines that the broker wrote since it was started; empty when it is stopped."""
        if self._log is None:
            return ""
        # Through our own descriptor, which reads even after a temporary folder was removed.
        size = os.fstat(self._log.fileno()).st_size
        begin = max(self._log_begins, size - _LOG_TAIL_BYTES)
        written = os.pread(self._log.fileno(), size - begin, begin).decode(errors="replace")
        return "\n".join(written.splitlines()[-_LOG_TAIL_LINES:])

    def serve_until(self, told_to_end: threading.Event) -> None:
        """Wait until told to end, watching the broker. Raises LocalBrokerError when it ended by itself."""
        while not told_to_end.wait(_LOOK_EVERY_SECONDS * 4):
            if not self.running:
                raise self._ended()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()

    def _launch(self, runtime: kafka_runtime.KafkaRuntime) -> None:
        try:
            if self._data is not None:
                folder = host.usable(self._data)
                with host.locked(folder) as lock:
                    self._launch_in(folder, lock, runtime, temporary=False)
                return
            folder = Path(tempfile.mkdtemp(prefix="streamlearn-broker-"))
            try:
                with host.locked(folder) as lock:
                    self._launch_in(folder, lock, runtime, temporary=True)
            except OSError:
                shutil.rmtree(folder)  # no guard was started that would do it
                raise
        except OSError as error:
            raise LocalBrokerError(
                f"the data folder of the local broker cannot be used: {error}",
                remedy="name a writable folder (--data DIR), or see that the temporary folder has space",
            ) from error

    def _launch_in(
        self, folder: Path, lock: int, runtime: kafka_runtime.KafkaRuntime, *, temporary: bool
    ) -> None:
        controller_port, free_port = host.free_ports(2)
        if not self._port_given:
            self._port = free_port
        assert self._port is not None
        storage = folder / "storage"
        settings = folder / "server.properties"
        settings.write_text(
            server_properties(self._port, controller_port, storage, self._properties), "ascii"
        )
        format_storage = ("format", "-t", new_cluster_id(), "-c", str(settings))
        commands = [
            runtime.command(self._java_options, "kafka.tools.StorageTool", *format_storage),
            runtime.command(self._java_options, "kafka.Kafka", str(settings)),
        ]
        if (storage / "meta.properties").exists():
            del commands[0]
        plan = guard.Plan(tuple(commands), _GRACE_SECONDS, str(folder) if temporary else None)
        log = (folder / "broker.log").open("ab+")
        try:
            self._guard = guard.start(plan, output=log.fileno(), hold=lock)
        except OSError:
            log.close()
            raise
        self._log = log
        self._log_begins = log.tell()

    def _wait_until_it_answers(self, told_to_end: threading.Event) -> None:
        deadline = time.monotonic() + self._start_seconds
        while time.monotonic() < deadline:
            if not self.running:
                raise self._ended()
            if host.listens(self.bootstrap_servers) and host.answers(self.bootstrap_servers):
                return
            if told_to_end.wait(_LOOK_EVERY_SECONDS):
                return
        raise LocalBrokerError(
            f"Apache Kafka does not answer at {self.bootstrap_servers} after {self._start_seconds:g} s; "
            f"its log ends:\n{self.log_tail()}",
            remedy="the machine may be too busy or short of memory: try again, or use a Kafka that runs "
            "already, with --bootstrap-servers HOST:PORT",
        )

    def _ended(self) -> LocalBrokerError:
        assert self._guard is not None
        tail = self.log_tail()
        kind = _PortTaken if "Address already in use" in tail else LocalBrokerError
        return kind(
            f"Apache Kafka at {self.bootstrap_servers} ended with exit code {self._guard.returncode}; "
            f"its log ends:\n{tail}",
            remedy="another port (--port N) or another data folder (--data DIR) may do; "
            "or use a Kafka that runs already, with --bootstrap-servers HOST:PORT",
        )


class _PortTaken(LocalBrokerError):
    """Kafka could not bind a port; where we picked it, another one is tried."""


def run_broker(
    port: int | None = None, data: Path | None = None, *, environment: Environment | None = None
) -> None:
    """Run Apache Kafka in the foreground until SIGTERM or SIGINT: what ``streamlearn broker`` does.

    Prints ``bootstrap_servers=HOST:PORT`` on standard output once the broker answers, and lines for people
    on standard error. Returns when the broker is gone. A second signal ends this process at once, and the
    guard ends the broker. Call it on the main thread, which alone may handle signals.

    Parameters
    ----------
    port, data, environment
        As for ``LocalBroker``.

    Raises
    ------
    LocalBrokerError
        The broker cannot be had, or ended by itself.
    """
    told_to_end = threading.Event()
    broker = LocalBroker(port, data, lasting=True, environment=environment, report=_to_standard_error)
    with _set_by_signals(told_to_end):
        try:
            broker.start(told_to_end)
            if not told_to_end.is_set():
                sys.stdout.write(f"bootstrap_servers={broker.bootstrap_servers}\n")
                sys.stdout.flush()
                broker.serve_until(told_to_end)
        finally:
            broker.stop()


def _to_standard_error(line: str) -> None:
    sys.stderr.write(f"{line}\n")


@contextmanager
def _set_by_signals(event: threading.Event) -> Iterator[None]:
    def on_signal(number: int, _frame: FrameType | None) -> None:
        event.set()
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
