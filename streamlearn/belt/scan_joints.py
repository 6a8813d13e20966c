"""What stands between two values of a message, in compiled code: brackets, commas, keys, colons, white space.

A **joint** is those bytes, from the end of one value to the begin of the next (or to the end of the
message). Producers repeat themselves, so each joint is remembered with the joints that followed it, and the
next message's bytes are compared with those, eight at a time, before anybody looks at them one by one. So
keys may come in any order and with any spacing, fields may be absent, and a new shape costs its first
message a little time.

A joint is remembered by where it stood in this very batch: nothing outlives a call, and what is remembered
can change the speed only, since equal bytes after a value mean an equal thing.
"""

from __future__ import annotations

from streamlearn.belt.scan_intrinsics import load_byte, load_int, signed, store_int
from streamlearn.belt.scan_names import equal_bytes, find_name, hash_bytes
from streamlearn.belt.scan_values import (
    CLOSE_OBJECT,
    COLON,
    COMMA,
    OPEN_OBJECT,
    QUOTE,
    SPACE,
    scan_text,
    skip_white,
)
from streamlearn.native import inlined, kernel

NONE = 0  # instead of a joint: there is none, surely

END = -2  # instead of a field: the joint ends the message

# What is known of a joint, in bytes from its begin; one joint takes one cache line.
_AT, _LENGTH, _FIELD, _NEXT, _ELSE, _JOINT_BYTES = 0, 8, 16, 24, 32, 64

# The table: the joint before a message's first byte, those that begin a message, all others.
_BEGINNINGS = 8  # a power of two, as is the number of the others
_PROBES = 8


def joints_bytes(fields: int) -> int:
    """Return the size of a table with room for the joints of a few shapes of so many fields.

    It must be zero before the first message.
    """
    return (1 + _BEGINNINGS + (256 << (fields // 64).bit_length())) * _JOINT_BYTES


@inlined
def field_of(joint: int) -> int:
    """Return the field whose value follows a joint, ``UNKNOWN`` or ``END``."""
    field: int = load_int(joint + _FIELD)
    return field


@inlined
def length_of(joint: int) -> int:
    """Return the bytes of a joint."""
    length: int = load_int(joint + _LENGTH)
    return length


@inlined
def expected_after(joint: int) -> int:
    """Return the joint that followed this one last, or ``NONE``."""
    following: int = load_int(joint + _NEXT)
    return following


@inlined
def stands_at(joint: int, position: int, end: int) -> bool:
    """Return whether a joint stands at a position, and a value behind it (or the message's end)."""
    length = load_int(joint + _LENGTH)
    after = position + length
    if after >= end:
        if after > end or load_int(joint + _FIELD) != END:
            return False
    elif load_byte(after) <= SPACE or load_int(joint + _FIELD) == END:
        return False  # with more white space it is another joint
    return equal_bytes(position, load_int(joint + _AT), length)


@inlined
def next_joint(
    table: int, table_bytes: int, names: int, slots: int, previous: int, position: int, end: int
) -> tuple[int, int]:
    """Return the joint at a position and the position behind it; ``NONE`` where no joint surely is.

    Parameters
    ----------
    table, table_bytes
        The joints: address and size.
    names, slots
        The wanted fields' ``NamesTable``.
    previous
        The joint before the value that ends at ``position``; ``table`` itself at a message's begin.
    """
    joint = load_int(previous + _NEXT)
    if joint != NONE:
        if stands_at(joint, position, end):
            return joint, position + load_int(joint + _LENGTH)
        joint = load_int(previous + _ELSE)
        if joint != NONE and stands_at(joint, position, end):
            return joint, position + load_int(joint + _LENGTH)
    after, key, length = _read_joint(previous == table, position, end)
    if after < 0:
        return NONE, end
    joint = _place(table, table_bytes, previous, position, after)
    if load_int(joint + _LENGTH) == 0:
        store_int(joint + _AT, position)
        store_int(joint + _LENGTH, after - position)
        store_int(joint + _FIELD, END if key == NONE else find_name(names, slots, key, length))
        store_int(joint + _NEXT, NONE)
        store_int(joint + _ELSE, NONE)
    if load_int(previous + _NEXT) != joint:
        store_int(previous + _ELSE, load_int(previous + _NEXT))
        store_int(previous + _NEXT, joint)
    return joint, after


@kernel
def _read_joint(begins: bool, position: int, end: int) -> tuple[int, int, int]:
    """Return the position behind the joint at a position (-1: not sure), its key (NONE: it ends) and length."""
    invalid = (-1, NONE, 0)
    position = skip_white(position, end)
    if position >= end:
        return invalid
    byte = load_byte(position)
    ends = byte == CLOSE_OBJECT and not begins
    if not ends:
        if byte != (OPEN_OBJECT if begins else COMMA):
            return invalid
        position = skip_white(position + 1, end)
        if position >= end:
            return invalid
        byte = load_byte(position)
        ends = byte == CLOSE_OBJECT and begins
    if ends:
        position = skip_white(position + 1, end)
        return (position, NONE, 0) if position == end else invalid
    if byte != QUOTE:
        return invalid
    key = position + 1
    position, escaped = scan_text(key, end)
    if position < 0 or escaped:
        return invalid
    length = position - 1 - key
    position = skip_white(position, end)
    if position >= end or load_byte(position) != COLON:
        return invalid
    position = skip_white(position + 1, end)
    return (position, key, length) if position < end else invalid


@kernel
def _place(table: int, table_bytes: int, previous: int, start: int, stop: int) -> int:
    """Return the joint that is as the bytes between two positions, or an empty one (of length 0) for it.

    Where the table is crowded, an older joint gives way, and those that it followed will predict another
    one. That is why joints that begin a message have places of their own: what may follow a value must
    never be taken for what may begin a message, nor the other way round.
    """
    length = stop - start
    hashed = signed(hash_bytes(start, length))
    first = table + _JOINT_BYTES
    last = _BEGINNINGS - 1
    if previous != table:
        first += _BEGINNINGS * _JOINT_BYTES
        last = table_bytes // _JOINT_BYTES - 2 - _BEGINNINGS
    for probe in range(_PROBES):
        place: int = first + ((hashed + probe) & last) * _JOINT_BYTES
        known = load_int(place + _LENGTH)
        if known == 0 or (known == length and equal_bytes(load_int(place + _AT), start, length)):
            return place
    place = first + (hashed & last) * _JOINT_BYTES
    store_int(place + _LENGTH, 0)
    return place
