"""What a solver may need of a program, and the words in which a program without it is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from convexsnn.losses import SmoothLoss, Squared, is_hinge
from convexsnn.penalties import Elastic, Norm, PenaltyWithJacobian, Ridge
from convexsnn.program import ConvexProgram


@dataclass(frozen=True)
class Need:
    """A property of programs that a solver rests on.

    Attributes
    ----------
    words : str
        What is needed, as the object of "needs".
    met : callable
        Whether a program has it. It asks loss and penalty for what they declare, never for their names.
    """

    words: str
    met: Callable[[ConvexProgram], bool]


PENALISED = Need("an intercept that is penalised", lambda program: not program.free_intercept)
FREE = Need("an intercept that is free", lambda program: program.free_intercept)
COLUMN_OF_ONES = Need(
    "a column of ones, where the intercept is free",
    lambda program: not program.free_intercept or program.free_column is not None,
)
HINGE = Need("the loss max(0, 1 - y s)", lambda program: is_hinge(program.loss))
SMOOTH_LOSS = Need("a smooth loss such as squared or logistic", lambda program: isinstance(program.loss, SmoothLoss))
ABSOLUTE_PENALTY = Need("the l1 penalty, or one output", lambda program: _exponent(program) == 1.0)
EUCLIDEAN_PENALTY = Need("the group penalty of several outputs", lambda program: _exponent(program) == 2.0)
SUM_OF_NORMS = Need("the l1 or the group penalty", lambda program: _exponent(program) in (1.0, 2.0))
NORM_WITH_JACOBIAN = Need(
    "a norm as penalty whose proximal map has a Jacobian",
    lambda program: isinstance(program.penalty, Norm) and isinstance(program.penalty, PenaltyWithJacobian),
)
SQUARED_LOSS = Need("the squared loss", lambda program: isinstance(program.loss, Squared))
RIDGE_PENALTY = Need("the ridge penalty", lambda program: isinstance(program.penalty, Ridge))
ELASTIC_PENALTY = Need("the elastic penalty", lambda program: isinstance(program.penalty, Elastic))


def _exponent(program: ConvexProgram) -> float | None:
    penalty = program.penalty
    return penalty.exponent(program.n_outputs) if isinstance(penalty, Norm) else None


def unmet(needs: tuple[Need, ...], program: ConvexProgram) -> tuple[str, ...]:
    """The needs that the program does not meet, in words."""
    return tuple(need.words for need in needs if not need.met(program))


def check_needs(name: str, needs: tuple[Need, ...], program: ConvexProgram) -> None:
    """ValueError, with what is missing, where the program does not meet the needs of the solver called `name`."""
    missing = unmet(needs, program)
    if missing:
        raise ValueError(f"{name} needs {' and '.join(missing)}; it was given {describe_program(program)}")


def describe_program(program: ConvexProgram) -> str:
    """The kind of program, in words."""
    outputs = "1 output" if program.n_outputs == 1 else f"{program.n_outputs} outputs"
    free = ", with a free intercept" if program.free_intercept else ""
    return f"loss {program.loss.name!r} with penalty {program.penalty.name!r} and {outputs}{free}"
