"""Exported networks spike for spike against the real packages: random and dyadic (tie-rich) weights."""

import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from convexsnn import LIF, Branch, Hidden, Layer, Network, Sequences, Threshold, simulate
from convexsnn.cli.app import run
from convexsnn.export import from_nir, from_torch, to_nir, to_norse, to_snntorch, to_spikingjelly, to_torch
from convexsnn.reading import DamagedFileError
from convexsnn.simulation import initial_state, read, scores, step
from convexsnn.surrogate import SurrogateShape
from convexsnn.surrogate.module import Gradients
from helpers import assert_gradients_are_those_of_the_trainer, assert_scripts_compiles_and_exports, generator

TARGETS = {
    "torch": (to_torch, "torch", ("soft", "hard", "none", "delayed", "threshold")),
    "snntorch": (to_snntorch, "snntorch", ("soft", "hard", "none", "delayed", "threshold")),
    "spikingjelly": (to_spikingjelly, "spikingjelly.activation_based", ("soft", "hard", "threshold")),
    "norse": (to_norse, "norse.torch", ("soft", "hard", "none", "delayed", "threshold")),
}
CASES = [(target, reset) for target, (_, _, resets) in TARGETS.items() for reset in resets]
T, N, D = 15, 40, 6


def draw(reset, *, dyadic, recurrent=False, leak=0.9, mixed=False, readout="spike", dtype=torch.float64, seed=0, C=3):
    """Two branches of two layers; `mixed` gives every neuron its own leak and threshold."""
    g = generator(seed)

    def weights(*shape):
        drawn = torch.randn(*shape, generator=g, dtype=torch.float64)
        return ((4 * drawn).round() / 8 if dyadic else 0.4 * drawn).to(dtype)

    def layer(n_in, m):
        pick = lambda values: torch.tensor(values, dtype=dtype)[torch.randint(len(values), (m,), generator=g)]  # noqa: E731
        leaks = pick([0.0, 0.5, 0.75, 0.875] if mixed else [leak])
        thresholds = pick([0.25, 0.5, 1.0] if mixed else [0.5])
        neuron = Threshold() if reset == "threshold" else LIF(leaks, thresholds, reset)
        return Layer(weights(n_in, m), neuron, 0.25 * weights(m, m) if recurrent else None, 0.5 * weights(m))

    branches = tuple(
        Branch((layer(D, 20), layer(20, 16)), weights(16) if readout == "membrane" else None) for _ in range(2)
    )
    W = torch.randn(32, C, generator=g, dtype=torch.float64)
    return Network(Hidden(D, branches, readout, True, dtype), W)


def inputs(*, dyadic, dtype=torch.float64, seed=1):
    g = generator(seed)
    return (torch.randint(2, (T, N, D), generator=g) if dyadic else torch.randn(T, N, D, generator=g)).to(dtype)


def spikes_of(network, X):
    """All spikes of all layers, (T, n, neurons), and the features at every step."""
    state, spikes, features = initial_state(network.hidden, X.shape[1]), [], []
    for x in X:
        state = step(network.hidden, x, state).state
        spikes.append(torch.cat([layer.spikes for branch in state.branches for layer in branch.layers], dim=1))
        features.append(read(network.hidden, state)[0].to(X.dtype))
    return torch.stack(spikes), torch.stack(features)


def state_spikes(module, state):
    """The spikes in the state of an exported module, as the network has them: branch by branch, layer by layer."""
    found, start = {}, 0
    for branch in module.branches:
        for i, sizes in enumerate(branch.blocks):
            parts = state[start + 3 * i + 1].split(sizes, dim=1)  # the second of a layer's three tensors
            found |= {(number, i): part for number, part in zip(branch.numbers, parts, strict=True)}
        start += branch.size
    return [found[place] for place in sorted(found)]


