"""Exact training: optimal over its family, refused where it would not end, honest where stopped, kept and verified."""

import itertools
import math
import pickle
import re
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import check_estimator

from convexsnn import Architecture, Exact, Gaussian, SpikingClassifier, SpikingRegressor, build_dictionary, solve
from convexsnn.bounds import (
    NetworkFamily,
    Unit,
    arrangement_certificate,
    enumerate_family,
    enumeration_cost,
)
from convexsnn.cli.app import run
from convexsnn.exact import ExactSettings, solve_exactly
from convexsnn.losses import LOSSES
from convexsnn.search import SearchSettings, search
from convexsnn.sequences import as_sequences
from convexsnn.solvers import SolverOptions, Status
from convexsnn.storage import load_model, save_model
from convexsnn.surrogate import SurrogateSettings, initial_network, train_surrogate
from convexsnn.verification import verify
from helpers import KINDS, NORMS, draw_sequences, draw_targets, generator, interrupt_run, make_problem

PAIRS = list(itertools.product(LOSSES, NORMS))


def exact(**settings):
    """An estimator's settings for exact training over neurons whose spike is read."""
    return {"witnesses": Exact(**({"readout": "spike"} | settings)), "random_state": 0}


EXACT = exact()
LIF = NetworkFamily(2, (Unit("lif", "soft", 0.9, 1.0),))


def problem(n=16, seed=0):
    random = np.random.default_rng(seed)
    X = random.normal(size=(n, 2, 2))
    return X, (X[:, 0, 0] * X[:, 1, 1] > 0).astype(int)


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ({}, {}),
        ({}, {"loss": "hinge", "intercept": True}),
        ({"readout": "membrane"}, {"penalty": "group"}),
        ({}, {"per_step": True, "loss": "logistic"}),
        ({"neuron": "threshold", "recurrent": True}, {}),
        ({"method": "pricing"}, {"loss": "hinge", "beta": 3.0}),
    ],
)
def test_no_sampled_network_of_the_family_is_better(family, settings, tmp_path):
    """The objective at the same beta is at most that of thousands of sampled neurons; file and verification agree."""
    X, y = problem(9)
    y = np.stack([y, 1 - y], axis=1) if settings.get("per_step") else y
    model = SpikingClassifier(**exact(**family), **settings).fit(X, y)
    certificate = model.certificate_
    assert certificate.scope == "global"
    assert certificate.holds(1e-6)
    drawn = {name: value for name, value in model.witnesses.get_params().items() if name in Gaussian().get_params()}
    sampled = clone(model).set_params(witnesses=Gaussian(depth=2, branches=512, **drawn), rho=certificate.rho)
    assert sampled.fit(X, y).certificate_.primal >= certificate.dual * (1 - 1e-9)
    assert certificate.rho == pytest.approx(model.beta_ / math.sqrt(512))
    save_model(model, tmp_path / "model.safetensors")
    loaded, _ = load_model(tmp_path / "model.safetensors")
    assert loaded.certificate_ == certificate
    assert loaded.get_params().keys() == model.get_params().keys()
    outcome = verify(loaded.trained_, certificate, loaded.problem(X, y))
    assert outcome.holds, outcome.problems
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict(X), loaded.predict(X))
    assert clone(model).get_params() == model.get_params()


def test_scikit_learn_contract_but_for_refusals():
    """Every check passes, or is refused with its cost: the checks' data have up to 10 features."""
    model = SpikingRegressor(timesteps=1, **exact(max_patterns=3_000))
    failed = [check for check in check_estimator(model, on_fail=None) if check["status"] == "failed"]
    for check in failed:
        reasons = f"{check['exception']} {check['exception'].__cause__}"
        assert "enumeration would have" in reasons, check["check_name"]
    assert len(failed) < 20


@pytest.mark.parametrize(
    ("family", "settings", "reason"),
    [
        ({"readout": "analog"}, {}, "readout must be"),
        ({}, {"device": "meta"}, "device"),
        ({"max_patterns": 0}, {}, "max_patterns"),
        ({"method": "all"}, {}, "method"),
        ({"max_patterns": 100}, {}, r"patterns to visit.*GiB.*max_patterns = 100"),
        ({"time_limit": 1e-3}, {}, "time_limit = 0.001"),
        ({"method": "pricing"}, {"beta": "path"}, "beta must be numbers"),
    ],
)
def test_refusals_name_the_argument(family, settings, reason):
    X, y = problem()
    begun = time.perf_counter()
    with pytest.raises(ValueError, match=reason):
        SpikingClassifier(**(exact(**family) | settings)).fit(X, y)
    assert time.perf_counter() - begun < 5


