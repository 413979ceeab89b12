"""A search whose output reads neurons over time: scores of bounded columns, and all that comes after them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convexsnn import Gaussian, Search, SpikingClassifier, SpikingRegressor, as_sequences
from convexsnn.losses import LOSSES
from convexsnn.network import Hidden
from convexsnn.penalties import PENALTIES
from convexsnn.prefixes import prefixes_of
from convexsnn.problem import Problem
from convexsnn.proof.verification import verify_exactly
from convexsnn.readouts import READOUTS, Count, LastLayer, Leaky, Rate, Several, Spike, Windows
from convexsnn.search import SearchSettings, search
from convexsnn.search.branches.reading import columns_over_time
from convexsnn.search.state import INTERRUPTED
from convexsnn.simulation import scores as outputs_of
from convexsnn.storage import load_model, save_model
from convexsnn.validation import Accuracy, Validation
from convexsnn.verification import verify
from convexsnn.witnesses import with_constant

READS = [Rate(), Count(), Leaky(0.9), Windows(2, 3), Several((Spike(), Rate()))]
QUICK = {"population": 16, "generations": 4, "rounds": 4, "prune": 0, "oracles": ("restarts", "refinement")}
SMALL = SearchSettings(
    depth=2, width=4, population=16, generations=5, add=6, rounds=5, stages=(10.0, 1.0), round_tol=1e-6, last=64,
    oracles=("restarts", "refinement", "crossing", "inputs"), readout="rate",
)  # fmt: skip


def waves(n=60, seed=0, ragged=False):
    """Two classes that differ in how fast they swing, from a phase that is drawn."""
    rng = np.random.default_rng(seed)
    y, phase = np.arange(n) % 2, rng.uniform(0, 6, size=n)
    lengths = rng.integers(8, 13, size=n) if ragged else np.full(n, 12)
    speed = 0.5 * (1 + y)
    X = [
        np.sin(speed[i] * np.arange(T) + phase[i])[:, None] + 0.2 * rng.normal(size=(T, 1))
        for i, T in enumerate(lengths)
    ]
    return X, y


def problem_of(X, y, loss="logistic", penalty="l1", rho=0.005, **more):
    targets = LOSSES[loss].encode(torch.from_numpy(y), 2)
    return Problem(as_sequences(X), targets, LOSSES[loss], PENALTIES[penalty], rho, **more)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), readout=st.sampled_from(READS), steps=st.integers(1, 9))
def test_kappa_is_what_each_spike_counts(seed, readout, steps):
    """A column is the sum of kappa over the spikes, after any number of steps."""
    spikes = torch.from_numpy(np.random.default_rng(seed).integers(2, size=(steps, 3, 2))).double()
    kappa, carried = readout.kappa(range(1, steps + 1)), readout.start(torch.zeros(3, 2).double())
    assert kappa.shape == (steps, steps, readout.parts)
    for t in range(steps):
        last = LastLayer(spikes[t], spikes[t], carried, torch.full((3, 1), t + 1), None)
        carried = readout.update(last)
        read = readout.read(last._replace(accumulated=carried)).features
        expected = torch.einsum("tnm,tp->nmp", spikes, kappa[t]).flatten(1)
        torch.testing.assert_close(read, expected, rtol=1e-12, atol=1e-12)


def test_what_reads_no_sum_of_spikes_has_no_kappa():
    assert all(READOUTS[name]().kappa((1, 2)) is None for name in ("membrane", "analog"))
    assert Several(("rate", "membrane")).kappa((3,)) is None


def test_columns_from_spikes_are_in_the_arithmetic_of_the_network():
    prefixes = prefixes_of(as_sequences(np.zeros((1, 3, 1))), every_step=False)
    spikes, part = torch.tensor([[True, False, False]]), torch.zeros(1, dtype=torch.int64)
    for dtype in (torch.float32, torch.float64):
        third = torch.ones((), dtype=dtype) / 3
        assert columns_over_time(Rate(), spikes, part, prefixes, dtype).item() == third.double().item()


@pytest.mark.parametrize("readout", READS, ids=str)
@pytest.mark.parametrize(("every_step", "ragged", "dtype"), [(False, True, "float64"), (True, False, "float32")])
def test_the_network_has_the_objective_of_the_search(readout, every_step, ragged, dtype):
    X, y = waves(24, ragged=ragged)
    labels = np.repeat(y, [len(x) for x in X]) if every_step else y
    problem = problem_of(X, labels, every_step=every_step)
    found = search(problem, replace(SMALL, rounds=3, readout=readout, dtype=dtype))
    assert found.network.hidden.readout == readout
    assert found.history[-1].objective < 0.9 * found.history[0].objective
    assert problem.objective(found.network) == pytest.approx(found.history[-1].objective, rel=1e-9)
    for before, after in zip(found.history, found.history[1:], strict=False):
        assert after.rho < before.rho or after.objective <= before.objective + 1e-12
        assert after.global_bound <= after.objective + 1e-9


def test_pruning_and_slimming_keep_the_columns_of_rates():
    bits = np.random.default_rng(0).integers(2, size=(90, 5))
    X, y = np.eye(2)[bits[:60]], bits[:60, 0] ^ bits[:60, -1]
    held, answers = np.eye(2)[bits[60:]], bits[60:, 0] ^ bits[60:, -1]
    targets = LOSSES["logistic"].encode(torch.from_numpy(answers), 2)
    problem = problem_of(X, y, score=Accuracy())
    ends = [replace(SMALL, prune=effort, attempts=1, recurrent=True) for effort in (0, 8)]
    found = [search(problem, how) for how in ends]
    assert found[1].network.n_synapses < found[0].network.n_synapses
    seen = [outputs_of(one.network, problem.input) for one in found]
    torch.testing.assert_close(seen[0], seen[1], rtol=0.0, atol=1e-12)
    validated = replace(problem, validation=Validation(as_sequences(held), targets, Accuracy()))
    few = search(validated, ends[1])
    assert few.network.hidden.n_last <= found[1].network.hidden.n_last


def test_a_killed_search_over_time_goes_on_to_the_same_network(tmp_path):
    problem, how = problem_of(*waves(40)), replace(SMALL, readout=Windows(2, 6))
    whole, file = search(problem, how), tmp_path / "search"

    def stop(entry):
        if entry.number == 3:
            raise KeyboardInterrupt

    assert search(problem, how, on_round=stop, checkpoint=file).stopped == INTERRUPTED
    assert search(problem, how, checkpoint=file).network.equals(whole.network)
    with pytest.raises(ValueError, match="search"):
        search(problem, replace(how, readout="rate"), checkpoint=file)


def test_the_always_firing_neuron_and_given_neurons_are_read_over_time():
    X, y = waves(40)
    family = Gaussian(depth=2, last=12, readout="rate") + Search(readout="rate", last=24, **QUICK)
    model = SpikingClassifier(witnesses=family, intercept=True, random_state=0).fit(X, y)
    assert model.certificate_.holds(1e-6)
    problem = problem_of(X, y, intercept=True)
    found = search(problem, SMALL, given=with_constant(Hidden(1, (), Rate())))
    assert problem.objective(found.network) == pytest.approx(found.history[-1].objective, rel=1e-9)
    with pytest.raises(ValueError, match=r"count.*intercept"):
        SpikingClassifier(witnesses=Search(readout="count"), intercept=True).fit(X, y)


def test_estimators_search_over_time_with_certificates_files_and_exact_proofs(tmp_path):
    X, y = waves(40)
    family = Search(depth=2, readout="rate", **QUICK)
    model = SpikingClassifier(witnesses=family, loss="hinge", beta=0.02, random_state=0).fit(X, y)
    certificate, problem = model.certificate_, model.problem(X, y)
    assert certificate.holds(1e-6)
    assert "numbers from 0 to 1" in certificate.global_bound.family
    assert certificate.global_bound.value <= certificate.primal
    assert verify(model.trained_, certificate, problem).holds
    save_model(model, tmp_path / "m.safetensors")
    loaded, _ = load_model(tmp_path / "m.safetensors")
    assert loaded.witnesses == family
    assert np.array_equal(loaded.predict(X), model.predict(X))
    assert verify_exactly(tmp_path / "m.safetensors", X, y).holds
    windows = Search(depth=2, readout=Windows(2, 6), **QUICK)
    assert windows.n_last == 2 * windows.last
    means = np.array([x.mean() for x in X])
    regressor = SpikingRegressor(witnesses=windows, beta=0.01, random_state=0).fit(X, means)
    assert regressor.network_.hidden.readout == Windows(2, 6)


@pytest.mark.parametrize("readout", ["analog", Several(("rate", "membrane"))])
def test_readouts_that_are_no_sums_of_spikes_are_refused_by_name(readout):
    with pytest.raises(ValueError, match=r"(analog|rate and membrane)' is no sum of spikes"):
        Search(readout=readout)
