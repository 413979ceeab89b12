"""The compiled simulator of the search, beside its reference."""

import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convexsnn.losses import LOSSES
from convexsnn.neurons import RESETS
from convexsnn.penalties import PENALTIES
from convexsnn.prefixes import prefixes_of
from convexsnn.problem import Problem
from convexsnn.readouts import Count, Leaky, Membrane, Rate, Several, Spike, Windows
from convexsnn.search import SearchSettings, search
from convexsnn.search.branches import simulator
from convexsnn.search.branches.fused import running, tiles
from convexsnn.search.branches.fused.chance import vary
from convexsnn.search.branches.population import Population, StackedLayer
from convexsnn.search.branches.pricing import DualPricing
from convexsnn.search.branches.runner import BranchRunner
from convexsnn.search.effort import Effort
from convexsnn.sequences import as_sequences

OVER_TIME = [Rate(), Count(), Leaky(0.5), Windows(2, 2), Several((Spike(), Rate(), Windows(3, 1)))]


def drawn(rng, sizes, recurrent, biased, reset, readout, dtype):
    """A population whose numbers are small multiples of an eighth: sums are exact in any order, and ties are many."""
    B, eighths = 3, lambda *shape: torch.from_numpy(rng.integers(-8, 9, size=shape) / 8).to(dtype)
    layers = []
    for n_in, m in pairwise(sizes):
        leak, threshold = (torch.from_numpy(rng.choice(v, size=(B, m))).to(dtype) for v in ([0, 0.5, 1], [-0.5, 0, 1]))
        weights = eighths(B, n_in, m), eighths(B, m, m) if recurrent else None, eighths(B, m) if biased else None
        layers.append(StackedLayer(*weights, leak, threshold))
    return Population(tuple(layers), "lif", reset, readout)


def sequences_of(rng, reals):
    """Of unequal lengths; with many that begin alike, or with none."""
    high = 10_000 if reals else 3
    return as_sequences([rng.integers(-2, high, size=(rng.integers(1, 6), 2)) / 2.0 for _ in range(60)])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    widths=st.lists(st.integers(1, 64), min_size=1, max_size=3),
    reset=st.sampled_from(RESETS),
    recurrent=st.booleans(),
    biased=st.booleans(),
    readout=st.sampled_from([Spike(), Membrane(), *OVER_TIME]),
    every_step=st.booleans(),
    reals=st.booleans(),
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_compiled_branches_are_those_of_the_reference(
    dtype, seed, widths, reset, recurrent, biased, readout, every_step, reals
):
    rng = np.random.default_rng(seed)
    sequences = sequences_of(rng, reals)
    prefixes = prefixes_of(sequences, every_step=every_step, dtype=dtype)
    population = drawn(rng, (2, *widths), recurrent, biased, reset, readout, dtype)
    m, runner = widths[-1], BranchRunner(prefixes, readout, dtype)
    m *= readout.parts
    owner, column = torch.arange(3).repeat_interleave(m), torch.arange(m).repeat(3)
    found = runner.columns(population, owner, column)
    assert torch.equal(found, simulator.columns(population, owner, column, prefixes))
    U = torch.from_numpy(rng.integers(-4, 5, size=(found.shape[1], 3)) / 8).to(dtype)
    counts = runner.counted(U)
    scores, expected = runner.correlate(population, counts), simulator.correlate(population, prefixes, counts)
    if readout in OVER_TIME:  # a third of a number has a rounding error
        torch.testing.assert_close(scores, expected, rtol=1e-5, atol=1e-5)
    else:
        assert torch.equal(scores, expected)


def test_any_number_of_threads_gives_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    sequences, before = sequences_of(rng, reals=True), torch.get_num_threads()
    population = drawn(rng, (2, 8), True, True, "soft", Spike(), torch.float32)
    noise = torch.Generator().manual_seed(0)
    population = population.map(lambda t: torch.randn(t.shape, generator=noise).abs().clamp(max=1.0))
    runner = BranchRunner(prefixes_of(sequences, every_step=False), Spike())
    counts = runner.counted(torch.randn(60, 1, generator=noise))
    monkeypatch.setattr(running, "LEAST_STEPS", 1)
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(runner.correlate(population, counts))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_what_compiled_code_does_not_know_goes_to_the_reference():
    rng = np.random.default_rng(0)
    prefixes = prefixes_of(sequences_of(rng, reals=False), every_step=False)
    wide = drawn(rng, (2, 65), False, True, "soft", Spike(), torch.float32)
    assert not running.knows(wide)
    runner = BranchRunner(prefixes, Spike())
    counts = runner.counted(torch.ones(60, 1))
    assert torch.equal(runner.correlate(wide, counts), simulator.correlate(wide, prefixes, counts))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), every_step=st.booleans(), reals=st.booleans(), paths=st.integers(1, 20))
