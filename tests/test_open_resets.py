"""A fifth reset that only LIF neurons themselves know: all else refuses it, by its name."""

import importlib
from dataclasses import replace

import pytest
import torch

import test_open_neurons as neurons
from convexsnn import Branch
from convexsnn.neurons import LIF, RESETS, Fired, lif

NAME = "echo"
KNOWING = ("convexsnn.neurons.lif", "convexsnn.bounds.family", "convexsnn.witnesses.architecture")
# These are given the name of a kind of neuron and no reset.
BY_KIND = ("search", "gaussian", "surrogate family", "exact", "reservoir", "heterogeneous")


def draw(**settings):
    """Random layers of neurons with this reset, which do not feed one another."""
    hidden = neurons.draw_adaptive(**settings)
    changed = lambda layer: replace(layer, neuron=lif(layer.m, 0.5, 1.0, NAME, hidden.dtype), recurrent=None)  # noqa: E731
    return replace(hidden, branches=tuple(Branch(tuple(map(changed, b.layers))) for b in hidden.branches))


def step(self, current, state):
    """The membrane is halved by a spike."""
    potential = self.leak * state[0] + current
    spikes = potential >= self.threshold
    return Fired(spikes, (torch.where(spikes, potential / 2, potential),), potential - self.threshold)


@pytest.fixture(autouse=True)
def _known(monkeypatch):
    for module in map(importlib.import_module, KNOWING):
        monkeypatch.setattr(module, "RESETS", (*RESETS, NAME))
    monkeypatch.setattr(LIF, "step", step)
    monkeypatch.setattr(neurons, "draw", draw)


@pytest.mark.parametrize("what", [what for what in neurons.REFUSALS if what not in BY_KIND])
def test_what_knows_the_four_resets_refuses_a_fifth_by_name(what):
    packages = {"spikingjelly": "spikingjelly.activation_based", "norse": "norse.torch"}
    if what in ("snntorch", "spikingjelly", "norse", "nir"):
        pytest.importorskip(packages.get(what, what))
    with pytest.raises((ValueError, AssertionError), match=NAME):
        neurons.REFUSALS[what]()