@torch.no_grad()
def exported_spikes(module, X):
    state, spikes, features = None, [], []
    for x in X:
        read_now, state = module.features(x[None], state)
        spikes.append(torch.cat(state_spikes(module, state), dim=1))
        features.append(read_now[0])
    return torch.stack(spikes), torch.stack(features)


def check_alike(network, module, X, *, ties=False):
    """Compare 2 * 36 neurons in every step of every sequence; returns how many spikes were compared."""
    expected, features = spikes_of(network, X)
    got, got_features = exported_spikes(module, X)
    assert 0.02 < float(expected.mean()) < 0.98
    assert int((got != expected).sum()) == 0
    assert torch.allclose(got_features, features, rtol=0.0, atol=1e-9 if X.dtype == torch.float64 else 1e-3)
    if ties:
        lengths = torch.full((X.shape[1],), len(X))
        assert simulate(network.hidden, Sequences(X.transpose(0, 1), lengths)).margin == 0.0
    return expected.numel()


@pytest.mark.parametrize(("target", "reset"), CASES)
def test_spike_for_spike(target, reset):
    export, package, _ = TARGETS[target]
    pytest.importorskip(package)
    compared = 0
    for dyadic in (False, True):
        for leak in (0.5, 0.9):
            network = draw(reset, dyadic=dyadic, leak=leak, recurrent=leak == 0.9)
            compared += check_alike(network, export(network), inputs(dyadic=dyadic), ties=dyadic and leak == 0.5)
        mixed = draw(reset, dyadic=dyadic, mixed=True, recurrent=True, readout="membrane", seed=2)
        compared += check_alike(mixed, export(mixed), inputs(dyadic=dyadic))
        single = draw(reset, dyadic=dyadic, leak=0.75, readout="analog", dtype=torch.float32, seed=3)
        compared += check_alike(single, export(single), inputs(dyadic=dyadic, dtype=torch.float32))
    assert compared >= 300_000  # at least two resets a target


def with_threshold(network, threshold):
    """The same weights, every neuron with this threshold."""
    branches = []
    for branch in network.hidden.branches:
        same = [torch.full_like(layer.neuron.threshold, threshold) for layer in branch.layers]
        neurons = [replace(layer.neuron, threshold=own) for layer, own in zip(branch.layers, same, strict=True)]
        layers = [replace(layer, neuron=neuron) for layer, neuron in zip(branch.layers, neurons, strict=True)]
        branches.append(replace(branch, layers=tuple(layers)))
    return replace(network, hidden=replace(network.hidden, branches=tuple(branches)))


@pytest.mark.parametrize(("target", "reset"), [case for case in CASES if case[1] != "threshold"])
@pytest.mark.parametrize("threshold", [0.0, -0.25])
def test_thresholds_that_are_not_positive_are_exact_or_refused(target, reset, threshold):
    export, package, _ = TARGETS[target]
    pytest.importorskip(package)
    network = with_threshold(draw(reset, dyadic=True, leak=0.5), threshold)
    if (target != "torch" and reset == "delayed") or (target, reset, threshold) == ("snntorch", "soft", -0.25):
        with pytest.raises(ValueError, match="thresholds only"):
            export(network)
    else:
        check_alike(network, export(network), inputs(dyadic=True))


@pytest.mark.parametrize("target", ["torch", "snntorch", "spikingjelly"])
@pytest.mark.parametrize("leak", [0.0, 1.0])
def test_the_ends_of_the_leak(target, leak):
    export, package, _ = TARGETS[target]
    pytest.importorskip(package)
    for reset in ("soft", "hard"):
        network = draw(reset, dyadic=True, leak=leak)
        check_alike(network, export(network), inputs(dyadic=True), ties=True)


@pytest.mark.parametrize("every_step", [False, True])
@pytest.mark.parametrize("readout", ["spike", "membrane", "analog"])
def test_outputs_are_those_of_the_network(readout, every_step):
    network = draw("soft", dyadic=False, readout=readout)
    network = replace(network, hidden=replace(network.hidden, every_step=every_step))
    X = inputs(dyadic=False)
    expected = scores(network, Sequences(X.transpose(0, 1), torch.full((N,), T)))
    with torch.no_grad():
        y, _ = to_torch(network)(X)
    assert torch.allclose(y.transpose(0, 1).flatten(0, 1) if every_step else y, expected)


