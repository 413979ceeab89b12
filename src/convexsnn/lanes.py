"""Vectors of floats as values in compiled code: one load, sum, product or comparison for 64 bytes of neurons.

Numba compiles loops over scalars, and hopes that LLVM makes vectors of them. Here vectors are written down: a value of
type `Lanes` is an LLVM vector of 64 bytes (16 float32 or 8 float64), which LLVM cuts to what the processor has. All of
these functions but `lanes_of` are for use in compiled code alone. Memory is reached by pointers, which know no bounds.
"""

# Numba makes some of these names when it is imported.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.extending import models, register_model
from numba.extending import intrinsic

BYTES = 64


def lanes_of(itemsize: int) -> int:
    """Numbers of a vector, of so many bytes each."""
    return BYTES // itemsize


class Lanes(types.Type):
    """The type of a vector of 64 bytes of `element`, float32 or float64."""

    def __init__(self, element: types.Float) -> None:
        self.element = element
        super().__init__(name=f"Lanes({element})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Lanes) -> None:
        element = ir.FloatType() if kind.element == types.float32 else ir.DoubleType()
        super().__init__(manager, kind, ir.VectorType(element, 8 * BYTES // kind.element.bitwidth))


@intrinsic
def pointer(typing, array):  # noqa: ARG001 - numba wants a typing context first, here and below
    """Where the numbers of an array begin."""

    def build(context, builder, signature, arguments):  # noqa: ARG001
        return context.make_array(array)(context, builder, arguments[0]).data

    return types.CPointer(array.dtype)(array), build


@intrinsic
def load(typing, start, index):  # noqa: ARG001
    """Vector number `index` of those that begin at `start`."""
    kind = Lanes(start.dtype)

    def build(context, builder, signature, arguments):  # noqa: ARG001
        return builder.load(_place(builder, arguments, context.get_value_type(kind)), align=start.dtype.bitwidth // 8)

    return kind(start, types.intp), build


@intrinsic
def load_where(typing, start, index, bits):  # noqa: ARG001
    """The numbers from number `index` on in the lanes that the lowest bits of an integer name, and 0 in the others.

    Memory of the other lanes is not read.
    """
    kind = Lanes(start.dtype)

    def build(context, builder, signature, arguments):  # noqa: ARG001
        first, index, bits = arguments
        vector = context.get_value_type(kind)
        place = builder.bitcast(builder.gep(first, [index]), vector.as_pointer())
        align, other = ir.Constant(ir.IntType(32), start.dtype.bitwidth // 8), ir.Constant(vector, None)
        loaded = [place, align, _mask(builder, bits, vector.count), other]
        return _call(builder, f"llvm.masked.load.{_name(vector)}.p0{_name(vector)}", vector, loaded)

    return kind(start, types.intp, types.uint64), build


@intrinsic
def store(typing, start, index, value):  # noqa: ARG001
    """Write a vector to where number `index` of those that begin at `start` is."""

    def build(context, builder, signature, arguments):  # noqa: ARG001
        builder.store(arguments[2], _place(builder, arguments, arguments[2].type), align=start.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(start, types.intp, value), build


@intrinsic
def spread(typing, number):  # noqa: ARG001
    """One number in all lanes."""
    kind = Lanes(number)

    def build(context, builder, signature, arguments):  # noqa: ARG001
        vector = context.get_value_type(kind)
        nothing = ir.Constant(vector, ir.Undefined)
        first = builder.insert_element(nothing, arguments[0], ir.Constant(ir.IntType(32), 0))
        firsts = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None)
        return builder.shuffle_vector(first, nothing, firsts)

    return kind(number), build


@intrinsic
def zeros(typing, start):  # noqa: ARG001
    """Zero in all lanes, of the numbers that a pointer leads to."""
    kind = Lanes(start.dtype)

    def build(context, builder, signature, arguments):  # noqa: ARG001
        return ir.Constant(context.get_value_type(kind), None)

    return kind(start), build


@intrinsic
def plus(typing, a, b):  # noqa: ARG001
    """A + b."""
    return a(a, a), lambda context, builder, signature, arguments: builder.fadd(*arguments)  # noqa: ARG005


@intrinsic
def muladd(typing, a, b, c):  # noqa: ARG001
    """A * b + c, rounded once where the processor can."""

    def build(context, builder, signature, arguments):  # noqa: ARG001
        vector = arguments[0].type
        return _call(builder, f"llvm.fmuladd.{_name(vector)}", vector, arguments)

    return a(a, a, a), build


@intrinsic
def total(typing, a):  # noqa: ARG001
    """The sum over all lanes."""

    def build(context, builder, signature, arguments):  # noqa: ARG001
        vector = arguments[0].type
        added = [ir.Constant(vector.element, 0.0), arguments[0]]
        # The order of the sum is free: half and half is fast.
        name = f"llvm.vector.reduce.fadd.{_name(vector)}"
        return _call(builder, name, vector.element, added, fastmath=("reassoc",))

    return a.element(a), build


@intrinsic
def reached(typing, a, b):  # noqa: ARG001
    """The lanes in which a >= b, as the lowest bits of an integer."""

    def build(context, builder, signature, arguments):  # noqa: ARG001
        hit = builder.fcmp_ordered(">=", *arguments)
        return builder.zext(builder.bitcast(hit, ir.IntType(hit.type.count)), ir.IntType(64))

    return types.uint64(a, a), build


@intrinsic
def where(typing, bits, a, b):  # noqa: ARG001
    """`a` in the lanes that the lowest bits of an integer name, else `b`."""

    def build(context, builder, signature, arguments):  # noqa: ARG001
        bits, a, b = arguments
        return builder.select(_mask(builder, bits, a.type.count), a, b)

    return a(types.uint64, a, a), build


def _place(builder: Any, arguments: Any, vector: Any) -> Any:
    start, index = arguments[:2]
    return builder.gep(builder.bitcast(start, vector.as_pointer()), [index])


def _mask(builder: Any, bits: Any, count: int) -> Any:
    return builder.bitcast(builder.trunc(bits, ir.IntType(count)), ir.VectorType(ir.IntType(1), count))


def _name(vector: ir.VectorType) -> str:
    """What LLVM calls a type in the names of its functions."""
    return f"v{vector.count}{'f32' if vector.element == ir.FloatType() else 'f64'}"


def _call(builder: Any, name: str, result: Any, arguments: Any, fastmath: tuple[str, ...] = ()) -> Any:
    """A call of a function that LLVM knows."""
    kind = ir.FunctionType(result, [value.type for value in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments, fastmath=fastmath)
