"""Memory for snapshots, used again: the belt stands while a snapshot is copied.

A copy to fresh memory takes several times as long as one to memory that was written before, since the system hands
out each page of it, cleared, when it is first touched (measured, 100 MB: 16 to 167 ms against 12). So a block goes
back to where it came from once nobody refers to the snapshot any more, wherever that happens, and the next
snapshot is copied to it. Two are alive at a time: the one before is the guard's way back.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from streamlearn.learners.copy_kernels import LINE_BYTES, stream_lines

Array = npt.NDArray[Any]
Bytes_N = npt.NDArray[np.uint8]

BLOCK_BYTES_MIN = 256 * 1024  # what is smaller, the allocator has at hand


class SnapshotMemory:
    """Where the copies of one learner lie.

    >>> memory, places = SnapshotMemory(), set()
    >>> for number in range(9):
    ...     with memory.in_use():
    ...         copy = memory.copied(np.full(100_000, number))
    ...     places.add(copy.ctypes.data)
    >>> len(places), copy[-1]
    (2, np.int64(8))
    """

    def __init__(self) -> None:
        self._free: list[Bytes_N] = []  # since the last snapshot began
        self._usable: list[Bytes_N] = []  # by the one that is being made
        self._is_new = True
        self._made: list[Bytes_N] = []  # for it

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Make one snapshot; what no copy of it fits into is let go of in the end.

        The first one is made before anything is learned, and may take its time: so it sees to the second one's memory.
        """
        while self._free:
            self._usable.append(self._free.pop())
        yield
        self._usable.clear()  # and not what came back meanwhile
        if self._is_new:
            self._free += map(np.ones_like, self._made)
        self._is_new = False
        self._made.clear()

    @property
    def free_bytes(self) -> int:
        """Bytes that are kept for the next snapshot."""
        return sum(map(len, self._free))

    def copied(self, array: Array) -> Array:
        """Return a copy of an array, contiguous in C order."""
        copy = self._unset(array)
        if array.nbytes < BLOCK_BYTES_MIN or not array.flags.c_contiguous:
            np.copyto(copy, array)
            return copy
        lines = array.nbytes // LINE_BYTES
        stream_lines(copy.ctypes.data, array.ctypes.data, lines)
        rest = slice(lines * LINE_BYTES // array.itemsize, None)
        copy.reshape(-1)[rest] = array.reshape(-1)[rest]
        return copy

    def _unset(self, array: Array) -> Array:
        """Return an array with anything in it, for the copy of another one."""
        nbytes = array.nbytes
        if nbytes < BLOCK_BYTES_MIN:
            return np.empty(array.shape, array.dtype)
        # NumPy has each view refer to this array, and none past it, since its own base is no array.
        lent = np.frombuffer(self._block(nbytes + LINE_BYTES).data, np.uint8)
        weakref.finalize(lent, self._free.append, lent.base.obj).atexit = False  # type: ignore[union-attr]
        start = -lent.ctypes.data % LINE_BYTES
        return lent[start : start + nbytes].view(array.dtype).reshape(array.shape)

    def _block(self, nbytes: int) -> Bytes_N:
        fitting = [place for place, block in enumerate(self._usable) if nbytes <= len(block) <= 2 * nbytes]
        if not fitting:
            block = np.empty(nbytes + nbytes // 8, np.uint8)  # state grows
            self._made.append(block)
            return block
        return self._usable.pop(min(fitting, key=lambda place: len(self._usable[place])))