def test_tiles_hold_every_path_and_count_each_node_once(seed, every_step, reals, paths):
    rng = np.random.default_rng(seed)
    prefixes = prefixes_of(sequences_of(rng, reals), every_step=every_step)
    rows = torch.from_numpy(rng.choice(len(prefixes.node_of_row), size=20, replace=False))
    prefixes = prefixes.rows(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "PATHS", paths)
        cut = tiles.cut(prefixes)
    values, parents = torch.cat(list(prefixes.values)).numpy(), tiles._parents(prefixes)
    inputs, d = cut.inputs.reshape(-1, values.shape[1], 8).transpose(0, 2, 1), values.shape[1]
    before, last = np.array([-1]), 0
    for first, count, root, group, groups, place in cut.blocks:
        own = cut.node[first : first + count]
        above = np.array([-1]) if root else before
        assert np.array_equal(parents[own], above[cut.parent[first : first + count]])
        last = (group, groups) if groups else last
        shown = inputs[last[0] : last[0] + last[1]].reshape(-1, d)
        assert np.array_equal(shown[cut.code[first : first + count]], values[own])
        if place < 0:
            assert not np.isin(own, prefixes.node_of_row.numpy()).any()
        before = own
    assert sorted(cut.node[cut.owned]) == sorted(set(cut.node))
    assert set(prefixes.node_of_row.tolist()) <= set(cut.node.tolist())


def test_columns_that_enter_a_dictionary_are_those_of_the_reference(monkeypatch):
    """Even where compiled code errs: here it says that every neuron is seen everywhere."""
    rng = np.random.default_rng(0)
    sequences = sequences_of(rng, reals=True)
    targets = torch.from_numpy(rng.choice([-1.0, 1.0], size=(60, 1)))
    wrong = lambda *given: torch.ones(len(given[-1]), 60, dtype=torch.bool)  # noqa: E731
    monkeypatch.setattr(running, "patterns", wrong)
    shape = {"depth": 2, "width": 5, "population": 8, "generations": 2, "readout": "spike"}
    few = SearchSettings(rounds=3, prune=0, stages=(1.0,), oracles=("restarts",), **shape)
    problem = Problem(sequences, targets, LOSSES["hinge"], PENALTIES["l1"], 0.001)
    found = search(problem, few)
    assert found.network.hidden.n_last > 1
    # The network is run by the library's own simulator.
    assert problem.objective(found.network) == pytest.approx(found.history[-1].objective)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), every_step=st.booleans())
def test_prefixes_of_some_rows_alone(seed, every_step):
    rng = np.random.default_rng(seed)
    prefixes = prefixes_of(sequences_of(rng, reals=False), every_step=every_step)
    rows = torch.from_numpy(rng.choice(len(prefixes.node_of_row), size=7, replace=False))
    some = prefixes.only(rows)
    population = drawn(rng, (2, 4), True, True, "soft", Spike(), torch.float32)
    owner, neuron = torch.arange(3).repeat_interleave(4), torch.arange(4).repeat(3)
    whole = simulator.columns(population, owner, neuron, prefixes)
    assert torch.equal(simulator.columns(population, owner, neuron, some), whole[:, rows])
    # Nothing is left that leads to no row.
    assert len(tiles.cut(some).node) >= some.n_nodes
    assert set(tiles.cut(some).node) == set(range(some.n_nodes))


def test_scores_on_some_rows_are_in_the_mean_those_on_all():
    rng = np.random.default_rng(0)
    prefixes = prefixes_of(sequences_of(rng, reals=True), every_step=False)
    population = drawn(rng, (2, 6), False, True, "soft", Spike(), torch.float32)
    generator = torch.Generator().manual_seed(0)
    whole = DualPricing(BranchRunner(prefixes, Spike()), torch.randn(60, 1, generator=generator), PENALTIES["l1"])
    some = [whole.sampled(20, generator).correlations(population) for _ in range(400)]
    assert len(whole.sampled(20, generator).U) == 20
    torch.testing.assert_close(torch.stack(some).mean(dim=0), whole.correlations(population), atol=0.6, rtol=0.0)


@pytest.mark.parametrize("n", [100, 1000, 10_000, 1_000_000])
def test_a_round_has_its_least_whatever_the_data(n):
    for steps in (1, 10, 100):
        effort = Effort(SearchSettings(), n * steps * 24, n)
        assert effort.generations >= 30
        assert effort.rows == n or effort.rows >= 256
        assert effort.population >= 64 or effort.rows <= 256
        cost = effort.generations * effort.population * effort.branch * effort.rows / n
        assert cost <= 0.05 * effort.total * 1.01 or effort.population == 1


def test_a_mutation_changes_as_many_numbers_as_it_says():
    numbers, rate = np.zeros((200, 10, 12), np.float32), np.full(200, 0.1, np.float32)
    unit, step = np.full(10, 2.0, np.float32), np.full(200, 0.5, np.float32)
    seed = np.arange(200, dtype=np.uint64) * np.uint64(7919)
    vary(numbers, unit, rate, step, 0.0, seed)
    changed = numbers != 0.0
    # Of those that are chosen a step or a new number, 85 %, can be told from zero.
    assert changed.mean() == pytest.approx(0.1 * 0.85, rel=0.05)
    assert changed.mean(axis=(0, 1)) == pytest.approx(np.full(12, 0.085), rel=0.2)
    stepped, anew = 0.6 / 0.85, 0.25 / 0.85
    assert numbers[changed].std() == pytest.approx(np.sqrt(stepped * 1.0 + anew * 4.0), rel=0.05)
    vary(numbers, unit, rate, step, 1.0, seed)
    assert numbers.std() == pytest.approx(2.0, rel=0.03)


def test_compiled_code_works_where_nothing_can_be_written(tmp_path):
    """A package in a folder that cannot be written to, of a user without a folder for caches."""
    script = (
        "import numba.core.caching as caching\n"
        "caching.CacheImpl._locator_classes = []\n"
        "from convexsnn.compiling import cached\n"
        "assert cached(lambda a: a + 1)(2) == 3\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
