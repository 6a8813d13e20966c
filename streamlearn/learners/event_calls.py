"""From columns to calls: what a per-event model is called with, and the loops that call it.

Which of a model's methods answer is decided once, before the loop; a loop holds nothing but the calls.
Each loop predicts an event, if it is asked to, and then learns from it (`predict_before_learn`), and keeps an answer only
once its event is done, so the number of answers is the index of the event at which a loop stopped.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from itertools import chain, repeat
from typing import Any

import numpy as np
from river import base

from streamlearn.config import Task
from streamlearn.events import Bool_B, Examples, Features, Label
from streamlearn.learners.river_build import last_step
from streamlearn.learners.undoing import weight

# Rows are turned into Python objects this many at a time: more of them at once push the model's own
# data out of the processor's cache (measured: 0.7 us an event between 64 and 4096, at 20 features).
_ROWS_AT_ONCE = 64


class Says(Enum):
    """What kind of answer a model gives."""

    SHARES = auto()  # {label: share}; its label is the one with the largest, the first of equals
    SHARES_AND_LABEL = auto()  # (shares, label), where the model has a way of its own to choose the label
    LABEL = auto()
    VALUE = auto()


_NOTHING: Mapping[Says, Any] = {
    Says.SHARES: {},
    Says.SHARES_AND_LABEL: ({}, None),
    Says.LABEL: None,
    Says.VALUE: None,
}


@dataclass(frozen=True, slots=True)
class Calls:
    """A model's methods, chosen before the loop."""

    says: Says
    say: Callable[[dict[str, Any]], Any]
    learn: Callable[..., Any]
    needs_label: bool  # False: learns from features alone, so from every event


def choose_calls(model: Any, task: Task) -> Calls:
    """Choose the methods that answer for a model with River's interface.

    Classification asks for shares where the model really gives them (River's base class raises), and
    takes the label from them as ``river.base.Classifier.predict_one`` does, unless the model overrides it.

    >>> from river import linear_model, multiclass
    >>> choose_calls(linear_model.LogisticRegression(), "binary").says.name
    'SHARES'
    >>> choose_calls(multiclass.OneVsOneClassifier(linear_model.LogisticRegression()), "multiclass").says.name
    'LABEL'
    """
    if task == "anomaly":
        return Calls(Says.VALUE, model.score_one, model.learn_one, _learns_from_labels(model))
    if task == "regression":
        return Calls(Says.VALUE, model.predict_one, model.learn_one, needs_label=True)
    if not _gives_shares(model):
        return Calls(Says.LABEL, model.predict_one, model.learn_one, needs_label=True)
    if not _chooses_its_label(model):
        return Calls(Says.SHARES, model.predict_proba_one, model.learn_one, needs_label=True)

    def say_both(x: dict[str, Any]) -> tuple[dict[Label, float], Label | None]:
        return {**model.predict_proba_one(x)}, model.predict_one(x)

    return Calls(Says.SHARES_AND_LABEL, say_both, model.learn_one, needs_label=True)


def _gives_shares(model: Any) -> bool:
    final = last_step(model)
    if not isinstance(final, base.Classifier):
        return callable(getattr(final, "predict_proba_one", None))
    if type(final).predict_proba_one is base.Classifier.predict_proba_one:
        return False
    # A wrapper passes the question on, so what it wraps must have an answer.
    return not isinstance(final, base.Wrapper) or _gives_shares(final._wrapped_model)


def _chooses_its_label(model: Any) -> bool:
    final = last_step(model)
    if isinstance(final, base.Classifier):
        return type(final).predict_one is not base.Classifier.predict_one
    return callable(getattr(final, "predict_one", None))


def _learns_from_labels(model: Any) -> bool:
    if isinstance(model, base.Estimator):
        return bool(model._supervised)
    return len(inspect.signature(model.learn_one).parameters) > 1


# -------------------------------------------------------------------------------------------- columns


def feature_names(features: Features, missing_indicator: bool) -> tuple[str, ...]:
    """Return the keys of every event's ``x``, in order.

    >>> features = Features(("a",), np.zeros((0, 1)), np.zeros((0, 1), bool), ())
    >>> feature_names(features, missing_indicator=True)
    ('a', 'a_missing')
    """
    indicators = [f"{name}_missing" for name in features.numeric_names] if missing_indicator else []
    return (*features.numeric_names, *indicators, *(column.name for column in features.categorical))


def feature_rows(features: Features, missing_indicator: bool) -> Iterator[Sequence[Any]]:
    """Yield each event's values, in the order of ``feature_names``, made a few at a time.

    Floats for the numeric features, 0 or 1 for the indicators, text for the categorical ones.

    >>> features = Features(("a", "b"), np.array([[1.0, 2.0]]), np.array([[False, True]]), ())
    >>> [list(row) for row in feature_rows(features, missing_indicator=True)]
    [[1.0, 2.0, 0, 1]]
    """
    starts = range(0, len(features), _ROWS_AT_ONCE)
    parts = (features.rows(start, start + _ROWS_AT_ONCE) for start in starts)
    return chain.from_iterable(_rows(part, missing_indicator) for part in parts)


def _rows(features: Features, missing_indicator: bool) -> Iterable[Sequence[Any]]:
    if not missing_indicator and not features.categorical:
        rows: list[list[float]] = features.numeric_BF.tolist()
        return rows
    columns: list[Iterable[Any]] = features.numeric_BF.T.tolist()
    if missing_indicator:
        columns += features.missing_BF.T.astype(np.int64).tolist()
    columns += [map(c.values.__getitem__, c.codes_B.tolist()) for c in features.categorical]
    return zip(*columns, strict=True)


