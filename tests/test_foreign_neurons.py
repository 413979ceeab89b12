"""Neurons of snnTorch and SpikingJelly read as ours: spike for spike, as the real packages run them."""

import copy
from dataclasses import fields

import numpy as np
import pytest
import torch
from torch import nn

from convexsnn import Branch, Hidden, Layer, Network, SpikingClassifier, as_sequences, simulate
from convexsnn.bounds import NetworkFamily
from convexsnn.export import from_torch, to_nir, to_norse, to_snntorch, to_spikingjelly, to_torch
from convexsnn.neurons import LIF, Alpha, Synaptic
from convexsnn.reconstruction import quantise
from convexsnn.storage import load_model, save_model
from convexsnn.verification import verify
from convexsnn.witnesses import fold_batch_norms, pretrained
from convexsnn.witnesses.foreign import foreign_kind

N, T, D, WIDTHS = 80, 15, 3, (16, 12)


def snn(name, **settings):
    """A maker of snnTorch neurons; decays and thresholds that are named "each" are one a neuron."""

    def make(m):
        kind = getattr(pytest.importorskip("snntorch"), name)
        own = {key: 0.2 + 0.7 * torch.rand(m) if value == "each" else value for key, value in settings.items()}
        return kind(**own | ({"linear_features": m} if own.pop("all", False) else {}))

    return make


def jelly(name, **settings):
    return lambda m: getattr(pytest.importorskip("spikingjelly.activation_based.neuron"), name)(**settings)  # noqa: ARG005


SYNAPTIC = {"alpha": "each", "beta": "each", "threshold": 0.6}
MAKERS = {
    "Leaky": (snn("Leaky", beta="each", threshold="each"), LIF),
    "Lapicque of beta": (snn("Lapicque", beta=0.8, threshold=0.15), LIF),
    "Lapicque of a circuit": (snn("Lapicque", R=2.0, C=1.7, time_step=0.9, threshold=0.3), LIF),
    "Lapicque without reset": (snn("Lapicque", R=3.0, C=1.1, threshold=0.3, reset_mechanism="none"), LIF),
    "ParametricLIFNode": (jelly("ParametricLIFNode", init_tau=2.7, v_threshold=0.2), LIF),
    "ParametricLIFNode, soft": (
        jelly("ParametricLIFNode", init_tau=1.3, decay_input=False, v_reset=None, v_threshold=0.4),
        LIF,
    ),
    "RLeaky, own spikes": (snn("RLeaky", beta=0.8, all_to_all=False, V="each", threshold=0.4), LIF),
    "RLeaky, one weight": (snn("RLeaky", beta=0.8, all_to_all=False, V=-0.5, threshold=0.4), LIF),
    "Synaptic": (snn("Synaptic", **SYNAPTIC), Synaptic),
    "Synaptic to zero": (snn("Synaptic", **SYNAPTIC, reset_mechanism="zero"), Synaptic),
    "Synaptic to zero at once": (snn("Synaptic", **SYNAPTIC, reset_mechanism="zero", reset_delay=False), Synaptic),
    "Synaptic without reset": (snn("Synaptic", **SYNAPTIC, reset_mechanism="none"), Synaptic),
    "RSynaptic": (snn("RSynaptic", alpha=0.6, beta=0.7, all=True), Synaptic),
    "RSynaptic to zero": (snn("RSynaptic", alpha=0.6, beta=0.7, all=True, reset_mechanism="zero"), Synaptic),
    "RSynaptic, own spikes": (snn("RSynaptic", alpha=0.6, beta=0.7, all_to_all=False, V="each"), Synaptic),
    "Alpha": (snn("Alpha", alpha=0.9, beta=0.6, threshold=0.2), Alpha),
    "Alpha without reset": (snn("Alpha", alpha=0.8, beta=0.7, threshold=0.2, reset_mechanism="none"), Alpha),
}


def network(make, dtype=torch.float64):
    parts = []
    for n_in, m in zip((D, *WIDTHS), WIDTHS, strict=False):
        parts += [nn.Linear(n_in, m), make(m)]
    return nn.Sequential(*parts, nn.Linear(WIDTHS[-1], 2)).to(dtype)


def inputs(seed=0, n=N):
    return 2.0 * torch.from_numpy(np.random.default_rng(seed).normal(size=(n, T, D)))


@torch.no_grad()
def spikes_of(module, x):
    """Spikes of the last layer of neurons (n, T, m), step by step in the package itself."""
    module = copy.deepcopy(module)
    layers = list(module[:-1])
    for part in layers:
        if (kind := foreign_kind(part)) is not None:
            kind.begin(part)
    steps = []
    for t in range(x.shape[1]):
        h = x[:, t]
        for part in layers:
            h = part.to(x.dtype)(h.to(x.dtype))  # snnTorch keeps spikes in float32
        steps.append(h)
    return torch.stack(steps, dim=1)