def test_state_goes_on_where_it_ended():
    module, X = to_torch(draw("soft", dyadic=False, recurrent=True)), inputs(dyadic=False)
    whole, end = module(X)
    first, state = module(X[:7])
    second, also_end = module(X[7:], state)
    assert torch.equal(torch.cat([first, second]), whole)
    assert all(map(torch.equal, end, also_end))


@pytest.mark.parametrize("every_step", [False, True])
@pytest.mark.parametrize("target", TARGETS)
def test_the_batch_may_come_first(target, every_step):
    export, package, _ = TARGETS[target]
    pytest.importorskip(package)
    network, X = draw("soft", dyadic=True, leak=0.5), inputs(dyadic=True)
    network = replace(network, hidden=replace(network.hidden, every_step=every_step))
    with torch.no_grad():
        y, state = export(network)(X)
        other, other_state = export(network, batch_first=True)(X.transpose(0, 1))
    assert torch.equal(other.transpose(0, 1) if every_step else other, y)
    assert all(map(torch.equal, other_state, state))


@pytest.mark.parametrize("reset", ["soft", "hard", "none", "delayed"])
def test_torch_module_can_be_scripted_compiled_and_exported(reset):
    module = to_torch(draw(reset, dyadic=False, recurrent=True, readout="membrane"))
    assert_scripts_compiles_and_exports(module, inputs(dyadic=False)[:3])


@pytest.mark.parametrize("shape", ["arctan", "straight_through"])
def test_torch_module_has_the_gradients_of_the_trainer(shape):
    from convexsnn.surrogate.module import TrainableNetwork

    network = draw("soft", dyadic=False, recurrent=True, readout="membrane")
    gradients = Gradients(SurrogateShape(shape, 0.5), detach_reset=False, learn_leak=True, learn_threshold=True)
    module, trainer = to_torch(network, gradients), TrainableNetwork(network, gradients, torch.float64)
    X = inputs(dyadic=False)[:6, :5]
    module(X)[0].transpose(0, 1).flatten(0, 1).square().sum().backward()
    trainer(X.transpose(0, 1), torch.full((5,), 6)).square().sum().backward()
    assert len(module.branches) == 1
    assert_gradients_are_those_of_the_trainer(module, trainer)


@pytest.mark.parametrize("reset", TARGETS["torch"][2])
def test_round_trip_through_torch_is_exact(reset):
    network = draw(reset, dyadic=False, recurrent=True, mixed=True, readout="membrane")
    assert from_torch(to_torch(network)).equals(network)


