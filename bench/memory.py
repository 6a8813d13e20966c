"""How much the daemon's resident memory grows over ten million events, once it has seen a million.

The events are small (3 features), so that eleven million are learned in minutes. The topic really holds all
of them; the daemon is a process of its own that reads on, without an end, until it is told to stop.
Progress is taken from its ``/metrics``, memory from the kernel. What is read ahead is part of it: all the while
the topic holds more than the buffers do.
"""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from bench import workload
from bench.harness import REPOSITORY, ContenderFailed, Record, Target, failed
from streamlearn.connectors.admin import delete_topic

FEATURES = 3
DIGITS = 3
TOPIC = "bench-memory"
DISTINCT_EVENTS = 100_000  # the file is written to the topic again and again
GROWTH_MEGABYTES_MAX = 50.0

LOOK_EVERY_SECONDS = 0.25
SILENT_SECONDS_MAX = 60.0  # nothing learned for so long: it hangs
STOP_SECONDS_MAX = 15.0

Say = Callable[[str], None]


def measure(bootstrap_servers: str, *, quick: bool, say: Say) -> list[Record]:
    """Measure memory and return benchmark records. Raises SourceError when the broker cannot be written to."""
    first, more = (100_000, 1_000_000) if quick else (1_000_000, 10_000_000)
    with TemporaryDirectory(prefix="bench-memory-") as name:
        folder = Path(name)
        lines = folder / "events.jsonl"
        workload.write_events(lines, DISTINCT_EVENTS, FEATURES, digits=DIGITS)
        say(f"{first + more:,} events of {lines.stat().st_size / DISTINCT_EVENTS - 1:.0f} bytes")
        workload.produce(bootstrap_servers, TOPIC, lines, times=(first + more) // DISTINCT_EVENTS)
        try:
            return _records(_watch(bootstrap_servers, folder, first + more, say), first, more)
        except ContenderFailed as failure:
            return [failed("daemon_resident_growth", str(failure))]
        finally:
            delete_topic(bootstrap_servers, TOPIC)


class Sample(NamedTuple):
    """What the daemon took at one look, in megabytes."""

    events: int  # learned so far
    resident: float
    peak: float  # the largest that was ever resident, which the kernel keeps


def _records(samples: list[Sample], first: int, more: int) -> list[Record]:
    """Return what the daemon's memory did from the first events on.

    What is resident goes up and down with the buffers, so the medians of the first and of the last tenth
    are compared: they show a leak. The peak shows what room a machine has to leave.

    >>> samples = [Sample(90, 80.0, 99.0), Sample(120, 90.0, 99.0), Sample(1050, 94.0, 101.0)]
    >>> [(record["name"], record["value"], record["met"]) for record in _records(samples, 100, 1000)]
    [('daemon_resident_growth', 4.0, True), ('daemon_peak_growth', 2.0, True)]
    """
    tenth = more // 10
    early = [each.resident for each in samples if first <= each.events <= first + tenth]
    late = [each.resident for each in samples if each.events >= first + more - tenth]
    peaks = [each.peak for each in samples if each.events >= first]
    if not early or not late:
        raise ContenderFailed(f"only {len(samples)} looks at it: too few to tell")
    return [
        _growth("daemon_resident_growth", median(early), median(late), first, more),
        _growth("daemon_peak_growth", peaks[0], peaks[-1], first, more),
    ]


def _growth(name: str, before: float, after: float, first: int, more: int) -> Record:
    target = Target("value", at_most=GROWTH_MEGABYTES_MAX)
    growth, ratio = after - before, (after - before) / before
    return {
        "name": name,
        "unit": "MB",
        "value": round(growth, 1),
        "baseline": f"after {first:,} events",
        "baseline_value": round(before, 1),
        "ratio": round(ratio, 3),
        "events": more,
        "target": str(target),
        "met": target.is_met_by(value=growth, ratio=ratio),
    }


def _watch(bootstrap_servers: str, folder: Path, events: int, say: Say) -> list[Sample]:
    port = _free_port()
    config = workload.write_config(folder, bootstrap_servers, TOPIC, FEATURES, port=port)
    with _daemon(config, folder / "daemon.log") as process:
        samples = []
        for learned in _progress(process, port, events, folder / "daemon.log"):
            samples.append(_sample(learned, process.pid))
            if len(samples) % 40 == 0:
                say(f"  {learned:,} events learned, {samples[-1].resident:.0f} MB resident")
    return samples


@contextmanager
def _daemon(config: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "streamlearn", "run", str(config), "--json"]
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=file)
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            if process.wait(STOP_SECONDS_MAX) != 0:
                raise ContenderFailed(f"exit code {process.returncode} after SIGTERM: {_tail(log)}")
        except subprocess.TimeoutExpired as error:
            raise ContenderFailed(f"it did not end within {STOP_SECONDS_MAX:g} s of SIGTERM") from error
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def _progress(process: subprocess.Popen[bytes], port: int, events: int, log: Path) -> Iterator[int]:
    """Yield how many events were learned, at every look, until they are so many."""
    learned, moved_at = 0, time.monotonic()
    while learned < events:
        time.sleep(LOOK_EVERY_SECONDS)
        if process.poll() is not None:
            raise ContenderFailed(f"it ended by itself, exit code {process.returncode}: {_tail(log)}")
        now_learned = _events_learned(port)
        if now_learned > learned:
            learned, moved_at = now_learned, time.monotonic()
        elif time.monotonic() - moved_at > SILENT_SECONDS_MAX:
            raise ContenderFailed(f"it stands still at {learned:,} events: {_tail(log)}")
        if learned:
            yield learned


def _events_learned(port: int) -> int:
    """Return the count that /metrics shows; 0 while nothing listens yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except (urllib.error.URLError, ConnectionError, TimeoutError, http.client.HTTPException):
        return 0
    return int(
        sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "streamlearn_events_total" and sample.labels["outcome"] == "learned"
        )
    )


def _sample(events: int, pid: int) -> Sample:
    """Look at a process that runs. Source: proc_pid_status(5)."""
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    kilobytes = {
        name: int(rest.split()[0])
        for name, _, rest in (line.partition(":") for line in status.splitlines())
        if name in ("VmRSS", "VmHWM")
    }
    if not kilobytes:
        raise ContenderFailed(f"process {pid} has no memory any more: it has ended")
    return Sample(events, kilobytes["VmRSS"] * 1024 / 1e6, kilobytes["VmHWM"] * 1024 / 1e6)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _tail(log: Path) -> str:
    return log.read_text("utf-8", "replace")[-2000:]
