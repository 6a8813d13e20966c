"""Who takes part in the benchmark of all contenders: every config loads, every comparison is of two that run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

# bench/ is run from the checkout, and is not installed.
sys.path.append(str(Path(__file__).resolve().parents[2]))

from bench import plan, speed, vw_file, workload
from bench.harness import ContenderAbsent, Series
from bench.plan import ACCURACY, STARTUP

RIVALS = (plan.RAW, plan.C_BATCHES, plan.VW, plan.BARE, plan.PLAIN, plan.QUIX)


@pytest.mark.parametrize("case", plan.CASES, ids=lambda case: case.name)
def test_the_daemons_config_is_valid(case, tmp_path):
    from streamlearn.config_file import load

    config = load(case.stream().write(tmp_path, "localhost:9092"), ())
    assert len(config.models) == case.models
    assert config.event.numeric == case.feed.shape.numeric_names
    assert config.event.format == case.feed.form


def test_cases_have_names_and_topics_of_their_own():
    names = [case.name for case in plan.CASES]
    assert len(set(names)) == len(names)
    feeds = {case.feed for case in plan.CASES}
    assert len({feed.topic for feed in feeds}) == len(feeds)


def test_what_has_to_be_reached_is_of_contenders_that_take_part_in_the_quick_run_too():
    quick = {case.name for case in plan.CASES if case.quick} | set(RIVALS)
    for each in plan.COMPARISONS:
        if each.target is not None and each.name != plan.SHORT + ACCURACY:
            assert {each.name.removesuffix(ACCURACY), each.baseline.removesuffix(ACCURACY)} <= quick


def test_all_partitions_and_scopes_are_measured():
    found = {(case.at, case.tables["stream"]["scope"]) for case in plan.CASES if case.group == "partitions"}
    # The common case is the one of 4 partitions in stream scope.
    assert found == {(n, scope) for n in (1, 4, 16) for scope in ("stream", "partition")} - {(4, "stream")}


def test_a_mixed_event_holds_every_type_and_nulls(tmp_path):
    shape = plan.TYPES["mixed"].shape
    path = tmp_path / "events.jsonl"
    workload.write_events(path, 200, shape)
    events = [json.loads(line) for line in path.read_bytes().splitlines()]
    kinds = {name: {type(event[name]) for event in events} for name in events[0]}
    of = [kinds[name] for name in shape.numeric_names]
    assert of == [*[{float, type(None)}] * 6, *[{int, type(None)}] * 5, *[{bool, type(None)}] * 4]
    assert all(kinds[name] == {str} for name in shape.categorical_names)
    assert 0.03 < sum(event[name] is None for event in events for name in shape.numeric_names) / 3000 < 0.07


def test_a_text_makes_an_event_as_long_as_its_name_says(tmp_path):
    path = tmp_path / "events.jsonl"
    workload.write_events(path, 50, plan.EIGHT_KB.shape)
    assert 7900 < path.stat().st_size / 50 < 8100


def test_a_rate_is_of_the_contenders_own_clock_and_what_its_process_lived_longer_is_start_up():
    turn = speed._contender(
        "ours", lambda: ({"events": 100, "seconds": 2.0, "accuracy": 0.75}, 5.0), judges=True
    )
    assert turn.take_turn() == {"ours": 50.0, "ours" + STARTUP: 3.0, "ours" + ACCURACY: 0.75}


def test_records_have_targets_first_and_each_case_beside_raw_reading_of_its_own_events():
    cases = [case for case in plan.CASES if case.name in (plan.COMPILED, "ours_100_features")]
    rates = dict.fromkeys(RIVALS, 100.0) | {plan.COMPILED: 80.0, "ours_100_features": 30.0}
    rates["raw_consume_features_100"] = 40.0
    series = {name: Series([rate]) for name, rate in rates.items()}
    series |= {name + STARTUP: Series([1.5]) for name in rates}
    series[plan.QUIX] = Series(absence="not installed")
    series[plan.PARTITION_SCOPE] = Series([100.0])
    filled = {case.feed: speed.Filled(10, 535.2) for case in cases}
    records = speed._records(series, cases, filled)
    found = {(each["name"], each["baseline"]): each for each in records}
    assert found[plan.COMPILED, plan.C_BATCHES]["met"] is True
    assert found[plan.COMPILED, plan.PLAIN]["met"] is False
    assert found[plan.COMPILED, plan.QUIX]["absent"] == f"{plan.QUIX}: not installed"
    wide = found["ours_100_features", "raw_consume_features_100"]
    assert (wide["ratio"], wide["group"], wide["at"], wide["event_bytes"]) == (0.75, "features", 100, 535)
    assert wide["startup_seconds"] == 1.5


def test_vw_gets_the_same_numbers_and_says_when_it_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr(vw_file, "find_spec", lambda name: object())
    lines, out = tmp_path / "events.jsonl", tmp_path / "events.vw"
    workload.write_events(lines, 3, workload.Shape(2))
    vw_file.write(lines, out, times=2)
    written = out.read_text("utf-8").splitlines()
    assert written[:3] == written[3:]
    for line, event in zip(written, map(json.loads, lines.read_bytes().splitlines()), strict=False):
        label, *pairs = line.replace("|f ", "").split()
        assert label == ("1" if event["label"] else "-1")
        assert {name: float(x) for name, x in (pair.split(":") for pair in pairs)} == {
            name: event[name] for name in workload.feature_names(2)
        }
    monkeypatch.setattr(vw_file, "find_spec", lambda name: None)
    with pytest.raises(ContenderAbsent, match="pip install"):
        vw_file.write(lines, out, times=1)


def test_quix_streams_is_absent_where_its_environment_is(tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "QUIX_PYTHON", speed.REPOSITORY / ".nowhere" / "bin" / "python")
    feeds = {feed: speed.Filled(10, 535.0) for feed in (plan.MAIN, plan.BRIEF)}
    contenders = speed._rivals("localhost:9092", feeds, plan.QUICK, tmp_path)
    assert {contender.names[0] for contender in contenders} == set(RIVALS)
    (quix,) = [contender for contender in contenders if contender.names[0] == plan.QUIX]
    with pytest.raises(ContenderAbsent, match=r"no \.nowhere/bin/python"):
        quix.take_turn()
