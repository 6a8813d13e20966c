"""The dashboards are in step with their generator, and ask only for metrics and labels that there are."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from streamlearn.metrics_table import METRICS

GRAFANA = Path(__file__).parents[2] / "grafana"
FILES = sorted(GRAFANA.glob("*.json"))
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",), "info": ("",)}
# What a name in PromQL may stand for, and which labels it has.
SERIES = {
    metric.name + suffix: {*metric.labels, "instance", "job"} | ({"le"} if suffix == "_bucket" else set())
    for metric in METRICS
    for suffix in SUFFIXES[metric.kind]
}
COUNTERS = {metric.name for metric in METRICS if metric.kind == "counter"}


@pytest.fixture
def generator(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(GRAFANA))
    yield importlib.import_module("generate")
    for name in ("generate", "panels"):
        del sys.modules[name]


def dashboard(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def expressions(path: Path) -> list[str]:
    return [target["expr"] for panel in dashboard(path)["panels"] for target in panel.get("targets", [])]


def test_there_is_a_first_dashboard() -> None:
    assert [path.name for path in FILES] == ["overview.json"]


def test_the_files_are_in_step_with_the_generator(generator: ModuleType) -> None:
    assert set(generator.DASHBOARDS) == {path.name for path in FILES}
    for path in FILES:
        assert dashboard(path) == json.loads(json.dumps(generator.DASHBOARDS[path.name]())), (
            "run: python grafana/generate.py"
        )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_metric_and_label_exists(path: Path) -> None:
    definitions = [
        each["definition"] for each in dashboard(path)["templating"]["list"] if "definition" in each
    ]
    for text in definitions:
        metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", text).groups()  # type: ignore[union-attr]
        assert label in SERIES[metric], text
    for expression in expressions(path):
        names = re.findall(r"\bstreamlearn_\w+", expression)
        assert names, expression
        known = set.intersection(*(SERIES[name] for name in names))
        matched = re.findall(r'(\w+)=~?"', expression)
        grouped = [
            label.strip() for inner in re.findall(r"by \(([^)]*)\)", expression) for label in inner.split(",")
        ]
        assert {*matched, *grouped} <= known, expression


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_legends_name_labels_that_the_result_has(path: Path) -> None:
    for panel in dashboard(path)["panels"]:
        for target in panel.get("targets", []):
            wanted = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            grouped = re.search(r"by \(([^)]*)\)", target["expr"])
            (name, *_) = re.findall(r"\bstreamlearn_\w+", target["expr"])
            had = set(grouped.group(1).split(", ")) if grouped else SERIES[name]
            assert wanted <= had, (panel["title"], target)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_counters_are_shown_by_how_they_grow(path: Path) -> None:
    for expression in expressions(path):
        for name in re.findall(r"\bstreamlearn_\w+", expression):
            if name in COUNTERS or name.endswith(("_bucket", "_sum", "_count")):
                assert re.search(rf"(rate|increase)\({name}", expression), expression


def test_no_metric_is_left_out_of_the_overview() -> None:
    shown = set(re.findall(r"\bstreamlearn_\w+", " ".join(expressions(GRAFANA / "overview.json"))))
    missing = [
        metric.name
        for metric in METRICS
        if not any(metric.name + suffix in shown for suffix in SUFFIXES[metric.kind])
    ]
    assert missing == []


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
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("promtool is missing (Debian: apt-get install prometheus); the PromQL is NOT checked")

    def check(queries: list[str]) -> subprocess.CompletedProcess[str]:
        rules = [{"record": f"panel:{index}", "expr": query} for index, query in enumerate(queries)]
        (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
        command = [tool, "check", "rules", str(tmp_path / "rules.yml")]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    asked = [re.sub(r"\$\w+", "x", each.replace("$__rate_interval", "1m")) for each in expressions(path)]
    checked = check(asked)
    assert checked.returncode == 0, checked.stderr
    assert f"{len(asked)} rules found" in checked.stdout
    assert check(["sum by (model (rate(x[1m]))"]).returncode != 0, "promtool would find anything fine"
