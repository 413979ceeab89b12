"""Dynamics against hand-computed traces."""

import pytest
import torch

from convexsnn import LIF, Branch, Hidden, Layer, Threshold, as_sequences, simulate
from convexsnn.neurons import lif


def one_neuron(neuron, weight=1.0, recurrent=None, bias=None, readout="spike", every_step=True, readout_bias=None):
    tensor = lambda value, *shape: None if value is None else torch.full(shape, value, dtype=torch.float64)  # noqa: E731
    layer = Layer(tensor(weight, 1, 1), neuron, tensor(recurrent, 1, 1), tensor(bias, 1))
    return Hidden(1, (Branch((layer,), tensor(readout_bias, 1)),), readout, every_step)


def trace(hidden, inputs):
    """Features of one sequence of scalars, as a list."""
    simulation = simulate(hidden, as_sequences([[[x] for x in inputs]]))
    return simulation.features.flatten().to(torch.float64).tolist()


# leak 1/2, threshold 1, inputs .75, .75, .75, 0, 2: everything is dyadic, so the traces are exact.
INPUTS = [0.75, 0.75, 0.75, 0.0, 2.0]


@pytest.mark.parametrize(
    ("reset", "spikes", "membrane"),
    [
        # v-: .75, 1.125 -> .125, .8125, .40625, 2.203125 -> 1.203125
        ("soft", [0, 1, 0, 0, 1], [0.75, 0.125, 0.8125, 0.40625, 1.203125]),
        # v-: .75, 1.125 -> 0, .75, .375, 2.1875 -> 0
        ("hard", [0, 1, 0, 0, 1], [0.75, 0.0, 0.75, 0.375, 0.0]),
        # v-: .75, 1.125, 1.3125, .65625, 2.328125
        ("none", [0, 1, 1, 0, 1], [0.75, 1.125, 1.3125, 0.65625, 2.328125]),
        # v-: .75, 1.125, .5625 + .75 - 1 = .3125, .15625, 2.078125
        ("delayed", [0, 1, 0, 0, 1], [0.75, 1.125, 0.3125, 0.15625, 2.078125]),
    ],
)
def test_lif_traces(reset, spikes, membrane):
    neuron = lif(1, 0.5, 1.0, reset)
    assert trace(one_neuron(neuron), INPUTS) == spikes
    assert trace(one_neuron(neuron, readout="analog"), INPUTS) == membrane
    # The membrane readout thresholds the membrane after reset.
    expected = [float(v - 0.5 >= 0) for v in membrane]
    assert trace(one_neuron(neuron, readout="membrane", readout_bias=0.5), INPUTS) == expected


def test_lif_fires_on_an_exact_tie():
    simulation = simulate(one_neuron(lif(1, 0.5, 1.0, "soft")), as_sequences([[[1.0]]]))
    assert simulation.features.item() is True
    assert simulation.margin == 0.0


def test_lif_with_recurrence_and_bias():
    # v- = v/2 + x + 1/4 - s_prev: 1 -> s, v 0; 0 + 1 + ... with x = .75: 0 + .75 + .25 - 1 = 0; 0 + 1 = 1 -> s, v 0
    neuron = lif(1, 0.5, 1.0, "soft")
    assert trace(one_neuron(neuron, recurrent=-1.0, bias=0.25), [0.75, 0.75, 0.75]) == [1, 0, 1]


def test_threshold_unit_fires_at_zero_and_has_no_memory():
    assert trace(one_neuron(Threshold(), bias=-0.5), [0.25, 0.5, 0.75, 0.0]) == [0, 1, 1, 0]
    assert trace(one_neuron(Threshold(), bias=-0.5, readout="analog"), [0.25, 0.75]) == [-0.25, 0.25]


def test_recurrent_threshold_unit_computes_parity():
    # Two units of state for xor need two neurons: h = [x and not p, p and not x], p = any(h) before.
    weight = torch.tensor([[1.0, -1.0]], dtype=torch.float64)
    recurrent = torch.tensor([[-1.0, 1.0], [-1.0, 1.0]], dtype=torch.float64)
    bias = torch.tensor([-0.5, -0.5], dtype=torch.float64)
    hidden = Hidden(1, (Branch((Layer(weight, Threshold(), recurrent, bias),)),), every_step=True)
    bits = [1, 0, 1, 1, 0, 1]
    features = simulate(hidden, as_sequences([[[b] for b in bits]])).features
    parity = torch.cumsum(torch.tensor(bits), 0) % 2
    assert torch.equal(features.any(dim=1).to(torch.int64), parity)


def test_per_neuron_leak_and_threshold():
    leak, threshold = torch.tensor([0.0, 1.0], dtype=torch.float64), torch.tensor([0.5, 2.0], dtype=torch.float64)
    layer = Layer(torch.ones(1, 2, dtype=torch.float64), LIF(leak, threshold, "none"))
    simulation = simulate(Hidden(1, (Branch((layer,)),), every_step=True), as_sequences([[[0.5], [0.5], [1.0]]]))
    assert simulation.features.tolist() == [[True, False], [True, False], [True, True]]


def test_spikes_feed_the_next_layer_in_the_same_step():
    first = Layer(torch.ones(1, 1, dtype=torch.float64), lif(1, 0.0, 1.0, "none"))
    second = Layer(torch.full((1, 1), 0.5, dtype=torch.float64), lif(1, 1.0, 1.0, "soft"))
    hidden = Hidden(1, (Branch((first, second)),), every_step=True)
    # The first fires at each 1; the second counts two of them.
    assert trace(hidden, [1.0, 0.0, 1.0, 1.0, 1.0]) == [0, 0, 1, 0, 1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dynamics_stay_in_the_dtype_of_the_network(dtype):
    layer = Layer(torch.full((1, 1), 0.1, dtype=dtype), lif(1, 1.0, 10.0, "none", dtype))
    hidden = Hidden(1, (Branch((layer,)),), "analog", dtype=dtype)
    features = simulate(hidden, as_sequences([[[1.0]] * 3])).features
    total = torch.zeros((), dtype=dtype)
    for _ in range(3):
        total = total + torch.tensor(0.1, dtype=dtype)
    assert features.dtype == dtype
    assert features.item() == total.item()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: lif(1, 1.5, 1.0, "soft"), "leak"),
        (lambda: lif(1, 0.5, float("nan"), "soft"), "threshold"),
        (lambda: lif(1, 0.5, 1.0, "sfot"), "reset"),
        (lambda: Layer(torch.ones(2, 3), Threshold(), recurrent=torch.ones(2, 2)), "recurrent"),
        (lambda: Layer(torch.ones(2, 3), lif(3, 0.5, 1.0, "soft")), "leak is torch.float64"),
        (lambda: Layer(torch.full((1, 1), float("inf")), Threshold()), "weight must be finite"),
        (lambda: Branch(()), "layer"),
        (lambda: Branch((Layer(torch.ones(2, 3), Threshold()), Layer(torch.ones(2, 1), Threshold()))), "expects 2"),
        (lambda: Hidden(5, (Branch((Layer(torch.ones(2, 3), Threshold()),)),), dtype=torch.float32), "features"),
        (lambda: Hidden(2, (), readout="spikes"), "readout"),  # type: ignore[arg-type]
    ],
)
def test_bad_parameters_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()
