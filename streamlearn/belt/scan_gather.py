"""Texts that lie here and there, put one behind the other, as Arrow wants a column of them."""

from __future__ import annotations

from streamlearn.belt.scan_intrinsics import load_byte, load_int, load_word, store_byte, store_int, store_word
from streamlearn.native import inlined, kernel


@inlined
def copy_bytes(source: int, length: int, target: int) -> None:
    """Copy bytes from an address to another one, a word at a time; touches no byte beside them."""
    if length >= 8:
        last = length - 8
        for step in range(0, last, 8):
            store_word(target + step, load_word(source + step))
        # The last word may overlap the one before it.
        store_word(target + last, load_word(source + last))
    else:
        for step in range(length):
            store_byte(target + step, load_byte(source + step))


@kernel
def text_offsets(lengths: int, count: int, offsets: int) -> int:
    """Write where each text begins and the last one ends; return the bytes of all. Lengths below 0 are none."""
    total = 0
    store_int(offsets, 0)
    for row in range(count):
        total += max(load_int(lengths + 8 * row), 0)
        store_int(offsets + 8 * (row + 1), total)
    return total


@kernel
def gather(at: int, lengths: int, count: int, target: int) -> None:
    """Copy texts from their addresses to a target, in order; touches no byte beside them."""
    for row in range(count):
        length = load_int(lengths + 8 * row)
        copy_bytes(load_int(at + 8 * row), length, target)
        target += max(length, 0)
