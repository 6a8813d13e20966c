"""How much the daemon's resident memory grows over ten million events, once it has seen a million.

The events are small (3 features), so that eleven million are learned in minutes. The topic really holds all
of them; the daemon is a process of its own that reads on, without an end, until it is told to stop.
Progress is taken from its ``/metrics``, memory from the kernel. What is read ahead is part of it: all the while
the topic holds more than the buffers do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from bench import daemons, workload
from bench.harness import ContenderFailed, Record, Target, failed
from streamlearn.connectors.admin import delete_topic

SHAPE = workload.Shape(floats=3, digits=3)
TOPIC = "bench-memory"
DISTINCT_EVENTS = 100_000  # the file is written to the topic again and again
GROWTH_MEGABYTES_MAX = 50.0

LOOK_EVERY_SECONDS = 0.25
SILENT_SECONDS_MAX = 60.0  # nothing learned for so long: it hangs

Say = Callable[[str], None]


def measure(bootstrap_servers: str, *, quick: bool, say: Say) -> list[Record]:
    """Measure memory and return benchmark records. Raises SourceError when the broker cannot be written to."""
    first, more = (100_000, 1_000_000) if quick else (1_000_000, 10_000_000)
    with TemporaryDirectory(prefix="bench-memory-") as name:
        folder = Path(name)
        lines = folder / "events.jsonl"
        workload.write_events(lines, DISTINCT_EVENTS, SHAPE)
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
    port = daemons.free_port()
    config = daemons.Stream(TOPIC, SHAPE.numeric_names).write(folder, bootstrap_servers, port)
    with daemons.live(config, port) as daemon:
        samples = []
        for learned in _progress(daemon, events):
            samples.append(_sample(learned, daemon.pid))
            if len(samples) % 40 == 0:
                say(f"  {learned:,} events learned, {samples[-1].resident:.0f} MB resident")
    return samples


def _progress(daemon: daemons.LiveDaemon, events: int) -> Iterator[int]:
    """Yield how many events were learned, at every look, until they are so many. Raises ContenderFailed."""
    learned, moved_at = 0, time.monotonic()
    while learned < events:
        time.sleep(LOOK_EVERY_SECONDS)
        now_learned = daemon.events_learned()
        if now_learned > learned:
            learned, moved_at = now_learned, time.monotonic()
        elif time.monotonic() - moved_at > SILENT_SECONDS_MAX:
            raise ContenderFailed(f"it stands still at {learned:,} events: {daemon.tail()}")
        if learned:
            yield learned


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
