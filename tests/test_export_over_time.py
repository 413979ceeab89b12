"""Exported networks with delays and readouts over time, spike for spike and column for column."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convexsnn import LIF, Branch, Hidden, Layer, Network, Sequences, Threshold, simulate
from convexsnn.export import from_nir, from_torch, to_nir, to_norse, to_snntorch, to_spikingjelly, to_torch
from convexsnn.readouts import Analog, Count, Leaky, Membrane, Rate, Several, Spike, Windows
from convexsnn.simulation import scores
from helpers import assert_scripts_compiles_and_exports, generator

T, N, D = 12, 30, 4
READOUTS = {
    "spike": Spike(),
    "rate": Rate(),
    "count": Count(),
    "leaky": Leaky(0.7),
    "windows": Windows(3, 3),
    "one window": Windows(1, 5),
    "several": Several((Windows(2, 3), Leaky(0.5), Spike(), Analog(), Membrane(), Rate())),
}
TARGETS = {
    "torch": (to_torch, "torch", ("soft", "hard", "none", "delayed", "threshold")),
    "snntorch": (to_snntorch, "snntorch", ("soft", "hard", "none", "delayed", "threshold")),
    "spikingjelly": (to_spikingjelly, "spikingjelly.activation_based", ("soft", "hard")),
    "norse": (to_norse, "norse.torch", ("soft", "hard", "none", "delayed", "threshold")),
}


def draw(reset="soft", readout=Rate(), delays=((0, 2, 5), (0, 1)), *, dyadic=False, dtype=torch.float64, seed=0):  # noqa: B008
    """Two branches of two layers; the second branch has no delays but in its last layer."""
    g = generator(seed)

    def weights(*shape):
        drawn = torch.randn(*shape, generator=g, dtype=torch.float64)
        return ((4 * drawn).round() / 8 if dyadic else 0.4 * drawn).to(dtype)

    def layer(n_in, m, lags):
        leak, threshold = (torch.full((m,), value, dtype=dtype) for value in (0.75, 0.5))
        neuron = Threshold() if reset == "threshold" else LIF(leak, threshold, reset)
        return Layer(weights(n_in * len(lags), m), neuron, 0.25 * weights(m, m), 0.5 * weights(m), lags)

    first, last = delays
    branches = tuple(
        Branch((layer(D, 8, own), layer(8, 5, last)), weights(5) if readout == Membrane() else None)
        for own in (first, (0,))
    )
    hidden = Hidden(D, branches, readout, True, dtype)
    return Network(hidden, torch.randn(hidden.n_last, 2, generator=g, dtype=torch.float64))


def inputs(*, dyadic=False, dtype=torch.float64, seed=1):
    g = generator(seed)
    return (torch.randint(2, (T, N, D), generator=g) if dyadic else torch.randn(T, N, D, generator=g)).to(dtype)


def check_alike(network, module, X):
    """Spikes and columns of every step; returns how many spikes were compared."""
    sequences = Sequences(X.transpose(0, 1).contiguous(), torch.full((X.shape[1],), len(X)))
    steps = lambda features: features.unflatten(0, (X.shape[1], len(X))).transpose(0, 1).to(X.dtype)  # noqa: E731
    spikes = steps(simulate(replace(network.hidden, readout=Spike()), sequences).features)
    assert 0.02 < float(spikes.mean()) < 0.98
    with torch.no_grad():
        features, state = module.features(X)
    ends = torch.tensor([branch.size for branch in module.branches]).cumsum(0)
    assert int((torch.cat([state[end - 3] for end in ends], dim=1) != spikes[-1]).sum()) == 0
    expected = steps(simulate(network.hidden, sequences).features)
    if network.hidden.readout.bits or isinstance(network.hidden.readout, Rate | Count | Leaky | Windows):
        assert int((features != expected).sum()) == 0  # the same spikes, and the same sums of them
    assert torch.allclose(features, expected, rtol=0.0, atol=1e-9 if X.dtype == torch.float64 else 1e-3)
    return spikes.numel()


@pytest.mark.parametrize("name", TARGETS)
def test_spikes_and_columns_are_those_of_the_network(name):
    export, package, resets = TARGETS[name]
    pytest.importorskip(package)
    for k, reset in enumerate(resets):
        for i, (label, readout) in enumerate(READOUTS.items()):
            dyadic, dtype = (i + k) % 2 == 0, torch.float32 if (i + k) % 3 == 0 else torch.float64
            network = draw(reset, readout, dyadic=dyadic, dtype=dtype, seed=i)
            assert check_alike(network, export(network), inputs(dyadic=dyadic, dtype=dtype)), label


lags = st.lists(st.integers(0, 7), min_size=1, max_size=3, unique=True).map(sorted).map(tuple)


@settings(max_examples=30)
@given(st.tuples(lags, lags), st.sampled_from(sorted(READOUTS)))
def test_whatever_the_delays(delays, name):
    network = draw("threshold", READOUTS[name], delays, dyadic=True)
    X = inputs(dyadic=True)
    sequences = Sequences(X.transpose(0, 1).contiguous(), torch.full((N,), T))
    expected = scores(network, sequences).unflatten(0, (N, T)).transpose(0, 1)
    with torch.no_grad():
        assert torch.allclose(to_torch(network)(X)[0], expected)


@pytest.mark.parametrize("name", READOUTS)
def test_the_state_goes_on_where_it_ended(name):
    network = draw(readout=READOUTS[name])
    module, X = to_torch(network), inputs()
    whole, end = module(X)
    state, parts = None, []
    for piece in X.split(5):
        y, state = module(piece, state)
        parts.append(y)
    assert torch.equal(torch.cat(parts), whole)
    assert all(map(torch.equal, end, state))
    assert torch.equal(end[-1], torch.full((N, 1), T))
    last = to_torch(replace(network, hidden=replace(network.hidden, every_step=False)))
    assert torch.equal(last(X)[0], whole[-1])


@pytest.mark.parametrize("name", ["several", "count", "one window"])  # several has parts of all other kinds
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torch_modules_can_be_scripted_compiled_and_exported(name):
    assert_scripts_compiles_and_exports(to_torch(draw(readout=READOUTS[name])), inputs()[:4])


@pytest.mark.parametrize("name", [*READOUTS, "membrane"])
def test_from_torch_gives_the_network_back(name):
    network = draw(readout=READOUTS.get(name, Membrane()))
    if name == "several":  # its membrane readout has a bias
        biased = [replace(branch, readout_bias=torch.full((5,), 0.25).double()) for branch in network.hidden.branches]
        network = replace(network, hidden=replace(network.hidden, branches=tuple(biased)))
    assert from_torch(to_torch(network)).equals(network)


# NIR


@pytest.mark.parametrize("reset", ["soft", "hard", "none", "delayed", "threshold"])
@pytest.mark.parametrize("readout", [Spike(), Count()])
@pytest.mark.parametrize("delays", [((0,), (0,)), ((0, 2, 5), (0, 1)), ((3,), (1, 4))])
def test_nir_round_trip_keeps_delays_and_counts(reset, readout, delays, tmp_path):
    nir = pytest.importorskip("nir")
    network = draw(reset, readout, delays, dyadic=True)
    nir.write(tmp_path / "graph.nir", to_nir(network, soft_reset="subgraph", dtype="float64"))
    back = from_nir(tmp_path / "graph.nir")
    assert back.hidden.readout == readout
    assert {layer.delays for layer in back.hidden.layers()} == {layer.delays for layer in network.hidden.layers()}
    sequences = Sequences(inputs(dyadic=True).transpose(0, 1).contiguous(), torch.full((N,), T))
    assert torch.equal(simulate(back.hidden, sequences).features, simulate(network.hidden, sequences).features)
    assert torch.equal(back.W, network.W)


def test_nir_holds_a_rate_of_a_known_number_of_steps(tmp_path):
    nir = pytest.importorskip("nir")
    network = draw("hard", Rate(), ((0, 2), (0,)), dyadic=True)
    with pytest.raises(ValueError, match="steps is for a rate that is read at the last step"):
        to_nir(network, steps=T)
    network = replace(network, hidden=replace(network.hidden, every_step=False))
    nir.write(tmp_path / "graph.nir", to_nir(network, steps=T, dtype="float64"))
    back = from_nir(tmp_path / "graph.nir")
    assert back.hidden.readout == Count()
    sequences = Sequences(inputs(dyadic=True).transpose(0, 1).contiguous(), torch.full((N,), T))
    rates = simulate(network.hidden, sequences).features
    assert torch.equal(simulate(back.hidden, sequences).features / T, rates)
    assert torch.allclose(T * back.W, network.W, rtol=1e-15)


@pytest.mark.parametrize("readout", [Rate(), Leaky(0.7), Windows(2, 3), READOUTS["several"]])
def test_readouts_that_nir_cannot_express_are_refused_by_name(readout):
    pytest.importorskip("nir")
    with pytest.raises(ValueError, match=f"the {re.escape(str(readout))} readout cannot be expressed in NIR"):
        to_nir(draw("hard", readout))


def delayed(*nodes, late=(2e-4, 2e-4)):
    """Input, a Delay, weights, LIF, and then `nodes` or weights; as a chain."""
    nir = pytest.importorskip("nir")
    ones = np.ones(2)
    lif = nir.LIF(tau=2e-4 * ones, r=ones, v_leak=0 * ones, v_threshold=ones, v_reset=0 * ones)
    weights = lambda: nir.Affine(np.ones((2, 2)), 0 * ones)  # noqa: E731
    return nir.NIRGraph.from_list(nir.Delay(np.asarray(late)), weights(), lif, *(nodes or [weights()]))


def test_every_input_may_have_a_delay_of_its_own():
    (layer,) = from_nir(delayed(late=[1e-4, 3e-4])).hidden.layers()
    assert layer.delays == (1, 3)
    expected = torch.tensor([[0.5, 0.5], [0.0, 0.0], [0.0, 0.0], [0.5, 0.5]], dtype=torch.float64)
    assert torch.equal(layer.weight, expected)
    assert from_nir(delayed(late=[2e-4, 2e-4])).hidden.branches[0].last.delays == (2,)


@pytest.mark.parametrize("late", [[1.5e-4, 1e-4], [-1e-4, 1e-4], [1e-4, 1.00001e-4]])
def test_delays_that_are_no_steps_are_refused(late):
    with pytest.raises(ValueError, match="delay that is not a whole number of steps"):
        from_nir(delayed(late=late))


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (lambda nir: nir.I(np.ones(2)), "must add 1 for each spike"),
        (lambda nir: nir.Delay(np.full(2, 1e-4)), "is delayed on the way to the output"),
    ],
)
def test_what_lies_before_the_output_is_a_count_or_refused(node, message):
    nir = pytest.importorskip("nir")
    with pytest.raises(ValueError, match=message):
        from_nir(delayed(node(nir), nir.Affine(np.ones((1, 2)), np.zeros(1))))


def test_every_input_needs_a_delay_where_some_have_one():
    graph = delayed()
    graph.nodes["delay"].delay = np.full(3, 1e-4)
    with pytest.raises(ValueError, match="affine has 2 inputs, but 3 delays"):
        from_nir(graph)


def test_weights_that_are_summed_at_the_same_neurons_are_one_layer():
    nir = pytest.importorskip("nir")
    graph = delayed()
    graph.nodes["beside"] = nir.Affine(np.ones((2, 2)), np.ones(2))
    first, _ = next(edge for edge in graph.edges if graph.nodes[edge[1]] is graph.nodes["lif"])
    graph.edges += [("input", "beside"), ("beside", "lif")]
    (layer,) = from_nir(graph).hidden.layers()
    assert layer.delays == (0, 2)
    assert torch.equal(layer.weight, torch.full((4, 2), 0.5, dtype=torch.float64))
    assert torch.equal(layer.bias, torch.full((2,), 0.5, dtype=torch.float64))
    graph.nodes[first].weight = np.ones((2, 3))
    with pytest.raises(ValueError, match="weights of different shapes"):
        from_nir(graph)


def test_delays_that_lead_back_to_themselves_are_refused():
    nir = pytest.importorskip("nir")
    graph = delayed()
    graph.nodes |= {"one": nir.Delay(np.full(2, 1e-4)), "two": nir.Delay(np.full(2, 1e-4))}
    graph.edges += [("input", "one"), ("one", "two"), ("two", "one")]
    with pytest.raises(ValueError, match="one leads back to itself"):
        from_nir(graph)
