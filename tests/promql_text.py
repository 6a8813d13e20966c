"""What a test can read off PromQL as text: which series it asks for, by which labels; and what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from streamlearn.metrics_table import METRICS

ROOT = Path(__file__).parents[1]
RULES = sorted((ROOT / "docker" / "prometheus" / "rules").glob("*.yml"))

SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",), "info": ("",)}
TARGET = {"instance", "job"}
# What a name in PromQL may stand for, and which labels it has.
SERIES = {
    metric.name + suffix: {*metric.labels, *TARGET} | ({"le"} if suffix == "_bucket" else set())
    for metric in METRICS
    for suffix in SUFFIXES[metric.kind]
}
# Of Prometheus itself, and of every process that prometheus_client speaks for.
OTHERS = {
    "up": TARGET,
    "ALERTS": {*TARGET, "alertname", "alertstate"},
    "process_start_time_seconds": TARGET,
    "process_cpu_seconds_total": TARGET,
    "process_resident_memory_bytes": TARGET,
    "process_open_fds": TARGET,
    "process_max_fds": TARGET,
    "python_gc_collections_total": {*TARGET, "generation"},
}
COUNTERS = {metric.name for metric in METRICS if metric.kind == "counter"}
# None of these has anything to show where labels ride in their events.
ONLY_WITH_LABELS = (
    "streamlearn_labels_",
    "streamlearn_label_",
    "streamlearn_pending_",
    "streamlearn_waited_",
)
JOIN = "group_left (stream) streamlearn_build_info"

_NAME = re.compile(r"\b(?:streamlearn|process|python)_\w+|\bALERTS\b|\bup\b")


def names(expression: str) -> list[str]:
    """The metrics that an expression names, in order.

    >>> names('sum by (job) (rate(process_cpu_seconds_total{job="up"}[5m])) + up')
    ['process_cpu_seconds_total', 'up']
    """
    return _NAME.findall(re.sub(r'"[^"]*"', '""', expression))


def families(expression: str) -> set[str]:
    """The metrics of the table that an expression names."""
    asked = set(names(expression))
    return {m.name for m in METRICS if any(m.name + suffix in asked for suffix in SUFFIXES[m.kind])}


def filled_in(expression: str, instance: str = ".*", rate_interval: str = "10s") -> str:
    """A query as Grafana would send it, with everything chosen.

    >>> filled_in('rate(streamlearn_labels_total{instance=~"$instance"}[$__rate_interval])')
    'rate(streamlearn_labels_total{instance=~".*"}[10s])'
    """
    values = {
        "instance": instance,
        "metric": "accuracy",
        "window": "sliding",
        "__rate_interval": rate_interval,
    }
    return re.sub(r"\$(\w+)", lambda found: values.get(found[1], ".*"), expression)


def wrong_labels(expression: str) -> list[str]:
    """What an expression asks for that no series has; empty where all is right.

    >>> wrong_labels('sum by (reason) (streamlearn_ready{partition="1"})')
    ["streamlearn_ready has no label 'partition'", "nothing has a label 'reason'"]
    >>> wrong_labels("streamlearn_redy")
    ['there is no streamlearn_redy']
    """
    known = {**SERIES, **OTHERS}
    asked = names(expression)
    wrong = [f"there is no {name}" for name in asked if name not in known]
    if wrong:
        return wrong
    for name, matchers in re.findall(r"\b(\w+)\{([^}]*)\}", expression):
        wrong += [
            f"{name} has no label {label!r}"
            for label in re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"', matchers)
            if label not in known[name]
        ]
    had = set.union(*(known[name] for name in asked)) if asked else set()
    for inner in re.findall(r"\b(?:by|on|group_left|group_right) \(([^)]*)\)", expression):
        wrong += [f"nothing has a label {label!r}" for label in re.findall(r"\w+", inner) if label not in had]
    return wrong


def rules() -> list[dict[str, Any]]:
    """All alert rules, file by file."""
    documents = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in RULES]
    return [rule for document in documents for group in document["groups"] for rule in group["rules"]]
