"""Where each microsecond goes: what every stage of the belt takes of an event, in a daemon at full load.

    python -m bench --only stages

A daemon with one compiled River model reads a full topic. Its own clocks (``streamlearn_stage_seconds``) and the
kernel's count of its processor time are read twice, once it runs and at the end; what lies between is told per
event. The stages follow one another on the belt's thread. The client's threads and decoding run beside it, so the
processor time of an event is more than the sum of the stages where they share a core less.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import daemons, workload
from bench.harness import ContenderFailed, Record
from streamlearn.connectors.admin import delete_topic

TOPIC = "bench-stages"
DISTINCT_EVENTS = 100_000
PROCESSOR = "processor_time"

Say = Callable[[str], None]


def measure(bootstrap_servers: str, *, quick: bool, say: Say) -> list[Record]:
    """Measure once and return benchmark records. Raises SourceError and ContenderFailed."""
    times = 10 if quick else 60
    events = DISTINCT_EVENTS * times
    with TemporaryDirectory(prefix="bench-stages-") as name:
        lines = Path(name) / "events.jsonl"
        workload.write_events(lines, DISTINCT_EVENTS, workload.Shape())
        say(f"{events:,} events")
        try:
            workload.produce(bootstrap_servers, TOPIC, lines, times=times)
            port = daemons.free_port()
            config = daemons.Stream(TOPIC).write(Path(name), bootstrap_servers, port)
            with daemons.live(config, port) as daemon:
                daemon.await_learned(1)
                before = daemon.costs()
                daemon.await_learned(events)
                after = daemon.costs()
        finally:
            delete_topic(bootstrap_servers, TOPIC)
    return records(before, after)


def records(before: daemons.Costs, after: daemons.Costs) -> list[Record]:
    """Return what each stage took between two looks, in microseconds an event, the dearest first.

    Raises ContenderFailed where nothing was learned in between.

    >>> first = daemons.Costs(100, 1.0, {"learn": (1, 0.5)})
    >>> found = records(first, daemons.Costs(1_000_100, 3.0, {"learn": (9, 1.5)}))
    >>> [(record["name"], record["value"], record["baseline_value"], record["ratio"]) for record in found]
    [('processor_time', 2.0, 2.0, 1.0), ('stage_learn', 1.0, 2.0, 0.5)]
    """
    events = after.events - before.events
    if events <= 0:
        raise ContenderFailed(f"all {after.events} events were learned before the first look")
    spent = {PROCESSOR: after.processor_seconds - before.processor_seconds}
    stages: Mapping[str, float] = {
        f"stage_{stage}": seconds - before.stages.get(stage, (0, 0.0))[1]
        for stage, (_, seconds) in after.stages.items()
    }
    spent |= dict(sorted(stages.items(), key=lambda each: -each[1]))
    whole = spent[PROCESSOR] / events * 1e6
    return [
        {
            "name": name,
            "unit": "us/event",
            "value": round(seconds / events * 1e6, 4),
            "baseline": PROCESSOR,
            "baseline_value": round(whole, 4),
            "ratio": round(seconds / events * 1e6 / whole, 4),
            "group": "stages",
            "events": events,
        }
        for name, seconds in spent.items()
    ]
