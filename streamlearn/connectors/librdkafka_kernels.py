"""Kernels over a batch of librdkafka's messages: their fields as columns, their bytes as one buffer.

They run without the GIL and touch no Python object. What they are given are addresses: of messages
(``rd_kafka_message_t``) that the caller owns, and of librdkafka's own functions. Addresses are int64 here:
Numba makes a float of the sum of an unsigned and a signed integer.

Upholds `offsets_increase` in its part: a row is copied only where the caller says that it is due.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils

from streamlearn.events import Bool_B, Code_B, Int_B
from streamlearn.native import intrinsic, kernel

# rd_kafka_message_t on 64 bits (rdkafka.h). librdkafka_layout.py holds a real message against it.
ERROR: Final = 0
TOPIC: Final = 8
PARTITION: Final = 16
VALUE: Final = 24
VALUE_BYTES: Final = 32
KEY: Final = 40
KEY_BYTES: Final = 48
OFFSET: Final = 56
ADDRESS_BYTES: Final = 8

# In the columns of lengths: a null, which is another thing than no bytes.
ABSENT: Final = -1
# Behind the last value, so that a scanner may load eight bytes at a time, at any of them, and twice.
SPARE_BYTES: Final = 16

Byte_N = npt.NDArray[np.uint8]
INT64_TYPE, INT32_TYPE, BYTES_TYPE = ir.IntType(64), ir.IntType(32), cgutils.voidptr_t


@intrinsic
def _int64_at(_context: Any, _address: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.load(builder.inttoptr(arguments[0], INT64_TYPE.as_pointer()))

    return types.int64(types.int64), generate


@intrinsic
def _int32_at(_context: Any, _address: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.load(builder.inttoptr(arguments[0], INT32_TYPE.as_pointer()))

    return types.int32(types.int64), generate


@intrinsic
def _copy(_context: Any, _target: Any, _source: Any, _count: Any) -> Any:
    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        target, source, count = arguments
        target, source = builder.inttoptr(target, BYTES_TYPE), builder.inttoptr(source, BYTES_TYPE)
        cgutils.raw_memcpy(builder, target, source, count, 1)  # type: ignore[no-untyped-call]
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@intrinsic
def _timestamp_of(_context: Any, _function: Any, _message: Any) -> Any:
    """Call ``int64_t rd_kafka_message_timestamp(message, NULL)``."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        function_type = ir.FunctionType(INT64_TYPE, (BYTES_TYPE, BYTES_TYPE))
        function = builder.inttoptr(arguments[0], function_type.as_pointer())
        return builder.call(function, (builder.inttoptr(arguments[1], BYTES_TYPE), BYTES_TYPE(None)))

    return types.int64(types.int64, types.int64), generate


@intrinsic
def _consume(_context: Any, _function: Any, _queue: Any, _wait_ms: Any, _messages: Any, _count: Any) -> Any:
    """Call ``ssize_t rd_kafka_consume_batch_queue(queue, wait_ms, messages, count)``."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        address, queue, wait_ms, messages, count = arguments
        function_type = ir.FunctionType(INT64_TYPE, (BYTES_TYPE, INT32_TYPE, BYTES_TYPE, INT64_TYPE))
        function = builder.inttoptr(address, function_type.as_pointer())
        queue, messages = builder.inttoptr(queue, BYTES_TYPE), builder.inttoptr(messages, BYTES_TYPE)
        return builder.call(function, (queue, builder.trunc(wait_ms, INT32_TYPE), messages, count))

    return types.int64(types.int64, types.int64, types.int64, types.int64, types.int64), generate


@intrinsic
def _free(_context: Any, _function: Any, _message: Any) -> Any:
    """Call ``void rd_kafka_message_destroy(message)``."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        function = builder.inttoptr(arguments[0], ir.FunctionType(ir.VoidType(), (BYTES_TYPE,)).as_pointer())
        builder.call(function, (builder.inttoptr(arguments[1], BYTES_TYPE),))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


class Fields(NamedTuple):
    """The fields of B messages. ``topic_B``: addresses of topic handles; lengths: ``ABSENT`` for a null."""

    error_B: Code_B
    topic_B: Int_B
    partition_B: Code_B
    offset_B: Int_B
    timestamp_B: Int_B
    value_bytes_B: Int_B
    key_bytes_B: Int_B


class Gathered(NamedTuple):
    """The bytes of the D rows that are due, as Arrow has them: D + 1 offsets, and one buffer."""

    value_ends: Int_B
    values: Byte_N
    key_ends: Int_B
    keys: Byte_N


