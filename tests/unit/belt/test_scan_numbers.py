"""Numbers in compiled code: each one that is taken is the float64 nearest to what is written."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from scanner_for_tests import array_of, check_scan, scanner_of, typed_of

from streamlearn.config import Event
from streamlearn.events import numeric_matrix

EVENT = Event(label="y", numeric=("x",))


def floats_of(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers that the scanner reads, and which of them it took."""
    batch = scanner_of(EVENT, "binary").scan(
        array_of([f'{{"x":{text}}}'.encode() for text in texts]), np.zeros(len(texts), np.int64)
    )
    taken = ~batch.doubtful_B
    columns = dict(zip((field.name for field in typed_of(EVENT, "binary")), batch.columns(), strict=True))
    return numeric_matrix(columns["numeric"])[:, 0], taken


def any_bits(chance: random.Random) -> str:
    value = math.nan
    while not math.isfinite(value) or abs(value) < 2.3e-308:
        (value,) = struct.unpack("d", chance.randbytes(8))
    return repr(value)


def halfway(chance: random.Random) -> str:
    """A decimal that stands exactly between two floats, or a digit beside it."""
    power = chance.randrange(-4, 11)
    exact = Fraction(2 * chance.randrange(2**52, 2**53) + 1) * Fraction(2) ** (power - 1)
    digits = 0
    while exact.denominator != 1:
        exact *= 10
        digits += 1
    text = str(exact.numerator + chance.choice([-1, 0, 0, 1]))
    return f"{text}e-{digits}" if len(text) <= 19 else str(2 * chance.randrange(2**52, 2**53) + 1)


SPELLINGS: dict[str, Callable[[random.Random], str]] = {
    "shortest": any_bits,
    "unit": lambda chance: repr(chance.random()),
    "normal": lambda chance: repr(chance.gauss(0, 1)),
    "17 digits": lambda chance: f"{chance.gauss(0, 1):.16e}",
    "fixed": lambda chance: f"{chance.uniform(-1000, 1000):.{chance.randrange(1, 16)}f}",
    "19 digits": lambda chance: f"{chance.randrange(10**19)}e{chance.randrange(-320, 289)}",
    "few digits": lambda chance: (
        f"{chance.randrange(10 ** chance.randrange(1, 19))}E{chance.randrange(-30, 30):+}"
    ),
    "integers": lambda chance: str(chance.randrange(-(10**19) + 1, 10 ** chance.randrange(1, 20))),
    "halfway": halfway,
}


def check_spelling(spelling: str, count: int) -> None:
    chance = random.Random(spelling)
    texts = [SPELLINGS[spelling](chance) for _ in range(count)]
    values, taken = floats_of(texts)
    expected = np.array(list(map(float, texts)))
    expected[expected == 0] = 0.0 if spelling == "integers" else expected[expected == 0]
    ordinary = np.abs(expected) >= 2.3e-308
    assert taken[ordinary | (expected == 0)].mean() > 0.999
    wrong = values[taken].view(np.int64) != expected[taken].view(np.int64)
    assert not wrong.any(), np.array(texts)[taken][wrong][:5]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_numbers_are_the_nearest_floats(spelling: str) -> None:
    check_spelling(spelling, 5_000)


@pytest.mark.slow
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_million_numbers_are_the_nearest_floats(spelling: str) -> None:
    check_spelling(spelling, 1_000_000)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0.0),
        ("-0", 0.0),
        ("-0.0", -0.0),
        ("-0e5", -0.0),
        ("0e999999999999", 0.0),
        ("9007199254740993", 9007199254740992.0),
        ("9007199254740995", 9007199254740996.0),
        ("9999999999999999999", 1e19),
        ("1e23", 1e23),
        ("8.9884656743115805e307", 8.98846567431158e307),
        ("1.7976931348623157e308", 1.7976931348623157e308),
        ("1.7976931348623158e308", 1.7976931348623157e308),
        ("2.2250738585072014e-308", 2.2250738585072014e-308),
        ("0.0000000000000000000000001234567890123456789", 1.2345678901234568e-25),
        ("12345678.12345678", 12345678.12345678),
        ("true", 1.0),
        ("false", 0.0),
    ],
)
def test_what_is_taken(text: str, value: float) -> None:
    values, taken = floats_of([text])
    assert taken.all()
    assert repr(values.tolist()[0]) == repr(value)


@pytest.mark.parametrize(
    "text",
    [
        "1.7976931348623159e308",
        "1e309",
        "1e400",
        "4.9e-324",
        "2.2250738585072011e-308",
        "1e-400",
        "10000000000000000000",
        "0.12345678901234567890",
        "1" * 400,
        *("01", "-", "-01", "00", "1.", ".5", "+1", "1e", "1e+", "1.e5", "1e5.5", "0x1", "1_0", "--1", "1-", "1 2", "", "1,", "1a"),
        *("NaN", "-Infinity", "tru", "True", "truex", "falsee", "nul"),
    ],
)  # fmt: skip
def test_what_is_doubted(text: str) -> None:
    _, taken = floats_of([text])
    assert not taken.any()
    check_scan(EVENT, "binary", [f'{{"x":{text}}}'.encode(), f'{{"z":{text}}}'.encode()])


@pytest.mark.parametrize("value", [b"1", b"12345678", b"1.5e10", b"-1234567890.123456789"])
def test_a_number_never_reads_into_the_next_message(value: bytes) -> None:
    for cut in range(len(value)):
        check_scan(EVENT, "binary", [b'{"x":' + value[: cut + 1], value[cut + 1 :] + b"}", b'{"x":2}'])


def test_numbers_that_nobody_asked_for_may_be_of_any_size() -> None:
    messages = [
        b'{"x":1,"z":1e400}',
        b'{"x":1,"z":' + b"9" * 5000 + b"}",
        b'{"z":[1e400,-0.' + b"1" * 99 + b'],"x":1}',
    ]
    assert check_scan(EVENT, "binary", messages).all()
