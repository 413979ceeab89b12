"""Gaussian witnesses: draw order, variants, seeds, the constant neuron, settings."""

import pytest
import torch

from convexsnn import Architecture, gaussian, simulate
from convexsnn.witnesses import with_constant
from helpers import draw_sequences, generator


def test_draws_go_branch_by_branch_and_layer_by_layer():
    hidden = gaussian(Architecture(3, depth=4, branches=2, hidden=8, last=6, bias=True, recurrent=True), generator(7))
    stream = generator(7)
    for branch in hidden.branches:
        assert [layer.weight.shape for layer in branch.layers] == [(3, 4), (4, 4), (4, 3)]
        for layer in branch.layers:
            for drawn in (layer.weight, layer.recurrent, layer.bias):
                assert drawn is not None
                assert torch.equal(drawn, torch.randn(drawn.shape, generator=stream).to(torch.float64))


def test_the_global_generator_is_left_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    gaussian(Architecture(3), generator(1))
    assert torch.equal(torch.rand(3), expected)


def test_normalized_and_orthogonal():
    wide = Architecture(4, depth=2, branches=1, last=10)
    weight = gaussian(wide, generator(), "normalized").branches[0].last.weight
    assert torch.allclose(weight.norm(dim=0), torch.ones(10).double(), atol=1e-6)
    weight = gaussian(wide, generator(), "orthogonal").branches[0].last.weight
    for group in (weight[:, :4], weight[:, 4:8], weight[:, 8:]):
        assert torch.allclose(group.T @ group, torch.eye(group.shape[1]).double(), atol=1e-6)


def test_neurons_are_shared_out_over_branches():
    architecture = Architecture(2, depth=3, branches=3, hidden=7, last=8)
    assert [architecture.layer_sizes(k) for k in range(3)] == [[3, 3], [2, 3], [2, 2]]
    assert gaussian(architecture, generator()).n_last == 8


@pytest.mark.parametrize("readout", ["spike", "membrane", "analog"])
@pytest.mark.parametrize("every_step", [False, True])
def test_constant_neuron_reads_one_whatever_the_input(readout, every_step):
    hidden = with_constant(gaussian(Architecture(3, readout=readout, every_step=every_step), generator()))
    features = simulate(hidden, draw_sequences(ragged=True)).features
    assert features[:, -1].to(torch.float64).eq(1.0).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_features": 0}, "n_features"),
        ({"depth": 1}, "depth"),
        ({"branches": 0}, "branches"),
        ({"hidden": -4}, "hidden"),
        ({"hidden": 1, "branches": 2}, "hidden"),
        ({"last": 0}, "last"),
        ({"last": 2.5}, "last"),
        ({"neuron": "lfi"}, "neuron must be one of .* Did you mean 'lif'"),
        ({"leak": 1.1}, "leak"),
        ({"leak": float("nan")}, "leak"),
        ({"threshold": "1"}, "threshold"),
        ({"reset": "zero"}, "reset"),
        ({"readout": "rates"}, "readout"),
        ({"dtype": "float16"}, "dtype"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Architecture(**({"n_features": 3} | settings))


def test_a_generator_is_required():
    with pytest.raises(ValueError, match="generator"):
        gaussian(Architecture(3), None)  # type: ignore[arg-type]


def test_unknown_variant_is_refused():
    with pytest.raises(ValueError, match="variant"):
        gaussian(Architecture(3), generator(), "uniform")  # type: ignore[arg-type]
