"""Few kernels, searched for: prices, made-up sequences, and fits with them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convexsnn import KernelSearch, SpikingClassifier, SpikingRegressor, simulate
from convexsnn.columns import RealColumns
from convexsnn.kernel_search.examples import mixed, noisy
from convexsnn.kernel_search.exchange import Choice, exchanged
from convexsnn.kernel_search.pricing import best_together
from convexsnn.kernel_search.rates import rates
from convexsnn.kernel_search.readout import AnsweredRows, KernelReadout
from convexsnn.kernel_search.variation import by_delays, picked_kernels, varied
from convexsnn.losses import Squared
from convexsnn.penalties import Ridge
from convexsnn.program import ConvexProgram
from convexsnn.solvers import solve
from convexsnn.storage import load_model, save_model
from convexsnn.verification import verify
from convexsnn.witnesses.kernels import KernelShape, kernels
from helpers import draw_sequences, generator

SMALL = KernelSearch(last=6, drawn=60, rounds=1)


def waves(n=40, T=24, seed=0):
    """Two classes of noisy waves of random phase, whose frequencies differ by half."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    phase = rng.uniform(0.0, 6.0, n)
    X = np.sin(0.5 * (1.0 + 0.5 * y)[:, None] * np.arange(T) + phase[:, None]) + 0.2 * rng.normal(size=(n, T))
    return X[:, :, None], y


def readout_of(columns, targets, *, intercept=False):
    n = len(columns)
    sequences = draw_sequences(n=n, T=3, d=1)
    return KernelReadout.of(
        AnsweredRows(sequences, targets, torch.full((n,), 1.0 / n, dtype=torch.float64), intercept), columns
    )


@pytest.mark.parametrize(("T", "d", "seed"), [(1, 1, 0), (7, 3, 1), (12, 2, 2)])
def test_rates_are_those_of_the_simulator_but_for_rounding(T, d, seed):
    sequences = draw_sequences(n=7, T=T, d=d, seed=seed, ragged=seed % 2 == 1)
    hidden = kernels(sequences, generator(seed), KernelShape(20))
    expected = simulate(hidden, sequences).features
    close = (rates(hidden, sequences) - expected).abs() < 1e-6
    assert float(close.double().mean()) > 0.98


@pytest.mark.parametrize("seed", range(4))
def test_varied_kernels_are_near_those_that_they_vary(seed):
    sequences = draw_sequences(n=7, T=9, d=2, seed=seed)
    hidden = by_delays(kernels(sequences, generator(seed), KernelShape(12)))
    near = varied(hidden, sequences, 3, generator(seed))
    for branch, other in zip(hidden.branches, near.branches, strict=True):
        assert other.last.delays == branch.last.delays
        assert other.last.m == 3 * branch.last.m
        assert float((other.last.weight - branch.last.weight.repeat(1, 3)).abs().max()) < 5.0
        fired = rates(replace(near, branches=(other,)), sequences)
        assert bool(((fired > 0.0) & (fired < 1.0)).any(dim=0).all())


def test_chosen_kernels_keep_their_columns():
    sequences = draw_sequences(n=7, T=9, d=2)
    hidden = kernels(sequences, generator(), KernelShape(30))
    neurons = torch.tensor([17, 3, 29])
    expected = rates(hidden, sequences)[:, neurons.sort().values]
    assert torch.equal(rates(picked_kernels(hidden, neurons), sequences), expected)


@given(st.integers(0, 9), st.booleans())
def test_the_loss_of_a_column_is_what_the_objective_rises_by_without_it(seed, intercept):
    rng = np.random.default_rng(seed)
    columns, targets = torch.from_numpy(rng.random((20, 4))), torch.from_numpy(rng.normal(size=(20, 2)))
    readout = readout_of(columns, targets, intercept=intercept)

    def objective(A):
        gram = A.T @ A + 0.5 * readout.rho * torch.eye(A.shape[1], dtype=A.dtype)
        moments = A.T @ readout.spectrum.B
        return -float((moments * torch.linalg.solve(gram, moments)).sum())

    A = readout.spectrum.rows.whole
    for j, loss in enumerate(readout.losses.tolist()):
        without = torch.cat([A[:, :j], A[:, j + 1 :]], dim=1)
        assert loss == pytest.approx(objective(without) - objective(A), rel=1e-6, abs=1e-12)


def test_the_column_that_explains_what_is_left_is_taken_first():
    rng = np.random.default_rng(0)
    own, columns = torch.from_numpy(rng.random((30, 2))), torch.from_numpy(rng.random((30, 50)))
    targets = columns[:, 41:42] + own @ torch.tensor([[1.0], [2.0]]).double()
    readout = readout_of(own, targets)
    rows = torch.arange(30)
    taken = best_together(readout, columns * (1 / 30) ** 0.5, rows, 3)
    assert taken[0] == 41
    assert len(set(taken.tolist())) == 3


