"""On streams in which nothing changes, alarms keep to the budget, whatever the data are like."""

from __future__ import annotations

import numpy as np
import pytest

from streamlearn.belt.monitors import windows
from streamlearn.belt.monitors.categories import CategoryMonitor
from streamlearn.belt.monitors.numbers import ALL_SIGNALS, NumberMonitor
from streamlearn.belt.monitors.windows import FIRST_BLOCKS, Rule

WINDOW, LOOKS, SEEDS = 500, 40, 12
EVENTS = FIRST_BLOCKS * WINDOW // 50 + WINDOW * (1 + LOOKS)


def columns(random):
    """Columns of many kinds: of heavy tails, of few values, of rare ones, and one whose events depend on each other."""
    steps = random.normal(size=EVENTS + 4)
    return np.column_stack(
        (
            random.normal(size=EVENTS),
            random.standard_cauchy(EVENTS),
            random.lognormal(0.0, 2.0, EVENTS),
            random.integers(0, 4, EVENTS),
            random.random(EVENTS) < 0.01,
            np.convolve(steps, np.ones(5), "valid"),  # of events next to each other, within half a block
        )
    ).astype(float)


def false_alarms(alarm_probability):
    """Alarms of 27 signals over all seeds, and how many of them the budget allows on average."""
    rule = Rule(WINDOW, alarm_probability, renews=False)
    found = 0
    for seed in range(SEEDS):
        random = np.random.default_rng(seed)
        values = columns(random)
        missing = random.random(values.shape) < 0.02
        numbers = NumberMonitor("abcdef", ALL_SIGNALS, rule)
        found += len(numbers.update(np.where(missing, 0.0, values), missing))
        codes = np.minimum(random.geometric(0.2, EVENTS), 40).astype(np.int32)
        found += len(CategoryMonitor("g", rule).update(codes, tuple(map(str, range(41)))))
    return found, SEEDS * LOOKS * 27 * alarm_probability


def test_alarms_keep_to_the_budget():
    found, allowed = false_alarms(0.02)
    assert allowed > 250
    assert found <= allowed


def test_the_measure_would_notice_a_rule_that_does_not_correct(monkeypatch):
    # As a z-test at 5% would have it for each statistic by itself, and none of it for their number.
    monkeypatch.setattr(windows, "threshold", lambda _probability: 1.96)
    found, allowed = false_alarms(0.02)
    assert found > allowed


@pytest.mark.parametrize(("alarm_probability", "most"), [(1e-3, 3), (1e-5, 0)])
def test_a_rarer_alarm_is_rarer(alarm_probability, most):
    assert false_alarms(alarm_probability)[0] <= most
