"""What ``results.json`` says, as the tables of docs/performance.md: everything in them comes from the records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from bench import plan
from bench.harness import Record
from bench.plan import BASE, COMPILED, Group

# What a contender is called in tables and plots; the daemon's other cases are called by their names.
LABELS = {
    plan.RAW: "raw consume()",
    plan.C_BATCHES: "raw C batches",
    plan.PLAIN: "plain consumer + River",
    plan.QUIX: "Quix Streams + River",
    plan.VW: "Vowpal Wabbit, local file",
    plan.BARE: "River loop in memory",
    plan.GENERIC: "ours, generic River",
    plan.COMPILED: "ours, compiled",
    plan.SHORT: "ours, compiled, a short topic",
    plan.ONCE: "ours, predictions out, exactly once",
    plan.ARROW_IN: "ours, Arrow on the wire",
    plan.PARTITION_SCOPE: "ours, a model for each partition",
    "ours_arrow_out_exactly_once": "ours, Arrow predictions out, exactly once",
    "ours_at_least_once": "ours, predictions out, at least once",
    "ours_arrow_in_and_out_exactly_once": "ours, Arrow in and out, exactly once",
}


GROUPS: tuple[Group, ...] = ("side_by_side", "features", "partitions", "models", "bytes", "types")
NOTHING = "Not measured in this run."
# Of these the page shows every record as it is.
SUITES = ("stages", "compiled", "decode", "latency", "checkpoints", "labels", "memory", "torch")


@dataclass(frozen=True, slots=True)
class Goal:
    """A target of the native-speed work, and which record tells of it."""

    what: str
    target: str
    name: str
    baseline: str


GOALS = (
    Goal("Compiled, Kafka JSON, beside the plain River consumer", "≥ 30x", plan.COMPILED, plan.PLAIN),
    Goal("… beside raw confluent-kafka `consume()`", "≥ 1.0x", plan.COMPILED, plan.RAW),
    Goal("… beside raw C batches", "≥ 0.6x", plan.COMPILED, plan.C_BATCHES),
    Goal("… beside Vowpal Wabbit reading a local file", "≥ 1.5x", plan.COMPILED, plan.VW),
    Goal("With predictions out, exactly once, beside raw consume", "≥ 0.5x", plan.ONCE, plan.RAW),
    Goal("Stream scope beside partition scope", "≥ 0.9x", plan.COMPILED, plan.PARTITION_SCOPE),
    Goal("Arrow on the wire beside JSON", "≥ 3x", plan.ARROW_IN, plan.COMPILED),
    Goal(
        "In memory, scaler + logistic, beside River's loop", "≥ 150x", "scaler_logistic_20", "river_loop_scaler_logistic_20"
    ),
    Goal("Decoding JSON beside polars, one core", "≥ 2.5x", "scanner_20_floats", "polars"),
    Goal("Torch on the CPU beside the bare training step", "≥ 0.8x", "learner", "bare_step"),
    Goal(
        "Latency p99 at 5,000 events/s, at least once", "≤ 25 ms", "latency_at_least_once_p99", "kafka_alone_p99"
    ),
    Goal("Checkpoint pause p99, 100 MB of state", "≤ 20 ms", "checkpoint_pause_p99", "checkpoints_every_2_s"),
    Goal(
        "What checkpoints of it take of the throughput, every 30 s as by default", "≤ 2 %", "checkpoint_cost_default", "checkpoints_none"
    ),
)  # fmt: skip


def find(records: Sequence[Record], name: str, baseline: str) -> Record | None:
    """Return the record of a comparison; the one with a target where there are several."""
    found = [each for each in records if (each["name"], each["baseline"]) == (name, baseline)]
    return next((each for each in found if "target" in each), found[0] if found else None)


def label(name: str) -> str:
    """Return what a contender is called.

    >>> label("ours_4_models")
    'ours, 4 models'
    """
    if name in LABELS:
        return LABELS[name]
    first, _, rest = name.partition("_")
    rest = rest.replace("_", " ")
    return f"{first}, {rest}" if first == "ours" else f"{first} {rest}".strip()


def points(records: Sequence[Record], group: Group) -> list[Record]:
    """Return the records of a group along its axis, each with its place ``at``; the common case stands among them."""
    found = [record for record in records if record.get("group") == group]
    base = next((each for each in of_group(records, "side_by_side") if each["name"] == COMPILED), None)
    if group == "bytes":
        found = [{**each, "at": each["event_bytes"]} for each in [*([base] if base else []), *found]]
    elif base is not None and group in BASE:
        found.append({**base, "at": BASE[group]})
    return sorted(
        found, key=lambda each: (isinstance(each["at"], str), each["at"] if group != "types" else 0)
    )


def of_group(records: Sequence[Record], group: str) -> list[Record]:
    return [record for record in records if record.get("group") == group]


def scope(record: Record) -> str:
    """Return the scope of a case that grows by partitions."""
    return "partition" if "partition_scope" in record["name"] else "stream"


def targets_table(records: Sequence[Record]) -> list[str]:
    """Return what was to be reached beside what was."""
    rows = []
    for goal in GOALS:
        record = find(records, goal.name, goal.baseline)
        rows.append((goal.what, goal.target, _reached(record), _range(record), _verdict(record)))
    return table(("figure", "target", "reached", "in single rounds", "verdict"), rows)


def _reached(record: Record | None) -> str:
    if record is None or record["value"] is None:
        return "-"
    if str(record.get("target", "")).startswith("value"):
        return f"{record['value']:,.1f} {record['unit']}"
    return "-" if record["ratio"] is None else f"{record['ratio']:.2f}x"


def _range(record: Record | None) -> str:
    ratios = (record or {}).get("ratio_range", [])
    if record is None or not ratios or record.get("repeats", 0) < 2:
        return ""
    if str(record.get("target", "")).startswith("value"):
        ratios = record["range"]
    return f"{ratios[0]:.2f} to {ratios[1]:.2f}"


def _verdict(record: Record | None) -> str:
    if record is None:
        return "**not measured** in this run"
    for key, word in (("absent", "contender absent"), ("failure", "**failed**")):
        if key in record:
            return f"{word}: {_cell(record[key])}"
    if "met" not in record:
        return "no target in the run"
    return "reached" if record["met"] else "**missed**"


def _cell(text: str) -> str:
    """Return a line that fits a cell."""
    return " ".join(text.split())[-200:]


def rates_table(records: Sequence[Record], group: Group) -> list[str]:
    """Return a group's rates, each beside the raw ``consume()`` of its own events, the fastest first."""
    found = points(records, group) if group != "side_by_side" else of_group(records, group)
    if group == "side_by_side":
        found = sorted(found, key=lambda each: -(each["value"] or 0))
    if not found:
        return [NOTHING]
    rows = [_rates_row(each) for each in found]
    return table(
        ("contender", "events/s", "spread", "µs an event", "x raw consume", "bytes an event", "start-up"),
        rows,
    )


