"""The metrics that are looked up rather than counted as things happen: set when a picture is taken, from its figures."""

from __future__ import annotations

from streamlearn.belt.loop import Belt
from streamlearn.config import Config
from streamlearn.report.figures import Figures
from streamlearn.telemetry import Telemetry


def set_gauges(config: Config, belt: Belt, figures: Figures, telemetry: Telemetry) -> None:
    """Show these figures, and hand on what others have counted."""
    _of_models(figures, telemetry)
    _of_labels(figures, telemetry)
    telemetry.signals_compared(
        (of.model, of.told.signal, of.told.reference, of.told.present, of.told.movement)
        for of in figures.signals
    )
    member = belt.membership
    telemetry.member_counted(
        commits_refused=member.commits_failed, revokes_over_budget=member.revokes_over_budget
    )
    for feature in config.event.categorical:
        sizes = [lane.shard.parts.categories.sizes[feature] for lane in belt.lanes.values()]
        telemetry.categories(feature, max(sizes, default=0))


def _of_models(figures: Figures, telemetry: Telemetry) -> None:
    for each in figures.scores:
        for window, metrics in each.metrics.items():
            for metric, value in metrics.items():
                telemetry.model_metric(each.name, metric, window, value)
        for verdict in each.scores.get("verdicts", ()):
            telemetry.model_verdict(each.name, **verdict)


def _of_labels(figures: Figures, telemetry: Telemetry) -> None:
    waits = figures.labels
    if waits is None:
        return
    telemetry.labels_wait(
        pending=waits["events_pending"],
        pending_bytes=waits["pending_bytes"],
        early=waits["labels_early"],
    )
    for name, seconds in waits["delay_seconds"].items():
        if seconds is not None:
            telemetry.label_delay(name, seconds)