def test_what_exact_training_does_not_have_cannot_be_given_to_it():
    for name, value in {"depth": 3, "branches": 2, "dtype": "float32", "effort": 1e9}.items():
        with pytest.raises(TypeError, match=name):
            Exact(**{name: value})
    with pytest.raises(ValueError, match="witnesses='exact' must stand alone"):
        Gaussian() + Exact()
    with pytest.raises(ValueError, match="device must be 'cpu' for witnesses='exact'"):
        Exact().check(every_step=False, device="cuda")


def test_a_long_sequence_is_refused_by_enumeration():
    X = np.zeros((4, 30, 5)) + np.arange(4)[:, None, None]
    with pytest.raises(ValueError, match="use fewer steps"):
        SpikingClassifier(**EXACT).fit(X, [0, 1, 0, 1])


def test_the_cost_is_an_upper_bound_of_columns():
    sequences = draw_sequences(12, 2, 2)
    cost = enumeration_cost(LIF, sequences)
    assert len(enumerate_family(LIF, sequences).owner) <= cost.columns <= cost.candidates
    assert enumeration_cost(LIF, sequences, outputs=10).seconds > cost.seconds


def test_several_betas_share_an_enumeration_and_each_is_optimal(monkeypatch):
    calls = []
    original = enumerate_family

    def counted(*arguments, **options):
        calls.append(1)
        return original(*arguments, **options)

    monkeypatch.setattr("convexsnn.exact.training.enumerate_family", counted)
    (X, y), held = problem(), problem(8, seed=1)
    model = SpikingClassifier(**EXACT, beta=[0.1, 1.0, 3.0]).fit(X, y, validation=held)
    assert len(calls) == 1
    assert [point.beta for point in model.path_] == [3.0, 1.0, 0.1]
    for point in model.path_:
        alone = SpikingClassifier(**EXACT, beta=point.beta).fit(X, y)
        assert alone.certificate_.primal == pytest.approx(point.certificate.primal, rel=2e-6)
        assert alone.score(*held) == pytest.approx(point.validation_score)
    assert max(p.validation_score for p in model.path_) == model.score(*held)
    assert model.certificate_.holds(1e-6)
    path = SpikingClassifier(**EXACT, beta="path").fit(X, y)
    assert len(path.path_) == 20
    assert path.path_[0].certificate.support > 0
    assert path.trained_.certificate.n == 16  # on all sequences, after the pick


def test_patterns_that_need_ties_are_left_out_and_the_gap_says_so(monkeypatch):
    """What float64 cannot give carries no weight, and the bound still covers it."""
    problem = make_problem(draw_sequences(8, 2, 2), draw_targets("squared", 8, 2))
    free = solve_exactly(problem, LIF)
    arrangement = enumerate_family(LIF, problem.input)
    original, blocked = type(arrangement).realised, []

    def without_first(self, index):  # what carries weight at first cannot be had, ever
        if not blocked:
            blocked.extend(index.tolist())
        there = ~torch.isin(index, torch.tensor(blocked))
        return original(self, index[there])[0], there

    monkeypatch.setattr(type(arrangement), "realised", without_first)
    with pytest.warns(ConvergenceWarning, match="global relative gap"):
        trained = solve_exactly(problem, LIF)
    assert trained.certificate.dual == pytest.approx(free.certificate.dual, rel=1e-9)
    assert trained.certificate.primal > free.certificate.primal
    assert verify(trained, trained.certificate, problem).holds


def test_ctrl_c_gives_the_best_so_far_with_its_gap(monkeypatch):
    X, y = problem()
    with monkeypatch.context() as patch:
        interrupt_run(patch, 1)
        with pytest.warns(ConvergenceWarning):
            model = SpikingClassifier(**EXACT, beta=[1.0, 0.1]).fit(X, y, validation=(X, y))
    assert model.trained_.status is Status.INTERRUPTED
    assert len(model.path_) == 1
    certificate = model.certificate_
    assert certificate.scope == "global"
    assert verify(model.trained_, certificate, model.problem(X, y)).holds
    optimum = SpikingClassifier(**EXACT, beta=1.0).fit(X, y).certificate_
    # Both enclose the same optimum.
    assert certificate.dual <= optimum.primal
    assert optimum.dual <= certificate.primal


