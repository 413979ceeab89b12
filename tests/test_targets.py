"""Training within what a target of export can express: what is fitted with `target=` can be exported to it."""

import numpy as np
import pytest
import torch

from convexsnn import (
    Exact,
    Gaussian,
    Heterogeneous,
    Hidden,
    Kernels,
    KernelSearch,
    Reservoir,
    Search,
    SpikingClassifier,
    SpikingRegressor,
    Surrogate,
    gaussian,
)
from convexsnn.export.targets import TARGETS
from convexsnn.families import within
from convexsnn.neurons.lif import dyadic
from convexsnn.readouts import READOUTS, Leaky
from convexsnn.witnesses import Architecture, Heterogeneity
from convexsnn.witnesses.heterogeneous import diversify
from helpers import generator

PACKAGES = {
    "snntorch": "snntorch",
    "spikingjelly": "spikingjelly.activation_based",
    "norse": "norse.torch",
    "nir": "nir",
}
SMALL = {"branches": 2, "hidden": 8, "last": 8}
QUICK = {"rounds": 2, "width": 3, "population": 8, "attempts": 1, "prune": 0, "slim": False, "oracles": ("restarts",)}
FAMILIES = [
    Search(**QUICK),
    Gaussian(**SMALL),
    Heterogeneous(**SMALL),
    Reservoir(**SMALL),
    Surrogate(**SMALL, epochs=1),
    Exact(last=4),
    Kernels(last=20),
    Gaussian(**SMALL) + Search(**QUICK),
]


def bits(n=24, T=4):
    symbols = np.random.default_rng(0).integers(2, size=(n, T))
    return np.eye(2)[symbols], symbols[:, 0] ^ symbols[:, -1]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_what_is_fitted_within_a_target_can_be_exported_to_it(family, target):
    pytest.importorskip(PACKAGES.get(target, target))
    X, y = bits(T=8 if family.name == "kernels" else 4)
    model = SpikingClassifier(witnesses=family, beta=0.01, target=target, random_state=0).fit(X, y)
    assert TARGETS[target].export(model.network_) is not None


@pytest.mark.parametrize("target", TARGETS)
def test_the_default_for_real_numbers_stays_within_a_target(target):
    pytest.importorskip(PACKAGES.get(target, target))
    X = np.random.default_rng(0).normal(size=(30, 10, 1))
    model = SpikingClassifier(target=target, random_state=0, columns=30).fit(X, (X.sum(axis=(1, 2)) > 0).astype(int))
    assert isinstance(model.family, Kernels)
    assert TARGETS[target].export(model.network_) is not None
    regressor = SpikingRegressor(target=target, columns=30, random_state=0).fit(X, X.mean(axis=(1, 2)))
    assert TARGETS[target].export(regressor.network_) is not None


def test_settings_at_their_default_give_way():
    changed = within(Search(), "nir")
    assert changed == Search(reset="hard", readout="spike", dtype="float32", leak=15 / 16)
    free = Search(dyadic_leaks=True)
    assert within(free, "nir") == Search(reset="hard", readout="spike", dtype="float32", dyadic_leaks=True)
    assert within(Search(), "norse") == Search(dyadic_leaks=True)
    assert within(Search(), "torch") == within(Search(), None) == Search()
    assert within(Gaussian(neuron="threshold"), "nir") == Gaussian(neuron="threshold", readout="spike", dtype="float32")
    assert within(Kernels(), "nir") == Kernels(readouts=("count",), dtype="float32")
    assert within(Kernels(readouts=("count",)), "nir") == Kernels(readouts=("count",), dtype="float32")


@pytest.mark.parametrize(
    ("family", "target", "message"),
    [
        (Gaussian(reset="delayed"), "nir", "cannot hold reset='delayed' of witnesses='gaussian': use reset='hard'"),
        (Gaussian(readout="rate"), "nir", "cannot hold readout='rate'.*use readout='spike'"),
        (Gaussian(readout=Leaky(0.5)), "nir", "cannot hold readout=Leaky"),
        (Search(leak=1.0), "norse", r"cannot hold leak=1.0 .*use leak=0\.99"),
        (Reservoir(leak_grid=(0.5, 1.0)), "norse", "cannot hold leak_grid"),
        (Search(reset="none"), "spikingjelly", "cannot hold reset='none'"),
        (Search(reset="delayed", threshold=-1.0), "snntorch", "cannot hold threshold=-1.0"),
        (Kernels(windows=(2,)), "nir", "cannot hold windows"),
        (KernelSearch(), "nir", "cannot hold the rates"),
        (Gaussian() + Search(leak=1.0), "nir", "cannot hold leak=1.0"),
        (Gaussian(), "onnx", "target must be one of"),
    ],
)
def test_what_a_target_cannot_hold_is_refused_by_name_before_any_work(family, target, message):
    with pytest.raises(ValueError, match=message):
        within(family, target)
    with pytest.raises(ValueError, match=message):
        SpikingClassifier(witnesses=family, target=target).check_settings()


def test_given_layers_are_tried():
    layers = gaussian(Architecture(2, hidden=4, last=4, readout="spike"), generator())
    pytest.importorskip("nir")
    with pytest.raises(ValueError, match=r"target='nir' cannot hold the given layers: .*not by subtraction"):
        SpikingClassifier(witnesses=layers, target="nir").check_settings()
    assert isinstance(SpikingClassifier(witnesses=layers, target="torch").family.given[0], Hidden)


def test_dyadic_leaks_are_the_nearest():
    leaks = torch.tensor([0.0, 0.2, 0.4, 0.5, 0.9, 0.99, 1.0])
    assert dyadic(leaks).tolist() == [0.0, 0.0, 0.5, 0.5, 0.875, 127 / 128, 127 / 128]
    hidden = gaussian(Architecture(2, hidden=4, last=4), generator())
    spread = diversify(hidden, generator(), Heterogeneity(dyadic=True))
    found = torch.cat([layer.neuron.leak for layer in spread.layers()])
    assert torch.equal(dyadic(found), found)


def test_targets_name_readouts_that_there_are():
    assert all(set(target.readouts) <= set(READOUTS) for target in TARGETS.values())
