"""Rows that lie here and there, copied to where they are wanted. Shape letter: M rows."""

from __future__ import annotations

from streamlearn.belt.scan_gather import copy_bytes
from streamlearn.events import Int_B
from streamlearn.native import kernel


@kernel
def copy_rows(source: int, taken_M: Int_B, target: int, placed_M: Int_B, row_bytes: int) -> None:
    """Copy rows of a matrix to rows of another one, each of so many bytes and right behind the one before.

    Parameters
    ----------
    source, target
        Addresses of the first row of each.
    taken_M, placed_M
        Which rows are copied, and to where.
    """
    for number in range(len(taken_M)):
        copy_bytes(source + taken_M[number] * row_bytes, row_bytes, target + placed_M[number] * row_bytes)