def fields_of(message_B: Int_B, timestamp_function: int) -> Fields:
    """Return the fields of the messages at these addresses, which stay as they are.

    Parameters
    ----------
    timestamp_function
        Address of ``rd_kafka_message_timestamp``.
    """
    rows = len(message_B)
    fields = Fields(
        np.empty(rows, np.int32),
        np.empty(rows, np.int64),
        np.empty(rows, np.int32),
        np.empty(rows, np.int64),
        np.empty(rows, np.int64),
        np.empty(rows, np.int64),
        np.empty(rows, np.int64),
    )
    _read_fields(message_B, timestamp_function, *fields)
    return fields


def bytes_of(message_B: Int_B, is_due_B: Bool_B, fields: Fields) -> Gathered:
    """Return the bytes of the messages that are due, which stay as they are.

    ``SPARE_BYTES`` follow the last value in its buffer.
    """
    rows = int(np.count_nonzero(is_due_B))
    value_bytes = int(np.maximum(fields.value_bytes_B, 0).sum(where=is_due_B))
    key_bytes = int(np.maximum(fields.key_bytes_B, 0).sum(where=is_due_B))
    gathered = Gathered(
        np.empty(rows + 1, np.int64),
        np.empty(value_bytes + SPARE_BYTES, np.uint8),
        np.empty(rows + 1, np.int64),
        np.empty(key_bytes, np.uint8),
    )
    _gather(message_B, is_due_B, *gathered)
    gathered.values[value_bytes:] = 0
    return gathered


@kernel
def consume(function: int, queue: int, wait_ms: int, message_B: Int_B, taken: Int_B) -> int:
    """Wait for the first message, and take what is there then; return how many, below 0 for an error.

    Parameters
    ----------
    function
        Address of ``rd_kafka_consume_batch_queue``; it blocks until it has all that it is asked for.
    message_B
        Takes the addresses of at most B messages, which are the caller's to ``free``.
    taken
        Its one element takes their count before any Python runs: a signal that is raised on the way back
        must not lose them, since librdkafka waits for each one before it lets a consumer go.
    """
    messages = message_B.ctypes.data
    count: int = _consume(function, queue, wait_ms, messages, 1)
    taken[0] = count
    if count == 1 and len(message_B) > 1:
        more = _consume(function, queue, 0, messages + ADDRESS_BYTES, len(message_B) - 1)
        count += max(more, 0)
        taken[0] = count
    return count


@kernel
def free(message_B: Int_B, taken: Int_B, function: int) -> None:
    """Give back what was taken, if anything: ``function`` is ``rd_kafka_message_destroy``'s address."""
    for row in range(taken[0]):
        _free(function, message_B[row])
    taken[0] = 0


@kernel
def _read_fields(
    message_B: Int_B,
    timestamp_function: int,
    error_B: Code_B,
    topic_B: Int_B,
    partition_B: Code_B,
    offset_B: Int_B,
    timestamp_B: Int_B,
    value_bytes_B: Int_B,
    key_bytes_B: Int_B,
) -> None:
    for row in range(len(message_B)):
        message = message_B[row]
        error_B[row] = _int32_at(message + ERROR)
        topic_B[row] = _int64_at(message + TOPIC)
        partition_B[row] = _int32_at(message + PARTITION)
        offset_B[row] = _int64_at(message + OFFSET)
        timestamp_B[row] = _timestamp_of(timestamp_function, message)
        value_bytes_B[row] = _int64_at(message + VALUE_BYTES) if _int64_at(message + VALUE) else ABSENT
        key_bytes_B[row] = _int64_at(message + KEY_BYTES) if _int64_at(message + KEY) else ABSENT


@kernel
def _gather(
    message_B: Int_B, is_due_B: Bool_B, value_ends: Int_B, values: Byte_N, key_ends: Int_B, keys: Byte_N
) -> None:
    values_at, keys_at = values.ctypes.data, keys.ctypes.data
    value_end = key_end = due = 0
    value_ends[0] = key_ends[0] = 0
    for row in range(len(message_B)):
        if not is_due_B[row]:
            continue
        message = message_B[row]
        value, key = _int64_at(message + VALUE), _int64_at(message + KEY)
        if value:
            count = _int64_at(message + VALUE_BYTES)
            _copy(values_at + value_end, value, count)
            value_end += count
        if key:
            count = _int64_at(message + KEY_BYTES)
            _copy(keys_at + key_end, key, count)
            key_end += count
        due += 1
        value_ends[due], key_ends[due] = value_end, key_end
