"""Reconstruction: the network run anew gives the program's objective, for every dynamics, readout and loss."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convexsnn import Branch, Hidden, Layer, Threshold, build_dictionary, reconstruct, simulate, train
from convexsnn.losses import LOSSES
from convexsnn.regularisation import rho_of
from convexsnn.simulation import scores
from helpers import KINDS, draw_hidden, draw_sequences, draw_targets, make_problem


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("every_step", [False, True])
def test_network_attains_the_objective_of_the_program(kind, loss, every_step):
    hidden = draw_hidden(kind, every_step=every_step, readout="membrane" if every_step else "spike")
    sequences = draw_sequences(n=30, ragged=True)
    targets = draw_targets(loss, sequences.rows(every_step))
    problem = make_problem(sequences, targets, loss, rho=rho_of(0.05, hidden.n_last), every_step=every_step)
    trained = train(problem, hidden)
    assert trained.certificate.holds(1e-6)
    assert problem.objective(trained.network) == pytest.approx(trained.certificate.primal, rel=1e-9)
    assert 0 < int((trained.network.W != 0).any(dim=1).sum()) == trained.certificate.support


@given(kind=st.sampled_from(sorted(KINDS)), seed=st.integers(0, 1000), readout=st.sampled_from(["spike", "analog"]))
def test_same_function_on_new_inputs(kind, seed, readout):
    hidden = draw_hidden(kind, seed=seed, readout=readout)
    dictionary = build_dictionary(hidden, draw_sequences(seed=seed))
    W = torch.randn(dictionary.columns.shape[1], 2, generator=torch.Generator().manual_seed(seed)).double()
    W[::2] = 0.0
    network = reconstruct(hidden, dictionary, W)
    new = draw_sequences(n=50, seed=seed + 1, ragged=True)
    expected = simulate(hidden, new).features.double() @ dictionary.to_neurons(W)
    assert torch.allclose(scores(network, new), expected, atol=1e-9)


def layer(weight, **kwargs):
    return Layer(torch.tensor(weight).double(), Threshold(), **kwargs)


def pruned(hidden, n=40, **kwargs):
    """Reconstruct with weight on the first last-layer neuron only."""
    sequences = draw_sequences(n=n, d=hidden.n_features)
    dictionary = build_dictionary(hidden, sequences)
    neuron_weights = torch.zeros(hidden.n_last, 1).double()
    neuron_weights[0] = 1.0
    W = dictionary.to_columns(neuron_weights)
    if "silent" in kwargs:
        kwargs["silent"] = simulate(hidden, sequences).counts
    network = reconstruct(hidden, dictionary, W, **kwargs)
    expected = dictionary.columns.matmul(W)
    assert torch.equal(scores(network, sequences), expected)
    return network


def test_branches_and_neurons_that_feed_nothing_are_dropped():
    first = Branch((layer([[1.0, 1.0]]), layer([[1.0, 0.0], [0.0, 1.0]])))
    network = pruned(Hidden(1, (first, first)))
    assert len(network.hidden.branches) == 1
    assert [la.m for la in network.hidden.branches[0].layers] == [1, 1]


def test_recurrence_keeps_the_neurons_that_reach_the_output():
    # 1 feeds 0 through recurrence, 2 feeds 1, 3 feeds nobody.
    recurrent = torch.zeros(4, 4).double()
    recurrent[1, 0] = recurrent[2, 1] = 1.0
    recurrent[0, 3] = 1.0
    network = pruned(Hidden(1, (Branch((layer([[1.0, -1.0, 1.0, 1.0]], recurrent=recurrent),)),)))
    assert network.hidden.branches[0].last.m == 3
    assert network.hidden.n_last == 3
    assert (network.W != 0).sum() == 1


def test_a_layer_that_feeds_nothing_is_dropped():
    bias = torch.tensor([1.0]).double()
    network = pruned(Hidden(2, (Branch((layer([[1.0], [1.0]]), layer([[0.0]], bias=bias))),)))
    assert [la.weight.shape for la in network.hidden.branches[0].layers] == [(2, 1)]


def test_neurons_silent_in_training_are_dropped_only_on_request():
    bias = torch.tensor([0.0, -100.0]).double()
    hidden = Hidden(
        1, (Branch((layer([[1.0, 1.0]], bias=bias), layer([[1.0], [1.0]], bias=torch.tensor([-1.0]).double()))),)
    )
    assert pruned(hidden).hidden.n_neurons == 3
    assert pruned(hidden, silent=True).hidden.n_neurons == 2


def test_zero_weights_give_the_empty_network():
    hidden = draw_hidden()
    dictionary = build_dictionary(hidden, draw_sequences())
    network = reconstruct(hidden, dictionary, torch.zeros(dictionary.columns.shape[1], 2).double())
    assert network.hidden.branches == ()
    assert torch.equal(scores(network, draw_sequences(n=3)), torch.zeros(3, 2).double())