def targets(examples: Examples, labels: tuple[Label, ...] | None) -> list[Label | None]:
    """Return each event's label as the model is told it; None where there is none.

    ``labels`` are the batch's classes; None for regression, whose labels are the numbers themselves.
    """
    if labels is None:
        numbers: list[float] = examples.target_B.tolist()
        marked = zip(numbers, examples.labelled_B.tolist(), strict=True)
        return [target if labelled else None for target, labelled in marked]
    # An unlabelled event's target means nothing, so it must not be looked up.
    code_B = np.where(examples.labelled_B, examples.target_B, len(labels)).astype(np.int64)
    return list(map((*labels, None).__getitem__, code_B.tolist()))


def undoing(calls: Calls, undone_B: Sequence[Label | None]) -> Calls:
    """Return the calls of one pass over events of which some were learned before with another label.

    Parameters
    ----------
    undone_B
        That label; None: the event was not learned before.

    A model is asked about each event and then taught it, if it has a label: so what is undone is known by the answers.

    >>> shares = {False: 0.25, True: 0.75}
    >>> told = undoing(Calls(Says.SHARES, lambda x: shares, lambda x, y, **w: print(y, w), True), [None, False])
    >>> for _ in range(2):
    ...     _ = told.say({}), told.learn({}, True)
    True {}
    True {'w': 4.0}
    """
    say, learn, with_both = calls.say, calls.learn, calls.says is Says.SHARES_AND_LABEL
    labels = iter(undone_B)
    undone: Label | None = None
    shares: dict[Label, float] = {}

    def say_and_note(x: dict[str, Any]) -> Any:
        nonlocal undone, shares
        undone, answer = next(labels), say(x)
        shares = answer[0] if with_both else answer
        return answer

    def learn_weighted(x: dict[str, Any], y: Label) -> None:
        if undone is None:
            learn(x, y)
        else:
            learn(x, y, w=weight(shares.get(undone, 0.0) if shares else None))

    return replace(calls, say=say_and_note, learn=learn_weighted)


# ---------------------------------------------------------------------------------------------- loops


def run_loop(
    calls: Calls,
    names: Sequence[str],
    row_B: Iterable[Sequence[Any]],
    y_B: Iterable[Label | None],
    answers: list[Any],
    *,
    learn: bool,
    asked_B: Bool_B | None = None,
) -> None:
    """Call the model for each event, in order, and append its answers.

    With ``learn``, the model learns each event after it answered: those with a label, or all of them
    where it needs none. Without, it learns nothing. Where it need not answer (``asked_B``) and needs a label to
    learn, it learns alone, and the answer is that it says nothing.

    >>> answers = []
    >>> calls = Calls(Says.VALUE, say=lambda x: x["a"] + 1, learn=print, needs_label=True)
    >>> run_loop(calls, ["a"], [[1.0], [2.0]], [None, 7.0], answers, learn=True)
    {'a': 2.0} 7.0
    >>> answers
    [2.0, 3.0]
    """
    if learn and not calls.needs_label:
        _say_and_learn_all(calls, names, row_B, answers)
        return
    if not learn:
        y_B = repeat(None)
    if learn and asked_B is not None:
        _say_where_asked_and_learn(calls, names, row_B, y_B, asked_B.tolist(), answers)
    elif calls.says is Says.SHARES:
        _say_shares_and_learn(calls, names, row_B, y_B, answers)
    else:
        _say_and_learn(calls, names, row_B, y_B, answers)


def _say_shares_and_learn(
    calls: Calls,
    names: Sequence[str],
    row_B: Iterable[Sequence[Any]],
    y_B: Iterable[Label | None],
    answers: list[Any],
) -> None:
    say, learn, keep = calls.say, calls.learn, answers.append
    for row, y in zip(row_B, y_B, strict=False):
        x = dict(zip(names, row))  # noqa: B905 (naming `strict` costs as much as the rest of the line)
        shares = {**say(x)}  # a copy: a model may hand out what it goes on to change
        if y is not None:
            learn(x, y)
        keep(shares)


def _say_and_learn(
    calls: Calls,
    names: Sequence[str],
    row_B: Iterable[Sequence[Any]],
    y_B: Iterable[Label | None],
    answers: list[Any],
) -> None:
    say, learn, keep = calls.say, calls.learn, answers.append
    for row, y in zip(row_B, y_B, strict=False):
        x = dict(zip(names, row))  # noqa: B905 (naming `strict` costs as much as the rest of the line)
        answer = say(x)
        if y is not None:
            learn(x, y)
        keep(answer)


def _say_where_asked_and_learn(
    calls: Calls,
    names: Sequence[str],
    row_B: Iterable[Sequence[Any]],
    y_B: Iterable[Label | None],
    asked_B: Sequence[bool],
    answers: list[Any],
) -> None:
    say, learn, keep = calls.say, calls.learn, answers.append
    gives_shares, nothing = calls.says is Says.SHARES, _NOTHING[calls.says]
    for row, y, asked in zip(row_B, y_B, asked_B, strict=False):
        x = dict(zip(names, row))  # noqa: B905 (naming `strict` costs as much as the rest of the line)
        answer = nothing
        if asked:
            answer = {**say(x)} if gives_shares else say(x)
        if y is not None:
            learn(x, y)
        keep(answer)


def _say_and_learn_all(
    calls: Calls, names: Sequence[str], row_B: Iterable[Sequence[Any]], answers: list[Any]
) -> None:
    say, learn, keep = calls.say, calls.learn, answers.append
    for row in row_B:
        x = dict(zip(names, row))  # noqa: B905 (naming `strict` costs as much as the rest of the line)
        answer = say(x)
        learn(x)
        keep(answer)
