"""Texts and values in compiled code: exactly UTF-8, and no byte of an extra field unseen."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scanner_for_tests import array_of, check_scan, scanner_of

from streamlearn.config import Event

EVENT = Event(label="y", numeric=("x",), categorical=("c",))


def takes(message: bytes) -> bool:
    return bool(check_scan(EVENT, "multiclass", [message])[0])


def test_texts_are_taken_where_they_are_utf_8() -> None:
    # Around the limits of each length; RFC 3629, section 3.
    leads = [
        0x7F,
        0x80,
        0xBF,
        0xC0,
        0xC1,
        0xC2,
        0xDF,
        0xE0,
        0xE1,
        0xEC,
        0xED,
        0xEE,
        0xEF,
        0xF0,
        0xF1,
        0xF3,
        0xF4,
        0xF5,
        0xFF,
    ]
    others = [0x20, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF]
    texts = [
        bytes([lead, *rest])
        for lead in leads
        for length in range(4)
        for rest in itertools.product(others, repeat=length)
    ]
    messages = [b'{"c":"1234567' + text + b'","x":1}' for text in texts]
    batch = scanner_of(EVENT, "multiclass").scan(array_of(messages), np.zeros(len(messages), np.int64))
    for text, doubted in zip(texts, batch.doubtful_B.tolist(), strict=True):
        assert is_utf8(text) is not doubted, text


def is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


@pytest.mark.parametrize("length", [*range(20), 1023, 1024])
def test_texts_of_any_length(length: int) -> None:
    text = b"a" * length
    assert takes(b'{"c":"' + text + b'","y":"' + text + b'","x":1}')


@pytest.mark.parametrize("at", range(17))
@pytest.mark.parametrize("byte", [0x00, 0x1F, 0x09, 0x0A, 0x22, 0x5C, 0x80, 0xFF])
def test_a_byte_that_is_no_text_is_seen_wherever_it_stands(at: int, byte: int) -> None:
    text = bytearray(b"cdghijkmopqsvwxyz")  # no letter that may follow a backslash
    text[at] = byte
    for key in (b"c", b"y", b"z", b"x"):
        assert not takes(b'{"' + key + b'":"' + bytes(text) + b'"}')
    assert not takes(b'{"' + bytes(text) + b'":1}')


@pytest.mark.parametrize(
    "value",
    [
        *(b'"\\n\\"\\\\\\/\\b\\f\\r\\t"', b'"\\u0041\\uD7FF\\ue000\\uFFFF"', '"é€😀"'.encode(), b'""', b"true", b"false", b"null"),
        *(b"[]", b"{}", b"[ ]", b"{ }", b"[1, 2 ,3]", b'{"a" : [ {"b":null} ] , "a":2}', b"[[[]],{}]", b'["]"]', b'{"{":"}"}'),
        b"[" * 60 + b"]" * 60,
    ],
)  # fmt: skip
def test_extra_fields_that_are_taken(value: bytes) -> None:
    assert takes(b'{"x":1,"z":' + value + b"}")
    assert takes(b'{"z": ' + value + b' ,"x":1}')


@pytest.mark.parametrize(
    "value",
    [
        *(b'"\\ud800"', b'"\\uDC00"', b'"\\ud83d\\ude00"', b'"\\u12g4"', b'"\\x"', b'"\\"', b'"\\u123"', b"nul", b"truefalse", b"True"),
        *(b"[,]", b"[1,]", b"[1 2]", b"[1}", b'{"a":1]', b"{,}", b'{"a"}', b'{"a":}', b'{"a":1,}', b"{1:2}", b'{"a" 1}', b'{"a":1 "b":2}'),
        *(b"[tru]", b"[01]", b"[1.]", b"[NaN]", b'["\xff"]', b'["\x01"]', b'{"\xff":1}', b"]", b"}", b":", b",", b"[[]", b"[]]", b"", b"1 1"),
        *(b"[" * 61 + b"]" * 61, b"[" * 129 + b"]" * 129, b"[" * 500, b'{"a":' * 70 + b"1" + b"}" * 70),
    ],
)  # fmt: skip
def test_extra_fields_that_are_doubted(value: bytes) -> None:
    assert not takes(b'{"x":1,"z":' + value + b"}")


@pytest.mark.parametrize(
    "message",
    [
        *(b"", b" ", b"{", b"}", b"{}}", b"{{}", b"[]", b"1", b'"x"', b"null", b"{}{}", b"{} x", b"{}\x00", b"\xef\xbb\xbf{}"),
        *(b'{"x"}', b'{"x":}', b'{"x":1,}', b'{,"x":1}', b'{"x":1 "c":2}', b'{"x":1,,"c":2}', b'{"x"::1}', b'{"x":1}{"x":1}', b'"x":1}'),
        *(b'{"x":1,"x":1}', b'{"\\u0078":1}', b'{x:1}', b"{'x':1}", b'{"x":1]', b'{"x":1', b'{"x', b'{"x"', b'{"x":', b'{"x":1,"'),
        *(b'{"x":"1"}', b'{"x":[1]}', b'{"c":[]}', b'{"c":1.5}', b'{"c":1e0}', b'{"c":-0}', b'{"c":-0.0}', b'{"c":9007199254740993.0}', b'{"y":1.0}', b'{"y":{}}'),
    ],
)  # fmt: skip
def test_messages_that_are_doubted(message: bytes) -> None:
    assert not takes(message)
    # Also where messages that were taken have taught what to expect.
    among = [b'{"x":1,"c":"a"}', b'{"c":"a","x":1}', b"{}", message] * 3
    assert check_scan(EVENT, "multiclass", among).tolist() == [True, True, True, False] * 3


@pytest.mark.parametrize(
    "message", [b"{}", b" { } ", b'\r\n{\t"x" :\n1 }\n', b'{"x":1}', b'{"z":1,"z":2}', b'{"":1,"x":2}']
)
def test_messages_that_are_taken(message: bytes) -> None:
    assert takes(message)


def test_every_part_of_a_message_alone_is_judged_by_its_end() -> None:
    message = b'{"x": -12.5e-3, "c": "a text", "z": [1, {"k": "\\u00e9"}], "y": true}'
    for end in range(len(message)):
        assert not takes(message[:end])
        check_scan(EVENT, "multiclass", [message[:end], message[end:], message])
