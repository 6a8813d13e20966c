"""The kernel that puts columns into librdkafka's queue. It runs without the GIL and touches no Python object.

Upholds the sending half of `learned_once` in its part: nothing is queued behind a row that was not taken.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

from streamlearn.connectors.librdkafka_kernels import BYTES_TYPE, INT32_TYPE, INT64_TYPE
from streamlearn.events import Bool_B, Int_B
from streamlearn.native import intrinsic, kernel


@intrinsic
def _produce(
    _context: Any,
    _function: Any,
    _topic: Any,
    _flags: Any,
    _value: Any,
    _value_bytes: Any,
    _key: Any,
    _key_bytes: Any,
) -> Any:
    """Call ``int rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, flags, value, ..., key, ..., NULL)``."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        address, topic, flags, value, value_bytes, key, key_bytes = arguments
        kinds = (
            BYTES_TYPE,
            INT32_TYPE,
            INT32_TYPE,
            BYTES_TYPE,
            INT64_TYPE,
            BYTES_TYPE,
            INT64_TYPE,
            BYTES_TYPE,
        )
        function = builder.inttoptr(address, ir.FunctionType(INT32_TYPE, kinds).as_pointer())
        topic, value, key = (builder.inttoptr(each, BYTES_TYPE) for each in (topic, value, key))
        partition, flags = INT32_TYPE(-1), builder.trunc(flags, INT32_TYPE)
        call = (topic, partition, flags, value, value_bytes, key, key_bytes, BYTES_TYPE(None))
        return builder.call(function, call)

    return types.int32(*(types.int64,) * 7), generate


@kernel
def produce(
    function: int,
    topic: int,
    flags: int,
    key_ends: Int_B,
    keys: int,
    is_key_B: Bool_B,
    value_ends: Int_B,
    values: int,
    is_value_B: Bool_B,
    start: int,
) -> int:
    """Queue rows from ``start`` on, up to the first that is not taken; return its number, B where all were.

    In order and one by one: ``rd_kafka_produce_batch`` goes on behind a message for which the queue was full.

    Parameters
    ----------
    function
        Address of ``rd_kafka_produce``.
    topic
        Address of a topic handle.
    keys, values
        Where their bytes lie; the first of row i is ``keys + key_ends[i]``.
    """
    for row in range(start, len(is_value_B)):
        value = values + value_ends[row] if is_value_B[row] else 0
        key = keys + key_ends[row] if is_key_B[row] else 0
        value_bytes = value_ends[row + 1] - value_ends[row] if value else 0
        key_bytes = key_ends[row + 1] - key_ends[row] if key else 0
        if _produce(function, topic, flags, value, value_bytes, key, key_bytes) != 0:
            return row
    return len(is_value_B)