@pytest.mark.parametrize("seed", range(4))
def test_made_up_sequences_lie_between_those_that_are_there(seed):
    sequences = draw_sequences(n=5, T=8, d=2, seed=seed, ragged=True)
    made_up = mixed(sequences, 40, generator(seed))
    low, high = sequences.values[sequences.shown].amin(dim=0), sequences.values[sequences.shown].amax(dim=0)
    shown = made_up.values[made_up.shown]
    assert bool(((shown >= low - 1e-9) & (shown <= high + 1e-9)).all())
    assert not bool(made_up.values[~made_up.shown].any())
    assert set(made_up.lengths.tolist()) <= set(sequences.lengths.tolist())


def test_a_fit_has_few_columns_a_certificate_and_can_be_kept(tmp_path):
    X, y = waves()
    model = SpikingClassifier(witnesses=SMALL, random_state=0).fit(X, y)
    assert model.score(*waves(seed=1)) > 0.85
    assert model.certificate_.support <= 6
    assert model.certificate_.holds(1e-9)
    again = SpikingClassifier(witnesses=SMALL, random_state=0).fit(X, y)
    assert torch.equal(again.network_.W, model.network_.W)
    save_model(model, tmp_path / "m.safetensors")
    loaded, _ = load_model(tmp_path / "m.safetensors")
    assert np.array_equal(loaded.predict(X), model.predict(X))
    assert verify(model.trained_, model.certificate_, model.problem(X, y)).holds


def test_searched_kernels_also_regress():
    X, _ = waves()
    y = np.abs(X[:, :, 0]).mean(axis=1)
    model = SpikingRegressor(witnesses=SMALL, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.3


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"loss": "logistic"}, "loss='squared'"), ({"per_step": True}, "one label a sequence")],
)
def test_what_a_search_for_kernels_cannot_do_is_refused(changes, reason):
    X, y = waves(n=12)
    y = np.repeat(y[:, None], 24, axis=1) if "per_step" in changes else y
    with pytest.raises(ValueError, match=reason):
        SpikingClassifier(witnesses=SMALL, **changes).fit(X, y)


def test_columns_that_answer_together_are_found_by_exchange():
    """A column near the target is taken first, though two others together are the target."""
    rng = generator(3)
    columns = torch.randn(200, 12, generator=rng, dtype=torch.float64)
    targets = columns[:, 4:5] + columns[:, 9:10]
    columns[:, 0] = targets[:, 0] + 0.3 * columns[:, 0]
    values = RealColumns(columns.T.contiguous())
    program = ConvexProgram(
        values, targets, Squared(), Ridge(), 1e-3, torch.full((200,), 1.0 / 200.0, dtype=torch.float64)
    )
    assert sorted(exchanged(program, [], 2)) == [4, 9]
    assert exchanged(program, [7], 3)[0] == 7
    assert sorted(exchanged(program, [7], 3)) == [4, 7, 9]
    assert sorted(exchanged(program, [], 20)) == list(range(12))


@pytest.mark.parametrize("penalty", [0.001, 0.1])
def test_the_worth_of_a_column_is_the_fall_of_the_objective(penalty):
    rng = generator(0)
    columns = torch.randn(40, 8, generator=rng, dtype=torch.float64)
    targets = torch.randn(40, 3, generator=rng, dtype=torch.float64)
    weights = torch.full((40,), 1.0 / 40.0, dtype=torch.float64)
    program = ConvexProgram(RealColumns(columns.T.contiguous()), targets, Squared(), Ridge(), 2.0 * penalty, weights)

    def objective(chosen):
        return solve(replace(program, columns=program.columns.take(torch.tensor(chosen)))).certificate.primal

    choice, chosen = replace(Choice.of(program), penalty=penalty), [2, 5, 6]
    worths, losses = choice.worths(chosen), dict.fromkeys(chosen, 0.0)
    for one in range(8):
        expected = -1.0 if one in chosen else objective(chosen) - objective([*chosen, one])
        assert float(worths[one]) == pytest.approx(expected, abs=1e-5)
    for one in chosen:
        losses[one] = objective([other for other in chosen if other != one]) - objective(chosen)
    assert choice.by_loss(chosen) == sorted(chosen, key=lambda one: losses[one])


def test_noisy_sequences_end_where_those_do_they_are_made_of():
    sequences = draw_sequences(n=6, T=9, d=2, ragged=True)
    made_up = noisy(sequences, generator(0))
    assert len(made_up) == 3000
    assert made_up.values.shape[1:] == (9, 2)
    assert float(made_up.values[~made_up.shown].abs().max()) == 0.0
    assert int(made_up.lengths.min()) >= int(sequences.lengths.min())
