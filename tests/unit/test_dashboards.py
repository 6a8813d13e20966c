"""The dashboards are in step with their generator, and ask only for metrics and labels that there are."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from programs import program
from promql_text import COUNTERS, OTHERS, ROOT, SERIES, families, names, wrong_labels

from streamlearn.metrics_table import METRICS

GRAFANA = ROOT / "grafana"
FILES = sorted(GRAFANA.glob("*.json"))
BOARDS = {"overview", "models", "belt", "reliability"}


@pytest.fixture
def generator(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(GRAFANA))
    yield importlib.import_module("generate")
    here = [
        name for name, module in sys.modules.items() if str(GRAFANA) in str(getattr(module, "__file__", ""))
    ]
    for name in here:
        del sys.modules[name]


def dashboard(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def expressions(path: Path) -> list[str]:
    return [target["expr"] for panel in dashboard(path)["panels"] for target in panel.get("targets", [])]


def definitions(path: Path) -> list[str]:
    return [each["definition"] for each in dashboard(path)["templating"]["list"] if "definition" in each]


def marks(path: Path) -> list[dict[str, Any]]:
    return list(dashboard(path)["annotations"]["list"])


def test_there_are_the_dashboards_that_the_manual_promises() -> None:
    assert {path.stem for path in FILES} == BOARDS


def test_the_files_are_in_step_with_the_generator(generator: ModuleType) -> None:
    assert set(generator.DASHBOARDS) == {path.name for path in FILES}
    for path in FILES:
        assert dashboard(path) == json.loads(json.dumps(generator.DASHBOARDS[path.name]())), (
            "run: python grafana/generate.py"
        )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_metric_and_label_exists(path: Path) -> None:
    for text in definitions(path):
        selector, label = re.fullmatch(r"label_values\((.+), (\w+)\)", text).groups()  # type: ignore[union-attr]
        assert wrong_labels(f"sum by ({label}) ({selector})") == [], text
    for expression in [*expressions(path), *(mark["expr"] for mark in marks(path))]:
        assert names(expression), expression
        assert wrong_labels(expression) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_legends_name_labels_that_the_result_has(path: Path) -> None:
    shown = [
        (target["expr"], target["legendFormat"])
        for panel in dashboard(path)["panels"]
        for target in panel.get("targets", [])
    ]
    shown += [(mark["expr"], mark["textFormat"]) for mark in marks(path)]
    for expression, text in shown:
        wanted = set(re.findall(r"{{(\w+)}}", text))
        grouped = re.search(r"by \(([^)]*)\)", expression)
        (name, *_) = names(expression)
        had = set(grouped.group(1).split(", ")) if grouped else {**SERIES, **OTHERS}[name]
        assert wanted <= had, (expression, text)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_counters_are_shown_by_how_they_grow(path: Path) -> None:
    for expression in expressions(path):
        for name in names(expression):
            if name in COUNTERS or name.endswith(("_bucket", "_sum", "_count")):
                assert re.search(rf"(rate|increase)\({name}", expression), expression


def test_every_metric_is_shown_somewhere() -> None:
    shown = set().union(*(families(expression) for path in FILES for expression in expressions(path)))
    assert {metric.name for metric in METRICS} - shown == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_panel_says_what_it_shows_in_which_unit_and_what_is_too_much(path: Path) -> None:
    for panel in dashboard(path)["panels"]:
        if panel["type"] != "row":
            assert panel["description"].endswith("."), panel["title"]
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
            assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"][0]["value"] is None, panel["title"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_is_asked_for_can_be_chosen(path: Path) -> None:
    had = {each["name"] for each in dashboard(path)["templating"]["list"]}
    asked = set(re.findall(r"\$\{?([a-z]\w+)", json.dumps(dashboard(path))))
    assert asked <= had
    assert {"stream", "instance", "datasource"} <= had


def test_stream_model_topic_and_partition_can_be_chosen() -> None:
    names_of = {path.stem: {v["name"] for v in dashboard(path)["templating"]["list"]} for path in FILES}
    assert {"stream", "model", "topic", "partition"} <= names_of["overview"]
    assert {"stream", "model", "metric", "window"} <= names_of["models"]
    assert {"stream", "topic", "partition"} <= names_of["belt"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_dashboards_lead_to_each_other_and_to_the_runbooks(path: Path) -> None:
    document = dashboard(path)
    assert document["tags"] == ["streamlearn"]
    boards, runbooks = document["links"]
    assert (boards["type"], boards["tags"], boards["keepTime"]) == ("dashboards", ["streamlearn"], True)
    pages = [link["url"] for panel in document["panels"] for link in panel.get("links", ())]
    assert pages
    for url in [runbooks["url"].replace("/public/runbooks", "${runbooks}"), *pages]:
        assert (ROOT / "docs" / "runbooks" / url.removeprefix("${runbooks}/")).exists(), url


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_happened_is_marked(path: Path) -> None:
    assert {mark["name"]: mark["enable"] for mark in marks(path)} == {
        "Drift alarms": True,
        "Rebalances": True,
        "Restarts": True,
        "Checkpoints": False,  # every half minute one
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_panels_do_not_overlap(path: Path) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in dashboard(path)["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, (panel["title"], taken[x, y])
                taken[x, y] = panel["title"]
    assert len({panel["id"] for panel in dashboard(path)["panels"]}) == len(dashboard(path)["panels"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_prometheus_can_read_every_expression(path: Path, tmp_path: Path) -> None:
    tool = program("promtool", "prometheus")

    def check(queries: list[str]) -> subprocess.CompletedProcess[str]:
        rules = [{"record": f"panel:{index}", "expr": query} for index, query in enumerate(queries)]
        (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
        command = [tool, "check", "rules", str(tmp_path / "rules.yml")]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    asked = [
        re.sub(r"\$\w+", "x", each.replace("$__rate_interval", "1m"))
        for each in [*expressions(path), *(mark["expr"] for mark in marks(path))]
    ]
    checked = check(asked)
    assert checked.returncode == 0, checked.stderr
    assert f"{len(asked)} rules found" in checked.stdout
    assert check(["sum by (model (rate(x[1m]))"]).returncode != 0, "promtool would find anything fine"
