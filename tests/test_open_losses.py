"""Losses and penalties that the library has never heard of: each public function works with them or refuses by name."""

from __future__ import annotations

from dataclasses import replace

import cvxpy as cp
import numpy as np
import pytest
import torch

from convexsnn.bounds import universal_bound
from convexsnn.bounds.caps import capped_dual, capped_scores
from convexsnn.certificate import Certificate, certify
from convexsnn.columns import BitColumns, pack_bits
from convexsnn.losses import LOSSES, Loss, loss_of
from convexsnn.penalties import PENALTIES, Penalty
from convexsnn.program import ConvexProgram
from convexsnn.rounding import grouped_kappa
from convexsnn.solvers import SOLVERS, SolverOptions, Status, solve, solver_for, working_set
from convexsnn.solvers.hinge.simplex import HingeLP
from convexsnn.solvers.newton.solver import SemismoothNewton
from convexsnn.solvers.path import largest_rho, rho_grid, solve_path
from third_kinds import ABOVE_NORMS, LOSS_KINDS, Absolute, LargestEntry, SharpCrossEntropy, SquaredHinge

L1, GROUP = PENALTIES["l1"], PENALTIES["group"]
SMOOTH = [SquaredHinge(), SharpCrossEntropy()]
each_smooth = pytest.mark.parametrize("loss", SMOOTH, ids=lambda loss: loss.name)
each_penalty = pytest.mark.parametrize("penalty", [L1, GROUP], ids=lambda penalty: penalty.name)


def draw(
    loss: Loss, penalty: Penalty, *, classes: int = 3, n: int = 40, P: int = 25, level: float = 0.1
) -> ConvexProgram:
    """A random program; rho = level times the rho that gives W = 0."""
    rng = np.random.default_rng(0)
    bits = torch.from_numpy(rng.random((P, n)) < rng.uniform(0.2, 0.8, size=(P, 1)))
    weights = torch.from_numpy(rng.uniform(0.5, 1.5, size=n))
    Y = loss.encode(torch.from_numpy(rng.integers(classes, size=n)), classes)
    program = ConvexProgram(BitColumns(pack_bits(bits), n), Y, loss, penalty, 1.0, weights / weights.sum())
    return replace(program, rho=level * largest_rho(program))


def rows_of(program: ConvexProgram, S: cp.Expression) -> cp.Expression:
    """The loss of each row, for CVXPY."""
    Y = program.targets.numpy()
    if isinstance(program.loss, SquaredHinge):
        return cp.sum(cp.square(cp.pos(1 - cp.multiply(Y, S))), axis=1)
    assert isinstance(program.loss, SharpCrossEntropy)
    return 0.5 * (cp.log_sum_exp(2 * S, axis=1) - cp.sum(cp.multiply(Y, 2 * S), axis=1))


def optimum(objective: cp.Expression) -> float:
    problem = cp.Problem(cp.Minimize(objective))
    problem.solve(solver=cp.CLARABEL, tol_gap_abs=1e-11, tol_gap_rel=1e-10, tol_feas=1e-10)
    return float(problem.value)


def reference_value(program: ConvexProgram) -> float:
    W = cp.Variable((program.n_columns, program.n_outputs))
    norm = cp.sum(cp.norm(W, program.penalty.exponent(program.n_outputs), axis=1))
    rows = rows_of(program, program.columns.dense().numpy() @ W)
    return optimum(program.row_weights.numpy() @ rows + program.rho * norm)


