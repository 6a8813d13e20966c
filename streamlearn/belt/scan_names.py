"""Names in compiled code: which of the wanted fields a key is, which of the known classes a label is.

A table is open addressing over more than twice as many slots as names. A name is found by comparing every
byte, so what the hash function does can cost time only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streamlearn.belt.scan_intrinsics import PADDING_BYTES, load_int, load_word, signed, store_int
from streamlearn.native import inlined, kernel

UNKNOWN = -1

# What a slot holds, in bytes from its begin.
_AT, _LENGTH, _NAME, _SLOT_BYTES = 0, 8, 16, 24

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_NOTHING = np.uint64(0)
_U32 = np.uint64(32)


@inlined
def first_bytes(count: int) -> np.uint64:
    """Return a mask of a word's first ``count`` bytes, 1 to 8."""
    return _ALL >> np.uint64(64 - 8 * count)


@kernel
def hash_bytes(at: int, length: int) -> np.uint64:
    """Return a hash of the bytes at an address; reads up to 7 bytes more, which change nothing."""
    state = np.uint64(length) * _MULTIPLIER
    while length > 0:
        word = load_word(at)
        if length < 8:
            word &= first_bytes(length)
        state = (state ^ word) * _MULTIPLIER
        state ^= state >> _U32
        at += 8
        length -= 8
    # A product's low bits know nothing of its factors' high ones, and callers look at the low bits alone: without
    # this, names that differ in a word's last bytes only (x_00, x_01, ...) share a place.
    return (state * _MULTIPLIER) >> _U32


@inlined
def equal_bytes(left: int, right: int, length: int) -> bool:
    """Return whether the bytes at two addresses are equal; reads up to 7 bytes more, which change nothing."""
    while length >= 8:
        if load_word(left) != load_word(right):
            return False
        left += 8
        right += 8
        length -= 8
    return length == 0 or (load_word(left) ^ load_word(right)) & first_bytes(length) == _NOTHING


@kernel
def _enter(table: int, slots: int, name: int, at: int, length: int) -> None:
    slot = signed(hash_bytes(at, length) & np.uint64(slots - 1))
    while load_int(table + slot * _SLOT_BYTES + _NAME) != UNKNOWN:
        slot = (slot + 1) & (slots - 1)
    store_int(table + slot * _SLOT_BYTES + _AT, at)
    store_int(table + slot * _SLOT_BYTES + _LENGTH, length)
    store_int(table + slot * _SLOT_BYTES + _NAME, name)


@kernel
def find_name(table: int, slots: int, at: int, length: int) -> int:
    """Return which name of a ``NamesTable`` stands at an address, or ``UNKNOWN``."""
    slot = signed(hash_bytes(at, length) & np.uint64(slots - 1))
    while True:
        entry = table + slot * _SLOT_BYTES
        name: int = load_int(entry + _NAME)
        if name == UNKNOWN:
            return UNKNOWN
        if load_int(entry + _LENGTH) == length and equal_bytes(load_int(entry + _AT), at, length):
            return name
        slot = (slot + 1) & (slots - 1)


class NamesTable:
    """Names by their bytes, for kernels.

    Parameters
    ----------
    names
        All different; name i is found as i.
    """

    def __init__(self, names: Sequence[str]) -> None:
        # A lone surrogate is in no message that is UTF-8, so its name is never found.
        encoded = [name.encode(errors="surrogatepass") for name in names]
        self.slots = 2 << len(names).bit_length()
        self._table = np.full((self.slots, _SLOT_BYTES // 8), UNKNOWN, np.int64)
        self._bytes = np.frombuffer(b"".join(encoded) + bytes(PADDING_BYTES), np.uint8)
        at = int(self._bytes.ctypes.data)
        for name, each in enumerate(encoded):
            _enter(self.address, self.slots, name, at, len(each))
            at += len(each)

    @property
    def address(self) -> int:
        """Where the table lies, as long as this object lives."""
        return int(self._table.ctypes.data)
