"""NIR graphs as other libraries write them, read by `from_nir` and compared with the libraries' own runs."""

import numpy as np
import pytest
import torch

from convexsnn import Sequences
from convexsnn.export import from_nir
from convexsnn.neurons import Synaptic
from convexsnn.readouts import Count, Leaky
from convexsnn.simulation import scores
from helpers import generator

T, N, D = 12, 20, 3
nir = pytest.importorskip("nir")


def inputs():
    return torch.randn(T, N, D, generator=generator(3))


def every_output(network, X):
    """What the network answers at every step, (T, N, C)."""
    answers = scores(network, Sequences(X.transpose(0, 1), torch.full((N,), T)))
    return answers.unflatten(0, (N, T)).transpose(0, 1)


def weights(n_in, m, seed, size=2.0):
    g = generator(seed)
    draw = lambda *shape: (size * torch.randn(*shape, generator=g)).numpy()  # noqa: E731
    return nir.Affine(draw(m, n_in), draw(m) / 2)


def test_spikingjelly_writes_neurons_at_the_end():
    pytest.importorskip("spikingjelly.activation_based")
    from spikingjelly.activation_based import functional, layer, neuron
    from spikingjelly.activation_based.nir_exchange import export_to_nir

    torch.manual_seed(0)
    first, last = neuron.LIFNode(tau=2.0, v_reset=0.0), neuron.IFNode(v_reset=0.0)
    net = torch.nn.Sequential(layer.Linear(D, 8), first, layer.Linear(8, 4), last)
    with torch.no_grad():
        net[0].weight *= 4
        net[2].weight *= 4
    network = from_nir(export_to_nir(net, torch.zeros(1, D)), every_step=True)
    functional.reset_net(net)
    X = inputs()
    with torch.no_grad():
        expected = torch.stack([net(x) for x in X])
    assert 0.02 < float(expected.mean()) < 0.98
    assert torch.equal(every_output(network, X.double()), expected.double())


def test_norse_writes_tensors_and_a_leaky_integrator_at_the_end():
    norse = pytest.importorskip("norse.torch")
    torch.manual_seed(1)
    p, q = (
        norse.LIFBoxParameters(tau_mem_inv=torch.tensor(250.0)),
        norse.LIBoxParameters(tau_mem_inv=torch.tensor(500.0)),
    )
    net = norse.SequentialState(
        torch.nn.Linear(D, 8), norse.LIFBoxCell(p, dt=0.001), torch.nn.Linear(8, 2), norse.LIBoxCell(q, dt=0.001)
    )
    with torch.no_grad():
        net[0].weight *= 8
    X, state, expected = inputs(), None, []
    with torch.no_grad():
        for x in X:
            y, state = net(x, state)
            expected.append(y)
    graph = norse.to_nir(net, torch.zeros(1, D))
    lif = next(node for node in graph.nodes.values() if isinstance(node, nir.LIF))
    # Norse writes time constants in a unit of its own; dt is what makes the leak 0.75.
    network = from_nir(graph, dt=0.25 * float(np.ravel(np.asarray(lif.tau))[0]), every_step=True)
    assert isinstance(network.hidden.readout, Leaky)
    assert torch.allclose(every_output(network, X.double()), torch.stack(expected).double(), atol=1e-5)


