"""Whatever messages hold comes out as it was, the rows that are due alone; each message is freed once."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamlearn.connectors import librdkafka_kernels as kernels


class Message(ctypes.Structure):
    """``rd_kafka_message_t`` as rdkafka.h has it: the compiler's own layout, not the kernels' numbers."""

    _fields_ = (
        ("err", ctypes.c_int),
        ("rkt", ctypes.c_void_p),
        ("partition", ctypes.c_int32),
        ("payload", ctypes.c_void_p),
        ("len", ctypes.c_size_t),
        ("key", ctypes.c_void_p),
        ("key_len", ctypes.c_size_t),
        ("offset", ctypes.c_int64),
        ("_private", ctypes.c_void_p),
    )


def messages_of(
    rows: Sequence[tuple[bytes | None, bytes | None]],
) -> tuple[np.ndarray, list[Message], list[object]]:
    """Addresses of messages, the messages, and what they point to."""
    messages, kept = [], []
    for number, (value, key) in enumerate(rows):
        at: list[int | None] = []
        for text in (value, key):
            # No bytes lie somewhere all the same: a null is another thing.
            buffer = None if text is None else ctypes.create_string_buffer(text, len(text) + 1)
            kept.append(buffer)
            at.append(None if buffer is None else ctypes.addressof(buffer))
        messages.append(
            Message(
                -number,
                1 << 40 | number,
                number,
                at[0],
                len(value or b""),
                at[1],
                len(key or b""),
                7 * number,
            )
        )
    return np.array([*map(ctypes.addressof, messages)], np.int64), messages, kept


def address_of(function: object) -> int:
    address = ctypes.cast(function, ctypes.c_void_p).value  # type: ignore[arg-type]
    assert address is not None
    return address


@ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)
def timestamp_of(message: int, kind: int | None) -> int:
    assert kind is None
    return Message.from_address(message).offset + 1_700_000_000_000


BYTES = st.none() | st.binary(max_size=40)


@settings(max_examples=60, deadline=None)  # the first example may wait for the compiler
@given(st.lists(st.tuples(BYTES, BYTES, st.booleans()), max_size=30))
def test_what_is_due_comes_out_as_it_was(rows: list[tuple[bytes | None, bytes | None, bool]]) -> None:
    message_B, _messages, _kept = messages_of([(value, key) for value, key, _ in rows])
    is_due_B = np.array([is_due for _, _, is_due in rows], np.bool_)
    fields = kernels.fields_of(message_B, address_of(timestamp_of))
    count = len(rows)
    assert fields.error_B.tolist() == [-number for number in range(count)]
    assert fields.topic_B.tolist() == [1 << 40 | number for number in range(count)]
    assert fields.partition_B.tolist() == [*range(count)]
    assert fields.offset_B.tolist() == [7 * number for number in range(count)]
    assert fields.timestamp_B.tolist() == [7 * number + 1_700_000_000_000 for number in range(count)]
    assert fields.value_bytes_B.tolist() == [-1 if value is None else len(value) for value, _, _ in rows]
    assert fields.key_bytes_B.tolist() == [-1 if key is None else len(key) for _, key, _ in rows]

    gathered = kernels.bytes_of(message_B, is_due_B, fields)
    for index, ends, data in (
        (0, gathered.value_ends, gathered.values),
        (1, gathered.key_ends, gathered.keys),
    ):
        due = [row[index] or b"" for row in rows if row[2]]
        assert ends.tolist() == [0, *np.cumsum([*map(len, due)]).tolist()]
        assert data[: ends[-1]].tobytes() == b"".join(due)
    assert gathered.values[gathered.value_ends[-1] :].tobytes() == bytes(kernels.SPARE_BYTES)


def test_each_message_that_was_taken_is_freed_once() -> None:
    freed: list[int] = []
    free_function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(freed.append)
    message_B, _messages, _kept = messages_of([(b"value", None)] * 5)
    taken = np.array([4])
    kernels.free(message_B, taken, address_of(free_function))
    assert freed == message_B[:4].tolist()
    kernels.free(message_B, taken, address_of(free_function))
    assert len(freed) == 4


@pytest.mark.parametrize(
    ("room", "answers", "asked", "count"),
    [
        (4, [1, 2], [(70, 1), (0, 3)], 3),
        (4, [1, 0], [(70, 1), (0, 3)], 1),
        (4, [1, -1], [(70, 1), (0, 3)], 1),  # what came is kept; the error comes again
        (1, [1], [(70, 1)], 1),
        (4, [0], [(70, 1)], 0),
        (4, [-1], [(70, 1)], -1),
    ],
)
def test_the_first_is_waited_for_and_the_rest_taken_as_it_is(
    room: int, answers: list[int], asked: list[tuple[int, int]], count: int
) -> None:
    calls: list[tuple[int, int]] = []

    @ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
    def consume(queue: int, wait_ms: int, messages: int, size: int) -> int:
        assert queue == 77
        first = sum(max(answer, 0) for answer in answers[: len(calls)])
        assert messages == message_B.ctypes.data + 8 * first
        calls.append((wait_ms, size))
        answer = answers[len(calls) - 1]
        for number in range(answer):
            message_B[first + number] = 1000 + first + number
        return answer

    message_B, taken = np.zeros(room, np.int64), np.zeros(1, np.int64)
    assert kernels.consume(address_of(consume), 77, 70, message_B, taken) == count
    assert calls == asked
    assert taken.tolist() == [count]
    assert message_B.tolist()[: max(count, 0)] == [1000 + number for number in range(count)]