def _rates_row(record: Record) -> tuple[str, ...]:
    if record["value"] is None:
        return (label(record["name"]), _verdict(record), "", "", "", "", "")
    return (
        label(record["name"]),
        f"{record['value']:,.0f}",
        f"{record['spread']:.0%}" if record["repeats"] > 1 else "one round",
        f"{1e6 / record['value']:.2f}",
        "-" if record["ratio"] is None else f"{record['ratio']:.3g}",
        f"{record['event_bytes']:,}",
        f"{record['startup_seconds']:.1f} s",
    )


def suite_table(records: Sequence[Record], suite: str) -> list[str]:
    """Return all records of a suite as they are."""
    found = [record for record in records if record["suite"] == suite]
    if not found:
        return [NOTHING]
    rows = [
        (
            f"`{each['name']}`",
            _verdict(each) if each["value"] is None else f"{each['value']:,.4g} {each['unit']}",
            f"`{each['baseline']}`",
            "-" if each["baseline_value"] is None else f"{each['baseline_value']:,.4g}",
            "-" if each["ratio"] is None else f"{each['ratio']:,.3g}",
            _range(each),
        )
        for each in found
    ]
    return table(("figure", "value", "against", "its value", "ratio", "in single rounds"), rows)


def runs_note(records: Sequence[Record]) -> list[str]:
    """Return what was run where and when, one entry for each run; a quick run is said to be one."""
    lines = [] if records else ["No run yet: `make bench` makes one."]
    for _, group in groupby(records, key=lambda each: (each["measured_at"], each["command"])):
        some = list(group)
        first = some[0]
        machine: dict[str, Any] = first["machine"]
        versions = ", ".join(f"{name} {number}" for name, number in first["versions"].items())
        suites = ", ".join(dict.fromkeys(each["suite"] for each in some))
        quick = (
            " **A quick run: few events, and no spread. The figures are a sketch.**" if first["quick"] else ""
        )
        lines.append(
            f"- **{suites}**: `{first['command']}`, {first['measured_at'][:10]}, on {machine['processor']}, "
            f"{machine['cores']} cores, {machine['memory_gigabytes']} GB, {machine['system']}; broker and contenders share "
            f"them; load average before the run {machine['load_average_before']}.{quick}\n  Versions: {versions}."
        )
    return lines


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return Markdown.

    >>> table(("a", "b"), [("1", "x|y")])
    ['| a | b |', '| --- | --- |', '| 1 | x\\\\|y |']
    """
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *escaped)]
