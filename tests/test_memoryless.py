"""Networks without memory run over all steps at once: the same as step by step."""

from dataclasses import replace

import pytest
import torch

from convexsnn import as_sequences, simulate
from convexsnn.memoryless import runs_whole
from convexsnn.network import Branch, Hidden, Layer
from convexsnn.neurons import Threshold, lif
from convexsnn.readouts import Analog, Count, Leaky, Membrane, Rate, Several, Spike, Windows
from convexsnn.simulation import initial_state, read, step
from helpers import draw_sequences, generator

READOUTS = [Spike(), Membrane(), Analog(), Rate(), Count(), Windows(3, 2), Several((Rate(), Membrane(), Windows(2, 4)))]


def draw(readout, dtype=torch.float64):
    """Two branches of integer weights, whose sums have no rounding in any order; half of the thresholds are ties."""
    random = generator(1)
    whole = lambda *shape: torch.randint(-3, 4, shape, generator=random).to(dtype)  # noqa: E731
    layers = [Layer(whole(9, 7), Threshold(), None, whole(7), (0, 2, 5)), Layer(whole(3, 4), Threshold())]
    return Hidden(3, tuple(Branch((layer,)) for layer in layers), readout, dtype=dtype)


def stepwise(hidden, sequences):
    """Features, margin, counts and states, sequence by sequence and step by step."""
    features, margin, counts, states = [], torch.inf, 0, []
    for row, length in zip(sequences.values, sequences.lengths.tolist(), strict=True):
        state = initial_state(hidden, 1)
        for t in range(length):
            state, nearest, spiked = step(hidden, row[t].unsqueeze(0).to(hidden.dtype), state)
            margin, counts = min(margin, float(nearest)), counts + torch.cat([c[0] for c in spiked])
        own, nearest = read(hidden, state)
        features.append(own)
        states.append(state)
        margin = min(margin, float(nearest))
    return torch.cat(features), margin, counts, states


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("ragged", [False, True])
def test_all_is_as_step_by_step(readout, ragged, dtype):
    hidden = draw(readout, dtype)
    drawn = draw_sequences(n=15, T=9, ragged=ragged)
    sequences = replace(drawn, values=(2.0 * drawn.values).round())
    assert runs_whole(hidden)
    found = simulate(hidden, sequences)
    features, margin, counts, states = stepwise(hidden, sequences)
    assert torch.equal(found.features, features)
    assert found.margin == margin
    assert torch.equal(torch.cat([c[0] for c in found.counts]), counts)
    assert found.state.steps.flatten().tolist() == sequences.lengths.tolist()
    for k, own in enumerate(found.state.branches):
        for i, state in enumerate(states):
            other = state.branches[k]
            assert torch.equal(own.layers[0].membrane[i : i + 1], other.layers[0].membrane)
            assert torch.equal(own.layers[0].spikes[i : i + 1], other.layers[0].spikes)
            for mine, theirs in zip(own.layers[0].past, other.layers[0].past, strict=True):
                assert torch.equal(mine[i : i + 1], theirs)
            for mine, theirs in zip(own.accumulated, other.accumulated, strict=True):
                assert torch.equal(mine[i : i + 1], theirs)


def test_in_blocks_as_in_one(monkeypatch):
    hidden, sequences = draw(Rate()), draw_sequences(n=30, T=9, ragged=True)
    expected = simulate(hidden, sequences)
    monkeypatch.setattr("convexsnn.memoryless.BLOCK_FLOATS", 200)
    found = simulate(hidden, sequences)
    assert torch.allclose(found.features, expected.features)
    assert found.n_spikes == expected.n_spikes


@pytest.mark.parametrize(
    "change",
    [
        lambda hidden: replace(hidden, every_step=True),
        lambda hidden: replace(hidden, readout=Leaky(0.5)),
        lambda hidden: replace(hidden, readout=Several((Rate(), Leaky(0.5)))),
        lambda hidden: replace(
            hidden, branches=(Branch((replace(hidden.branches[1].last, neuron=lif(4, 0.5, 1.0, "none")),)),)
        ),
        lambda hidden: replace(
            hidden,
            branches=(Branch((replace(hidden.branches[1].last, recurrent=torch.ones(4, 4, dtype=torch.float64)),)),),
        ),
        lambda hidden: replace(
            hidden, branches=(Branch((hidden.branches[1].last, Layer(torch.ones(4, 2).double(), Threshold()))),)
        ),
    ],
)
def test_what_has_memory_goes_step_by_step(change):
    assert not runs_whole(change(draw(Rate())))


def test_it_goes_on_from_a_state_step_by_step():
    hidden, sequences = draw(Rate()), draw_sequences(n=8, T=9)
    whole = simulate(hidden, sequences)
    first = simulate(hidden, as_sequences(sequences.values[:, :4]))
    rest = simulate(hidden, as_sequences(sequences.values[:, 4:]), first.state)
    assert torch.equal(rest.features, whole.features)


def test_overflow_is_refused():
    hidden, sequences = draw(Rate()), draw_sequences()
    big = replace(sequences, values=sequences.values * 1e308)
    with pytest.raises(ValueError, match="beyond the range"):
        simulate(hidden, big)
