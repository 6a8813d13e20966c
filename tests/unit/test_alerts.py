"""Every alert fires when it should and not else, says what it has to, and has a page that tells what to do."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from alerts import of_models, of_reliability, of_the_daemon
from alerts.cases import Case
from programs import program
from promql_text import ROOT, rules, wrong_labels
from typer.testing import CliRunner

from streamlearn.cli import app

CASES: dict[str, list[Case]] = {**of_the_daemon.CASES, **of_models.CASES, **of_reliability.CASES}
BY_NAME = {rule["alert"]: rule for rule in rules()}
RUNBOOKS = ROOT / "docs" / "runbooks"
HEADINGS = ("What it means", "How to look", "What to do", "When to page, and whom")


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    assert len(BY_NAME) == len(rules()), "two alerts of one name"
    assert set(CASES) == set(BY_NAME)
    for name, cases in CASES.items():
        assert {case.labels is None for case in cases} == {True, False}, name


@pytest.mark.parametrize("name", BY_NAME)
def test_an_alert_says_how_bad_it_is_and_what_to_do(name: str) -> None:
    rule = BY_NAME[name]
    assert name.startswith("Streamlearn")
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{name}.md"
    assert (RUNBOOKS / f"{name}.md").exists()


def test_alerts_ask_only_for_metrics_and_labels_that_there_are() -> None:
    for name, rule in BY_NAME.items():
        assert wrong_labels(rule["expr"]) == [], name


def promtool_file(name: str, cases: list[Case], rule_file: Path) -> dict[str, Any]:
    """The cases of one alert as promtool's unit tests."""
    rule = BY_NAME[name]
    tests = []
    for number, case in enumerate(cases):
        expected = {
            "exp_labels": {**rule["labels"], **(case.labels or {})},
            "exp_annotations": {
                "summary": case.summary,
                "description": case.description,
                "runbook_url": rule["annotations"]["runbook_url"],
            },
        }
        tests.append(
            {
                "name": f"{name}, case {number}",
                "interval": "1m",
                "input_series": [{"series": s, "values": v} for s, v in case.all_series.items()],
                "alert_rule_test": [
                    {
                        "eval_time": f"{case.at}m",
                        "alertname": name,
                        "exp_alerts": [] if case.labels is None else [expected],
                    }
                ],
            }
        )
    return {"rule_files": [str(rule_file)], "evaluation_interval": "1m", "tests": tests}


def run_cases(cases: dict[str, list[Case]], folder: Path) -> subprocess.CompletedProcess[str]:
    """Each rule in a file of its own: promtool evaluates all rules of a file at every minute of every case."""
    files = []
    for name, each in cases.items():
        rule_file, test_file = folder / f"{name}.yml", folder / f"{name}.test.yml"
        rule_file.write_text(yaml.safe_dump({"groups": [{"name": name, "rules": [BY_NAME[name]]}]}))
        test_file.write_text(yaml.safe_dump(promtool_file(name, each, rule_file), sort_keys=False))
        files.append(str(test_file))
    command = [program("promtool", "prometheus"), "test", "rules", *files]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_alerts_fire_when_they_should_and_not_else(tmp_path: Path) -> None:
    ran = run_cases(CASES, tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("name", CASES)
def test_the_cases_would_notice(name: str, tmp_path: Path) -> None:
    # Each case turned around: what fired should not have, and what did not, should.
    fired = next(case for case in CASES[name] if case.labels is not None)
    silent = next(case for case in CASES[name] if case.labels is None)
    for case in (
        Case(fired.series, fired.at, workers=fired.workers),
        Case(silent.series, silent.at, {"x": "y"}),
    ):
        assert run_cases({name: [case]}, tmp_path).returncode != 0


# --------------------------------------------------------------------------------------- runbooks


@pytest.mark.parametrize("name", BY_NAME)
def test_a_runbook_is_short_and_says_all(name: str) -> None:
    page = (RUNBOOKS / f"{name}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {name}\n")
    assert tuple(re.findall(r"(?m)^## (.+)$", page)) == HEADINGS
    assert len(page.splitlines()) <= 60


def test_the_list_of_runbooks_is_complete_and_there_is_none_too_many() -> None:
    listed = set(re.findall(r"\]\((\w+)\.md\)", (RUNBOOKS / "README.md").read_text(encoding="utf-8")))
    assert listed == set(BY_NAME)
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == {*BY_NAME, "README"}


def queries(page: str) -> list[str]:
    """The PromQL of a page: the lines of its blocks that are marked so."""
    return [
        line
        for block in re.findall(r"(?s)```promql\n(.*?)```", page)
        for line in block.splitlines()
        if line and not line.startswith("#")
    ]


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("*.md")), ids=lambda page: page.stem)
def test_runbooks_ask_only_for_what_there_is(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for query in queries(text):
        assert wrong_labels(query) == [], query
    for board in re.findall(r"streamlearn: ([\w ]+?)\"", text):
        titles = {yaml.safe_load(each.read_text())["title"] for each in (ROOT / "grafana").glob("*.json")}
        assert f"streamlearn: {board}" in titles


def test_the_runbooks_queries_are_promql(tmp_path: Path) -> None:
    asked = [query for page in sorted(RUNBOOKS.glob("*.md")) for query in queries(page.read_text("utf-8"))]
    assert asked
    file = tmp_path / "queries.yml"
    recorded = [{"record": f"query:{index}", "expr": query} for index, query in enumerate(asked)]
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": recorded}]}), encoding="utf-8")
    command = [program("promtool", "prometheus"), "check", "rules", str(file)]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("*.md")), ids=lambda page: page.stem)
def test_runbooks_name_options_and_commands_that_there_are(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    configuration = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"(?s)## `\[([\w.]+)\]`\n(.*?)(?=\n## |\Z)", configuration))
    for section, option in re.findall(rf"`({'|'.join(map(re.escape, sections))})\.(\w+)`", text):
        assert f"| `{option}` |" in sections[section], f"{section}.{option}"
    for words in re.findall(
        r"\bstreamlearn ((?:checkpoints |dead-letters )?[a-z]+) (?:CONFIG|CHECKPOINT_FOLDER)", text
    ):
        shown = CliRunner().invoke(app, [*words.split(), "--help"])
        assert shown.exit_code == 0, words
