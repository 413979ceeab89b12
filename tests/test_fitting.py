"""A fit as a whole: how often it does what is dear, and what it goes on from or is told of later."""

import time
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

import convexsnn.bounds.report
import convexsnn.problem
import convexsnn.training
from convexsnn import Exact, Gaussian, Search, SpikingClassifier, SpikingRegressor, Surrogate
from convexsnn.exact import ExactSettings, bound_network
from convexsnn.search import SearchSettings, search
from convexsnn.sequences import as_sequences
from convexsnn.validation import Accuracy, Validation
from helpers import make_problem

SMALL = Gaussian(hidden=8, last=12)
QUICK = {"rounds": 3, "width": 4, "population": 16, "generations": 4, "oracles": ("restarts", "refinement")}


def bits(n=60, T=4, seed=0):
    drawn = np.random.default_rng(seed).integers(2, size=(n, T))
    return np.eye(2)[drawn], drawn[:, 0] ^ drawn[:, -1]


@pytest.fixture
def counted(monkeypatch):
    """How many rows each universal bound had, and of how many sequences each dictionary was simulated."""
    bounds, simulated = [], []
    universal_bound, build_dictionary = (
        convexsnn.bounds.report.universal_bound,
        convexsnn.training.build_dictionary,
    )

    def count_bound(program, *arguments):
        bounds.append(program.n_rows)
        return universal_bound(program, *arguments)

    def count_simulation(witnesses, sequences, *arguments):
        simulated.append(len(sequences))
        return build_dictionary(witnesses, sequences, *arguments)

    monkeypatch.setattr(convexsnn.bounds.report, "universal_bound", count_bound)
    for caller in (convexsnn.problem, convexsnn.training):
        monkeypatch.setattr(caller, "build_dictionary", count_simulation)
    return bounds, simulated


BETAS = [1.0, 0.3, 0.1]


@pytest.mark.parametrize("family", [SMALL, SMALL + Gaussian(hidden=4, last=4), Search(**QUICK)], ids=repr)
def test_one_beta_has_one_bound_and_one_simulation(counted, family):
    SpikingClassifier(witnesses=family, random_state=0).fit(*bits())
    assert counted == ([60], [60])


@pytest.mark.parametrize("family", [SMALL, Search(**QUICK)], ids=repr)
def test_each_of_several_betas_has_one_bound_and_all_share_a_simulation(counted, family):
    """A fit computed the universal bound twelve times for three values of rho."""
    SpikingClassifier(witnesses=family, beta=BETAS, random_state=0).fit(*bits(), validation=bits(20, seed=1))
    assert counted == ([60] * 3, [60, 20])


def test_comparison_by_folds_has_one_simulation(counted):
    SpikingClassifier(witnesses=SMALL, beta=BETAS, random_state=0).fit(*bits())
    assert counted == ([60] * 3, [60])


def test_a_split_adds_the_bound_and_the_simulation_of_all_sequences(counted, monkeypatch):
    monkeypatch.setattr("convexsnn.fitting.FEW_SEQUENCES", 10)
    SpikingClassifier(witnesses=SMALL, beta=BETAS, random_state=0).fit(*bits())
    assert counted == ([48] * 3 + [60], [48, 12, 60])


def test_exact_training_has_one_universal_bound_a_beta(counted):
    family = Exact(leak=0.9, readout="spike")
    SpikingClassifier(witnesses=family, beta=[3.0, 1.0], random_state=0).fit(
        *bits(12, 2), validation=bits(8, 2, seed=1)
    )
    assert counted[0] == [12] * 2


@pytest.mark.parametrize("family", [Surrogate(hidden=4, last=4), SMALL + Surrogate(hidden=4, last=4)], ids=repr)
@pytest.mark.parametrize("kind", [SpikingClassifier, SpikingRegressor])
def test_a_checkpoint_is_refused_where_none_would_be_kept(kind, family, tmp_path):
    with pytest.raises(ValueError, match=r"checkpoint has no effect on witnesses=.*: search keeps one"):
        kind(witnesses=family).fit(*bits(), checkpoint=tmp_path / "checkpoint")
    assert not (tmp_path / "checkpoint").exists()


def searched(tmp_path, *, rounds=4, **changes):
    """A search that keeps a checkpoint, and whether the file was there."""
    X, y = bits()
    held, answers = bits(20, seed=1)
    validation = Validation(as_sequences(held), draw_labels(answers), Accuracy())
    problem = make_problem(as_sequences(X), draw_labels(y), "hinge", rho=0.01, validation=validation)
    settings = SearchSettings(**(QUICK | {"rounds": rounds}), attempts=1)
    return search(replace(problem, **changes), settings, checkpoint=tmp_path / "search.safetensors")


