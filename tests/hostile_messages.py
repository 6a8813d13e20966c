"""JSON messages as streams hold them: ordinary ones, hard ones, broken ones, drawn by chance; and contracts for them."""

from __future__ import annotations

import random

import numpy as np

from streamlearn.config import Event

WANTED = ["x", "n", "c", "k", "y", "id", "at", "longer_than_a_word", "é"]
EXTRA = ["", "u", "xx", "x ", "longer_than_a_worm", "nested", "ü€😀", "y2"]
NUMBERS = [
    "0", "-0", "-0.0", "0.0", "1", "5.0", "-5.000", "1e400", "-1e400", "1e-400", "5e-324", "2.2250738585072014e-308", "2.2250738585072011e-308",
    "1.7976931348623157e308", "1.7976931348623158e308", "1.7976931348623159e308", "9007199254740993", "9007199254740992.5", "1e23",
    "9223372036854775807", "9223372036854775808", "18446744073709551615", "18446744073709551616", "-9223372036854775809",
    "9999999999999999999", "10000000000000000000", "0.1", "0.10000000000000000555", "0.000000000000000000012345678901234567",
    "1" + "0" * 308, "1" + "0" * 309, "0." + "0" * 400 + "1", "9" * 1025, "1e22", "1E+2", "1e-0", "0e999999999", "123456789012345.0",
    "1234567890123456.0", "9007199254740993.0", "01", "-01", "00", "1.", ".5", "+1", "1e", "1e+", "-", "--1", "1.e5", "NaN", "Infinity", "-Infinity", "0x1", "1_0",
]  # fmt: skip
TEXTS = [
    '""', '"5"', '"true"', '"a b"', '"exactly8"', '"longer than one word"', '"é"', '"€"', '"😀"', '"\x7f"', '"\\u0041"', '"\\ud83d\\ude00"',
    '"\\ud800"', '"\\n"', '"\\x"', '"\\"', '"\\u12"', '"a\tb"', '"a\nb"', '"\x00"', '"' + "a" * 1024 + '"', '"' + "é" * 513 + '"', '"x',
    '"2026-01-31T00:00:00Z"', '"2026-01-31"', '"2026-02-29"', '"2024-02-29 23:59"', '"2013-01-01T05:15:00-05:00"', '"1969-12-31T23:59:59.999999"',
    '"2026-01-31T00:00:00.1234567Z"', '"2026-01-31T24:00:00"', '"0001-01-01T00:00:00+01:00"', '"9999-12-31T23:59:59.999999Z"',
    '"2026-01-31T00:00:00z"', '"2026-01-31T00:00:00+24:00"', '"2026-W05-1"', '"20260131"', '"2026-01-31T00:00:60"', '"2026-1-31"', '"0000-01-01"',
]  # fmt: skip
NESTED = [
    "[]", "{}", "[ ]", "{ }", "[1,2]", '{"x":1}', '{"a":[{"b":null}],"a":2}', "[[[]],{}]", "[,]", "[1,]", "{,}", '{"a"}', '{"a":}', '{"a":1,}',
    "[1 2]", "[1}", '{"a":1]', "[tru]", '["a\\u00e9"]', '["\\ud800"]', "[" * 59 + "]" * 59, "[" * 60 + "]" * 60, "[" * 61 + "]" * 61,
    "[" * 127 + "]" * 127, "[" * 128 + "]" * 128, '[" ]"]', '{"[": "{"}', "[1e400]", "[01]",
]  # fmt: skip
WORDS = ["true", "false", "null", "True", "tru", "nul", "falsy", "nullx", ""]
WHITE_SPACE = ["", " ", "\n", "\r\n\t ", " " * 20] * 10 + ["\x0b", "\ufeff"]

EVENTS = [
    Event(label="y", numeric=("x", "n"), categorical=("c", "k"), message_bytes_max=3000),
    Event(label="y", id="id", time="at", numeric=("x", "longer_than_a_word"), categorical=("é",), missing="reject"),
    Event(label="y", id="c", time="at", time_format="epoch_seconds", numeric=("x", "at"), categorical=("c", "k")),
    Event(label="y", classes=("5", 1, True, "é"), time="at", time_format="epoch_milliseconds", numeric=("n",)),
    Event(time="at", time_format="epoch_microseconds", numeric=("x",), categorical=("longer_than_a_word",)),
    Event(label="y", id="k", numeric=("x",), categorical=("k", *(f"c{i}" for i in range(70)))),
]  # fmt: skip
TASKS = ["binary", "multiclass", "regression", "anomaly"]


