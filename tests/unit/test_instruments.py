"""Bulk histograms agree with prometheus_client's own, value by value."""

from __future__ import annotations

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from streamlearn.instruments import BulkHistogram, Distribution, Instruments
from streamlearn.metrics_table import DELAY_BUCKETS, Metric


@pytest.mark.parametrize("cuts", [1, 7, 1000])
def test_a_bulk_histogram_is_what_prometheus_client_makes_of_single_values(cuts: int) -> None:
    random = np.random.default_rng(5)
    # Bounds themselves are among the values: the bucket that a bound closes takes it.
    values = np.concatenate([random.exponential(20, 3000), np.array(DELAY_BUCKETS), [0.0, 1e12]])
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    bulk = BulkHistogram(Metric("delay_seconds", "histogram", "Delay.", buckets=DELAY_BUCKETS), ours).labels()
    single = Histogram("delay_seconds", "Delay.", buckets=DELAY_BUCKETS, registry=theirs)
    for batch in np.array_split(values, cuts):
        bulk.observe_many(batch)
    for value in values:
        single.observe(value)

    def lines(registry: CollectorRegistry) -> list[str]:
        text = generate_latest(registry).decode().splitlines()
        return sorted(line for line in text if "_created" not in line and "_sum" not in line)

    assert lines(ours) == lines(theirs)
    assert ours.get_sample_value("delay_seconds_sum") == pytest.approx(values.sum())


def test_one_value_and_a_batch_of_one_are_the_same() -> None:
    one, many = Distribution(DELAY_BUCKETS), Distribution(DELAY_BUCKETS)
    for value in (0.0, 0.01, 0.5, 1e7):
        one.observe(value)
        many.observe_many(np.array([value]))
    assert one.cumulative() == many.cumulative()


def test_a_nan_is_the_programmers_error() -> None:
    distribution = Distribution((1.0,))
    with pytest.raises(AssertionError, match="NaN"):
        distribution.observe_many(np.array([np.nan]))
    assert distribution.cumulative() == ([0, 0], 0.0)


def test_an_instrument_is_of_the_kind_that_the_table_says() -> None:
    make = Instruments(CollectorRegistry())
    with pytest.raises(KeyError):
        make.gauge("streamlearn_unheard_of")
    with pytest.raises(AssertionError, match="is a counter"):
        make.gauge("streamlearn_events_total")


def test_counters_bring_no_creation_times() -> None:
    registry = CollectorRegistry()
    Instruments(registry).counter("streamlearn_events_total").labels("t", "0", "learned").inc(3)
    text = generate_latest(registry).decode()
    assert 'streamlearn_events_total{outcome="learned",partition="0",topic="t"} 3.0' in text
    assert "_created" not in text