def draw_labels(y):
    return torch.from_numpy(2.0 * y[:, None] - 1.0)


def test_a_search_does_not_go_on_with_other_validation_labels(tmp_path):
    searched(tmp_path, rounds=2)
    X, answers = bits(20, seed=1)
    flipped = answers.copy()
    flipped[0] = 1 - flipped[0]
    other = Validation(as_sequences(X), draw_labels(flipped), Accuracy())
    for changes in ({"validation": other}, {"validation": None}, {"rho": 0.011}):
        with pytest.raises(ValueError, match="of other data, settings or seed"):
            searched(tmp_path, **changes)
    assert searched(tmp_path).network.equals(searched(tmp_path).network)


def test_a_search_does_not_go_on_from_a_damaged_checkpoint(tmp_path):
    """Of 45 damaged ones 20 were accepted, and 7 of these ended in another network."""
    searched(tmp_path, rounds=2)
    path = tmp_path / "search.safetensors"
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    random = np.random.default_rng(0)
    tried = [*range(0, header, 7), *random.choice(np.arange(header, len(whole)), 150, replace=False).tolist()]
    for place in tried:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(random.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"search\.safetensors cannot be read"):
            searched(tmp_path, rounds=1)
    path.write_bytes(whole)
    searched(tmp_path, rounds=1)


def test_a_bound_is_stored_for_the_data_alone_that_the_network_was_trained_on():
    """A bound for other labels was stored: no network below 0.462, of a network whose objective is 0.0707."""
    X, y = bits(12, 2)
    model = SpikingClassifier(witnesses=Gaussian(depth=2, last=20), loss="hinge", rho=0.05, random_state=0).fit(X, y)
    before = model.certificate_
    order = np.argsort(y, kind="stable")
    for other_X, other_y in ((X, 1 - y), (X, np.r_[1 - y[:1], y[1:]]), (X + 1e-9, y), (X[order], y[order])):
        for how in (None, ExactSettings("pricing")):
            with pytest.raises(ValueError, match="X and y must be those that the network was trained on"):
                model.tighten_bound(other_X, other_y, how)
    assert model.certificate_ is before
    bound = model.tighten_bound(X, y)
    assert before.global_bound.value <= bound.value <= model.certificate_.primal
    problem = model.problem(X, y)
    other = replace(problem, targets=-problem.targets)
    with pytest.raises(ValueError, match="X and y must be those"):
        bound_network(model.trained_, other)


def test_weights_of_training_are_those_of_the_tightened_bound():
    X, y = bits(12, 2)
    weights = np.arange(1, 13)
    settings = {"witnesses": Gaussian(depth=2, last=20), "loss": "hinge", "rho": 0.05, "random_state": 0}
    model = SpikingClassifier(**settings).fit(X, y, sample_weight=weights)
    exact = SpikingClassifier(**(settings | {"witnesses": Exact()})).fit(X, y, sample_weight=weights)
    assert model.tighten_bound(X, y).value == pytest.approx(exact.certificate_.dual, rel=1e-6)


def test_seconds_of_solving_are_without_those_of_the_bound(monkeypatch):
    """Each rho has one universal bound, whose time is its own."""
    calls, universal_bound = [], convexsnn.bounds.report.universal_bound

    def slow(*arguments):
        calls.append(time.sleep(0.2))
        return universal_bound(*arguments)

    monkeypatch.setattr(convexsnn.bounds.report, "universal_bound", slow)
    X, y = bits()
    model = SpikingClassifier(witnesses=SMALL, loss="hinge", beta=0.1, random_state=0).fit(X, y)
    assert len(calls) == 1
    assert model.trained_.seconds["bound"] >= 0.2 > model.trained_.seconds["solve"]


@pytest.mark.parametrize("intercept", [False, True])
def test_neurons_that_never_fire_are_said(intercept):
    """Tiny input: membranes differ, so there are columns to read, but nothing spikes."""
    X, y = bits()
    model = SpikingClassifier(witnesses=SMALL, loss="hinge", beta=0.1, intercept=intercept, random_state=0)
    with pytest.warns(UserWarning, match="no hidden neuron fires on any training sequence"):
        model.fit(1e-3 * X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.fit(X, y)
