"""The one loop of column generation: when it stops, and what it says then."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch

from convexsnn.solvers import Status
from convexsnn.solvers.base import Best
from convexsnn.solvers.column_generation import generate_columns, offer_dual
from helpers import draw_program


@dataclass
class Scripted:
    """A master whose rounds are written down: the gap closes after so many, or they go another way."""

    closes_after: int = 10
    most: int = 10
    columns: int = 10
    statuses: dict[int, Status] = field(default_factory=dict)
    priced: int = 0
    solved: list[int] = field(default_factory=list)

    @property
    def closed(self) -> bool:
        return len(self.solved) >= self.closes_after

    @property
    def full(self) -> bool:
        return len(self.solved) >= self.most

    def price(self) -> int | None:
        self.priced += 1
        return self.priced if self.priced <= self.columns else None

    def solve(self, new: int) -> Status:
        self.solved.append(new)
        return self.statuses.get(new, Status.CONVERGED)


@pytest.mark.parametrize(
    ("master", "status", "rounds"),
    [
        (Scripted(closes_after=0), Status.CONVERGED, 0),
        (Scripted(closes_after=3), Status.CONVERGED, 3),
        (Scripted(closes_after=3, most=3), Status.CONVERGED, 3),
        (Scripted(most=2), Status.MAX_ITER, 2),
        (Scripted(columns=4), Status.STALLED, 4),
        (Scripted(statuses={2: Status.STALLED}), Status.STALLED, 2),
        (Scripted(statuses={2: Status.INTERRUPTED}), Status.INTERRUPTED, 2),
    ],
)
def test_rounds_end_with_the_reason(master, status, rounds):
    assert generate_columns(master) is status
    assert master.solved == list(range(1, rounds + 1))


def test_pricing_may_close_the_gap_by_its_bound():
    class ClosedByPricing(Scripted):
        def price(self) -> None:
            self.closes_after = 0

    assert generate_columns(ClosedByPricing()) is Status.CONVERGED


def test_an_interrupt_passes_through():
    class Interrupted(Scripted):
        def price(self) -> int | None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate_columns(Interrupted())


@pytest.mark.parametrize("penalty", ["l1", "group"])
def test_an_offered_dual_vector_is_made_feasible(penalty):
    program = draw_program("logistic", penalty)
    U = program.data_gradient(torch.zeros_like(program.targets))
    best = Best(torch.zeros(program.n_columns, program.n_outputs), torch.zeros_like(U))
    products = offer_dual(program, best, U)
    assert torch.equal(products, program.columns.rmatmul(U))
    assert best.dual == program.dual(best.U)
    assert float(program.penalty.dual_norm(program.columns.rmatmul(best.U))) <= program.rho * (1 + 1e-12)
    before = best.dual
    offer_dual(program, best, 0.0 * U)
    assert best.dual == before
