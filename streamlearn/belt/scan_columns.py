"""The columns that the scanner fills: room for the kernel to write in, and Arrow arrays in the end.

Numbers and times are written where they stay. Of texts the kernel notes address and length; they are
gathered once the rows it was not sure of are filled in as well. No Python object is made for a row.

Upholds: row i of each column is message i; what is filled in stands at its row's own place.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from streamlearn.belt.scan_gather import gather, text_offsets
from streamlearn.belt.scan_joints import joints_bytes
from streamlearn.belt.scan_rules import ABSENT, Targets
from streamlearn.events import NUMERIC, Bool_B, Int_B, Reason, numeric_column, numeric_matrix

_WORDS_A_LINE = 8  # in a cache line


class ScannedBatch:
    """The typed columns of one batch while they are filled. For one thread.

    Parameters
    ----------
    typed
        The typed columns of the event schema, in order.
    texts
        The names of those of text that the contract fills.
    timestamps_us
        Each record's timestamp in microseconds since 1970.
    """

    def __init__(self, typed: list[pa.Field], texts: list[str], timestamps_us: Int_B) -> None:
        self._count = count = len(timestamps_us)
        self._typed = typed
        self._text_rows = {name: row for row, name in enumerate(texts)}
        self._reason_B = np.full(count, Reason.ACCEPTED, np.uint8)
        self._detail: pa.Array = pa.nulls(count, pa.large_string())
        self._kept: list[object] = []
        # An odd number of cache lines a column: were it a power of two, all columns would share few sets.
        stride = (count // _WORDS_A_LINE | 1) * _WORDS_A_LINE + 2 * _WORDS_A_LINE
        # Not asked of the arrays: one without a row (a contract without texts) says 0.
        self._stride_bytes = stride * np.dtype(np.int64).itemsize
        self.doubtful_B: Bool_B = np.zeros(count, np.bool_)  # rows of which nothing is known
        numbers = sum(field.type.list_size for field in typed if field.name == NUMERIC)
        self._numeric_BF = np.empty((count, numbers))
        is_real = any(field.name == "label" and field.type == pa.float64() for field in typed)
        self._target_B = np.full(count if is_real else 0, np.nan)
        self._times_us_B = timestamps_us.copy()
        self._text_at_TB = np.zeros((len(texts), stride), np.int64)
        self._text_length_TB = np.full((len(texts), stride), ABSENT, np.int64)
        self._text_nulls_T = np.zeros(len(texts), np.bool_)

    def targets(self, fields: int) -> int:
        """Return the address of ``Targets`` for messages of so many wanted fields, good while this object lives."""
        seen = np.full(fields, -1, np.int64)
        joints = np.zeros(joints_bytes(fields), np.uint8)
        targets = Targets(
            self._numeric_BF.ctypes.data,
            8 * self._numeric_BF.shape[1],
            self._target_B.ctypes.data,
            self._times_us_B.ctypes.data,
            self._text_at_TB.ctypes.data,
            self._text_length_TB.ctypes.data,
            self._stride_bytes,
            self._text_nulls_T.ctypes.data,
            self.doubtful_B.ctypes.data,
            seen.ctypes.data,
            joints.ctypes.data,
            joints.nbytes,
        )
        members = np.array(targets, np.int64)
        self._kept += [seen, joints, members]
        return int(members.ctypes.data)

    def keep(self, owner: object) -> None:
        """Keep alive what owns bytes that texts are gathered from."""
        self._kept.append(owner)

    def fill(self, rows: Int_B, columns: list[pa.Array]) -> None:
        """Fill in rows from elsewhere.

        Parameters
        ----------
        rows
            Which, by index, in increasing order.
        columns
            Their values: a typed column each, in order.
        """
        for field, column in zip(self._typed, columns, strict=True):
            if field.name == NUMERIC:
                self._numeric_BF[rows] = numeric_matrix(column)
            elif field.name == "label" and len(self._target_B):
                self._target_B[rows] = column.to_numpy(zero_copy_only=False)
            elif field.name in self._text_rows:
                row = self._text_rows[field.name]
                self._text_at_TB[row, rows], self._text_length_TB[row, rows] = _texts(column)
                self._text_nulls_T[row] |= column.null_count > 0
                self.keep(column)
            elif field.name == "time_us":
                self._times_us_B[rows] = column.to_numpy()
            elif field.name == "reason":
                self._reason_B[rows] = column.to_numpy()
            elif field.name == "detail" and column.null_count < len(column):
                filled_B = np.zeros(self._count, np.bool_)
                filled_B[rows] = True
                self._detail = pc.replace_with_mask(self._detail, pa.array(filled_B), column)

    def columns(self) -> list[pa.Array]:
        """Return the typed columns; every row that was doubtful has been filled in."""
        return [self._column(field) for field in self._typed]

    def _column(self, field: pa.Field) -> pa.Array:
        if field.name in self._text_rows:
            return self._text(field.type, self._text_rows[field.name])
        if field.name == NUMERIC:
            return numeric_column(self._numeric_BF)
        if field.type == pa.float64():
            return pa.array(self._target_B, from_pandas=True)
        match field.name:
            case "time_us":
                return pa.array(self._times_us_B)
            case "reason":
                return pa.array(self._reason_B)
            case "detail":
                return self._detail
        return pa.nulls(self._count, field.type)

    def _text(self, dtype: pa.DataType, row: int) -> pa.Array:
        count = self._count
        at_B = self._text_at_TB[row, :count]
        length_B = self._text_length_TB[row, :count]
        offsets = np.empty(count + 1, np.int64)
        data = np.empty(text_offsets(length_B.ctypes.data, count, offsets.ctypes.data), np.uint8)
        gather(at_B.ctypes.data, length_B.ctypes.data, count, data.ctypes.data)
        valid = None
        if self._text_nulls_T[row]:
            valid = pa.py_buffer(np.packbits(length_B != ABSENT, bitorder="little"))
        buffers = [valid, pa.py_buffer(offsets), pa.py_buffer(data)]
        return pa.Array.from_buffers(dtype, count, buffers, -1 if valid is not None else 0)


def _texts(column: pa.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the address and the length of each text, ``ABSENT`` where it is null."""
    _, offsets_buffer, data = column.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int64)[column.offset :][: len(column) + 1]
    length_B = np.diff(offsets)
    if column.null_count:
        length_B[column.is_null().to_numpy(zero_copy_only=False)] = ABSENT
    return offsets[:-1] + (0 if data is None else data.address), length_B
