"""Ids as columns: one buffer of bytes, and where each begins. Shape letters: B rows of a batch, D different ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamlearn.belt.labels.index_kernels import Hash_D, hash_ids, number_ids
from streamlearn.events import Bool_B, Int_B


@dataclass(frozen=True, slots=True)
class Ids:
    """``data[offsets[i]:offsets[i + 1]]`` are the bytes of id i.

    >>> ids = Ids.of([b"a", b"bc"])
    >>> len(ids), ids.rows(1, 2).arrow().to_pylist()
    (2, [b'bc'])
    """

    data: npt.NDArray[np.uint8]
    offsets: Int_B  # one more than there are ids

    def __post_init__(self) -> None:
        # A segment's cannot be written to. That none can saves compiling each kernel for both.
        for name in ("data", "offsets"):
            view = getattr(self, name).view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def nbytes(self) -> int:
        """Bytes that the ids take, and where they begin."""
        return int(self.offsets[-1] - self.offsets[0]) + self.offsets.nbytes

    @staticmethod
    def of(ids: pa.Array | Sequence[bytes]) -> Ids:
        """Return the ids of an Arrow column (large text or large binary, no nulls), as views; or of a list."""
        column = ids if isinstance(ids, pa.Array) else pa.array(ids, pa.large_binary())
        if not len(column):
            return Ids(np.zeros(0, np.uint8), np.zeros(1, np.int64))
        _, offsets, data = column.buffers()
        where = np.frombuffer(offsets, np.int64)[column.offset : column.offset + len(column) + 1]
        return Ids(np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8), where)

    def arrow(self) -> pa.Array:
        """Return the ids as an Arrow column of bytes, its own and nothing else."""
        own = self.copy()
        buffers = [None, pa.py_buffer(own.offsets), pa.py_buffer(own.data)]
        return pa.Array.from_buffers(pa.large_binary(), len(self), buffers)

    def rows(self, start: int, stop: int) -> Ids:
        """Return ids ``start:stop`` as views."""
        return Ids(self.data, self.offsets[start : stop + 1])

    def copy(self) -> Ids:
        """Return the ids as their own."""
        start, end = int(self.offsets[0]), int(self.offsets[-1])
        return Ids(self.data[start:end].copy(), self.offsets - start)

    def hashes(self) -> Hash_D:
        """Return the hash of each id."""
        hash_D = np.empty(len(self), np.uint32)
        hash_ids(self.data, self.offsets, hash_D)
        return hash_D


class BatchIds:
    """The different ids of a batch, numbered in the order in which they come.

    Parameters
    ----------
    tokens
        The rows' ids, large text.
    has_id_B
        Which rows have one. The others have the number 0, which says nothing of them.

    >>> ids = BatchIds(pa.array(["b", None, "a", "b"], pa.large_string()), np.array([True, False, True, True]))
    >>> len(ids), ids.code_B.tolist(), ids.tokens().to_pylist()
    (2, [0, 0, 1, 0], ['b', 'a'])
    """

    def __init__(self, tokens: pa.LargeStringArray, has_id_B: Bool_B) -> None:
        self._tokens = tokens
        self.of_rows = Ids.of(tokens)
        rows = len(tokens)
        self.code_B: Int_B = np.empty(rows, np.int64)
        row_D, hash_D = np.empty(rows, np.int64), np.empty(rows, np.uint32)
        room = np.zeros(2 << rows.bit_length(), np.int64)
        ids = number_ids(self.of_rows.data, self.of_rows.offsets, has_id_B, room, self.code_B, row_D, hash_D)
        self.row_D: Int_B = row_D[:ids]
        self.hash_D: Hash_D = hash_D[:ids]

    def __len__(self) -> int:
        return len(self.row_D)

    def tokens(self, numbers: Int_B | None = None) -> pa.LargeStringArray:
        """Return the ids of these numbers; all by default."""
        return self._tokens.take(pa.array(self.row_D if numbers is None else self.row_D[numbers]))
