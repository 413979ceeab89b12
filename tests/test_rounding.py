"""No stored number is overstated: bounds against exact rationals, from 1e-20 to 1e20."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convexsnn import Gaussian, SpikingRegressor, certify, solve
from convexsnn.columns import PlaneColumns, RealColumns, pack_bits
from convexsnn.losses import LOSSES
from convexsnn.polishing.head import OutputMap
from convexsnn.proof.inequality import ExactProgram, prove
from convexsnn.proof.losses import LossHead
from convexsnn.rounding import exact_product, exact_sums, exact_transposed
from convexsnn.solvers import SolverOptions
from convexsnn.verification import verify
from helpers import NORMS, draw_program
from independent import Program, norm, rational, real
from third_kinds import SquaredHinge


def _exact(program):
    return ExactProgram(
        columns=program.columns.dense().numpy() > 0,
        targets=program.targets.numpy(),
        row_weights=program.row_weights.numpy(),
        loss=program.loss.name,
        penalty=program.penalty.name,
        rho=Fraction(program.rho),
        heads=(LossHead(slice(0, program.n_outputs)),),
    )


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(sorted(LOSSES)),
    st.sampled_from(NORMS),
    st.integers(0, 1000),
    st.floats(-12, 12),
    st.floats(-20, 20),
)
def test_primal_and_dual_enclose_what_rationals_prove(loss, penalty, seed, rho, size):
    """For any W and U: the stored objective is not below the exact one, the stored bound not above the exact one."""
    program = draw_program(loss, penalty, n=14, P=6, seed=seed, rho=10.0**rho)
    random = np.random.default_rng(seed)
    W = torch.from_numpy(random.normal(size=(6, program.n_outputs)) * (random.random((6, 1)) < 0.5))
    if loss == "squared":
        program = type(program)(**(vars(program) | {"targets": program.targets * 10.0**size}))
        W = W * 10.0**size
    U = program.feasible_dual(program.data_gradient(program.columns.matmul(W)))
    certificate = certify(program, W, U)
    proof = prove(_exact(program), W.numpy(), U.numpy())
    assert certificate.primal >= float(proof.primal) * (1 - 1e-15)
    assert certificate.primal == pytest.approx(float(proof.primal), rel=1e-12)
    assert Fraction(certificate.dual) <= proof.dual + abs(proof.dual) * Fraction(1, 10**17)
    assert certificate.dual <= certificate.primal


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(sorted(LOSSES)), st.sampled_from(NORMS), st.integers(0, 10**6), st.floats(-6, 0))
def test_certificates_through_a_head_enclose_what_rationals_prove(loss, penalty, seed, rho):
    """In the readout's own weights: the objective of W is that of W M^T, with the penalty of W."""
    random = np.random.default_rng(seed)
    program = draw_program(loss, penalty, n=12, P=5, seed=seed, rho=10.0**rho)
    matrix = torch.from_numpy(np.kron(np.eye(program.n_outputs), random.normal(size=(1, 2))))
    through = replace(program, loss=OutputMap(matrix).loss(program.loss))
    W = torch.from_numpy(random.normal(size=(5, matrix.shape[1])) * (random.random((5, 1)) < 0.5))
    U = through.in_domain(program.in_domain(program.data_gradient(program.columns.matmul(W @ matrix.T))) @ matrix)
    certificate = certify(through, W, U)
    M, exact_W = (np.array(rational(values.tolist()), dtype=object) for values in (matrix, W))
    facts = (program.columns.dense(), program.targets, program.row_weights)
    exact = Program(rational(facts[0].tolist()), facts[1].tolist(), facts[2].tolist(), loss, penalty, program.rho, [])
    primal = exact.primal((exact_W @ M.T).tolist(), exact_W.tolist())
    u = rational(through.loss._inner_dual(U).tolist())
    products = np.array(exact._products(exact._completed(u)), dtype=object) @ M
    dual = exact.dual(u, max(norm(list(g), penalty, dual=True) for g in products) / real(exact.rho))
    assert certificate.rounding == "bounded"
    assert certificate.primal >= primal
    assert certificate.primal == pytest.approx(float(primal), rel=1e-12)
    assert certificate.dual <= dual
    assert certificate.dual == pytest.approx(float(dual), rel=1e-9, abs=1e-12)


def test_a_loss_that_bounds_no_rounding_is_said_to_have_an_estimated_one():
    certificate = solve(replace(draw_program("hinge", "l1"), loss=SquaredHinge())).certificate
    assert certificate.rounding == "estimated"
    assert "rounding estimated" in str(certificate)
    assert type(certificate).from_json(certificate.to_json()) == certificate
    with pytest.raises(ValueError, match="'rounding' must be one of"):
        type(certificate).from_json(certificate.to_json().replace("estimated", "none"))


