"""Rounds on a working set give the optimum of the whole dictionary."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from convexsnn.columns import BitColumns, pack_bits
from convexsnn.losses import LOSSES
from convexsnn.penalties import PENALTIES
from convexsnn.program import ConvexProgram, uniform_weights
from convexsnn.solvers import Solution, SolverOptions, Status, solve, working_set
from convexsnn.solvers.newton.solver import SemismoothNewton


def make_program(loss: str, penalty: str, rho: float = 0.01) -> ConvexProgram:
    generator = torch.Generator().manual_seed(1)
    bits = torch.rand(70, 60, generator=generator) < 0.4
    labels = torch.randint(3, (60,), generator=generator)
    columns = BitColumns(pack_bits(bits), 60)
    return ConvexProgram(
        columns, LOSSES[loss].encode(labels, 3), LOSSES[loss], PENALTIES[penalty], rho, uniform_weights(60)
    )


pytestmark = pytest.mark.usefixtures("small_limits")


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convexsnn.solvers.newton.solver.DENSE_BYTES", 0)
    monkeypatch.setattr(working_set, "FIRST_COLUMNS", 4)


@pytest.mark.parametrize("penalty", ["l1", "group"])
@pytest.mark.parametrize("loss", ["squared", "logistic", "cross_entropy"])
def test_same_optimum_as_all_columns_at_once(loss: str, penalty: str) -> None:
    program = make_program(loss, penalty)
    rounds = solve(program)
    assert rounds.status is Status.CONVERGED
    assert len(rounds.history) > 1
    gaps = [entry.relative_gap for entry in rounds.history]
    assert gaps == sorted(gaps, reverse=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("convexsnn.solvers.newton.solver.DENSE_BYTES", 2**31)
        whole = solve(program)
    assert len(whole.history) > 0
    assert rounds.certificate.primal == pytest.approx(whole.certificate.primal, rel=2e-6)


def test_no_product_sees_the_dictionary_as_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the columns of the working set are unpacked at once."""
    program = make_program("logistic", "l1", rho=0.1)
    widest = 0
    unpack = BitColumns.dense

    def dense(self: BitColumns, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        nonlocal widest
        widest = max(widest, self.shape[1])
        return unpack(self, dtype)

    monkeypatch.setattr(BitColumns, "dense", dense)
    solution = solve(program)
    assert solution.status is Status.CONVERGED
    assert 0 < widest < program.n_columns


def test_zero_is_recognised_at_once_and_limits_are_kept() -> None:
    program = make_program("logistic", "l1", rho=10.0)
    solution = solve(program)
    assert solution.status is Status.CONVERGED
    assert solution.n_iter == 0
    assert solution.certificate.nonzeros == 0
    assert solve(make_program("logistic", "l1"), SolverOptions(max_iter=1)).status is Status.MAX_ITER


def test_warm_start_and_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    program = make_program("cross_entropy", "group")
    first = solve(program)
    again = solve(replace(program, rho=0.9 * program.rho), W0=first.W)
    assert again.status is Status.CONVERGED
    rounds = 0

    def interrupted(*_: object) -> Solution:
        nonlocal rounds
        rounds += 1
        raise KeyboardInterrupt

    monkeypatch.setattr(working_set, "_working_set", interrupted)
    stopped = SemismoothNewton().solve(program, SolverOptions())
    assert rounds == 1
    assert stopped.status is Status.INTERRUPTED
    assert stopped.certificate.dual > 0.0
