"""JSON values in compiled code: each byte of a value is checked, also of a value that nobody asked for.

What these kernels pass is valid JSON in UTF-8 by RFC 8259 and RFC 3629. They pass a little less than all
of it: no ``\\u`` escape of a surrogate, no more than ``NESTING_MAX`` brackets open at once.

A position of -1 stands for "not valid, or not sure". A position beyond ``end`` can be returned of a message
that ends within a value; the caller, who wants the message to end with a bracket, finds it wrong.
"""

from __future__ import annotations

import numpy as np

from streamlearn.belt.scan_intrinsics import load_byte, load_word, signed, trailing_zeros
from streamlearn.belt.scan_numbers import scan_number
from streamlearn.native import kernel

NESTING_MAX = 60  # the kinds of open brackets are bits of one word

QUOTE, COMMA, COLON = ord('"'), ord(","), ord(":")
OPEN_OBJECT, CLOSE_OBJECT, OPEN_ARRAY, CLOSE_ARRAY = ord("{"), ord("}"), ord("["), ord("]")
LETTER_T, LETTER_F, LETTER_N = ord("t"), ord("f"), ord("n")
MINUS, ZERO, NINE = ord("-"), ord("0"), ord("9")
SPACE = ord(" ")
_WHITE_SPACE = sum(1 << ord(character) for character in " \t\n\r")  # a bit for each byte that is some
_BACKSLASH, _LETTER_U, _LETTER_D = ord("\\"), ord("u"), ord("d")

_EACH = np.uint64(0x0101010101010101)
_HIGH_BITS = np.uint64(0x8080808080808080)
_QUOTES, _BACKSLASHES, _SPACES = (_EACH * np.uint64(byte) for byte in (QUOTE, _BACKSLASH, SPACE))
_NOTHING = np.uint64(0)
_HALF_WORD = np.uint64(0xFFFFFFFF)
_THREE_BYTES = np.uint64(0xFFFFFF)
_BYTE = np.uint64(8)
_LOWEST = np.uint64(0xFF)
_TRUE, _NULL, _FALSE_TAIL = (
    np.uint64(int.from_bytes(word, "little")) for word in (b"true", b"null", b"alse")
)
_CONTINUATIONS = np.uint64(0x808080)
_CONTINUATION_BITS = np.uint64(0xC0C0C0)

_SIMPLE_ESCAPES = np.zeros(256, np.bool_)
_SIMPLE_ESCAPES[list(b'"\\/bfnrt')] = True
_HEXADECIMAL = np.zeros(256, np.bool_)
_HEXADECIMAL[list(b"0123456789abcdefABCDEF")] = True


@kernel
def skip_white(position: int, end: int) -> int:
    """Return where the white space at a position ends."""
    while position < end:
        byte = load_byte(position)
        if byte > SPACE or not (_WHITE_SPACE >> byte) & 1:
            break
        position += 1
    return position


@kernel
def scan_text(position: int, end: int) -> tuple[int, bool]:
    """Return the position behind the quote that ends a string, and whether there are escapes before it.

    ``position`` is the one behind the quote that begins it.
    """
    escaped = False
    while position < end:
        word = load_word(position)
        quotes = word ^ _QUOTES
        backslashes = word ^ _BACKSLASHES
        # The lowest byte that is marked is a quote, a backslash, a control character or not ASCII.
        stops = (
            ((quotes - _EACH) & ~quotes)
            | ((backslashes - _EACH) & ~backslashes)
            | ((word - _SPACES) & ~word)
            | word
        ) & _HIGH_BITS
        if stops == _NOTHING:
            position += 8
            continue
        position += trailing_zeros(stops) >> 3
        byte = load_byte(position)
        if byte == QUOTE:
            return position + 1, escaped
        if byte >= 0x80:
            position = _scan_character(position)
        elif byte == _BACKSLASH:
            escaped = True
            position = _scan_escape(position)
        else:
            return -1, escaped
        if position < 0:
            return -1, escaped
    return -1, escaped


