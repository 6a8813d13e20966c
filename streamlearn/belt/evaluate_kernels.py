"""From predictions to what is judged of them, compiled: one pass over a batch, rows that count put first.

The kernels write the judged events, in order, to the front of the columns that they are given (as long as
the batch), and return how many there were. Nothing else is changed.

Shape letters: B events of a batch, of which J are judged; C classes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

from streamlearn.events import Bool_B, Code_B, Float_B, Float_BC, Int_B
from streamlearn.native import inlined, intrinsic, kernel

# Class indices, or real targets.
Target_B = Code_B | Float_B

THE_TRUE_CLASS = -1

_SHARE_MIN = 1e-15  # River's clamp: no single event costs more than 34.5
_LN_2 = math.log(2.0)
_SQRT_HALF_BITS = int(np.float64(math.sqrt(0.5)).view(np.int64))
_MANTISSA_BITS = 52
# Of the series of artanh, from the 21st power down.
_RECIPROCALS = tuple(1.0 / odd for odd in range(21, 0, -2))


def _reinterpret(numba_from: Any, llvm_to: Any, numba_to: Any) -> Any:
    """Return what takes the 64 bits of a number for a number of another type."""

    def reinterpret(_context: Any, _number: Any) -> Any:
        def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            return builder.bitcast(arguments[0], llvm_to)

        return numba_to(numba_from), generate

    return intrinsic(reinterpret)


_bits_of = _reinterpret(types.float64, ir.IntType(64), types.int64)
_float_of = _reinterpret(types.int64, ir.DoubleType(), types.float64)


@inlined
def natural_log(x: float) -> float:
    """Return the natural logarithm of a positive, normal number, within 4 units in the last place.

    The C library's logarithm is one function on a CPU with fused multiplication and another one elsewhere, and
    their last bits differ; a sum of them would give one stream two digests. This takes exact steps and
    the four operations of IEEE 754 only: the same bits on every machine. A loop of it has no call and no
    branch, so it runs on several numbers at once.
    Source: ln m = 2 artanh((m - 1) / (m + 1)), Abramowitz and Stegun 4.1.27 and 4.6.33.

    >>> natural_log(1.0), natural_log(0.25) == math.log(0.25)
    (0.0, True)
    """
    # x = mantissa * 2 ** exponent, with the mantissa around 1, in sqrt(1/2)..sqrt(2): there the series is short.
    bits = _bits_of(x)
    exponent = (bits - _SQRT_HALF_BITS) >> _MANTISSA_BITS
    mantissa = _float_of(bits - (exponent << _MANTISSA_BITS))
    ratio = (mantissa - 1.0) / (mantissa + 1.0)
    square = ratio * ratio  # at most 0.0295, so the first term left out is below 2e-18
    series = 0.0
    for reciprocal in _RECIPROCALS:
        series = series * square + reciprocal
    # An exponent has 11 bits; there are vector instructions for int32 to float64 and seldom for int64.
    logarithm: float = np.int32(exponent) * _LN_2 + series * (2.0 * ratio)
    return logarithm


@inlined
def share_of_truth(share: float, wanted: bool) -> float:
    """Return the share that was given to what was true, by the share of a class and whether it was that one.

    Clamped as River does, before it is taken from 1: to 1e-15..1-1e-15.
    """
    clamped = share if share > _SHARE_MIN else _SHARE_MIN
    clamped = clamped if clamped < 1.0 - _SHARE_MIN else 1.0 - _SHARE_MIN
    return clamped if wanted else 1.0 - clamped


@kernel
def to_log_losses(share_B: Float_B) -> None:
    """Turn each share of what was true, which is above 0, into its log loss, in place.

    One array and not two: they might overlap, and then no two numbers could be taken at once.

    >>> to_log_losses(losses_B := np.array([0.5, 1e-15]))
    >>> losses_B.round(2).tolist()
    [0.69, 34.54]
    """
    for index in range(len(share_B)):
        share_B[index] = -natural_log(share_B[index])


@kernel
def judge_classes(
    target_B: Target_B,
    labelled_B: Bool_B,
    class_B: Code_B,
    share_BC: Float_BC,
    judged_class: int,
    truth_J: Code_B,
    said_J: Code_B,
    share_J: Float_B,
    loss_J: Float_B,
) -> int:
    """Judge what was said of labelled events.

    Parameters
    ----------
    share_BC
        Of no rows where the model gives no shares: then ``share_J`` and ``loss_J`` are NaN. A share that is
        NaN counts as 0, and shares are clipped to 0..1.
    judged_class
        The class whose share is judged, or ``THE_TRUE_CLASS`` of each event.
    """
    judged = 0
    if len(share_BC) == 0:
        for index in range(len(target_B)):
            if labelled_B[index]:
                truth_J[judged] = target_B[index]
                said_J[judged] = class_B[index]
                judged += 1
        share_J[:judged] = math.nan
        loss_J[:judged] = math.nan
        return judged
    for index in range(len(target_B)):
        if not labelled_B[index]:
            continue
        truth = target_B[index]
        column = truth if judged_class == THE_TRUE_CLASS else judged_class
        # Comparisons and not min and max, which take care of NaN with branches: nothing is above or below it.
        share = share_BC[index, column] if share_BC[index, column] > 0.0 else 0.0
        share = share if share < 1.0 else 1.0
        truth_J[judged] = truth
        said_J[judged] = class_B[index]
        share_J[judged] = share
        loss_J[judged] = share_of_truth(share, truth == column)  # and now the loss of that
        judged += 1
    to_log_losses(loss_J[:judged])
    return judged


@kernel
def judge_values(
    target_B: Target_B,
    labelled_B: Bool_B,
    value_B: Float_B,
    truth_J: Target_B,
    said_J: Float_B,
) -> int:
    """Judge the values that were said (not NaN) of labelled events."""
    judged = 0
    for index in range(len(target_B)):
        if labelled_B[index] and not math.isnan(value_B[index]):
            truth_J[judged] = target_B[index]
            said_J[judged] = value_B[index]
            judged += 1
    return judged


@kernel
def class_errors(
    target_B: Target_B, labelled_B: Bool_B, class_B: Code_B, rows_J: Int_B, errors_J: Float_B
) -> int:
    """Write 1.0 where the class was not said, else 0.0."""
    judged = 0
    for index in range(len(target_B)):
        if labelled_B[index]:
            rows_J[judged] = index
            errors_J[judged] = 1.0 if class_B[index] != target_B[index] else 0.0
            judged += 1
    return judged


@kernel
def value_errors(
    target_B: Target_B, labelled_B: Bool_B, value_B: Float_B, rows_J: Int_B, errors_J: Float_B
) -> int:
    """Write absolute errors; those that are not finite are left out."""
    judged = 0
    for index in range(len(target_B)):
        error = abs(target_B[index] - value_B[index])
        if labelled_B[index] and math.isfinite(error):
            rows_J[judged] = index
            errors_J[judged] = error
            judged += 1
    return judged


@kernel
def score_errors(
    target_B: Target_B, labelled_B: Bool_B, value_B: Float_B, rows_J: Int_B, errors_J: Float_B
) -> int:
    """Write the distance of each score, clipped to 0..1, from its label."""
    judged = 0
    for index in range(len(target_B)):
        if labelled_B[index] and not math.isnan(value_B[index]):
            rows_J[judged] = index
            label = 1.0 if target_B[index] == 1 else 0.0
            errors_J[judged] = abs(min(max(value_B[index], 0.0), 1.0) - label)
            judged += 1
    return judged
