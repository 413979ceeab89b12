"""The hinge solvers against CVXPY + Clarabel, and at the edges of what a program can be."""

from __future__ import annotations

import _thread
import threading
from dataclasses import replace

import cvxpy as cp
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convexsnn.columns import BitColumns, Columns, RealColumns, pack_bits
from convexsnn.losses import LOSSES
from convexsnn.penalties import PENALTIES
from convexsnn.program import ConvexProgram, uniform_weights
from convexsnn.solvers import solver_for
from convexsnn.solvers.base import Progress, Solution, SolverOptions, Status
from convexsnn.solvers.hinge import interior_rounds, linear, restricted_lp
from convexsnn.solvers.hinge.cone import HingeCone
from convexsnn.solvers.hinge.linear import HingeLinear
from convexsnn.solvers.hinge.simplex import HingeLP
from convexsnn.solvers.merge_rows import equal_rows, merge_rows

HINGE = LOSSES["hinge"]
CASES = [("l1", 2), ("l1", 3), ("group", 2), ("group", 3), ("group", 4)]


def make_program(
    penalty: str,
    n_classes: int = 3,
    *,
    n: int = 40,
    count: int = 25,
    level: float = 0.1,
    kind: str = "bits",
    weighted: bool = False,
    labels: torch.Tensor | None = None,
    seed: int = 0,
) -> ConvexProgram:
    """Random columns, among them a constant, a zero and two equal ones; at level 1, W = 0 becomes optimal."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % n_classes if labels is None else labels
    values = torch.randn(count, n, generator=rng, dtype=torch.float64) + 0.4 * (labels - 1.0)
    if count >= 4:
        values[0], values[1], values[2] = 1.0, -1.0 if kind == "bits" else 0.0, values[3]
    columns: Columns = BitColumns(pack_bits(values >= 0), n)
    if kind == "real":
        columns = RealColumns(values * torch.logspace(-2, 2, count, dtype=torch.float64).unsqueeze(1))
    weights = uniform_weights(n)
    if weighted:
        weights = torch.rand(n, generator=rng, dtype=torch.float64) + 0.05
        weights /= weights.sum()
    Y = HINGE.encode(labels, n_classes)
    largest = float(PENALTIES[penalty].dual_norm(columns.rmatmul(Y * weights.unsqueeze(1))))
    rho = level * largest if largest > 0 else 1.0
    return ConvexProgram(columns, Y, HINGE, PENALTIES[penalty], rho, weights)


def reference_value(program: ConvexProgram) -> float:
    D, Y, w = program.columns.dense().numpy(), program.targets.numpy(), program.row_weights.numpy()
    W = cp.Variable((program.n_columns, program.n_outputs))
    hinge = w @ cp.sum(cp.pos(1 - cp.multiply(Y, D @ W)), axis=1)
    norm = cp.sum(cp.abs(W)) if program.penalty.name == "l1" else cp.sum(cp.norm(W, 2, axis=1))
    accuracy = {"tol_gap_abs": 1e-11, "tol_gap_rel": 1e-10, "tol_feas": 1e-10}
    return cp.Problem(cp.Minimize(hinge + program.rho * norm)).solve(solver=cp.CLARABEL, **accuracy)


def solve(program: ConvexProgram, W0: torch.Tensor | None = None, **options) -> Solution:
    return solver_for(program).solve(program, SolverOptions(**options), W0)


def check(program: ConvexProgram, solution: Solution, tol: float = 1e-6) -> None:
    """The solution is certified, and the certificate agrees with an independent solver on both sides."""
    certificate = solution.certificate
    assert solution.status is Status.CONVERGED
    assert -1e-12 <= certificate.relative_gap <= tol
    assert float(program.penalty.dual_norm(program.columns.rmatmul(solution.U))) <= program.rho * (1 + 1e-12)
    expected = reference_value(program)
    assert certificate.primal == pytest.approx(expected, rel=2e-6, abs=1e-10)
    assert certificate.dual == pytest.approx(expected, rel=2e-6, abs=1e-10)


@pytest.mark.parametrize(("penalty", "n_classes"), CASES)
@pytest.mark.parametrize("level", [0.9, 0.1, 0.001])
@pytest.mark.parametrize("shape", [(40, 25), (15, 40)])
def test_agrees_with_clarabel(penalty, n_classes, level, shape):
    program = make_program(penalty, n_classes, level=level, n=shape[0], count=shape[1])
    check(program, solve(program))


@pytest.mark.parametrize(("penalty", "n_classes"), CASES)
@pytest.mark.parametrize("weighted", [False, True])
def test_real_columns_of_any_scale(penalty, n_classes, weighted):
    program = make_program(penalty, n_classes, kind="real", level=0.05, weighted=weighted)
    check(program, solve(program))


@settings(max_examples=25)
@given(
    case=st.sampled_from(CASES),
    n=st.integers(1, 30),
    count=st.integers(1, 30),
    level=st.floats(0.005, 1.2),
    kind=st.sampled_from(["bits", "real"]),
    weighted=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_program(case, n, count, level, kind, weighted, seed):
    program = make_program(*case, n=n, count=count, level=level, kind=kind, weighted=weighted, seed=seed)
    check(program, solve(program))


@pytest.mark.parametrize(("penalty", "n_classes"), CASES)
def test_zero_weights_are_recognised_at_once(penalty, n_classes):
    solution = solve(make_program(penalty, n_classes, level=1.0001))
    assert not solution.W.any()
    assert solution.n_iter == 0
    assert solution.certificate.gap == pytest.approx(0.0, abs=1e-12)
    assert solution.status is Status.CONVERGED


@pytest.mark.parametrize("penalty", ["l1", "group"])
def test_no_columns(penalty):
    solution = solve(make_program(penalty, count=0))
    assert solution.W.shape == (0, 3)
    assert solution.status is Status.CONVERGED


@pytest.mark.parametrize("penalty", ["l1", "group"])
def test_a_class_without_rows(penalty):
    program = make_program(penalty, 3, labels=torch.arange(40) % 2)
    check(program, solve(program))


@pytest.mark.parametrize("penalty", ["l1", "group"])
def test_tiny_penalty(penalty):
    program = make_program(penalty, level=1e-5)
    assert solve(program).status is Status.CONVERGED


@pytest.mark.parametrize("penalty", ["l1", "group"])
def test_repeated_rows_change_nothing_and_share_the_dual(penalty):
    program = make_program(penalty, n=25)
    repeat = torch.arange(25).repeat_interleave(4)
    bits = (program.columns.dense()[repeat].T > 0).contiguous()
    repeated = ConvexProgram(
        BitColumns(pack_bits(bits), 100),
        program.targets[repeat],
        HINGE,
        program.penalty,
        program.rho,
        uniform_weights(100),
    )
    groups = merge_rows(equal_rows(repeated.columns), repeated.targets, repeated.row_weights)
    assert len(groups.first) <= 25
    solution = solve(repeated)
    assert solution.certificate.primal == pytest.approx(solve(program).certificate.primal, rel=1e-6)
    same_group = groups.group[:1] == groups.group
    assert torch.allclose(solution.U[same_group], solution.U[:1])


@pytest.mark.parametrize("penalty", ["l1", "group"])
def test_columns_outside_the_first_working_set_are_found(penalty, monkeypatch):
    monkeypatch.setattr("convexsnn.solvers.hinge.simplex.FIRST_COLUMNS", 3)
    monkeypatch.setattr(restricted_lp, "LEAST_GROWTH", 2)
    monkeypatch.setattr(interior_rounds, "FIRST_COLUMNS", 3)
    program = make_program(penalty, level=0.02)
    check(program, solve(program))
    if penalty == "l1":
        check(program, HingeLP().solve(program, SolverOptions()))


def test_interior_point_path_of_the_linear_program(monkeypatch):
    monkeypatch.setattr(restricted_lp, "INTERIOR_COLUMNS", 2)
    program = make_program("l1", level=0.02)
    solution = HingeLP().solve(program, SolverOptions())
    check(program, solution)
    assert solution.certificate.nonzeros < solution.W.numel()


@pytest.mark.parametrize("penalty", ["l1", "group"])
def test_weights_are_sparse_exactly(penalty):
    program = make_program(penalty, n=60, count=50, level=0.3)
    W = solve(program).W
    lengths = W.abs() if penalty == "l1" else W.norm(dim=1)
    assert 0 < int((lengths > 0).sum()) < lengths.numel() // 2
    assert float(lengths[lengths > 0].min()) > 1e-6 * float(lengths.max())


@pytest.mark.parametrize("penalty", ["l1", "group"])
def test_deterministic_and_reports_progress(penalty):
    program, lines = make_program(penalty), []
    first = solve(program, callback=lines.append)
    second = solve(program)
    assert torch.equal(first.W, second.W)
    assert torch.equal(first.U, second.U)
    assert tuple(lines) == first.history
    assert lines[-1].relative_gap <= 1e-6


def test_warm_start_needs_one_round_and_leaves_its_argument_alone():
    program = make_program("l1", n=200, count=150, level=0.05)
    cold = solve(program)
    start = cold.W.clone()
    warm = solve(program, W0=start)
    assert torch.equal(start, cold.W)
    assert warm.n_iter <= cold.n_iter
    assert warm.certificate.primal == pytest.approx(cold.certificate.primal, rel=1e-9)


@pytest.mark.parametrize("penalty", ["l1", "group"])
def test_iteration_limit_returns_a_certified_point(penalty):
    solution = solve(make_program(penalty), max_iter=1)
    assert solution.n_iter <= 1
    assert 0.0 < solution.certificate.dual <= solution.certificate.primal <= 3.0


@pytest.mark.parametrize("penalty", ["l1", "group"])
def test_interrupt_in_the_callback_keeps_the_best_point(penalty):
    def interrupt(progress: Progress) -> None:
        if progress.iteration == 2:
            raise KeyboardInterrupt

    solution = solve(make_program(penalty), callback=interrupt)
    assert solution.status is Status.INTERRUPTED
    assert 0.0 < solution.certificate.dual <= solution.certificate.primal <= 3.0


def test_interrupt_while_highs_runs():
    program = make_program("l1", 2, n=1500, count=600, level=1e-3)
    timer = threading.Timer(0.7, _thread.interrupt_main)
    timer.start()
    try:
        solution = HingeLP().solve(program, SolverOptions())
        timer.join()
    except KeyboardInterrupt:
        pytest.skip("the interrupt came after the solve")
    assert solution.status is Status.INTERRUPTED
    assert solution.certificate.dual > 0.0


@pytest.mark.parametrize("inner", ["HingeLP", "ActiveSetNewton"])
def test_an_inner_solver_that_is_interrupted_ends_the_whole(inner, monkeypatch):
    """It caught the interrupt itself, and the next output was begun."""
    calls = []

    class Interrupted:
        def solve(self, program: ConvexProgram, *_: object) -> Solution:
            calls.append(1)
            return replace(solver_for(program).solve(program, SolverOptions(max_iter=1)), status=Status.INTERRUPTED)

    monkeypatch.setattr(linear, inner, Interrupted)
    monkeypatch.setattr(linear, "SMALL_WORK", 0 if inner == "ActiveSetNewton" else linear.SMALL_WORK)
    solution = HingeLinear().solve(make_program("l1"), SolverOptions(tol=1e-15 if inner == "HingeLP" else 1e-6))
    assert calls == [1]
    assert solution.status is Status.INTERRUPTED
    assert 0.0 < solution.certificate.dual <= solution.certificate.primal


def test_wrong_programs_are_refused():
    for solver in (HingeLinear(), HingeLP()):
        with pytest.raises(ValueError, match=f"{solver.name} needs the l1 penalty, or one output; it was given loss"):
            solver.solve(make_program("group"), SolverOptions())
    for program in (make_program("l1"), make_program("group", 2)):
        with pytest.raises(ValueError, match="hinge_cone needs the group penalty of several outputs"):
            HingeCone().solve(program, SolverOptions())
