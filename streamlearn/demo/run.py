"""``streamlearn demo``: broker, topics, flights, daemon, and the picture of it; then everything is gone.

Without ``--rate`` the year is in the topic before the daemon starts, so the read is bounded and its figures
are the same each time. With ``--rate`` the flights are produced while the daemon reads.
"""

from __future__ import annotations

import itertools
import re
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from rich.console import Console

from streamlearn.commands.summary import print_summary
from streamlearn.config import Config
from streamlearn.config_file import parse
from streamlearn.connectors.admin import create_topic, delete_topic, produce_lines
from streamlearn.console.status import Status
from streamlearn.daemon import Daemon, stopping_on_signals
from streamlearn.demo.flights import flight_events
from streamlearn.demo.screen import Screen
from streamlearn.environment import Environment
from streamlearn.logs import configure_logs
from streamlearn.telemetry import Telemetry

TOPIC = "flights"
PARTITIONS = 4
OBSERVE_SECONDS = 0.25  # the whole year passes in some ten seconds

NEXT = """
Try next:
  streamlearn broker --port 9092 --data broker-data        a Kafka of your own, with nothing but pip
  streamlearn produce flights --flights --bootstrap-servers localhost:9092
  streamlearn demo --config > flights.toml                 the demo's config, to change
  streamlearn check flights.toml --connect                 what is wrong with it, before it runs
  streamlearn run flights.toml                             the daemon"""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """``events``: only the first so many; ``rate``: events a second; ``port``: of the live page; ``stay``: go on
    until told to stop, for who wants to look at the page."""

    events: int | None
    rate: float | None
    from_files: bool
    bootstrap_servers: str | None
    port: int
    stay: bool
    quiet: bool
    verbose: bool
    delayed_labels: bool = False


DELAYED = """
[labels]                            # docs/labels.md
topic = "flights-arrivals"
id = "id"
label = "late"
time = "landed_at"
wait = "24h"                        # those that were cancelled or diverted never have one
"""


def config_text(*, delayed_labels: bool = False) -> str:
    """Return the demo's config file."""
    text = resources.files("streamlearn.demo").joinpath("flights.toml").read_text(encoding="utf-8")
    if not delayed_labels:
        return text
    text = text.replace('label = "late"\n', "").replace('time = "scheduled_at"', 'time = "left_at"')
    before, heading, behind = text.partition("\n[[models]]")
    return before + DELAYED + heading + behind


def run_demo(options: DemoOptions) -> dict[str, Any]:
    """Run the demo, clean up, and return the daemon's summary. Raises StreamlearnError."""
    console = Console()
    with TemporaryDirectory(prefix="streamlearn-demo-") as folder:
        overrides = [
            f"checkpoint.path={folder}/checkpoints",
            f"dead_letters.path={folder}/dead-letters.jsonl",
            f"http.port={options.port}",
        ]
        over = _over_files if options.from_files else _over_kafka
        summary = over(options, Path(folder), overrides, console)
    if not options.quiet:
        console.print()
        print_summary(summary, console)
        console.print(NEXT, highlight=False, markup=False, soft_wrap=True)
    return summary


def _over_kafka(options: DemoOptions, folder: Path, overrides: list[str], console: Console) -> dict[str, Any]:
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="flights"))
        loading = pool.submit(_flights, options)  # while the broker starts
        servers = options.bootstrap_servers or Environment().streamlearn_bootstrap_servers
        # On somebody's broker the demo has topics of its own name alone, and deletes them.
        suffix = f"-demo-{uuid.uuid4().hex[:8]}" if servers else ""
        servers = servers or _broker(options, console, stack)
        topics = stack.enter_context(_topics(servers, TOPIC + suffix))
        events, labels = loading.result()
        overrides += [
            f"source.kafka.bootstrap_servers={servers}",
            f"source.kafka.topics=['{topics.flights}']",
        ]
        overrides += [
            f"source.kafka.group_id={topics.flights}-learner",
            f"predictions.topic={topics.predictions}",
        ]
        if options.delayed_labels:
            overrides.append(f"labels.topic={topics.arrivals}")
        config = parse(
            config_text(delayed_labels=options.delayed_labels),
            [*overrides, f"dead_letters.topic={topics.dead_letters}"],
        )
        if options.rate is None:
            _say(options, console, f"{len(events):,} flights go into the topic, on {PARTITIONS} partitions")
            _produce(servers, topics.flights, events, None, threading.Event())
            _produce(servers, topics.arrivals, labels, None, threading.Event())
            return _learn(options, config, len(events), console, until_end=True)
        is_over = threading.Event()
        both = stack.enter_context(ThreadPoolExecutor(2, thread_name_prefix="producing"))
        label_rate = options.rate * len(labels) / len(events)
        producing = [
            both.submit(_produce, servers, topics.flights, events, options.rate, is_over),
            both.submit(_produce, servers, topics.arrivals, labels, label_rate, is_over),
        ]
        try:
            return _learn(options, config, len(events), console, until_end=False)
        finally:
            is_over.set()
            for each in producing:
                each.result()


