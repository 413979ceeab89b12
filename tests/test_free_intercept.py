"""A free intercept: against CVXPY + Clarabel, its dual vectors, certificates, proofs, and who refuses it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import cvxpy as cp
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge as SklearnRidge

from convexsnn import SpikingClassifier, SpikingRegressor, as_sequences
from convexsnn.bounds.complete import complete_network
from convexsnn.certificate import Certificate, certify
from convexsnn.columns import BitColumns, RealColumns, pack_bits
from convexsnn.families import Exact, Gaussian, Kernels, Search
from convexsnn.losses import LOSSES, Head, loss_of
from convexsnn.penalties import PENALTIES
from convexsnn.program import ConvexProgram
from convexsnn.proof import verify_exactly
from convexsnn.reconstruction.thinning import thin
from convexsnn.rounding.products import exact_product, exact_transposed
from convexsnn.solvers import SolverOptions, solve
from convexsnn.solvers.path import largest_rho, solve_path
from convexsnn.solvers.spectrum import Spectrum
from convexsnn.storage import load_model, save_model
from convexsnn.stretched import StretchedColumns
from convexsnn.verification import verify
from convexsnn.witnesses import constant_place

TWO_HEADS = loss_of("cross_entropy", (Head(2, 0.7), Head(3, 1.5)))
SOLVED = [
    (loss, penalty, outputs)
    for loss, penalties in {
        "hinge": ("l1", "group"), "squared": tuple(PENALTIES),
        "logistic": ("l1", "group", "elastic"), "cross_entropy": ("l1", "group", "elastic"),
    }.items()
    for penalty in penalties
    for outputs in (1, 3)
    if (loss, outputs) != ("cross_entropy", 1)
]  # fmt: skip
SMALL = Gaussian(depth=3, branches=3, hidden=4, last=10)
DATA = np.random.default_rng(0).normal(size=(40, 5, 2)).cumsum(axis=1).round(2)
LABELS = (DATA[:, -1, 0] > 1.0).astype(int) + (DATA[:, -1, 1] > 0.0)


def draw(loss, penalty="l1", outputs=3, *, n=25, count=20, rho=0.01, seed=0, weighted=True) -> ConvexProgram:
    """A program whose classes are of different size, and whose column of ones is one in the middle."""
    rng = torch.Generator().manual_seed(seed)
    bits = torch.rand(count, n, generator=rng) < 0.4
    bits[count // 2] = True
    loss = LOSSES[loss] if isinstance(loss, str) else loss
    if loss.name == "squared":
        Y = torch.randn(n, outputs, generator=rng, dtype=torch.float64) + 3.0
    else:
        sizes = [head.classes for head in loss.heads] or [max(2, outputs)]
        labels = [(torch.rand(n, generator=rng) ** 2 * size).long().clamp(max=size - 1) for size in sizes]
        Y = loss.encode(torch.stack(labels, 1) if loss.heads else labels[0], sum(sizes))
    weights = torch.rand(n, generator=rng, dtype=torch.float64) + 0.1 if weighted else torch.ones(n).double()
    columns = BitColumns(pack_bits(bits), n)
    return ConvexProgram(columns, Y, loss, PENALTIES[penalty], rho, weights / weights.sum(), free_intercept=True)


def optimum(program: ConvexProgram) -> float:
    """By Clarabel."""
    D, Y, w = program.columns.dense().numpy(), program.targets.numpy(), program.row_weights.numpy()
    W, b = cp.Variable((D.shape[1] - 1, Y.shape[1])), cp.Variable((1, Y.shape[1]))
    S = np.delete(D, program.free_column, axis=1) @ W + np.ones((len(D), 1)) @ b
    rows = {
        "squared": lambda: cp.sum(cp.square(S - Y), axis=1),
        "hinge": lambda: cp.sum(cp.pos(1 - cp.multiply(Y, S)), axis=1),
        "logistic": lambda: cp.sum(cp.logistic(-cp.multiply(Y, S)), axis=1),
        "cross_entropy": lambda: cp.log_sum_exp(S, axis=1) - cp.sum(cp.multiply(S, Y), axis=1),
    }[program.loss.name]()
    norms, squares = cp.sum(cp.norm(W, 2, axis=1)), 0.5 * cp.sum_squares(W)
    omega = {"l1": cp.sum(cp.abs(W)), "group": norms, "elastic": norms + squares, "ridge": squares}
    problem = cp.Problem(cp.Minimize(w @ rows + program.rho * omega[program.penalty.name]))
    problem.solve(solver=cp.CLARABEL)
    return float(problem.value)


@pytest.mark.parametrize(("loss", "penalty", "outputs"), SOLVED)
def test_every_solver_reaches_the_optimum_and_its_certificate_encloses_it(loss, penalty, outputs):
    program = draw(loss, penalty, outputs)
    coarse = (loss, penalty, outputs) == ("hinge", "group", 3)
    solution, expected = solve(program, SolverOptions(1e-4 if coarse else 1e-6)), optimum(program)
    assert solution.certificate.holds(1e-4 if coarse else 1e-6)
    assert solution.certificate.dual <= expected * (1 + 1e-7)
    assert solution.certificate.primal >= expected * (1 - 1e-7)
    assert solution.certificate.free_intercept
    assert "intercept free" in str(solution.certificate)
    penalised = solve(replace(program, free_intercept=False))
    assert solution.certificate.primal < penalised.certificate.primal


@given(
    loss=st.sampled_from(["hinge", "squared", "logistic", "cross_entropy", TWO_HEADS]), outputs=st.sampled_from([1, 3]),
    size=st.sampled_from([0.0, 1e-200, 1e-9, 1.0, 1e3]), seed=st.integers(0, 2**31),
)  # fmt: skip
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_dual_vectors_sum_to_zero_exactly_within_the_domain_and_stay_what_they_are(loss, outputs, size, seed):
    program = draw(loss, outputs=outputs, n=12, seed=seed % 1000)
    rng = torch.Generator().manual_seed(seed)
    U = program.in_domain(size * torch.randn(program.targets.shape, generator=rng, dtype=torch.float64))
    assert all(sum(map(Fraction, column)) == 0 for column in U.T.tolist())
    if not program.loss.separable:
        assert all(sum(map(Fraction, row)) == 0 for row in U.tolist())
    assert bool(torch.isfinite(program.loss.conjugate(U / program.row_weights[:, None], program.targets)).all())
    assert torch.equal(program.in_domain(U), U)


@given(seed=st.integers(0, 500), loss=st.sampled_from(["hinge", "squared", "logistic", "cross_entropy"]))
@settings(max_examples=12, deadline=None)
def test_any_dual_candidate_gives_a_bound_below_the_optimum(seed, loss):
    program = draw(loss, n=12, count=8, seed=seed % 7, weighted=bool(seed % 2))
    rng = torch.Generator().manual_seed(seed)
    W = 3.0 * torch.randn(8, 3, generator=rng, dtype=torch.float64)
    U = program.data_gradient(program.columns.matmul(W)) * (1.0 + torch.rand(12, 1, generator=rng))
    assert certify(program, W, U).dual <= solve(program).certificate.primal


def test_what_balance_takes_from_a_dual_vector_is_no_more_than_its_sum():
    program = draw("cross_entropy", n=200)
    U = program.data_gradient(torch.randn(200, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    assert float((program.in_domain(U) - U).abs().sum()) <= 2.0 * float(U.sum(dim=0).abs().sum()) + 1e-12


def test_a_path_begins_where_only_the_intercept_is_left():
    for loss in ("squared", "logistic", "cross_entropy"):
        program = draw(loss)
        largest = largest_rho(program)
        above, below = solve_path(program, [1.01 * largest, 0.9 * largest])
        assert above.W.any(dim=1).nonzero().flatten().tolist() == [program.free_column]
        assert int(below.W.any(dim=1).sum()) > 1
        assert above.certificate.holds(1e-6)
        assert below.certificate.holds(1e-6)


def test_ridge_is_that_of_scikit_learn_and_knows_the_rows_that_are_left_out():
    program = draw("squared", "ridge", outputs=2, rho=0.3)
    keep = [j for j in range(20) if j != program.free_column]
    D, Y, w = program.columns.dense()[:, keep].numpy(), program.targets.numpy(), program.row_weights.numpy()
    peer = lambda rows: SklearnRidge(alpha=0.15).fit(D[rows], Y[rows], sample_weight=w[rows])  # noqa: E731
    W, everything = solve(program).W, np.arange(25)
    np.testing.assert_allclose(W[keep].T, peer(everything).coef_, atol=1e-9)
    np.testing.assert_allclose(W[program.free_column], peer(everything).intercept_, atol=1e-9)
    # Left out without weighing the others anew: the loss is a sum, not a mean.
    left_out = [Y[i] - peer(np.delete(everything, i)).predict(D[i : i + 1])[0] for i in everything]
    found = Spectrum.of(program).left_out_residuals(0.3) / program.row_weights.sqrt().unsqueeze(1)
    np.testing.assert_allclose(found, np.array(left_out), atol=1e-8)


@given(seed=st.integers(0, 2**31), real=st.booleans(), place=st.integers(0, 29))
@settings(max_examples=20, deadline=None)
def test_stretched_columns_are_products_without_rounding(seed, real, place):
    rng = torch.Generator().manual_seed(seed)
    columns = RealColumns(torch.randn(5, 9, generator=rng).double()) if real else draw("hinge", n=9, count=5).columns
    scale = torch.tensor([1.0, 2.0**place, 1.0, 2.0**-3, 1.0], dtype=torch.float64)
    stretched = StretchedColumns(columns, scale)
    W, U = (torch.randn(k, 2, generator=rng).double() for k in (5, 9))
    D = np.array([[Fraction(x) for x in row] for row in stretched.dense().tolist()])
    exactly = lambda tensor: np.vectorize(Fraction, otypes=[object])(tensor.numpy())  # noqa: E731
    for product, exact in (
        (exact_product(stretched, W), D @ exactly(W)),
        (exact_transposed(stretched, [U])[0], D.T @ exactly(U)),
    ):
        assert (abs(exactly(product.head) + exactly(product.tail) - exact) <= exactly(product.error)).all()
    index = torch.tensor([3, 1])
    assert torch.equal(stretched.take(index).dense(), stretched.dense()[:, index])
    assert torch.equal(stretched.rows(index).dense(), stretched.dense()[index])


@pytest.mark.parametrize(
    ("loss", "penalty"), [("hinge", "l1"), ("logistic", "group"), ("cross_entropy", "l1"), ("squared", "ridge")]
)
def test_fits_are_verified_and_proved_exactly_and_files_keep_them(loss, penalty, tmp_path):
    model = SpikingClassifier(witnesses=SMALL, loss=loss, penalty=penalty, beta=0.1, intercept="free", random_state=0)
    model.fit(DATA, LABELS)
    save_model(model, tmp_path / "model.safetensors")
    again, _ = load_model(tmp_path / "model.safetensors")
    assert again.certificate_ == model.certificate_
    assert again.intercept == "free"
    assert Certificate.from_json(model.certificate_.to_json()) == model.certificate_
    verification = verify(again.trained_, again.certificate_, again.problem(DATA, LABELS))
    assert verification.holds, verification.problems
    proved = verify_exactly(tmp_path / "model.safetensors", DATA, LABELS)
    assert proved.holds, proved.problems
    bound = model.certificate_.global_bound
    assert bound is None or (bound.value < model.certificate_.dual and "intercept" in bound.assumptions[-1])


def test_the_intercept_is_given_by_the_always_firing_neuron_and_not_by_another_that_always_fires():
    X = np.abs(DATA) + 1.0
    model = SpikingClassifier(witnesses=Gaussian(last=200), loss="logistic", beta=0.1, intercept="free", random_state=0)
    trained = model.fit(X, LABELS).trained_
    place = constant_place(trained.network.hidden)
    assert place is not None
    assert place == trained.network.hidden.n_last - 1
    assert bool(trained.network.W[place].all())


def test_kernels_down_to_few_columns_keep_the_free_intercept():
    model = SpikingRegressor(witnesses=Kernels(last=30), intercept="free", columns=15, random_state=0)
    y = DATA[:, :, 0].mean(axis=1) + 100.0
    model.fit(DATA, y)
    assert model.certificate_.support <= 15
    assert model.certificate_.free_intercept
    assert verify(model.trained_, model.certificate_, model.problem(DATA, y)).holds


def test_a_dual_vector_that_does_not_sum_to_zero_proves_nothing():
    from convexsnn.proof.inequality import ExactProgram, prove
    from convexsnn.proof.losses import LossHead

    D, Y = np.array([[True, False], [True, True], [True, False]]), np.array([[1.0], [2.0], [4.0]])
    program = ExactProgram(D, Y, np.ones(3), "squared", "l1", Fraction(1, 10), (LossHead(slice(0, 1)),), free=0)
    W = np.array([[2.5], [0.0]])
    assert prove(program, W, np.array([[1.0], [0.5], [-1.5]])).dual <= prove(program, W, np.zeros((3, 1))).primal
    with pytest.raises(ValueError, match="U must sum to zero in each output"):
        prove(program, W, np.array([[1.0], [0.5], [-1.25]]))
    with pytest.raises(ValueError, match="column 1, of the free intercept, must be ones"):
        prove(replace(program, free=1), W, np.zeros((3, 1)))


@pytest.mark.parametrize("family", [Search(), Exact()], ids=["search", "exact"])
def test_those_who_do_not_know_it_refuse_it(family):
    with pytest.raises(ValueError, match="does not know a free intercept: penalise it"):
        SpikingClassifier(witnesses=family, loss="logistic", intercept="free").fit(DATA[:10, :2], LABELS[:10] > 0)


def test_refusals_name_what_is_missing():
    program = draw("logistic")
    nothing = program.targets.new_zeros(20, 3)
    with pytest.raises(ValueError, match="thinning does not know a free intercept"):
        thin(program, nothing)
    with pytest.raises(ValueError, match="does not know a free intercept"):
        complete_network(program, as_sequences(DATA[:25]), every_step=False)
    with pytest.raises(ValueError, match="no solver takes loss 'hinge' with penalty 'elastic' and 3 outputs"):
        solve(draw("hinge", "elastic"))
    some = torch.tensor([j for j in range(20) if j != program.free_column])
    with pytest.raises(ValueError, match="needs a column of ones, where the intercept is free"):
        solve(replace(program, columns=program.columns.take(some)))
    with pytest.raises(ValueError, match="intercept must be True, False or 'free', not 'fre'"):
        SpikingClassifier(intercept="fre").fit(DATA, LABELS)
