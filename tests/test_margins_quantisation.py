"""Wider margins, integer weights and fewer columns: the same spikes, the same outputs, checked by running."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convexsnn import Sequences, Threshold, train
from convexsnn.losses import LOSSES
from convexsnn.network import Branch, Hidden, Layer, Network
from convexsnn.reconstruction import quantise, rounding, thin, widen_margins
from convexsnn.reconstruction.integers import find_integers
from convexsnn.reconstruction.traces import trace
from convexsnn.regularisation import rho_of
from convexsnn.simulation import scores, simulate
from convexsnn.solvers import solve
from convexsnn.solvers.base import SolverOptions
from helpers import KINDS, NORMS, draw_hidden, draw_program, draw_sequences, draw_targets, make_problem

ALL_KINDS = KINDS | {"LIF delayed": {"reset": "delayed"}}


def draw_network(kind, *, n=20, T=4, **options):
    hidden = draw_hidden("LIF soft", **({"neuron": "lif"} | ALL_KINDS[kind] | options))
    sequences = draw_sequences(n=n, T=T, ragged=True)
    targets = draw_targets("hinge", sequences.rows(hidden.every_step))
    rho = rho_of(0.05, hidden.n_last)
    problem = make_problem(sequences, targets, "hinge", rho=rho, every_step=hidden.every_step)
    return train(problem, hidden).network, sequences


def assert_same_spikes(first, second, sequences):
    inside = torch.arange(sequences.n_steps) < sequences.lengths.unsqueeze(1)
    for a, b in zip(trace(first.hidden, sequences), trace(second.hidden, sequences), strict=True):
        for one, other in zip(a.layers, b.layers, strict=True):
            assert torch.equal(one.spikes[inside], other.spikes[inside])
    assert torch.equal(simulate(first.hidden, sequences).features, simulate(second.hidden, sequences).features)
    assert torch.equal(scores(first, sequences), scores(second, sequences))


@pytest.mark.parametrize("readout", ["spike", "membrane"])
@pytest.mark.parametrize("every_step", [False, True])
@pytest.mark.parametrize("kind", ALL_KINDS)
def test_wider_margins_and_integers_keep_every_spike(kind, every_step, readout):
    network, sequences = draw_network(kind, every_step=every_step, readout=readout)
    widened = widen_margins(network, sequences)
    assert_same_spikes(network, widened.network, sequences)
    assert (widened.after >= widened.before * (1 - 1e-12)).all()
    assert np.median(widened.after / widened.before) > 1.3
    assert widened.kept < len(widened.after) / 4
    quantised = quantise(network, sequences, 8)
    assert quantised.complete
    assert sum(quantised.ways.values()) == network.hidden.n_neurons
    assert_same_spikes(network, quantised.network, sequences)
    for layer in quantised.network.hidden.layers():
        for tensor in (layer.weight, layer.recurrent, layer.bias):
            if tensor is not None:
                assert torch.equal(tensor, tensor.round())
                assert tensor.abs().max() <= 127
        if not isinstance(layer.neuron, Threshold):
            assert torch.equal(layer.neuron.threshold * 256, (layer.neuron.threshold * 256).round())


def test_margins_are_those_of_a_run():
    network, sequences = draw_network("feedforward threshold", readout="spike", depth=2)
    widened = widen_margins(network, sequences)
    for part, margins in ((network, widened.before), (widened.network, widened.after)):
        potentials = []
        for branch in part.hidden.branches:
            layer = branch.layers[0]
            seen = torch.cat([x[:length] for x, length in zip(sequences.values, sequences.lengths, strict=True)])
            distance = (seen @ layer.weight + layer.bias).abs().amin(dim=0)
            potentials.append(distance / torch.cat([layer.weight, layer.bias[None]]).norm(dim=0))
        assert torch.cat(potentials).numpy() == pytest.approx(margins, rel=1e-6)


@settings(max_examples=10)
@given(seed=st.integers(0, 10**6), bits=st.integers(2, 10), kind=st.sampled_from(sorted(ALL_KINDS)))
def test_what_fails_is_named_and_left_as_it_was(seed, bits, kind):
    network, sequences = draw_network(kind, seed=seed, n=30)
    quantised = quantise(network, sequences, bits, effort=20)
    assert_same_spikes(network, quantised.network, sequences)
    failed = set(quantised.failed)
    assert len(failed) + sum(quantised.ways.values()) == network.hidden.n_neurons
    for k, branch in enumerate(quantised.network.hidden.branches):
        for i, layer in enumerate(branch.layers):
            for j in range(layer.m):
                if (k, i, j) in failed:
                    assert torch.equal(layer.weight[:, j], network.hidden.branches[k].layers[i].weight[:, j])
                else:
                    assert layer.weight[:, j].abs().max() <= 2 ** (bits - 1) - 1


def boundary_unit(weights, x, fires):
    """A threshold unit and inputs on which it does what `fires` says."""
    layer = Layer(torch.tensor(weights).double().reshape(-1, 1), Threshold())
    hidden = Hidden(len(weights), (Branch((layer,)),))
    sequences = Sequences(torch.tensor(x).double().unsqueeze(1), torch.ones(len(x), dtype=torch.int64))
    assert simulate(hidden, sequences).features[:, 0].tolist() == fires
    return Network(hidden, torch.ones(1, 1).double()), sequences


def test_neurons_that_no_integers_can_replace_are_named():
    # Fires where x2 / x1 is at most a number between 0.985 and 0.995: no ratio of integers up to 3.
    network, sequences = boundary_unit([0.99, -1.0], [[1.0, 0.985], [1.0, 0.995]], [True, False])
    coarse = quantise(network, sequences, 3)
    assert coarse.failed == coarse.excluded == ((0, 0, 0),)
    fine = quantise(network, sequences, 9)
    assert fine.complete
    assert_same_spikes(network, fine.network, sequences)


def test_search_finds_integers_that_rounding_misses(monkeypatch):
    # Between 0.66 and 0.67 the only ratio of integers up to 7 is 2/3; the largest weight as 7 does not give it.
    monkeypatch.setattr(rounding, "SCALES", (1.0,))
    network, sequences = boundary_unit([0.661, -1.0], [[1.0, 0.66], [1.0, 0.67]], [True, False])
    assert not quantise(network, sequences, 4, effort=0).complete
    found = quantise(network, sequences, 4)
    assert found.complete
    weights = found.network.hidden.branches[0].layers[0].weight.flatten().tolist()
    assert weights[0] / -weights[1] == pytest.approx(2 / 3)


def test_analog_readouts_are_refused():
    network, sequences = draw_network("LIF soft", readout="analog")
    for function in (widen_margins, quantise):
        with pytest.raises(ValueError, match="analog"):
            function(network, sequences)
    with pytest.raises(ValueError, match="bits must be an integer"):
        quantise(network, sequences, 1)


@pytest.mark.parametrize("penalty", NORMS)
@pytest.mark.parametrize("loss", LOSSES)
def test_thinning_keeps_outputs_and_objective(loss, penalty):
    program = draw_program(loss, penalty, n=5, P=60, rho=1e-3)
    W = solve(program, SolverOptions(1e-9, 2000, None)).W
    spread = W + 0.01 * torch.randn(W.shape, generator=torch.Generator().manual_seed(0)).double()
    for weights in (W, spread):
        thinned = thin(program, weights)
        assert thinned.support_before == int(weights.any(dim=1).sum())
        assert thinned.support == int(thinned.W.any(dim=1).sum()) <= program.n_rows * program.n_outputs + 1
        assert torch.allclose(program.columns.matmul(thinned.W), program.columns.matmul(weights), atol=1e-9)
        assert thinned.primal <= thinned.primal_before * (1 + 1e-9)
        assert thinned.primal == pytest.approx(program.primal(thinned.W))
    assert thin(program, W).primal == pytest.approx(program.primal(W), rel=1e-7)  # already optimal
    assert thin(program, spread).support < 60


def test_thinning_merges_a_uniform_mixture_and_leaves_independent_columns_alone():
    program = draw_program("squared", "l1", n=4, P=40, classes=2)
    thinned = thin(program, torch.full((40, 1), 0.1).double())
    assert thinned.support <= 4
    independent = draw_program("squared", "l1", n=40, P=6, classes=2)
    W = torch.randn(6, 1, generator=torch.Generator().manual_seed(1)).double()
    assert torch.equal(thin(independent, W).W, W)
    assert thin(independent, torch.zeros(6, 1).double()).support == 0
    with pytest.raises(ValueError, match="W must be finite"):
        thin(independent, W[1:])


def test_integers_that_need_a_tie_are_found_and_not_excluded():
    """(-1, 0) gives the last example as a tie, which fires."""
    x = [[1.0, 1.0], [1.0, 0.0], [-1.0, 2.0], [0.0, -1.0]]
    network, sequences = boundary_unit([-1.3, -0.4], x, [False, False, True, True])
    quantised = quantise(network, sequences, 2)
    assert quantised.excluded == ()
    assert quantised.complete
    assert_same_spikes(network, quantised.network, sequences)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), limit=st.integers(1, 2), step=st.sampled_from([0.0, 0.5, -1.0]))
def test_integers_are_found_or_excluded_as_trying_all_says(seed, limit, step):
    random = np.random.default_rng(seed)
    rows = np.frompyfunc(Fraction, 1, 1)(random.integers(-3, 4, size=(6, 3)) / random.choice([1, 3, 7], size=(6, 1)))
    fires = random.random(6) < 0.5
    found, excluded = find_integers(rows, fires, limit, step, 10**4)
    last = np.arange(1, 200) * step if step else np.arange(-limit, limit + 1)
    each = range(-limit, limit + 1)
    tried = np.array([(*u, v) for u in itertools.product(each, repeat=2) for v in last])
    products = tried @ np.array(rows, dtype=float).T
    near = np.abs(products) < 1e-9
    right = (np.where(near, fires, products > 0)).all(axis=1)
    assert (found is not None, excluded) == (bool(right.any()), not right.any())
    if found is not None:
        assert any(np.array_equal(found, u) for u in tried[right]) or step
