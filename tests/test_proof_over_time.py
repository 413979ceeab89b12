"""Exact proofs of networks with readouts over time and delays."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from convexsnn import Gaussian, SpikingClassifier, SpikingRegressor
from convexsnn.proof.model import DamagedModelError, read_model
from convexsnn.proof.readouts import read_readout
from convexsnn.proof.verification import verify_exactly
from convexsnn.readouts import Count, Leaky, Membrane, Rate, Several, Spike, Windows
from convexsnn.storage import save_model
from helpers import draw_hidden, draw_sequences, generator, reseal
from test_proof_simulation import both

READOUTS = {
    "spike": Spike(),
    "rate": Rate(),
    "count": Count(),
    "leaky": Leaky(0.7),
    "windows": Windows(3, 2),
    "several": Several((Windows(2, 3), Leaky(0.5), Membrane(), Rate(), Spike())),
}


def draw(readout, delays=((0, 2, 4), (1,)), **settings):
    """Two branches of two layers with delays."""
    hidden, random = draw_hidden(readout=readout, **settings), generator(5)
    branches = []
    for branch in hidden.branches:
        layers = []
        for layer, own in zip(branch.layers, delays, strict=True):
            weight = torch.randn(layer.n_in * len(own), layer.m, generator=random).to(hidden.dtype)
            layers.append(replace(layer, weight=weight, delays=own))
        branches.append(replace(branch, layers=tuple(layers)))
    return replace(hidden, branches=tuple(branches))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("every_step", [False, True])
@pytest.mark.parametrize("name", READOUTS)
@pytest.mark.parametrize("kind", ["LIF soft", "recurrent threshold"])
def test_columns_are_those_of_torch_to_the_last_bit(kind, name, every_step, dtype):
    hidden = draw(READOUTS[name], kind=kind, every_step=every_step, dtype=dtype)
    first, second = both(hidden, draw_sequences(n=40, T=7, ragged=True))
    assert np.array_equal(first.features.double().numpy(), second.columns.astype(float))
    assert second.columns.shape[1] == hidden.n_last
    assert second.undecided == 0
    assert second.margin == pytest.approx(first.margin, rel=1e-2)


def data(n=40, T=7):
    X = np.random.default_rng(0).normal(size=(n, T, 3)) + 0.3
    return X, (X[:, :, 0].mean(axis=1) > 0.3).astype(int)


@pytest.mark.parametrize("name", READOUTS)
@pytest.mark.parametrize("loss", ["hinge", "squared", "cross_entropy"])
def test_fits_are_proved(tmp_path, name, loss):
    X, y = data()
    model = SpikingClassifier(witnesses=draw(READOUTS[name]), loss=loss, beta=0.05).fit(X, y)
    save_model(model, tmp_path / "m.safetensors")
    outcome = verify_exactly(tmp_path / "m.safetensors", X, y)
    assert outcome.problems == ()
    assert 0 <= outcome.proof.relative_gap <= 1e-6
    assert outcome.proof.exact == (loss != "cross_entropy")
    assert float(outcome.proof.dual) == pytest.approx(model.certificate_.dual, rel=1e-12)
    assert ("IEEE" in outcome.trusted[0]) == (name != "spike")


def test_a_drawn_family_read_by_rates_at_every_step_is_proved(tmp_path):
    X, _ = data()
    y = X[:, :, 0].cumsum(axis=1)
    family = Gaussian(readout="rate", hidden=8, last=20)
    model = SpikingRegressor(witnesses=family, per_step=True, beta=0.05, random_state=0).fit(X, y)
    save_model(model, tmp_path / "m.safetensors")
    assert verify_exactly(tmp_path / "m.safetensors", X, y).problems == ()


def in_both(name, value):
    """An edit that gives the witnesses and the network another `name`."""

    def edit(header, _):
        for part in ("witnesses", "network"):
            header[part][name] = value

    return edit


def delays(value):
    def edit(header, _):
        for part in ("witnesses", "network"):
            for branch in header[part]["branches"]:
                branch[0]["delays"] = value

    return edit


FORGERIES = {
    "another mu": (in_both("readout", {"kind": "leaky", "mu": 0.6}), ""),
    "a count": (in_both("readout", "count"), ""),
    "a rate": (in_both("readout", "rate"), ""),
    "of the last step": (in_both("readout", "spike"), ""),
    "an analog": (in_both("readout", "analog"), "needs columns of spikes"),
    "several with analog": (in_both("readout", {"kind": "several", "readouts": ["rate", "analog"]}), "needs columns"),
    "more parts": (in_both("readout", {"kind": "windows", "count": 2, "length": 3}), ""),
    "unknown": (in_both("readout", "mean"), "'mean' is unknown"),
    "a list": (in_both("readout", ["rate", "count"]), "is unknown"),
    "mu beyond 1": (in_both("readout", {"kind": "leaky", "mu": 1.5}), "mu of its readout"),
    "no mu": (in_both("readout", {"kind": "leaky"}), "has the settings"),
    "no windows": (in_both("readout", {"kind": "windows", "count": 0, "length": 2}), "count of its readout"),
    "no length": (in_both("readout", {"kind": "windows", "count": 1, "length": True}), "length of its readout"),
    "a setting too many": (in_both("readout", {"kind": "rate", "mu": 0.5}), "has the settings"),
    "other delays": (delays([0, 2, 5]), ""),
    "delays beyond the end": (delays([0, 2, 10**12]), ""),
    "fewer delays": (delays([0, 2]), "must be finite"),
    "delays in another order": (delays([2, 0, 4]), "ascending order"),
    "negative delays": (delays([-1, 0, 4]), "ascending order"),
    "no delays": (delays([]), "ascending order"),
    "delays that are no list": (delays("024"), "ascending order"),
    "delays that are no steps": (delays([0, 1.0, 2]), "ascending order"),
}


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    X, y = data()
    path = tmp_path_factory.mktemp("honest") / "m.safetensors"
    save_model(SpikingClassifier(witnesses=draw(Leaky(0.7)), loss="hinge", beta=0.05).fit(X, y), path)
    return path


@pytest.mark.parametrize("name", FORGERIES)
def test_no_forged_file_is_believed(honest, tmp_path, name):
    edit, message = FORGERIES[name]
    X, y = data()
    assert verify_exactly(honest, X, y).holds
    forged = tmp_path / "m.safetensors"
    forged.write_bytes(honest.read_bytes())
    reseal(forged, edit)
    outcome = verify_exactly(forged, X, y)
    assert not outcome.holds
    assert any(message in problem for problem in outcome.problems)


def test_readouts_are_read_as_they_are_described():
    for readout in READOUTS.values():
        assert read_readout(readout.describe()).parts == readout.parts
    several = read_readout(READOUTS["several"].describe())
    assert (several.kept, several.parts, several.bits) == (4, 6, False)
    with pytest.raises(ValueError, match="readout 3 is unknown"):
        read_readout(3)


def test_model_files_say_which_delays_they_have(honest, tmp_path):
    assert [layer.delays for layer in read_model(honest).witnesses.branches[0].layers] == [(0, 2, 4), (1,)]
    forged = tmp_path / "m.safetensors"
    forged.write_bytes(honest.read_bytes())
    reseal(forged, delays([4, 2, 0]))
    with pytest.raises(DamagedModelError, match="ascending order"):
        read_model(forged)
