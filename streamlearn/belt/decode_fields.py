"""How one JSON value becomes one typed value, field by field, as the event contract says.

A ``Rule`` reads one field into one column; ``rules`` lists them in the order in which they are checked
(id, time, label, features), so the reason of a rejection does not depend on the order of a message's
keys. Both routes of the decoder use these rules and no others: what a value means is written once.

Values are ``bool``, ``int``, ``float`` and ``str``; an infinity stands for a number that the parser could
not hold, and a list for anything that is no scalar.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, assert_never

import msgspec

from streamlearn.config import Event, Task
from streamlearn.events import CATEGORICAL_PREFIX, NUMERIC_PREFIX, Reason

# An id, a label or a category is a name; a longer text is a payload that went into the wrong field, and
# state that is kept for each distinct value would grow with it.
TEXT_BYTES_MAX = 1024

# 2**3402 is the first power of two above 10**1024: a larger integer has more digits than the bound
# admits, and is refused before it is spelled out (which Python itself refuses beyond 4300 digits).
_INTEGER_BITS_MAX = 3402

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
TIME_US_MIN = -62_135_596_800_000_000  # 0001-01-01T00:00:00Z
TIME_US_MAX = 253_402_300_799_999_999  # 9999-12-31T23:59:59.999999Z

_SCALE = {"epoch_seconds": 1_000_000, "epoch_milliseconds": 1_000, "epoch_microseconds": 1}


class Refused(Exception):
    """A value that its rule does not admit. It never leaves the decoder, which makes it a value.

    Parameters
    ----------
    reason
        What the event is rejected for.
    expected
        What the rule admits, to be read after "must be".
    """

    def __init__(self, reason: Reason, expected: str) -> None:
        super().__init__(reason, expected)
        self.reason = reason
        self.expected = expected


@dataclass(frozen=True, slots=True)
class Rule:
    """Reads one field of the document into one column of the event batch."""

    field: str
    column: str
    role: Literal["id", "time", "label", "number", "category"]
    kinds: frozenset[type]  # the Python types that ``read`` may admit
    read: Callable[[Any], Any]  # typed value of a value that is not None; raises Refused
    missing: Reason | None  # what an absent or null field is refused for; None: the column is null


def rules(event: Event, task: Task) -> tuple[Rule, ...]:
    """Return the rules of an event contract in the order in which they are checked.

    >>> event = Event(label="late", id="flight", numeric=("distance",), categorical=("carrier",))
    >>> [rule.column for rule in rules(event, "binary")]
    ['id', 'label', 'numeric/distance', 'categorical/carrier']
    """
    ruled: list[Rule] = []
    scalar = frozenset({str, int, float, bool})
    number = frozenset({int, float, bool})
    if event.id is not None:
        ruled.append(Rule(event.id, "id", "id", frozenset({str, int}), id_token, Reason.MISSING_ID))
    if event.time is not None:
        iso = event.time_format == "iso8601"
        kinds = frozenset({str}) if iso else frozenset({int, float})
        ruled.append(Rule(event.time, "time_us", "time", kinds, time_reader(event), Reason.MISSING_TIME))
    if event.label is not None:
        kinds = frozenset({int, float}) if task == "regression" else scalar
        ruled.append(Rule(event.label, "label", "label", kinds, label_reader(event, task), None))
    missing = Reason.MISSING_FEATURE if event.missing == "reject" else None
    ruled += [Rule(name, NUMERIC_PREFIX + name, "number", number, real, missing) for name in event.numeric]
    ruled += [
        Rule(name, CATEGORICAL_PREFIX + name, "category", scalar, category, missing)
        for name in event.categorical
    ]
    return tuple(ruled)


def real(value: Any) -> float:
    """Return a numeric feature as float64; booleans are 1.0 and 0.0.

    Raises Refused with WRONG_TYPE, or with NON_FINITE where float64 cannot hold the number.

    >>> real(True), real(3)
    (1.0, 3.0)
    """
    if not isinstance(value, (float, int)):
        raise Refused(Reason.WRONG_TYPE, "a number or a boolean")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Refused(Reason.NON_FINITE, "a number that float64 can hold")
    return number


def category(value: Any) -> str:
    """Return a category's text: ``5``, ``5.0`` and ``"5"`` are one category.

    Raises Refused with WRONG_TYPE (also for a text of more than ``TEXT_BYTES_MAX`` bytes), or NON_FINITE.

    >>> category("AA"), category(5.0), category(True)
    ('AA', '5', 'true')
    """
    expected = "text, an integer or a boolean"
    if isinstance(value, str):
        return _bounded(value, Reason.WRONG_TYPE)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Refused(Reason.NON_FINITE, expected)
        if not value.is_integer():
            raise Refused(Reason.WRONG_TYPE, expected)
        value = int(value)
    if isinstance(value, int):
        return _integer_text(value, Reason.WRONG_TYPE)
    raise Refused(Reason.WRONG_TYPE, expected)


def id_token(value: Any) -> str:
    """Return an event's id as a canonical JSON token. Raises Refused with BAD_ID.

    >>> id_token("UA 1545"), id_token(7)
    ('"UA 1545"', '7')
    """
    if isinstance(value, str):
        return text_token(_bounded(value, Reason.BAD_ID))
    if isinstance(value, int) and not isinstance(value, bool):
        return _integer_text(value, Reason.BAD_ID)
    raise Refused(Reason.BAD_ID, "text or an integer")


def text_token(text: str) -> str:
    """Return a text as JSON, escaped only where JSON demands it.

    >>> print(text_token('a "quoted" é'))
    "a \\"quoted\\" é"
    """
    return msgspec.json.encode(text).decode()


def time_reader(event: Event) -> Callable[[Any], int]:
    """Return what reads an event time into microseconds since 1970 in UTC.

    The function that is returned raises Refused with BAD_TIME, also outside the years 1 to 9999.

    >>> time_reader(Event(time="at", numeric=("x",)))("2013-01-01T05:15:00-05:00")
    1357035300000000
    >>> time_reader(Event(time="at", time_format="epoch_seconds", numeric=("x",)))(1.5)
    1500000
    """
    scale = time_scale(event)
    if scale is None:
        return _iso_microseconds

    def epoch_microseconds(value: Any) -> int:
        if not isinstance(value, (float, int)) or isinstance(value, bool) or value in (math.inf, -math.inf):
            raise Refused(Reason.BAD_TIME, f"a number ({event.time_format})")
        # An integral float takes the way of an integer, so that 5 and 5.0 are one instant to the last bit.
        if isinstance(value, float) and not value.is_integer():
            return _in_range(round(value * scale))
        return _in_range(int(value) * scale)

    return epoch_microseconds


def time_scale(event: Event) -> int | None:
    """Return the microseconds in a unit of an event time that is a number; None where it is text.

    >>> time_scale(Event(time="at", time_format="epoch_milliseconds", numeric=("x",)))
    1000
    """
    return None if event.time_format == "iso8601" else _SCALE[event.time_format]


def label_reader(event: Event, task: Task) -> Callable[[Any], float | str]:
    """Return what reads a label: float64 for regression, else a canonical JSON token.

    The function that is returned raises Refused with BAD_LABEL, or NON_FINITE for a regression target.

    >>> read = label_reader(Event(label="late", numeric=("x",)), "binary")
    >>> read(True), read(1), read(0.0)
    ('true', '1', '0')
    """
    if task == "regression":
        return _target
    known = class_tokens(event, task)
    if event.classes is not None and known is not None:

        def known_class(value: Any) -> str:
            token = _label_token(int(value)) if _is_integral_float(value) else _label_token(value)
            if token not in known:
                raise Refused(Reason.BAD_LABEL, "one of event.classes")
            return token

        return known_class
    match task:
        case "binary" | "anomaly":
            return _two_classes
        case "multiclass":
            return _label_token
        case _:
            assert_never(task)


def class_tokens(event: Event, task: Task) -> frozenset[str] | None:
    """Return the tokens of the classes that a label may be; None: of any class, or a number.

    >>> sorted(class_tokens(Event(label="late", numeric=("x",)), "binary"))
    ['0', '1', 'false', 'true']
    """
    if task == "regression":
        return None
    if event.classes is not None:
        return frozenset(_label_token(member) for member in event.classes)
    return None if task == "multiclass" else frozenset({"true", "false", "0", "1"})


def _target(value: Any) -> float:
    if not isinstance(value, (float, int)) or isinstance(value, bool):
        raise Refused(Reason.BAD_LABEL, "a number")
    return real(value)


def _two_classes(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (float, int)) and value in (0, 1):
        return str(int(value))
    raise Refused(Reason.BAD_LABEL, "true, false, 0 or 1")


def _label_token(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return _integer_text(value, Reason.BAD_LABEL)
    if isinstance(value, str):
        return text_token(_bounded(value, Reason.BAD_LABEL))
    raise Refused(Reason.BAD_LABEL, "text, an integer or a boolean")


def _is_integral_float(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


def _iso_microseconds(value: Any) -> int:
    expected = "an ISO 8601 time such as 2026-01-31T00:00:00Z"
    if not isinstance(value, str):
        raise Refused(Reason.BAD_TIME, expected)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise Refused(Reason.BAD_TIME, expected) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return _in_range((moment - _EPOCH) // _MICROSECOND)


def _in_range(time_us: int) -> int:
    if not TIME_US_MIN <= time_us <= TIME_US_MAX:
        raise Refused(Reason.BAD_TIME, "in the years 1 to 9999")
    return time_us


def _bounded(text: str, reason: Reason) -> str:
    # A character is at most four bytes, so most texts need not be encoded to be measured.
    if len(text) * 4 > TEXT_BYTES_MAX and len(text.encode()) > TEXT_BYTES_MAX:
        raise Refused(reason, f"at most {TEXT_BYTES_MAX} bytes long")
    return text


def _integer_text(value: int, reason: Reason) -> str:
    if value.bit_length() > _INTEGER_BITS_MAX:
        raise Refused(reason, f"at most {TEXT_BYTES_MAX} bytes long")
    return _bounded(str(value), reason)
