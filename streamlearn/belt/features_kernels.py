"""From Arrow columns to rows of float64, compiled: one pass reads a batch through the Arrow C data interface.

Asking for twenty columns one after the other costs more than reading what they hold; the interface gives
all of them at once, as a tree of addresses. Source: https://arrow.apache.org/docs/format/CDataInterface.html

Upholds `replay_equals_run`: the sums behind the means add one row after the other, whatever batch it came in.

Shape letters: B events of a batch, F numeric features.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from streamlearn.events import Bool_BF, Float_B, Float_BF
from streamlearn.native import kernel

# struct ArrowArray: where its fields stand, in bytes.
_OFFSET, _BUFFERS, _CHILDREN = 16, 40, 48
_VALIDITY, _VALUES = 0, 8  # within the buffers of a column of numbers

_BLOCK_ROWS = 64  # of 20 features: 10 KB, so that a column is spread over rows within the first cache

# Numba's own type of it does not know that kernels call it without the context.
_intrinsic = cast("Callable[[Callable[..., Any]], Any]", intrinsic)


def _load(llvm_type: Any, numba_type: Any) -> Any:
    """Return what reads one value at an address."""

    def at(_context: Any, _address: Any) -> Any:
        def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            return builder.load(builder.inttoptr(arguments[0], llvm_type.as_pointer()))

        return numba_type(types.int64), generate

    return _intrinsic(at)


_int64_at = _load(ir.IntType(64), types.int64)
_float64_at = _load(ir.DoubleType(), types.float64)
_byte_at = _load(ir.IntType(8), types.uint8)


@kernel
def fill_rows(
    batch_address: int,
    children_F: npt.NDArray[np.int64],
    row_B: npt.NDArray[np.int64],
    with_mean: bool,
    sums_F: Float_B,
    counts_F: npt.NDArray[np.int64],
    numeric_BF: Float_BF,
    missing_BF: Bool_BF,
) -> None:
    """Write the rows of a batch, missing values filled in, and take the others into the sums.

    Parameters
    ----------
    batch_address
        Of the ``ArrowArray`` of a record batch, which the caller keeps alive.
    children_F
        Which of its columns each feature is; they are float64.
    row_B
        The rows that are wanted; empty: the first ones, as many as there is room for.
    with_mean
        Fill in the mean of the earlier values (0 where there were none, or where it is not finite), or 0.
    """
    children = _int64_at(batch_address + _CHILDREN)
    offset = _int64_at(batch_address + _OFFSET)
    chooses = len(row_B) > 0
    has_missing = np.zeros(_BLOCK_ROWS, np.bool_)
    for start in range(0, len(numeric_BF), _BLOCK_ROWS):
        stop = min(start + _BLOCK_ROWS, len(numeric_BF))
        for feature in range(len(children_F)):
            column = _int64_at(children + 8 * children_F[feature])
            buffers = _int64_at(column + _BUFFERS)
            validity, values = _int64_at(buffers + _VALIDITY), _int64_at(buffers + _VALUES)
            first = offset + _int64_at(column + _OFFSET)
            for row in range(start, stop):
                place = first + (row_B[row] if chooses else row)
                value = _float64_at(values + 8 * place)
                if validity != 0 and not (_byte_at(validity + place // 8) >> (place % 8)) & 1:
                    value = math.nan
                missing = math.isnan(value)
                has_missing[row - start] |= missing
                missing_BF[row, feature] = missing
                numeric_BF[row, feature] = value
        for row in range(start, stop):
            if has_missing[row - start]:
                has_missing[row - start] = False
                _fill_row(with_mean, sums_F, counts_F, numeric_BF[row], missing_BF[row])
                continue
            for feature in range(len(children_F)):  # without a condition: the features side by side
                sums_F[feature] += numeric_BF[row, feature]
                counts_F[feature] += 1


@kernel
def _fill_row(
    with_mean: bool,
    sums_F: Float_B,
    counts_F: npt.NDArray[np.int64],
    numeric_F: Float_B,
    missing_F: npt.NDArray[np.bool_],
) -> None:
    for feature in range(len(numeric_F)):
        if not missing_F[feature]:
            sums_F[feature] += numeric_F[feature]
            counts_F[feature] += 1
            continue
        mean = sums_F[feature] / counts_F[feature]
        numeric_F[feature] = mean if with_mean and math.isfinite(mean) else 0.0
