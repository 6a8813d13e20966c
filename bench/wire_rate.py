"""What the wire costs: predictions out in each form and delivery, and events in as JSON and as Arrow.

The daemon with one compiled River model (scaler and logistic regression), as its users run it, beside a raw
``consume()`` that throws everything away. All read the same events: 20 full-precision floats and a boolean
label, in 4 partitions; as JSON about 550 bytes each, as Arrow 1,000 in a message.

    python -m bench.wire_rate [--quick]
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import workload
from bench.harness import Contender, ContenderFailed, Record, Target, compare, run_program, take_turns
from streamlearn.commands.produce import arrow_messages
from streamlearn.connectors import admin

FEATURES = 20
BATCH_EVENTS = 1000
FILE_EVENTS = 100_000
TOPIC, ARROW_TOPIC, OUT = "bench-wire", "bench-wire-arrow", "bench-wire-out"
SECONDS_MAX = 300.0

RAW = "consume_thrown_away"
NONE, ONCE, AT_LEAST = "json_in", "json_in_json_out_exactly_once", "json_in_json_out_at_least_once"
ARROW_ONCE, ARROW_AT_LEAST = "json_in_arrow_out_exactly_once", "json_in_arrow_out_at_least_once"
ARROW_IN, ALL_ARROW = "arrow_in", "arrow_in_arrow_out_exactly_once"

Say = Callable[[str], None]


def measure(bootstrap_servers: str, *, quick: bool, say: Say) -> list[Record]:
    """Measure rates and return benchmark records. Raises SourceError when the broker cannot be written to."""
    # So many that what is fixed in a run (some seconds of starting) is not what is measured.
    events, rounds = (1_000_000, 1) if quick else (3_000_000, 5)
    with TemporaryDirectory(prefix="bench-wire-") as name:
        folder = Path(name)
        lines = folder / "events.jsonl"
        workload.write_events(lines, FILE_EVENTS, FEATURES)
        say(f"{events:,} events, {rounds} rounds")
        workload.produce(bootstrap_servers, TOPIC, lines, times=events // FILE_EVENTS)
        produce_arrow(bootstrap_servers, ARROW_TOPIC, lines, times=events // FILE_EVENTS)
        admin.create_topic(bootstrap_servers, OUT, workload.PARTITIONS, {})
        try:
            contenders = _contenders(bootstrap_servers, events, folder)
            series = take_turns(contenders, rounds, lambda name, figures: say(_told(name, figures)))
        finally:
            for topic in (TOPIC, ARROW_TOPIC, OUT):
                admin.delete_topic(bootstrap_servers, topic)
    rate = "events/s"
    return [
        compare(series, NONE, RAW, rate),
        compare(series, ONCE, RAW, rate, Target("ratio", at_least=0.5)),
        compare(series, AT_LEAST, RAW, rate),
        compare(series, ARROW_ONCE, RAW, rate),
        compare(series, ARROW_AT_LEAST, RAW, rate),
        compare(series, ARROW_IN, NONE, rate, Target("ratio", at_least=3.0)),
        compare(series, ALL_ARROW, ONCE, rate),
    ]


def produce_arrow(bootstrap_servers: str, topic: str, path: Path, *, times: int = 1) -> None:
    """Write a file's events to a topic as Arrow, ``BATCH_EVENTS`` in a message, with the times of ``workload``."""
    admin.create_topic(bootstrap_servers, topic, workload.PARTITIONS, {"retention.ms": "-1"})
    with path.open("rb") as file:
        messages = list(arrow_messages((line.rstrip() for line in file), BATCH_EVENTS))
        records = (
            admin.Record(
                message, None, number % workload.PARTITIONS, workload.BEGIN_MS + number * BATCH_EVENTS
            )
            for number, message in enumerate(messages * times)
        )
        admin.produce_lines(bootstrap_servers, topic, records, properties={"compression.type": "lz4"})


def _contenders(bootstrap_servers: str, events: int, folder: Path) -> list[Contender]:
    def daemon(name: str, topic: str, *overrides: str) -> Contender:
        return Contender((name,), lambda: _daemon(name, bootstrap_servers, topic, events, folder, overrides))

    def out(form: str, delivery: str) -> tuple[str, ...]:
        return (f"predictions.topic={OUT}", f"predictions.format={form}", f"predictions.delivery={delivery}")

    arrow = "event.format=arrow"
    return [
        Contender((RAW,), lambda: _raw(bootstrap_servers, events)),
        daemon(NONE, TOPIC),
        daemon(ONCE, TOPIC, *out("json", "exactly_once")),
        daemon(AT_LEAST, TOPIC, *out("json", "at_least_once")),
        daemon(ARROW_ONCE, TOPIC, *out("arrow", "exactly_once")),
        daemon(ARROW_AT_LEAST, TOPIC, *out("arrow", "at_least_once")),
        daemon(ARROW_IN, ARROW_TOPIC, arrow),
        daemon(ALL_ARROW, ARROW_TOPIC, arrow, *out("arrow", "exactly_once")),
    ]


def _raw(bootstrap_servers: str, events: int) -> Mapping[str, float]:
    arguments = ["-m", "bench.rivals", "raw", bootstrap_servers, TOPIC, str(events)]
    done = run_program(arguments, seconds_max=SECONDS_MAX, environment={**os.environ, "PYTHONHASHSEED": "0"})
    return {RAW: done["events"] / done["seconds"]}


def _daemon(
    name: str, bootstrap_servers: str, topic: str, events: int, below: Path, overrides: tuple[str, ...]
) -> Mapping[str, float]:
    with TemporaryDirectory(prefix="bench-daemon-", dir=below) as folder:
        config = workload.write_config(Path(folder), bootstrap_servers, topic, FEATURES, engine="compiled")
        command = ["-m", "streamlearn", "run", str(config), "--until-end", "--json"]
        command += [part for each in overrides for part in ("--set", each)]
        summary = run_program(command, seconds_max=SECONDS_MAX)
    if summary["events_learned"] != events:
        raise ContenderFailed(f"it learned {summary['events_learned']} of {events} events: {summary}")
    return {name: summary["events_read"] / summary["seconds"]}


def _told(name: str, figures: Mapping[str, float]) -> str:
    return f"  {name}: {figures[name]:,.0f} events/s" if figures else f"  {name}: FAILED"


def main(arguments: list[str]) -> None:
    """Measure on a broker of its own, and print a line for each comparison."""
    from streamlearn.connectors.local_broker import LocalBroker

    with LocalBroker() as broker:
        records = measure(broker.bootstrap_servers, quick="--quick" in arguments, say=_say)
    for record in records:
        _say(
            f"{record['name']}: {record['value'] or 0:,.0f} against {record['baseline']} "
            f"{record['baseline_value'] or 0:,.0f}: ratio {record['ratio'] or 0:.2f}"
        )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