@each_smooth
@each_penalty
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("level", [0.3, 0.01])
def test_a_new_smooth_loss_is_solved(loss, penalty, classes, level, monkeypatch):
    program = draw(loss, penalty, classes=classes, level=level)
    value, options = reference_value(program), SolverOptions(tol=1e-7)
    by_preference, semismooth = solve(program, options), SemismoothNewton().solve(program, options)
    assert by_preference.solver == "active_set_newton"
    monkeypatch.setattr("convexsnn.solvers.newton.solver.DENSE_BYTES", 0)
    monkeypatch.setattr(working_set, "FIRST_COLUMNS", 4)
    for solution in (by_preference, semismooth, SemismoothNewton().solve(program, options)):
        assert solution.status is Status.CONVERGED
        assert -1e-12 <= solution.certificate.relative_gap <= 1e-7
        assert solution.certificate.primal == pytest.approx(value, rel=1e-6)
        assert solution.certificate == certify(program, solution.W, solution.U)
        assert Certificate.from_json(solution.certificate.to_json()) == solution.certificate
        assert solution.certificate.loss == loss.name


def test_curvature_that_vanishes_everywhere_is_no_obstacle():
    """From far out, where every margin is beyond one and the squared hinge is flat."""
    program = draw(SquaredHinge(), L1, classes=2, n=12, P=30, level=0.05)
    inside = solve(program)
    out = solve(program, W0=1e3 * inside.W)
    assert out.status is Status.CONVERGED
    assert out.certificate.primal == pytest.approx(inside.certificate.primal, rel=2e-6)


@each_smooth
@each_penalty
def test_paths_of_a_new_loss(loss, penalty):
    program = draw(loss, penalty)
    rhos = rho_grid(program, 4, 1e-2)
    points = list(solve_path(program, rhos, SolverOptions(tol=1e-7)))
    assert not points[0].W.any()
    for rho, point in zip(rhos, points, strict=True):
        assert point.status is Status.CONVERGED
        cold = solve(replace(program, rho=rho), SolverOptions(tol=1e-7))
        assert point.certificate.primal == pytest.approx(cold.certificate.primal, rel=1e-6)


def test_a_loss_without_a_solver_is_refused_by_name():
    program = draw(Absolute(), GROUP)
    message = (
        r"no solver takes loss 'absolute' with penalty 'group' and 3 outputs: "
        r"hinge_interior needs the loss max\(0, 1 - y s\) and the l1 penalty, or one output; "
        r"hinge_cone needs the loss max\(0, 1 - y s\); "
        r"active_set_newton needs a smooth loss such as squared or logistic; "
        r"semismooth_newton needs a smooth loss such as squared or logistic; "
        r"elastic_newton needs a smooth loss such as squared or logistic and the elastic penalty; "
        r"ridge_closed_form needs the squared loss and the ridge penalty; "
        r"free_intercept needs an intercept that is free"
    )
    with pytest.raises(ValueError, match=f"^{message}$"):
        solver_for(program)
    with pytest.raises(ValueError, match="no solver takes loss 'absolute'"):
        solve(program)
    with pytest.raises(ValueError, match="no solver takes loss 'absolute'"):
        next(solve_path(program, [0.1]))


@pytest.mark.parametrize("loss", [LOSSES["hinge"], LOSSES["squared"], SharpCrossEntropy()], ids=lambda loss: loss.name)
def test_a_penalty_without_a_solver_is_refused_by_name(loss):
    program = draw(loss, LargestEntry())
    with pytest.raises(ValueError, match=f"no solver takes loss '{loss.name}' with penalty 'largest' and 3 outputs"):
        solve(program)
    for solver in (*SOLVERS, HingeLP()):
        with pytest.raises(ValueError, match=f"{solver.name} needs .*; it was given loss '{loss.name}' with penalty"):
            solver.solve(program, SolverOptions())


@pytest.mark.parametrize("loss", [LOSSES["hinge"], LOSSES["squared"], SquaredHinge()], ids=lambda loss: loss.name)
def test_of_one_output_every_penalty_is_the_absolute_value(loss):
    """A penalty that no solver knows is then solved like l1; its certificate keeps its name."""
    program = draw(loss, LargestEntry(), classes=2)
    known = solve(replace(program, penalty=L1))
    solution = solve(program)
    assert solution.status is Status.CONVERGED
    assert solution.certificate.penalty == "largest"
    assert torch.equal(solution.W, known.W)


