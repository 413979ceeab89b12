"""Branches scored on another device: what would fail on a GPU is found without one."""

from __future__ import annotations

import pytest
import torch

from convexsnn.prefixes import prefixes_of
from convexsnn.search.branches import simulator
from convexsnn.search.branches.variation import Variation, input_scale
from convexsnn.search.effort import Effort
from convexsnn.search.settings import SearchSettings
from convexsnn.sequences import as_sequences
from convexsnn.witnesses import Architecture


def draw_branches(*, real, **shape):
    random = torch.Generator().manual_seed(0)
    X = torch.rand(40, 6, 2, generator=random, dtype=torch.float64)
    prefixes = prefixes_of(as_sequences(X if real else (X > 0.5).double()), every_step=False)
    architecture = Architecture(2, bias=True, **shape)
    variation = Variation(architecture, 5, input_scale(prefixes, 1.0), free_leak=True)
    return variation.draw(7, random), prefixes, prefixes.gather(torch.randn(40, 3, generator=random))


@pytest.mark.parametrize("real", [False, True], ids=["bits", "real"])
@pytest.mark.parametrize("shape", [{"depth": 2, "recurrent": True}, {"depth": 3, "reset": "delayed"}], ids=str)
def test_scoring_makes_no_tensor_without_a_device(shape, real):
    """Inside torch.device("meta") such a tensor would be on another device than the branches."""
    population, prefixes, counts = draw_branches(real=real, **shape)
    expected = simulator.correlate(population, prefixes, counts)
    with torch.device("meta"):
        found = simulator.correlate(population, prefixes, counts)
    assert torch.equal(found, expected)


def test_everything_goes_to_the_device():
    """On the device "meta" nothing is computed, but an operation on two devices raises."""
    population, prefixes, counts = draw_branches(real=False, depth=3, recurrent=True)
    meta = torch.device("meta")
    there = simulator.correlate(population.map(lambda tensor: tensor.to(meta)), prefixes.to(meta), counts)
    assert there.device.type == "meta"
    assert there.shape == (7, 5, 3)


def test_a_gpu_is_given_the_effort_of_as_many_seconds():
    _, prefixes, _ = draw_branches(real=False, depth=2)
    effort = lambda device, **settings: Effort.of(SearchSettings(**settings), prefixes, 1, torch.device(device)).total  # noqa: E731
    assert effort("cpu") == pytest.approx(2e10)
    assert effort("cuda") > 10 * effort("cpu")
    assert effort("cuda", effort=1e9) == effort("cpu", effort=1e9) == 1e9
    assert effort("cpu", seconds=5.0) == pytest.approx(1e10)
