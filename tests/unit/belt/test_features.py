"""Missing values are filled in from earlier events alone, the same however events were batched."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from numbers_for_tests import together

from streamlearn.belt.features import FeatureBuilder
from streamlearn.config import Event
from streamlearn.events import MISSING_CATEGORY


def typed(a: list[float | None], c: list[str | None]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [together([a]), pa.array(c, pa.large_string())], names=["numeric", "categorical/c"]
    )


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


def plainly_filled(columns: list[list[float | None]], missing: str) -> tuple[np.ndarray, np.ndarray]:
    """Return values and means' sums of a plain loop over rows."""
    sums, counts = [0.0] * len(columns), [0] * len(columns)
    filled = np.empty((len(columns[0]), len(columns)))
    for row in range(len(filled)):
        for feature, column in enumerate(columns):
            value = column[row]
            if value is None:
                known = counts[feature] and missing == "mean"
                value = sums[feature] / counts[feature] if known else 0.0
            else:
                sums[feature] += value
                counts[feature] += 1
            filled[row, feature] = value
    return filled, np.array(sums)


@pytest.mark.parametrize("missing", ["mean", "zero"])
@pytest.mark.parametrize("cuts", [[300], [3, 61, 1, 129, 5, 101]])
def test_every_row_is_that_of_a_plain_loop_wherever_it_lies_in_arrows_buffers(
    missing: str, cuts: list[int]
) -> None:
    draw = np.random.default_rng(2)
    columns: list[list[float | None]] = [
        [None if draw.random() < share else float(value) for value in draw.lognormal(0, 9, 300)]
        for share in (0.0, 0.0, 0.01, 0.5, 1.0)
    ]
    names = [f"f{number}" for number in range(5)]
    batch = pa.RecordBatch.from_arrays([together(columns)], names=["numeric"])
    features = FeatureBuilder(Event(label="y", numeric=tuple(names), missing=missing))
    starts = np.cumsum([0, *cuts[:-1]]).tolist()
    built = [features.build(batch.slice(start, length)) for start, length in zip(starts, cuts, strict=True)]
    filled, sums = plainly_filled(columns, missing)
    assert np.concatenate([each.numeric_BF for each in built]).tobytes() == filled.tobytes()
    absent = np.array([[value is None for value in column] for column in columns]).T
    assert np.array_equal(np.concatenate([each.missing_BF for each in built]), absent)
    assert features.snapshot().arrays["sums"].tobytes() == sums.tobytes()


@pytest.mark.parametrize("offset", [0, 3])
def test_rows_that_are_chosen_are_as_if_there_were_no_others(offset: int) -> None:
    draw = np.random.default_rng(2)
    a = [None if draw.random() < 0.3 else float(value) for value in draw.normal(size=300)]
    events = typed(a, [None if value is None else f"{value:.0f}" for value in a]).slice(offset)
    row_B = np.flatnonzero(draw.random(300 - offset) < 0.5)
    one, other = builder(), builder()
    for _ in range(2):
        chosen, expected = one.build(events, row_B), other.build(events.take(pa.array(row_B)))
        assert chosen.numeric_BF.tobytes() == expected.numeric_BF.tobytes()
        assert chosen.missing_BF.tobytes() == expected.missing_BF.tobytes()
        for mine, others in zip(chosen.categorical, expected.categorical, strict=True):
            assert [mine.values[code] for code in mine.codes_B] == [others.values[c] for c in others.codes_B]
    assert one.snapshot().arrays["sums"].tobytes() == other.snapshot().arrays["sums"].tobytes()


def test_nothing_numeric_and_no_rows_are_shapes_as_well() -> None:
    only_text = FeatureBuilder(Event(label="y", categorical=("c",)))
    assert only_text.build(typed([1.0, 2.0], ["x", "y"])).numeric_BF.shape == (2, 0)
    features = builder().build(typed([], []))
    assert features.numeric_BF.shape == features.missing_BF.shape == (0, 1)


def test_a_snapshot_carries_the_means() -> None:
    first = builder()
    first.build(typed([2.0, 4.0], ["x", "x"]))
    second = builder()
    second.restore(first.snapshot())
    assert second.build(typed([None], ["x"])).numeric_BF.tolist() == [[3.0]]
