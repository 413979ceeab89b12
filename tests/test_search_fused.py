"""The compiled simulator of the search, beside its reference."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convexsnn.neurons import RESETS
from convexsnn.prefixes import prefixes_of
from convexsnn.readouts import Membrane, Spike
from convexsnn.search.branches import simulator
from convexsnn.search.branches.fused import running, tiles
from convexsnn.search.branches.population import Population, StackedLayer
from convexsnn.search.branches.runner import BranchRunner
from convexsnn.sequences import as_sequences


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
    readout=st.sampled_from([Spike(), Membrane()]),
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
    m, runner = widths[-1], BranchRunner(prefixes)
    owner, neuron = torch.arange(3).repeat_interleave(m), torch.arange(m).repeat(3)
    found = runner.columns(population, owner, neuron)
    assert torch.equal(found, simulator.columns(population, owner, neuron, prefixes))
    U = torch.from_numpy(rng.integers(-4, 5, size=(found.shape[1], 3)) / 8).to(dtype)
    assert torch.equal(runner.correlate(population, U), simulator.correlate(population, prefixes, U))


def test_any_number_of_threads_gives_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    sequences, before = sequences_of(rng, reals=True), torch.get_num_threads()
    population = drawn(rng, (2, 8), True, True, "soft", Spike(), torch.float32)
    noise = torch.Generator().manual_seed(0)
    population = population.map(lambda t: torch.randn(t.shape, generator=noise).abs().clamp(max=1.0))
    runner, U = BranchRunner(prefixes_of(sequences, every_step=False)), torch.randn(60, 1, generator=noise)
    monkeypatch.setattr(running, "LEAST_STEPS", 1)
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(runner.correlate(population, U))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_what_compiled_code_does_not_know_goes_to_the_reference():
    rng = np.random.default_rng(0)
    prefixes = prefixes_of(sequences_of(rng, reals=False), every_step=False)
    wide = drawn(rng, (2, 65), False, True, "soft", Spike(), torch.float32)
    assert not running.knows(wide)
    U = torch.ones(60, 1)
    assert torch.equal(BranchRunner(prefixes).correlate(wide, U), simulator.correlate(wide, prefixes, U))


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
