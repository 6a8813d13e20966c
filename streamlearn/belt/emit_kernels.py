"""Writes predictions as JSON, compiled: from columns to one buffer, without a Python object an event.

Everything that needs escaping comes here escaped already, as JSON tokens; numbers come as text. Shape letters:
B events, C classes, N bytes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streamlearn.belt.scan_gather import copy_bytes
from streamlearn.events import Bool_B, Code_B, Int_B
from streamlearn.native import inlined, kernel

Byte_N = npt.NDArray[np.uint8]

DIGITS_MAX = 19  # of an int64
TIME_BYTES = 27  # 2013-01-01T10:00:00.123456Z


def _piece(text: bytes) -> Byte_N:
    return np.frombuffer(text, np.uint8)


_OFFSET, _ROW, _ID = _piece(b',"offset":'), _piece(b',"row":'), _piece(b',"id":')
_TIME, _VERSION = _piece(b',"event_time":"'), _piece(b',"version":')
_PREDICTION, _PROBABILITIES = _piece(b',"prediction":'), _piece(b',"probabilities":')
_NULL = _piece(b"null")
# What a record has beside its values, at most: pieces, four integers, a time, brackets and nulls.
FIXED_BYTES = 110 + 5 * DIGITS_MAX + TIME_BYTES

_QUOTE, _COMMA, _OPEN, _CLOSE = ord('"'), ord(","), ord("{"), ord("}")
_ZERO, _MINUS, _COLON, _POINT = ord("0"), ord("-"), ord(":"), ord(".")
_DAY_US, _SECOND_US = 86_400_000_000, 1_000_000
_TEN = np.uint64(10)


@kernel
def write_records(
    topic_B: npt.NDArray[np.int16],
    head_ends: Int_B,
    heads: Byte_N,
    partition_B: Code_B,
    offset_B: Int_B,
    row_B: Code_B,
    id_ends: Int_B,
    ids: Byte_N,
    is_id_B: Bool_B,
    time_us_B: Int_B,
    model: Byte_N,
    version_B: Int_B,
    class_B: Code_B,
    token_ends: Int_B,
    tokens: Byte_N,
    name_ends: Int_B,
    names: Byte_N,
    number_ends: Int_B,
    numbers: Byte_N,
    is_number: Bool_B,
    record_ends: Int_B,
    records: Byte_N,
) -> int:
    """Write one record an event; return the bytes written.

    Parameters
    ----------
    topic_B
        Index into ``heads``: what a record begins with, its partition next.
    row_B
        Place in the event's message; of length 0 where a message is one event.
    id_ends, ids, is_id_B
        The events' ids as JSON tokens; where there is none, null.
    model
        What comes behind the event's time: its closing quote, and the model.
    class_B, token_ends, tokens
        The predicted class, as an index into JSON tokens, below 0 for null; ``class_B`` is of length 0 where a
        number is predicted.
    name_ends, names
        For each class its name as JSON, with a colon; none where there are no probabilities.
    number_ends, numbers, is_number
        The shares, C an event, or the predicted numbers; null where not ``is_number``.
    record_ends, records
        Take B + 1 offsets and the records; ``records`` has room for the longest that there may be.
    """
    at = 0
    classes = len(name_ends) - 1
    record_ends[0] = 0
    for event in range(len(topic_B)):
        topic = topic_B[event]
        at = _put(records, at, heads, head_ends[topic], head_ends[topic + 1])
        at = _put_integer(records, at, partition_B[event])
        at = _put(records, at, _OFFSET, 0, len(_OFFSET))
        at = _put_integer(records, at, offset_B[event])
        if len(row_B):
            at = _put(records, at, _ROW, 0, len(_ROW))
            at = _put_integer(records, at, row_B[event])
        at = _put(records, at, _ID, 0, len(_ID))
        if is_id_B[event]:
            at = _put(records, at, ids, id_ends[event], id_ends[event + 1])
        else:
            at = _put(records, at, _NULL, 0, len(_NULL))
        at = _put(records, at, _TIME, 0, len(_TIME))
        at = _put_time(records, at, time_us_B[event])
        at = _put(records, at, model, 0, len(model))
        at = _put(records, at, _VERSION, 0, len(_VERSION))
        at = _put_integer(records, at, version_B[event])
        at = _put(records, at, _PREDICTION, 0, len(_PREDICTION))
        if len(class_B) == 0 and is_number[event]:
            at = _put(records, at, numbers, number_ends[event], number_ends[event + 1])
        elif len(class_B) and class_B[event] >= 0:
            token = class_B[event]
            at = _put(records, at, tokens, token_ends[token], token_ends[token + 1])
        else:
            at = _put(records, at, _NULL, 0, len(_NULL))
        at = _put(records, at, _PROBABILITIES, 0, len(_PROBABILITIES))
        shares = 0
        for each in range(classes):
            number = event * classes + each
            if not is_number[number]:
                continue
            records[at] = _COMMA if shares else _OPEN
            at = _put(records, at + 1, names, name_ends[each], name_ends[each + 1])
            at = _put(records, at, numbers, number_ends[number], number_ends[number + 1])
            shares += 1
        if shares:
            records[at] = _CLOSE
            at += 1
        else:
            at = _put(records, at, _NULL, 0, len(_NULL))
        records[at] = _CLOSE
        at += 1
        record_ends[event + 1] = at
    return at


@inlined
def _put(records: Byte_N, at: int, piece: Byte_N, start: int, stop: int) -> int:
    copy_bytes(piece.ctypes.data + start, stop - start, records.ctypes.data + at)
    return at + stop - start


@inlined
def _put_digits(records: Byte_N, at: int, value: int, digits: int) -> int:
    rest = np.uint64(value)  # a signed division takes twice as long
    for place in range(at + digits - 1, at - 1, -1):
        next_rest = rest // _TEN
        records[place] = _ZERO + np.int64(rest - next_rest * _TEN)
        rest = next_rest
    return at + digits


@kernel
def _put_integer(records: Byte_N, at: int, value: int) -> int:
    """Write an integer that is not negative: a partition, an offset, a row, a version."""
    digits, bound = 1, 10
    while digits < DIGITS_MAX and value >= bound:
        digits, bound = digits + 1, bound * 10
    return _put_digits(records, at, value, digits)


@kernel
def _put_time(records: Byte_N, at: int, time_us: int) -> int:
    """Write a time as ISO 8601 in UTC, with microseconds; of the years 1 to 9999.

    The day's date as in H. Hinnant, chrono-compatible low-level date algorithms (civil_from_days).
    """
    days, within_us = time_us // _DAY_US, time_us % _DAY_US
    since = days + 719_468  # 0000-03-01: a year that begins in March has its leap day at its end
    era, day_of_era = since // 146_097, since % 146_097
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted_month = (5 * day_of_year + 2) // 153
    month = shifted_month + 3 if shifted_month < 10 else shifted_month - 9
    year = year_of_era + era * 400 + (1 if month <= 2 else 0)
    at = _put_digits(records, at, year, 4)
    records[at] = _MINUS
    at = _put_digits(records, at + 1, month, 2)
    records[at] = _MINUS
    at = _put_digits(records, at + 1, day_of_year - (153 * shifted_month + 2) // 5 + 1, 2)
    records[at] = ord("T")
    seconds = within_us // _SECOND_US
    at = _put_digits(records, at + 1, seconds // 3600, 2)
    records[at] = _COLON
    at = _put_digits(records, at + 1, seconds // 60 % 60, 2)
    records[at] = _COLON
    at = _put_digits(records, at + 1, seconds % 60, 2)
    records[at] = _POINT
    at = _put_digits(records, at + 1, within_us % _SECOND_US, 6)
    records[at] = ord("Z")
    return at + 1
