"""Exact proofs: against naive rational arithmetic and 60 digits, and never above what any weights reach."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convexsnn import certify, solve
from convexsnn.losses import CrossEntropy, Head
from convexsnn.proof import ExactProgram, LossHead, prove
from convexsnn.proof.decimals import decimal_text, softplus_up, xlogx_up
from convexsnn.proof.inequality import dual_bound, primal_bound
from convexsnn.proof.integers import integer_product, to_integers
from convexsnn.proof.losses import LOSSES
from convexsnn.solvers.base import SolverOptions
from helpers import NORMS, draw_program

FLOATS = st.floats(allow_nan=False, allow_infinity=False)


def exact_program(program, heads=None):
    columns = program.columns.dense(torch.float64).numpy() > 0
    heads = heads or (LossHead(slice(0, program.n_outputs)),)
    names = (program.loss.name, program.penalty.name)
    return ExactProgram(
        columns, program.targets.numpy(), program.row_weights.numpy(), *names, Fraction(program.rho), heads
    )


def naive_objective(program, W):
    """The objective at W by rational arithmetic entry by entry, or 60 digits where there are logarithms and roots."""
    exact = np.vectorize(Fraction, otypes=[object])
    D, W = program.columns.astype(int).astype(object), exact(W)
    S, Y, w = D @ W, exact(program.targets), exact(program.row_weights)
    w = w / w.sum()
    number = lambda q: mpmath.mpf(q.numerator) / q.denominator  # noqa: E731
    with mpmath.workdps(60):
        log_loss = lambda s, y: mpmath.log(sum(mpmath.exp(number(c)) for c in s)) - number((y * s).sum())  # noqa: E731
        if program.loss == "hinge":
            rows = [sum(max(Fraction(0), 1 - y * s) for y, s in zip(Yi, Si, strict=True)) for Yi, Si in zip(Y, S)]  # noqa: B905
        elif program.loss == "squared":
            rows = list(((S - Y) ** 2).sum(axis=1))
        elif program.loss == "logistic":
            rows = [sum(mpmath.log1p(mpmath.exp(number(m))) for m in row) for row in -Y * S]
        else:
            rows = [
                sum(number(h.weight) * log_loss(Si[h.columns], Yi[h.columns]) for h in program.heads)
                for Yi, Si in zip(Y, S, strict=True)
            ]
        roots = (mpmath.sqrt(number(q)) for q in (W * W).sum(axis=1))
        omega = abs(W).sum() if program.penalty == "l1" or W.shape[1] == 1 else sum(roots)
        if isinstance(rows[0], Fraction) and isinstance(omega, Fraction):
            return sum(a * r for a, r in zip(w, rows, strict=True)) + program.rho * omega
        lift = lambda q: number(q) if isinstance(q, Fraction) else q  # noqa: E731
        return sum(number(a) * lift(r) for a, r in zip(w, rows, strict=True)) + number(program.rho) * lift(omega)


@pytest.mark.parametrize("penalty", NORMS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("classes", [2, 3])
def test_the_proof_of_a_solution(loss, penalty, classes):
    program = draw_program(loss, penalty, classes=classes)
    solution = solve(program, SolverOptions(1e-8, 1000, None))
    certificate = certify(program, solution.W, solution.U)
    exact = exact_program(program)
    proof = prove(exact, solution.W.numpy(), solution.U.numpy())
    assert float(proof.primal) == pytest.approx(certificate.primal, rel=1e-13)
    assert float(proof.dual) == pytest.approx(certificate.dual, rel=1e-13)
    assert 0 <= proof.relative_gap <= 1e-8
    truth = naive_objective(exact, solution.W.numpy())
    if proof.exact:
        assert proof.primal == truth
    else:
        with mpmath.workdps(60):
            excess = mpmath.mpf(proof.primal.numerator) / proof.primal.denominator - truth
            # Roots are rounded up by at most 2**-64 each.
            assert 0 <= excess <= (1e-17 if penalty == "group" and program.n_outputs > 1 else 1e-44)


@given(
    loss=st.sampled_from(sorted(LOSSES)),
    penalty=st.sampled_from(NORMS),
    classes=st.integers(2, 3),
    seed=st.integers(0, 10**6),
    scale=st.sampled_from([1e-12, 1e-3, 1.0, 1e3]),
)
def test_no_weights_are_below_a_bound_from_any_dual_vector(loss, penalty, classes, seed, scale):
    program = draw_program(loss, penalty, n=8, P=4, classes=classes, seed=seed)
    rng = np.random.default_rng(seed)
    shape = (4, program.n_outputs)
    W = rng.normal(size=shape) * scale
    U = rng.normal(size=(8, program.n_outputs)) * scale
    exact = exact_program(program)
    bound = dual_bound(exact, U)
    assert bound <= primal_bound(exact, W)
    # Near the float64 bound, which scales the same vector but for its rounding.
    certificate = certify(program, torch.from_numpy(W), torch.from_numpy(U))
    assert float(bound) == pytest.approx(certificate.dual, rel=1e-9, abs=1e-9)


def test_heads_are_weighted():
    program = draw_program("cross_entropy", "l1", classes=5)
    targets = program.targets.clone()
    targets[:, :2] = torch.eye(2).double()[torch.arange(30) % 2]
    targets[:, 2:] = torch.eye(3).double()[torch.arange(30) % 3]
    program = replace(program, targets=targets, loss=CrossEntropy((Head(2, 0.1), Head(3, 2.0))))
    solution = solve(program, SolverOptions(1e-8, 1000, None))
    heads = (LossHead(slice(0, 2), Fraction(0.1)), LossHead(slice(2, 5), Fraction(2)))
    proof = prove(exact_program(program, heads), solution.W.numpy(), solution.U.numpy())
    assert float(proof.primal) == pytest.approx(solution.certificate.primal, rel=1e-13)
    assert float(proof.dual) == pytest.approx(solution.certificate.dual, rel=1e-12)


@given(values=st.lists(FLOATS, min_size=1, max_size=5))
def test_floats_are_integers_over_a_power_of_two(values):
    integers, shift = to_integers(np.array(values))
    assert [Fraction(i, 2**shift) for i in integers] == [Fraction(v) for v in values]
    assert shift == 0 or any(i % 2 for i in integers)


@given(seed=st.integers(0, 1000), bits=st.integers(1, 300), count=st.integers(1, 40))
def test_exact_products_are_exact(seed, bits, count):
    rng = np.random.default_rng(seed)
    D = rng.random((6, count)) < 0.6
    entry = lambda: (int.from_bytes(rng.bytes(40)) % 2**bits) * int(rng.integers(-1, 2))  # noqa: E731
    W = np.array([[entry() for _ in range(2)] for _ in range(count)], dtype=object)
    product, shift = integer_product(D, W)
    assert shift == 0
    assert (product == D.astype(int).astype(object) @ W).all()


@given(
    seed=st.integers(0, 1000), bits=st.integers(1, 300), count=st.integers(1, 40), scale=st.sampled_from([1.0, 1e-9])
)
def test_products_of_real_columns_are_exact(seed, bits, count, scale):
    rng = np.random.default_rng(seed)
    steps = rng.integers(1, 30)
    D = scale * rng.integers(-3, steps + 1, size=(6, count)) / steps
    entry = lambda: (int.from_bytes(rng.bytes(40)) % 2**bits) * int(rng.integers(-1, 2))  # noqa: E731
    W = np.array([[entry() for _ in range(2)] for _ in range(count)], dtype=object)
    product, shift = integer_product(D, W)
    assert (np.vectorize(Fraction)(D) @ W * (1 << shift) == product).all()


@given(x=st.integers(-(10**6), 10**6), shift=st.integers(0, 20))
def test_decimal_bounds_are_bounds_and_near(x, shift):
    with mpmath.workdps(80):
        true = mpmath.log1p(mpmath.exp(mpmath.mpf(x) / 2**shift))
        bound = mpmath.mpf(str(softplus_up(Decimal(x) / 2**shift)))
        # The quotient of the test itself is rounded to 28 digits.
        assert -1e-22 * abs(x) - 1e-40 <= bound - true <= 1e-22 * abs(x) + 1e-40
        p = mpmath.mpf(abs(x)) / 10**6
        upper = mpmath.mpf(str(xlogx_up(abs(x), 10**6)))
        assert 0 <= upper - (p * mpmath.log(p) if p else 0) <= 1e-45


def test_decimals_are_rounded_outwards():
    third = Fraction(1, 3)
    assert decimal_text(third, up=True, digits=4) == "0.3334"
    assert decimal_text(third, up=False, digits=4) == "0.3333"
    assert decimal_text(-third, up=True, digits=4) == "-0.3333"


def test_equal_row_weights_are_exactly_one_over_n():
    program = draw_program("hinge", "l1", n=7)
    exact = exact_program(program)
    weights = np.full(7, 1 / 7)
    exact = ExactProgram(exact.columns, exact.targets, weights, "hinge", "l1", Fraction(1, 100), exact.heads)
    assert primal_bound(exact, np.zeros((12, exact.targets.shape[1]))) == exact.targets.shape[1]


def test_dual_vectors_far_outside_the_domain_still_give_bounds():
    for loss in LOSSES:
        program = exact_program(draw_program(loss, "group"))
        for U in (np.full(program.targets.shape, 1e300), np.zeros(program.targets.shape), program.targets * -1e-300):
            assert dual_bound(program, U) <= primal_bound(program, np.zeros((12, program.targets.shape[1])))


def test_bad_programs_are_refused():
    program = exact_program(draw_program("hinge", "l1", classes=2))
    W, U = np.zeros((12, 1)), np.zeros((30, 1))
    with pytest.raises(ValueError, match="W must have shape"):
        prove(program, W.T, U)
    with pytest.raises(ValueError, match="U must be finite"):
        prove(program, W, U + np.nan)
    for change, message in [
        ({"targets": program.targets * 2}, r"\+-1"),
        ({"rho": Fraction(0)}, "rho must be positive"),
        ({"row_weights": -program.row_weights}, "row_weights must be positive"),
        ({"loss": "cross_entropy"}, "one-hot"),
        ({"columns": program.columns.astype(np.float32)}, "columns must be bool or finite float64"),
        ({"columns": np.where(program.columns, np.inf, 0.0)}, "columns must be bool or finite float64"),
        ({"penalty": "l2"}, "not both known"),
    ]:
        with pytest.raises(ValueError, match=message):
            prove(ExactProgram(**(vars(program) | change)), W, U)
