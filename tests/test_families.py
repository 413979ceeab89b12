"""Witness families beyond the gaussian one, and the ridge readout."""

import math
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import Ridge
from torch import nn

import convexsnn.witnesses.reservoir as reservoir_module
from convexsnn import (
    LIF,
    Architecture,
    Gaussian,
    Heterogeneous,
    Reservoir,
    SpikingClassifier,
    Surrogate,
    as_sequences,
    gaussian,
    simulate,
)
from convexsnn.ridge import fit_ridge, ridge_path
from convexsnn.storage import load_model, save_model
from convexsnn.validation import RSquared, Validation
from convexsnn.verification import verify
from convexsnn.witnesses import Heterogeneity, ReservoirGrid, heterogeneous, mix, pretrained, tune_reservoir
from helpers import draw_sequences, generator


def test_heterogeneous_neurons_keep_to_their_ranges_and_all_differ():
    chosen = Heterogeneity(memory=(2.0, 20.0), threshold=(0.5, 2.0), gain=(0.1, 1.0), bias=0.5)
    hidden = heterogeneous(Architecture(3, hidden=40, last=60, recurrent=True), generator(0), chosen)
    plain = gaussian(Architecture(3, hidden=40, last=60, recurrent=True), generator(0))
    for layer, drawn in zip(hidden.layers(), plain.layers(), strict=True):
        assert isinstance(layer.neuron, LIF)
        tau = -1 / layer.neuron.leak.log()
        assert 2.0 <= tau.min() < tau.max() <= 20.0 + 1e-6
        assert 0.5 <= layer.neuron.threshold.min() < layer.neuron.threshold.max() <= 2.0
        gain = layer.weight / drawn.weight
        torch.testing.assert_close(gain, gain[:1].expand_as(gain))
        torch.testing.assert_close(layer.recurrent / drawn.recurrent, gain[:1].expand_as(layer.recurrent))
        assert 0.1 <= gain.min() < gain.max() <= 1.0 + 1e-6
        assert len(layer.bias.unique()) == layer.m
    again = heterogeneous(Architecture(3, hidden=40, last=60, recurrent=True), generator(0), chosen)
    assert hidden.equals(again)


def test_log_uniform_means_as_much_below_the_geometric_mean_as_above():
    chosen = Heterogeneity(memory=(1.0, 100.0))
    hidden = heterogeneous(Architecture(2, depth=2, branches=1, last=4000), generator(0), chosen)
    tau = -1 / next(hidden.layers()).neuron.leak.log()
    assert abs(float((tau < 10.0).double().mean()) - 0.5) < 0.03


