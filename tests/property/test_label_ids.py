"""Ids of a batch are numbered as a dictionary would number them, whatever their bytes and wherever the column begins."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.belt.labels.ids import BatchIds, Ids

FEW = st.sampled_from(["", "a", "aa", "ab", "b", "é", "\0"])


@settings(deadline=None)  # the first example compiles
@given(st.lists(st.one_of(st.none(), FEW, st.text(max_size=20))), st.integers(0, 3))
def test_equal_ids_have_equal_numbers_in_the_order_in_which_they_come(
    texts: list[str | None], first: int
) -> None:
    column = pa.array(["before"] * first + texts, pa.large_string()).slice(first)
    ids = BatchIds(column, column.is_valid().to_numpy(zero_copy_only=False))
    known: dict[str, int] = {}
    numbers = [0 if text is None else known.setdefault(text, len(known)) for text in texts]
    assert ids.code_B.tolist() == numbers
    assert ids.tokens().to_pylist() == list(known)
    assert ids.tokens(np.arange(len(ids))[::-1]).to_pylist() == list(known)[::-1]
    assert ids.hash_D.tolist() == Ids.of([text.encode() for text in known]).hashes().tolist()


def test_many_ids_are_told_apart() -> None:
    texts = [f"order-{number % 40_000}" for number in range(50_000)]
    ids = BatchIds(pa.array(texts, pa.large_string()), np.ones(len(texts), np.bool_))
    assert len(ids) == 40_000
    assert ids.code_B.tolist() == [number % 40_000 for number in range(50_000)]
