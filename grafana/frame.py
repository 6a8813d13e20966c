"""What every dashboard has around its panels: what can be chosen, what is marked, where one goes from here."""

from __future__ import annotations

import json
import re

from panels import SOURCE, Json, laid_out

# Where the pages of docs/runbooks/ are served: by the stack's Grafana itself (docker/compose.yaml). Elsewhere
# change this one variable.
RUNBOOKS = "/public/runbooks"

# In the order in which they narrow each other. "All" of a worker's labels is any value: one that came later, too.
CHOICES = {
    "stream": ("Stream", "label_values(streamlearn_build_info, stream)"),
    "instance": ("Worker", 'label_values(streamlearn_build_info{stream=~"$stream"}, instance)'),
    "topic": ("Topic", 'label_values(streamlearn_read_events_total{instance=~"$instance"}, topic)'),
    "partition": (
        "Partition",
        'label_values(streamlearn_read_events_total{instance=~"$instance", topic=~"$topic"}, partition)',
    ),
    "model": ("Model", 'label_values(streamlearn_model_events_learned_total{instance=~"$instance"}, model)'),
    "metric": ("Score", 'label_values(streamlearn_model_metric{instance=~"$instance"}, metric)'),
}
ALWAYS = ("stream", "instance")
WINDOWS = ("sliding", "cumulative")

# A mark is looked for in two minutes at every minute: a scrape interval of up to one minute has two samples there.
_MARK_STEP = "60s"
_MARK_RANGE = "2m"


def dashboard(name: str, title: str, sections: dict[str, list[Json]], *, refresh: str = "10s") -> Json:
    """Return a dashboard; it lets choose what its queries ask for, and no more."""
    panels = laid_out(sections)
    asked = set(re.findall(r"\$\{?(\w+)", json.dumps(panels)))
    variables = [_data_source(), _runbooks()]
    variables += [_choice(each) for each in CHOICES if each in ALWAYS or each in asked]
    if "window" in asked:
        variables.append(_window())
    return {
        "uid": f"streamlearn-{name}",
        "title": f"streamlearn: {title}",
        "tags": ["streamlearn"],
        "schemaVersion": 39,
        "graphTooltip": 1,  # one crosshair over all panels
        "refresh": refresh,
        "time": {"from": "now-30m", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": _annotations()},
        "links": _links(),
        "templating": {"list": variables},
        "panels": panels,
    }


def _links() -> list[Json]:
    others = {
        "type": "dashboards",
        "title": "streamlearn",
        "tags": ["streamlearn"],
        "asDropdown": False,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
    }
    runbooks = {
        "type": "link",
        "title": "Runbooks",
        "icon": "doc",
        "tooltip": "What each alert means and what to do",
        "url": f"{RUNBOOKS}/README.md",
        "targetBlank": True,
    }
    return [others, runbooks]


def _annotations() -> list[Json]:
    def grew(metric: str, by: str) -> str:
        return f'sum by ({by}) (increase({metric}{{instance=~"$instance"}}[{_MARK_RANGE}])) > 0'

    def changed(metric: str) -> str:
        return f'sum by (instance) (changes({metric}{{instance=~"$instance"}}[{_MARK_RANGE}])) > 0'

    return [
        _mark(
            "Drift alarms",
            "orange",
            grew("streamlearn_drift_alarms_total", "model, detector, signal"),
            "{{model}} {{signal}} ({{detector}})",
        ),
        _mark(
            "Rebalances",
            "purple",
            grew("streamlearn_rebalances_total", "instance, kind"),
            "{{instance}}: {{kind}}",
        ),
        _mark("Restarts", "red", changed("process_start_time_seconds"), "{{instance}} started"),
        # Off at first: every half minute one would cover all else.
        _mark(
            "Checkpoints",
            "blue",
            changed("streamlearn_last_checkpoint_timestamp_seconds"),
            "{{instance}}: a checkpoint is durable",
            shown=False,
        ),
    ]


def _mark(name: str, color: str, expression: str, text: str, *, shown: bool = True) -> Json:
    return {
        "name": name,
        "datasource": SOURCE,
        "enable": shown,
        "iconColor": color,
        "expr": expression,
        "step": _MARK_STEP,
        "titleFormat": name,
        "textFormat": text,
    }


def _choice(name: str) -> Json:
    """A choice among the values of a label, all of them at first."""
    label, query = CHOICES[name]
    chosen: Json = {
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
    # All workers of the chosen streams are no more than those: the list has to be sent.
    return chosen if name == "instance" else {**chosen, "allValue": ".*"}


def _window() -> Json:
    return {
        "type": "custom",
        "name": "window",
        "label": "Window",
        "query": ",".join(WINDOWS),
        "options": [{"text": each, "value": each, "selected": each == WINDOWS[0]} for each in WINDOWS],
        "current": {"text": WINDOWS[0], "value": WINDOWS[0]},
    }


def _data_source() -> Json:
    """The choice of a Prometheus, which ``SOURCE`` refers to."""
    return {
        "type": "datasource",
        "name": "datasource",
        "label": "Data source",
        "query": "prometheus",
        "current": {"text": "Prometheus", "value": "prometheus"},
    }


def _runbooks() -> Json:
    return {
        "type": "constant",
        "name": "runbooks",
        "hide": 2,
        "query": RUNBOOKS,
        "current": {"value": RUNBOOKS},
    }