@pytest.mark.parametrize("bad", [{"memory": (2.0, 1.0)}, {"gain": (0.0, 1.0)}, {"threshold": 1.0}, {"bias": -1.0}])
def test_bad_heterogeneity_names_itself(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Heterogeneity(**bad)


def test_a_mixture_has_the_columns_of_all_its_parts():
    sequences = draw_sequences(30, 5, 3)
    parts = [gaussian(Architecture(3, last=20), generator(seed)) for seed in range(2)]
    mixed = simulate(mix(*parts), sequences).features
    assert torch.equal(mixed, torch.cat([simulate(part, sequences).features for part in parts], dim=1))
    with pytest.raises(ValueError, match="same readout"):
        mix(parts[0], gaussian(Architecture(3, last=20, readout="spike"), generator(0)))
    with pytest.raises(ValueError, match="at least one"):
        mix()


GRID = ReservoirGrid((0.5, 0.9, 0.99), (0.5, 1.0), (0.5, 2.0, 4.0))


def naive_ratios(hidden, sequences):
    """sigma of each layer, by running each sequence alone, step by step."""
    depth = len(hidden.branches[0].layers)
    above, below = np.zeros(depth), np.zeros(depth)
    for values, length in zip(sequences.values, sequences.lengths.tolist(), strict=True):
        x = values[:length].numpy()
        activity = np.zeros((depth, length))
        for branch in hidden.branches:
            states = [(np.zeros(la.m), np.zeros(la.m)) for la in branch.layers]
            for t in range(length):
                h = x[t]
                for i, layer in enumerate(branch.layers):
                    v, s = states[i]
                    current = h @ layer.weight.numpy()
                    if layer.recurrent is not None:
                        current = current + s @ layer.recurrent.numpy()
                    v = layer.neuron.leak.numpy() * v + current
                    h = (v >= layer.neuron.threshold.numpy()).astype(float)
                    states[i] = (v - layer.neuron.threshold.numpy() * h, h)
                    activity[i, t] += h.sum()
        above += (activity[:, :-1] * activity[:, 1:]).sum(axis=1)
        below += (activity[:, :-1] ** 2).sum(axis=1)
    return np.array([a / b if b else math.nan for a, b in zip(above, below, strict=True)])


@pytest.mark.parametrize("recurrent", [False, True])
def test_tuning_chooses_as_an_exhaustive_evaluation_does(recurrent, monkeypatch):
    calls = []
    once = reservoir_module.spikes_per_step
    monkeypatch.setattr(reservoir_module, "spikes_per_step", lambda *a: calls.append(a) or once(*a))
    architecture = Architecture(3, depth=3, hidden=10, last=12, recurrent=recurrent)
    sequences = draw_sequences(20, 6, 3, ragged=True)
    tuned = tune_reservoir(architecture, sequences, generator(1), GRID)
    assert len(calls) == len(tuned.table) == 18
    ratios = np.array([naive_ratios(hidden, sequences) for hidden, _ in calls])
    np.testing.assert_allclose([row.branching_ratios for row in tuned.table], ratios, rtol=1e-12)
    distances = np.abs(ratios - 1.0).max(axis=1)  # nan where a layer is silent
    best = int(np.nanargmin(distances))
    assert tuned.chosen == tuned.table[best]
    assert tuned.hidden.equals(calls[best][0])
    assert len(np.unique(distances)) > 6


def test_a_silent_last_layer_is_never_chosen():
    tuned = tune_reservoir(Architecture(3, depth=5, hidden=30, last=30), draw_sequences(40, 6, 3), generator(0))
    assert any(math.isinf(row.distance) and row.rate > 0.0 for row in tuned.table)
    assert min(tuned.chosen.branching_ratios) > 0.5


def test_a_reservoir_that_cannot_be_tuned_says_why():
    sequences = draw_sequences(10, 4, 3)
    with pytest.raises(ValueError, match="'lif'"):
        tune_reservoir(Architecture(3, neuron="threshold"), sequences, generator(0))
    with pytest.raises(ValueError, match="silent at every setting"):
        tune_reservoir(Architecture(3, last=10, hidden=10), as_sequences(np.zeros((5, 4, 3))), generator(0), GRID)
    with pytest.raises(ValueError, match="two steps"):
        tune_reservoir(Architecture(3), as_sequences(np.ones((5, 1, 3))), generator(0), GRID)
    with pytest.raises(ValueError, match="leaks"):
        ReservoirGrid(leaks=(1.5,))


@pytest.mark.parametrize("shape", [(40, 7), (7, 40)])
def test_ridge_agrees_with_scikit_learn_at_every_lambda(shape):
    rng = np.random.default_rng(0)
    X, Y, lambdas = rng.standard_normal(shape), rng.standard_normal((shape[0], 3)), [1e-3, 0.1, 10.0]
    for lam, W in zip(lambdas, ridge_path(torch.from_numpy(X), torch.from_numpy(Y), lambdas), strict=True):
        expected = Ridge(alpha=lam, fit_intercept=False).fit(X, Y).coef_.T
        np.testing.assert_allclose(W.numpy(), expected, atol=1e-9)


def test_ridge_factorises_and_simulates_once_and_picks_by_validation(monkeypatch):
    hidden = gaussian(Architecture(3, last=15, hidden=10, readout="analog"), generator(0))
    sequences, held = draw_sequences(40, 5, 3), draw_sequences(20, 5, 3)
    targets = sequences.values[:, -1, :1].double()
    calls, eigh = [], torch.linalg.eigh
    monkeypatch.setattr(torch.linalg, "eigh", lambda G: calls.append(G) or eigh(G))
    fit = fit_ridge(
        hidden, sequences, targets, (1e-3, 1.0, 1e3), Validation(held, held.values[:, -1, :1].double(), RSquared())
    )
    assert len(calls) == 1
    scores = {point.lam: point.validation_score for point in fit.path}
    assert fit.lam == max(scores, key=lambda lam: scores[lam])
    assert [point.lam for point in fit.path] == [1e3, 1.0, 1e-3]
    with pytest.raises(ValueError, match="validation"):
        fit_ridge(hidden, sequences, targets)


def test_plain_linear_stack_as_witnesses():
    module = nn.Sequential(nn.Flatten(), nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 5, bias=False), nn.Linear(5, 2))
    hidden = pretrained(module, leak=0.9, threshold=0.7, reset="hard")
    first, second = hidden.branches[0].layers
    assert torch.equal(first.weight, module[1].weight.detach().T.double())
    assert torch.equal(first.bias, module[1].bias.detach().double())
    assert second.bias is None
    assert second.m == 5
    assert second.neuron.reset == "hard"
    assert len(pretrained(module, leak=0.9, layers=1).branches[0].layers) == 1


