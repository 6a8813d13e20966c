"""What changes is noticed, soon, and by its name; and better than by alarms that come by the clock."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from river.datasets import synth

from streamlearn.belt.monitors.categories import CategoryMonitor
from streamlearn.belt.monitors.numbers import ALL_SIGNALS, NumberMonitor
from streamlearn.belt.monitors.windows import Moved, Rule
from streamlearn.events import MISSING_CATEGORY

WINDOW, AT, EVENTS, EXPECTED_RUN = 1000, 6000, 10_000, 200_000
AGRAWAL = ("salary", "commission", "age", "hvalue", "hyears", "loan")


class Scaled:
    """SEA's stream with its first input larger: another world that gives the same fields."""

    def __init__(self, seed):
        self.n_features = 3
        self._stream = synth.SEA(variant=0, seed=seed)

    def __iter__(self):
        for x, y in self._stream:
            yield {**x, 0: 1.3 * x[0]}, y


def sea(seed):
    for x, _ in itertools.chain(
        synth.SEA(variant=0, seed=seed).take(AT), itertools.islice(Scaled(seed + 100), EVENTS - AT)
    ):
        yield [x[0], x[1], x[2]]


def agrawal(seed):
    """Of River's ConceptDriftStream the label alone drifts; here the older half has left the stream, gradually."""
    random = np.random.default_rng(seed)
    source = iter(synth.Agrawal(seed=seed))
    for number in range(EVENTS):
        x, _ = next(source)
        while number > AT and x["age"] > 50 and random.random() < min(1.0, (number - AT) / 500):
            x, _ = next(source)
        yield [x[name] for name in AGRAWAL]


def alarms(names, rows):
    values = np.array(rows, float)
    rule = Rule(WINDOW, WINDOW / (EXPECTED_RUN * 4 * len(names)), renews=True)
    monitor = NumberMonitor(names, ALL_SIGNALS, rule)
    return [(each.index, each.signal) for each in monitor.update(values, np.zeros(values.shape, np.bool_))]


@pytest.mark.parametrize(
    ("stream", "names", "moved"), [(sea, ("x0", "x1", "x2"), "x0"), (agrawal, AGRAWAL, "age")]
)
def test_changed_inputs_are_noticed_and_named_and_no_alarm_comes_before(stream, names, moved):
    delays = []
    for seed in range(2):
        found = alarms(names, list(stream(seed)))
        assert all(index >= AT for index, _ in found), "an alarm before anything changed"
        delays.append(found[0][0] - AT)
        assert found[0][1].startswith(moved + " ")
    # An alarm comes when a window ends: the one in which the change is, or the next one.
    assert max(delays) <= 2 * WINDOW
    # Alarms by the clock at the same budget, one in EXPECTED_RUN events, take half of that on average.
    by_the_clock = np.random.default_rng(0).uniform(0, EXPECTED_RUN, 1000)
    assert np.mean(by_the_clock <= 2 * WINDOW) < 0.05
    assert np.mean(delays) < np.mean(by_the_clock) / 20


def test_a_stream_whose_labels_alone_drift_has_no_alarm_of_its_inputs():
    stream = synth.ConceptDriftStream(
        stream=synth.SEA(variant=0, seed=1),
        drift_stream=synth.SEA(variant=2, seed=2),
        position=AT,
        width=200,
        seed=1,
    )
    rows = [[x[0], x[1], x[2]] for x, _ in stream.take(EVENTS)]
    assert alarms(("x0", "x1", "x2"), rows) == []


def test_the_error_of_a_model_that_the_world_left_is_noticed():
    stream = synth.ConceptDriftStream(
        stream=synth.Agrawal(classification_function=0, seed=1),
        drift_stream=synth.Agrawal(classification_function=2, seed=2),
        position=AT, width=200, seed=1,
    )  # fmt: skip
    # The first function is: class 1 where somebody is of middle age.
    errors = np.array([[float(y != (40 <= x["age"] < 60))] for x, y in stream.take(EVENTS)])
    by_chance = np.random.default_rng(1).random(errors.shape) < 0.05
    found = alarms(("error",), np.where(by_chance, 1.0 - errors, errors))
    assert found
    assert AT <= found[0][0] < AT + 2 * WINDOW
    assert found[0][1].startswith("error ")


QUARTERS = np.arange(AT + 200) % 4


@pytest.mark.parametrize(
    ("then", "signal", "detail"),
    [
        (np.arange(1000) % 5, "unseen", "0 -> 0.2"),
        (np.arange(1000) % 4 // 2 * 2, "distribution", "share of a: 0.25 -> 0.5"),
        (np.where(np.arange(1000) % 4, np.arange(1000) % 4, 5), "missing", "0 -> 0.25"),
    ],
)
def test_what_became_of_a_category_is_told(then, signal, detail):
    monitor = CategoryMonitor("c", Rule(WINDOW, 1e-4, renews=True))
    values = ("a", "b", "c", "d", "e", MISSING_CATEGORY)
    assert monitor.update(QUARTERS.astype(np.int32), values) == []
    assert monitor.update(then.astype(np.int32), values) == [Moved(f"c {signal}", 999, detail)]
    movement = {each.signal: each.movement for each in monitor.told()}
    assert set(movement) == {"c missing", "c unseen", "c distribution"}
    assert max(movement, key=movement.__getitem__) == f"c {signal}"


@pytest.mark.parametrize(("renews", "count"), [(True, 1), (False, 4)])
def test_after_an_alarm_the_reference_is_renewed_or_kept(renews, count):
    random = np.random.default_rng(2)
    values = np.r_[random.normal(0, 1, 2200), random.normal(2, 1, 4000)].reshape(-1, 1)
    monitor = NumberMonitor(["x"], ALL_SIGNALS, Rule(1000, 1e-5, renews))
    assert len(monitor.update(values, np.zeros(values.shape, np.bool_))) == count
