"""The scanner says what the exact route says, of every row that it takes; and it takes what is ordinary."""

from __future__ import annotations

import json
import random

import numpy as np
import pyarrow as pa
import pytest
from hostile_messages import EVENTS, EXTRA, NESTED, NUMBERS, TASKS, TEXTS, WANTED, WORDS, some_messages
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scanner_for_tests import check_scan

from streamlearn.config import Event


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