def test_from_torch_reads_a_stack_with_its_output_bias():
    module = torch.nn.Sequential(torch.nn.Linear(D, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
    network = from_torch(module, leak=0.5, threshold=0.2)
    X = inputs(dyadic=False)
    sequences = Sequences(X.transpose(0, 1), torch.full((N,), T))
    hidden = replace(network.hidden, branches=network.hidden.branches[:1])
    expected = simulate(hidden, sequences).features.double() @ module[2].weight.double().T + module[2].bias.double()
    assert torch.allclose(scores(network, sequences), expected)


def test_from_torch_takes_no_recurrent_weights_for_the_output():
    snn = pytest.importorskip("snntorch")
    module = torch.nn.Sequential(torch.nn.Linear(D, 4), snn.RLeaky(0.8, linear_features=4))
    with pytest.raises(ValueError, match=r"ends in 1 \(RLeaky\)"):
        from_torch(module)
    with pytest.raises(ValueError, match="Softmax"):
        from_torch(torch.nn.Sequential(torch.nn.Linear(D, 4), torch.nn.Linear(4, 4), torch.nn.Softmax(1)), leak=0.5)


def two_batches(module):
    """The second with its axes exchanged."""
    _, state = module(torch.zeros(T, N, D).double())
    module(torch.zeros(N, T, D).double(), state)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: to_spikingjelly(draw("none", dyadic=False)), "no neuron with reset 'none'"),
        (lambda: to_spikingjelly(draw("delayed", dyadic=False)), "no neuron with reset 'delayed'"),
        (lambda: to_norse(draw("soft", dyadic=False, leak=1.0)), "leak 1"),
        (
            lambda: to_torch(Network(replace(draw("soft", dyadic=False).hidden, branches=()), torch.zeros(0, 3))),
            "no neurons",
        ),
        (lambda: from_torch(to_torch(draw("soft", dyadic=False)), leak=0.5), "brings its own"),
        (lambda: to_torch(draw("soft", dyadic=False))(torch.zeros(3, D).double()), "time first"),
        (
            lambda: to_torch(draw("soft", dyadic=False))(torch.zeros(N, D, T).double()),
            "its last axis has 15",
        ),
        (lambda: to_torch(draw("soft", dyadic=False), batch_first=True)(torch.zeros(3, D).double()), "batch first"),
        (lambda: to_torch(draw("soft", dyadic=False))(torch.zeros(T, N, D)), "x is .*float32, but the module computes"),
        (lambda: to_torch(draw("soft", dyadic=False))(torch.zeros(T, N, D).double(), []), "what this module returned"),
        (lambda: to_torch(draw("soft", dyadic=False), batch_first=1), "batch_first must be"),
        (lambda: two_batches(to_torch(draw("soft", dyadic=False))), r"state is of 40 sequences, but x, .* has n = 15"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_hidden_network_is_not_a_network():
    with pytest.raises(TypeError, match=r"convexsnn.Network"):
        to_torch(draw("soft", dyadic=False).hidden)


# NIR


def identity_output(network):
    return replace(network, W=torch.eye(32, dtype=torch.float64))


def read_by(name, graph):
    if name == "snntorch":
        return pytest.importorskip("snntorch.import_nir").import_from_nir(graph)
    if name == "spikingjelly":
        return pytest.importorskip("spikingjelly.activation_based.nir_exchange").import_from_nir(graph)
    return pytest.importorskip("norse.torch").from_nir(graph, dt=1e-4)


@torch.no_grad()
def run_steps(module, X):
    state, outputs = None, []
    for x in X:
        y, state = module(x, state)
        outputs.append(y)
    return torch.stack(outputs)


IMPORTERS = ["snntorch", "spikingjelly", "norse"]


def count_read_alike(read, networks, path, **settings):
    """Write each network, read it back, run both in float32; returns how many spikes were compared."""
    nir = pytest.importorskip("nir")
    compared = 0
    for seed, (network, dyadic) in enumerate(networks):
        nir.write(path / "graph.nir", to_nir(identity_output(network), **settings))
        module = read(nir.read(path / "graph.nir"))
        X = inputs(dyadic=dyadic, dtype=torch.float32, seed=seed)
        expected = spikes_of(network, X)[1]
        assert 0.02 < float(expected.mean()) < 0.98
        assert int((run_steps(module, X).round() != expected).sum()) == 0
        compared += expected.numel()
    return compared


def single(reset, leaks, seeds, **settings):
    """Networks in float32 with random and with dyadic weights."""
    for leak in leaks:
        for dyadic in (False, True):
            for seed in range(seeds):
                yield draw(reset, dyadic=dyadic, leak=leak, dtype=torch.float32, seed=seed, **settings), dyadic


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", IMPORTERS)
@pytest.mark.parametrize("reset", ["hard", "none"])
def test_nir_graphs_are_read_alike_by_importers(name, reset, tmp_path):
    read = lambda graph: read_by(name, graph)  # noqa: E731
    assert count_read_alike(read, single(reset, (0.5, 0.9), 6), tmp_path) >= 400_000


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("reset", ["hard", "none"])
@pytest.mark.parametrize(("name", "mixed"), [("spikingjelly", False), ("norse", False), ("norse", True)])
def test_nir_graphs_with_recurrence_and_mixed_neurons_are_read_alike(name, mixed, reset, tmp_path):
    read = lambda graph: read_by(name, graph)  # noqa: E731
    count_read_alike(read, single(reset, (0.75,), 2, recurrent=True, mixed=mixed), tmp_path)


class Integrator(torch.nn.Module):
    """A leaky integrator by Euler steps of 1e-4, for nirtorch's interpreter."""

    def __init__(self, node):
        super().__init__()
        self.share, self.r = torch.from_numpy(1e-4 / node.tau), torch.from_numpy(node.r)

    def forward(self, x, state=None):
        v = torch.zeros_like(x) if state is None else state
        v = v + self.share * (self.r * x - v)
        return v, v


class Fires(torch.nn.Module):
    def __init__(self, node):
        super().__init__()
        self.threshold = torch.from_numpy(node.threshold)

    def forward(self, v):
        return (v > self.threshold).to(v.dtype)


def as_linear(node):
    weight = torch.from_numpy(node.weight)
    linear = torch.nn.Linear(weight.shape[1], weight.shape[0], dtype=weight.dtype)
    with torch.no_grad():
        linear.weight.copy_(weight)
        linear.bias.copy_(torch.from_numpy(getattr(node, "bias", np.zeros(len(weight)))))
    return linear


@pytest.mark.parametrize("reset", ["soft", "delayed"])
@pytest.mark.parametrize("recurrent", [False, True])
def test_the_subgraph_of_a_soft_reset_runs_alike(reset, recurrent, tmp_path):
    """No importer knows its nodes, so nirtorch runs the graph with the definitions of the nodes."""
    nir, nirtorch = pytest.importorskip("nir"), pytest.importorskip("nirtorch")
    nodes = {nir.LI: Integrator, nir.Threshold: Fires, nir.Affine: as_linear, nir.Linear: as_linear}
    read = lambda graph: nirtorch.nir_to_torch(graph, nodes)  # noqa: E731
    networks = single(reset, (0.5,), 6, recurrent=recurrent)
    assert count_read_alike(read, networks, tmp_path, soft_reset="subgraph") >= 200_000


@pytest.mark.parametrize("reset", ["soft", "hard", "none", "delayed", "threshold"])
@pytest.mark.parametrize("recurrent", [False, True])
def test_nir_round_trip_spikes_alike(reset, recurrent, tmp_path):
    nir = pytest.importorskip("nir")
    for mixed in (False, True):
        if mixed and reset == "delayed":
            continue
        network = identity_output(draw(reset, dyadic=True, leak=0.75, mixed=mixed, recurrent=recurrent))
        nir.write(tmp_path / "graph.nir", to_nir(network, soft_reset="subgraph", dtype="float64"))
        back = from_nir(nir.read(tmp_path / "graph.nir"))
        assert back.hidden.every_step
        X = inputs(dyadic=True)
        assert torch.equal(spikes_of(back, X)[1], spikes_of(network, X)[1])
        if reset != "threshold":
            assert back.hidden.branches[0].last.neuron.reset == reset


def test_nir_round_trip_keeps_outputs_and_settings():
    pytest.importorskip("nir")
    network = draw("none", dyadic=True, leak=0.5, readout="analog")
    back = from_nir(to_nir(network, dtype="float64"))
    assert back.hidden.readout.name == "analog"
    expected = torch.cat([branch.last.neuron.threshold for branch in network.hidden.branches])
    neuron = LIF(torch.full((32,), 0.5).double(), expected, "none")
    assert back.hidden.branches[0].last.neuron.equals(neuron)
    sequences = Sequences(inputs(dyadic=True).transpose(0, 1), torch.full((N,), T))
    assert torch.allclose(scores(back, sequences), scores(network, sequences))


def test_branches_of_unequal_depth_stay_parallel_chains():
    pytest.importorskip("nir")
    network = draw("hard", dyadic=True, leak=0.5)
    first, second = network.hidden.branches
    short = Branch((replace(second.layers[0], weight=second.layers[0].weight),))
    hidden = replace(network.hidden, branches=(first, short))
    uneven = Network(hidden, torch.randn(36, 2, generator=generator(5), dtype=torch.float64))
    back = from_nir(to_nir(uneven, dtype="float64"))
    assert [len(branch.layers) for branch in back.hidden.branches] == [2, 1]
    sequences = Sequences(inputs(dyadic=True).transpose(0, 1), torch.full((N,), T))
    assert torch.allclose(scores(back, sequences), scores(uneven, sequences))


@pytest.mark.parametrize(
    ("settings", "keywords", "message"),
    [
        ({"reset": "soft"}, {}, "resets to a value, not by subtraction"),
        ({"reset": "delayed"}, {}, "resets to a value"),
        ({"reset": "hard", "readout": "membrane"}, {}, "membrane readout"),
        ({"reset": "hard", "readout": "analog"}, {}, "analog readout"),
        ({"reset": "none", "leak": 1.0}, {}, "leak 1"),
        ({"reset": "hard"}, {"dt": 0.0}, "dt"),
        ({"reset": "hard"}, {"soft_reset": "graph"}, "soft_reset must be one of"),
        ({"reset": "hard"}, {"dtype": "float16"}, "dtype must be one of"),
    ],
)
def test_what_nir_cannot_express_is_refused(settings, keywords, message):
    pytest.importorskip("nir")
    reset = settings.pop("reset")
    with pytest.raises(ValueError, match=message):
        to_nir(draw(reset, dyadic=False, **settings), **keywords)


def chain(neurons=None, *, dtype=np.float64, m=3):
    """Input, weights, neurons, weights, Output; `neurons` overrides their parameters."""
    nir = pytest.importorskip("nir")
    ones = np.ones(m, dtype=dtype)
    lif = nir.LIF(tau=np.full(m, 2e-4), r=ones, v_leak=0 * ones, v_threshold=ones, v_reset=0 * ones)
    for name, value in (neurons or {}).items():
        setattr(lif, name, value)
    weight = np.arange(1.0, 1.0 + m * 2).reshape(m, 2).astype(dtype) / 4
    return nir.NIRGraph.from_list(nir.Affine(weight, ones), lif, nir.Affine(ones[None], np.zeros(1, dtype=dtype)))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64])
