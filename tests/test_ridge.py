"""The ridge penalty: closed form, leave-one-out, fewer columns, certificates and exact proofs."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge as SklearnRidge

from convexsnn import Kernels, SpikingClassifier, SpikingRegressor
from convexsnn.columns import BitColumns, Columns, RealColumns, pack_bits
from convexsnn.families import Gaussian
from convexsnn.kernel_search import exchanged, made_up_for
from convexsnn.losses import LOSSES
from convexsnn.penalties import PENALTIES, Ridge, norm_below
from convexsnn.program import ConvexProgram
from convexsnn.solvers import Status, solve
from convexsnn.solvers.path import halved_rhos, solve_path
from convexsnn.solvers.spectrum import Spectrum
from convexsnn.storage import load_model, save_model
from convexsnn.verification import verify

SMALL = {"witnesses": Kernels(last=200), "loss": "squared", "penalty": "ridge", "random_state": 0}


def make(n: int = 25, count: int = 30, outputs: int = 2, rho: float = 0.1, *, bits: bool = False, seed: int = 0):
    rng = torch.Generator().manual_seed(seed)
    values = torch.randn(count, n, generator=rng, dtype=torch.float64)
    columns: Columns = BitColumns(pack_bits(values >= 0), n) if bits else RealColumns(values)
    weights = torch.rand(n, generator=rng, dtype=torch.float64) + 0.05
    targets = torch.randn(n, outputs, generator=rng, dtype=torch.float64)
    return ConvexProgram(columns, targets, LOSSES["squared"], Ridge(), rho, weights / weights.sum())


def waves(n: int = 60, steps: int = 20, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Sines of two frequencies, in noise."""
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=n)
    phase, noise = rng.uniform(0, 6, (n, 1)), rng.normal(size=(n, steps))
    X = np.sin(phase + np.arange(steps) * np.where(y, 0.9, 0.5)[:, None]) + 0.3 * noise
    return X[:, :, None], y


@pytest.mark.parametrize(("n", "count"), [(25, 30), (40, 15), (10, 10)])
@pytest.mark.parametrize("bits", [False, True])
def test_the_closed_form_is_that_of_scikit_learn(n, count, bits):
    program = make(n, count, bits=bits)
    solution = solve(program)
    assert solution.status is Status.CONVERGED
    assert solution.certificate.relative_gap < 1e-10
    reference = SklearnRidge(alpha=program.rho / 2, fit_intercept=False, tol=1e-12)
    reference.fit(program.columns.dense().numpy(), program.targets.numpy(), program.row_weights.numpy())
    assert np.allclose(solution.W.numpy(), reference.coef_.T, atol=1e-8)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    n=st.integers(2, 30), count=st.integers(1, 40), outputs=st.integers(1, 3), seed=st.integers(0, 999),
    exponent=st.integers(-6, 4), bits=st.booleans(),
)  # fmt: skip
def test_leaving_out_is_what_solving_without_the_row_gives(n, count, outputs, seed, exponent, bits):
    program = make(n, count, outputs, 10.0**exponent, bits=bits, seed=seed)
    residuals = Spectrum.of(program).left_out_residuals(program.rho) / program.row_weights.sqrt().unsqueeze(1)
    D = program.columns.dense()
    for i in {0, n - 1}:
        rest = torch.arange(n) != i
        A = D[rest] * program.row_weights[rest].sqrt().unsqueeze(1)
        B = program.targets[rest] * program.row_weights[rest].sqrt().unsqueeze(1)
        W = torch.linalg.solve(A.T @ A + 0.5 * program.rho * torch.eye(count, dtype=torch.float64), A.T @ B)
        assert torch.allclose(residuals[i], program.targets[i] - D[i] @ W, rtol=1e-5, atol=1e-6)


def test_of_equal_losses_the_largest_rho_is_picked():
    program = replace(make(), targets=torch.zeros(25, 2, dtype=torch.float64))
    assert Spectrum.of(program).least_left_out([1.0, 3.0, 2.0]).place == 1


