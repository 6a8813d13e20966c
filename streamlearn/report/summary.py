"""The summary of a run, as JSON types: what ``run`` prints at its end."""

from __future__ import annotations

from typing import Any

from streamlearn.belt.loop import Belt
from streamlearn.config import Config
from streamlearn.report.figures import figures_of
from streamlearn.report.status import MOVERS_SHOWN


def summary(config: Config, belt: Belt, seconds: float) -> dict[str, Any]:
    """Return the summary of a run (JSON types): what ``run`` prints at its end.

    Counts of events are this run's; a model's count and metrics are over its life. Configured models come
    first, then the baselines (``"engine": "baseline"``).
    """
    totals = belt.totals
    figures = figures_of(config, belt)
    return {
        "stream": config.stream.name,
        "events_read": totals.events_read,
        "events_learned": totals.events_learned,
        "events_rejected": totals.events_rejected,
        "seconds": round(seconds, 3),
        "events_per_second": round(totals.events_read / seconds, 1) if seconds > 0 else 0.0,
        "models": [
            {
                "name": score.name,
                "engine": score.engine,
                "events_learned": score.events_learned,
                "metrics": score.metrics["cumulative"],
                **({"scores": score.scores} if score.scores else {}),
            }
            for score in figures.scores
        ],
        "drift_alarms": totals.drift_alarms,
        "movers": [
            {
                "model": of.model or None,
                "signal": of.told.signal,
                "reference": of.told.reference,
                "present": of.told.present,
                "movement": round(of.told.movement, 4),
            }
            for of in figures.signals[:MOVERS_SHOWN]
        ],
        "checkpoints_written": totals.checkpoints_written,
        # Where labels have a topic of their own.
        **({} if figures.labels is None else {"labels": {**totals.labels, **figures.labels}}),
    }