def test_nir_arrays_of_any_precision_tensors_and_numbers_for_all_are_read_alike(dtype):
    expected = from_nir(chain())
    again = from_nir(chain(dtype=dtype)) if dtype != np.int64 else from_nir(chain({"r": np.ones(3, dtype)}))
    assert torch.allclose(again.W, expected.W)
    for a, b in zip(again.hidden.layers(), expected.hidden.layers(), strict=True):
        assert torch.allclose(a.weight, b.weight)
        assert torch.allclose(a.neuron.threshold, b.neuron.threshold)
    for kind in (torch.float64, torch.bfloat16):
        tensors = from_nir(chain({"r": torch.ones(3, dtype=kind, requires_grad=True), "v_threshold": np.float64(1.0)}))
        assert tensors.equals(expected)


@pytest.mark.parametrize(
    ("neurons", "message"),
    [
        ({"tau": np.full(3, 5e-5)}, r"tau 5e-05 s, less than a step of dt=0.0001 s.*Pass a dt"),
        ({"r": np.ones(2)}, r"graph: r of lif must be one number or 3, got shape \(2,\)"),
        ({"r": b"ones"}, "graph: r of lif must be real numbers"),
        ({"r": np.ones(3) * 1j}, "graph: r of lif must be real numbers"),
        ({"v_threshold": np.full(3, np.nan)}, "graph: v_threshold of lif must be finite"),
        ({"v_leak": None, "v_reset": np.ones(3)}, "v_reset other than 0"),
        ({"tau": torch.ones(3, device="meta")}, "graph: tau of lif is a tensor on the device meta"),
    ],
)
def test_nir_parameters_that_do_not_fit_are_named(neurons, message):
    with pytest.raises(ValueError, match=message):
        from_nir(chain(neurons))


