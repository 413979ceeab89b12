"""The regularisation path: each point against a cold solve, where it begins, and the pick by validation."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning

from convexsnn import Problem, as_sequences, build_dictionary
from convexsnn.certificate import certify
from convexsnn.losses import LOSSES
from convexsnn.observer import Observer
from convexsnn.penalties import PENALTIES
from convexsnn.regularisation import Regularisation, rho_of
from convexsnn.selection import PathPoint, train_path
from convexsnn.simulation import scores
from convexsnn.solvers import SolverOptions, Status, solve
from convexsnn.solvers.path import largest_rho, rho_grid, solve_path
from convexsnn.training import SimulatedColumns, train
from convexsnn.validation import RSquared, Validation
from helpers import NORMS, draw_hidden, draw_program, draw_sequences, draw_targets, interrupt_run

TOL = 1e-8


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("penalty", NORMS)
@pytest.mark.parametrize("classes", [2, 3])
def test_every_point_is_what_a_cold_solve_gives(loss, penalty, classes):
    program = draw_program(loss, penalty, classes=classes)
    rhos = rho_grid(program, 6, 1e-2)
    options = SolverOptions(tol=TOL)
    points = list(solve_path(program, rhos, options))
    assert [point.certificate.rho for point in points] == rhos
    assert not points[0].W.any()
    for rho, point in zip(rhos, points, strict=True):
        alone = replace(program, rho=rho)
        cold = solve(alone, options)
        assert point.status is Status.CONVERGED
        assert certify(alone, point.W, point.U) == point.certificate
        assert point.certificate.primal == pytest.approx(cold.certificate.primal, rel=2 * TOL)
    objectives = [point.certificate.primal for point in points]
    assert all(np.diff(objectives) < 0)


@given(
    st.sampled_from(sorted(LOSSES)),
    st.sampled_from(NORMS),
    st.integers(0, 10**6),
    st.integers(1, 8),
    st.integers(2, 4),
    st.booleans(),
)
def test_zero_is_optimal_from_largest_rho_on_and_not_below(loss, penalty, seed, P, classes, real):
    program = draw_program(loss, penalty, n=12, P=P, classes=classes, seed=seed, real=real)
    largest = largest_rho(program)
    assume(largest > 1e-6)
    zero = torch.zeros(P, program.n_outputs, dtype=torch.float64)
    gradient = program.data_gradient(torch.zeros_like(program.targets))
    above = certify(replace(program, rho=largest * (1 + 1e-9)), zero, gradient)
    assert above.relative_gap <= 1e-12
    # Below, the steepest direction of unit penalty descends: F falls by `largest` a unit of length at first, and its
    # second derivative is at most 2 |D v|^2 (that of the squared loss).
    below = replace(program, rho=largest * (1 - 1e-2))
    slope = program.columns.rmatmul(gradient)
    direction = torch.zeros_like(slope)
    if penalty == "l1":
        j = slope.abs().flatten().argmax()
        direction.view(-1)[j] = -slope.view(-1)[j].sign()
    else:
        j = slope.norm(dim=1).argmax()
        direction[j] = -slope[j] / slope[j].norm()
    reach = program.columns.matmul(direction).abs()
    step = 1e-2 * largest / (2.0 * float((reach**2).sum()))
    if loss == "hinge":  # affine up to margins of one
        step = 1.0 / float(reach.max())
    assert below.primal(step * direction) < below.primal(zero)
    assert certify(below, zero, gradient).gap > 0


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("penalty", NORMS)
def test_solvers_agree_on_where_weights_begin(loss, penalty):
    program = draw_program(loss, penalty, seed=3)
    largest = largest_rho(program)
    above, below = solve_path(program, [1.001 * largest, 0.99 * largest], SolverOptions(tol=1e-9))
    assert not above.W.any()
    assert below.W.any()


@pytest.mark.parametrize(
    ("rhos", "message"),
    [
        ([], "rhos must hold at least one"),
        ([1.0, 0.0], r"rhos\[1\] must be more than 0"),
        ([-1.0], r"rhos\[0\]"),
        ([1.0, 1.0], "rhos must be strictly decreasing"),
        ([0.1, 1.0], "rhos must be strictly decreasing"),
        ([math.inf], r"rhos\[0\] must be finite"),
        (["a"], r"rhos\[0\] must be a number"),
    ],
)
def test_bad_rhos_are_refused_at_once(rhos, message):
    with pytest.raises(ValueError, match=message):
        solve_path(draw_program("squared", "l1"), rhos)


def test_grid_is_geometric_and_its_arguments_are_checked():
    program = draw_program("squared", "l1")
    grid = rho_grid(program, 4, 1e-3)
    assert grid == pytest.approx([largest_rho(program) * f for f in (1, 0.1, 0.01, 0.001)])
    for arguments, message in [((1, 0.1), "number"), ((3, 1.0), "smallest_ratio"), ((3, 0.0), "smallest_ratio")]:
        with pytest.raises(ValueError, match=message):
            rho_grid(program, *arguments)
    with pytest.raises(ValueError, match="W = 0"):
        rho_grid(replace(program, targets=torch.zeros_like(program.targets)))


def test_an_interrupt_ends_the_path_with_the_point_it_hit(monkeypatch):
    program = draw_program("logistic", "l1")
    interrupt_run(monkeypatch, 2)
    points = list(solve_path(program, rho_grid(program, 5, 1e-2)))
    assert [point.status for point in points] == [Status.CONVERGED, Status.INTERRUPTED]


class Scored(RSquared):
    """A score that is any function of the outputs."""

    def __init__(self, score):
        self.score = score

    def __call__(self, targets, S, weights):  # noqa: ARG002 - as scores are called
        return self.score(S)


def drawn_problem(score=None):
    """A small problem of regression, judged on other sequences."""
    sequences, other, score = draw_sequences(40), draw_sequences(30, seed=1), score or RSquared()
    validation = Validation(other, draw_targets("squared", 30, 2, seed=1), score)
    targets = draw_targets("squared", 40, 2)
    return Problem(sequences, targets, LOSSES["squared"], PENALTIES["l1"], 1.0, score=score, validation=validation)


def drawn_path(betas, observer=None, rho=None, problem=None):
    """A path over one small simulation."""
    source = SimulatedColumns.of(problem or drawn_problem(), draw_hidden(), None, observer)
    return train_path(source, Regularisation.read(betas, rho), observer)


def test_the_pick_has_the_best_validation_score_of_the_reconstructed_networks():
    problem, fitted = drawn_problem(), drawn_path([0.03, 1.0, 0.3, 0.1])
    assert [point.beta for point in fitted.path] == [1.0, 0.3, 0.1, 0.03]
    best = max(fitted.path, key=lambda point: point.validation_score)
    assert fitted.beta == best.beta
    assert fitted.trained.certificate == best.certificate
    for point in fitted.path:
        alone = train(problem.at(rho_of(point.beta, 12)), draw_hidden())
        for score, rows in ((point.train_score, problem.scored), (point.validation_score, problem.validation)):
            assert score == pytest.approx(rows.score_of(scores(alone.network, rows.sequences)), abs=1e-3)
        assert point.certificate.primal == pytest.approx(alone.certificate.primal, rel=2e-6)
        assert point.certificate.spike_margin == fitted.trained.certificate.spike_margin


def test_of_equal_scores_the_larger_beta_is_picked():
    fitted = drawn_path((1.0, 0.1), problem=drawn_problem(Scored(lambda _: 1.0)))
    assert fitted.beta == 1.0
    before = float(scores(fitted.trained.network, drawn_problem().validation.sequences).abs().sum()) + 1e-9
    undefined = replace(drawn_problem(Scored(lambda _: math.nan)))
    sometimes = Scored(lambda S: 0.5 if S.abs().sum() > before else math.nan)
    fitted = drawn_path(
        (1.0, 0.1), problem=replace(undefined, validation=replace(undefined.validation, score=sometimes))
    )
    assert [(p.train_score, p.validation_score) for p in fitted.path] == [(None, None), (None, 0.5)]
    assert fitted.beta == 0.1


def test_the_named_path_starts_just_below_zero_weights():
    fitted = drawn_path("path")
    betas = np.array([point.beta for point in fitted.path])
    assert len(betas) == 20
    assert np.allclose(betas[1:] / betas[:-1], 1e-3 ** (1 / 20))
    assert 0 < fitted.path[0].support <= fitted.path[-1].support
    level = train(drawn_problem().at(rho_of(betas[0] * 1e-3 ** (-1 / 20), 12)), draw_hidden())
    assert level.certificate.support == 0


def test_the_witnesses_are_simulated_once(monkeypatch):
    calls = []

    def counting(*arguments):
        calls.append(1)
        return build_dictionary(*arguments)

    for caller in ("problem", "training"):
        monkeypatch.setattr(f"convexsnn.{caller}.build_dictionary", counting)
    drawn_path([1.0, 0.3, 0.1])
    assert len(calls) == 2  # training and validation


def test_the_observer_hears_which_beta_of_how_many():
    heard = []
    drawn_path([1.0, 0.1], Observer(began=heard.append))
    assert heard == ["beta 1 (1 of 2)", "beta 0.1 (2 of 2)"]
    heard.clear()
    drawn_path([1.0], Observer(began=heard.append))
    assert heard == []


def test_an_interrupted_path_picks_among_what_it_has_and_says_what_is_not_certified(monkeypatch):
    interrupt_run(monkeypatch, 3)
    with pytest.warns(ConvergenceWarning, match="not certified to tol=1e-06"):
        fitted = drawn_path([1.0, 0.3, 0.1, 0.03])
    assert [point.status for point in fitted.path] == [Status.CONVERGED, Status.CONVERGED, Status.INTERRUPTED]


def test_silent_witnesses_give_a_path_of_one_zero_network():
    silence, targets = as_sequences(np.zeros((6, 3, 3))), draw_targets("squared", 6, 2)
    problem = Problem(silence, targets, LOSSES["squared"], PENALTIES["l1"], 1.0, score=RSquared())
    with pytest.warns(UserWarning, match="no last-layer neuron fires"):
        fitted = drawn_path("path", problem=replace(problem, validation=problem.scored))
    assert len(fitted.path) == 1
    assert fitted.trained.network.hidden.n_neurons == 0


def test_several_betas_need_validation_and_no_rho():
    with pytest.raises(ValueError, match="validation must be given"):
        drawn_path((1.0, 0.1), problem=replace(drawn_problem(), validation=None))
    with pytest.raises(ValueError, match="rho takes the place of beta"):
        drawn_path([1.0, 0.1], rho=0.1)


def test_records_survive_json():
    for point in drawn_path([1.0, 0.1]).path:
        assert PathPoint.from_dict(point.to_dict()) == point
    with pytest.raises(ValueError, match="train_score"):
        PathPoint.from_dict(point.to_dict() | {"train_score": "good"})


@pytest.mark.parametrize(
    ("beta", "message"),
    [
        ("all", "beta must be a number, several numbers or 'path', not 'all'"),
        ([], "beta must hold at least one number"),
        ([1.0, -1.0], r"beta\[1\] must be more than 0"),
        ([1.0, "path"], r"beta\[1\] must be a number"),
        ([1.0, 1], "beta must hold every number once"),
        (None, "beta must be a number"),
        (np.array(1.0), "beta must be a number"),
    ],
)
def test_bad_betas_are_refused(beta, message):
    with pytest.raises(ValueError, match=message):
        Regularisation.read(beta)
