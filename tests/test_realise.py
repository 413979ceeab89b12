"""Patterns to weights: what a network did is realised again, what none can do is refused with a proof."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convexsnn import Hidden, Sequences, Threshold
from convexsnn.bounds import NetworkFamily, Unit, enumerate_family
from convexsnn.network import Branch
from convexsnn.neurons import RESETS, lif
from convexsnn.reconstruction import realise, separate
from convexsnn.reconstruction.patterns import neuron_rows
from convexsnn.reconstruction.traces import trace
from helpers import KINDS, draw_hidden, draw_sequences

ALL_KINDS = KINDS | {
    "LIF delayed": {"reset": "delayed"},
    "recurrent LIF hard": {"reset": "hard", "recurrent": True},
    "recurrent LIF delayed": {"reset": "delayed", "recurrent": True, "bias": True},
}


def spikes_of(layer, sequences, d=3):
    return trace(Hidden(d, (Branch((layer,)),)), sequences)[0].layers[0].spikes


def within(lengths, T):
    return torch.arange(T) < lengths.unsqueeze(1)


@given(kind=st.sampled_from(sorted(ALL_KINDS)), seed=st.integers(0, 10**6))
def test_patterns_of_a_network_are_realised(kind, seed):
    hidden = draw_hidden(
        "LIF soft", **({"neuron": "lif"} | ALL_KINDS[kind] | {"depth": 2, "branches": 1, "last": 5, "seed": seed})
    )
    layer, sequences = hidden.branches[0].layers[0], draw_sequences(n=12, T=5, ragged=True, seed=seed)
    wanted = spikes_of(layer, sequences)
    settings = {"recurrent": layer.recurrent is not None, "bias": layer.bias is not None}
    realised = realise(sequences.values, wanted > 0, layer.neuron, lengths=sequences.lengths, **settings)
    assert realised.realisable
    assert realised.refused == ()
    seen = within(sequences.lengths, 5)
    assert torch.equal(spikes_of(realised.layer, sequences)[seen], wanted[seen])
    # What is beyond the end of a sequence asks for nothing.
    other = wanted.clone()
    other[~seen] = 1 - other[~seen]
    again = realise(sequences.values, other > 0, layer.neuron, lengths=sequences.lengths, **settings)
    assert again.realisable or settings["recurrent"]


def check_certificate(separation, rows):
    """Gordan: a convex combination of the signed examples that is zero."""
    assert separation.weights is None
    assert separation.multipliers.min() >= 0
    assert separation.multipliers.sum() == pytest.approx(1)
    assert np.linalg.norm(separation.multipliers @ rows) <= 1e-9 * np.abs(rows).max()


def test_a_pattern_that_contradicts_itself_is_refused_with_an_exact_proof():
    x = torch.tensor([[[1.0], [1.0]], [[1.0], [2.0]]]).double()
    # The same input fires once and once not, without memory.
    realised = realise(x, torch.tensor([[[True], [False]], [[True], [True]]]), Threshold(), bias=True)
    assert realised.layer is None
    assert realised.refused == (0,)
    assert realised.neurons[0].exact
    check_certificate(realised.neurons[0], realised.pattern.examples(0).signed())


def test_exclusive_or_is_refused_by_threshold_units_and_by_lif_neurons():
    corners = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]).double()
    xor = torch.tensor([False, True, True, False]).reshape(4, 1, 1)
    for neuron in (Threshold(), *(lif(1, 0.5, 1.0, reset) for reset in RESETS)):
        realised = realise(corners.unsqueeze(1), xor, neuron, bias=True)
        assert not realised.realisable
        assert realised.neurons[0].exact
        both = realise(
            corners.unsqueeze(1), torch.cat([xor, corners[:, None, :1] > 0], dim=2), lif(2, 0.5, 1.0, "soft"), bias=True
        )
        assert both.refused == (0,)
        assert both.neurons[1].separable


def test_memory_decides_what_can_be_realised():
    # Constant input; the neuron is to fire at steps 2 and 4 only. A soft reset makes that rhythm, no memory cannot.
    x, rhythm = torch.ones(1, 4, 1).double(), torch.tensor([0, 1, 0, 1]).reshape(1, 4, 1) > 0
    assert realise(x, rhythm, lif(1, 1.0, 1.0, "soft")).realisable
    assert realise(x, rhythm, lif(1, 0.9, 1.0, "hard")).realisable
    for neuron in (lif(1, 0.9, 1.0, "none"), lif(1, 0.0, 1.0, "hard"), Threshold()):
        refused = realise(x, rhythm, neuron, bias=True)
        assert not refused.realisable
        check_certificate(refused.neurons[0], neuron_rows(refused.pattern, 0))
    # With recurrence a threshold unit can, where it begins with a spike.
    assert not realise(x, rhythm, Threshold(), recurrent=True, bias=True).realisable
    assert realise(x, ~rhythm, Threshold(), recurrent=True, bias=True).realisable


def test_silence_on_nothing_is_refused_by_threshold_units():
    # Without input and bias the potential is 0, which fires.
    x = torch.zeros(1, 1, 2).double()
    assert realise(x, torch.tensor([[[True]]]), Threshold()).realisable
    refused = realise(x, torch.tensor([[[False]]]), Threshold())
    assert refused.neurons[0].exact


def test_thresholds_keep_their_value_and_sign():
    sequences = draw_sequences(n=10)
    for theta in (2.5, -0.7):
        neuron = lif(1, 0.5, theta, "soft")
        layer = draw_hidden(depth=2, branches=1, last=1).branches[0].layers[0]
        layer = type(layer)(layer.weight, neuron, None, None)
        realised = realise(sequences.values, spikes_of(layer, sequences) > 0, neuron)
        assert realised.layer.neuron.threshold.item() == theta
        assert torch.equal(spikes_of(realised.layer, sequences), spikes_of(layer, sequences))


@pytest.mark.parametrize(
    ("unit", "neuron"),
    [
        (Unit("threshold", "none", 0.0, 0.0, bias=True), Threshold()),
        (Unit("threshold", "none", 0.0, 0.0, bias=True, self_recurrent=True), Threshold()),
        *((Unit("lif", reset, 0.7, 1.0), lif(1, 0.7, 1.0, reset)) for reset in RESETS),
        (Unit("lif", "delayed", 0.7, -1.0), lif(1, 0.7, -1.0, "delayed")),
    ],
)
def test_all_realisable_patterns_are_realised_and_all_others_refused(unit, neuron):
    """Every one of the 2^8 patterns of four sequences of two steps, against the enumeration of those there are."""
    sequences = draw_sequences(4, 2, 2 if unit.bias and not unit.self_recurrent else 1, seed=3)
    family = NetworkFamily(sequences.n_features, (unit,), every_step=True)
    arrangement = enumerate_family(family, sequences)
    columns = (arrangement.columns.dense() > 0).T.tolist()
    # With a margin: a pattern that only ties give does not count as realisable.
    realisable = {tuple(bits) for j, bits in enumerate(columns) if arrangement.margin(j)}
    settings = {"recurrent": unit.self_recurrent, "bias": unit.bias}
    found = set()
    for bits in itertools.product((False, True), repeat=8):
        wanted = torch.tensor(bits).reshape(4, 2, 1)
        realised = realise(sequences.values, wanted, neuron, **settings)
        if realised.realisable:
            found.add(bits)
            assert torch.equal(spikes_of(realised.layer, sequences, sequences.n_features) > 0, wanted)
        else:
            check_certificate(realised.neurons[0], neuron_rows(realised.pattern, 0))
    assert 4 < len(realisable) < 250
    assert found - {(False,) * 8} == realisable


@given(seed=st.integers(0, 10**6), p=st.integers(1, 6), count=st.integers(1, 30))
def test_separation_finds_weights_or_a_proof_never_both(seed, p, count):
    rng = np.random.default_rng(seed)
    rows = rng.integers(-3, 4, size=(count, p)).astype(float)
    found = separate(rows)
    if found.separable:
        assert (rows @ found.weights).min() == pytest.approx(found.margin)
        assert found.margin > 0
        assert np.linalg.norm(found.weights) == pytest.approx(1)
    else:
        check_certificate(found, rows)
    # Some weights that classify half of the rows by luck, made right: always separable, and at least as widely.
    u = rng.normal(size=p)
    u /= np.linalg.norm(u)
    right = rows * np.sign(rows @ u)[:, None]
    right = right[np.abs(rows @ u) > 0.1]
    if len(right):
        assert separate(right).margin >= (right @ u).min() * (1 - 1e-9)


def test_exact_proofs_are_exact():
    third = [[1.0, 0.1], [-1.0, -0.1]]
    assert separate(np.array(third)).exact
    off = [[1.0, 0.1], [-1.0, -0.1 - 1e-17 - 2e-17]]
    found = separate(np.array(off))
    assert found.exact == (Fraction(off[1][1]) == -Fraction(0.1))


def test_bad_arguments_are_refused():
    x, s = torch.zeros(2, 3, 1).double(), torch.zeros(2, 3, 2) > 0
    with pytest.raises(ValueError, match="below and spikes"):
        realise(x, s[:1], Threshold())
    with pytest.raises(ValueError, match="1 leaks"):
        realise(x, s, lif(1, 0.5, 1.0, "soft"))
    with pytest.raises(ValueError, match="lengths"):
        realise(x, s, Threshold(), lengths=torch.tensor([1, 4]))
    with pytest.raises(ValueError, match="finite matrix"):
        separate(np.full((2, 2), np.nan))


def test_what_only_rounding_makes_equal_is_not_proved_impossible():
    """0.9 * 3.5 + 2.8 and 0.9 * 4.5 + 1.9 are one number in float64 and two in exact arithmetic."""
    x = torch.tensor([[[3.5], [2.8]], [[4.5], [1.9]]]).double()
    wanted = torch.tensor([[[False], [True]], [[False], [False]]])
    for reset in ("none", "soft"):
        neuron = lif(1, 0.9, 1.0, reset)
        impossible = realise(x, wanted, neuron)  # the smaller number would have to reach the threshold, the larger not
        assert impossible.layer is None
        assert impossible.neurons[0].exact
        possible = realise(x, wanted.flip(0), neuron)
        assert possible.neurons[0].separable
        assert 0.0 < possible.neurons[0].margin < 1e-15
        if possible.layer is None:
            assert possible.lost == (0,)
        else:
            assert torch.equal(spikes_of(possible.layer, Sequences(x, torch.tensor([2, 2])), 1) > 0, wanted.flip(0))
