"""A feature's categories are bounded, wherever the batches are cut."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamlearn.belt.categories import CategoryBound
from streamlearn.checkpoints.digest import part_digest
from streamlearn.events import MISSING_CATEGORY, OTHER_CATEGORY, Categorical, Features


def features(values: Sequence[str], order: Sequence[str] | None = None) -> Features:
    """Events of one feature, dictionary-encoded by first appearance or in another order."""
    distinct = tuple(order if order is not None else dict.fromkeys(values))
    codes_B = np.array([distinct.index(value) for value in values], np.int32)
    shape = (len(values), 0)
    return Features((), np.zeros(shape), np.zeros(shape, np.bool_), (Categorical("c", codes_B, distinct),))


def told(bounded: Features) -> list[str]:
    column = bounded.categorical[0]
    assert column.codes_B.dtype == np.int32
    return [column.values[code] for code in column.codes_B.tolist()]


def test_the_first_categories_stay_themselves_and_the_others_are_one() -> None:
    bound = CategoryBound(("c",), 2)
    bounded, overflowed = bound.bound(features(["a", "b", "c", "a", "d"]))
    assert told(bounded) == ["a", "b", OTHER_CATEGORY, "a", OTHER_CATEGORY]
    assert overflowed == {"c": 2}
    assert bound.sizes == {"c": 2}
    bounded, overflowed = bound.bound(features(["c", "b"]))
    assert (told(bounded), overflowed) == ([OTHER_CATEGORY, "b"], {"c": 1})


def test_what_fits_is_passed_on_as_it_is() -> None:
    bound = CategoryBound(("c",), 2)
    some = features(["a", MISSING_CATEGORY, "b"])
    assert bound.bound(some) == (some, {})
    assert bound.bound(some)[0] is some
    assert bound.sizes == {"c": 2}, "a missing value is no category"


def test_what_no_event_shows_is_not_known() -> None:
    bound = CategoryBound(("c",), 2)
    bound.bound(features(["b"], order=("z", "y", "b")))
    assert bound.sizes == {"c": 1}
    bounded, _ = bound.bound(features(["z"]))
    assert told(bounded) == ["z"]


def test_what_is_too_many_is_not_even_named() -> None:
    bound = CategoryBound(("c",), 1)
    bounded, _ = bound.bound(features([str(number) for number in range(1000)]))
    assert bounded.categorical[0].values == ("0", OTHER_CATEGORY)


@given(
    values=st.lists(
        st.sampled_from(["", "a", "b", "é", "\U0001f6eb", MISSING_CATEGORY, OTHER_CATEGORY]), max_size=20
    ),
    sizes=st.lists(st.integers(1, 5), min_size=1),
    categories_max=st.integers(1, 6),
    turned=st.booleans(),
)
def test_replay_equals_run(values: list[str], sizes: list[int], categories_max: int, turned: bool) -> None:
    whole, parts = CategoryBound(("c",), categories_max), CategoryBound(("c",), categories_max)
    expected, overflowed = whole.bound(features(values))
    said, over, start, turn = [], 0, 0, 0
    while start < len(values):
        piece = values[start : start + sizes[turn % len(sizes)]]
        order = sorted(set(piece), reverse=True) if turned else None  # how a batch is encoded means nothing
        bounded, more = parts.bound(features(piece, order))
        said, over = said + told(bounded), over + more.get("c", 0)
        start, turn = start + len(piece), turn + 1
        again = CategoryBound(("c",), categories_max)
        again.restore(parts.snapshot())
        assert part_digest(again.snapshot()) == part_digest(parts.snapshot())
        parts = again
    assert said == told(expected)
    assert over == overflowed.get("c", 0)
    assert part_digest(parts.snapshot()) == part_digest(whole.snapshot())
    assert whole.sizes["c"] <= categories_max


@pytest.mark.parametrize(("categories_max", "told_of_d"), [(3, "d"), (1, OTHER_CATEGORY)])
def test_the_bound_may_change_between_runs_and_keeps_what_is_known(
    categories_max: int, told_of_d: str
) -> None:
    before = CategoryBound(("c",), 2)
    before.bound(features(["a", "b"]))
    after = CategoryBound(("c",), categories_max)
    after.restore(before.snapshot())
    assert told(after.bound(features(["b", "a", "d"]))[0]) == ["b", "a", told_of_d]


def test_a_snapshot_is_not_changed_by_later_events() -> None:
    bound = CategoryBound(("c",), 10)
    bound.bound(features(["a"]))
    snapshot = bound.snapshot()
    before = part_digest(snapshot)
    bound.bound(features(["b"]))
    assert part_digest(snapshot) == before != part_digest(bound.snapshot())