@given(st.integers(0, 10**6))
def test_sums_of_groups_are_right_to_the_last_digit_in_any_order(seed):
    random = np.random.default_rng(seed)
    values = torch.from_numpy(random.normal(size=(40, 2)) * 10.0 ** random.uniform(-9, 9, size=(40, 1)))
    groups = torch.unique(torch.from_numpy(random.integers(7, size=40)), return_inverse=True)[1]
    largest = float(values.abs().max())
    sums, order = exact_sums(values, groups, largest), torch.from_numpy(random.permutation(40))
    for g in range(int(groups.max()) + 1):
        for c in range(2):
            truth = sum(map(Fraction, values[groups == g, c].tolist()))
            found = Fraction(float(sums.head[g, c])) + Fraction(float(sums.tail[g, c]))
            assert abs(found - truth) <= Fraction(float(sums.error[g, c]))
    again = exact_sums(values[order], groups[order], largest)
    assert torch.equal(again.head, sums.head)
    assert torch.equal(again.tail, sums.tail)


@given(st.integers(0, 10**6), st.sampled_from(["real", "planes"]))
def test_products_are_right_to_the_last_digit(seed, kind):
    random = np.random.default_rng(seed)
    values = random.normal(size=(5, 9)) * 10.0 ** random.integers(-6, 6, size=(5, 9))
    columns = RealColumns(torch.from_numpy(values))
    if kind == "planes":
        bits = torch.from_numpy(random.random((5, 3, 9)) < 0.5)
        packed = torch.stack([pack_bits(bits[:, b].contiguous()) for b in range(3)], dim=1)
        columns = PlaneColumns(packed, torch.tensor([1 / 7, 2 / 7, 4 / 7], dtype=torch.float64), 9)

    def transposed(D, U):
        return exact_transposed(D, [torch.zeros_like(U), 0.1 * U, U])[2]

    for product, left, right in (
        (exact_product, 5, lambda D, W: (D[:, :, None], W[None])),
        (
            lambda D, U: exact_transposed(D, [torch.zeros_like(U), 0.1 * U, U])[2],
            9,
            lambda D, W: (D.T[:, :, None], W[None]),
        ),
    ):
        factor = torch.from_numpy(random.normal(size=(left, 2)) * 10.0 ** random.integers(-9, 9, size=(left, 2)))
        factor[torch.from_numpy(random.random(left) < random.random())] = 0.0
        got = product(columns, factor)
        if kind == "planes":
            weights = [Fraction(w) for w in columns.weights.tolist()]
            D = sum(w * bits[:, b].numpy().astype(int).astype(object) for b, w in enumerate(weights)).T
        else:
            D = np.vectorize(Fraction, otypes=[object])(columns.dense().numpy())
        a, b = right(D, np.vectorize(Fraction, otypes=[object])(factor.numpy()))
        exact = (a * b).sum(axis=1)
        off = np.abs(
            exact
            - np.vectorize(Fraction, otypes=[object])(got.head.numpy())
            - np.vectorize(Fraction, otypes=[object])(got.tail.numpy())
        )
        assert (off <= np.vectorize(Fraction, otypes=[object])(got.error.numpy())).all()


@pytest.mark.parametrize("scale", [1e-20, 1e-10, 1.0, 1e10, 1e20])
@pytest.mark.parametrize("penalty", ["l1", "group"])
def test_verify_refuses_no_honest_regression(scale, penalty):
    """`verify` refused a regression of targets near 1e10 whose certificate was right."""
    random = np.random.default_rng(0)
    X, y = random.normal(size=(40, 5, 2)), random.normal(size=(40, 2)) * scale
    family = Gaussian(depth=2, last=12)
    model = SpikingRegressor(witnesses=family, beta=0.05, penalty=penalty, random_state=0)
    model.fit(X, y)
    outcome = verify(model.trained_, model.certificate_, model.problem(X, y))
    assert outcome.problems == ()


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("rho", [1e-12, 1e-6, 1e6])
def test_the_bound_of_a_solution_is_not_above_what_rationals_prove(loss, rho):
    program = draw_program(loss, "l1", n=14, P=6, seed=3, rho=rho)
    solution = solve(program, SolverOptions(max_iter=100))
    proof = prove(_exact(program), solution.W.numpy(), solution.U.numpy())
    assert Fraction(solution.certificate.dual) <= proof.dual + abs(proof.dual) * Fraction(1, 10**17)
