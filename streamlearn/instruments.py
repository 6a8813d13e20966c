"""Makes the metrics of the table: standard ones, and histograms that take whole batches.

A registry holds exactly what ``metrics_table.METRICS`` names: an instrument is asked for by its name in
the table, and as the kind that the table says.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from threading import Lock

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Info
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from streamlearn.events import Float_B
from streamlearn.metrics_table import METRICS, Kind, Metric

_BY_NAME = {metric.name: metric for metric in METRICS}


class Distribution:
    """One series of a histogram. Threads may share it.

    >>> distribution = Distribution((0.1, 1.0))
    >>> distribution.observe_many(np.array([0.05, 0.1, 0.5, 7.0]))
    >>> distribution.observe(0.2)
    >>> distribution.cumulative()
    ([2, 4, 5], 7.8...)
    """

    def __init__(self, bounds: tuple[float, ...]) -> None:
        assert list(bounds) == sorted(set(bounds)), f"bucket bounds must increase: {bounds}"
        self._bounds = bounds
        self._bounds_array = np.asarray(bounds, dtype=np.float64)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._lock = Lock()

    def observe(self, value: float) -> None:
        """Count one value; a bound belongs to the bucket that it closes."""
        with self._lock:
            self._counts[bisect_left(self._bounds, value)] += 1
            self._sum += value

    def observe_many(self, values_B: Float_B) -> None:
        """Count a batch, without a Python step per value."""
        assert not np.isnan(values_B).any(), "a histogram's sum would be NaN for good"
        bucket_B = np.searchsorted(self._bounds_array, values_B, side="left")
        counts = np.bincount(bucket_B, minlength=len(self._counts)).tolist()
        total = float(values_B.sum())
        with self._lock:
            self._counts = [old + new for old, new in zip(self._counts, counts, strict=True)]
            self._sum += total

    def cumulative(self) -> tuple[list[int], float]:
        """Return how many values were at or below each bound (infinity last), and the sum of all."""
        with self._lock:
            counts, total = list(self._counts), self._sum
        for index in range(1, len(counts)):
            counts[index] += counts[index - 1]
        return counts, total


class BulkHistogram(Collector):
    """A Prometheus histogram that takes whole batches, which ``prometheus_client``'s own cannot."""

    def __init__(self, metric: Metric, registry: CollectorRegistry) -> None:
        self._metric = metric
        self._series: dict[tuple[str, ...], Distribution] = {}
        self._lock = Lock()
        if not metric.labels:
            self.labels()
        registry.register(self)

    def labels(self, *values: str) -> Distribution:
        """Return the series with these label values, made on first use."""
        assert len(values) == len(self._metric.labels), (
            f"{self._metric.name} has labels {self._metric.labels}"
        )
        with self._lock:
            return self._series.setdefault(values, Distribution(self._metric.buckets))

    def describe(self) -> Iterable[HistogramMetricFamily]:
        """Return the family without samples, by which a registry refuses the same name twice."""
        return [self._family()]

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Return the family with all its series, for a scrape."""
        family = self._family()
        bounds = [*map(_bound_text, self._metric.buckets), "+Inf"]
        with self._lock:
            series = list(self._series.items())
        for values, distribution in series:
            counts, total = distribution.cumulative()
            family.add_metric(values, list(zip(bounds, map(float, counts), strict=True)), total)
        return [family]

    def _family(self) -> HistogramMetricFamily:
        return HistogramMetricFamily(self._metric.name, self._metric.help, labels=self._metric.labels)


class _Counter(Counter):
    """A counter without its ``_created`` series, which would double the count of series, with times
    from another clock than the one passed in."""

    def collect(self) -> Iterable[Family]:
        for family in super().collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family


class Instruments:
    """Makes the metrics of ``METRICS`` in one registry.

    >>> registry = CollectorRegistry()
    >>> Instruments(registry).gauge("streamlearn_queue_bytes").set(512)
    >>> registry.get_sample_value("streamlearn_queue_bytes")
    512.0
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def counter(self, name: str) -> Counter:
        metric = _metric(name, "counter")
        return _Counter(metric.name, metric.help, metric.labels, registry=self._registry)

    def gauge(self, name: str) -> Gauge:
        metric = _metric(name, "gauge")
        return Gauge(metric.name, metric.help, metric.labels, registry=self._registry)

    def histogram(self, name: str) -> BulkHistogram:
        return BulkHistogram(_metric(name, "histogram"), self._registry)

    def info(self, name: str) -> Info:
        metric = _metric(name, "info")
        # An info metric's labels are given with its value, all at once; the library adds the suffix.
        return Info(metric.name.removesuffix("_info"), metric.help, registry=self._registry)


def _bound_text(bound: float) -> str:
    """Write a bucket's bound as Prometheus does, so that series keep their names across versions.

    >>> _bound_text(1), _bound_text(0.025)
    ('1.0', '0.025')
    """
    return repr(float(bound))


def _metric(name: str, kind: Kind) -> Metric:
    metric = _BY_NAME[name]
    assert metric.kind == kind, f"{name} is a {metric.kind}, not a {kind}"
    return metric
