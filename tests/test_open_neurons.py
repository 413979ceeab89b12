"""A neuron that the library does not know, put through every entry point: it works, or it is refused by its name."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from convexsnn import (
    LIF,
    Architecture,
    Branch,
    Exact,
    Gaussian,
    Hidden,
    Layer,
    Network,
    Problem,
    Search,
    SpikingClassifier,
    Surrogate,
    Threshold,
    as_sequences,
    build_dictionary,
    gaussian,
    simulate,
)
from convexsnn.bounds import NetworkFamily
from convexsnn.cost import inference_cost
from convexsnn.display import RasterDisplay, WeightsDisplay
from convexsnn.exact import ExactSettings
from convexsnn.export import to_nir, to_norse, to_snntorch, to_spikingjelly, to_torch
from convexsnn.losses import LOSSES
from convexsnn.neurons import NEURONS, Fired, Neuron, lif, neuron_kind
from convexsnn.penalties import PENALTIES
from convexsnn.proof.verification import verify_exactly
from convexsnn.reconstruction import quantise, realise, widen_margins
from convexsnn.sequences import Sequences
from convexsnn.simulation import initial_state, read, step
from convexsnn.storage import load_model, save_model
from convexsnn.surrogate import SurrogateSettings, train_surrogate
from convexsnn.surrogate.checkpoint import training_identity
from convexsnn.verification import verify
from convexsnn.witnesses import diversify, mix
from convexsnn.witnesses.reservoir import set_reservoir
from helpers import draw_hidden, draw_sequences, generator


@dataclass(frozen=True, eq=False)
class Adaptive(Neuron):
    """A threshold that rises by `rise` with each spike and decays: a state of two tensors."""

    name: ClassVar[str] = "adaptive"

    leak: Tensor
    decay: Tensor
    rise: float = 0.5

    def initial_state(self, zeros):
        return (zeros, zeros)

    def step(self, current, state):
        membrane, adaptation = state
        potential = self.leak * membrane + current
        distance = potential - (1.0 + adaptation)
        spikes = distance >= 0
        return Fired(
            spikes, (torch.where(spikes, distance, potential), self.decay * adaptation + self.rise * spikes), distance
        )


@pytest.fixture(autouse=True)
def _known(monkeypatch):
    monkeypatch.setitem(NEURONS, "adaptive", Adaptive)


def draw_adaptive(*, seed=0, depth=3, every_step=False, dtype="float64", last=12, readout="spike"):
    """Random recurrent layers of adaptive neurons, each with numbers of its own."""
    shape = Architecture(
        3, depth=depth, hidden=8, last=last, recurrent=True, dtype=dtype, every_step=every_step, readout=readout
    )
    hidden, g = gaussian(shape, generator(seed)), generator(seed + 1)

    def adaptive(layer):
        leak, decay = torch.rand(2, layer.m, generator=g).to(layer.weight.dtype)
        return replace(layer, neuron=Adaptive(leak, decay, rise=0.75), recurrent=layer.recurrent / 4)

    return replace(hidden, branches=tuple(Branch(tuple(map(adaptive, b.layers))) for b in hidden.branches))


draw = draw_adaptive


def data(n=50, T=6):
    rng = np.random.default_rng(0)
    X = np.round(rng.normal(size=(n, T, 3)) + 0.4, 2)
    return X, (X[:, -1, 0] > 0.4).astype(int) + (X[:, 0, 1] > 0.4)


def test_a_threshold_that_rises_by_hand():
    """Leak 1/2, decay 1/2, rise 1/2, inputs 1: everything is dyadic."""
    half = torch.tensor([0.5], dtype=torch.float64)
    hidden = Hidden(1, (Branch((Layer(torch.ones(1, 1).double(), Adaptive(half, half)),)),), every_step=True)
    # v-: 1 >= 1, v 0, a .5; 1 < 1.5, a .25; 1.5 >= 1.25, v .25, a .625; 1.125 < 1.625
    simulation = simulate(hidden, as_sequences([[[1.0]] * 4]))
    assert simulation.features.flatten().tolist() == [True, False, True, False]
    membrane, adaptation = simulation.state.branches[0].layers[0].neuron
    assert (membrane.item(), adaptation.item()) == (1.125, 0.3125)
    assert simulation.margin == 0.0


@pytest.mark.parametrize("readout", ["spike", "membrane", "analog"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_unequal_lengths_states_and_steps(readout, dtype):
    hidden, sequences = draw(readout=readout, dtype=dtype), draw_sequences(n=9, ragged=True)
    together = simulate(hidden, sequences)
    for i, (x, k) in enumerate(zip(sequences.values, sequences.lengths.tolist(), strict=True)):
        alone = simulate(hidden, Sequences(x[None, :k], torch.tensor([k])))
        assert torch.allclose(alone.features[0].double(), together.features[i].double(), atol=1e-6)
        for mine, all_of in zip(alone.state.branches, together.state.branches, strict=True):
            for one, every in zip(mine.layers, all_of.layers, strict=True):
                assert all(torch.allclose(a[0], b[i], atol=1e-5) for a, b in zip(one.neuron, every.neuron, strict=True))
    X, state = draw_sequences(n=5, T=6), initial_state(hidden, 5)
    for t in range(6):
        state = step(hidden, X.values[:, t].to(hidden.dtype), state).state
    whole = simulate(hidden, X)
    assert torch.equal(read(hidden, state)[0], whole.features)
    first = simulate(hidden, as_sequences(X.values[:, :2]))
    assert torch.equal(simulate(hidden, as_sequences(X.values[:, 2:]), first.state).features, whole.features)


def test_take_move_compare_and_rebuild_come_from_the_fields():
    neuron = draw().branches[0].last.neuron
    taken = neuron.take(torch.tensor([2, 0]))
    assert torch.equal(taken.decay, neuron.decay[[2, 0]])
    assert taken.rise == 0.75
    again = neuron_kind("adaptive").rebuild(neuron.settings(), neuron.tensors() | {"weight": torch.ones(2)})
    assert neuron.equals(again)
    assert neuron.to("cpu").equals(neuron)
    for other in (
        replace(neuron, rise=0.5),
        replace(neuron, decay=neuron.decay / 2),
        lif(6, 0.5, 1.0, "soft"),
        Threshold(),
    ):
        assert not neuron.equals(other)
        assert not other.equals(neuron)
    with pytest.raises(KeyError, match="decay"):
        Adaptive.rebuild({"rise": 0.5}, {"leak": neuron.leak})
    with pytest.raises(ValueError, match="'adaptive' have no setting \\['fall'\\]"):
        Adaptive.rebuild({"fall": 0.5}, neuron.tensors())


def test_layers_check_its_tensors():
    neuron = draw().branches[0].last.neuron
    weight = torch.ones(2, neuron.leak.numel(), dtype=torch.float64)
    with pytest.raises(ValueError, match="decay must have shape"):
        Layer(weight, replace(neuron, decay=torch.ones(3).double()))
    with pytest.raises(ValueError, match=r"decay is torch.float32"):
        Layer(weight, replace(neuron, decay=neuron.decay.float()))
    with pytest.raises(ValueError, match="decay must be finite"):
        Layer(weight, replace(neuron, decay=neuron.decay / 0))
    with pytest.raises(ValueError, match="neuron must be a Neuron"):
        Layer(weight, "adaptive")  # type: ignore[arg-type]


def test_fit_on_given_layers_predict_verify_save_and_load(tmp_path, monkeypatch):
    X, y = data()
    hidden = draw(readout="membrane", last=40)
    model = SpikingClassifier(witnesses=hidden, intercept=True, beta=0.01).fit(X, y)
    assert model.certificate_.holds(1e-6)
    assert "of any kind" in model.certificate_.global_bound.family
    assert isinstance(model.network_.hidden.branches[0].last.neuron, Adaptive)
    assert verify(model.trained_, model.certificate_, model.problem(X, y)).holds
    save_model(model, tmp_path / "m.safetensors")
    loaded, _ = load_model(tmp_path / "m.safetensors")
    assert loaded.network_.equals(model.network_)
    assert np.array_equal(loaded.decision_function(X), model.decision_function(X))
    outcome = verify_exactly(tmp_path / "m.safetensors", X, y)
    assert not outcome.holds
    assert "'adaptive'" in outcome.problems[0]
    monkeypatch.delitem(NEURONS, "adaptive")
    with pytest.raises(
        ValueError, match=r"kind of neuron must be one of 'lif', 'threshold', 'synaptic', 'alpha', got 'adaptive'"
    ):
        load_model(tmp_path / "m.safetensors")


def test_dictionary_cost_mixture_and_pictures():
    hidden, sequences = draw(), draw_sequences()
    dictionary, features = build_dictionary(hidden, sequences), simulate(hidden, sequences).features
    loud = dictionary.column_of >= 0
    assert torch.equal(dictionary.columns.dense()[:, dictionary.column_of[loud]], features[:, loud].double())
    network = Network(hidden, torch.ones(hidden.n_last, 1, dtype=torch.float64))
    assert inference_cost(network, sequences).spikes_per_inference == simulate(hidden, sequences).n_spikes / len(
        sequences
    )
    both = simulate(mix(hidden, draw_hidden()), sequences).features
    assert torch.equal(both, torch.cat([features, simulate(draw_hidden(), sequences).features], dim=1))
    pytest.importorskip("matplotlib")
    RasterDisplay.from_network(hidden, sequences)
    WeightsDisplay.from_network(network)


def network(hidden=None):
    hidden = hidden or draw()
    return Network(hidden, torch.ones(hidden.n_last, 1, dtype=torch.float64))


def problem():
    targets, weights = torch.ones(4, 1, dtype=torch.float64), torch.full((4,), 0.25, dtype=torch.float64)
    return Problem(draw_sequences(n=4), targets, LOSSES["squared"], PENALTIES["l1"], 0.1, weights)


def tighten(method):
    model = SpikingClassifier(witnesses=draw(depth=2), loss="hinge").fit(data()[0], data()[1] > 0)
    model.tighten_bound(data()[0], data()[1] > 0, ExactSettings(method))


def realise_one():
    X, last = draw_sequences(n=3).values, draw().branches[0].last
    realise(X, torch.ones(3, 5, last.m, dtype=torch.bool), last.neuron)


REFUSALS = {
    "torch": lambda: to_torch(network()),
    "snntorch": lambda: to_snntorch(network()),
    "spikingjelly": lambda: to_spikingjelly(network()),
    "norse": lambda: to_norse(network()),
    "nir": lambda: to_nir(network(), soft_reset="subgraph"),
    "quantise": lambda: quantise(network(), draw_sequences()),
    "widen": lambda: widen_margins(network(), draw_sequences()),
    "realise": realise_one,
    "surrogate": lambda: train_surrogate(network(), problem(), SurrogateSettings(epochs=1)),
    "search": lambda: Search(neuron="adaptive"),
    "gaussian": lambda: Gaussian(neuron="adaptive"),
    "surrogate family": lambda: Surrogate(neuron="adaptive"),
    "exact": lambda: Exact(neuron="adaptive"),
    "family": lambda: NetworkFamily.of(draw(depth=2)),
    "tighten": lambda: tighten("arrangement"),
    "tighten by pricing": lambda: tighten("pricing"),
    "heterogeneous": lambda: diversify(draw(), generator()),
    "reservoir": lambda: set_reservoir(draw(), 0.9, 1.0, 1.0),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_what_knows_only_some_neurons_refuses_this_one_by_name(what):
    packages = {"spikingjelly": "spikingjelly.activation_based", "norse": "norse.torch"}
    if what in ("snntorch", "spikingjelly", "norse", "nir"):
        pytest.importorskip(packages.get(what, what))
    with pytest.raises(ValueError, match=r"\b[aA]daptive\b"):
        REFUSALS[what]()


def test_what_a_checkpoint_belongs_to_knows_every_setting():
    """Runs that begin from other neurons are other runs, whatever the neurons' fields are called."""
    hidden = draw()
    first, *rest = hidden.branches[0].layers

    def digest(neuron):
        branches = (Branch((replace(first, neuron=neuron), *rest)), *hidden.branches[1:])
        return training_identity(network(replace(hidden, branches=branches)), problem(), SurrogateSettings(), 0)

    neuron = first.neuron
    others = [replace(neuron, rise=0.5), replace(neuron, decay=neuron.decay / 2), replace(neuron, leak=neuron.decay)]
    assert len({digest(neuron), *map(digest, others)}) == 4
    assert digest(neuron) == digest(replace(neuron))


def test_lif_is_a_kind_like_any_other():
    neuron = LIF(torch.tensor([0.5, 0.75]), torch.tensor([1.0, 2.0]), "hard")
    assert neuron.settings() == {"reset": "hard"}
    assert list(neuron.tensors()) == ["leak", "threshold"]
    assert neuron_kind("lif").rebuild(neuron.settings(), neuron.tensors()).equals(neuron)
    assert neuron_kind("threshold").rebuild({}, {}).equals(Threshold())