@pytest.mark.parametrize(
    ("module", "settings", "message"),
    [
        (nn.Linear(3, 2), {"leak": 0.9}, "no hidden layer"),
        (nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2)), {}, "give leak"),
        (nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2)), {"leak": 0.9, "layers": 2}, "layers is 2"),
        (nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Linear(2, 2)), {"leak": 0.9}, "BatchNorm1d"),
    ],
)
def test_modules_that_are_not_ours_are_refused(module, settings, message):
    with pytest.raises(ValueError, match=message):
        pretrained(module, **settings)


def leaky(**settings):
    return pytest.importorskip("snntorch").Leaky(0.8, **settings)


def lif_node(kind="LIFNode", **settings):
    return getattr(pytest.importorskip("spikingjelly.activation_based.neuron"), kind)(**settings)


def between(*parts):
    """A Linear, these parts, an output."""
    return nn.Sequential(nn.Linear(3, 4), *parts, nn.Linear(4, 2))


def hooked():
    module = between(leaky())
    module[0].register_forward_hook(lambda *_: None)
    return module


def changed(part, **attributes):
    for name, value in attributes.items():
        setattr(part, name, value)
    return part


class OwnLeaky(nn.Module):
    """Has neither parameters nor parts."""


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))
        self.hidden = between(leaky())


@pytest.mark.parametrize(
    ("make", "settings", "message"),
    [
        # Of the neurons: each has a setting that changes spikes.
        (lambda: between(leaky(graded_spikes_factor=2.0)), {}, r"1 \(Leaky\) has graded_spikes_factor = 2"),
        (lambda: between(leaky(state_quant=lambda x: x.round())), {}, "state_quant"),
        (lambda: between(leaky(spike_grad=torch.sigmoid)), {}, "spike function"),
        (lambda: between(leaky(reset_delay=False)), {}, "without delay"),
        (lambda: between(leaky(reset_delay=False, reset_mechanism="zero", threshold=-1.0)), {}, "at least 0"),
        (lambda: between(changed(leaky(), reset_mechanism="zero")), {}, "runs another reset"),
        (lambda: between(changed(leaky(), refractory=3)), {}, "refractory"),
        (lambda: between(changed(leaky(), forward=lambda x: x)), {}, "forward"),
        (
            lambda: between(changed(leaky(), beta=torch.rand(3))),
            {},
            r"leaks or thresholds of shape \(3,\), but there are 4",
        ),
        (lambda: between(changed(leaky(), beta=torch.rand(4, 1))), {}, r"of shape \(4, 1\), but there are 4"),
        (lambda: between(changed(leaky(), beta=torch.tensor(0.5j))), {}, r"beta of 1 \(Leaky\) is of torch.c"),
        (lambda: between(leaky()).to("meta"), {}, "on the device meta"),
        (lambda: between(lif_node(kind="QIFNode")), {}, r"1 \(QIFNode\) is no part"),
        (lambda: between(changed(lif_node(), surrogate_function=nn.Sigmoid())), {}, "spike function"),
        (lambda: between(lif_node(v_reset=-0.1)), {}, "resets to -0.1"),
        (lambda: between(changed(lif_node(), _memories_rv={"v": 0.5})), {}, "begins from 0.5"),
        # Of what stands between: nothing is left out in silence.
        (lambda: nn.Sequential(nn.Linear(3, 3), nn.ReLU(), *between(leaky())), {}, r"1 \(ReLU\) is no part"),
        (lambda: nn.Sequential(nn.Linear(3, 3), *between(leaky())), {}, r"no neurons follow 0 \(Linear\)"),
        (lambda: between(leaky(), nn.BatchNorm1d(4)), {}, "BatchNorm1d"),
        (lambda: between(leaky(), OwnLeaky()), {}, "OwnLeaky"),
        (lambda: between(leaky(), nn.MaxPool1d(1)), {}, "MaxPool1d"),
        (lambda: between(leaky(), leaky()), {}, "2 .*does not follow a Linear"),
        (Scaled, {}, r"the whole \(Scaled\) has \['scale'\]"),
        (hooked, {}, "hooks"),
        (lambda: between(leaky()), {"leak": 0.9}, "neurons of its own"),
        # Neurons that we do not know are not plain layers with activations.
        (lambda: between(pytest.importorskip("snntorch").SLSTM(4, 4)), {"leak": 0.9}, "SLSTM"),
        (lambda: between(OwnLeaky()), {"leak": 0.9}, "OwnLeaky"),
        (lambda: between(nn.PReLU()), {"leak": 0.9}, "PReLU"),
    ],
)
def test_what_pretrained_cannot_express_is_refused_by_name(make, settings, message):
    with pytest.raises(ValueError, match=message):
        pretrained(make(), **settings)


