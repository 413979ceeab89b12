"""The second simulation: the columns of the first, and bounds that hold against rational arithmetic."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convexsnn import simulate
from convexsnn.neurons import LIF
from convexsnn.proof import simulation
from convexsnn.proof.model import StoredBranch, StoredHidden, StoredLayer
from convexsnn.proof.readouts import StoredReadout, read_readout
from convexsnn.proof.simulation import simulate_exactly
from helpers import KINDS, draw_hidden, draw_sequences

ALL_KINDS = KINDS | {"LIF delayed": {"reset": "delayed", "bias": True}}


def draw(kind, **settings):
    kinds = ALL_KINDS[kind]
    return draw_hidden("LIF soft", **({"neuron": "lif"} | kinds | settings))


def convert(hidden):
    """A network of torch tensors as the proof has it when it reads a file."""
    array = lambda tensor: None if tensor is None else tensor.numpy()  # noqa: E731
    dtype = np.dtype(str(hidden.dtype).split(".")[1])

    def layer(la):
        lif = isinstance(la.neuron, LIF)
        settings = (la.neuron.reset, array(la.neuron.leak), array(la.neuron.threshold)) if lif else (None, *zeros(la.m))
        return StoredLayer(array(la.weight), array(la.recurrent), array(la.bias), *settings, la.delays)

    zeros = lambda m: (np.zeros(m, dtype), np.zeros(m, dtype))  # noqa: E731
    branches = tuple(StoredBranch(tuple(map(layer, b.layers)), array(b.readout_bias)) for b in hidden.branches)
    return StoredHidden(hidden.n_features, branches, read_readout(hidden.readout.describe()), hidden.every_step, dtype)


def both(hidden, sequences):
    return simulate(hidden, sequences), simulate_exactly(
        convert(hidden), sequences.values.numpy(), sequences.lengths.numpy()
    )


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("readout", ["spike", "membrane"])
@pytest.mark.parametrize("every_step", [False, True])
@pytest.mark.parametrize("kind", ALL_KINDS)
def test_columns_are_those_of_torch_and_decided(kind, every_step, readout, dtype):
    hidden = draw(kind, every_step=every_step, readout=readout, dtype=dtype)
    first, second = both(hidden, draw_sequences(n=60, T=6, ragged=True))
    assert np.array_equal(first.features.numpy(), second.columns)
    assert second.margin == pytest.approx(first.margin, rel=1e-2)
    assert second.undecided == 0
    assert 0 < second.columns.mean() < 1


def test_resets_that_are_not_known_are_proved_as_no_other():
    hidden, sequences = convert(draw("LIF soft")), draw_sequences(n=3, T=2)
    layers = tuple(replace(layer, reset="twice") for layer in hidden.branches[0].layers)
    other = replace(hidden, branches=(StoredBranch(layers, None),))
    with pytest.raises(ValueError, match="reset 'twice'"):
        simulate_exactly(other, sequences.values.numpy(), sequences.lengths.numpy())


def test_equal_sequences_and_many_of_them(monkeypatch):
    monkeypatch.setattr(simulation, "CHUNK", 7)
    sequences = draw_sequences(n=40, T=4, ragged=True)
    sequences = sequences.take(torch.tensor([*range(40), *range(5, 25)]))
    for every_step in (False, True):
        first, second = both(draw("recurrent LIF", every_step=every_step), sequences)
        assert np.array_equal(first.features.numpy(), second.columns)


def rational_potentials(layer, x):
    """Potentials before reset of one layer in rational arithmetic: a list a step of lists a neuron."""
    F = lambda a: np.vectorize(Fraction, otypes=[object])(a.astype(np.float64))  # noqa: E731
    weight, m = F(layer.weight), layer.m
    recurrent = None if layer.recurrent is None else F(layer.recurrent)
    bias = 0 if layer.bias is None else F(layer.bias)
    leak, theta = F(layer.leak), F(layer.threshold)
    v, s, steps = [Fraction(0)] * m, np.array([0] * m, dtype=object), []
    for x_t in F(x):
        current = x_t @ weight + (0 if recurrent is None else s @ recurrent) + bias
        if layer.reset is None:
            v = list(current)
        else:
            late = [theta[j] if layer.reset == "delayed" and v[j] >= theta[j] else 0 for j in range(m)]
            v = [leak[j] * v[j] + current[j] - late[j] for j in range(m)]
        steps.append(list(v))
        s = np.array([int(v[j] >= theta[j]) for j in range(m)], dtype=object)
        if layer.reset == "soft":
            v = [v[j] - theta[j] * s[j] for j in range(m)]
        elif layer.reset == "hard":
            v = [v[j] * (1 - s[j]) for j in range(m)]
    return steps


@given(
    kind=st.sampled_from(sorted(ALL_KINDS)),
    seed=st.integers(0, 10**6),
    dtype=st.sampled_from(["float64", "float32"]),
    whole=st.booleans(),
)
def test_bounds_hold_against_rational_arithmetic(kind, seed, dtype, whole):
    hidden = draw(kind, seed=seed, dtype=dtype, depth=2, branches=1, last=6, leak=0.75 if whole else 0.9)
    converted = convert(hidden)
    layer = converted.branches[0].layers[0]
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(8, 3)).astype(converted.dtype)
    if whole:  # on a grid, where ties occur and all is exact
        x = np.round(x)
        layer = StoredLayer(
            np.round(layer.weight),
            None if layer.recurrent is None else np.round(layer.recurrent),
            None if layer.bias is None else np.round(layer.bias),
            layer.reset,
            layer.leak,
            layer.threshold,
        )
    noted = []

    class Record(simulation._Tally):
        def note(self, distance, error):
            noted.append((distance[0], error[0]))

    branch = StoredBranch((layer,), None)
    simulation._run(
        StoredHidden(3, (branch,), StoredReadout("spike"), False, converted.dtype), branch, x[None], Record()
    )
    for (distance, error), potentials in zip(noted, rational_potentials(layer, x), strict=True):
        for j, potential in enumerate(potentials):
            true = potential - Fraction(float(layer.threshold[j]))
            # The distance itself is one more rounded difference, whose sign is exact.
            off = abs(Fraction(float(distance[j])) - true)
            unit = Fraction(float(np.finfo(converted.dtype).eps))
            assert off <= Fraction(float(error[j])) + unit * abs(true)
            if abs(float(distance[j])) > error[j] or error[j] == 0:
                assert (distance[j] >= 0) == (true >= 0)
            if whole:
                assert error[j] == 0


def test_ties_are_decided_on_a_grid_and_not_elsewhere():
    def undecided(weight, x):
        layer = StoredLayer(np.full((2, 1), weight), None, None, "soft", np.ones(1), np.array([2.0 * weight * x]))
        hidden = StoredHidden(2, (StoredBranch((layer,), None),), StoredReadout("spike"), False, np.dtype(float))
        return simulate_exactly(hidden, np.full((1, 1, 2), x), np.ones(1, dtype=np.int64))

    assert undecided(0.5, 1.0).undecided == 0
    assert undecided(0.5, 1.0).columns.all()
    assert undecided(0.5, 1.0).margin == 0
    assert undecided(1 / 3, 0.1).undecided == 1


def test_potentials_that_overflow_are_refused():
    hidden = convert(draw("LIF none", leak=1.0))
    with pytest.raises(ValueError, match="range"), np.errstate(over="ignore", invalid="ignore"):
        simulate_exactly(hidden, np.full((2, 3, 3), 1e308), np.full(2, 3))
