"""Connections with delays: the same as a network without any on the input of several steps side by side."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convexsnn import (
    SpikingClassifier,
    as_sequences,
    build_dictionary,
    reconstruct,
    simulate,
)
from convexsnn.bounds import NetworkFamily
from convexsnn.cost import inference_cost
from convexsnn.display import WeightsDisplay
from convexsnn.network import Branch, Hidden, Layer, Network
from convexsnn.neurons import Threshold, lif
from convexsnn.readouts import Rate
from convexsnn.reconstruction import quantise, widen_margins
from convexsnn.simulation import scores
from convexsnn.storage import load_model, save_model
from helpers import assert_goes_on, draw_sequences, generator


def draw(delays=(0, 2, 3), above=(0,), *, kind="lif", readout="spike", every_step=False, dtype=torch.float64):
    """Two branches of two layers; the first layers see the input with `delays`, the second the first with `above`."""
    random = generator(3)
    normal = lambda *shape: torch.randn(*shape, generator=random, dtype=torch.float64).to(dtype)  # noqa: E731
    neurons = lambda m: Threshold() if kind == "threshold" else lif(m, 0.7, 0.5, "soft", dtype)  # noqa: E731
    branches = []
    for m in (5, 3):
        first = Layer(normal(3 * len(delays), m), neurons(m), None, normal(m), delays)
        last = Layer(normal(m * len(above), 6), neurons(6), normal(6, 6), None, above)
        branches.append(Branch((first, last)))
    return Hidden(3, tuple(branches), readout, every_step, dtype)


def embedded(sequences, delays):
    """The input with what lies `delays` steps ago beside it, zero before the first step."""
    values = sequences.values
    shifted = []
    for delay in delays:
        moved = torch.zeros_like(values)
        moved[:, delay:] = values[:, : max(0, values.shape[1] - delay)]
        shifted.append(moved)
    return as_sequences(
        [row[:length] for row, length in zip(torch.cat(shifted, dim=2), sequences.lengths, strict=True)]
    )


@given(st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True).map(sorted).map(tuple), st.booleans())
def test_delays_of_the_input_are_the_input_of_several_steps(delays, every_step):
    hidden, sequences = draw(delays, every_step=every_step), draw_sequences(ragged=True, T=7)
    branches = tuple(
        replace(branch, layers=(replace(branch.layers[0], delays=(0,)), *branch.layers[1:]))
        for branch in hidden.branches
    )
    plain = replace(hidden, n_features=3 * len(delays), branches=branches)
    found, expected = simulate(hidden, sequences), simulate(plain, embedded(sequences, delays))
    assert torch.equal(found.features, expected.features)
    assert found.margin == expected.margin


def test_delays_of_spikes_are_those_of_the_layer_below():
    hidden, sequences = draw((0,), (0, 1, 4)), draw_sequences(T=8)
    first = [replace(b, layers=b.layers[:1]) for b in hidden.branches]
    for branch, alone in zip(hidden.branches, first, strict=True):
        below = simulate(replace(hidden, branches=(alone,), readout="spike", every_step=True), sequences).features
        shown = as_sequences(below.double().reshape(len(sequences), 8, -1))
        above = replace(branch.layers[1], delays=(0,))
        plain = Hidden(above.weight.shape[0], (Branch((above,)),), hidden.readout)
        found = simulate(replace(hidden, branches=(branch,)), sequences).features
        assert torch.equal(found, simulate(plain, embedded(shown, (0, 1, 4))).features)


@pytest.mark.parametrize("kind", ["lif", "threshold"])
def test_a_network_goes_on_from_its_state(kind):
    assert_goes_on(draw((1, 5), (0, 3), kind=kind, readout=Rate()), draw_sequences(T=9), 4)


def test_reconstruction_and_files_keep_delays(tmp_path):
    hidden, sequences = draw((0, 2, 3), (0, 1)), draw_sequences(n=60, T=8)
    dictionary = build_dictionary(hidden, sequences)
    W = torch.zeros(len(dictionary.neuron_of), 1, dtype=torch.float64)
    W[0], W[-1] = 1.0, -2.0
    network, new = reconstruct(hidden, dictionary, W), draw_sequences(seed=5, T=8)
    assert torch.equal(scores(network, new), simulate(hidden, new).features.double() @ dictionary.to_neurons(W))
    assert network.hidden.branches[0].layers[0].delays == (0, 2, 3)
    X, y = sequences.values.numpy(), (sequences.values[:, 2, 0] > 0.3).long().numpy()
    model = SpikingClassifier(witnesses=hidden, beta=0.01).fit(X, y)
    save_model(model, tmp_path / "m.safetensors")
    loaded, _ = load_model(tmp_path / "m.safetensors")
    assert loaded.network_.equals(model.network_)
    assert np.array_equal(loaded.decision_function(X), model.decision_function(X))
    assert not replace(hidden, branches=hidden.branches[:1]).equals(draw((0, 2, 4), (0, 1)))


def test_what_arrives_after_the_end_costs_nothing():
    """The operations of a network with delays are those of its connections, step by step."""
    hidden, sequences = draw((0, 2), (1, 3)), draw_sequences(T=6, ragged=True)
    network = Network(hidden, torch.ones(hidden.n_last, 1, dtype=torch.float64))
    counted, macs = 0.0, 0.0
    for row, length in zip(sequences.values, sequences.lengths.tolist(), strict=True):
        x = row[:length]
        for branch in hidden.branches:
            first, last = branch.layers
            alone = replace(hidden, branches=(replace(branch, layers=(first,)),), readout="spike", every_step=True)
            below = simulate(alone, as_sequences(x.unsqueeze(0))).features.double()
            whole = replace(hidden, branches=(branch,), readout="spike", every_step=True)
            own = simulate(whole, as_sequences(x.unsqueeze(0))).features.double()
            for t in range(length):
                for k, delay in enumerate(first.delays):
                    if t >= delay:
                        macs += float(((x[t - delay] != 0).unsqueeze(1) * (first.weight[3 * k : 3 * k + 3] != 0)).sum())
                for k, delay in enumerate(last.delays):
                    if t >= delay:
                        part = last.weight[first.m * k : first.m * (k + 1)] != 0
                        counted += float((below[t - delay].unsqueeze(1) * part).sum())
                if t:
                    counted += float((own[t - 1].unsqueeze(1) * (last.recurrent != 0)).sum())
            counted += float(own[-1].sum())
    cost = inference_cost(network, sequences)
    assert cost.effective_acs * len(sequences) == pytest.approx(counted)
    assert cost.effective_macs * len(sequences) == pytest.approx(macs)


@pytest.mark.parametrize(
    ("delays", "message"),
    [
        ((), "ascending order"),
        ((1, 0), "ascending order"),
        ((0, 0), "ascending"),
        ((-1,), "at least 0"),
        ((0.5,), "integer"),
    ],
)
def test_delays_that_make_no_sense_are_refused(delays, message):
    with pytest.raises(ValueError, match=message):
        Layer(torch.zeros(6, 2, dtype=torch.float64), Threshold(), delays=delays)
    with pytest.raises(ValueError, match="as many rows for each of 4 delays"):
        Layer(torch.zeros(6, 2, dtype=torch.float64), Threshold(), delays=(0, 1, 2, 3))


def network():
    hidden = draw((0, 1), every_step=False)
    return Network(hidden, torch.ones(hidden.n_last, 1, dtype=torch.float64))


KNOW_NONE = {
    "bounds": lambda: NetworkFamily.of(network().hidden),
    "quantise": lambda: quantise(network(), draw_sequences(), 8),
    "margins": lambda: widen_margins(network(), draw_sequences()),
}


@pytest.mark.parametrize("name", KNOW_NONE)
def test_who_knows_no_delays_refuses_them(name):
    with pytest.raises(ValueError, match="delays"):
        KNOW_NONE[name]()


def test_pictures_show_delays():
    pytest.importorskip("matplotlib")
    display = WeightsDisplay.from_network(network(), which="input")
    assert display.weights.shape == (6, 8)
    assert "delay" in display.rows
