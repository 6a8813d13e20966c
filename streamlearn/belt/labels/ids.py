"""Ids as columns: one buffer of bytes, and where each begins. Shape letter: D ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from streamlearn.events import Int_B


@dataclass(frozen=True, slots=True)
class Ids:
    """``data[offsets[i]:offsets[i + 1]]`` are the bytes of id i.

    >>> ids = Ids.of([b"a", b"bc"])
    >>> len(ids), ids.take(np.array([1])).arrow().to_pylist()
    (2, [b'bc'])
    """

    data: npt.NDArray[np.uint8]
    offsets: Int_B  # one more than there are ids

    def __len__(self) -> int:
        return len(self.offsets) - 1

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
        start, end = int(self.offsets[0]), int(self.offsets[-1])
        offsets = np.ascontiguousarray(self.offsets - start)
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(self.data[start:end].copy())]
        return pa.Array.from_buffers(pa.large_binary(), len(self), buffers)

    def rows(self, start: int, stop: int) -> Ids:
        """Return ids ``start:stop`` as views."""
        return Ids(self.data, self.offsets[start : stop + 1])

    def take(self, numbers: Int_B) -> Ids:
        """Return these ids."""
        return Ids.of(self.arrow().take(pa.array(numbers)))
