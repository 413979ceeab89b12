"""Stored bounds: data that cannot claim more than an objective, over a family in words that mean one family."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convexsnn import Gaussian, SpikingClassifier
from convexsnn.bounds import NetworkFamily, Unit
from convexsnn.global_bound import GlobalBound
from convexsnn.network import Layer
from convexsnn.reconstruction import realise
from test_exact_patterns import units


def test_bound_as_data():
    bound = GlobalBound(0.25, "universal", "networks", math.inf, 0.5, ("one",), None)
    assert GlobalBound.from_dict(bound.to_dict()) == bound
    assert bound.to_dict()["relative_gap"] == 0.5
    for field, value in {"method": "guess", "value": "1", "assumptions": "none", "relative_gap": 0.1}.items():
        with pytest.raises(ValueError, match=field):
            GlobalBound.from_dict(bound.to_dict() | {field: value})


@given(st.floats(-1e300, 1e300), st.floats(-1e300, 1e300))
def test_no_bound_above_an_objective_can_be_stored(value, primal):
    bound = GlobalBound(-math.inf, "universal", "networks", math.inf, primal)
    if value <= primal:
        assert replace(bound, value=value).gap >= 0.0
        return
    with pytest.raises(ValueError, match="above the objective"):
        replace(bound, value=value)


def test_a_bound_of_other_data_cannot_be_stored():
    random = np.random.default_rng(0)
    X = random.normal(size=(12, 2, 2))
    y = (X[:, 0, 0] > 0).astype(int)
    witnesses = Gaussian(depth=2, leak=0.9, readout="spike", last=200)
    model = SpikingClassifier(witnesses=witnesses, loss="hinge", rho=0.01, random_state=0).fit(X, y)
    certificate = model.certificate_
    with pytest.raises(ValueError, match="above the objective"):
        certificate.global_bound.of_network(certificate.global_bound.value * 0.5)
    with pytest.raises(ValueError, match="above the objective"):
        certificate.with_global_bound(replace(certificate.global_bound, primal=9.0, value=certificate.primal * 1.01))


families = st.builds(
    NetworkFamily,
    st.integers(1, 3),
    st.lists(units(), min_size=1, max_size=2).map(tuple),
    layers=st.integers(1, 3),
    lateral=st.booleans(),
    readout=st.sampled_from(["spike", "membrane", "analog"]),
    every_step=st.booleans(),
    constant=st.booleans(),
)


@given(families, families)
def test_two_families_never_have_the_same_words(one, other):
    assert (one == other) == (str(one) == str(other))


@given(st.floats(0.0, 1.0), st.floats(-10.0, 10.0))
def test_words_have_all_digits(leak, threshold):
    unit = Unit("lif", "soft", leak, threshold)
    next_leak = math.nextafter(leak, 0.5)
    assert (str(unit) == str(replace(unit, leak=next_leak))) == (leak == next_leak)
    assert (str(unit) == str(replace(unit, threshold=math.nextafter(threshold, 20.0)))) is False
    words = str(NetworkFamily(1, (unit,)))
    assert "no weights from one neuron of a layer to another" in words


@pytest.mark.parametrize("settings", [("threshold", "soft", 0.0, 0.0), ("threshold", "none", 0.5, 0.0), ("alpha",)])
def test_units_that_there_are_not_are_refused_by_name(settings):
    with pytest.raises(ValueError, match=r"a threshold unit has no reset|neuron must be one of"):
        Unit(*settings)


class Adaptive:
    """A kind of neuron that nobody has told of."""


def test_other_kinds_of_neurons_are_refused_by_name():
    with pytest.raises(ValueError, match=r"must be a Neuron.*Adaptive"):
        Layer(torch.zeros(1, 1).double(), Adaptive())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"must be a Neuron.*Adaptive"):
        realise(torch.zeros(1, 1, 1).double(), torch.zeros(1, 1, 1) > 0, Adaptive())  # type: ignore[arg-type]


def test_a_label_at_every_step_needs_causal_networks_and_the_bound_says_so():
    X = np.random.default_rng(0).normal(size=(6, 3, 1))
    settings = {"witnesses": Gaussian(depth=2, readout="spike", last=8), "random_state": 0}
    steps = SpikingClassifier(**settings, per_step=True).fit(X, (X[:, :, 0] > 0).astype(int))
    last = SpikingClassifier(**settings).fit(X, (X[:, 0, 0] > 0).astype(int))
    assert "by what they have seen" in steps.certificate_.global_bound.family
    assert "by what they have seen" not in last.certificate_.global_bound.family