@pytest.mark.parametrize("what", MAKERS)
def test_spikes_are_those_of_the_package(what):
    make, kind = MAKERS[what]
    torch.manual_seed(1)
    module, x = network(make), inputs()
    hidden = pretrained(module, every_step=True)
    assert {type(layer.neuron) for layer in hidden.layers()} == {kind}
    spikes = simulate(hidden, as_sequences(x.numpy())).features.reshape(N, T, WIDTHS[-1])
    expected = spikes_of(module, x) > 0.5
    assert spikes.numel() > 10_000
    assert 0.02 < float(expected.double().mean()) < 0.98
    assert int((spikes != expected).sum()) == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (snn("Lapicque", beta=0.8, reset_mechanism="zero"), "zeroes its input too"),
        (snn("Lapicque", R=0.5, C=1.0), r"after 0 \(Linear\) are not supported: leak must lie in \[0, 1\]"),
        (snn("Synaptic", **SYNAPTIC, reset_delay=False), "without delay"),
        (snn("RSynaptic", alpha=0.6, beta=0.7, all=True, reset_mechanism="zero", reset_delay=False), "without delay"),
        (
            snn("Alpha", alpha=0.9, beta=0.6, reset_mechanism="subtract"),
            "subtracts its threshold from one of its two currents",
        ),
        (snn("RLeaky", beta=0.9, conv2d_channels=1, kernel_size=3), "padding"),
    ],
)
def test_what_no_neuron_of_ours_does_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        pretrained(network(make))


@pytest.mark.parametrize("what", ["Synaptic", "RSynaptic", "Alpha"])
def test_new_kinds_are_fitted_verified_and_kept(what, tmp_path):
    torch.manual_seed(0)
    hidden, x = pretrained(network(MAKERS[what][0])), inputs(1).numpy()
    y = (x[:, 0, 0] > 0).astype(int)
    model = SpikingClassifier(witnesses=hidden, loss="hinge", rho=0.02).fit(x, y)
    assert model.certificate_.holds(1e-6)
    assert 0.0 < model.certificate_.global_bound.value <= model.certificate_.primal
    assert verify(model.trained_, model.certificate_, model.problem(x, y)).holds
    save_model(model, tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors")[0]
    assert again.network_.equals(model.network_)
    assert np.array_equal(again.predict(x), model.predict(x))


def test_states_go_on_where_they_ended():
    torch.manual_seed(0)
    for what in ("Synaptic", "Alpha"):
        hidden, x = pretrained(network(MAKERS[what][0])), inputs(2).numpy()
        whole = simulate(hidden, as_sequences(x))
        first = simulate(hidden, as_sequences(x[:, :7]))
        assert torch.equal(simulate(hidden, as_sequences(x[:, 7:]), first.state).features, whole.features)


@pytest.mark.parametrize(
    ("kind", "field"), [(Synaptic, "leak"), (Synaptic, "synapse_leak"), (Alpha, "excitation_leak"), (Alpha, "gain")]
)
def test_bad_values_are_refused_by_name(kind, field):
    good = {own.name: torch.full((2,), 0.5) for own in fields(kind) if own.name != "reset"}
    kind(**good)
    with pytest.raises(ValueError, match=rf"^{field} must"):
        kind(**good | {field: torch.tensor([0.5, float("nan")])})
    with pytest.raises(ValueError, match="reset must be one of"):
        kind(**good, reset="soft")


def normalised(dtype=torch.float64, make=snn("Leaky", beta=0.8), **settings):  # noqa: B008
    torch.manual_seed(0)
    first, second = nn.BatchNorm1d(WIDTHS[0], **settings), nn.BatchNorm1d(WIDTHS[1], affine=False)
    module = nn.Sequential(
        nn.Linear(D, WIDTHS[0], bias=False), first, make(WIDTHS[0]),
        nn.Linear(*WIDTHS), second, make(WIDTHS[1]), nn.Linear(WIDTHS[1], 2),
    )  # fmt: skip
    for norm in (first, second):
        if norm.running_mean is not None:
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2.0)
    if first.affine:
        nn.init.normal_(first.weight)
        nn.init.normal_(first.bias)
    return module.to(dtype).eval()


@pytest.mark.parametrize("make", [snn("Leaky", beta=0.8), jelly("LIFNode", tau=2.0, v_threshold=0.3)])
def test_batch_normalisation_is_folded_and_spikes_stay(make):
    module, x = normalised(make=make), inputs()
    before = copy.deepcopy(module.state_dict())
    folded = fold_batch_norms(module, x.numpy())
    assert not any(isinstance(part, nn.BatchNorm1d) for part in folded.modules())
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    spikes = simulate(pretrained(folded, every_step=True), as_sequences(x.numpy())).features
    assert torch.equal(spikes.reshape(N, T, -1), spikes_of(module, x) > 0.5)


