"""Reading alone: the reader by both its ways beside a bare ``consume()`` whose messages are thrown away.

    python -m bench.reader_rate [--quick]

All read the same events: JSON of 20 full-precision floats and a boolean label, 4 partitions, lz4. Each turn
is a process of its own. Its clock begins when the partitions are assigned, on a consumer that is connected
already, and ends with the last message; the processor time is that of the whole process in between,
librdkafka's threads included. One bare consumer has librdkafka's own settings, whose queue stands still for up
to a second when it was full; the other one has the reader's, which also verify every checksum.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from confluent_kafka import Consumer, TopicPartition
from rich.console import Console

from bench import workload
from bench.harness import Contender, Record, Target, compare, results_table, run_program, take_turns
from bench.rivals import read_away
from streamlearn.config import KafkaSource
from streamlearn.connectors.admin import delete_topic
from streamlearn.connectors.kafka_reader import KafkaReader
from streamlearn.connectors.kafka_settings import Settings, reader_settings
from streamlearn.connectors.local_broker import LocalBroker

TOPIC = "bench-reader"
FEATURES = 20
POLL_EVENTS = 10_000
POLL_SECONDS = 1.0
CONNECT_SECONDS = 30.0
SECONDS_MAX = 300.0

BARE, ALIKE = "consume_thrown_away", "consume_thrown_away_reader_settings"
CONSUME, C_BATCHES = "reader_consume", "reader_c_batches"
CPU = "_cpu_us"

Say = Callable[[str], None]


def measure(bootstrap_servers: str, *, quick: bool, say: Say) -> list[Record]:
    """Measure rates and return benchmark records. Raises SourceError when the broker cannot be written to."""
    events, times, rounds = (100_000, 3, 3) if quick else (200_000, 6, 7)
    with TemporaryDirectory(prefix="bench-reader-") as name:
        lines = Path(name) / "events.jsonl"
        workload.write_events(lines, events, workload.Shape(FEATURES))
        say(f"{events * times:,} events of {lines.stat().st_size / events - 1:.0f} bytes, {rounds} rounds")
        workload.produce(bootstrap_servers, TOPIC, lines, times=times)
    try:
        contenders = [
            Contender((name, name + CPU), lambda name=name: _turn(name, bootstrap_servers, events * times))
            for name in (BARE, ALIKE, CONSUME, C_BATCHES)
        ]
        series = take_turns(contenders, rounds, lambda name, figures: say(_told(name, figures)))
    finally:
        delete_topic(bootstrap_servers, TOPIC)
    rate, cost = "events/s", "us/event"
    return [
        compare(series, C_BATCHES, BARE, rate, Target("ratio", at_least=1.0)),
        compare(series, C_BATCHES, ALIKE, rate, Target("ratio", at_least=1.0)),
        compare(series, CONSUME, ALIKE, rate),
        compare(series, C_BATCHES, CONSUME, rate),
        compare(series, C_BATCHES + CPU, BARE + CPU, cost, Target("ratio", at_most=0.6)),
        compare(series, C_BATCHES + CPU, ALIKE + CPU, cost, Target("ratio", at_most=0.6)),
        compare(series, CONSUME + CPU, ALIKE + CPU, cost),
    ]


def _turn(name: str, bootstrap_servers: str, events: int) -> Mapping[str, float]:
    arguments = ["-m", "bench.reader_rate", "--turn", name, bootstrap_servers, str(events)]
    done = run_program(arguments, seconds_max=SECONDS_MAX)
    return {name: events / done["seconds"], name + CPU: done["cpu_seconds"] / events * 1e6}


def _told(name: str, figures: Mapping[str, float]) -> str:
    if not figures:
        return f"  {name}: FAILED"
    return f"  {name}: {figures[name]:,.0f} events/s, {figures[name + CPU]:.2f} us of processor an event"


def _bare(name: str, bootstrap_servers: str, events: int) -> dict[str, float]:
    settings: Settings = {"bootstrap.servers": bootstrap_servers, "group.id": "bench-reader"}
    if name == ALIKE:
        # No ends: what is said of them is no message.
        settings = {**reader_settings(_source(bootstrap_servers)), "enable.partition.eof": False}
    consumer = Consumer(dict(settings))
    consumer.list_topics(TOPIC, timeout=CONNECT_SECONDS)
    began, began_cpu = time.perf_counter(), time.process_time()
    consumer.assign([TopicPartition(TOPIC, number, 0) for number in range(workload.PARTITIONS)])
    read_away(consumer, events)
    figures = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - began_cpu}
    consumer.close()
    return figures


def _reader(way: Literal["c_batches", "consume"], bootstrap_servers: str, events: int) -> dict[str, float]:
    reader = KafkaReader(_source(bootstrap_servers), timeout_seconds=CONNECT_SECONDS, way=way)
    partitions = reader.partitions()
    began, began_cpu = time.perf_counter(), time.process_time()
    reader.assign(dict.fromkeys(partitions, 0))
    done = 0
    while done < events:
        done += reader.poll(POLL_EVENTS, POLL_SECONDS).batch.num_rows
    figures = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - began_cpu}
    reader.close()
    return figures


def _source(bootstrap_servers: str) -> KafkaSource:
    return KafkaSource(bootstrap_servers=bootstrap_servers, topics=(TOPIC,), group_id="bench-reader")


def main() -> None:
    """Take one turn and print its figures, or measure on a broker of our own and print a table."""
    parser = argparse.ArgumentParser(description="Rates of reading.")
    parser.add_argument("--quick", action="store_true", help="fewer events and rounds")
    parser.add_argument("--turn", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.turn is None:
        console = Console(width=None if sys.stdout.isatty() else 140)
        with LocalBroker(lasting=True) as broker:
            records = measure(broker.bootstrap_servers, quick=options.quick, say=console.print)
        console.print(results_table(records))
        return
    name, bootstrap_servers, events = options.turn
    if name in (BARE, ALIKE):
        figures = _bare(name, bootstrap_servers, int(events))
    else:
        figures = _reader("consume" if name == CONSUME else "c_batches", bootstrap_servers, int(events))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