def test_nir_files_are_read_by_path_and_name_what_is_wrong(tmp_path):
    nir = pytest.importorskip("nir")
    path = tmp_path / "graph.nir"
    nir.write(path, chain())
    assert from_nir(path).equals(from_nir(chain()))
    assert from_nir(str(path)).equals(from_nir(chain()))
    with pytest.raises(DamagedFileError, match="there is no such file"):
        from_nir(tmp_path / "none.nir")
    with pytest.raises(DamagedFileError, match="a folder, a device or a pipe"):
        from_nir("/dev/zero")
    path.write_bytes(b"not HDF5")
    with pytest.raises(DamagedFileError, match="no HDF5 file"):
        from_nir(path)
    nir.write(path, chain({"tau": np.full(3, 5e-5)}))
    with pytest.raises(DamagedFileError, match=r"graph\.nir cannot be read: graph: .*tau 5e-05"):
        from_nir(path)
    nir.write(path, nir.Affine(np.ones((2, 2)), np.ones(2)))
    with pytest.raises(DamagedFileError, match="graph: "):
        from_nir(path)


def test_a_nir_file_that_claims_more_than_it_stores_is_refused_before_memory_is_taken(tmp_path):
    pytest.importorskip("nir")
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "bomb.nir"
    with h5py.File(path, "w") as file:
        file.create_dataset("node/weight", shape=(1 << 40,), dtype="f8", chunks=(1 << 20,))
    with pytest.raises(DamagedFileError, match="arrays: it claims 8796093022208 bytes"):
        from_nir(path)
    with h5py.File(path, "w") as file:
        file["node"] = h5py.ExternalLink("/etc/passwd", "/")
    with pytest.raises(DamagedFileError, match="is a link"):
        from_nir(path)