@pytest.mark.filterwarnings("ignore:Inhibition")
def test_inhibition_is_refused():
    with pytest.raises(ValueError, match="inhibition"):
        pretrained(between(leaky(inhibition=True)))


def test_dropout_flattening_and_use_before_change_nothing():
    plain, dressed = between(leaky()), between(leaky(init_hidden=True), nn.Dropout(0.5))
    dressed.load_state_dict({key: plain.state_dict()[key.replace("3.", "2.")] for key in dressed.state_dict()})
    dressed(torch.ones(2, 3))  # its neurons now hold a state
    assert pretrained(nn.Sequential(nn.Flatten(), dressed)).equals(pretrained(plain))
    module = between(lif_node())
    before = pretrained(module)
    module(torch.ones(2, 3))
    assert pretrained(module).equals(before)


class Backwards(nn.Module):
    """Holds its parts in another order than that in which it runs them."""

    def __init__(self):
        super().__init__()
        self.second, self.leaky, self.first = nn.Linear(4, 2), leaky(), nn.Linear(3, 4)

    def forward(self, x):
        return self.second(self.leaky(self.first(x))[0])


def test_the_order_of_parts_that_is_taken_is_said():
    module = Backwards()
    with pytest.warns(UserWarning, match=r"forward of Backwards is not looked at.*second \(Linear\), leaky \(Leaky\)"):
        pretrained(module)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pretrained(nn.Sequential(module.first, module.leaky, module.second))


@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
@pytest.mark.parametrize("recurrent", [False, True])
def test_snntorch_networks_spike_alike(reset, recurrent):
    snn = pytest.importorskip("snntorch")
    torch.manual_seed(0)
    if recurrent and reset == "zero":
        with pytest.raises(ValueError, match="zeroes its input"):
            pretrained(nn.Sequential(nn.Linear(3, 4), snn.RLeaky(0.8, linear_features=4, reset_mechanism=reset)))
        return
    linears = [nn.Linear(3, 12), nn.Linear(12, 9)]

    def make(m):
        if recurrent:
            return snn.RLeaky(0.8, linear_features=m, reset_mechanism=reset)
        return snn.Leaky(torch.rand(m), threshold=0.4, reset_mechanism=reset)

    neurons = [make(12), make(9)]
    module = nn.ModuleList([linears[0], neurons[0], linears[1], neurons[1], nn.Linear(9, 2)]).double()
    x = draw_sequences(25, 7, 3).values.double() * 2
    expected, states = [], [neuron.reset_mem() for neuron in neurons]
    states = [s if isinstance(s, tuple) else (s,) for s in states]
    with torch.no_grad():
        for t in range(7):
            h = x[:, t]
            for i, neuron in enumerate(neurons):
                out = neuron(linears[i](h), *states[i])
                out = [o.double() for o in out]
                h, states[i] = out[0], out if recurrent else out[1:]
            expected.append(h)
    spikes = simulate(pretrained(module, every_step=True), as_sequences(x.numpy())).features
    assert 0.02 < float(spikes.double().mean()) < 0.98
    assert torch.equal(spikes.double().reshape(25, 7, 9), torch.stack(expected, dim=1))