def some_number(chance: random.Random) -> str:
    match chance.randrange(6):
        case 0:
            return chance.choice(NUMBERS)
        case 1:
            return repr(np.frombuffer(chance.randbytes(8), np.float64)[0].item())
        case 2:
            return str(chance.randrange(-(10 ** chance.randrange(1, 22)), 10 ** chance.randrange(1, 22)))
        case 3:
            digits = str(chance.randrange(10 ** chance.randrange(1, 20)))
            return f"{chance.choice(['', '-'])}{chance.randrange(100)}.{digits}"
        case 4:
            return f"{chance.randrange(10**19)}e{chance.randrange(-360, 330)}"
    return str(chance.randrange(2))


def fitting_value(key: str, chance: random.Random) -> str:
    match key:
        case "y":
            return chance.choice(["true", "false", "0", "1", "1.0", '"5"', '"é"', "null"])
        case "at":
            return chance.choice(['"2026-01-31T00:00:00Z"', "1700000000", "1700000000.5", "-12.25", "0"])
        case "c" | "k" | "id" | "é":
            return chance.choice(['"AA"', '"longer than one word"', '"é"', "7", "-12", "true", "5.0", "null"])
        case "u" | "nested" | "xx":
            return chance.choice(NESTED[:7])
    return chance.choice(
        ["null", "true", "-0.0", some_number(chance), repr(chance.gauss(0, 10)), repr(chance.random())]
    )


def some_value(chance: random.Random) -> str:
    match chance.randrange(10):
        case 0 | 1 | 2 | 3 | 4:
            return some_number(chance)
        case 5 | 6:
            return chance.choice(TEXTS)
        case 7 | 8:
            return chance.choice(WORDS[:3] if chance.random() < 0.9 else WORDS)
    return chance.choice(NESTED)


def some_document(chance: random.Random, *, spaced: bool, strange: float) -> bytes:
    def space() -> str:
        return chance.choice(WHITE_SPACE) if spaced else ""

    keys = [
        *chance.sample(WANTED, chance.choice([chance.randrange(len(WANTED)), len(WANTED)])),
        *chance.sample(EXTRA, chance.randrange(3)),
    ]
    if chance.random() < 0.05:
        keys += chance.choices([*WANTED, "\\u0078", "\\ud800", 'x"'], k=2)
    if chance.random() < 0.5:
        chance.shuffle(keys)
    values = [some_value(chance) if chance.random() < strange else fitting_value(key, chance) for key in keys]
    pairs = zip(keys, values, strict=True)
    body = ",".join(f'{space()}"{key}"{space()}:{space()}{value}{space()}' for key, value in pairs)
    return f"{space()}{{{body}}}{space()}".encode(errors="surrogatepass")


def mutated(document: bytes, chance: random.Random) -> bytes:
    message = bytearray(document)
    for _ in range(chance.randrange(1, 3)):
        at = chance.randrange(len(message) + 1)
        other = chance.choice(
            [
                b"",
                bytes([chance.randrange(256)]),
                chance.choice([b"{", b"}", b",", b'"', b":", b"\\", b"0", b"-", b".", b"e", b" "]),
            ]
        )
        message[at : at + chance.randrange(3)] = other
    return bytes(message)


def some_messages(chance: random.Random, count: int) -> list[bytes | None]:
    """Messages as streams hold them: most alike, with strangers between."""
    messages: list[bytes | None] = []
    while len(messages) < count:
        document = some_document(
            chance, spaced=chance.random() < 0.3, strange=chance.choice([0.0, 0.05, 0.5])
        )
        for _ in range(chance.randrange(1, 4)):
            messages.append(mutated(document, chance) if chance.random() < 0.3 else document)
        if chance.random() < 0.05:
            messages.append(None)
    return messages


def grown(message: bytes, chance: random.Random, bytes_max: int) -> bytes:
    """Return a message in which a piece comes again and again: nesting, long texts, many fields, many digits."""
    start = chance.randrange(len(message) + 1)
    piece = message[start : start + chance.choice([1, 1, 2, 7])] or chance.choice(
        [b"[", b'{"x":', b"9", b'"', b"\\", b" "]
    )
    times = max(0, bytes_max - len(message)) // len(piece)
    return message[:start] + piece * chance.randint(0, times) + message[start:]
