"""The elastic penalty: its conjugate, its solver against CVXPY + Clarabel, its certificates, and who refuses it."""

from __future__ import annotations

from dataclasses import replace

import cvxpy as cp
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convexsnn import Problem, SpikingClassifier, as_sequences
from convexsnn.bounds import FamilyCells, exact_oracle, universal_bound
from convexsnn.bounds.complete import complete_network
from convexsnn.certificate import certify
from convexsnn.columns import BitColumns, Columns, RealColumns, pack_bits
from convexsnn.exact import solve_exactly
from convexsnn.families import Exact, Gaussian
from convexsnn.losses import LOSSES, Head, Loss, loss_of
from convexsnn.penalties import PENALTIES, Elastic, RowGroup
from convexsnn.polishing.head import OutputMap
from convexsnn.program import ConvexProgram, uniform_weights
from convexsnn.reconstruction.thinning import thin
from convexsnn.search import search
from convexsnn.solvers import SolverOptions, Status, solve
from convexsnn.solvers.elastic import solver as elastic_solver
from convexsnn.solvers.elastic import system
from convexsnn.solvers.path import largest_rho, solve_path
from convexsnn.verification import verify

LOSS_KINDS: list[tuple[Loss, int]] = [
    (LOSSES["squared"], 1),
    (LOSSES["squared"], 3),
    (LOSSES["logistic"], 1),
    (LOSSES["logistic"], 3),
    (LOSSES["cross_entropy"], 3),
    (loss_of("cross_entropy", (Head(2, 0.7), Head(3, 1.5))), 5),
]
NAMES = [f"{loss.name}-{outputs}" for loss, outputs in LOSS_KINDS]
each_loss = pytest.mark.parametrize(("loss", "outputs"), LOSS_KINDS, ids=NAMES)


def targets_of(loss: Loss, n: int, outputs: int, rng: torch.Generator) -> torch.Tensor:
    if loss.name == "squared":
        return torch.randn(n, outputs, generator=rng, dtype=torch.float64)
    if loss.name == "logistic":
        return 2.0 * torch.randint(0, 2, (n, outputs), generator=rng).double() - 1.0
    sizes = [head.classes for head in loss.heads] or [outputs]
    parts = [torch.eye(k).double()[torch.randint(0, k, (n,), generator=rng)] for k in sizes]
    return torch.cat(parts, dim=1)


def make(
    loss: Loss, outputs: int, *, n: int = 25, count: int = 30, kind: str = "bits", level: float = 0.1,
    ridge: float = 1.0, weighted: bool = True, seed: int = 0,
) -> ConvexProgram:  # fmt: skip
    rng = torch.Generator().manual_seed(seed)
    values = torch.randn(count, n, generator=rng, dtype=torch.float64)
    columns: Columns = BitColumns(pack_bits(values >= 0), n) if kind == "bits" else RealColumns(values)
    weights = uniform_weights(n)
    if weighted:
        weights = torch.rand(n, generator=rng, dtype=torch.float64) + 0.05
        weights /= weights.sum()
    program = ConvexProgram(columns, targets_of(loss, n, outputs, rng), loss, Elastic(ridge), 1.0, weights)
    return replace(program, rho=max(1e-6, level * largest_rho(program)))


def reference_value(program: ConvexProgram) -> float:
    """The optimal value by CVXPY and Clarabel."""
    D, Y, w = program.columns.dense().numpy(), program.targets.numpy(), program.row_weights.numpy()
    W = cp.Variable((program.n_columns, program.n_outputs))
    S = D @ W
    if program.loss.name == "squared":
        data = w @ cp.sum(cp.square(S - Y), axis=1)
    elif program.loss.name == "logistic":
        data = w @ cp.sum(cp.logistic(-cp.multiply(Y, S)), axis=1)
    else:
        data, start = 0, 0
        for head in program.loss.heads or (Head(program.n_outputs),):
            own = slice(start, start + head.classes)
            rows = cp.log_sum_exp(S[:, own], axis=1) - cp.sum(cp.multiply(Y[:, own], S[:, own]), axis=1)
            data, start = data + head.weight * (w @ rows), start + head.classes
    omega = cp.sum(cp.norm(W, 2, axis=1)) + 0.5 * program.penalty.ridge * cp.sum_squares(W)
    problem = cp.Problem(cp.Minimize(data + program.rho * omega))
    problem.solve(solver=cp.CLARABEL, tol_gap_abs=1e-11, tol_gap_rel=1e-10, tol_feas=1e-10)
    return float(problem.value)


