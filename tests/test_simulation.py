"""Simulation: unrolled form, state, unequal lengths, chunks."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.multiprocessing.reductions import StorageWeakRef

import convexsnn.simulation as simulation_module
from convexsnn import Branch, Hidden, Layer, Network, as_sequences, simulate
from convexsnn.neurons import LIF
from convexsnn.sequences import Sequences
from convexsnn.simulation import initial_state, read, scores, simulate_chunks, step
from helpers import KINDS, draw_hidden, draw_sequences


@given(seed=st.integers(0, 10_000), T=st.integers(1, 8), m=st.integers(1, 5), n=st.integers(1, 6))
def test_stepped_lif_equals_its_unrolled_threshold_form(seed, T, m, n):
    """theory.md section 1: v-_t = sum_{tau<=t} leak^(t-tau) I_tau - theta * sum_{tau<t} leak^(t-tau) s_tau.

    Leak, threshold, weights and inputs are small dyadic numbers, so both forms are exact and must agree to the bit.
    """
    rng = np.random.default_rng(seed)
    leak = torch.from_numpy(rng.choice([0.0, 0.5, 1.0], size=m))
    threshold = torch.from_numpy(rng.integers(1, 8, size=m) / 4)
    weight = torch.from_numpy(rng.integers(-8, 9, size=(2, m)) / 4)
    X = torch.from_numpy(rng.integers(0, 4, size=(n, T, 2)) / 2)
    hidden = Hidden(2, (Branch((Layer(weight, LIF(leak, threshold, "soft")),)),), "spike", every_step=True)
    stepped = simulate(hidden, as_sequences(X)).features.reshape(n, T, m)

    current, spikes = X @ weight, torch.zeros(n, T, m, dtype=torch.float64)
    for t in range(T):
        decay = leak.unsqueeze(0) ** torch.arange(t, -1, -1, dtype=torch.float64).unsqueeze(1)
        own_past = torch.einsum("tm,ntm->nm", decay[:-1], spikes[:, :t])
        potential = torch.einsum("tm,ntm->nm", decay, current[:, : t + 1]) - threshold * own_past
        spikes[:, t] = (potential >= threshold).to(torch.float64)
    assert torch.equal(stepped, spikes > 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("readout", ["spike", "membrane", "analog"])
@pytest.mark.parametrize("every_step", [False, True])
def test_ragged_sequences_equal_each_sequence_alone(kind, readout, every_step):
    hidden = draw_hidden(kind, readout=readout, every_step=every_step)
    sequences = draw_sequences(ragged=True)
    together = simulate(hidden, sequences)
    alone = [
        simulate(hidden, Sequences(x[None, :k], torch.tensor([k])))
        for x, k in zip(sequences.values, sequences.lengths.tolist(), strict=True)
    ]
    assert torch.allclose(
        together.features.to(torch.float64), torch.cat([a.features for a in alone]).to(torch.float64), atol=1e-12
    )
    assert together.margin == pytest.approx(min(a.margin for a in alone), abs=1e-12)
    assert together.n_spikes == sum(a.n_spikes for a in alone)
    for k, branch in enumerate(together.state.branches):
        for i, layer in enumerate(branch.layers):
            expected = torch.cat([a.state.branches[k].layers[i].membrane for a in alone])
            assert torch.allclose(layer.membrane, expected, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_state_carries_on_where_it_stopped(kind):
    hidden = draw_hidden(kind, readout="analog")
    sequences = draw_sequences(T=6)
    first = simulate(hidden, as_sequences(sequences.values[:, :2]))
    rest = simulate(hidden, as_sequences(sequences.values[:, 2:]), first.state)
    assert torch.equal(rest.features, simulate(hidden, sequences).features)


@pytest.mark.parametrize("kind", KINDS)
def test_step_by_step_is_simulate(kind):
    hidden = draw_hidden(kind, readout="membrane", every_step=True)
    sequences = draw_sequences(n=7, T=4)
    state, features = initial_state(hidden, 7), []
    for t in range(4):
        state = step(hidden, sequences.values[:, t], state).state
        features.append(read(hidden, state)[0])
    expected = simulate(hidden, sequences).features
    assert torch.equal(torch.stack(features, dim=1).flatten(0, 1), expected)


@pytest.mark.parametrize("every_step", [False, True])
def test_chunks_join_to_the_whole(monkeypatch, every_step):
    hidden = draw_hidden("LIF soft", every_step=every_step)
    sequences = draw_sequences(n=37, ragged=True)
    whole = simulate(hidden, sequences)
    monkeypatch.setattr(simulation_module, "CHUNK_FLOATS", 600)
    monkeypatch.setattr(simulation_module, "LEAST_SEQUENCES", 1)
    parts = list(simulate_chunks(hidden, sequences))
    assert len(parts) > 2
    assert torch.equal(torch.cat([p.features for p in parts]), whole.features)
    assert sum(p.n_spikes for p in parts) == whole.n_spikes


@pytest.mark.parametrize("ragged", [False, True])
def test_states_of_past_steps_are_let_go(monkeypatch, ragged):
    """The memory of a simulation does not grow with its steps; views of what was left over once kept all of them."""
    hidden, sequences, kept, alive = draw_hidden(), draw_sequences(n=8, T=30, ragged=ragged), [], []

    def watched(*arguments):
        alive.append(sum(not storage.expired() for storage in kept))
        stepped = step(*arguments)
        kept.append(StorageWeakRef(stepped.state.branches[0].layers[0].membrane.untyped_storage()))
        return stepped

    monkeypatch.setattr(simulation_module, "step", watched)
    simulation = simulate(hidden, sequences)
    assert len(alive) == int(sequences.lengths.max())
    assert max(alive) == 1
    assert simulation.state.steps.flatten().tolist() == sequences.lengths.tolist()


def test_margin_is_the_smallest_distance_to_a_threshold():
    layer = Layer(torch.ones(1, 1, dtype=torch.float64), LIF(torch.ones(1).double(), torch.ones(1).double(), "none"))
    hidden = Hidden(1, (Branch((layer,)),), "spike")
    # Potentials .5, 1.25, 3: the nearest to 1 is 1.25. The 0.999 beyond the second sequence's end is padding.
    sequences = as_sequences([[[0.5], [0.75], [1.75]], [[0.5], [0.499], [0.0]]], lengths=[3, 1])
    assert simulate(hidden, sequences).margin == 0.25
    # The membrane readout adds its own threshold, at the last step only: v_T = 3 and 0.5 against 0.4375.
    branch = Branch((layer,), torch.full((1,), 0.4375, dtype=torch.float64))
    assert simulate(Hidden(1, (branch,), "membrane"), sequences).margin == 0.0625


def test_network_without_branches_is_zero():
    network = Network(Hidden(3, ()), torch.zeros(0, 2, dtype=torch.float64))
    assert torch.equal(scores(network, draw_sequences(n=4)), torch.zeros(4, 2, dtype=torch.float64))


def test_wrong_number_of_features_is_refused():
    with pytest.raises(ValueError, match="X has 2 features, but the network expects 3"):
        simulate(draw_hidden(d=3), draw_sequences(d=2))
