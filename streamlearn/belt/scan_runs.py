"""Runs of numbers in compiled code: fields of a message that are a number each and nothing else, in the expected order.

Most of what most messages hold. What the ways in ``scan_joints`` and ``scan_rules`` do for any field takes more
variables than a processor has registers; this does the same for the commonest field within them, in less than
two thirds of the time. What it does not know it leaves where it is, to them.
"""

from __future__ import annotations

import numpy as np

from streamlearn.belt.scan_intrinsics import load_byte, load_int, store_float, store_int
from streamlearn.belt.scan_joints import NONE, expected_after, field_of, length_of, stands_at
from streamlearn.belt.scan_numbers import DIGITS_MAX, nearest_float, scan_digits
from streamlearn.native import kernel

MIXED = -1  # instead of a number's place: the field is not one number and nothing else

_MINUS, _POINT, _ZERO = ord("-"), ord("."), ord("0")
_LETTER_E = ord("e")
_NOTHING = np.uint64(0)


@kernel
def scan_run(
    joint: int, position: int, end: int, row: int, places: int, seen: int, numbers: int
) -> tuple[int, int, int]:
    """Read numbers for as long as each stands behind the joint that is expected, and is sure.

    Parameters
    ----------
    joint
        The one before the value that ends at ``position``.
    places
        An int64 a field: where its number belongs, in bytes from ``numbers``, or ``MIXED``.
    seen
        An int64 a field: the last row that had it.
    numbers
        Those of this row.

    Returns
    -------
    The last joint whose value was read, the position behind that value, and how many were read.
    """
    found = 0
    while True:
        expected = expected_after(joint)
        if expected == NONE or not stands_at(expected, position, end):
            break
        field = field_of(expected)
        if field < 0:
            break
        place = load_int(places + 8 * field)
        seen_in = seen + 8 * field
        if place == MIXED or load_int(seen_in) == row:
            break
        first = position + length_of(expected)
        negative = load_byte(first) == _MINUS
        first += negative
        after, mantissa = scan_digits(first, end, _NOTHING)
        count = after - first
        leading = load_byte(first) == _ZERO
        exponent = 0
        real = load_byte(after) == _POINT
        if count == 0 or (leading and count > 1):
            break
        if real:
            point = after
            after, mantissa = scan_digits(point + 1, end, mantissa)
            exponent = point + 1 - after
            count -= exponent
        # Leading zeros count as digits here: a little more is left to others than need be.
        if (real and exponent == 0) or count > DIGITS_MAX or load_byte(after) | 0x20 == _LETTER_E:
            break
        value, sure = nearest_float(mantissa, exponent)
        if not sure:
            break
        if negative and (real or mantissa != _NOTHING):  # the integer -0 is 0
            value = -value
        store_float(numbers + place, value)
        store_int(seen_in, row)
        joint, position = expected, after
        found += 1
    return joint, position, found
