"""The cases of every alert rule: what Prometheus has seen, minute by minute, and what it then says.

Values are written as promtool reads them: ``0+60x30`` begins at 0, and grows by 60 for 30 minutes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

BUILD = 'streamlearn_build_info{job="streamlearn", instance="%s", stream="flights"}'
AT = 'job="streamlearn", instance="a:9464"'


@dataclass(frozen=True)
class Case:
    """At the minute ``at``, the alert fires with these labels and this description; None: it does not fire."""

    series: Mapping[str, str]
    at: int
    labels: Mapping[str, str] | None = None
    summary: str = ""
    description: str = ""
    workers: tuple[str, ...] = field(default=("a:9464",))

    @property
    def all_series(self) -> dict[str, str]:
        """The case's own series, and what every worker has."""
        return {**{BUILD % worker: "1x600" for worker in self.workers}, **self.series}


STREAM = {"job": "streamlearn", "stream": "flights"}
WORKER = {**STREAM, "instance": "a:9464"}
MODEL = {**WORKER, "model": "logistic"}
PLACE = {**WORKER, "topic": "flights", "partition": "2"}


def lag(partition: int, values: str) -> dict[str, str]:
    """The lag of one partition."""
    return {f'streamlearn_consumer_lag_events{{{AT}, topic="flights", partition="{partition}"}}': values}


def events(outcome: str, values: str) -> dict[str, str]:
    """What the belt is done with."""
    return {f'streamlearn_events_total{{{AT}, topic="flights", partition="2", outcome="{outcome}"}}': values}


def score(model: str, metric: str, values: str) -> dict[str, str]:
    """What a model scored in the sliding window."""
    labels = f'{AT}, model="{model}", metric="{metric}", window="sliding"'
    return {f"streamlearn_model_metric{{{labels}}}": values}


def learned(values: str) -> dict[str, str]:
    """What the model has learned."""
    return {f'streamlearn_model_events_learned_total{{{AT}, model="logistic"}}': values}


def ready(instance: str, values: str) -> dict[str, str]:
    """Whether a worker is ready."""
    return {f'streamlearn_ready{{job="streamlearn", instance="{instance}"}}': values}


def checkpoints(last: str, *, interval: str = "30x60", done: str = "0+60x60") -> dict[str, str]:
    """When the last checkpoint was, every how many seconds one is due, and what was done."""
    return {
        f"streamlearn_last_checkpoint_timestamp_seconds{{{AT}}}": last,
        f"streamlearn_checkpoint_interval_seconds{{{AT}}}": interval,
        f"streamlearn_owned_shards{{{AT}}}": "1x60",
        f"process_start_time_seconds{{{AT}}}": "60x60",
        **events("learned", done),
    }


def counted(name: str, values: str, labels: str = "") -> dict[str, str]:
    """Any series of the worker."""
    return {f"{name}{{{AT}{', ' + labels if labels else ''}}}": values}