def subgraph_of_recurrence(first, lif, back):
    """As Norse and snnTorch write a recurrent layer."""
    shape = np.array([8])
    inner = nir.NIRGraph(
        {"input": nir.Input(shape), "lif": lif, "w_rec": back, "output": nir.Output(shape)},
        [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")],
        type_check=False,
    )
    nodes = {"input": nir.Input(np.array([D])), "first": first, "layer": inner, "last": weights(8, 2, 5)}
    nodes["output"] = nir.Output(np.array([2]))
    edges = [("input", "first"), ("first", "layer"), ("layer", "last"), ("last", "output")]
    return nir.NIRGraph(nodes, edges, type_check=False)


def test_graphs_within_graphs_are_taken_apart(tmp_path):
    ones = np.ones(8)
    lif = nir.LIF(tau=2e-4 * ones, r=ones, v_leak=0 * ones, v_threshold=ones, v_reset=0 * ones)
    first, back = weights(D, 8, 1), weights(8, 8, 2)
    nested = subgraph_of_recurrence(first, lif, back)
    nodes = {"input": nir.Input(np.array([D])), "first": first, "lif": lif, "back": back, "last": weights(8, 2, 5)}
    nodes["output"] = nir.Output(np.array([2]))
    edges = [
        ("input", "first"),
        ("first", "lif"),
        ("lif", "back"),
        ("back", "lif"),
        ("lif", "last"),
        ("last", "output"),
    ]
    assert from_nir(nested).equals(from_nir(nir.NIRGraph(nodes, edges, type_check=False)))
    nir.write(tmp_path / "nested.nir", nested)
    assert from_nir(tmp_path / "nested.nir").equals(from_nir(nested))
    within = nested.nodes["layer"]
    nested.nodes["layer"] = nested
    with pytest.raises(ValueError, match="more than 32 graphs"):
        from_nir(nested)
    nested.nodes["layer"] = within
    nested.edges.append(("layer", "layer"))
    with pytest.raises(ValueError, match="layer, a graph itself, leads back to itself"):
        from_nir(nested)


def test_a_current_and_a_membrane_that_last_are_synaptic_neurons():
    """Against the equations of NIR by Euler steps, the current first, as snnTorch and Norse step."""
    ones, dt = np.ones(8), 1e-4
    taus = {"tau_syn": 3e-4 * ones, "tau_mem": 5e-4 * ones}
    cuba = nir.CubaLIF(**taus, r=2 * ones, v_leak=0 * ones, v_threshold=ones, w_in=3 * ones, v_reset=0 * ones)
    first, last = weights(D, 8, 1, 6.0), weights(8, 2, 2)
    network = from_nir(nir.NIRGraph.from_list(first, cuba, last), every_step=True)
    assert isinstance(network.hidden.branches[0].last.neuron, Synaptic)
    current, v, expected = np.zeros((N, 8)), np.zeros((N, 8)), []
    X = inputs().double()
    for x in X.numpy():
        current = current + dt / cuba.tau_syn * (cuba.w_in * (x @ first.weight.T + first.bias) - current)
        v = v + dt / cuba.tau_mem * (cuba.r * current - v)
        spikes = v > cuba.v_threshold
        v = np.where(spikes, 0.0, v)
        expected.append(spikes @ last.weight.T + last.bias)
    assert torch.allclose(every_output(network, X), torch.from_numpy(np.stack(expected)).double())


@pytest.mark.parametrize("kind", ["LI", "I"])
def test_integrators_at_the_end_are_readouts_over_time(kind):
    ones, dt = np.ones(2), 1e-4
    lif = nir.LIF(2e-4 * np.ones(8), np.ones(8), np.zeros(8), np.ones(8), np.zeros(8))
    end = nir.LI(tau=4e-4 * ones, r=ones, v_leak=0 * ones) if kind == "LI" else nir.I(r=ones / dt)
    first, last = weights(D, 8, 1, 3.0), weights(8, 2, 2)
    network = from_nir(nir.NIRGraph.from_list(first, lif, last, end), every_step=True)
    assert network.hidden.readout == (Leaky(0.75) if kind == "LI" else Count())
    plain = every_output(from_nir(nir.NIRGraph.from_list(first, lif, last), every_step=True), inputs().double())
    keep, gain = (0.75, 0.25) if kind == "LI" else (1.0, 1.0)
    v, expected = torch.zeros(N, 2).double(), []
    for y in plain:
        v = keep * v + gain * y
        expected.append(v)
    assert torch.allclose(every_output(network, inputs().double()), torch.stack(expected))


def test_what_cannot_be_read_at_the_end_is_named():
    lif = nir.LIF(2e-4 * np.ones(8), np.ones(8), np.zeros(8), np.ones(8), np.zeros(8))
    mixed = nir.LI(tau=np.array([2e-4, 4e-4]), r=np.ones(2), v_leak=np.zeros(2))
    with pytest.raises(ValueError, match="different time constants"):
        from_nir(nir.NIRGraph.from_list(weights(D, 8, 1), lif, weights(8, 2, 2), mixed))
    nodes = {"input": nir.Input(np.array([D])), "output": nir.Output(np.array([D]))}
    with pytest.raises(ValueError, match="past all neurons"):
        from_nir(nir.NIRGraph(nodes, [("input", "output")], type_check=False))
