"""Long arithmetic, digit by digit: the label of a step is the digit written down and what is carried on.

Every step has three inputs, each divided by base - 1. The first is a digit of the first number. The second is the digit
of the second number; in multiplication and division it is the same one-digit number at every step. The third is what
the step before carried on, and 0 at the first step. Addition, subtraction and multiplication start at the least
significant digit, division at the most significant one. With D digits:

==============  =============================  =========  ============================
task            numbers                        steps T    carried on
==============  =============================  =========  ============================
addition        two, uniform                   D + 1      carry, 0 or 1
subtraction     two, uniform, larger first     D          borrow, 0 or 1
multiplication  uniform; multiplier 0 .. b-1   D + 1      carry, 0 .. b-2 (0 in base 2)
division        uniform; divisor 1 .. b-1      D          remainder, 0 .. b-2
==============  =============================  =========  ============================

In ``multiplication:base-10-by-3`` the multiplier is always 3.

The extra step of addition and multiplication, whose first digit (and second, in addition) is 0, writes the last carry.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from convexsnn.checks import check_integer
from convexsnn.tasks.base import (
    Split,
    Streams,
    TaskData,
    TaskInfo,
    TaskSettings,
    assemble,
    draw_splits,
    given,
)
from convexsnn.tasks.joint import Feedback, JointLabels

CARRY_FEATURE = 2
# From two digits and what came in, what to write down and what to carry on.
Step = Callable[[np.ndarray, np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray]]
# Digits (n, D) of both numbers, in the order of the steps.
Draw = Callable[[np.random.Generator, int, int, int], tuple[np.ndarray, np.ndarray]]


def _add(a: np.ndarray, b: np.ndarray, carry: np.ndarray, base: int) -> tuple[np.ndarray, np.ndarray]:
    return (a + b + carry) % base, (a + b + carry) // base


def _subtract(a: np.ndarray, b: np.ndarray, borrow: np.ndarray, base: int) -> tuple[np.ndarray, np.ndarray]:
    return (a - b - borrow) % base, (a - b - borrow < 0).astype(np.int64)


def _multiply(a: np.ndarray, m: np.ndarray, carry: np.ndarray, base: int) -> tuple[np.ndarray, np.ndarray]:
    return (a * m + carry) % base, (a * m + carry) // base


def _divide(a: np.ndarray, m: np.ndarray, remainder: np.ndarray, base: int) -> tuple[np.ndarray, np.ndarray]:
    return (remainder * base + a) // m, (remainder * base + a) % m


def _two_numbers(rng: np.random.Generator, n: int, digits: int, base: int) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.moveaxis(rng.integers(0, base, size=(n, 2, digits)), 1, 0)
    return a, b


def _larger_first(rng: np.random.Generator, n: int, digits: int, base: int) -> tuple[np.ndarray, np.ndarray]:
    a, b = _two_numbers(rng, n, digits, base)
    # The most significant digit that differs decides, and it is the last: an argmax over the reversed digits.
    deciding = digits - 1 - np.argmax((a != b)[:, ::-1], axis=1)
    rows = np.arange(n)
    swap = (a[rows, deciding] < b[rows, deciding])[:, None]
    return np.where(swap, b, a), np.where(swap, a, b)


def _multiplier(rng: np.random.Generator, n: int, digits: int, base: int) -> tuple[np.ndarray, np.ndarray]:
    a, m = rng.integers(0, base, size=(n, digits)), rng.integers(0, base, size=n)
    return a, np.repeat(m[:, None], digits, axis=1)


def _divisor(rng: np.random.Generator, n: int, digits: int, base: int) -> tuple[np.ndarray, np.ndarray]:
    a, m = rng.integers(0, base, size=(n, digits)), rng.integers(1, base, size=n)
    return a, np.repeat(m[:, None], digits, axis=1)


@dataclass(frozen=True)
class Operation:
    """One of the four arithmetic tasks.

    Attributes
    ----------
    carried : str
        What the third input is called.
    step : Step
    draw : Draw
    extra_step : bool
        Whether one more step writes the last carry.
    many_carries : bool
        Whether up to base - 1 values are carried on, rather than two.
    """

    carried: str
    step: Step
    draw: Draw
    extra_step: bool
    many_carries: bool

    def joint(self, base: int) -> JointLabels:
        """How the labels split into the digit and what is carried on."""
        return JointLabels(("digit", self.carried), (base, base - 1 if self.many_carries else 2))


OPERATIONS = {
    "addition": Operation("carry", _add, _two_numbers, extra_step=True, many_carries=False),
    "subtraction": Operation("borrow", _subtract, _larger_first, extra_step=False, many_carries=False),
    "multiplication": Operation("carry", _multiply, _multiplier, extra_step=True, many_carries=True),
    "division": Operation("remainder", _divide, _divisor, extra_step=False, many_carries=True),
}

_ORDER = {name: "most" if name == "division" else "least" for name in OPERATIONS}
INFOS = tuple(
    TaskInfo(
        name=f"{name}:base-B",
        description=f"long {name} in base B = 2 .. 16 (plain `{name}`: base 2), {_ORDER[name]} significant digit first",
        defaults=TaskSettings(n_train=1000, n_val=1000, n_test=1000, timesteps=5 + operation.extra_step, per_step=True),
        per_step="always",
        source="generated",
        examples=(name, f"{name}:base-10", *([f"{name}:base-10-by-3"] if name == "multiplication" else [])),
    )
    for name, operation in OPERATIONS.items()
)


def load_arithmetic(name: str, settings: TaskSettings, streams: Streams) -> TaskData:
    """Draw problems of equally many digits.

    Raises
    ------
    ValueError
        If the base is not 2 .. 16, or timesteps leave no digit.
    """
    operation, (base, factor) = OPERATIONS[name.partition(":")[0]], parameters_of(name)
    digits = given("timesteps", settings.timesteps) - operation.extra_step
    if digits < 1:
        raise ValueError(f"timesteps must be at least 2 for {name}, not 1: numbers have timesteps - 1 digits")
    joint = operation.joint(base)

    def split(rng: np.random.Generator, n: int) -> Split:
        a, b = operation.draw(rng, n, digits, base)
        return _work_out(operation, joint, base, a, b if factor is None else np.full_like(b, factor))

    feedback = Feedback(input_feature=CARRY_FEATURE, output_factor=1, scale=float(base - 1))
    splits = draw_splits(settings, streams, split)
    return assemble(name, settings, splits, joint.class_names, joint=joint, feedback=feedback)


def parameters_of(name: str) -> tuple[int, int | None]:
    """The base that a task's name says, and its multiplier where that is always the same.

    Raises
    ------
    ValueError
        Unless the base is 2 .. 16 and the multiplier a digit of it that is not 0.
    """
    kind, colon, parameter = name.partition(":")
    if not colon:
        return 2, None
    by = r"(?:-by-(\d{1,9}))?" if kind == "multiplication" else "()?"
    match = re.fullmatch(r"base-(\d{1,9})" + by, parameter)
    if match is None:
        raise ValueError(f"unknown task {name!r}: expected a base such as {kind}:base-10")
    base = check_integer(f"the base in {name}", int(match[1]), minimum=2, maximum=16)
    if not match[2]:
        return base, None
    return base, check_integer(f"the multiplier in {name}", int(match[2]), minimum=1, maximum=base - 1)


def _work_out(operation: Operation, joint: JointLabels, base: int, a: np.ndarray, b: np.ndarray) -> Split:
    """Inputs and labels of every step from digits a, b of shape (n, D)."""
    if operation.extra_step:
        a = np.pad(a, ((0, 0), (0, 1)))
        # A multiplier is the same at every step; the second number of a sum has run out of digits.
        b = np.pad(b, ((0, 0), (0, 1)), mode="edge" if operation.many_carries else "constant")
    carried = np.zeros(len(a), dtype=np.int64)
    X, y = np.empty((*a.shape, 3)), np.empty(a.shape, dtype=np.int64)
    for t in range(a.shape[1]):
        X[:, t] = np.column_stack([a[:, t], b[:, t], carried]) / (base - 1)
        digit, carried = operation.step(a[:, t], b[:, t], carried, base)
        y[:, t] = joint.join(digit, carried)
    return Split(X, y)