@pytest.mark.parametrize("v_reset", [None, 0.0])
@pytest.mark.parametrize("decay_input", [False, True])
def test_spikingjelly_networks_spike_alike(v_reset, decay_input):
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    torch.manual_seed(0)
    node = neuron.LIFNode(tau=3.0, decay_input=decay_input, v_reset=v_reset, v_threshold=0.3)
    module = nn.Sequential(nn.Linear(3, 12), node, nn.Linear(12, 2)).double()
    x = draw_sequences(25, 7, 3).values.double() * 2
    with torch.no_grad():
        expected = torch.stack([node(module[0](x[:, t])) for t in range(7)], dim=1)
    spikes = simulate(pretrained(module, every_step=True), as_sequences(x.numpy())).features
    assert torch.equal(spikes.double().reshape(25, 7, 12), expected)


def check_again(model):
    return verify(model.trained_, model.certificate_, model.problem(X, Y))


X = np.random.default_rng(0).random((60, 5, 3))
Y = (X[:, 0, 0] > 0.5).astype(int) + (X[:, -1, 1] > 0.5)


SMALL = {"hidden": 12, "last": 25}
HALF, THIRD = {"hidden": 6, "last": 12}, {"hidden": 4, "last": 8}


@pytest.mark.parametrize(
    ("witnesses", "neurons"),
    [
        (Heterogeneous(**SMALL), 25),
        (Reservoir(**SMALL), 25),
        (Surrogate(**SMALL), 25),
        (Gaussian(hidden=6, last=13) + Reservoir(**HALF), 25),
        (Gaussian(**THIRD) + Heterogeneous(**THIRD) + Surrogate(hidden=4, last=9), 25),
    ],
    ids=str,
)
def test_estimators_take_families_and_files_keep_them(witnesses, neurons, tmp_path):
    model = SpikingClassifier(witnesses=witnesses, random_state=3, intercept=True).fit(X, Y)
    assert model.trained_.witnesses.n_last == neurons + 1
    assert model.certificate_.holds(1e-6)
    again = SpikingClassifier(witnesses=witnesses, random_state=3, intercept=True).fit(X, Y)
    assert again.trained_.witnesses.equals(model.trained_.witnesses)
    save_model(model, tmp_path / "m.safetensors")
    loaded, _ = load_model(tmp_path / "m.safetensors")
    assert check_again(loaded).holds
    assert loaded.get_params() == model.get_params() | vars(model.recipe)


def test_given_witnesses_are_taken_as_they_are_and_kept_in_the_file(tmp_path):
    hidden = heterogeneous(Architecture(3, last=30, hidden=9, readout="spike"), generator(0))
    model = SpikingClassifier(witnesses=hidden, intercept=True, random_state=0).fit(X, Y)
    assert model.network_.hidden.readout.name == "spike"
    assert model.trained_.witnesses.n_last == 31
    save_model(clone(model).fit(X, Y), tmp_path / "m.safetensors")
    loaded, _ = load_model(tmp_path / "m.safetensors")
    assert loaded.witnesses.layers.equals(hidden)
    assert check_again(loaded).holds
    assert np.array_equal(clone(loaded).fit(X, Y).predict(X), model.predict(X))
    with pytest.raises(ValueError, match="expect 3 features, but X has 2"):
        SpikingClassifier(witnesses=hidden).fit(X[:, :, :2], Y)
    with pytest.raises(ValueError, match="per_step"):
        SpikingClassifier(witnesses=hidden, per_step=True).fit(X, np.repeat(Y[:, None], 5, axis=1))


@pytest.mark.parametrize(
    ("witnesses", "message"),
    [
        ("gaussian+reservoire", "Did you mean 'reservoir'"),
        (None, "witnesses must be the name of a family, a family .* not None"),
        ("exact+gaussian", "witnesses='exact' must stand alone"),
        ("search+gaussian", "once and last"),
    ],
)
def test_bad_families_are_refused_before_work(witnesses, message):
    with pytest.raises(ValueError, match=message):
        SpikingClassifier(witnesses=witnesses).fit(X, Y)
