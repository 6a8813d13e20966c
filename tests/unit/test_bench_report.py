"""What the page and the plots say of records: reached, missed, failed, absent, not measured."""

from __future__ import annotations

import sys
from pathlib import Path

# bench/ is run from the checkout, and is not installed.
sys.path.append(str(Path(__file__).resolve().parents[2]))

from bench import plan, plots, report
from bench.harness import Record, Series, Target, compare


def record(name: str, values: list[float], baseline: str, theirs: list[float], **further: object) -> Record:
    target = further.pop("target", None)
    series = {name: Series(values), baseline: Series(theirs)}
    made = compare(series, name, baseline, "events/s", target if isinstance(target, Target) else None)
    return {**made, "suite": "speed", "event_bytes": 535, "startup_seconds": 2.0, **further}


def verdicts(records: list[Record]) -> dict[str, tuple[str, str]]:
    rows = [line.strip("| ").split(" | ") for line in report.targets_table(records)[2:]]
    return {row[0]: (row[2], row[4]) for row in rows}


def test_a_target_is_reached_missed_failed_or_not_measured_and_never_left_out():
    at_least = {"target": Target("ratio", at_least=1.0)}
    failed = record(plan.ONCE, [], plan.RAW, [2.0], **at_least)
    failed |= {"failure": "exit code 4: the disk\nis full"}
    absent = record(plan.COMPILED, [3.0], plan.VW, [], **at_least) | {"absent": "vw_file: not installed"}
    found = verdicts(
        [
            record(plan.COMPILED, [3.0], plan.RAW, [2.0], group="side_by_side"),
            record(plan.COMPILED, [3.0], plan.RAW, [2.0], **at_least),
            record(plan.COMPILED, [3.0], plan.C_BATCHES, [4.0], **at_least),
            failed,
            absent,
        ]
    )
    assert len(found) == len(report.GOALS)
    told = {goal.name + "/" + goal.baseline: found[goal.what] for goal in report.GOALS}
    assert told[f"{plan.COMPILED}/{plan.RAW}"] == ("1.50x", "reached")
    assert told[f"{plan.COMPILED}/{plan.C_BATCHES}"] == ("0.75x", "**missed**")
    assert told[f"{plan.ONCE}/{plan.RAW}"] == ("-", "**failed**: exit code 4: the disk is full")
    assert told[f"{plan.COMPILED}/{plan.VW}"] == ("-", "contender absent: vw_file: not installed")
    assert told["scanner_20_floats/polars"] == ("-", "**not measured** in this run")


def test_a_target_of_a_value_shows_the_value():
    name, baseline = "latency_at_least_once_p99", "kafka_alone_p99"
    series = {name: Series([31.0, 33.0]), baseline: Series([9.0, 9.5])}
    late = compare(series, name, baseline, "ms", Target("value", at_most=25.0))
    (found,) = [each for what, each in verdicts([late]).items() if "Latency" in what]
    assert found == ("32.0 ms", "**missed**")
    assert "| 31.00 to 33.00 |" in "\n".join(report.targets_table([late]))


def test_every_goal_is_of_a_comparison_that_some_benchmark_makes():
    from bench import checkpoints, compiled_rate, decode_rate, latency, torch_rate

    made = {(each.name, each.baseline) for each in plan.COMPARISONS if each.target}
    made |= {(each.name, f"river_loop_{each.name}") for each in compiled_rate.SHAPES if each.target}
    made |= {(f"scanner_{each.name}", decode_rate.POLARS) for each in decode_rate.SHAPES if each.target}
    made |= {(f"{each.name}_p99", f"{latency.ALONE}_p99") for each in latency.CASES if each.target}
    made.add((torch_rate.LEARNER, torch_rate.BARE))
    made |= {(checkpoints.COST, checkpoints.WITHOUT), (checkpoints.PAUSE, checkpoints.WITH)}
    assert {(goal.name, goal.baseline) for goal in report.GOALS} <= made


def test_the_common_case_stands_among_those_that_grow():
    base = record(plan.COMPILED, [4.0], plan.RAW, [5.0], group="side_by_side", at=None)
    wide = record("ours_100_features", [1.0], "raw_consume_features_100", [2.0], group="features", at=100)
    long = record("ours_8000_bytes", [1.0], "raw_consume_bytes_8000", [2.0], group="bytes", at=None)
    long["event_bytes"] = 7994
    records = [wide, long, base]
    assert [each["at"] for each in report.points(records, "features")] == [20, 100]
    assert [each["at"] for each in report.points(records, "bytes")] == [535, 7994]


def test_a_table_of_rates_tells_of_one_that_is_absent_and_of_a_single_round():
    absent = record(plan.QUIX, [], plan.RAW, [5e5], group="side_by_side") | {"absent": "quix: no environment"}
    ours = record(plan.COMPILED, [250_000.0], plan.RAW, [500_000.0], group="side_by_side")
    lines = report.rates_table([absent, ours], "side_by_side")[2:]
    assert lines[0] == "| ours, compiled | 250,000 | one round | 4.00 | 0.5 | 535 | 2.0 s |"
    assert "contender absent: quix: no environment" in lines[1]


def test_a_suite_that_was_not_run_says_so():
    assert report.suite_table([], "latency") == ["Not measured in this run."]
    assert report.rates_table([], "models") == ["Not measured in this run."]
    assert "make bench" in report.runs_note([])[0]


def test_a_quick_run_is_said_to_be_one():
    run = {
        "measured_at": "2026-01-02T03:04:05Z",
        "command": "python -m bench --quick",
        "quick": True,
        "versions": {"river": "0.26.1"},
        "machine": {
            "processor": "P",
            "cores": 2,
            "memory_gigabytes": 8,
            "system": "Linux",
            "load_average_before": 0.1,
        },
    }
    (line,) = report.runs_note([{**run, "suite": "speed"}, {**run, "suite": "speed"}])
    assert "A quick run" in line
    assert "`python -m bench --quick`, 2026-01-02" in line
    (line,) = report.runs_note([{**run, "suite": "speed", "quick": False}])
    assert "quick run" not in line


def test_plots_are_drawn_of_what_was_measured_and_the_same_each_time(tmp_path):
    records = [
        record(plan.COMPILED, [4.0, 5.0], plan.RAW, [5.0, 5.0], group="side_by_side", at=None),
        record(plan.RAW, [5.0, 5.0], plan.RAW, [5.0, 5.0], group="side_by_side"),
        record(plan.QUIX, [], plan.RAW, [5.0], group="side_by_side"),
        record("ours_100_features", [1.0], "raw_consume_features_100", [2.0], group="features", at=100),
    ]
    paths = plots.draw(records, tmp_path / "one")
    assert [path.name for path in paths] == ["rates.png", "rates.svg", "costs.png", "costs.svg"]
    again = plots.draw(records, tmp_path / "two")
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in again]
    assert plots.draw([], tmp_path / "none") == []
