"""What dashboards are put together from: panels as the JSON that Grafana 10 and newer read.

Plain data: nothing here knows which metrics there are. Every panel has a description, a unit and thresholds.
"""

from __future__ import annotations

from typing import Any

from promql import quantile

Json = dict[str, Any]

SOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24  # of Grafana's grid
QUANTILES = (("0.5", "median"), ("0.95", "95%"), ("0.99", "99%"))

# A colour from this value on; the first has none.
Steps = tuple[tuple[float | None, str], ...]
GREEN: Steps = ((None, "green"),)
NONE_IS_RIGHT: Steps = ((None, "green"), (1, "orange"))


def line(expression: str, legend: str = "", **options: Any) -> Json:
    """One query; ``legend`` may name labels, as ``{{model}}``."""
    return {"expr": expression, "legendFormat": legend or "__auto", "datasource": SOURCE, **options}


def quantile_lines(histogram: str) -> list[Json]:
    """The quantiles of one histogram, a line each."""
    return [line(quantile(share, histogram), name) for share, name in QUANTILES]


def runbook(alert: str) -> Json:
    """A link to what to do about an alert."""
    return {"title": f"Runbook: {alert}", "url": f"${{runbooks}}/{alert}.md", "targetBlank": True}


def panel(
    kind: str,
    title: str,
    about: str,
    lines: list[Json],
    *,
    unit: str,
    steps: Steps,
    width: int,
    height: int,
    alerts: tuple[str, ...] = (),
    defaults: Json | None = None,
    overrides: tuple[Json, ...] = (),
    **parts: Any,
) -> Json:
    """A panel of any kind; ``width`` and ``height`` in cells of the grid, the place comes later.

    ``alerts``: those that watch the same, whose runbooks it links to.
    """
    thresholds = {
        "mode": "absolute",
        "steps": [{"value": value, "color": color} for value, color in steps],
    }
    return {
        "type": kind,
        "title": title,
        "description": about,
        "datasource": SOURCE,
        "targets": [{**each, "refId": chr(ord("A") + index)} for index, each in enumerate(lines)],
        "gridPos": {"w": width, "h": height},
        "fieldConfig": {
            "defaults": {"unit": unit, "thresholds": thresholds, **(defaults or {})},
            "overrides": list(overrides),
        },
        **({"links": [runbook(alert) for alert in alerts]} if alerts else {}),
        **parts,
    }


def stat(title: str, about: str, unit: str, shown: Json, steps: Steps, *alerts: str) -> Json:
    """A figure in its colour."""
    options = {
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "center",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "textMode": "auto",
    }
    return panel(
        "stat",
        title,
        about,
        [shown],
        unit=unit,
        steps=steps,
        width=3,
        height=4,
        alerts=alerts,
        options=options,
    )


def flag(title: str, about: str, shown: Json, *alerts: str) -> Json:
    """A 0 or 1, shown as a red no or a green yes."""
    shown = stat(title, about, "short", shown, GREEN, *alerts)
    words = {"0": {"text": "no", "color": "red"}, "1": {"text": "yes", "color": "green"}}
    shown["fieldConfig"]["defaults"]["mappings"] = [{"type": "value", "options": words}]
    shown["options"]["colorMode"] = "background_solid"
    return shown


def graph(
    title: str,
    about: str,
    unit: str,
    lines: list[Json],
    *,
    steps: Steps = GREEN,
    alerts: tuple[str, ...] = (),
    stacked: bool = False,
    scale: str = "from_zero",
    overrides: tuple[Json, ...] = (),
    **parts: Any,
) -> Json:
    """Lines over time, the last value of each in the legend. ``scale``: from_zero, free or logarithmic.

    Where ``steps`` has more than one, each bound is drawn as a dashed line.
    """
    custom: Json = {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 25 if stacked else 5,
        "showPoints": "never",
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if len(steps) > 1 else "off"},
    }
    defaults: Json = {"custom": custom}
    if scale == "logarithmic":
        custom["scaleDistribution"] = {"type": "log", "log": 10}
    elif scale == "from_zero":
        defaults["min"] = 0
    options = {
        "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return panel(
        "timeseries",
        title,
        about,
        lines,
        unit=unit,
        steps=steps,
        width=8,
        height=8,
        alerts=alerts,
        defaults=defaults,
        overrides=overrides,
        options=options,
        **parts,
    )


def bars(title: str, about: str, lines: list[Json], *alerts: str) -> Json:
    """How often something happened, as stacked bars over time."""
    shown = graph(title, about, "short", lines, stacked=True, alerts=alerts)
    shown["fieldConfig"]["defaults"]["custom"].update({"drawStyle": "bars", "fillOpacity": 60})
    return shown


def table(
    title: str, about: str, columns: dict[str, Json], keys: tuple[str, ...], units: dict[str, str]
) -> Json:
    """One row for each value of ``keys``, a column for each query by its name; ``units`` by column."""
    lines = [{**query, "format": "table", "instant": True} for query in columns.values()]
    values = {f"Value #{chr(ord('A') + index)}": name for index, name in enumerate(columns)}
    if len(columns) == 1:
        values = {"Value": next(iter(columns))}
    overrides = tuple(
        {"matcher": {"id": "byName", "options": name}, "properties": [{"id": "unit", "value": unit}]}
        for name, unit in units.items()
    )
    steps = [
        {"id": "merge", "options": {}},
        {"id": "filterFieldsByName", "options": {"include": {"names": [*keys, *values]}}},
        {"id": "organize", "options": {"renameByName": values}},
    ]
    return panel(
        "table",
        title,
        about,
        lines,
        unit="short",
        steps=GREEN,
        width=COLUMNS,
        height=6,
        overrides=overrides,
        transformations=steps,
    )


def laid_out(sections: dict[str, list[Json]]) -> list[Json]:
    """Return all panels with their ids and places: left to right, each section under a heading.

    >>> placed = laid_out({"First": [bars("a", "", []), bars("b", "", [])], "Second": [bars("c", "", [])]})
    >>> [(each["title"], each["gridPos"]["x"], each["gridPos"]["y"]) for each in placed]
    [('First', 0, 0), ('a', 0, 1), ('b', 8, 1), ('Second', 0, 9), ('c', 0, 10)]
    """
    placed: list[Json] = []
    top = 0
    for title, panels in sections.items():
        heading = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
        placed.append({"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": heading})
        top, left, height = top + 1, 0, 0
        for each in panels:
            size = each["gridPos"]
            if left + size["w"] > COLUMNS:
                top, left, height = top + height, 0, 0
            placed.append({**each, "gridPos": {"x": left, "y": top, **size}})
            left, height = left + size["w"], max(height, size["h"])
        top += height
    return [{"id": number, **each} for number, each in enumerate(placed, start=1)]
