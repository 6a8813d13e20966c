"""Missing values are filled in from earlier events alone, the same however events were batched."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from streamlearn.belt.features import FeatureBuilder
from streamlearn.config import Event
from streamlearn.events import MISSING_CATEGORY


def typed(a: list[float | None], c: list[str | None]) -> pa.RecordBatch:
    arrays = [pa.array(a, pa.float64()), pa.array(c, pa.large_string())]
    return pa.RecordBatch.from_arrays(arrays, names=["numeric/a", "categorical/c"])


def builder(missing: str = "mean") -> FeatureBuilder:
    return FeatureBuilder(Event(label="y", numeric=("a",), categorical=("c",), missing=missing))


def test_the_mean_is_of_the_earlier_values() -> None:
    features = builder().build(typed([None, 2.0, None, 4.0, None], ["x"] * 5))
    assert features.numeric_BF[:, 0].tolist() == [0.0, 2.0, 2.0, 4.0, 3.0]
    assert features.missing_BF[:, 0].tolist() == [True, False, True, False, True]
    assert features.numeric_BF.flags.c_contiguous


def test_zero_is_zero() -> None:
    features = builder("zero").build(typed([5.0, None], ["x", "x"]))
    assert features.numeric_BF[:, 0].tolist() == [5.0, 0.0]


def test_means_that_leave_float64_fill_in_zero() -> None:
    features = builder().build(typed([1.7e308, 1.7e308, None], ["x"] * 3))
    assert features.numeric_BF[:, 0].tolist() == [1.7e308, 1.7e308, 0.0]


def test_categories_are_encoded_and_a_missing_one_is_its_own() -> None:
    [column] = builder().build(typed([1.0] * 4, ["x", None, "y", "x"])).categorical
    assert [column.values[code] for code in column.codes_B] == ["x", MISSING_CATEGORY, "y", "x"]


@pytest.mark.parametrize("cut", [1, 7, 64])
def test_batches_make_no_difference_in_any_bit(cut: int) -> None:
    draw = np.random.default_rng(1)
    a = [None if draw.random() < 0.3 else float(value) for value in draw.normal(size=300) * 1e3]
    whole, pieces = builder(), builder()
    expected = whole.build(typed(a, ["x"] * 300)).numeric_BF
    got = [
        pieces.build(typed(a[i : i + cut], ["x"] * len(a[i : i + cut]))).numeric_BF
        for i in range(0, 300, cut)
    ]
    assert np.concatenate(got).tobytes() == expected.tobytes()
    assert pieces.snapshot().arrays["sums"].tobytes() == whole.snapshot().arrays["sums"].tobytes()


def test_a_snapshot_carries_the_means() -> None:
    first = builder()
    first.build(typed([2.0, 4.0], ["x", "x"]))
    second = builder()
    second.restore(first.snapshot())
    assert second.build(typed([None], ["x"])).numeric_BF.tolist() == [[3.0]]
