"""PromQL for the metrics of the table: each is narrowed by those of its labels that a dashboard lets choose."""

from __future__ import annotations

from streamlearn.metrics_table import METRICS

_LABELS = {metric.name: metric.labels for metric in METRICS}
_HISTOGRAMS = {metric.name for metric in METRICS if metric.kind == "histogram"}
BASELINES = "baseline_.+"

# What a worker's series do not say themselves: the stream that it learns.
OF_STREAM = "on (job, instance) group_left (stream) streamlearn_build_info"

# Scores that are told as a lead over the best baseline: accuracy grows, an error shrinks.
HIGHER_IS_BETTER = 'metric=~"accuracy|roc_auc"'
LOWER_IS_BETTER = 'metric=~"log_loss|mae"'


def gauge(metric: str, *matchers: str) -> str:
    """Return PromQL for the metric as it is, narrowed to what is chosen, and by further matchers.

    >>> gauge("streamlearn_ready")
    'streamlearn_ready{instance=~"$instance"}'
    >>> gauge("streamlearn_missed_events_total")
    'streamlearn_missed_events_total{instance=~"$instance", topic=~"$topic", partition=~"$partition"}'
    """
    family = metric
    for suffix in ("_bucket", "_sum", "_count"):
        if metric.removesuffix(suffix) in _HISTOGRAMS:
            family = metric.removesuffix(suffix)
    chosen = ['instance=~"$instance"']
    for label in _LABELS.get(family, ()):
        if label in ("topic", "partition") or (label == "model" and not any("model" in m for m in matchers)):
            chosen.append(f'{label}=~"${label}"')
    return f"{metric}{{{', '.join([*chosen, *matchers])}}}"


def rate(metric: str, by: str = "", *matchers: str) -> str:
    """Return PromQL for a counter's growth per second, summed by labels.

    >>> rate("streamlearn_checkpoints_total", "outcome")
    'sum by (outcome) (rate(streamlearn_checkpoints_total{instance=~"$instance"}[$__rate_interval]))'
    """
    growth = f"rate({gauge(metric, *matchers)}[$__rate_interval])"
    return f"sum by ({by}) ({growth})" if by else f"sum({growth})"


def increase(metric: str, by: str = "", *matchers: str, over: str = "$__rate_interval") -> str:
    """Return PromQL for how much a counter grew, by the next point or over a time, summed by labels."""
    growth = f"increase({gauge(metric, *matchers)}[{over}])"
    return f"sum by ({by}) ({growth})" if by else f"sum({growth})"


def quantile(share: str, histogram: str, by: str = "") -> str:
    """Return PromQL for a quantile of what was observed of late.

    >>> quantile("0.99", "streamlearn_stage_seconds", by="stage")
    'histogram_quantile(0.99, sum by (le, stage) (rate(streamlearn_stage_seconds_bucket{instance=~"$instance"}[$__rate_interval])))'
    """
    return f"histogram_quantile({share}, {rate(histogram + '_bucket', f'le, {by}' if by else 'le')})"


def age(metric: str) -> str:
    """Return PromQL for the seconds since a timestamp; nothing where it is 0, which means not yet."""
    return f"time() - ({gauge(metric)} > 0)"


def of_stream(expression: str) -> str:
    """Return PromQL for workers' values with the label ``stream`` beside their own."""
    return f"{expression} * {OF_STREAM}"


def by_stream(metric: str, *matchers: str, over: str = "") -> str:
    """Return PromQL for a metric of whole streams: a gauge's sum, or a counter's increase ``over`` a time.

    >>> by_stream("streamlearn_owned_shards")
    'sum by (stream) (streamlearn_owned_shards{instance=~"$instance"} * on (job, instance) group_left (stream) streamlearn_build_info)'
    """
    value = gauge(metric, *matchers)
    return f"sum by (stream) ({of_stream(f'increase({value}[{over}])' if over else value)})"


def lead_over_baselines(window: str) -> str:
    """Return PromQL for how much better each model is than the best baseline of its worker, above 0: better."""

    def score(kind: str, model: str) -> str:
        return gauge("streamlearn_model_metric", kind, f'window="{window}"', model)

    models, baselines = f'model=~"$model", model!~"{BASELINES}"', f'model=~"{BASELINES}"'
    best = "on (job, instance, metric) group_left ()"
    higher = (
        f"{score(HIGHER_IS_BETTER, models)} - {best} "
        f"max by (job, instance, metric) ({score(HIGHER_IS_BETTER, baselines)})"
    )
    lower = (
        f"{score(LOWER_IS_BETTER, models)} - {best} "
        f"min by (job, instance, metric) ({score(LOWER_IS_BETTER, baselines)})"
    )
    return f"avg by (model, metric) (({higher}) or -({lower}))"
