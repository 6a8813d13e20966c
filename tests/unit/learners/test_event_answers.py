"""What a model said, as columns: matched by equality, ranked as River ranks, never non-finite."""

from __future__ import annotations

import numpy as np
import pytest

from streamlearn.learners.event_answers import as_classes, as_shares, as_values


def test_values_that_are_none_or_not_finite_become_nan() -> None:
    answers = [1, np.float64(2.5), None, float("nan"), float("-inf")]
    np.testing.assert_array_equal(as_values(answers), [1.0, 2.5, np.nan, np.nan, np.nan])


def test_an_answer_that_is_no_number_is_an_error() -> None:
    with pytest.raises((TypeError, ValueError)):
        as_values([{"a": 1.0}])
    with pytest.raises((TypeError, ValueError)):
        as_values([(1.0, 2.0), (3.0, 4.0)])


def test_labels_are_matched_by_equality() -> None:
    assert as_classes([True, False, np.True_, 1.0, "1", None], (0, 1)).tolist() == [1, 0, 1, 1, -1, -1]


def test_the_largest_share_is_the_class_and_of_equals_the_first_in_the_dict() -> None:
    answers = [{"b": 0.4, "a": 0.4, "c": 0.2}, {"a": 0.1, "c": 0.9}, {}]
    class_B, probability_BC = as_shares(answers, ("a", "b", "c"))
    assert class_B.tolist() == [1, 2, -1]
    np.testing.assert_array_equal(
        probability_BC, [[0.4, 0.4, 0.2], [0.1, np.nan, 0.9], [np.nan, np.nan, np.nan]]
    )


def test_two_classes_go_by_the_same_rule() -> None:
    answers = [{True: 0.5, False: 0.5}, {False: 0.5, True: 0.5}, {True: 0.2}, {False: 0.3, True: 0.7}, {}]
    class_B, probability_BC = as_shares(answers, (False, True))
    assert class_B.tolist() == [1, 0, 1, 1, -1]
    np.testing.assert_array_equal(
        probability_BC, [[0.5, 0.5], [0.5, 0.5], [np.nan, 0.2], [0.3, 0.7], [np.nan, np.nan]]
    )


@pytest.mark.parametrize("labels", [("a", "b"), ("a", "b", "c")])
def test_a_label_that_the_batch_does_not_know_is_dropped(labels: tuple[str, ...]) -> None:
    class_B, probability_BC = as_shares([{"a": 0.2, "b": 0.3, "unknown": 0.5}, {"a": 1.0}], labels)
    assert class_B.tolist() == [-1, 0]
    np.testing.assert_array_equal(probability_BC[:, :2], [[0.2, 0.3], [1.0, np.nan]])


def test_shares_that_are_not_finite_become_nan_and_the_label_stays_river_s() -> None:
    nan = float("nan")
    answers = [{False: nan, True: nan}, {True: float("inf"), False: 0.0}]
    class_B, probability_BC = as_shares(answers, (False, True))
    assert class_B.tolist() == [max(answer, key=answer.get) for answer in answers]
    np.testing.assert_array_equal(probability_BC, [[nan, nan], [0.0, nan]])


def test_no_answers_are_empty_columns() -> None:
    assert as_values([]).shape == (0,)
    assert as_classes([], (False, True)).shape == (0,)
    for labels in ((), (False, True), ("a", "b", "c")):
        class_B, probability_BC = as_shares([], labels)
        assert class_B.shape == (0,)
        assert probability_BC.shape == (0, len(labels))
