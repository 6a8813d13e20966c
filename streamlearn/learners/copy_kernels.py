"""Copies past the processor's caches: of memory that nobody looks at soon.

An ordinary copy reads each line of its target before it writes it, and drives out of the caches what was in them.
Streaming stores do neither (measured, 100 MB: 10 ms against 16 of ``memcpy`` and 26 of torch's ``copy_``).
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

from streamlearn.native import intrinsic, kernel

LINE_BYTES = 64


@intrinsic
def _stream_line(_typing_context: Any, _target: Any, _source: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        line = ir.VectorType(ir.IntType(64), LINE_BYTES // 8).as_pointer()
        target, source = (builder.inttoptr(address, line) for address in arguments)
        stored = builder.store(builder.load(source, align=1), target, align=LINE_BYTES)
        stored.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)]))
        return arguments[0]

    return types.int64(types.int64, types.int64), generate


@intrinsic
def _fence(_typing_context: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, _arguments: Any) -> Any:
        builder.fence("seq_cst")
        return ir.Constant(ir.IntType(64), 0)

    return types.int64(), generate


@kernel
def stream_lines(target: int, source: int, lines: int) -> None:
    """Copy so many lines of 64 bytes to an address that is a multiple of 64; done once it returns, for every thread."""
    for line in range(lines):
        _stream_line(target + line * LINE_BYTES, source + line * LINE_BYTES)
    _fence()
