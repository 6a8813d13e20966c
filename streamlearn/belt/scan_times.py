"""Event times in compiled code: what ``decode_fields.time_reader`` reads, of the common spellings.

``datetime.fromisoformat`` reads more (weeks, compact forms, commas); whatever is not spelled here is left
to it. Numbers follow the rule to the last bit: an integral number is multiplied exactly, another one as a
float64 product rounded half to even.
"""

from __future__ import annotations

import numpy as np

from streamlearn.belt.decode_fields import TIME_US_MAX, TIME_US_MIN
from streamlearn.belt.scan_intrinsics import load_byte, signed
from streamlearn.belt.scan_numbers import INTEGER, LONG, nearest_float
from streamlearn.native import kernel

NO_TIME = TIME_US_MIN - 1  # not sure

_HYPHEN, _COLON, _POINT, _LETTER_T, _LETTER_Z, _SPACE = (ord(character) for character in "-:.TZ ")
_PLUS, _ZERO, _NINE = ord("+"), ord("0"), ord("9")

_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
_DAYS_BEFORE = np.cumsum([0, *_DAYS[:-1]])
_DAYS_TO_1970 = 719_162  # from 0001-01-01, in the calendar that Gregory reformed
_MICROSECONDS_A_SECOND = 1_000_000
_FRACTION_DIGITS_MAX = 6  # what is behind them is cut off; the library does it
_WHOLE = 2.0**53


@kernel
def _two_digits(position: int) -> int:
    """Return the number that two digits make, or a large negative number."""
    tens: int = load_byte(position) - _ZERO
    units: int = load_byte(position + 1) - _ZERO
    if 0 <= tens <= 9 and 0 <= units <= 9:
        return tens * 10 + units
    return -1_000_000


@kernel
def iso_microseconds(position: int, end: int) -> int:
    """Return the microseconds since 1970 of the time spelled between two positions, or ``NO_TIME``.

    ``YYYY-MM-DD``, then perhaps ``T`` or a blank and ``HH:MM``, ``HH:MM:SS`` or ``HH:MM:SS.f`` with up to
    six digits, then perhaps ``Z``, ``+HH:MM`` or ``-HH:MM``. Without an offset: UTC.
    """
    length = end - position
    if length < 10 or load_byte(position + 4) != _HYPHEN or load_byte(position + 7) != _HYPHEN:
        return NO_TIME
    year = _two_digits(position) * 100 + _two_digits(position + 2)
    month, day = _two_digits(position + 5), _two_digits(position + 8)
    if year < 1 or not 1 <= month <= 12:
        return NO_TIME
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not 1 <= day <= _DAYS[month] + (month == 2 and leap):
        return NO_TIME
    past = year - 1
    days = past * 365 + past // 4 - past // 100 + past // 400 - _DAYS_TO_1970
    days += _DAYS_BEFORE[month] + (month > 2 and leap) + day - 1
    time_us = days * 86_400 * _MICROSECONDS_A_SECOND
    if length > 10:
        separator = load_byte(position + 10)
        if separator != _LETTER_T and separator != _SPACE:
            return NO_TIME
        within = _within_the_day(position + 11, end)
        if within == NO_TIME:
            return NO_TIME
        time_us += within
    return time_us if TIME_US_MIN <= time_us <= TIME_US_MAX else NO_TIME


@kernel
def _within_the_day(position: int, end: int) -> int:
    """Return the microseconds of a time of day, less its offset from UTC, or ``NO_TIME``."""
    if end - position < 5 or load_byte(position + 2) != _COLON:
        return NO_TIME
    hour, minute, second = _two_digits(position), _two_digits(position + 3), 0
    fraction_us = 0
    position += 5
    if end - position >= 3 and load_byte(position) == _COLON:
        second = _two_digits(position + 1)
        position += 3
        if end - position >= 2 and load_byte(position) == _POINT:
            position += 1
            unit_us = _MICROSECONDS_A_SECOND
            while position < end and _ZERO <= load_byte(position) <= _NINE:
                if unit_us == 1:
                    return NO_TIME
                unit_us //= 10
                fraction_us += (load_byte(position) - _ZERO) * unit_us
                position += 1
            if unit_us == _MICROSECONDS_A_SECOND:
                return NO_TIME
    offset_minutes = 0
    if end - position == 1 and load_byte(position) == _LETTER_Z:
        position += 1
    elif end - position == 6 and load_byte(position + 3) == _COLON:
        sign = load_byte(position)
        ahead_hours, ahead_minutes = _two_digits(position + 1), _two_digits(position + 4)
        if (sign != _PLUS and sign != _HYPHEN) or not 0 <= ahead_hours <= 23 or not 0 <= ahead_minutes <= 59:
            return NO_TIME
        offset_minutes = ahead_hours * 60 + ahead_minutes
        if sign == _HYPHEN:
            offset_minutes = -offset_minutes
        position += 6
    if position != end or not (0 <= hour <= 23 and 0 <= minute <= 59 and 0 <= second <= 59):
        return NO_TIME
    seconds = hour * 3600 + (minute - offset_minutes) * 60 + second
    return seconds * _MICROSECONDS_A_SECOND + fraction_us


@kernel
def epoch_microseconds(mantissa: np.uint64, exponent: int, written: int, negative: bool, scale: int) -> int:
    """Return a number of ``1 / scale`` microseconds-a-second units since 1970 in microseconds, or ``NO_TIME``.

    Parameters
    ----------
    mantissa, exponent, written
        As ``scan_number`` returns them.
    scale
        Microseconds in one unit.
    """
    if written == LONG:
        return NO_TIME
    largest = TIME_US_MAX // scale + 1  # what is larger is out of range
    if written == INTEGER:
        if mantissa > np.uint64(largest):
            return NO_TIME
        time_us = signed(mantissa) * scale
    else:
        value, sure = nearest_float(mantissa, exponent)
        if not sure or value > largest:
            return NO_TIME
        if value >= _WHOLE or value == np.floor(value):
            time_us = int(value) * scale
        else:
            time_us = int(np.rint(value * scale))
    if negative:
        time_us = -time_us
    return time_us if TIME_US_MIN <= time_us <= TIME_US_MAX else NO_TIME