@given(
    seed=st.integers(0, 10**6), rho=st.floats(0.05, 3.0), ridge=st.floats(0.1, 10.0), outputs=st.sampled_from([1, 3])
)
@settings(max_examples=50, deadline=None, derandomize=True)
def test_conjugate_and_prox(seed, rho, ridge, outputs):
    """Fenchel-Young holds, with equality at the maximiser; the proximal map satisfies its optimality condition."""
    rng = torch.Generator().manual_seed(seed)
    penalty, G = Elastic(ridge), torch.randn(6, outputs, generator=rng, dtype=torch.float64)
    W = torch.randn(6, outputs, generator=rng, dtype=torch.float64)
    conjugate = float(penalty.conjugate(G, rho))
    assert float((W * G).sum() - rho * penalty.value(W)) <= conjugate + 1e-12
    best = RowGroup().prox(G, rho) / (rho * ridge)
    assert float((best * G).sum() - rho * penalty.value(best)) == pytest.approx(conjugate, abs=1e-12)
    X = penalty.prox(G, rho)
    value = lambda Z: float(0.5 * (Z - G).square().sum() + rho * penalty.value(Z))  # noqa: E731
    assert all(value(X) <= value(X + 1e-3 * torch.randn(X.shape, generator=rng).double()) + 1e-15 for _ in range(20))


@each_loss
@pytest.mark.parametrize("shape", [{}, {"n": 40, "count": 12, "weighted": False}, {"kind": "real", "ridge": 0.2}])
def test_agrees_with_clarabel(loss, outputs, shape):
    program = make(loss, outputs, level=0.05, **shape)
    solution = solve(program, SolverOptions(tol=1e-7))
    assert solution.status is Status.CONVERGED
    value = reference_value(program)
    assert solution.certificate.primal == pytest.approx(value, rel=1e-6)
    assert solution.certificate.dual == pytest.approx(value, rel=1e-6)


@settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    kind_of_loss=st.sampled_from(LOSS_KINDS),
    n=st.integers(1, 50),
    count=st.integers(1, 60),
    level=st.floats(-4, 0.3).map(lambda x: 10.0**x),
    ridge=st.floats(-2, 2).map(lambda x: 10.0**x),
    kind=st.sampled_from(["bits", "real"]),
    weighted=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_certified_on_any_program(kind_of_loss, n, count, level, ridge, kind, weighted, seed):
    program = make(*kind_of_loss, n=n, count=count, level=level, ridge=ridge, kind=kind, weighted=weighted, seed=seed)
    solution = solve(program, SolverOptions(tol=1e-6))
    assert solution.status is Status.CONVERGED
    W, G = solution.W, program.columns.rmatmul(program.data_gradient(program.columns.matmul(solution.W)))
    # The optimality condition: W is the proximal point of W - gradient.
    size = float(G.norm(dim=1).max()) + program.rho
    step = program.penalty.prox(W - G, program.rho) - W
    assert float(step.abs().max()) <= 1e-2 * size + 1e-2 * float(W.abs().max())


@given(kind_of_loss=st.sampled_from(LOSS_KINDS), seed=st.integers(0, 10**6), scale=st.floats(-8, 2))
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_any_dual_vector_gives_a_valid_bound(kind_of_loss, seed, scale):
    program = make(*kind_of_loss, n=12, count=15, seed=seed)
    best = solve(program, SolverOptions(tol=1e-9)).certificate.primal
    rng = torch.Generator().manual_seed(seed)
    U = torch.randn(program.targets.shape, generator=rng, dtype=torch.float64) * 10.0**scale
    W = torch.randn(program.n_columns, program.n_outputs, generator=rng, dtype=torch.float64)
    certificate = certify(program, W, U)
    assert certificate.dual <= best * (1.0 + 1e-12) + 1e-300
    assert certificate.primal >= program.primal(W)
    # In floats, a vector at the edge of the domain may count as outside.
    value = program.dual(program.in_domain(U))
    assert value == -np.inf or certificate.dual == pytest.approx(value, rel=1e-9)


@each_loss
def test_zero_is_optimal_from_the_largest_rho_on(loss, outputs):
    program = make(loss, outputs, level=1.001)
    solution = solve(program)
    assert not bool(solution.W.any())
    assert bool(solve(make(loss, outputs, level=0.9)).W.any())


