"""How the summary of a run looks to a person."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

# By what tells most: a model has those that its task defines, and a narrow terminal shows the first of them.
SHOWN_METRICS = (
    "accuracy",
    "roc_auc",
    "log_loss",
    "kappa_m",
    "kappa_temporal",
    "balanced_accuracy",
    "f1",
    "brier",
    "mae",
    "rmse",
    "r2",
)
LABEL_ENDS = (
    "labels_joined",
    "labels_early",
    "labels_late_learned",
    "labels_late_corrected",
    "labels_late_ignored",
    "labels_duplicate",
    "labels_correction_learned",
    "labels_correction_ignored",
    "labels_orphaned",
    "labels_rejected",
)
NAMES_WIDTH, METRIC_WIDTH = 42, 11


def print_summary(summary: dict[str, Any], console: Console) -> None:
    """Print what a run has done and how each model scored, baselines last."""
    console.print(
        f"[bold]{summary['stream']}[/bold]: {summary['events_read']:,} events read, "
        f"{summary['events_learned']:,} learned, {summary['events_rejected']:,} rejected "
        f"in {summary['seconds']:.1f} s ({summary['events_per_second']:,.0f}/s); "
        f"{summary['drift_alarms']} drift alarms, {summary['checkpoints_written']} checkpoints",
        highlight=False,
        soft_wrap=True,
    )
    if "labels" in summary:
        console.print(_labels_line(summary["labels"]), highlight=False, soft_wrap=True)
    if summary["models"]:
        console.print(model_table(summary["models"], console.width))
        for line in verdict_lines(summary["models"]):
            console.print(line, highlight=False, soft_wrap=True)
    for line in mover_lines(summary["movers"]):
        console.print(line, highlight=False, soft_wrap=True)


def verdict_lines(models: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a line for each model that was compared: what it is better and worse than, and what is open.

    >>> verdicts = [{"against": "baseline_majority", "verdict": "better"}, {"against": "mlp", "verdict": "worse"}]
    >>> verdict_lines([{"name": "logistic", "scores": {"verdicts": verdicts}}])
    ['logistic: better than baseline_majority; worse than mlp']
    """
    lines = []
    for model in models:
        by_word: dict[str, list[str]] = {}
        for verdict in model.get("scores", {}).get("verdicts", ()):
            by_word.setdefault(verdict["verdict"], []).append(verdict["against"])
        said = [
            f"{phrase} {', '.join(by_word[word])}"
            for word, phrase in (
                ("better", "better than"),
                ("worse", "worse than"),
                ("too early to tell", "too early to tell of"),
            )
            if word in by_word
        ]
        if said:
            lines.append(f"{model['name']}: {'; '.join(said)}")
    return lines


def mover_lines(movers: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a line for each signal that stood past its alarm when its last window ended.

    >>> mover_lines([{"model": None, "signal": "dep_delay mean", "reference": 12.6, "present": 31.04, "movement": 1.3},
    ...              {"model": "mlp", "signal": "predicted missing", "reference": 0, "present": 0, "movement": 0.2}])
    ['moved: dep_delay mean 12.6 -> 31.04']
    """
    return [
        f"moved: {of}{each['signal']} {each['reference']:.4g} -> {each['present']:.4g}"
        for each in movers
        if each["movement"] >= 1.0
        for of in [f"{each['model']}, " if each["model"] else ""]
    ]


def _labels_line(labels: Mapping[str, Any]) -> str:
    """Return what became of events and labels, in two lines."""
    ended = {name.removeprefix("labels_").replace("_", " "): labels.get(name, 0) for name in LABEL_ENDS}
    told = ", ".join(f"{count:,} {name}" for name, count in ended.items() if count)
    coverage = "" if labels["coverage"] is None else f", {labels['coverage']:.1%} of all have their label"
    delays = labels["delay_seconds"]
    took = (
        ""
        if delays["0.5"] is None
        else f"; half came within {_span(delays['0.5'])}, 99% within {_span(delays['0.99'])}"
    )
    return (
        f"labels: {labels.get('labels_read', 0):,} read: {told or 'none'}{took}\n"
        f"events: {labels.get('events_resolved', 0):,} resolved, {labels['events_pending']:,} pending, "
        f"{labels.get('events_expired', 0):,} expired, {labels.get('events_defaulted', 0):,} defaulted{coverage}"
    )


def _span(seconds: float) -> str:
    """Return a time as people say it.

    >>> _span(45.0), _span(5400.0)
    ('45 s', '1.5 h')
    """
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def model_table(
    models: Iterable[Mapping[str, Any]], width: int, extra: Mapping[str, Mapping[str, float]] | None = None
) -> Table:
    """Return a table of models and baselines: one line each, one column a metric that there is room for.

    Parameters
    ----------
    models
        As in the summary: ``name``, ``engine``, ``events_learned``, ``metrics``.
    width
        Of the terminal, in characters.
    extra
        Further columns: their heading, and each model's value by name.
    """
    models, extra = list(models), extra or {}
    room = max(2, (width - NAMES_WIDTH) // METRIC_WIDTH - 2 * len(extra))
    shown = [name for name in SHOWN_METRICS if any(name in model["metrics"] for model in models)][:room]
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("model", no_wrap=True)
    table.add_column("engine", no_wrap=True)
    table.add_column("learned", justify="right", no_wrap=True)
    for heading in [*(name.replace("_", " ") for name in shown), *extra]:
        table.add_column(heading, justify="right")
    for model in models:
        values = [model["metrics"].get(name) for name in shown]
        values += [column.get(model["name"]) for column in extra.values()]
        cells = ["" if value is None else f"{value:.4f}" for value in values]
        style = "dim" if model["engine"] == "baseline" else None
        table.add_row(model["name"], model["engine"], f"{model['events_learned']:,}", *cells, style=style)
    return table