@pytest.mark.parametrize("graph", [None, 3, {"nodes": {}}, torch.nn.Linear(2, 2)])
def test_what_is_no_nir_graph_is_refused(graph):
    with pytest.raises(ValueError, match=r"graph must be a nir\.NIRGraph or the path of its file"):
        from_nir(graph)


def test_foreign_nir_graphs_are_refused_by_name():
    nir = pytest.importorskip("nir")
    ones = np.ones(3)
    lif = nir.LIF(tau=2e-4 * ones, r=ones, v_leak=ones, v_threshold=ones, v_reset=0 * ones)
    weights = lambda: nir.Affine(np.ones((3, 3)), np.zeros(3))  # noqa: E731
    for nodes, message in [
        ([weights(), lif, weights()], "v_leak"),
        ([weights()], "followed by no neurons"),
        ([weights(), weights(), nir.LIF(2e-4 * ones, ones, 0 * ones, ones)], "followed by no neurons"),
        ([weights(), nir.Scale(ones)], "is a Scale; only"),
    ]:
        with pytest.raises(ValueError, match=message):
            from_nir(nir.NIRGraph.from_list(*nodes))


def test_the_commands_of_the_page_run(tmp_path, monkeypatch):
    pytest.importorskip("nir")
    page = (Path(__file__).parents[1] / "docs" / "export.md").read_text()
    commands = [shlex.split(line, comments=True) for line in page.splitlines() if line.startswith("convexsnn ")]
    assert [command[1] for command in commands] == ["fit", "export", "export"]
    monkeypatch.chdir(tmp_path)
    for command in commands:
        quick = ["--effort", "2e8"] if command[1] == "fit" else []
        assert run([*command[1:], *quick]) == 0
    assert (tmp_path / "xor.nir").is_file()
    assert (tmp_path / "xor.safetensors").is_file()
