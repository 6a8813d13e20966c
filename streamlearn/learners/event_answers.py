"""From answers to columns: what a per-event model said, as the arrays of ``events.Predictions``.

Shape letters: B events of a batch, C classes. Labels are matched by equality, as River matches them. A
label that the batch's classes do not hold has no index: its share is dropped, and where it is the
model's choice, the class is -1. What is not finite becomes NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from streamlearn.events import Code_B, Float_B, Float_BC, Label

_UNDECIDED = -2  # two shares that arithmetic cannot rank: the dict's order does


def as_values(answers: Sequence[Any]) -> Float_B:
    """Return numbers as a column; None and what is not finite become NaN. Raises TypeError, ValueError.

    >>> as_values([1.5, None, 2, float("inf")]).tolist()
    [1.5, nan, 2.0, nan]
    """
    value_B = np.array(answers, dtype=np.float64).reshape(len(answers))
    value_B[~np.isfinite(value_B)] = np.nan
    return value_B


def as_classes(answers: Sequence[Any], labels: Sequence[Label]) -> Code_B:
    """Return labels as indices; -1 for None and for a label that is not among ``labels``.

    >>> as_classes([True, None, "AA"], (False, True)).tolist()
    [1, -1, -1]
    """
    index_of = _indices(labels)
    return np.array([index_of.get(answer, -1) for answer in answers], dtype=np.int32)


def as_shares(answers: Sequence[Mapping[Label, float]], labels: Sequence[Label]) -> tuple[Code_B, Float_BC]:
    """Return shares as a matrix, and for each event the label that River's ``predict_one`` takes from them.

    That label is the one with the largest share; of equals the first in the dict's order; none (-1)
    where the dict is empty.

    >>> class_B, probability_BC = as_shares([{True: 0.5, False: 0.5}, {False: 0.75, True: 0.25}, {}], (False, True))
    >>> class_B.tolist(), probability_BC.tolist()
    ([1, 0, -1], [[0.5, 0.5], [0.75, 0.25], [nan, nan]])
    """
    index_of = _indices(labels)
    if len(labels) == 2:
        probability_BC = np.empty((len(answers), 2))
        for index, label in enumerate(labels):
            probability_BC[:, index] = [answer.get(label, np.nan) for answer in answers]
        class_B = _larger_of_two(probability_BC)
        if max(map(len, answers), default=0) > 2:  # a third label may have the largest share
            class_B[:] = _UNDECIDED
    else:
        probability_BC = _scattered(answers, index_of, len(labels))
        class_B = np.full(len(answers), _UNDECIDED, dtype=np.int32)
    for event in np.flatnonzero(class_B == _UNDECIDED).tolist():
        answer = answers[event]
        class_B[event] = index_of.get(max(answer, key=answer.__getitem__), -1) if answer else -1
    probability_BC[~np.isfinite(probability_BC)] = np.nan
    return class_B, probability_BC


def _indices(labels: Sequence[Label]) -> dict[Label, int]:
    index_of: dict[Label, int] = {}
    for index, label in enumerate(labels):
        index_of.setdefault(label, index)
    return index_of


def _larger_of_two(probability_BC: Float_BC) -> Code_B:
    # A missing share is NaN here, and no comparison with it holds.
    is_second_B = probability_BC[:, 1] > probability_BC[:, 0]
    is_first_B = probability_BC[:, 0] > probability_BC[:, 1]
    return np.where(is_second_B, 1, np.where(is_first_B, 0, _UNDECIDED)).astype(np.int32)


def _scattered(
    answers: Sequence[Mapping[Label, float]], index_of: Mapping[Label, int], classes: int
) -> Float_BC:
    events: list[int] = []
    columns: list[int] = []
    shares: list[float] = []
    for event, answer in enumerate(answers):
        for label, share in answer.items():
            column = index_of.get(label)
            if column is not None:
                events.append(event)
                columns.append(column)
                shares.append(share)
    probability_BC = np.full((len(answers), classes), np.nan)
    probability_BC[events, columns] = shares
    return probability_BC
