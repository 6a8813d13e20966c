"""What the rules of the event contract make of a value, in compiled code: a cell of a column, or doubt.

``decode_fields`` is where the rules are written; these kernels know them for the values that most messages
hold, and doubt the rest. They write what the rule would return, bit for bit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streamlearn.belt.decode_fields import TEXT_BYTES_MAX
from streamlearn.belt.scan_intrinsics import load_byte, load_int, store_byte, store_float, store_int
from streamlearn.belt.scan_names import UNKNOWN, find_name
from streamlearn.belt.scan_numbers import INTEGER, LONG, REAL, nearest_float, scan_number
from streamlearn.belt.scan_times import NO_TIME, epoch_microseconds, iso_microseconds
from streamlearn.belt.scan_values import (
    LETTER_F,
    LETTER_N,
    LETTER_T,
    MINUS,
    NINE,
    QUOTE,
    ZERO,
    is_false,
    is_null,
    is_true,
    scan_text,
)
from streamlearn.native import inlined, kernel

# What a rule makes of a value: a float (up to TARGET), a text (up to ID), or a time.
NUMBER = 0  # float64; booleans are 1.0 and 0.0
TARGET = 1  # float64; the one column of its kind
CATEGORY = 2  # text
TOKEN = 3  # a JSON token: of a text, a boolean or an integer
CLASS = 4  # the same, and of an integral number; of the known classes alone
ID = 5  # a JSON token: of a text or an integer
ISO_TIME = 6
EPOCH_TIME = 7

# What a rule holds, in bytes from its begin. COLUMN counts among its like; SAME_FIELD is the address of the
# next rule that reads this field, or LAST.
ROLE, COLUMN, SAME_FIELD, REQUIRED, SCALE, RULE_BYTES = 0, 8, 16, 24, 32, 40
LAST = 0

ABSENT = -1  # instead of a text's length: null

_EXACT_DIGITS_MAX = 15  # an integral number of so many digits is below 2**53
_POINT = ord(".")
_NOTHING = np.uint64(0)


class Plan(NamedTuple):
    """An event contract as the kernel reads it: addresses of tables, and their sizes."""

    first_rules: int  # an int64 a field: the address of its first rule
    places: int  # an int64 a field: see ``scan_run``
    fields: int
    names: int  # a NamesTable of the fields
    names_slots: int
    classes: int  # a NamesTable of the known classes' tokens
    classes_slots: int


class Targets(NamedTuple):
    """Where the kernel writes: addresses of arrays, and how they are laid out."""

    numbers: int  # float64, the numbers of a row side by side; NaN: null
    row_bytes: int  # from the numbers of a row to those of the next
    targets: int  # float64; NaN: null
    times_us: int  # int64
    text_at: int  # int64: the address of a text's first byte
    text_length: int  # int64: bytes, or ABSENT
    column_bytes: int  # from a column of text_at or text_length to the next
    text_nulls: int  # a byte a column: whether there may be a null
    doubtful: int  # a byte a row; a row that is doubtful from the start is not looked at
    seen: int  # an int64 a field, less than any row: scratch
    joints: int  # zeros: scratch
    joints_bytes: int


# Kernels take both as the address of their members, an int64 each, and no tuples: Numba's cache cannot read
# a signature again that names a type which a later version has not.
FIRST_RULES, PLACES, FIELDS, NAMES, NAMES_SLOTS, _CLASSES, _CLASSES_SLOTS = range(0, 8 * len(Plan._fields), 8)
(
    NUMBERS,
    ROW_BYTES,
    _TARGETS,
    _TIMES_US,
    _TEXT_AT,
    _TEXT_LENGTH,
    _COLUMN_BYTES,
    _TEXT_NULLS,
    DOUBTFUL,
    SEEN,
    JOINTS,
    JOINTS_BYTES,
) = range(0, 8 * len(Targets._fields), 8)


@inlined
def read_value(position: int, end: int, row: int, rule: int, plan: int, targets: int) -> int:
    """Return the position behind a value, read by a field's rules; -1: one of them may refuse it."""
    byte = load_byte(position)
    sure = False
    after = position
    if (byte >= ZERO) & (byte <= NINE) | (byte == MINUS):  # one branch: signs cannot be guessed
        after, mantissa, exponent, written = scan_number(position, end)
        if after < 0:
            return -1
        sure = _write_number(position, after, mantissa, exponent, written, row, rule, plan, targets)
    elif byte == QUOTE:
        after, escaped = scan_text(position + 1, end)
        sure = after >= 0 and not escaped and _write_text(position, after, row, rule, plan, targets)
    elif byte == LETTER_T and is_true(position):
        after = position + 4
        sure = _write_boolean(position, after, 1.0, row, rule, plan, targets)
    elif byte == LETTER_F and is_false(position):
        after = position + 5
        sure = _write_boolean(position, after, 0.0, row, rule, plan, targets)
    elif byte == LETTER_N and is_null(position):
        after = position + 4
        sure = write_null(row, rule, targets)
    return after if sure else -1


