"""What the scanner's kernels need of the machine and Numba does not offer: bytes at an address, wide products.

Addresses are plain int64, so one compiled kernel reads any buffer, whoever owns it and whether or not it
may be written; and Numba counts no references, which in code as small as this took most of the time. Whoever
hands out an address keeps what lies there alive. Loads are unaligned.

The kernels' bounds: of a message that ends at ``end`` they load bytes below ``end + PADDING_BYTES``, so these
must be readable; what they hold changes nothing. (A step of a kernel begins below ``end``; it moves on by up to
eight bytes and may look at the eight behind.)
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

from streamlearn.native import intrinsic

PADDING_BYTES = 16

_FLOAT = ir.DoubleType()
_BYTE = ir.IntType(8)
_WORD = ir.IntType(64)
_WIDE = ir.IntType(128)


@intrinsic
def load_byte(typing_context: Any, address: Any) -> Any:
    """Return the byte at an address, 0 to 255, as int64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], _BYTE.as_pointer())
        return builder.zext(builder.load(pointer), _WORD)

    return types.int64(types.int64), generate


def _unaligned_load(kind: Any) -> Any:
    """Return what generates a load of this LLVM type from an address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = builder.load(builder.inttoptr(arguments[0], kind.as_pointer()))
        value.align = 1
        return value

    return generate


@intrinsic
def load_word(typing_context: Any, address: Any) -> Any:
    """Return the eight bytes at an address as uint64, the first one in the lowest bits."""

    return types.uint64(types.int64), _unaligned_load(_WORD)


@intrinsic
def load_int(typing_context: Any, address: Any) -> Any:
    """Return the int64 at an address."""

    return types.int64(types.int64), _unaligned_load(_WORD)


@intrinsic
def load_float(typing_context: Any, address: Any) -> Any:
    """Return the float64 at an address."""

    return types.float64(types.int64), _unaligned_load(_FLOAT)


@intrinsic
def store_int(typing_context: Any, address: Any, value: Any) -> Any:
    """Write an int64 to an address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], _WORD.as_pointer())
        builder.store(arguments[1], pointer, align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def store_float(typing_context: Any, address: Any, value: Any) -> Any:
    """Write a float64 to an address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], _FLOAT.as_pointer())
        builder.store(arguments[1], pointer, align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.float64), generate


@intrinsic
def store_byte(typing_context: Any, address: Any, byte: Any) -> Any:
    """Write the lowest eight bits of an int64 to an address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], _BYTE.as_pointer())
        builder.store(builder.trunc(arguments[1], _BYTE), pointer)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def store_word(typing_context: Any, address: Any, word: Any) -> Any:
    """Write a uint64 to an address, the lowest bits first."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], _WORD.as_pointer())
        builder.store(arguments[1], pointer, align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.uint64), generate


@intrinsic
def signed(typing_context: Any, word: Any) -> Any:
    """Return the int64 that has the bits of a uint64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return arguments[0]

    return types.int64(types.uint64), generate


@intrinsic
def leading_zeros(typing_context: Any, word: Any) -> Any:
    """Return how many of the highest bits of a uint64 are zero, as int64 (64 of zero)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], ir.IntType(1)(0))

    return types.int64(types.uint64), generate


@intrinsic
def trailing_zeros(typing_context: Any, word: Any) -> Any:
    """Return how many of the lowest bits of a uint64 are zero, as int64 (64 of zero)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.IntType(1)(0))

    return types.int64(types.uint64), generate


@intrinsic
def multiply_wide(typing_context: Any, left: Any, right: Any) -> Any:
    """Return the product of two uint64 as (high, low), both uint64."""
    pair = types.UniTuple(types.uint64, 2)  # type: ignore[no-untyped-call]

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        left, right = (builder.zext(argument, _WIDE) for argument in arguments)
        product = builder.mul(left, right)
        high = builder.trunc(builder.lshr(product, _WIDE(64)), _WORD)
        return context.make_tuple(builder, pair, [high, builder.trunc(product, _WORD)])

    return pair(types.uint64, types.uint64), generate


@intrinsic
def float_of_bits(typing_context: Any, bits: Any) -> Any:
    """Return the float64 whose bits a uint64 holds."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], _FLOAT)

    return types.float64(types.uint64), generate