def test_ctrl_c_in_the_rounds_gives_the_best_so_far():
    problem, rounds = make_problem(draw_sequences(8, 2, 2), draw_targets("squared", 8, 2), rho=0.005), []

    def interrupt(entry):
        rounds.append(entry)
        if len(rounds) == 2:
            raise KeyboardInterrupt

    with pytest.warns(ConvergenceWarning):
        trained = solve_exactly(problem, LIF, ExactSettings("pricing"), on_round=interrupt)
    assert trained.status is Status.INTERRUPTED
    assert trained.certificate.primal == pytest.approx(rounds[1].primal)
    assert trained.certificate.dual == rounds[1].dual >= rounds[0].dual
    assert rounds[1].primal <= rounds[0].primal * (1 + 1e-9)
    assert verify(trained, trained.certificate, problem).holds
    optimum = solve_exactly(problem, LIF).certificate
    assert trained.certificate.dual <= optimum.primal * (1 + 1e-6)


def test_the_wide_working_set_does_not_stall():
    """Many columns that differ little: the objective falls for rounds before the bound moves."""
    random = np.random.default_rng(0)
    sequences = as_sequences(random.normal(size=(60, 1, 3)))
    family = NetworkFamily(3, (Unit("lif", "soft", 0.9, 1.0),))
    targets = torch.from_numpy(random.choice([-1.0, 1.0], size=(60, 1)))
    trained = solve_exactly(make_problem(sequences, targets, rho=0.001), family)
    assert trained.certificate.holds(1e-6)


def test_the_command_line_trains_verifies_and_refuses(tmp_path, capsys):
    X, y = problem()
    np.savez(tmp_path / "data.npz", X=X, y=y)
    data, out = ["--data", str(tmp_path / "data.npz")], str(tmp_path / "out")
    options = ["fit", *data, "--witnesses", "exact", "--readout", "spike", "--out", out]
    assert run(options) == 0
    assert run(["verify", "--model", out, *data]) == 0
    assert "global" in capsys.readouterr().out
    assert run(["verify", "--exact", "--model", out, *data]) == 1  # it proves less than is claimed, and says so
    told = capsys.readouterr().out
    assert told.count("does not hold") == 1
    assert "only what it says of its own columns" in told
    assert run([*options, "--force", "--max-patterns", "100"]) == 2
    error = re.sub(r"\s+", " ", capsys.readouterr().err)
    assert "max_patterns = 100" in error
    assert "GiB" in error
    assert run([*options, "--force", "--method", "pricing", "--time-limit", "30", "--beta", "10"]) == 0
    assert load_model(tmp_path / "out" / "model.safetensors")[0].witnesses.method == "pricing"


SHAPE = ("depth", "last", "neuron", "leak", "threshold", "reset", "recurrent", "bias", "readout")


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(PAIRS), st.sampled_from(sorted(KINDS)), st.booleans())
def test_no_bound_is_above_any_objective_found(seed, pair, kind, every_step):
    """Random problems: the universal bound, and that of all patterns, against a search and surrogate gradients."""
    loss, penalty = pair
    sequences = draw_sequences(5, 2, 2, seed=seed)
    shape = {"depth": 2, "branches": 2, "hidden": 2, "last": 2, "leak": 0.9, "readout": "spike"} | KINDS[kind]
    architecture = Architecture(2, every_step=every_step, **shape)
    targets = draw_targets(loss, sequences.rows(every_step), 2, seed=seed)
    problem = make_problem(sequences, targets, loss, penalty, every_step=every_step)
    how = SearchSettings(
        **{name: getattr(architecture, name) for name in SHAPE},
        width=1,
        population=16,
        generations=4,
        rounds=2,
        oracles=("restarts", "refinement"),
    )
    found = search(problem, how, seed=seed)
    final = [entry for entry in found.history if entry.rho == 0.02]  # earlier stages have a larger rho
    assert final
    objectives = [entry.objective for entry in final]
    start = initial_network(architecture, targets.shape[1], generator(seed))
    trained = train_surrogate(start, problem, SurrogateSettings(epochs=1, batch_size=6), seed=seed).network
    objectives += [problem.objective(found.network), problem.objective(trained)]
    convex = problem.program(build_dictionary(trained.hidden, sequences).columns)
    U = solve(convex, SolverOptions(1e-4)).U
    arrangement = enumerate_family(NetworkFamily.of_architecture(architecture), sequences)
    bounds = [entry.global_bound for entry in final]  # universal
    bounds.append(arrangement_certificate(convex, problem.groups, arrangement, U, math.inf).value)
    assert max(bounds) <= min(objectives) * (1 + 1e-9), (bounds, objectives)
