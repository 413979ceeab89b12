"""What every solver promises: which programs it takes, and what it returns."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, Protocol

from torch import Tensor

from convexsnn.certificate import Certificate, certify_feasible, relative_gap
from convexsnn.checks import check_integer, check_real
from convexsnn.program import ConvexProgram
from convexsnn.solvers.needs import Need, describe_program, unmet


class Status(Enum):
    """Why a solver stopped; the value is advice for a person."""

    CONVERGED = "the relative duality gap is within tol"
    MAX_ITER = "the iteration limit was reached before tol: raise max_iter, raise tol, or raise beta"
    STALLED = "no further progress was possible in this arithmetic: raise tol, or rescale the columns"
    INTERRUPTED = "interrupted: the best certified point so far is returned"


@dataclass(frozen=True)
class Progress:
    """One line of a solver's history, with relative gap as certified at that moment."""

    iteration: int
    primal: float
    dual: float
    relative_gap: float
    seconds: float


Callback = Callable[[Progress], None]


@dataclass(frozen=True)
class SolverOptions:
    """When to stop.

    Attributes
    ----------
    tol : float
        Target relative duality gap.
    max_iter : int
        Limit on the solver's outer iterations.
    callback : callable or None
        Called with a `Progress` after each outer iteration.
    """

    tol: float = 1e-6
    max_iter: int = 1000
    callback: Callback | None = None

    def __post_init__(self) -> None:
        check_real("tol", self.tol, 0.0, 1.0, open_minimum=True)
        check_integer("max_iter", self.max_iter)


@dataclass(frozen=True)
class Solution:
    """Weights, a feasible dual vector, the certificate computed from the two, and why the solver stopped.

    Attributes
    ----------
    W : float64 tensor (P, C)
    U : float64 tensor (n, C)
        Feasible for the dual program.
    certificate : Certificate
        Of (W, U), recomputed from them alone.
    status : Status
    n_iter : int
    seconds : float
    solver : str
    history : tuple of Progress
    """

    W: Tensor
    U: Tensor
    certificate: Certificate
    status: Status
    n_iter: int
    seconds: float
    solver: str
    history: tuple[Progress, ...] = field(default=(), repr=False)


class Solver(Protocol):
    """A solver declares what it needs of a program, and solves any program that has it.

    `solve` raises ValueError, with what is missing, for other programs.

    `prepare` computes what programs that differ in rho alone have in common, and `solve` takes it, and may add to it
    what the next of these programs can use. It computes it itself where it is not given.
    """

    name: ClassVar[str]
    needs: ClassVar[tuple[Need, ...]]

    def prepare(self, program: ConvexProgram) -> Any: ...

    def solve(
        self, program: ConvexProgram, options: SolverOptions, W0: Tensor | None = None, prepared: Any = None
    ) -> Solution: ...


def first_solver(solvers: Sequence[Solver], program: ConvexProgram) -> Solver:
    """The first solver whose needs the program meets; ValueError where there is none, with what each of them misses."""
    missing = {}
    for solver in solvers:
        missing[solver.name] = unmet(solver.needs, program)
        if not missing[solver.name]:
            return solver
    reasons = "; ".join(f"{name} needs {' and '.join(words)}" for name, words in missing.items())
    raise ValueError(f"no solver takes {describe_program(program)}: {reasons}")


@dataclass
class Best:
    """The best primal point, the best dual point, and the relative gap between them."""

    W: Tensor
    U: Tensor
    primal: float = math.inf
    dual: float = -math.inf

    @property
    def relative_gap(self) -> float:
        return relative_gap(self.primal, self.dual)

    def offer(self, W: Tensor, primal: float, U: Tensor, dual: float) -> None:
        """Take over weights (P, C) and a feasible dual vector (n, C) where their objectives are better."""
        self.offer_primal(W, primal)
        self.offer_dual(U, dual)

    def offer_primal(self, W: Tensor, primal: float) -> None:
        """Take over weights (P, C) where their objective is better."""
        if primal < self.primal:
            self.W, self.primal = W, primal

    def offer_dual(self, U: Tensor, dual: float) -> None:
        """Take over a feasible dual vector (n, C) where its objective is better."""
        if dual > self.dual:
            self.U, self.dual = U, dual


class Journal:
    """What one call of a solver notes down: when it began, and what was certified after each iteration.

    Attributes
    ----------
    entries : list of Progress
    """

    def __init__(self, options: SolverOptions) -> None:
        self.options = options
        self.entries: list[Progress] = []
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since the call began."""
        return time.perf_counter() - self._started

    @property
    def full(self) -> bool:
        """Whether the iteration limit is reached."""
        return len(self.entries) >= self.options.max_iter

    def record(self, primal: float, dual: float) -> None:
        """Note the best primal and dual values after one more iteration, and tell the callback."""
        entry = Progress(len(self.entries) + 1, primal, dual, relative_gap(primal, dual), self.seconds)
        self.entries.append(entry)
        if self.options.callback is not None:
            self.options.callback(entry)


def conclude(
    program: ConvexProgram, W: Tensor, U: Tensor, journal: Journal, *, status: Status, solver: str
) -> Solution:
    """Make the Solution of (W, U): the certificate is recomputed here, and CONVERGED is granted by it alone."""
    U, certificate = certify_feasible(program, W, U)
    if certificate.holds(journal.options.tol):
        status = Status.CONVERGED
    elif status is Status.CONVERGED:
        status = Status.STALLED
    return Solution(
        W=W,
        U=U,
        certificate=certificate,
        status=status,
        n_iter=len(journal.entries),
        seconds=journal.seconds,
        solver=solver,
        history=tuple(journal.entries),
    )
