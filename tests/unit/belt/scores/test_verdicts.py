"""Verdicts that may be looked at after every event: seldom wrong when there is no difference, and found when there is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from streamlearn.belt.scores.verdicts import Verdicts, boundary
from streamlearn.events import Float_BC

STREAMS, EVENTS = 1000, 2000
ERROR = 0.05


def without_difference(generator: np.random.Generator, kind: str) -> Float_BC:
    """Errors of two models, of which neither is better: what is expected of both is the same before each event."""
    if kind == "equal":
        return (generator.random((2, EVENTS)) < 0.3).astype(float)
    if kind == "changing":  # both become worse and better together
        rate_B = 0.5 + 0.4 * np.sin(np.arange(EVENTS) / 100)
        return (generator.random((2, EVENTS)) < rate_B).astype(float)
    if kind == "rare":
        return (generator.random((2, EVENTS)) < 0.01).astype(float)
    # Alike but for some events, as two models that learn from the same stream.
    shared = (generator.random(EVENTS) < 0.3).astype(float)
    errors = np.vstack((shared, shared))
    apart = generator.random(EVENTS) < 0.1
    errors[:, apart] = generator.random((2, int(apart.sum()))) < 0.5
    return errors


def ever_decided(error_LB: Float_BC, reach: object) -> bool:
    """Whether a verdict is given at any event, by the running sums that ``Verdicts`` keeps."""
    advantage_B = error_LB[1] - error_LB[0]
    total_B = np.cumsum(advantage_B)
    events_B = np.arange(1, len(advantage_B) + 1)
    expected_B = np.concatenate(([0.0], total_B[:-1] / events_B[:-1]))
    squares_B = np.cumsum(np.square(advantage_B - expected_B))
    return bool((np.abs(total_B) > reach(squares_B, events_B)).any())  # type: ignore[operator]


@pytest.mark.parametrize("kind", ["equal", "changing", "rare", "alike"])
def test_false_verdicts_are_as_rare_as_stated(kind: str) -> None:
    generator = np.random.default_rng(7)
    bound = np.vectorize(lambda squares: boundary(squares, ERROR / 2), otypes=[float])
    grid = np.concatenate((np.arange(0.0, 200.0, 0.25), np.arange(200.0, 4.0 * EVENTS, 2.0)))
    table = bound(grid)  # the boundary grows, so the entry below is a little more severe: no easier test

    def reach(squares_B: np.ndarray, _events_B: np.ndarray) -> np.ndarray:
        return table[np.searchsorted(grid, squares_B, side="right") - 1]

    false = sum(ever_decided(without_difference(generator, kind), reach) for _ in range(STREAMS))
    assert false / STREAMS <= ERROR


def test_a_test_for_one_look_would_be_wrong_far_too_often() -> None:
    """The trap that the level above keeps out of: 1.96 standard errors, looked at after every event."""
    generator = np.random.default_rng(7)

    def reach(squares_B: np.ndarray, events_B: np.ndarray) -> np.ndarray:
        return np.where(events_B < 30, np.inf, 1.96 * np.sqrt(squares_B))

    false = sum(ever_decided(without_difference(generator, "equal"), reach) for _ in range(STREAMS))
    assert false / STREAMS > 4 * ERROR


def test_the_sums_are_those_of_the_simulation() -> None:
    error_LB = without_difference(np.random.default_rng(1), "equal")
    verdicts = Verdicts(["one"], ["other"], "binary")
    verdicts.update(error_LB)
    advantage_B = error_LB[1] - error_LB[0]
    means_B = np.cumsum(advantage_B)[:-1] / np.arange(1, EVENTS)
    squares = np.square(advantage_B - np.concatenate(([0.0], means_B))).sum()
    events, total, counted = verdicts.state_P3[0]
    assert (events, total) == (EVENTS, advantage_B.sum())
    assert math.isclose(counted, squares, rel_tol=1e-9)


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_a_difference_is_found_both_ways_round(task: str) -> None:
    generator = np.random.default_rng(3)
    good, bad = (generator.random(5000) < 0.2).astype(float), (generator.random(5000) < 0.3).astype(float)
    verdicts = Verdicts(["good", "bad"], [], task)  # type: ignore[arg-type]
    verdicts.update(np.vstack((good, bad)))
    told = {(each.model, each.against): each for each in verdicts.told(ERROR)}
    assert told["good", "bad"].word == "better"
    assert told["bad", "good"].word == "worse"
    assert told["good", "bad"].lower == -told["bad", "good"].upper
    assert told["good", "bad"].lower < 0.1 < told["good", "bad"].upper


def test_nothing_is_told_too_early() -> None:
    verdicts = Verdicts(["one"], ["other"], "binary")
    assert [each.word for each in verdicts.told(ERROR)] == ["too early to tell"]
    verdicts.update(np.array([[0.0] * 5, [1.0] * 5]))
    assert [each.word for each in verdicts.told(ERROR)] == ["too early to tell"]


def test_an_outlier_counts_as_one_event() -> None:
    verdicts = Verdicts(["one"], ["other"], "regression")
    verdicts.update(np.array([[1e300, 0.0, np.nan], [0.0, 0.0, 1.0]]))
    [verdict] = verdicts.told(ERROR)
    assert (verdict.events, verdict.advantage) == (2, -0.5)


def test_cuts_and_restarts_change_no_bit() -> None:
    error_LB = np.random.default_rng(5).random((3, 1000))
    whole = Verdicts(["a", "b"], ["c"], "regression")
    whole.update(error_LB)
    cut = Verdicts(["a", "b"], ["c"], "regression")
    for start in range(0, 1000, 7):
        cut.update(np.ascontiguousarray(error_LB[:, start : start + 7]))
        again = Verdicts(["a", "b"], ["c"], "regression")
        again.restore(cut.snapshot())
        cut = again
    assert (cut.state_P3 == whole.state_P3).all()


def test_shards_add_up() -> None:
    one, other = Verdicts(["a"], ["b"], "binary"), Verdicts(["a"], ["b"], "binary")
    for each in (one, other):
        each.update(np.array([[0.0] * 60, [1.0] * 60]))
    assert [verdict.events for verdict in one.told(ERROR, [other])] == [120]
