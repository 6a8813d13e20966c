"""The benchmark's arithmetic, its turns, what it says of failures, and the shape of results.json."""

from __future__ import annotations

import doctest
import json
import sys
from pathlib import Path

import pytest
from rich.console import Console

# bench/ is run from the checkout, and is not installed.
sys.path.append(str(Path(__file__).resolve().parents[2]))

from bench import daemons, harness, memory, pipelines, plan, report, stages, vw_file, workload
from bench.harness import (
    RECORD_KEYS,
    Contender,
    ContenderAbsent,
    ContenderFailed,
    Series,
    Target,
    compare,
    failed,
    results_table,
    run_program,
    take_turns,
    write_results,
)


def record(name: str, **further: object) -> harness.Record:
    return {**dict.fromkeys(RECORD_KEYS), "name": name, **further}


def shown(records: list[harness.Record]) -> str:
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        console.print(results_table(records))
    return capture.get()


@pytest.mark.parametrize(
    "module", [daemons, harness, memory, pipelines, plan, report, stages, vw_file, workload]
)
def test_the_examples_in_the_docstrings_hold(module):
    done = doctest.testmod(module)
    assert done.attempted > 0
    assert done.failed == 0


def test_median_and_spread_are_over_the_rounds():
    series = Series([3.0, 1.0, 2.0, 10.0])
    assert series.median == 2.5
    assert series.spread == pytest.approx((10.0 - 1.0) / 2.5)


def test_a_series_that_failed_has_no_median_even_if_it_brought_figures_before():
    assert Series([3.0], failure="it fell").median is None
    assert Series().spread is None


def test_every_round_begins_with_another_contender_and_none_is_left_out():
    order = []
    contenders = [Contender((name,), lambda name=name: {name: 1.0}) for name in "abc"]
    series = take_turns(contenders, 4, lambda name, _figures: order.append(name))
    assert "".join(order) == "abcbcacababc"
    assert {name: len(each.values) for name, each in series.items()} == {"a": 4, "b": 4, "c": 4}


def test_one_that_fails_is_reported_and_the_others_go_on():
    turns = iter([8.0])

    def fails_in_its_second_turn():
        for turn in turns:
            return {"ours": turn, "wall": turn}
        raise ContenderFailed("exit code 4: the disk is full")

    contenders = [
        Contender(("ours", "wall"), fails_in_its_second_turn),
        Contender(("theirs",), lambda: {"theirs": 10.0}),
    ]
    series = take_turns(contenders, 3, lambda _name, _figures: None)
    assert len(series["theirs"].values) == 3
    for name in ("ours", "wall"):
        found = compare(series, name, "theirs", "events/s", Target("ratio", at_least=0.5))
        assert found["value"] is None
        assert found["ratio"] is None
        assert found["baseline_value"] == 10.0
        assert "met" not in found
        assert found["failure"] == f"{name}: exit code 4: the disk is full"
        assert "FAILED" in shown([found])


def test_a_baseline_that_failed_is_reported_too():
    series = {"ours": Series([8.0]), "theirs": Series(failure="gone")}
    found = compare(series, "ours", "theirs", "events/s")
    assert (found["value"], found["ratio"], found["failure"]) == (8.0, None, "theirs: gone")


def test_one_that_is_absent_is_told_loudly_and_is_no_failure():
    def absent():
        raise ContenderAbsent("no .venv-quix")

    contenders = [Contender(("ours",), lambda: {"ours": 8.0}), Contender(("theirs",), absent)]
    told = []
    series = take_turns(contenders, 2, lambda name, figures: told.append((name, dict(figures))))
    assert told == [("ours", {"ours": 8.0}), ("theirs", {}), ("ours", {"ours": 8.0})]
    found = compare(series, "ours", "theirs", "events/s", Target("ratio", at_least=0.5))
    assert (found["value"], found["ratio"], found["absent"]) == (8.0, None, "theirs: no .venv-quix")
    assert "failure" not in found
    assert "met" not in found
    assert "ABSENT" in shown([found])


def test_a_ratio_is_of_the_medians_and_its_range_is_within_rounds():
    series = {"ours": Series([80.0, 30.0, 90.0]), "theirs": Series([100.0, 50.0, 100.0])}
    found = compare(series, "ours", "theirs", "events/s", Target("ratio", at_least=0.85))
    assert set(RECORD_KEYS) <= set(found)
    assert (found["value"], found["baseline_value"], found["ratio"]) == (80.0, 100.0, 0.8)
    assert found["ratio_range"] == [0.6, 0.9]
    assert (found["range"], found["spread"]) == ([30.0, 90.0], 0.75)
    assert found["repeats"] == 3
    assert (found["target"], found["met"]) == ("ratio >= 0.85", False)
    assert "ratio >= 0.85: missed" in shown([found])