def test_one_decomposition_serves_a_path():
    program = make()
    rhos = halved_rhos(program, 6)
    assert all(a == 2 * b for a, b in pairwise(rhos))
    for rho, solution in zip(rhos, solve_path(program, rhos), strict=True):
        alone = solve(replace(program, rho=rho))
        assert torch.allclose(solution.W, alone.W)
        assert solution.certificate.primal == pytest.approx(alone.certificate.primal, rel=1e-12)


@pytest.mark.parametrize("loss", ["hinge", "logistic", "cross_entropy"])
def test_other_losses_are_refused_by_name(loss):
    X, y = waves()
    with pytest.raises(ValueError, match="no solver takes loss '" + loss):
        SpikingClassifier(witnesses=Gaussian(last=20), loss=loss, penalty="ridge", beta=0.1).fit(X, y)


def test_what_needs_a_norm_refuses_it():
    with pytest.raises(ValueError, match="penalty 'ridge' is not above a norm"):
        norm_below(PENALTIES["ridge"], "a bound")
    X, y = waves()
    with pytest.raises(ValueError, match="penalty 'ridge' is not a norm"):
        SpikingClassifier(witnesses="search", loss="squared", penalty="ridge", beta=0.1).fit(X, y)


@pytest.mark.parametrize("most", [60, 7, 1])
def test_no_more_columns_are_read_than_allowed(most, tmp_path):
    X, y = waves()
    model = SpikingClassifier(**SMALL, beta="path", columns=most).fit(X, y)
    certificate = model.certificate_
    assert 0 < certificate.support <= most
    assert certificate.P == certificate.support == model.trained_.witnesses.n_last
    assert certificate.global_bound is None
    assert verify(model.trained_, model.certificate_, model.problem(X, y)).problems == ()
    save_model(model, tmp_path / "model")
    again, _ = load_model(tmp_path / "model")
    assert np.array_equal(again.decision_function(X), model.decision_function(X))
    assert again.beta_ == model.beta_


def test_few_columns_learn_what_many_do():
    X, y = waves(200)
    model = SpikingClassifier(**SMALL, beta="path", columns=20).fit(X[:100], y[:100])
    assert model.score(X[100:], y[100:]) > 0.95
    (point,) = model.path_
    assert point.validation_score > 0.95
    assert point.certificate == model.certificate_


def test_made_up_sequences_choose_neurons_where_fewer_columns_than_sequences_are_allowed(monkeypatch):
    X, y = waves(40)
    asked = []

    def watched(sequences, generator):
        asked.append(made_up_for(sequences, generator))
        return asked[-1]

    monkeypatch.setattr("convexsnn.elimination.made_up_for", watched)
    SpikingClassifier(**SMALL, beta="path", columns=40).fit(X, y)
    assert not asked
    model = SpikingClassifier(**SMALL, beta="path", columns=10).fit(X, y)
    assert [len(made_up) for made_up in asked] == [960]
    assert model.certificate_.support <= 10
    assert model.certificate_.relative_gap < 1e-9
    assert len(model.trained_.U) == 40  # the program has the real sequences alone


@pytest.mark.parametrize("intercept", [True, False, "free"])
def test_few_columns_are_chosen_one_by_one_where_sequences_are_many(intercept, monkeypatch):
    X, y = waves(90)
    settings = SMALL | {"witnesses": Kernels(last=100)}
    left_out = SpikingClassifier(**settings, beta="path", columns=6, intercept=intercept).fit(X[:60], y[:60])
    monkeypatch.setattr("convexsnn.elimination.LEAST_SEQUENCES", 60)
    monkeypatch.setattr("convexsnn.elimination.MOST_SEQUENCES", 50)
    monkeypatch.setattr("convexsnn.kernel_search.examples.NOISY", 70)
    asked = []

    def watched(program, first, most):
        asked.append((program.n_rows, len(first), most))
        return exchanged(program, first, most)

    monkeypatch.setattr("convexsnn.elimination.exchanged", watched)
    model = SpikingClassifier(**settings, beta="path", columns=6, intercept=intercept).fit(X[:60], y[:60])
    assert asked == [(50 + 70, int(bool(intercept)), 6)]
    assert model.certificate_.support <= 6
    assert model.certificate_.relative_gap < 1e-9
    assert len(model.trained_.U) == 60  # the program has the real sequences alone
    assert verify(model.trained_, model.certificate_, model.problem(X[:60], y[:60])).problems == ()
    assert model.score(X[60:], y[60:]) >= left_out.score(X[60:], y[60:])


