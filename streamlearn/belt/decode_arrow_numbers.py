"""Columns of float64 that many batches have, laid side by side as the rows of one matrix, without a copy between.

Arrow tells where the values of a batch lie by its C data interface, in one call for all columns; and a kernel
reads them there. A message's columns are looked at once: each value is written to its place in the matrix, a null as
NaN, and seen to be finite on the way.

Source: Arrow columnar format 1.5, "C data interface" and "Validity bitmaps".

Shape letters: M batches, F columns of each, B rows of all batches together.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamlearn.belt.scan_intrinsics import load_byte, load_float, load_int
from streamlearn.events import Float_BF, Int_B
from streamlearn.native import kernel

# What was met in a column.
HAS_NULLS = 1
HAS_NON_FINITE = 2

_BLOCK_ROWS = 64  # of 20 columns: 10 KB, which a cache can hold
_WORD_BYTES = 8
# Members of the struct ArrowArray, of eight bytes each.
_NULL_COUNT, _OFFSET, _BUFFERS, _CHILDREN = (_WORD_BYTES * place for place in (1, 2, 5, 6))

_pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
_pointer_of.restype, _pointer_of.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)


def lay_numbers(
    batches: Sequence[pa.RecordBatch], column_F: Int_B, into_F: Int_B, numeric_BF: Float_BF
) -> npt.NDArray[np.uint8]:
    """Write columns of batches that follow each other as columns of a matrix; nulls become NaN.

    Parameters
    ----------
    column_F
        The places of the columns in each batch; they are of float64, and the batches valid.
    into_F
        The columns of ``numeric_BF`` that they become.
    numeric_BF
        C-contiguous, with a row for each row of the batches. Other columns of it are left alone.

    Returns
    -------
    For each column what was met in it: ``HAS_NULLS``, ``HAS_NON_FINITE`` (a value, and not a null), or both. Values
    that are not finite are written as they are.

    >>> batches = [pa.RecordBatch.from_pydict({"y": [0, 1], "x": [1.5, None]}) for _ in range(2)]
    >>> matrix = np.zeros((4, 2))
    >>> lay_numbers(batches, np.array([1]), np.array([0]), matrix).tolist(), matrix[:, 0].tolist()
    ([1], [1.5, nan, 1.5, nan])
    """
    assert sum(batch.num_rows for batch in batches) == len(numeric_BF), "a row for each row"
    met_F = np.zeros(len(column_F), np.uint8)
    exported = [batch.__arrow_c_array__()[1] for batch in batches]  # these keep it alive
    array_M = np.array([_pointer_of(capsule, b"arrow_array") for capsule in exported], np.int64)
    row_M = np.array([batch.num_rows for batch in batches], np.int64)
    _lay(array_M, row_M, column_F, into_F, numeric_BF, met_F)
    return met_F


@kernel
def _lay(
    array_M: Int_B,
    row_M: Int_B,
    column_F: Int_B,
    into_F: Int_B,
    numeric_BF: Float_BF,
    met_F: npt.NDArray[np.uint8],
) -> None:
    first = 0
    for m in range(len(array_M)):
        children = load_int(array_M[m] + _CHILDREN)
        batch_start = load_int(array_M[m] + _OFFSET)
        for start in range(0, row_M[m], _BLOCK_ROWS):
            stop = min(start + _BLOCK_ROWS, row_M[m])
            for f in range(len(column_F)):
                child = load_int(children + _WORD_BYTES * column_F[f])
                begin = batch_start + load_int(child + _OFFSET)
                valid, values = _buffers(child)
                into = into_F[f]
                bad = 0
                for row in range(start, stop):
                    value = load_float(values + _WORD_BYTES * (begin + row))
                    # Zero for all that is finite, and NaN for all that is not.
                    bad += int(value - value != 0.0)
                    numeric_BF[first + row, into] = value
                if valid != 0 and load_int(child + _NULL_COUNT) != 0:
                    bad = _clear_nulls(valid, begin, start, stop, first, into, numeric_BF, met_F, f)
                if bad > 0:
                    met_F[f] |= HAS_NON_FINITE
        first += row_M[m]


@kernel
def _buffers(child: int) -> tuple[int, int]:
    buffers = load_int(child + _BUFFERS)
    return load_int(buffers), load_int(buffers + _WORD_BYTES)


@kernel
def _clear_nulls(
    valid: int,
    begin: int,
    start: int,
    stop: int,
    first: int,
    into: int,
    numeric_BF: Float_BF,
    met_F: npt.NDArray[np.uint8],
    f: int,
) -> int:
    """Set the nulls of some rows to NaN; return how many of the others are not finite."""
    bad = 0
    for row in range(start, stop):
        bit = begin + row
        if load_byte(valid + bit // 8) >> (bit % 8) & 1:
            bad += int(not math.isfinite(numeric_BF[first + row, into]))
        else:
            numeric_BF[first + row, into] = math.nan
            met_F[f] |= HAS_NULLS
    return bad
