"""What dashboards are put together from: PromQL, and panels as the JSON that Grafana 10 and newer read.

Plain data: nothing here knows which metrics there are.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

SOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24  # of Grafana's grid
WORKERS = 'instance=~"$instance"'
QUANTILES = (("0.5", "median"), ("0.95", "95%"), ("0.99", "99%"))

# A colour from this value on; the first has none.
Steps = tuple[tuple[float | None, str], ...]

# ------------------------------------------------------------------------------------------ PromQL


def gauge(metric: str) -> str:
    """Return PromQL for the metric as it is, of the chosen workers.

    >>> gauge("streamlearn_ready")
    'streamlearn_ready{instance=~"$instance"}'
    """
    return f"{metric}{{{WORKERS}}}"


def rate(metric: str, by: str = "", matchers: str = "") -> str:
    """Return PromQL for a counter's growth per second, summed by labels.

    >>> rate("streamlearn_events_total", by="outcome")
    'sum by (outcome) (rate(streamlearn_events_total{instance=~"$instance"}[$__rate_interval]))'
    """
    growth = f"rate({metric}{{{WORKERS}{matchers}}}[$__rate_interval])"
    return f"sum by ({by}) ({growth})" if by else f"sum({growth})"


def increase(metric: str, by: str) -> str:
    """Return PromQL for how much a counter grew by the next point, summed by labels."""
    return f"sum by ({by}) (increase({metric}{{{WORKERS}}}[$__rate_interval]))"


def quantile(share: str, histogram: str, by: str = "") -> str:
    """Return PromQL for a quantile of what was observed of late.

    >>> quantile("0.99", "a_seconds", by="stage")
    'histogram_quantile(0.99, sum by (le, stage) (rate(a_seconds_bucket{instance=~"$instance"}[$__rate_interval])))'
    """
    return f"histogram_quantile({share}, {rate(histogram + '_bucket', f'le, {by}' if by else 'le')})"


def age(metric: str) -> str:
    """Return PromQL for the seconds since a timestamp; nothing where it is 0, which means not yet."""
    return f"time() - ({gauge(metric)} > 0)"


# ------------------------------------------------------------------------------------------ panels


def line(expression: str, legend: str = "", **options: Any) -> Json:
    """One query; ``legend`` may name labels, as ``{{model}}``."""
    return {"expr": expression, "legendFormat": legend or "__auto", "datasource": SOURCE, **options}


def quantile_lines(histogram: str) -> list[Json]:
    """The quantiles of one histogram, a line each."""
    return [line(quantile(share, histogram), name) for share, name in QUANTILES]


def panel(
    kind: str, title: str, about: str, lines: list[Json], *, width: int, height: int, **parts: Any
) -> Json:
    """A panel of any kind; ``width`` and ``height`` in cells of the grid, the place comes later."""
    return {
        "type": kind,
        "title": title,
        "description": about,
        "datasource": SOURCE,
        "targets": [{**each, "refId": chr(ord("A") + index)} for index, each in enumerate(lines)],
        "gridPos": {"w": width, "h": height},
        **parts,
    }


def stat(title: str, about: str, unit: str, shown: Json, steps: Steps) -> Json:
    """A figure in its colour."""
    defaults = {
        "unit": unit,
        "mappings": [],
        "thresholds": {
            "mode": "absolute",
            "steps": [{"value": value, "color": color} for value, color in steps],
        },
    }
    options = {
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "center",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "textMode": "auto",
    }
    field = {"defaults": defaults, "overrides": []}
    return panel("stat", title, about, [shown], width=3, height=4, fieldConfig=field, options=options)


def flag(title: str, about: str, shown: Json) -> Json:
    """A 0 or 1, shown as a red no or a green yes."""
    shown = stat(title, about, "short", shown, ((None, "green"),))
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
    stacked: bool = False,
    scale: str = "from_zero",
    overrides: tuple[Json, ...] = (),
    **parts: Any,
) -> Json:
    """Lines over time, the last value of each in the legend. ``scale``: from_zero, free or logarithmic."""
    custom: Json = {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 25 if stacked else 5,
        "showPoints": "never",
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
    }
    defaults: Json = {"unit": unit, "custom": custom}
    if scale == "logarithmic":
        custom["scaleDistribution"] = {"type": "log", "log": 10}
    elif scale == "from_zero":
        defaults["min"] = 0
    options = {
        "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    field = {"defaults": defaults, "overrides": list(overrides)}
    return panel(
        "timeseries", title, about, lines, width=8, height=8, fieldConfig=field, options=options, **parts
    )


def bars(title: str, about: str, lines: list[Json]) -> Json:
    """How often something happened, as stacked bars over time."""
    shown = graph(title, about, "short", lines, stacked=True)
    shown["fieldConfig"]["defaults"]["custom"].update({"drawStyle": "bars", "fillOpacity": 60})
    return shown


# ---------------------------------------------------------------------------------------- dashboard


def variable(name: str, label: str, metric: str) -> Json:
    """A choice among the values of the metric's label ``name``, all of them at first."""
    query = f"label_values({metric}, {name})"
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": SOURCE,
        "definition": query,
        "query": {"query": query, "refId": name},
        "refresh": 2,  # with the time range, so that a worker that came later can be chosen
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def choice(name: str, label: str, values: tuple[str, ...]) -> Json:
    """A choice among fixed values, the first one at first."""
    return {
        "type": "custom",
        "name": name,
        "label": label,
        "query": ",".join(values),
        "options": [{"text": each, "value": each, "selected": each == values[0]} for each in values],
        "current": {"text": values[0], "value": values[0]},
    }


def data_source() -> Json:
    """The choice of a Prometheus, which ``SOURCE`` refers to."""
    return {
        "type": "datasource",
        "name": "datasource",
        "label": "Data source",
        "query": "prometheus",
        "current": {"text": "Prometheus", "value": "prometheus"},
    }


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
