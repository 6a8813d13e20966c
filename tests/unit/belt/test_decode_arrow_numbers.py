"""Columns of numbers become the rows of a matrix: each value at its place, as NumPy has it, nulls as NaN."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.belt.decode_arrow_numbers import HAS_NON_FINITE, HAS_NULLS, lay_numbers

COLUMNS = ("a", "b", "c")


@st.composite
def batches(draw: st.DrawFn) -> list[pa.RecordBatch]:
    """Of up to 200 rows, some of them slices, in which nulls may hide numbers that are not finite."""
    made = []
    for _ in range(draw(st.integers(1, 4))):
        rows = draw(st.integers(0, 200))
        random = np.random.default_rng(draw(st.integers(0, 2**32)))
        columns = []
        for _ in COLUMNS:
            values = random.normal(size=rows)
            values[random.random(rows) < draw(st.sampled_from([0.0, 0.0, 0.02]))] = draw(
                st.sampled_from([np.nan, np.inf, -np.inf])
            )
            share = draw(st.sampled_from([None, 0.0, 0.1, 1.0]))
            columns.append(pa.array(values, mask=None if share is None else random.random(rows) < share))
        batch = pa.RecordBatch.from_arrays(columns, list(COLUMNS))
        start = draw(st.integers(0, rows))
        made.append(draw(st.sampled_from([batch, batch.slice(start), batch.slice(0, start)])))
    return made


@settings(max_examples=150, deadline=None)
@given(batches(), st.permutations(range(3)), st.integers(1, 3))
def test_each_value_is_at_its_place(made: list[pa.RecordBatch], order: list[int], columns: int) -> None:
    column_F = np.array(order[:columns])
    into_F = np.arange(1, columns + 1)[::-1].copy()
    matrix = np.full((sum(batch.num_rows for batch in made), 5), 7.0)
    met_F = lay_numbers(made, column_F, into_F, matrix)
    expected = np.full_like(matrix, 7.0)
    table = pa.Table.from_batches(made)
    for column, into, met in zip(column_F, into_F, met_F, strict=True):
        whole = table.column(int(column)).combine_chunks()
        expected[:, into] = whole.to_numpy(zero_copy_only=False)
        has_non_finite = not np.isfinite(whole.drop_null().to_numpy()).all()
        assert met == (HAS_NULLS if whole.null_count else 0) | (HAS_NON_FINITE if has_non_finite else 0)
    np.testing.assert_array_equal(matrix, expected)
