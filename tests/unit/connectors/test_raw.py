"""Raw batches: one schema, rows in order, bytes untouched."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamlearn.connectors.raw import EMPTY_BATCH, lines_batch, raw_batch
from streamlearn.events import RAW_SCHEMA


def test_the_empty_batch_has_the_schema() -> None:
    assert EMPTY_BATCH.schema == RAW_SCHEMA
    assert EMPTY_BATCH.num_rows == 0


def test_columns_keep_their_types_and_nulls() -> None:
    batch = raw_batch([1], [70_000], [2**40], [-1], [b""], [None])
    batch.validate(full=True)
    assert batch.to_pylist() == [
        {"topic": 1, "partition": 70_000, "offset": 2**40, "timestamp_ms": -1, "key": b"", "value": None}
    ]


@given(st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), min_size=1, max_size=50))
def test_a_line_is_a_row(lines: list[bytes]) -> None:
    batch = lines_batch(0, 2, 100, b"".join(line + b"\n" for line in lines))
    batch.validate(full=True)
    assert batch.column("value").to_pylist() == lines
    assert batch.column("offset").to_pylist() == list(range(100, 100 + len(lines)))
    assert set(batch.column("partition").to_pylist()) == {2}
    assert batch.column("key").null_count == len(lines)


def test_half_a_line_is_a_programmers_error() -> None:
    with pytest.raises(AssertionError, match="whole lines"):
        lines_batch(0, 0, 0, b"a\nb")