@pytest.mark.parametrize(("count", "outputs", "free"), [(20, 2, False), (40, 3, True)])
def test_blocks_of_rows_give_what_all_rows_give(count, outputs, free, monkeypatch):
    program = make(50, count, outputs)
    ones = torch.ones(1, 50, dtype=torch.float64)
    program = replace(program, columns=RealColumns(torch.cat([program.columns.dense().T, ones])), free_intercept=free)
    outcomes = []
    for floats in (2**25, 1):
        monkeypatch.setattr("convexsnn.solvers.spectrum.BLOCK_FLOATS", floats)
        spectrum = Spectrum.of(program)
        outcomes.append((spectrum.weights(0.1), spectrum.left_out_residuals(0.1)))
    assert len(spectrum.rows.ranges) == 7  # of eight rows each, the last of two
    for whole, blocks in zip(*outcomes, strict=True):
        assert torch.allclose(whole, blocks, atol=1e-10)


@pytest.mark.parametrize(("penalty", "loss"), [("l1", "logistic"), ("group", "cross_entropy"), ("elastic", "squared")])
@pytest.mark.parametrize("intercept", [False, True])
def test_columns_are_left_out_at_one_beta_of_any_penalty(penalty, loss, intercept):
    X, y = waves()
    settings = {"witnesses": Kernels(last=200), "beta": 0.003, "random_state": 0, "intercept": intercept}
    free = SpikingClassifier(loss=loss, penalty=penalty, **settings).fit(X, y)
    few = SpikingClassifier(loss=loss, penalty=penalty, columns=5, **settings).fit(X, y)
    assert free.certificate_.support > 5 >= few.certificate_.support
    assert few.beta_ == free.beta_
    assert few.certificate_.relative_gap <= 1e-6
    assert verify(few.trained_, few.certificate_, few.problem(X, y)).problems == ()


def test_windows_of_a_neuron_stay_together():
    X, y = waves()
    model = SpikingClassifier(**(SMALL | {"witnesses": Kernels(last=50, windows=(2, 4))}), beta="path", columns=21)
    model.fit(X, y)
    assert model.certificate_.support <= 21
    assert model.trained_.witnesses.n_last % 7 == 0
    assert verify(model.trained_, model.certificate_, model.problem(X, y)).problems == ()


def test_a_recurrent_layer_is_kept_whole():
    X, y = waves()
    family = Gaussian(last=40, recurrent=True, depth=2)
    with pytest.warns(UserWarning, match="neurons that feed one another are not left out"):
        model = SpikingClassifier(witnesses=family, loss="squared", penalty="ridge", beta="path", columns=3).fit(X, y)
    assert model.certificate_.support > 3


def test_regression_of_several_outputs():
    X, _ = waves(120)
    y = np.stack([X[:, -1, 0], X.mean(axis=(1, 2))], axis=1)
    model = SpikingRegressor(**(SMALL | {"loss": "auto"}), beta="path", columns=100).fit(X, y)
    assert model.certificate_.support <= 100
    assert model.score(X, y) > 0.5


@pytest.mark.parametrize(("intercept", "least"), [(False, 7), (True, 14)])
def test_fewer_columns_than_a_neuron_has_are_refused(intercept, least):
    X, y = waves()
    family = SMALL | {"witnesses": Kernels(last=50, windows=(2, 4)), "intercept": intercept, "beta": "path"}
    with pytest.raises(ValueError, match=f"columns={least - 1} leaves no neuron.*at least {least}"):
        SpikingClassifier(**family, columns=least - 1).fit(X, y)
    assert 0 < SpikingClassifier(**family, columns=least).fit(X, y).certificate_.support <= least


def test_exact_training_says_that_it_leaves_no_column_out():
    X, y = np.array([[[1.0], [0.5]], [[-1.0], [0.2]], [[0.3], [-0.7]], [[-0.2], [0.9]]]), [0, 1, 1, 0]
    with pytest.warns(UserWarning, match="more than columns=1: exact training leaves none out"):
        model = SpikingClassifier(witnesses="exact", loss="hinge", beta=0.001, columns=1).fit(X, y)
    assert model.certificate_.support > 1
