"""The parts of the active-set Newton solver: its quadratic programs, its curvature, and what a path hands on."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from convexsnn.columns import Columns
from convexsnn.row_matrices import RowMatrices
from convexsnn.solvers import SolverOptions, Status, solve
from convexsnn.solvers.active_set import curvature_store, dense_model, gram, pivoting
from convexsnn.solvers.active_set.curvature_store import CurvatureStore
from convexsnn.solvers.active_set.dense_model import DenseModel
from convexsnn.solvers.active_set.descent import Descent
from convexsnn.solvers.active_set.solver import ActiveSetNewton
from convexsnn.solvers.base import Journal
from convexsnn.solvers.hinge import linear
from convexsnn.solvers.hinge.linear import HingeLinear
from convexsnn.solvers.newton.solver import SemismoothNewton
from convexsnn.solvers.path import rho_grid, solve_path
from helpers import draw_program


def quadratic(k: int, rank: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    factor = torch.randn(rank, k, generator=generator, dtype=torch.float64)
    return factor.T @ factor + 1e-6 * torch.eye(k, dtype=torch.float64), factor.T @ torch.randn(
        rank, generator=generator, dtype=torch.float64
    )


def diagonal(h: Tensor) -> RowMatrices:
    """Curvature of one output: h (n,)."""
    return RowMatrices(h.unsqueeze(1))


def assert_optimal(H: Tensor, b: Tensor, penalty: float, x: Tensor | None) -> None:
    """The subdifferential holds zero; the program is convex, so that is all there is to show."""
    assert x is not None
    gradient = H @ x - b
    used = x != 0.0
    assert torch.allclose(gradient[used], -penalty * x[used].sign(), atol=1e-7)
    assert bool((gradient.abs() <= penalty * (1.0 + 1e-7)).all())


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    k=st.integers(1, 40),
    rank=st.integers(1, 40),
    level=st.floats(0.01, 1.5),
    seed=st.integers(0, 10**6),
    warm=st.booleans(),
)
def test_quadratic_programs_are_solved_exactly(k: int, rank: int, level: float, seed: int, warm: bool) -> None:
    H, b = quadratic(k, rank, seed)
    penalty = level * float(b.abs().max())
    start = torch.randn(k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) if warm else 0.0 * b
    assert_optimal(H, b, penalty, pivoting.minimise_quadratic(H, b, penalty, start))


@pytest.mark.parametrize("seed", range(5))
def test_single_exchanges_alone_do_it_too(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pivoting, "ATTEMPTS", 0)
    H, b = quadratic(30, 20, seed)
    assert_optimal(H, b, 0.1, pivoting.minimise_quadratic(H, b, 0.1, 0.0 * b))


def test_an_indefinite_matrix_is_refused() -> None:
    H, b = torch.diag(torch.tensor([1.0, -1.0], dtype=torch.float64)), torch.ones(2, dtype=torch.float64)
    assert pivoting.minimise_quadratic(H, b, 0.1, 0.0 * b) is None


@pytest.mark.parametrize("real", [False, True])
def test_curvature_is_kept_until_it_changes(real: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gram, "TILE_COLUMNS", 2)
    monkeypatch.setattr(curvature_store, "SMALL_ENTRIES", 0)
    columns = draw_program("logistic", "l1", n=30, P=12, real=real).columns
    store, D = CurvatureStore(columns), columns.dense()
    products = 0
    here = CurvatureStore._here

    def counted(self: CurvatureStore, index: Tensor) -> Columns:
        nonlocal products
        products += 1
        return here(self, index)

    monkeypatch.setattr(CurvatureStore, "_here", counted)
    h = torch.linspace(0.01, 0.2, 30, dtype=torch.float64)
    for index in ([5, 1, 7], [1, 2, 5, 9, 0], [9, 2], [3]):
        chosen = torch.tensor(index)
        expected = (D[:, chosen].T * h) @ D[:, chosen]
        assert torch.allclose(store.matrix(chosen, diagonal(h)), expected, rtol=1e-6)
    before = products
    store.matrix(torch.tensor([7, 0]), diagonal(h))
    assert products == before
    assert torch.allclose(
        store.matrix(torch.tensor([7]), diagonal(2.0 * h)), 2.0 * (D[:, [7]].T * h) @ D[:, [7]], rtol=1e-6
    )
    assert products > before


def test_constant_curvature_of_bits_is_exact_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curvature_store, "SMALL_ENTRIES", 0)
    columns = draw_program("squared", "l1", n=50, P=9).columns
    h = torch.full((50,), 0.3, dtype=torch.float64)
    D = columns.dense()
    assert torch.equal(CurvatureStore(columns).matrix(torch.arange(9), diagonal(h)), (D.T @ D) * 0.3)


def test_a_path_computes_the_squared_curvature_of_a_column_once(monkeypatch: pytest.MonkeyPatch) -> None:
    appended: list[int] = []
    append = CurvatureStore._append

    def noted(self: CurvatureStore, new: Tensor) -> None:
        appended.extend(new.tolist())
        append(self, new)

    monkeypatch.setattr(CurvatureStore, "_append", noted)
    program = draw_program("squared", "l1", n=60, P=30)
    points = list(solve_path(program, rho_grid(program, 8, 1e-2)))
    assert all(point.status is Status.CONVERGED for point in points)
    assert len(appended) == len(set(appended))


@pytest.mark.parametrize("loss", ["squared", "logistic", "cross_entropy"])
def test_a_path_does_not_price_again_where_it_left(loss: str) -> None:
    program = draw_program(loss, "l1", n=40, P=20, rho=0.02)
    solver = ActiveSetNewton()
    shared = solver.prepare(program)
    first = solver.solve(program, SolverOptions(), None, shared)
    assert torch.equal(shared.left[0].W, first.W if loss == "cross_entropy" else first.W[:, :1])
    below = replace(program, rho=0.9 * program.rho)
    warm, cold = solver.solve(below, SolverOptions(), first.W, shared), solver.solve(below, SolverOptions())
    assert warm.certificate.primal == pytest.approx(cold.certificate.primal, rel=2e-6)
    # Weights from elsewhere are priced, not taken for those where the last program was left.
    other = solver.solve(below, SolverOptions(), 2.0 * first.W, shared)
    assert other.certificate.primal == pytest.approx(cold.certificate.primal, rel=2e-6)


def test_where_no_step_descends_the_semismooth_method_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense_model, "minimise_quadratic", lambda *_: None)
    program = draw_program("logistic", "l1")
    solution = ActiveSetNewton().solve(program, SolverOptions())
    assert solution.status is Status.CONVERGED
    assert solution.certificate.primal == pytest.approx(
        SemismoothNewton().solve(program, SolverOptions()).certificate.primal, rel=2e-6
    )


@pytest.mark.parametrize("seed", [1, 2])
def test_where_the_loss_is_flat_steps_are_damped(seed: int) -> None:
    """A hundred times the optimal weights: without damping, models that fall without end stalled the method there."""
    program = draw_program("logistic", "l1", n=40, P=30, classes=2, rho=0.01, seed=seed)
    W = 100.0 * ActiveSetNewton().solve(program, SolverOptions()).W
    descent, journal = Descent(program, DenseModel(CurvatureStore(program.columns)), None), Journal(SolverOptions())
    descent.start_from(W, program.columns.matmul(W))
    assert (
        descent.solve(journal, lambda: journal.record(descent.bounds.primal, descent.bounds.dual)) is Status.CONVERGED
    )


def test_a_start_worse_than_zero_is_not_used() -> None:
    program = draw_program("logistic", "l1", n=40, P=30, classes=2, rho=0.01)
    cold = ActiveSetNewton().solve(program, SolverOptions())
    poor = ActiveSetNewton().solve(program, SolverOptions(), 1e6 * cold.W)
    assert torch.equal(poor.W, cold.W)


def test_hinge_begins_with_the_likely_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs of several outputs, cold and along a path, have the same optimum when their first rounds are small."""
    program = draw_program("hinge", "l1", n=60, P=40, rho=0.02)
    plain = solve(program)
    monkeypatch.setattr(linear, "SMALL_WORK", 0)
    monkeypatch.setattr(linear, "LEAST_COLUMNS", 4)
    monkeypatch.setattr(linear, "GUESS_FACTOR", 0.5)
    guessed = solve(program)
    assert guessed.status is Status.CONVERGED
    assert guessed.n_iter != plain.n_iter
    assert guessed.certificate.primal == pytest.approx(plain.certificate.primal, rel=2e-6)
    for point in solve_path(program, rho_grid(program, 5, 1e-2)):
        alone = HingeLinear().solve(replace(program, rho=point.certificate.rho), SolverOptions())
        assert point.status is Status.CONVERGED
        assert point.certificate.primal == pytest.approx(alone.certificate.primal, rel=2e-6)
