"""A hash index from ids to rows, 8 bytes a slot: 32 bits of the id's hash and 32 of the row's number. And a smaller one,
of a batch, that numbers its ids.

Open addressing, linear probing, deletion by shifting back (Knuth, The Art of Computer Programming, vol. 3, 6.4,
algorithm R): no slot is ever wasted on what is gone. A slot's home is made of the hash that stands in it, so the
index grows without a look at any id. Two ids may have one hash: who asks compares the ids.

Shape letters: B rows of a batch, D different ids, S slots (a power of two), M rows that may be meant.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streamlearn.events import Int_B
from streamlearn.native import inlined, kernel

Slot_S = npt.NDArray[np.uint64]
Hash_D = npt.NDArray[np.uint32]

_EMPTY = np.uint64(0)
_OFFSET_BASIS = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)
_MIX = np.uint64(0xFF51AFD7ED558CCD)
_32 = np.uint64(32)
_33 = np.uint64(33)
_LOW = np.uint64(0xFFFFFFFF)
_ONE = np.uint64(1)


@kernel
def hash_ids(data: npt.NDArray[np.uint8], offsets: Int_B, hash_D: Hash_D) -> None:
    """Set the hash of each id, never 0: FNV-1a over the bytes, then MurmurHash3's finalizer, the upper half."""
    for number in range(len(hash_D)):
        value = _OFFSET_BASIS
        for place in range(offsets[number], offsets[number + 1]):
            value = (value ^ np.uint64(data[place])) * _PRIME
        value = (value ^ (value >> _33)) * _MIX
        value ^= value >> _33
        upper = value >> _32
        hash_D[number] = np.uint32(upper if upper else _ONE)


@kernel
def number_ids(
    data: npt.NDArray[np.uint8],
    offsets: Int_B,
    has_id_B: npt.NDArray[np.bool_],
    slot_S: npt.NDArray[np.int64],
    code_B: Int_B,
    row_D: Int_B,
    hash_D: Hash_D,
) -> int:
    """Number the different ids of a batch, in the order in which they come; return how many there are.

    Parameters
    ----------
    has_id_B
        Rows without an id get the number 0, which says nothing of them.
    slot_S
        Room, all 0, more than there are rows.
    code_B, row_D, hash_D
        For each row its id's number; for each number the first row that has the id, and its hash. With room for
        as many ids as rows.

    >>> ids, room = np.frombuffer(b"abab", np.uint8), np.zeros(8, np.int64)
    >>> code_B, row_D, hash_D = np.empty(3, np.int64), np.empty(3, np.int64), np.empty(3, np.uint32)
    >>> number_ids(ids, np.arange(4), np.ones(3, np.bool_), room, code_B, row_D, hash_D)
    2
    >>> code_B.tolist(), row_D[:2].tolist()
    ([0, 1, 0], [0, 1])
    """
    hash_ids(data, offsets, hash_D)
    mask = len(slot_S) - 1
    numbers = 0
    for row in range(len(code_B)):
        code_B[row] = 0
        if not has_id_B[row]:
            continue
        value = hash_D[row]  # numbers lag behind rows, so what is set below was read before
        at = np.int64(value) & mask
        while slot_S[at]:
            number = slot_S[at] - 1
            if hash_D[number] == value and _are_same(data, offsets, row, data, offsets, row_D[number]):
                break
            at = (at + 1) & mask
        if not slot_S[at]:
            row_D[numbers] = row
            hash_D[numbers] = value
            numbers += 1
            slot_S[at] = numbers
        code_B[row] = slot_S[at] - 1
    return numbers


@inlined
def _are_same(
    data: npt.NDArray[np.uint8],
    offsets: Int_B,
    number: int,
    other_data: npt.NDArray[np.uint8],
    other_offsets: Int_B,
    other: int,
) -> bool:
    start, other_start = offsets[number], other_offsets[other]
    length = offsets[number + 1] - start
    if other_offsets[other + 1] - other_start != length:
        return False
    place = 0
    while place < length and data[start + place] == other_data[other_start + place]:
        place += 1
    return bool(place == length)


@inlined
def _home(value: np.uint64, bits: int) -> np.int64:
    return np.int64(value >> np.uint64(32 - bits))


@kernel
def find(slot_S: Slot_S, bits: int, hash_D: Hash_D, found_id_M: Int_B, found_row_M: Int_B) -> int:
    """Set which ids may stand at which rows (the lower 32 bits of each); return how many pairs there are.

    Where that is more than there is room for, only the number is right: call again with room.
    """
    mask = len(slot_S) - 1
    found = 0
    for number in range(len(hash_D)):
        wanted = np.uint64(hash_D[number])
        at: int | np.int64 = _home(wanted, bits)
        while slot_S[at] != _EMPTY:
            if slot_S[at] >> _32 == wanted:
                if found < len(found_id_M):
                    found_id_M[found] = number
                    found_row_M[found] = np.int64(slot_S[at] & _LOW)
                found += 1
            at = (at + 1) & mask
    return found


@kernel
def insert(slot_S: Slot_S, bits: int, hash_D: Hash_D, row_D: Int_B) -> None:
    """Add rows under their hashes; there must be room."""
    mask = len(slot_S) - 1
    for number in range(len(hash_D)):
        at: int | np.int64 = _home(np.uint64(hash_D[number]), bits)
        while slot_S[at] != _EMPTY:
            at = (at + 1) & mask
        slot_S[at] = (np.uint64(hash_D[number]) << _32) | (np.uint64(row_D[number]) & _LOW)


@kernel
def remove(slot_S: Slot_S, bits: int, hash_D: Hash_D, row_D: Int_B) -> int:
    """Take rows out that stand under their hashes; return how many were there."""
    mask = len(slot_S) - 1
    removed = 0
    for number in range(len(hash_D)):
        wanted = (np.uint64(hash_D[number]) << _32) | (np.uint64(row_D[number]) & _LOW)
        at: int | np.int64 = _home(np.uint64(hash_D[number]), bits)
        while slot_S[at] != _EMPTY and slot_S[at] != wanted:
            at = (at + 1) & mask
        if slot_S[at] == _EMPTY:
            continue
        removed += 1
        hole, at = at, (at + 1) & mask
        while slot_S[at] != _EMPTY:
            home = _home(slot_S[at] >> _32, bits)
            # It may move into the hole unless its home lies behind the hole, on the way to where it stands.
            if ((at - home) & mask) >= ((at - hole) & mask):
                slot_S[hole] = slot_S[at]
                hole = at
            at = (at + 1) & mask
        slot_S[hole] = _EMPTY
    return removed


@kernel
def refill(old_S: Slot_S, slot_S: Slot_S, bits: int) -> None:
    """Put everything from one index into another, empty one."""
    mask = len(slot_S) - 1
    for place in range(len(old_S)):
        if old_S[place] == _EMPTY:
            continue
        at: int | np.int64 = _home(old_S[place] >> _32, bits)
        while slot_S[at] != _EMPTY:
            at = (at + 1) & mask
        slot_S[at] = old_S[place]


@kernel
def compare_ids(
    data: npt.NDArray[np.uint8],
    offsets: Int_B,
    number_M: Int_B,
    kept_data: npt.NDArray[np.uint8],
    kept_offsets: Int_B,
    kept_M: Int_B,
    same_M: npt.NDArray[np.bool_],
) -> None:
    """Set where the id ``number_M[i]`` and the kept id ``kept_M[i]`` are the same bytes."""
    for pair in range(len(number_M)):
        same_M[pair] = _are_same(data, offsets, number_M[pair], kept_data, kept_offsets, kept_M[pair])
