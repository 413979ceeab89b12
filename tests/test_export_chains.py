"""Branches that differ in numbers only are one branch of an exported module: one layer in place of many."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convexsnn import LIF, Branch, Hidden, Layer, Network, Sequences
from convexsnn.export import chains, from_torch, to_norse, to_snntorch, to_spikingjelly, to_torch
from convexsnn.neurons import Synaptic
from convexsnn.readouts import Membrane, Rate, Spike, Windows
from convexsnn.simulation import scores
from helpers import generator

D, C = 3, 2
SPIKE = Spike()
TARGETS = {
    "torch": (to_torch, "torch"),
    "snntorch": (to_snntorch, "snntorch"),
    "spikingjelly": (to_spikingjelly, "spikingjelly.activation_based"),
    "norse": (to_norse, "norse.torch"),
}


def draw(kinds, readout=SPIKE, seed=0):
    """A branch for each (reset, sizes of layers, recurrent, delays); "synaptic" stands for synaptic neurons."""
    g = generator(seed)
    number = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)  # noqa: E731

    def branch(reset, sizes, recurrent, delays):
        layers = []
        for n_in, m in zip((D, *sizes), sizes, strict=False):
            leak, theta = torch.rand(2, m, generator=g, dtype=torch.float64)
            neuron = Synaptic(leak, leak / 2, theta, "hard") if reset == "synaptic" else LIF(leak, theta, reset)
            back = 0.3 * number(m, m) if recurrent else None
            layers.append(Layer(number(n_in * len(delays), m), neuron, back, 0.3 * number(m), delays))
        return Branch(tuple(layers), number(sizes[-1]) if readout == Membrane() else None)

    hidden = Hidden(D, tuple(branch(*kind) for kind in kinds), readout, False)
    return Network(hidden, number(hidden.n_last, C))


def answers(network, X):
    return scores(network, Sequences(X.transpose(0, 1), torch.full((X.shape[1],), len(X))))


KINDS = st.tuples(
    st.sampled_from(["soft", "hard", "synaptic"]),
    st.lists(st.integers(1, 4), min_size=1, max_size=2).map(tuple),
    st.booleans(),
    st.sampled_from([(0,), (0, 2)]),
)


@settings(max_examples=25, deadline=None)
@given(
    kinds=st.lists(KINDS, min_size=1, max_size=6),
    readout=st.sampled_from([SPIKE, Membrane(), Rate(), Windows(2, 3)]),
    seed=st.integers(0, 99),
)
def test_answers_are_those_of_the_network_which_comes_back_as_it_was(kinds, readout, seed):
    network = draw(kinds, readout, seed)
    module, X = to_torch(network), torch.randn(5, 7, D, generator=generator(seed), dtype=torch.float64)
    assert len(module.branches) == len({(kind[0], len(kind[1]), *kind[2:]) for kind in kinds})
    with torch.no_grad():
        assert torch.allclose(module(X)[0], answers(network, X), rtol=0.0, atol=1e-9)
    assert from_torch(module).equals(network)


@pytest.mark.parametrize("target", TARGETS)
def test_as_many_branches_as_a_search_finds_are_one_module_a_layer(target):
    export, package = TARGETS[target]
    pytest.importorskip(package)
    g = generator(1)
    sizes = torch.randint(1, 6, (97, 2), generator=g).tolist()
    network = draw([("soft", tuple(own), False, (0,)) for own in sizes])
    module, X = export(network), torch.randn(4, 20, D, generator=g, dtype=torch.float64)
    assert [len(branch.layers) for branch in module.branches] == [2]
    with torch.no_grad():
        assert torch.allclose(module(X)[0], answers(network, X), rtol=0.0, atol=1e-9)


@pytest.mark.parametrize("target", TARGETS)
def test_training_leaves_weights_between_branches_zero(target):
    export, package = TARGETS[target]
    pytest.importorskip(package)
    module = export(draw([("soft", (3, 2), True, (0,)), ("soft", (2, 2), True, (0,))]))
    X = torch.randn(6, 8, D, generator=generator(2), dtype=torch.float64)
    optimiser = torch.optim.AdamW([own for own in module.parameters() if own.requires_grad], 0.05)
    before = module.branches[0].layers[1].linear.weight.detach().clone()
    for _ in range(3):
        optimiser.zero_grad()
        module(X)[0].square().sum().backward()
        optimiser.step()
    second = module.branches[0].layers[1]
    assert not bool((second.linear.weight == before)[:2, :3].any())
    assert not bool(second.linear.weight[:2, 3:].any() | second.linear.weight[2:, :3].any())
    assert not bool(second.recurrent.weight[:2, 2:].any() | second.recurrent.weight[2:, :2].any())
    if target == "torch":
        assert [len(branch.layers) for branch in from_torch(module).hidden.branches] == [2, 2]


def test_no_joined_layer_is_wider_than_is_worth_its_weights():
    network = draw([("soft", (4, 2), False, (0,))] * 5)
    assert [chain.numbers for chain in chains.chains_of(network, widest=9)] == [(0, 1), (2, 3), (4,)]
    assert [chain.numbers for chain in chains.chains_of(network, widest=1)] == [(k,) for k in range(5)]
    single = draw([("soft", (4,), False, (0,))] * 5)  # the input is shared: joining makes no zeros
    assert [chain.numbers for chain in chains.chains_of(single, widest=1)] == [(0, 1, 2, 3, 4)]


def test_joined_modules_can_be_scripted():
    network = draw([("hard", (3, 2), True, (0, 2)), ("synaptic", (2, 2), False, (0,)), ("hard", (2, 2), True, (0, 2))])
    module, X = to_torch(network), torch.randn(4, 5, D, generator=generator(), dtype=torch.float64)
    assert torch.equal(torch.jit.script(module)(X)[0], module(X)[0])
