"""Four float64 numbers as one value inside a kernel, each calculated as it would be alone.

Addition, subtraction, multiplication, division and square root of IEEE 754 give the same bits in a lane as by
themselves (`replay_equals_run`); no two lanes are ever combined. LLVM by itself takes several numbers of an array at
once, too, but in groups of sixteen, with a check for overlapping arrays before each loop and the rest one by one:
more than half the time for the twenty numbers of an ordinary event.

A kernel that takes its numbers by ``load(array, place, of)`` works on lanes where ``of`` is ``NO_LANES``'s type and on
single numbers where it is 0.0, so that it is written once. ``place`` counts through all rows of a C-contiguous array.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Final

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import lower_builtin, register_model

from streamlearn.native import intrinsic

LANES: Final = 4

_LANES = ir.VectorType(ir.DoubleType(), LANES)
_ALIGNED = 8  # arrays begin where they like


class _Lanes(types.Type):
    def __init__(self) -> None:
        super().__init__(name="lanes")


_lanes = _Lanes()


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _LANES)  # type: ignore[no-untyped-call]


def _let_calculate(operation: Callable[..., Any], instruction: str) -> None:
    @infer_global(operation)  # type: ignore[no-untyped-call]
    class _Template(ConcreteTemplate):
        cases = [signature(_lanes, _lanes, _lanes)]  # type: ignore[no-untyped-call]  # noqa: RUF012

    def lower(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return getattr(builder, instruction)(*arguments)

    lower_builtin(operation, _lanes, _lanes)(lower)  # type: ignore[no-untyped-call]


for _operation, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _let_calculate(_operation, _instruction)


def _constant(kind: Any, value: float) -> Any:
    return ir.Constant(_LANES, [value] * LANES) if kind == _lanes else ir.Constant(ir.DoubleType(), value)


def _place_of(context: Any, builder: Any, array_type: Any, array: Any, place: Any, kind: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    at = builder.gep(data, [place])
    return builder.bitcast(at, _LANES.as_pointer()) if kind == _lanes else at


@intrinsic
def lanes(_context: Any, _value: Any) -> Any:
    """Return lanes that all hold ``value``."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        value = ir.Constant(_LANES, ir.Undefined)
        for lane in range(LANES):
            value = builder.insert_element(value, arguments[0], context.get_constant(types.int32, lane))
        return value

    return _lanes(types.float64), generate


@intrinsic
def load(_context: Any, array: Any, _place: Any, of: Any) -> Any:
    """Return what stands in a C-contiguous array of float64 at ``place``: of the type of ``of``."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.load(
            _place_of(context, builder, array, arguments[0], arguments[1], of), align=_ALIGNED
        )

    return of(array, types.int64, of), generate


@intrinsic
def store(_context: Any, array: Any, _place: Any, value: Any) -> Any:
    """Write ``value`` into a C-contiguous array of float64, from ``place`` on."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        at = _place_of(context, builder, array, arguments[0], arguments[1], value)
        builder.store(arguments[2], at, align=_ALIGNED)
        return context.get_dummy_value()

    return types.void(array, types.int64, value), generate


@intrinsic
def root_of(_context: Any, x: Any) -> Any:
    """Return the square root."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        kind = arguments[0].type
        name = "llvm.sqrt.v4f64" if x == _lanes else "llvm.sqrt.f64"
        function = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
            builder.module, ir.FunctionType(kind, [kind]), name
        )
        return builder.call(function, arguments)

    return x(x), generate


@intrinsic
def zero_where_zero(_context: Any, x: Any, _other: Any) -> Any:
    """Return ``other``, or 0 where ``x`` is 0. What is no number is not 0."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        zero = _constant(x, 0.0)
        differs = builder.fcmp_unordered("!=", arguments[0], zero)
        return builder.select(differs, arguments[1], zero)

    return x(x, x), generate