@each_loss
def test_a_warm_path_gives_what_cold_solves_give(loss, outputs):
    program = make(loss, outputs, count=700, n=20)
    rhos = [program.rho * 10.0 ** -(k / 4) for k in range(5)]
    for rho, warm in zip(rhos, solve_path(program, rhos, SolverOptions(tol=1e-8)), strict=True):
        cold = solve(replace(program, rho=rho), SolverOptions(tol=1e-8))
        assert warm.status is cold.status is Status.CONVERGED
        assert warm.certificate.primal == pytest.approx(cold.certificate.primal, rel=1e-7)
        # The optimum is unique.
        assert float((warm.W - cold.W).norm()) <= 1e-2 * max(1.0, float(cold.W.norm()))


@each_loss
def test_ways_of_solving_the_newton_systems_agree(loss, outputs, monkeypatch):
    program = make(loss, outputs, n=30, count=60)
    directly = solve(program, SolverOptions(tol=1e-8))
    monkeypatch.setattr(system, "DIRECT_LIMIT", 0)
    by_gradients = solve(program, SolverOptions(tol=1e-8))
    monkeypatch.setattr(elastic_solver, "FEW_COLUMNS", 0)
    by_rounds = solve(program, SolverOptions(tol=1e-8))
    for other in (by_gradients, by_rounds):
        assert other.status is Status.CONVERGED
        assert other.certificate.primal == pytest.approx(directly.certificate.primal, rel=1e-7)


X = np.random.default_rng(0).normal(size=(30, 4, 2))
y = (X[:, 0, 0] * X[:, 1, 1] > 0).astype(int)


@pytest.mark.parametrize("loss", ["squared", "logistic", "cross_entropy"])
def test_estimators_train_and_verify(loss):
    model = SpikingClassifier(witnesses=Gaussian(last=60), loss=loss, penalty="elastic", beta=0.1).fit(X, y)
    certificate = model.certificate_
    assert certificate.penalty == "elastic"
    assert certificate.holds(1e-6)
    bound = certificate.global_bound
    assert bound is not None
    assert bound.value <= certificate.primal
    problem, trained = model.problem(X, y), model.trained_
    assert verify(trained, certificate, problem).problems == ()
    altered = ({"dual": certificate.dual * (1.0 + 1e-9)}, {"primal": certificate.primal * (1.0 - 1e-9)})
    assert all(verify(trained, replace(certificate, **change), problem).problems for change in altered)
    assert verify(replace(trained, U=trained.U * 1.01), certificate, problem).problems


def test_the_universal_bound_is_that_of_the_norm():
    loss = LOSSES["squared"]
    program = make(loss, 1)
    groups = torch.arange(program.n_rows)
    of_norm = universal_bound(replace(program, penalty=RowGroup()), groups)
    assert universal_bound(program, groups).value == of_norm.value <= solve(program).certificate.primal


def _problem(loss="squared"):
    targets = LOSSES[loss].encode(torch.from_numpy(y), 2)
    return Problem(as_sequences(X), targets, LOSSES[loss], PENALTIES["elastic"], 0.1)


def _family():
    return Exact(last=8).networks_of(_problem())


REFUSALS = {
    "hinge solvers": lambda: solve(make(LOSSES["squared"], 1).__class__(
        BitColumns(pack_bits(torch.rand(5, 30) > 0.5), 30), _problem("hinge").targets, LOSSES["hinge"],
        PENALTIES["elastic"], 0.1, uniform_weights(30))),
    "search": lambda: search(_problem()),
    "searching family": lambda: SpikingClassifier(penalty="elastic").fit(X, y),
    "trained, then searched": lambda: SpikingClassifier(penalty="elastic", witnesses="surrogate+search").fit(X, y),
    "exact training": lambda: solve_exactly(_problem(), _family()),
    "exact family": lambda: SpikingClassifier(penalty="elastic", witnesses="exact").fit(X, y),
    "exact pricing": lambda: exact_oracle(
        _problem().targets, FamilyCells(_family(), as_sequences(X)), penalty=PENALTIES["elastic"]
    ),
    "complete network": lambda: complete_network(
        _problem().bare_program, as_sequences(X), every_step=False
    ),
    "thinning": lambda: thin(make(LOSSES["squared"], 1), torch.ones(30, 1)),
    "head": lambda: OutputMap(2.0 * torch.eye(2).double()).strength(PENALTIES["elastic"]),
}  # fmt: skip


@pytest.mark.parametrize("room", REFUSALS)
def test_rooms_that_need_a_norm_refuse_it_by_name(room):
    with pytest.raises(ValueError, match="'elastic'"):
        REFUSALS[room]()