@kernel
def _scan_character(position: int) -> int:
    """Return the position behind a character of two to four bytes in UTF-8. Source: RFC 3629, section 4."""
    word = load_word(position)
    byte = signed(word & _LOWEST)
    word >>= _BYTE
    second = signed(word & _LOWEST)
    if 0xC2 <= byte <= 0xDF:
        count = 1
        valid = True
    elif 0xE0 <= byte <= 0xEF:
        count = 2
        # Neither longer than needed, nor a surrogate.
        valid = (byte != 0xE0 or second >= 0xA0) and (byte != 0xED or second <= 0x9F)
    elif 0xF0 <= byte <= 0xF4:
        count = 3
        valid = (byte != 0xF0 or second >= 0x90) and (byte != 0xF4 or second <= 0x8F)
    else:
        return -1
    kept = _THREE_BYTES >> np.uint64(8 * (3 - count))
    if not valid or (word ^ _CONTINUATIONS) & _CONTINUATION_BITS & kept != _NOTHING:
        return -1
    return position + 1 + count


@kernel
def _scan_escape(position: int) -> int:
    byte = load_byte(position + 1)
    if _SIMPLE_ESCAPES[byte]:
        return position + 2
    if byte != _LETTER_U:
        return -1
    for i in range(2, 6):
        if not _HEXADECIMAL[load_byte(position + i)]:
            return -1
    if load_byte(position + 2) | 0x20 == _LETTER_D and load_byte(position + 3) > ord("7"):
        return -1
    return position + 6


@kernel
def is_true(position: int) -> bool:
    """Return whether ``true`` stands at a position."""
    stands: bool = load_word(position) & _HALF_WORD == _TRUE
    return stands


@kernel
def is_null(position: int) -> bool:
    """Return whether ``null`` stands at a position."""
    stands: bool = load_word(position) & _HALF_WORD == _NULL
    return stands


@kernel
def is_false(position: int) -> bool:
    """Return whether ``false`` stands at a position; its first letter has been seen."""
    stands: bool = (load_word(position) >> _BYTE) & _HALF_WORD == _FALSE_TAIL
    return stands


@kernel
def skip_value(position: int, end: int) -> int:
    """Return the position behind the JSON value that begins at a position."""
    kinds = 0  # a bit for each open bracket, the innermost lowest: 1 for an object
    depth = 0
    while position < end:
        byte = load_byte(position)
        ended = True
        if byte | 0x20 == OPEN_OBJECT:  # or an array's bracket, which differs by that bit
            if depth == NESTING_MAX:
                return -1
            is_object = byte == OPEN_OBJECT
            position = skip_white(position + 1, end)
            if load_byte(position) == (CLOSE_OBJECT if is_object else CLOSE_ARRAY):
                position += 1
            else:
                depth += 1
                kinds = (kinds << 1) | is_object
                ended = False
                if is_object:
                    position = _skip_key(position, end)
        else:
            position = _skip_scalar(position, end)
        if position < 0:
            return -1
        while ended:
            if depth == 0:
                return position
            position = skip_white(position, end)
            byte = load_byte(position)
            if byte == COMMA:
                ended = False
                position = skip_white(position + 1, end)
                if kinds & 1:
                    position = _skip_key(position, end)
                    if position < 0:
                        return -1
            elif byte == (CLOSE_OBJECT if kinds & 1 else CLOSE_ARRAY):
                position += 1
                depth -= 1
                kinds >>= 1
            else:
                return -1
            if position >= end:
                return -1
    return -1


@kernel
def _skip_scalar(position: int, end: int) -> int:
    byte = load_byte(position)
    if byte == QUOTE:
        position, _ = scan_text(position + 1, end)
        return position
    if ZERO <= byte <= NINE or byte == MINUS:
        position, _, _, _ = scan_number(position, end)
        return position
    if byte == LETTER_T and is_true(position):
        return position + 4
    if byte == LETTER_N and is_null(position):
        return position + 4
    if byte == LETTER_F and is_false(position):
        return position + 5
    return -1


@kernel
def _skip_key(position: int, end: int) -> int:
    """Return the position of the value behind a key and its colon."""
    if position >= end or load_byte(position) != QUOTE:
        return -1
    position, _ = scan_text(position + 1, end)
    if position < 0:
        return -1
    position = skip_white(position, end)
    if load_byte(position) != COLON:
        return -1
    return skip_white(position + 1, end)
