"""Reads the stages' times back from the metrics, so that the page and /metrics cannot differ."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from streamlearn.console.status import StageStatus

METRIC = "streamlearn_stage_seconds"


def stage_times(registry: CollectorRegistry) -> tuple[StageStatus, ...]:
    """Return each stage that was timed by now. Collects one metric, and waits for nobody."""
    counts: dict[str, float] = {}
    sums: dict[str, float] = {}
    wanted = {f"{METRIC}_count": counts, f"{METRIC}_sum": sums}
    for family in registry.restricted_registry(wanted).collect():
        for sample in family.samples:
            wanted[sample.name][sample.labels["stage"]] = sample.value
    return tuple(StageStatus(stage, int(counts[stage]), seconds) for stage, seconds in sums.items())
