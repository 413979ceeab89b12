"""What a search runs on a GPU, without one: the kernel by Triton's interpreter, where that is, and all around it."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convexsnn.penalties import PENALTIES
from convexsnn.prefixes import prefixes_of
from convexsnn.readouts import Leaky, Membrane, Rate, Spike, Windows
from convexsnn.search.branches import simulator
from convexsnn.search.branches.fused import running
from convexsnn.search.branches.on_gpu import stretches
from convexsnn.search.branches.on_gpu.chance import varied_at_once
from convexsnn.search.branches.on_gpu.finding import walking_for
from convexsnn.search.branches.pricing import DualPricing
from convexsnn.search.branches.reading import where_seen
from convexsnn.search.branches.runner import BranchRunner
from convexsnn.search.branches.variation import Variation, input_scale
from convexsnn.search.oracles.climb import climb
from convexsnn.sequences import as_sequences
from convexsnn.witnesses import Architecture
from test_search_fused import drawn, sequences_of

# Widths of layers, reset, recurrence, readout, real numbers, outputs, and whether stretches are short.
CASES = [
    ((3,), "soft", True, Spike(), False, 1, True),
    ((3, 2), "hard", True, Leaky(0.5), False, 2, True),
    ((6,), "delayed", True, Windows(2, 2), True, 2, False),
    ((33,), "delayed", False, Membrane(), True, 1, False),
    ((2, 3, 2), "none", False, Spike(), True, 33, False),
]


@pytest.fixture
def walking(monkeypatch):
    """What runs the kernel, interpreted."""
    if importlib.util.find_spec("triton") is None or torch.cuda.is_available():
        pytest.skip("needs Triton, and no GPU, on which the kernel is compiled")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    from convexsnn.search.branches.on_gpu import walking

    return walking


@pytest.mark.parametrize(("widths", "reset", "recurrent", "readout", "reals", "outputs", "short"), CASES)
def test_the_kernel_is_the_reference(walking, widths, reset, recurrent, readout, reals, outputs, short, monkeypatch):
    """Numbers are such that sums are exact in any order."""
    if short:
        monkeypatch.setattr(stretches, "BEGINNING", 0)
        monkeypatch.setattr(stretches, "TOGETHER_RUN", 1)
    rng = np.random.default_rng(outputs)
    prefixes = prefixes_of(sequences_of(rng, reals), every_step=False)
    population = drawn(rng, (2, *widths), recurrent, not short, reset, readout, torch.float32)
    population = population.take(slice(0, 2 if short else 1))
    counts = BranchRunner(prefixes, readout).counted(torch.from_numpy(rng.integers(-4, 5, size=(60, outputs)) / 8))
    cut = stretches.stretches_of(where_seen(prefixes, readout))
    assert len(cut) > 1 or not short
    found = simulator.by_column(walking.walked_sums(population, cut, torch.cat(counts)), population)
    torch.testing.assert_close(found, simulator.correlate(population, prefixes, counts), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("readout", [Spike(), Windows(2, 2)], ids=str)
def test_what_the_kernel_sees_is_what_the_reference_sees(walking, readout, monkeypatch):
    monkeypatch.setattr("convexsnn.search.branches.runner.walking_for", lambda *_: walking)
    rng = np.random.default_rng(0)
    prefixes = prefixes_of(sequences_of(rng, reals=False), every_step=False)
    population = drawn(rng, (2, 5), True, True, "soft", readout, torch.float32)
    owner, column = torch.tensor([2, 0, 2]), torch.tensor([4, 0, 1])
    runner = BranchRunner(prefixes, readout)
    expected = simulator.columns(population, owner, column, prefixes)
    assert torch.equal(runner.columns(population, owner, column), expected)
    assert torch.equal(runner.columns(population, owner[:0], column[:0]), expected[:0])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), reals=st.booleans(), beginning=st.sampled_from([0, 20, 1000]))
def test_stretches_hold_every_path_and_count_each_node_once(seed, reals, beginning):
    rng = np.random.default_rng(seed)
    prefixes = where_seen(prefixes_of(sequences_of(rng, reals), every_step=False), Rate())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stretches, "BEGINNING", beginning)
        patch.setattr(stretches, "TOGETHER_RUN", 1)
        cut = stretches.stretches_of(prefixes)
    # What each path has seen: its inputs, after those of the path that it goes on from.
    seen, counted = [()], []
    for stretch in cut:
        before = [seen[path] for path in stretch.parent.tolist()]
        for t in range(len(stretch.inputs)):
            before = [(*own, tuple(x)) for own, x in zip(before, stretch.inputs[t].T.tolist(), strict=True)]
            node = stretch.node[stretch.place[t]].tolist()
            counted += [(number, own) for number, own in zip(node, before, strict=True) if number < prefixes.n_nodes]
        seen = before
    expected, above = [()], []
    for x, parent in zip(prefixes.values, prefixes.parents, strict=True):
        own = range(len(x)) if parent is None else parent.tolist()
        expected = [(*expected[up if above else 0], tuple(row)) for up, row in zip(own, x.tolist(), strict=True)]
        above += expected
    assert sorted(counted) == list(enumerate(above))


def test_a_tree_that_grows_is_cut_and_one_of_real_numbers_is_not():
    rng = np.random.default_rng(0)
    bits, reals = np.eye(2)[rng.integers(2, size=(2000, 14))], rng.random((2000, 14, 3))
    of_bits = stretches.stretches_of(prefixes_of(as_sequences(bits), every_step=False))
    of_reals = stretches.stretches_of(prefixes_of(as_sequences(reals), every_step=False))
    assert len(of_reals) == 1
    run = sum(stretch.inputs.shape[0] * stretch.inputs.shape[2] for stretch in of_bits)
    assert run < 1.4 * prefixes_of(as_sequences(bits), every_step=False).n_nodes


def test_a_mutation_of_all_at_once_changes_as_many_numbers_as_it_says():
    numbers, unit = torch.zeros(200, 10, 12), torch.full((10,), 2.0)
    chance, generator = (torch.full((200,), 0.1), torch.full((200,), 0.5)), torch.Generator().manual_seed(0)
    found = varied_at_once(numbers, unit, chance, 0.0, generator)
    changed = found != 0.0
    # Of those that are chosen a step or a new number, 85 %, can be told from zero.
    assert float(changed.double().mean()) == pytest.approx(0.1 * 0.85, rel=0.05)
    stepped, anew = 0.6 / 0.85, 0.25 / 0.85
    assert float(found[changed].std()) == pytest.approx(np.sqrt(stepped * 1.0 + anew * 4.0), rel=0.05)
    assert float(varied_at_once(numbers, unit, chance, 1.0, generator).std()) == pytest.approx(2.0, rel=0.03)
    ones = varied_at_once(torch.ones(200, 10, 12), unit, chance, 0.0, generator)
    assert float((ones == 0.0).double().mean()) == pytest.approx(0.1 * 0.05, rel=0.3)
    assert float((ones == -1.0).double().mean()) == pytest.approx(0.1 * 0.1, rel=0.3)


def test_climbing_makes_no_tensor_without_a_device(monkeypatch):
    """Inside torch.device("meta") such a tensor would be on another device than the branches."""
    random = torch.Generator().manual_seed(0)
    prefixes = prefixes_of(sequences_of(np.random.default_rng(0), reals=False), every_step=False)
    architecture = Architecture(2, bias=True, depth=3, recurrent=True, readout="spike")
    variation = Variation(architecture, 4, input_scale(prefixes, 1.0), free_leak=True)
    pricing = DualPricing(BranchRunner(prefixes, Spike()), torch.randn(60, 2, generator=random), PENALTIES["l1"])
    # As on a GPU: without what Numba compiles for the CPU.
    monkeypatch.setattr("convexsnn.search.branches.variation._changed", varied_at_once)
    monkeypatch.setattr(running, "knows", lambda _: False)

    def climbed():
        generator = torch.Generator().manual_seed(1)
        return climb(variation.draw(30, generator), variation, pricing, 5, generator)

    population, fitness = climbed()
    with torch.device("meta"):
        again, same = climbed()
    assert torch.equal(fitness, same)
    assert all(torch.equal(a.weight, b.weight) for a, b in zip(population.layers, again.layers, strict=True))


def test_without_a_gpu_there_is_no_kernel():
    rng = np.random.default_rng(0)
    assert walking_for(drawn(rng, (2, 4), True, True, "soft", Spike(), torch.float32), torch.device("cpu")) is None