@inlined
def _write_number(
    start: int,
    stop: int,
    mantissa: np.uint64,
    exponent: int,
    written: int,
    row: int,
    rule: int,
    plan: int,
    targets: int,
) -> bool:
    negative = load_byte(start) == MINUS
    while rule != LAST:
        role, column = load_int(rule + ROLE), load_int(rule + COLUMN)
        if role <= TARGET:
            if written == LONG:
                return False
            value, sure = nearest_float(mantissa, exponent)
            if not sure:
                return False
            # The integer -0 is 0.
            if negative and (written == REAL or mantissa != _NOTHING):
                value = -value
            _put_float(value, row, role, column, targets)
        elif role == EPOCH_TIME:
            time_us = epoch_microseconds(mantissa, exponent, written, negative, load_int(rule + SCALE))
            if time_us == NO_TIME:
                return False
            store_int(load_int(targets + _TIMES_US) + 8 * row, time_us)
        elif role == ISO_TIME or (role != CATEGORY and role != CLASS and written != INTEGER):
            return False
        else:
            # A number's text is the one of the integer that it is; "-0" is no integer's.
            length = stop - start
            if written == REAL:
                length = _integral_length(start, stop)
            if length < 0 or written == LONG or (negative and mantissa == _NOTHING):
                return False
            if not _put_text(start, length, row, role, column, plan, targets):
                return False
        rule = load_int(rule + SAME_FIELD)
    return True


@kernel
def _integral_length(start: int, stop: int) -> int:
    """Return the length of a number's integer part where nothing but zeros is behind its point, or -1."""
    point = start
    while point < stop and load_byte(point) != _POINT:
        point += 1
    for position in range(point + 1, stop):
        if load_byte(position) != ZERO:
            return -1
    length = point - start
    return length if point < stop and length <= _EXACT_DIGITS_MAX else -1


@kernel
def _write_text(start: int, stop: int, row: int, rule: int, plan: int, targets: int) -> bool:
    if stop - start - 2 > TEXT_BYTES_MAX:
        return False
    while rule != LAST:
        role, column = load_int(rule + ROLE), load_int(rule + COLUMN)
        if role == CATEGORY:
            _put(start + 1, stop - start - 2, row, column, targets)
        elif TOKEN <= role <= ID:
            if not _put_text(start, stop - start, row, role, column, plan, targets):
                return False
        elif role == ISO_TIME:
            time_us = iso_microseconds(start + 1, stop - 1)
            if time_us == NO_TIME:
                return False
            store_int(load_int(targets + _TIMES_US) + 8 * row, time_us)
        else:
            return False
        rule = load_int(rule + SAME_FIELD)
    return True


@kernel
def _write_boolean(
    start: int,
    stop: int,
    value: float,
    row: int,
    rule: int,
    plan: int,
    targets: int,
) -> bool:
    while rule != LAST:
        role, column = load_int(rule + ROLE), load_int(rule + COLUMN)
        if role == NUMBER:
            _put_float(value, row, role, column, targets)
        elif CATEGORY <= role <= CLASS:
            if not _put_text(start, stop - start, row, role, column, plan, targets):
                return False
        else:
            return False
        rule = load_int(rule + SAME_FIELD)
    return True


@kernel
def write_null(row: int, rule: int, targets: int) -> bool:
    """Write null by a field's rules; return False where one of them may refuse it."""
    while rule != LAST:
        if load_int(rule + REQUIRED):
            return False
        role, column = load_int(rule + ROLE), load_int(rule + COLUMN)
        if role <= TARGET:
            _put_float(np.nan, row, role, column, targets)
        else:
            _put(0, ABSENT, row, column, targets)
            store_byte(load_int(targets + _TEXT_NULLS) + column, 1)
        rule = load_int(rule + SAME_FIELD)
    return True


@kernel
def _put_text(start: int, length: int, row: int, role: int, column: int, plan: int, targets: int) -> bool:
    """Write a text or token; refuse a class that is not known."""
    if (
        role == CLASS
        and find_name(load_int(plan + _CLASSES), load_int(plan + _CLASSES_SLOTS), start, length) == UNKNOWN
    ):
        return False
    _put(start, length, row, column, targets)
    return True


@inlined
def _put_float(value: float, row: int, role: int, column: int, targets: int) -> None:
    if role == NUMBER:
        store_float(load_int(targets + NUMBERS) + row * load_int(targets + ROW_BYTES) + 8 * column, value)
    else:
        store_float(load_int(targets + _TARGETS) + 8 * row, value)


@inlined
def _put(start: int, length: int, row: int, column: int, targets: int) -> None:
    cell = column * load_int(targets + _COLUMN_BYTES) + 8 * row
    store_int(load_int(targets + _TEXT_AT) + cell, start)
    store_int(load_int(targets + _TEXT_LENGTH) + cell, length)
