"""Checkpoints and reliability: what a crash would cost, what was fenced, and how the processes are."""

from __future__ import annotations

import frame
from panels import Json, bars, flag, graph, line, table
from promql import age, gauge, increase, quantile, rate

WORKER = "{{instance}}"


def checkpoints() -> list[Json]:
    ages = [
        line(age("streamlearn_last_checkpoint_timestamp_seconds"), WORKER),
        line(gauge("streamlearn_checkpoint_interval_seconds"), f"{WORKER}: due every"),
    ]
    took = [
        line(gauge("streamlearn_checkpoint_seconds"), f"until durable: {WORKER}"),
        line(quantile("0.99", "streamlearn_checkpoint_pause_seconds"), "the belt stood still, 99%"),
    ]
    return [
        graph(
            "Since the last checkpoint",
            "What a crash now would have to learn again; it grows also while no event comes. Of several shards the oldest.",
            "s",
            ages,
            alerts=("StreamlearnCheckpointTooOld",),
        ),
        bars(
            "Checkpoints",
            "A failed one is tried again; a corrupt one was set aside for an older one.",
            [line(increase("streamlearn_checkpoints_total", "outcome"), "{{outcome}}")],
            "StreamlearnCheckpointTooOld",
        ),
        graph(
            "Checkpoint time",
            "Written beside the belt; only the snapshot stops it. Above the red line snapshots are felt.",
            "s",
            took,
            steps=((None, "green"), (1, "red")),
        ),
        graph(
            "Checkpoint size",
            "Of the last one.",
            "bytes",
            [line(gauge("streamlearn_checkpoint_bytes"), WORKER)],
        ),
        graph(
            "Shards held",
            "Shards whose state a worker has. Of one stream's workers, no two hold the same.",
            "short",
            [line(gauge("streamlearn_owned_shards"), WORKER)],
        ),
        bars(
            "Fenced",
            "Shards that another worker took over while this one held them.",
            [line(increase("streamlearn_fenced_shards_total", "instance"), WORKER)],
            "StreamlearnFencedOften",
        ),
        bars(
            "Transactions",
            "What became of them, under exactly-once delivery; what was aborted or retried was sent again.",
            [line(increase("streamlearn_transactions_total", "outcome"), "{{outcome}}")],
        ),
    ]


def processes() -> list[Json]:
    restarts = f"sum by (instance) (changes({gauge('process_start_time_seconds')}[$__rate_interval]))"
    files = f"{gauge('process_open_fds')} / {gauge('process_max_fds')}"
    build = table(
        "What runs",
        "Each worker, its version and its stream.",
        {"up": line(gauge("streamlearn_build_info"))},
        ("instance", "version", "stream", "task", "scope"),
        {},
    )
    return [
        flag(
            "Scraped", "Prometheus reaches the worker.", line(gauge("up"), WORKER), "StreamlearnDaemonAbsent"
        ),
        {**build, "gridPos": {"w": 21, "h": 4}},
        bars("Restarts", "A start of the process.", [line(restarts, WORKER)], "StreamlearnDaemonAbsent"),
        graph(
            "Processor",
            "Cores in use.",
            "short",
            [line(rate("process_cpu_seconds_total", "instance"), WORKER)],
        ),
        graph(
            "Memory",
            "Resident. It should be flat: what grows is pending labels, categories or a leak.",
            "bytes",
            [line(gauge("process_resident_memory_bytes"), WORKER)],
        ),
        graph(
            "Open files",
            "Share of what the process may open.",
            "percentunit",
            [line(files, WORKER)],
            steps=((None, "green"), (0.8, "red")),
        ),
        graph(
            "Garbage collections",
            "Python's, by generation, a second.",
            "ops",
            [line(rate("python_gc_collections_total", "generation"), "{{generation}}")],
        ),
    ]


def dashboard() -> Json:
    """Return the dashboard."""
    return frame.dashboard(
        "reliability",
        "checkpoints and reliability",
        {"Checkpoints": checkpoints(), "Processes": processes()},
    )
