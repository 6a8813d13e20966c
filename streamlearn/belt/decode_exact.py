"""The definition of decoding: one message at a time, in the obvious way.

What this module says of a message is what the decoder says of it; ``decode.py`` only says it faster, and
a property test holds the two together. Nothing of a message that the contract does not name is looked at,
but for this: the whole message must be one JSON document in UTF-8.

Upholds: a message is judged by its bytes and the config alone (not by stack depth, neighbours or clocks),
so a replay rejects what the first run rejected (`replay_equals_run`).
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NamedTuple

import msgspec
import numpy as np

from streamlearn.belt.decode_fields import Refused, Rule
from streamlearn.events import Reason

# Parsers give up at a depth that depends on the stack they stand on. This depth, in brackets open at
# once, is below all of them (serde_json takes the same), so that every run judges alike.
NESTING_MAX = 128

DETAIL_CHARACTERS_MAX = 200
_EXCERPT_BYTES = 40

JSON_WHITE_SPACE = b" \t\n\r"

# A string that never ends is one match, too: were it none, every quote within would start a search of
# its own to the end of the message. Possessive, so nothing is remembered for going back.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[{]}"))


class Rejected(NamedTuple):
    """Why a message is no event: the reason, and a short text for people."""

    reason: Reason
    detail: str


class ExactDecoder:
    """Decodes single messages.

    Parameters
    ----------
    ruled
        The contract, in the order of checks (``decode_fields.rules``).
    message_bytes_max
        A longer message is rejected, in bytes.

    >>> from streamlearn.belt.decode_fields import rules
    >>> from streamlearn.config import Event
    >>> decoder = ExactDecoder(rules(Event(label="y", numeric=("x",)), "binary"), 1000)
    >>> decoder.decode(b'{"x": 2, "y": true, "z": [0]}')
    {'label': 'true', 'numeric/x': 2.0}
    >>> decoder.decode(b'{"x": "two"}')
    Rejected(reason=<Reason.WRONG_TYPE: 9>, detail='x must be a number or a boolean; found "two"')
    """

    def __init__(self, ruled: tuple[Rule, ...], message_bytes_max: int) -> None:
        self._rules = ruled
        self._message_bytes_max = message_bytes_max
        # Raw values: a number that nobody asked for is not evaluated, so it cannot be out of range.
        self._document = msgspec.json.Decoder(msgspec.Raw)
        self._fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
        # No rule admits an array or an object, so none is built, however large.
        self._value = msgspec.json.Decoder(str | int | float | bool | None)

    def decode(self, message: bytes | None) -> dict[str, Any] | Rejected:
        """Return the typed columns of one message, or why it is rejected.

        Never raises on any bytes; takes time linear in their number.
        """
        unfit = self._unfit(message)
        if unfit is not None:
            return unfit
        assert message is not None
        try:
            fields = self._fields.decode(message)
        except msgspec.DecodeError:
            return self._no_object(message)
        row: dict[str, Any] = {}
        for rule in self._rules:
            raw = fields.get(rule.field)
            value = None if raw is None else self._read(raw)
            if raw is None or value is None:
                if rule.missing is not None:
                    found = "no such field" if raw is None else "null"
                    return Rejected(
                        rule.missing, _clip(f"{_name(rule.field)} must have a value; found {found}")
                    )
                row[rule.column] = None
                continue
            try:
                row[rule.column] = rule.read(value)
            except Refused as refused:
                found = _excerpt(bytes(raw))
                return Rejected(
                    refused.reason, _clip(f"{_name(rule.field)} must be {refused.expected}; found {found}")
                )
        return row

    def _unfit(self, message: bytes | None) -> Rejected | None:
        """Return why a message is not worth parsing, or None."""
        if message is None:
            return Rejected(Reason.TOMBSTONE, "the value is null")
        if not message.strip(JSON_WHITE_SPACE):
            return Rejected(Reason.EMPTY, "the value has no bytes, or only white space")
        if len(message) > self._message_bytes_max:
            size = f"{len(message)} bytes; event.message_bytes_max is {self._message_bytes_max}"
            return Rejected(Reason.OVERSIZED, size)
        try:
            message.decode()
        except UnicodeDecodeError as error:
            found = f"byte 0x{message[error.start]:02x} at {error.start} is not UTF-8: {error.reason}"
            return Rejected(Reason.INVALID_UTF8, _clip(found))
        if nests_too_deep(message):
            return Rejected(Reason.NESTING_TOO_DEEP, f"more than {NESTING_MAX} brackets are open at once")
        return None

    def _no_object(self, message: bytes) -> Rejected:
        """Return why a message is not one JSON object."""
        try:
            self._document.decode(message)
        except msgspec.DecodeError as error:
            return _why_no_document(message.decode(), str(error))
        return Rejected(Reason.NOT_AN_OBJECT, _clip(f"must be a JSON object; found {_excerpt(message)}"))

    def _read(self, raw: msgspec.Raw) -> Any:
        try:
            return self._value.decode(raw)
        except msgspec.ValidationError:
            # Its grammar was checked with the document: it is an array, an object, or else a number
            # that no float64 (or 4300 digits) can hold.
            return [] if bytes(raw).lstrip(JSON_WHITE_SPACE)[:1] in (b"[", b"{") else math.inf


def nests_too_deep(message: bytes) -> bool:
    """Return whether more than ``NESTING_MAX`` brackets are open at once, those in strings apart.

    >>> nests_too_deep(b"[" * 128), nests_too_deep(b"[" * 129), nests_too_deep(b'"' + b"[" * 999 + b'"')
    (False, True, False)
    """
    if message.count(b"[") + message.count(b"{") <= NESTING_MAX:
        return False
    steps = _STRING.sub(b"", message).translate(_STEPS, _NO_BRACKETS)
    depth = np.cumsum(np.frombuffer(steps, np.int8), dtype=np.int64)
    return depth.size > 0 and int(depth.max()) > NESTING_MAX


def _why_no_document(text: str, objection: str) -> Rejected:
    # A second, more lenient parser explains what the first one refused; numbers are not converted.
    constants: list[str] = []
    lenient = json.JSONDecoder(parse_constant=constants.append, parse_int=len, parse_float=len)
    white_space = JSON_WHITE_SPACE.decode()
    try:
        _, end = lenient.raw_decode(text, len(text) - len(text.lstrip(white_space)))
    except json.JSONDecodeError:
        return Rejected(Reason.INVALID_JSON, _clip(objection))
    if text[end:].strip(white_space):
        behind = _excerpt(text[end:].lstrip(white_space)[:_EXCERPT_BYTES].encode())
        return Rejected(Reason.TRAILING_DATA, _clip(f"one document must be all; found {behind} behind it"))
    if constants:
        return Rejected(Reason.NON_FINITE, f"the literal {constants[0]} is no JSON number")
    return Rejected(Reason.INVALID_JSON, _clip(objection))


def _name(field: str) -> str:
    return field if len(field) <= 80 else field[:79] + "…"


def _excerpt(raw: bytes) -> str:
    raw = raw.strip(JSON_WHITE_SPACE)
    # Cutting bytes may cut a character in two; the half is dropped. White space may be line ends.
    text = " ".join(raw[:_EXCERPT_BYTES].decode(errors="ignore").split())
    return text if len(raw) <= _EXCERPT_BYTES else f"{text}… ({len(raw)} bytes)"


def _clip(text: str) -> str:
    return text if len(text) <= DETAIL_CHARACTERS_MAX else text[: DETAIL_CHARACTERS_MAX - 1] + "…"