def test_batch_normalisation_that_changes_a_spike_is_refused():
    """Every threshold is between the potential of the module and that of the folded weights, which round otherwise."""
    torch.manual_seed(0)
    linear, norm = nn.Linear(D, 64), nn.BatchNorm1d(64).eval()
    norm.running_var.fill_(1.0 / 3.0)
    ones = torch.ones(1, D)
    leaky = pytest.importorskip("snntorch").Leaky(0.5)
    folded = fold_batch_norms(nn.Sequential(linear, norm, leaky), np.full((1, 1, D), -50.0))
    leaky.threshold = torch.minimum(norm(linear(ones)), folded[0](ones))[0].detach()
    with pytest.raises(ValueError, match=r"[0-9]+ of 64 spikes on X change"):
        fold_batch_norms(nn.Sequential(linear, norm, leaky), np.ones((1, 1, D)))


def test_batch_normalisation_elsewhere_is_refused():
    x = inputs().numpy()
    with pytest.raises(ValueError, match=r"1 \(BatchNorm1d\) is not supported: pass fold_batch_norms"):
        pretrained(normalised())
    with pytest.raises(ValueError, match="keeps no running mean"):
        fold_batch_norms(normalised(track_running_stats=False), x)
    lone = nn.Sequential(nn.BatchNorm1d(D), *network(MAKERS["Leaky"][0]))
    with pytest.raises(ValueError, match="does not follow a Linear"):
        fold_batch_norms(lone, x)
    twice = nn.Sequential(nn.Linear(D, 4), MAKERS["Leaky"][0](4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    with pytest.raises(ValueError, match="does not follow a Linear"):
        fold_batch_norms(twice, x)


def own_network(kind, reset, *, dyadic, seed=0):
    """Two layers of random neurons of a kind of ours, read at every step; dyadic numbers meet thresholds exactly."""
    g = torch.Generator().manual_seed(seed)

    def number(*shape, scale=1.0):
        drawn = scale * torch.randn(*shape, generator=g, dtype=torch.float64)
        return (8 * drawn).round() / 8 if dyadic else drawn

    def share(m):
        return torch.tensor([0.5, 0.75], dtype=torch.float64)[torch.randint(2, (m,), generator=g)]

    def layer(n_in, m):
        threshold = torch.full((m,), 0.5, dtype=torch.float64)
        leaks = {own.name: share(m) for own in fields(kind) if own.name.endswith("leak")}
        gain = {"gain": torch.full((m,), 2.0, dtype=torch.float64)} if kind is Alpha else {}
        return Layer(number(n_in, m), kind(**leaks, **gain, threshold=threshold, reset=reset), number(m, m, scale=0.3))

    hidden = Hidden(D, (Branch((layer(D, 16), layer(16, 12))),) * 2, "spike", every_step=True)
    return Network(hidden, torch.randn(24, 2, generator=g, dtype=torch.float64))


RESETS_OF = {Synaptic: ("delayed", "refractory", "hard", "none"), Alpha: ("refractory", "none")}
EXPORTS = [(to_torch, kind, reset) for kind, resets in RESETS_OF.items() for reset in resets]
EXPORTS += [(to_snntorch, Synaptic, reset) for reset in RESETS_OF[Synaptic]]


@pytest.mark.parametrize(("export", "kind", "reset"), EXPORTS)
@pytest.mark.parametrize("dyadic", [False, True])
def test_exports_spike_alike(export, kind, reset, dyadic):
    if export is to_snntorch:
        pytest.importorskip("snntorch")
    network = own_network(kind, reset, dyadic=dyadic)
    x = inputs(3)
    x = (x * 4).round() / 4 if dyadic else x
    spikes = simulate(network.hidden, as_sequences(x.numpy())).features.reshape(N, T, -1).double()
    assert 0.02 < float(spikes.mean()) < 0.98
    with torch.no_grad():
        module = export(network)
        features, _ = module.features(x.transpose(0, 1), None)
        assert int((features.transpose(0, 1) != spikes).sum()) == 0
        first, state = module.features(x[:, :6].transpose(0, 1), None)
        rest, _ = module.features(x[:, 6:].transpose(0, 1), state)
    assert torch.equal(torch.cat([first, rest]), features)


@pytest.mark.parametrize(("kind", "reset"), [(kind, reset) for kind, resets in RESETS_OF.items() for reset in resets])
def test_torch_modules_come_back_and_can_be_scripted_and_trained(kind, reset):
    network = own_network(kind, reset, dyadic=False)
    module = to_torch(network)
    assert from_torch(module).equals(network)
    x = inputs(4, n=5).transpose(0, 1)
    assert torch.equal(torch.jit.script(module)(x)[0], module(x)[0])
    module(x)[0].square().sum().backward()
    assert all(float(layer.linear.weight.grad.abs().max()) > 0.0 for b in module.branches for layer in b.layers)


@pytest.mark.parametrize("kind", RESETS_OF)
def test_what_knows_lif_neurons_only_refuses_these_by_name(kind):
    network = own_network(kind, "none", dyadic=False)
    refusing = [to_spikingjelly, to_norse, to_nir, lambda n: quantise(n, as_sequences(inputs(n=3).numpy()))]
    refusing += [lambda n: NetworkFamily.of(n.hidden), *([to_snntorch] if kind is Alpha else [])]
    for refuse in refusing:
        with pytest.raises(ValueError, match=kind.name):
            refuse(network)
