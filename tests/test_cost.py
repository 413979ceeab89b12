"""The cost of inference against counting one product at a time."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from torch import nn

from convexsnn import Network, Sequences, as_sequences
from convexsnn.cost import inference_cost
from convexsnn.export import to_torch
from convexsnn.polishing import module_cost
from convexsnn.simulation import initial_state, read, step
from helpers import draw_hidden, draw_sequences, generator

KINDS = ["LIF soft", "recurrent LIF", "recurrent threshold"]


def draw_network(kind, **settings):
    hidden = draw_hidden(kind, **settings)
    W = torch.randn(hidden.n_last, 4, generator=generator(1), dtype=torch.float64)
    W[torch.rand(W.shape, generator=generator(2)) < 0.5] = 0.0
    return Network(hidden, W)


def count_products(network, sequences):
    """Spikes, and effective operations with spikes, with inputs and with features, by brute force."""
    spikes = by_spikes = by_inputs = by_features = 0
    for x, length in zip(sequences.values, sequences.lengths.tolist(), strict=True):
        state = initial_state(network.hidden, 1)
        for t in range(length):
            before, state = state, step(network.hidden, x[t][None], state).state
            for branch, old, new in zip(network.hidden.branches, before.branches, state.branches, strict=True):
                below, spiking = x[t], False
                for layer, last, now in zip(branch.layers, old.layers, new.layers, strict=True):
                    products = int(((below[:, None] * layer.weight) != 0).sum())
                    by_spikes, by_inputs = by_spikes + products * spiking, by_inputs + products * (not spiking)
                    if layer.recurrent is not None:
                        by_spikes += int(((last.spikes[0][:, None] * layer.recurrent) != 0).sum())
                    below, spiking = now.spikes[0], True
                    spikes += int(below.sum())
            if network.hidden.every_step or t == length - 1:
                features = read(network.hidden, state)[0][0].double()
                by_features += int(((features[:, None] * network.W) != 0).sum())
    n = len(sequences)
    return spikes / n, by_spikes / n, by_inputs / n, by_features / n


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("readout", ["spike", "membrane", "analog"])
@pytest.mark.parametrize("every_step", [False, True])
def test_operations_are_counted_as_they_happen(kind, readout, every_step):
    network = draw_network(kind, readout=readout, every_step=every_step)
    sequences = draw_sequences(12, 5, 3, ragged=True)
    cost = inference_cost(network, sequences)
    spikes, by_spikes, by_inputs, by_features = count_products(network, sequences)
    assert spikes > 0
    assert cost.spikes_per_inference == pytest.approx(spikes)
    analog = readout == "analog"
    assert cost.effective_acs == pytest.approx(by_spikes + by_features * (not analog))
    assert cost.effective_macs == pytest.approx(by_inputs + by_features * analog)
    steps = float(sequences.lengths.sum()) / len(sequences)
    assert cost.activation_sparsity == pytest.approx(1 - spikes / (steps * network.hidden.n_neurons))
    assert cost.dense_operations >= cost.effective_acs + cost.effective_macs


def test_binary_inputs_are_accumulated():
    network = draw_network("LIF soft")
    X = np.random.default_rng(0).integers(2, size=(9, 5, 3)).astype(float)
    assert inference_cost(network, as_sequences(X)).effective_macs == 0.0
    X[0, 0, 0] = 0.5
    assert inference_cost(network, as_sequences(X)).effective_macs > 0.0


def test_connections_and_dense_operations():
    network = draw_network("recurrent LIF")
    weights = [w for layer in network.hidden.layers() for w in (layer.weight, layer.recurrent)]
    cost = inference_cost(network, draw_sequences(6, 5, 3))
    total = sum(w.numel() for w in weights) + network.W.numel()
    assert cost.connection_sparsity == pytest.approx(1 - network.n_synapses / total)
    assert cost.dense_operations == pytest.approx(5 * (total - network.W.numel()) + network.W.numel())


@pytest.mark.parametrize("kind", KINDS[:2])
def test_a_module_costs_what_its_network_costs(kind):
    network = draw_network(kind, readout="spike", every_step=True)
    sequences = draw_sequences(12, 5, 3)
    module = to_torch(network)
    rows = [(sequences.values.transpose(0, 1)[:, part], torch.zeros(6)) for part in (slice(0, 6), slice(6, 12))]
    ours, theirs = asdict(inference_cost(network, sequences)), asdict(module_cost(module, rows))
    assert theirs == pytest.approx(ours)


def test_convolutions_are_counted_product_by_product():
    class LIFCell(nn.Module):
        def forward(self, x):
            return (x > 0).to(x.dtype)

    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1, stride=2, bias=False), LIFCell(), nn.Flatten(), nn.Linear(12, 2))
    x = torch.randint(2, (5, 2, 4, 4)).float()
    cost = module_cost(net, [(x, torch.zeros(5))])
    patches = nn.functional.unfold(x, 3, padding=1, stride=2)  # (5, 18, 4)
    acs = sum(int((p[:, None] * net[0].weight.flatten(1).T != 0).sum()) for row in patches for p in row.T)
    spikes = (net[0](x) > 0).flatten(1)
    acs += int(spikes.sum()) * 2
    assert cost.effective_acs == pytest.approx(acs / 5)
    assert cost.effective_macs == 0.0
    assert cost.neurons == 12
    assert cost.dense_operations >= cost.effective_acs


@pytest.mark.parametrize(("module", "rows"), [(nn.Linear(2, 2), [1]), (nn.Sequential(nn.Linear(2, 2)), [])])
def test_nothing_to_count(module, rows):
    with pytest.raises(ValueError, match="no spiking layer"):
        module_cost(module, rows)


def test_a_network_without_neurons_costs_nothing():
    from dataclasses import replace

    hidden = replace(draw_hidden(), branches=())
    cost = inference_cost(Network(hidden, torch.zeros(0, 2)), Sequences(torch.ones(3, 2, 3), torch.full((3,), 2)))
    assert (cost.effective_acs, cost.dense_operations, cost.activation_sparsity) == (0.0, 0.0, 1.0)
