"""Column generation: solve over few columns, price all by the dual vector, add what may improve, and again."""

from __future__ import annotations

from typing import Protocol, TypeVar

from torch import Tensor

from convexsnn.program import ConvexProgram
from convexsnn.solvers.base import Best, Status

New = TypeVar("New")


class RestrictedMaster(Protocol[New]):
    """A program over a working set of its columns, which knows its best certified point.

    What `price` returns is up to the master: the next working set, the columns to add, or neurons that an exact oracle
    has found. Both methods offer the primal and dual points that they come upon to the best point.
    """

    @property
    def closed(self) -> bool:
        """Whether the gap over all columns is within the tolerance."""
        ...

    @property
    def full(self) -> bool:
        """Whether the limit on iterations or on time is reached."""
        ...

    def price(self) -> New | None:
        """The columns of the next round; None where there are none that could improve, or progress has ended."""
        ...

    def solve(self, new: New) -> Status:
        """Solve over these columns, and say whether to go on: any status but CONVERGED ends the rounds."""
        ...


def generate_columns(master: RestrictedMaster[New]) -> Status:
    """Price and solve by turns until the gap over all columns is closed, or say why that failed.

    A KeyboardInterrupt passes through: the master's best point is certified, and its owner reports INTERRUPTED.
    """
    while not master.closed:
        if master.full:
            return Status.MAX_ITER
        new = master.price()
        if new is None:
            return Status.CONVERGED if master.closed else Status.STALLED
        status = master.solve(new)
        if status is not Status.CONVERGED:
            return status
    return Status.CONVERGED


def offer_dual(program: ConvexProgram, best: Best, U: Tensor) -> Tensor:
    """Offer a dual vector in the domain of F*, scaled to be feasible; its products D^T U, (P, C)."""
    products = program.columns.rmatmul(U)
    excess = max(1.0, program.penalty.excess(products, program.rho))
    best.offer_dual(U / excess, program.dual(U / excess, products / excess))
    return products
