"""Exact arithmetic on what floats say: floats as integers, elimination, kernels and systems of linear inequalities.

Every finite float is an integer times a power of two, so that what a predicate asks of floats can be asked of Python's
integers instead, which do not round. Arrays of integers are numpy arrays of dtype object.
"""

from convexsnn.rationals.dyadic import (
    Floats,
    Integers,
    as_fractions,
    as_integers,
    bit_length,
    sign_of,
    with_shared_unit,
)
from convexsnn.rationals.elimination import independent_columns, kernel_lattice, primitive, primitive_rows
from convexsnn.rationals.inequalities import Answer, Interior, decide_inequalities, interior

__all__ = [
    "Answer",
    "Floats",
    "Integers",
    "Interior",
    "as_fractions",
    "as_integers",
    "bit_length",
    "decide_inequalities",
    "independent_columns",
    "interior",
    "kernel_lattice",
    "primitive",
    "primitive_rows",
    "sign_of",
    "with_shared_unit",
]
