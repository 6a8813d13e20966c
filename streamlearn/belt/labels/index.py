"""Finds the kept event of an id: the hash index, grown as needed (index_kernels.py).

It is made of what is kept, so it is no state: a restored shard makes it anew, and a checkpoint does not hold it.

Shape letters: D ids, M rows that may be meant.
"""

from __future__ import annotations

import numpy as np

from streamlearn.belt.labels.ids import Ids
from streamlearn.belt.labels.index_kernels import Hash_D, find, insert, refill, remove
from streamlearn.events import Int_B

BITS_MIN = 10
LOAD_MAX = 0.7


class IdIndex:
    """Rows of the ids that are kept; ids are compared by who keeps them.

    >>> index = IdIndex()
    >>> index.insert(Ids.of([b"a", b"b"]), np.array([7, 8]))
    >>> index.find(Ids.of([b"b", b"c"]).hashes(), first_row=0)
    (array([0]), array([8]))
    >>> index.remove(Ids.of([b"b"]), np.array([8]))
    >>> len(index)
    1
    """

    def __init__(self) -> None:
        self._bits = BITS_MIN
        self._slot_S = np.zeros(1 << BITS_MIN, np.uint64)
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    @property
    def nbytes(self) -> int:
        return self._slot_S.nbytes

    def find(self, hash_D: Hash_D, first_row: int) -> tuple[Int_B, Int_B]:
        """Return pairs (which of these hashes, row that its id may stand at); rows are at or behind ``first_row``."""
        room = len(hash_D) + 16
        while True:
            number_M, low_M = np.empty(room, np.int64), np.empty(room, np.int64)
            found = find(self._slot_S, self._bits, hash_D, number_M, low_M)
            if found <= room:
                break
            room = found
        # Fewer than 2**32 rows are kept at once, so their lower halves tell them apart.
        row_M = first_row + ((low_M[:found] - first_row) & 0xFFFFFFFF)
        return number_M[:found], row_M

    def insert(self, ids: Ids, row_D: Int_B) -> None:
        """Add ids, each with its row."""
        self._make_room(len(row_D))
        insert(self._slot_S, self._bits, ids.hashes(), row_D)
        self._rows += len(row_D)

    def remove(self, ids: Ids, row_D: Int_B) -> None:
        """Take ids out; all of them are there."""
        removed = remove(self._slot_S, self._bits, ids.hashes(), row_D)
        assert removed == len(row_D), "the index is made of what is kept"
        self._rows -= removed

    def _make_room(self, more: int) -> None:
        bits = self._bits
        while self._rows + more > LOAD_MAX * (1 << bits):
            bits += 1
        assert bits <= 31, "2**31 slots hold more than a checkpoint of statuses could"
        if bits > self._bits:
            old_S, self._slot_S = self._slot_S, np.zeros(1 << bits, np.uint64)
            refill(old_S, self._slot_S, bits)
            self._bits = bits
