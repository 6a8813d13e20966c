"""JSON numbers in compiled code: the grammar whole, the value exact or not at all.

Digits are taken eight at a time within a word. A decimal of at most 19 digits becomes the nearest float64
by the algorithm of Eisel and Lemire, which is proven correct: one or two 64-bit products with a 128-bit
power of five. (A faster way exists for short decimals; telling them apart costs more than it saves, as the
processor cannot guess whether a number has 16 digits or 17.) Longer decimals and results that are subnormal
or infinite are left to the library: the kernels say that they are not sure.

Sources: D. Lemire, "Number parsing at a gigabyte per second", Software: Practice and Experience 51 (2021).
N. Mushtak and D. Lemire, "Fast number parsing without fallback", Software: Practice and Experience 53 (2023).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streamlearn.belt.scan_intrinsics import (
    float_of_bits,
    leading_zeros,
    load_byte,
    load_word,
    multiply_wide,
    signed,
    trailing_zeros,
)
from streamlearn.native import inlined, kernel

# How a number is written, as ``scan_number`` says it.
INTEGER = 0  # digits alone
REAL = 1  # with a point or an exponent
LONG = 2  # more than 19 digits that count: valid, but its value is not known here

DIGITS_MAX = 19  # any so many fit in 64 bits
_EXPONENT_CAP = 100_000  # beyond it an exponent is merely large

_ZERO, _NINE = ord("0"), ord("9")
_MINUS, _PLUS, _POINT = ord("-"), ord("+"), ord(".")

# Constants for eight bytes in a word. Numba makes a float of uint64 with int64, so all are uint64.
_ZEROS = np.uint64(0x3030303030303030)
_BEYOND_NINE = np.uint64(0x7676767676767676)
_HIGH_BITS = np.uint64(0x8080808080808080)
_EVERY_FOURTH = np.uint64(0x000000FF000000FF)
_HUNDREDS = np.uint64(100 + (1_000_000 << 32))
_ONES = np.uint64(1 + (10_000 << 32))
_U8, _U10, _U16, _U32 = (np.uint64(value) for value in (8, 10, 16, 32))
_POWERS_OF_TEN = np.array([10**count for count in range(9)], np.uint64)

_POWER_MIN, _POWER_MAX = -342, 308  # of five: outside, 19 digits make zero or infinity


def _powers_of_five() -> npt.NDArray[np.uint64]:
    """Return 5**q for each q, scaled by a power of two into 128 bits: the high word, and the low one.

    Truncated, but the reciprocals up to 5**27 are rounded up, as the proof wants it.
    """
    words = []
    for power in range(_POWER_MIN, _POWER_MAX + 1):
        five = 5 ** abs(power)
        if power < 0:
            scaled = (1 << (five.bit_length() + 127)) // five + (power >= -27)
        else:
            scaled = (five << 128) >> five.bit_length()
        words.append(divmod(scaled, 1 << 64))
    return np.array(words, np.uint64)


_FIVES = _powers_of_five()

# Rounding half to even can matter only where a product is exact; 5**q is, for these.
_EVEN_MIN, _EVEN_MAX = -4, 23
_MANTISSA_BITS = 52
_FRACTION = np.uint64((1 << _MANTISSA_BITS) - 1)
_IMPLICIT = np.uint64(1 << _MANTISSA_BITS)
_BELOW_ROUNDING = np.uint64((1 << (64 - _MANTISSA_BITS - 3)) - 1)
_U0, _U1, _U3, _U52, _U63 = (np.uint64(value) for value in (0, 1, 3, 52, 63))
_ROUNDING_SHIFT = np.uint64(64 - _MANTISSA_BITS - 3)


@inlined
def scan_digits(position: int, end: int, mantissa: np.uint64) -> tuple[int, np.uint64]:
    """Return where the digits at a position end, and ``mantissa`` with them behind it (modulo 2**64)."""
    while position < end:
        word = load_word(position) ^ _ZEROS
        # The lowest byte that is marked is no digit; a carry may only mark bytes above it.
        others = ((word + _BEYOND_NINE) | word) & _HIGH_BITS
        count = trailing_zeros(others) >> 3
        # Zeros before the digits. No shift may be by 64, and a branch on the count would be a guess.
        half = np.uint64(32 - 4 * count)
        word = (word << half) << half
        word = word * _U10 + (word >> _U8)
        word = ((word & _EVERY_FOURTH) * _HUNDREDS + ((word >> _U16) & _EVERY_FOURTH) * _ONES) >> _U32
        mantissa = mantissa * _POWERS_OF_TEN[count] + word
        position += count
        if count < 8:
            break
    return position, mantissa


@kernel
def _exponent(position: int, end: int) -> tuple[int, int]:
    """Return where the exponent at a position ends (-1: it is none), and its value."""
    sign = load_byte(position)
    if sign in (_MINUS, _PLUS):
        position += 1
    first = position
    value = 0
    digit = load_byte(position)
    while position < end and _ZERO <= digit <= _NINE:
        value = min(value * 10 + digit - _ZERO, _EXPONENT_CAP)
        position += 1
        digit = load_byte(position)
    if position == first:
        return -1, 0
    return position, -value if sign == _MINUS else value


@inlined
def scan_number(position: int, end: int) -> tuple[int, np.uint64, int, int]:
    """Read the number at a position, ``position < end``.

    Returns
    -------
    Where it ends (-1: it is no JSON number; beyond ``end``: the message ends within it), its decimal
    ``mantissa`` and ``exponent`` without the sign, and how it is written.
    """
    invalid = (-1, _U0, 0, LONG)
    if load_byte(position) == _MINUS:
        position += 1
    first = position
    position, mantissa = scan_digits(position, end, _U0)
    count = position - first
    leading = load_byte(first) == _ZERO
    if count == 0 or (leading and count > 1):
        return invalid
    if leading:
        count = 0
    written, exponent = INTEGER, 0
    mark = load_byte(position)
    if mark == _POINT:
        written = REAL
        first = position + 1
        position, mantissa = scan_digits(first, end, mantissa)
        exponent = first - position
        if exponent == 0:
            return invalid
        if leading and position - first > DIGITS_MAX:
            while load_byte(first) == _ZERO and first < position:
                first += 1
        count += position - first
        mark = load_byte(position)
    if mark | 0x20 == 0x65:
        written = REAL
        position, shift = _exponent(position + 1, end)
        if position < 0:
            return invalid
        exponent += shift
    if count > DIGITS_MAX:
        written = LONG
    return position, mantissa, exponent, written


@inlined
def nearest_float(mantissa: np.uint64, exponent: int) -> tuple[float, bool]:
    """Return the float64 nearest to ``mantissa * 10**exponent``, ties to even, and whether that is sure."""
    if exponent == 0 or mantissa == _U0:
        return float(mantissa), True
    if not _POWER_MIN <= exponent <= _POWER_MAX:
        return 0.0, False
    return _eisel_lemire(mantissa, exponent)


@inlined
def _eisel_lemire(mantissa: np.uint64, exponent: int) -> tuple[float, bool]:
    zeros = leading_zeros(mantissa)
    mantissa <<= np.uint64(zeros)
    row = exponent - _POWER_MIN
    high, low = multiply_wide(mantissa, _FIVES[row, 0])
    if high & _BELOW_ROUNDING == _BELOW_ROUNDING:
        # What the low half of the power adds may carry into the bits that round.
        more, _ = multiply_wide(mantissa, _FIVES[row, 1])
        low += more
        if more > low:
            high += _U1
    upper = high >> _U63
    shift = upper + _ROUNDING_SHIFT
    kept = high >> shift  # 54 bits: the last one rounds
    # (217706 * q) >> 16 is floor(q * log2(10)) in this range.
    binary = ((217706 * exponent) >> 16) + 63 + signed(upper) - zeros + 1023
    if binary <= 0:
        return 0.0, False
    halfway = low <= _U1 and _EVEN_MIN <= exponent <= _EVEN_MAX and kept & _U3 == _U1
    if halfway and kept << shift == high:
        kept &= ~_U1
    kept = (kept + (kept & _U1)) >> _U1
    if kept >= _IMPLICIT << _U1:
        kept = _IMPLICIT
        binary += 1
    if binary >= 2047:
        return 0.0, False
    return float_of_bits((kept & _FRACTION) | (np.uint64(binary) << _U52)), True