@pytest.mark.parametrize(
    ("target", "value", "ratio", "met"),
    [
        (Target("ratio", at_least=0.85), 1.0, 0.85, True),
        (Target("ratio", at_least=0.85), 1.0, 0.8499, False),
        (Target("value", at_most=50.0), 50.0, 9.0, True),
        (Target("value", at_most=50.0), 50.1, 0.0, False),
        (Target("ratio", at_least=1.0, at_most=1.0), 0.5, 1.0, True),
        (Target("ratio", at_least=1.0, at_most=1.0), 0.5, 1.0000001, False),
    ],
)
def test_a_target_holds_up_to_its_bound(target, value, ratio, met):
    assert target.is_met_by(value=value, ratio=ratio) is met


def test_memory_is_compared_between_the_first_and_the_last_tenth():
    resident = {
        50: 999.0,
        110: 200.0,
        150: 300.0,
        199: 210.0,
        600: 900.0,
        1001: 280.0,
        1050: 250.0,
        1100: 265.0,
    }
    samples = [
        memory.Sample(events, megabytes, 999.0 if events < 1050 else 1060.0)
        for events, megabytes in resident.items()
    ]
    typical, peak = memory._records(samples, 100, 1000)
    assert set(RECORD_KEYS) <= set(typical)
    assert (typical["value"], typical["baseline_value"], typical["met"]) == (55.0, 210.0, False)
    assert (peak["value"], peak["baseline_value"], peak["met"]) == (61.0, 999.0, False)


def test_too_few_looks_at_memory_say_nothing():
    with pytest.raises(ContenderFailed, match="only 1 looks"):
        memory._records([memory.Sample(50, 100.0, 100.0)], 100, 1000)


def test_results_of_a_suite_replace_its_earlier_ones_and_no_others(tmp_path):
    path = tmp_path / "results.json"
    write_results(path, "river", [record("daemon", ratio=0.5), record("plain")])
    write_results(path, "torch", [record("torch")])
    write_results(path, "river", [record("daemon", ratio=0.9)])
    written = json.loads(path.read_text())
    assert [(each["name"], each["suite"]) for each in written] == [("torch", "torch"), ("daemon", "river")]
    assert all(set(RECORD_KEYS) <= set(each) for each in written)
    assert written[1]["ratio"] == 0.9


def test_a_record_without_its_keys_is_no_record(tmp_path):
    with pytest.raises(AssertionError, match=r"'daemon' has no \['unit'"):
        write_results(tmp_path / "results.json", "river", [{"name": "daemon"}])


def test_a_benchmark_that_brought_nothing_has_a_row(tmp_path):
    found = failed("memory", "BrokerUnavailable: no broker answers")
    write_results(tmp_path / "results.json", "memory", [found])
    text = shown([found])
    assert "memory" in text
    assert "FAILED" in text


def test_a_program_says_json_or_why_not():
    assert run_program(["-c", "print('{\"events\": 3}')"], seconds_max=60) == {"events": 3}
    with pytest.raises(ContenderFailed, match="exit code 3: out of luck"):
        run_program(["-c", "import sys; print('out of luck', file=sys.stderr); sys.exit(3)"], seconds_max=60)
    with pytest.raises(ContenderFailed, match="no JSON: 'three"):
        run_program(["-c", "print('three')"], seconds_max=60)


def test_a_program_that_hangs_is_ended():
    with pytest.raises(ContenderFailed, match=r"longer than 0\.5 s"):
        run_program(["-c", "import threading; threading.Event().wait()"], seconds_max=0.5)


def test_events_are_the_same_each_time_and_as_wide_as_promised(tmp_path):
    one, other = tmp_path / "one.jsonl", tmp_path / "other.jsonl"
    workload.write_events(one, 300, workload.Shape())
    workload.write_events(other, 300, workload.Shape())
    assert one.read_bytes() == other.read_bytes()
    lines = one.read_bytes().splitlines()
    assert 520 < sum(map(len, lines)) / 300 < 580
    event = json.loads(lines[0])
    assert [*event] == [*workload.feature_names(20), workload.LABEL]
    assert {json.loads(line)[workload.LABEL] for line in lines} == {False, True}