def _broker(options: DemoOptions, console: Console, stack: ExitStack) -> str:
    from streamlearn.connectors.local_broker import LocalBroker

    _say(options, console, "Apache Kafka starts on this machine")
    return stack.enter_context(LocalBroker(report=partial(_say, options, console))).bootstrap_servers


def _flights(options: DemoOptions) -> tuple[list[bytes], list[bytes]]:
    """Return the events, and the labels that come on a topic of their own."""
    if not options.delayed_labels:
        return flight_events(options.events), []
    from streamlearn.demo.arrivals import departures_and_arrivals

    return departures_and_arrivals(options.events)


class _Topics(NamedTuple):
    flights: str
    arrivals: str
    predictions: str
    dead_letters: str


@contextmanager
def _topics(servers: str, name: str) -> Iterator[_Topics]:
    """The demo's topics, made and deleted."""
    topics = _Topics(name, f"{name}-arrivals", f"{name}-predictions", f"{name}-dead-letters")
    try:
        for topic in topics:
            create_topic(servers, topic, PARTITIONS, {"retention.ms": "-1"})
        yield topics
    finally:
        for topic in topics:
            delete_topic(servers, topic)


def _produce(
    servers: str, topic: str, events: list[bytes], rate: float | None, is_over: threading.Event
) -> None:
    if not events:
        return
    lines = itertools.takewhile(lambda _line: not is_over.is_set(), events)
    produce_lines(servers, topic, lines, key_field="id", rate=rate)


def _over_files(options: DemoOptions, folder: Path, overrides: list[str], console: Console) -> dict[str, Any]:
    """The same belt over the same events, from local files in place of the topic's partitions."""
    events, labels = _flights(options)
    for name, rows in (("flights", events), ("arrivals", labels)):
        for partition in range(PARTITIONS):
            lines = b"\n".join([*rows[partition::PARTITIONS], b""])
            (folder / f"{name}-{partition}.jsonl").write_bytes(lines)
    if options.delayed_labels:
        overrides = [*overrides, f"labels.paths=['{folder.as_posix()}/arrivals-*.jsonl']"]
    config = files_config(folder, overrides, delayed_labels=options.delayed_labels)
    return _learn(options, config, len(events), console, until_end=True)


def files_config(folder: Path, overrides: list[str], *, delayed_labels: bool = False) -> Config:
    """Return the demo's config with the flights read from files in ``folder``."""
    text = config_text(delayed_labels=delayed_labels)
    begin, end = text.index("[source.kafka]"), text.index("[event]")
    source = f'[source.files]\ntopic = "{TOPIC}"\npaths = ["{folder.as_posix()}/flights-*.jsonl"]\n\n'
    without_predictions = re.sub(
        r"(?m)^\[predictions\]\n(.+\n)*|^topic = \"flights-dead-letters\"\n", "", text[end:]
    )
    return parse(text[:begin] + source + without_predictions, overrides)


def _learn(
    options: DemoOptions, config: Config, events: int, console: Console, *, until_end: bool
) -> dict[str, Any]:
    """Run the daemon over the flights; without an end of its own it ends when all were read."""
    shown = Console(stderr=True) if options.quiet else console
    telemetry = Telemetry(log=configure_logs("console", verbose=True) if options.verbose else None)
    until_end = until_end and not options.stay
    with Screen(shown, events, quiet=options.quiet) as screen:

        def on_status(status: Status) -> None:
            screen.show(status)
            if not until_end and not options.stay and status.events_read >= events:
                daemon.stop("the flights are over")

        daemon = Daemon(
            config,
            telemetry,
            until_end=until_end,
            on_status=on_status,
            on_url=screen.found_page,
            observe_seconds=OBSERVE_SECONDS,
        )
        with stopping_on_signals(daemon.stop):
            return daemon.run()


def _say(options: DemoOptions, console: Console, text: str) -> None:
    if not options.quiet:
        console.print(text, highlight=False)
