"""The scanner says what the exact route says, of every row that it takes; and it takes what is ordinary."""

from __future__ import annotations

import json
import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scanner_for_tests import check_scan

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
        ["null", "true", some_number(chance), repr(chance.gauss(0, 10)), repr(chance.random())]
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
        *chance.sample(WANTED, chance.randrange(len(WANTED) + 1)),
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


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("event", EVENTS, ids=range(len(EVENTS)))
def test_both_routes_agree_on_streams_with_strangers_in_them(event: Event, task: str) -> None:
    chance = random.Random(f"{task} {EVENTS.index(event)}")
    check_scan(event, task, some_messages(chance, 400))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_both_routes_agree_on_long_streams(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(10):
        check_scan(chance.choice(EVENTS), chance.choice(TASKS), some_messages(chance, 2000))


json_scalars = st.one_of(
    st.sampled_from(NUMBERS + TEXTS + WORDS + NESTED),
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.from_regex(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,22})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.text(max_size=20).map(lambda text: json.dumps(text, ensure_ascii=False)),
)
json_values = st.recursive(
    json_scalars,
    lambda values: st.one_of(
        st.lists(values, max_size=3).map(lambda some: f"[{','.join(some)}]"),
        st.lists(values, max_size=3).map(lambda some: "{" + ",".join(f'"x":{value}' for value in some) + "}"),
    ),
    max_leaves=4,
)
json_spaces = st.sampled_from(["", "", "", " ", "\n\t", "\x0c"])


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    keys = st.sampled_from([*WANTED, *EXTRA])
    pairs = draw(st.lists(st.tuples(json_spaces, keys, json_spaces, json_values, json_spaces), max_size=7))
    body = ",".join(f'{a}"{key}"{b}:{b}{value}{a}' for a, key, b, value, _ in pairs)
    message = bytearray(f"{draw(json_spaces)}{{{body}}}{draw(json_spaces)}".encode(errors="surrogatepass"))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(message)))
        message[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    return bytes(message)


events = st.sampled_from(EVENTS)
tasks = st.sampled_from(TASKS)
thorough = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))


@thorough
@given(
    events, tasks, st.lists(st.one_of(st.none(), st.binary(max_size=9), documents()), min_size=1, max_size=20)
)
def test_both_routes_agree_on_hostile_bytes(event: Event, task: str, messages: list[bytes | None]) -> None:
    check_scan(event, task, [*messages, *messages])


@settings(thorough, max_examples=25)
@given(events, tasks, st.lists(documents(), min_size=1, max_size=8), st.binary(max_size=24))
def test_what_lies_around_a_message_changes_nothing(
    event: Event, task: str, messages: list[bytes], around: bytes
) -> None:
    alone = [bool(check_scan(event, task, [message])[0]) for message in messages]
    offsets = np.cumsum([len(around), *map(len, messages)], dtype=np.int64)
    for behind in (around, b"", b"0123456789abcdef", b"}" * 16, b'"' * 40):
        data = pa.py_buffer(around + b"".join(messages) + behind)
        values = pa.Array.from_buffers(pa.large_binary(), len(messages), [None, pa.py_buffer(offsets), data])
        assert check_scan(event, task, messages, values).tolist() == alone


@thorough
@given(st.integers(0, 2**32), st.sampled_from([0, 1, 2]))
def test_ordinary_messages_are_taken_in_any_shape(seed: int, shape: int) -> None:
    chance = random.Random(seed)
    event = Event(label="y", id="id", time="at", numeric=("x", "n"), categorical=("c", "k"))
    messages: list[bytes | None] = []
    for i in range(60):
        fields = {
            "x": chance.gauss(0, 1),
            "n": chance.choice([i, True, None, 1e-7 * i, 1e300, 123456789012]),
            "c": chance.choice(["AA", "longer than a word", "é", "", 7, False, None]),
            "k": str(i),
            "y": chance.choice([True, False, 0, 1, None]),
            "id": chance.choice([i, f"UA {i}"]),
            "at": chance.choice(["2026-01-31T12:13:14.5Z", "2013-06-30 23:59:59+05:30", "2026-01-31"]),
            "extra": chance.choice([None, 'a \\ " \u2028', [1, {"b": []}], {"x": {"x": 1}}, -1.5e-9]),
        }
        names = list(fields)
        if shape:
            chance.shuffle(names)
        if shape == 2:
            for name in ("x", "n", "c", "extra"):
                if chance.random() < 0.5:
                    names.remove(name)
        indent = chance.choice([None, None, 1])
        ascii_only = chance.random() < 0.5 and fields["c"] != "é"
        messages.append(
            json.dumps({n: fields[n] for n in names}, ensure_ascii=ascii_only, indent=indent).encode()
        )
    taken = check_scan(event, "binary", messages)
    assert taken.all(), [message for message, took in zip(messages, taken, strict=True) if not took][:3]


def test_more_shapes_than_are_remembered_are_read_all_the_same() -> None:
    chance = random.Random(1)
    event = Event(label="y", numeric=("x",), categorical=("c",))
    messages: list[bytes | None] = []
    for i in range(3000):
        before = f'"{chance.choice(["key", "k", ""])}{chance.randrange(1500)}":{i}, '
        space = " " * chance.randrange(9)
        messages.append(f'{{{space}{before}"x":{space}{i}.5{space},{space}"c":"{i}"{space}}}{space}'.encode())
        messages.append(f"{{{space}}}{space}".encode())
        messages.append(f'{{{space}"x":1 {{ "c":2}}'.encode())
        messages.append(f',{before}"x":1}}'.encode())
    taken = check_scan(event, "binary", messages)
    assert taken.tolist() == [True, True, False, False] * 3000


def test_what_may_follow_a_value_never_begins_a_message_nor_the_other_way_round() -> None:
    event = Event(label="y", numeric=("x",), categorical=("c",))
    messages: list[bytes | None] = []
    for i in range(4000):
        # Each makes an older joint give way, and is then met where it must not stand.
        messages += [b'{"x":1,"k%d":2}' % i, b',"k%d":2}' % i]
        messages += [b'{"k%d":1}' % i, b'{"x":1{"k%d":1}' % i]
    taken = check_scan(event, "binary", messages)
    assert taken.tolist() == [True, False, True, False] * 4000