@pytest.mark.parametrize("loss", LOSS_KINDS, ids=lambda loss: loss.name)
@pytest.mark.parametrize("penalty", ABOVE_NORMS, ids=lambda penalty: penalty.name)
def test_universal_bounds_hold_over_all_patterns(loss, penalty):
    """Over the program of all 2^m patterns of the groups: no weights reach less than the bound, by any kind."""
    rng, m, n = np.random.default_rng(3), 3, 9
    groups = torch.arange(n) % m
    patterns = torch.tensor([[(k >> g) & 1 for g in range(m)] for k in range(1, 2**m)], dtype=torch.bool)[:, groups]
    labels = torch.from_numpy(rng.integers(3, size=n))
    weights = torch.from_numpy(rng.uniform(0.5, 1.5, size=n))
    every = ConvexProgram(
        BitColumns(pack_bits(patterns), n), loss.encode(labels, 3), loss, penalty, 0.05, weights / weights.sum()
    )
    U = every.data_gradient(torch.zeros_like(every.targets))
    kappa = float(penalty.norm.dual_norm(every.columns.rmatmul(U))) / every.rho
    assert grouped_kappa(every, U, groups) >= kappa
    bound = universal_bound(every, groups, (U,))
    assert float(penalty.norm.dual_norm(every.columns.rmatmul(bound.U))) <= every.rho * (1 + 1e-12)
    # Weak duality against points that the solvers, or a proximal gradient method, reach.
    assert bound.value <= descend(every) + 1e-12
    assert bound.value > 0.0


def descend(program: ConvexProgram) -> float:
    """An objective that some weights have, by the subgradient and the proximal map alone."""
    W = torch.zeros(program.n_columns, program.n_outputs, dtype=torch.float64)
    best = program.primal(W)
    for k in range(400):
        step = 0.2 / (1.0 + k) ** 0.5
        gradient = program.columns.rmatmul(program.data_gradient(program.columns.matmul(W)))
        W = program.penalty.prox(W - step * gradient, step * program.rho)
        best = min(best, program.primal(W))
    return best


def test_scores_under_caps_of_a_new_separable_loss_are_optimal():
    """min_delta F(delta) + rho sum_c (max(delta_c+) + max(delta_c-)), against CVXPY."""
    program, groups = draw(SquaredHinge(), L1, n=12), torch.arange(12) // 2
    delta = cp.Variable((6, 3))
    caps = cp.sum(cp.max(cp.pos(delta), axis=0)) + cp.sum(cp.max(cp.pos(-delta), axis=0))
    value = optimum(program.row_weights.numpy() @ rows_of(program, delta[groups.numpy()]) + program.rho * caps)
    scores = capped_scores(program, groups, program.rho)
    reached = scores.clamp(min=0.0).amax(dim=0).sum() + (-scores).clamp(min=0.0).amax(dim=0).sum()
    assert float(program.data_term(scores[groups]) + program.rho * reached) == pytest.approx(value, rel=1e-7)
    assert program.dual(capped_dual(program, groups, program.rho)) == pytest.approx(value, rel=1e-7)
    assert universal_bound(program, groups).value == pytest.approx(value, rel=1e-7)


@pytest.mark.parametrize("function", [capped_dual, capped_scores])
def test_a_new_loss_that_couples_outputs_has_no_caps(function):
    with pytest.raises(ValueError, match="sum over the outputs, or cross entropy, not 'sharp_cross_entropy'"):
        function(draw(SharpCrossEntropy(), L1), torch.arange(40), 0.1)


def test_a_table_takes_a_new_kind_and_then_knows_it(monkeypatch):
    monkeypatch.setitem(LOSSES, "squared_hinge", SquaredHinge())
    assert loss_of("squared_hinge") == SquaredHinge()
    with pytest.raises(ValueError, match="loss must be 'cross_entropy' for several categorical outputs"):
        loss_of("squared_hinge", ((2, 1.0),))
