"""Bounds over two layers, the first of few neurons: against all first layers, random networks, and verification."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convexsnn import Exact, Gaussian, SpikingClassifier
from convexsnn.bounds import FirstLayer, LayeredCells, NetworkFamily, Unit, cells_of, exact_oracle
from convexsnn.bounds.patterns.enumerations import enumeration_of
from convexsnn.bounds.pricing.branch_and_bound import Goal, best_patterns
from convexsnn.dictionary import build_dictionary
from convexsnn.exact import ExactSettings
from convexsnn.network import Branch, Hidden
from convexsnn.penalties import PENALTIES
from convexsnn.sequences import Sequences, as_sequences
from convexsnn.verification import verify
from helpers import draw_sequences

LIF = Unit("lif", "soft", 0.75, 1.0)
UNITS = (LIF, Unit("lif", "hard", 0.5, 1.0, bias=True), Unit("threshold", "none", 0.0, 0.0, bias=True))


def two_layers(width, first=LIF, last=LIF, d=2, **more):
    return NetworkFamily(d, (last,), layers=2, below=FirstLayer(first, width), **more)


def bits_of(T):
    return np.array(list(itertools.product([0, 1], repeat=T)))


def random_networks(family, count, seed):
    """Branches of random first layers, each below 8 random neurons; weights on a grid, so that there are ties."""
    random = torch.Generator().manual_seed(seed)
    draw = lambda r, m: torch.randint(-4, 5, (r, m), generator=random).double() / 2  # noqa: E731
    branches = []
    for _ in range(count):
        layers = []
        inputs = ((family.below.unit, family.n_features, family.below.width), (family.units[0], family.inputs, 8))
        for unit, d, m in inputs:
            p = draw(d + 5, m)
            if unit.has_threshold:
                p[d + unit.self_recurrent + unit.bias] = 1.0
            layers.append(unit.branch(p, d, torch.float64).last)
        branches.append(Branch(tuple(layers)))
    return Hidden(family.n_features, tuple(branches), family.readout, family.every_step)


def spikes_of(cells, trains):
    """What a first layer of these trains sends on, on the distinct sequences."""
    sequences = cells.rows.sequences
    values = torch.zeros(len(sequences), sequences.n_steps, len(trains), dtype=torch.float64)
    values[sequences.shown] = torch.from_numpy(cells.trains.bits[list(trains)].T.astype(float))
    return Sequences(values, sequences.lengths)


@settings(max_examples=3)
@given(st.integers(0, 10**6))
def test_the_price_is_that_of_the_best_first_layer(seed):
    """One layer is priced above each first layer by itself; no other search is more than its best."""
    random = np.random.default_rng(seed)
    first, last = random.choice(len(UNITS), size=2)
    family = two_layers(1, UNITS[first], UNITS[last], 1, every_step=bool(random.random() < 0.5))
    family = replace(family, readout="membrane" if random.random() < 0.5 else "spike")
    sequences = draw_sequences(5, 2, 1, seed=seed, ragged=True)
    cells, penalty = LayeredCells(family, sequences), PENALTIES["group"]
    kept, best = torch.from_numpy(cells.rows.kept), 0.0
    U = torch.from_numpy(random.normal(size=(sequences.rows(family.every_step), 2)))
    above = NetworkFamily(1, family.units, readout=family.readout, every_step=family.every_step)
    for train in range(len(cells.trains.bits)):
        packed = enumeration_of(above.units[0], above, spikes_of(cells, [train])).patterns(lambda _: None).columns
        columns = torch.from_numpy(np.unpackbits(packed, axis=1, count=len(kept))).double()
        best = max(best, float(penalty.row_norms(columns @ U[kept]).max()))
    pricing = cells.priced(U.numpy(), penalty)[0]
    ended = best_patterns(pricing, Goal(0.0, 1, math.inf))
    assert ended.finished
    assert ended.bound == pytest.approx(best, rel=1e-9, abs=1e-12)
    assert best_patterns(pricing, Goal(0.0, 1, 0.0)).bound >= best * (1 - 1e-12)


@pytest.mark.parametrize("width", [2, 3])
def test_no_network_is_worth_more_than_the_price(width):
    """Random networks stay below; the neurons that are given are worth what they are said to be."""
    X = as_sequences(np.eye(2)[bits_of(2)]) if width == 2 else draw_sequences(8, 1, 2)
    family = two_layers(width)
    U = torch.from_numpy(np.random.default_rng(width).normal(size=(len(X), 1)))
    priced = exact_oracle(U, cells_of(family, X), penalty=PENALTIES["l1"], rho=0.1, count=4)
    columns = build_dictionary(random_networks(family, 60, width), X).columns
    assert priced.finished
    assert float(columns.rmatmul(U).abs().max()) <= 0.1 * priced.kappa * (1 + 1e-12)
    own = build_dictionary(priced.witnesses, X).columns
    assert float(own.rmatmul(U).abs().max()) == pytest.approx(0.1 * priced.best)
    assert priced.kappa == pytest.approx(priced.best)
    assert NetworkFamily.of(priced.witnesses) == family


def test_the_best_network_of_two_layers_is_certified():
    """First-last XOR: a second layer halves the objective of one layer, and no other network is below."""
    bits = bits_of(3)
    X, y = np.eye(2)[bits], bits[:, 0] ^ bits[:, -1]
    family = Exact(method="pricing", first_layer=1, leak=0.99, readout="spike")
    model = SpikingClassifier(witnesses=family, loss="hinge", rho=0.01, random_state=0).fit(X, y)
    certificate = model.certificate_
    assert (certificate.scope, certificate.family_bound.method) == ("global", "pricing")
    assert certificate.holds(1e-6)
    assert certificate.primal == pytest.approx(0.04, rel=1e-6)  # 0.08 with one layer
    assert "two hidden layers, the first of at most 1 LIF neurons" in certificate.family_bound.family
    assert model.score(X, y) == 1.0


def test_the_bound_of_a_trained_network_is_verified_again():
    bits = bits_of(3)
    X, y = np.eye(2)[bits], bits[:, 0] ^ bits[:, -1]
    shape = Gaussian(depth=3, branches=8, hidden=8, last=16, threshold=0.3, readout="spike")
    model = SpikingClassifier(witnesses=shape, loss="hinge", rho=0.01, random_state=0).fit(X, y)
    before = model.certificate_
    with pytest.raises(ValueError, match="method 'pricing'"):
        model.tighten_bound(X, y)
    with pytest.raises(ValueError, match="one hidden layer only"):
        model.tighten_bound(X, y, ExactSettings("pricing"), leaks=(0.0, 1.0))
    bound = model.tighten_bound(X, y, ExactSettings("pricing", time_limit=20.0))
    assert before.global_bound.value < bound.value <= before.primal
    assert verify(model.trained_, model.certificate_, model.problem(X, y)).holds


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"hidden": 16}, "first may have 3 neurons"),
        ({"recurrent": True}, "without recurrent weights"),
    ],
)
def test_other_first_layers_are_refused(settings, words):
    X, y = np.random.default_rng(0).normal(size=(8, 2, 2)), np.arange(8) % 2
    shape = Gaussian(depth=3, **({"branches": 4, "hidden": 8, "last": 8, "readout": "spike"} | settings))
    model = SpikingClassifier(witnesses=shape, rho=0.1, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match=words):
        model.tighten_bound(X, y, ExactSettings("pricing"))


def test_what_would_not_end_is_refused_with_numbers():
    X = as_sequences(np.random.default_rng(0).normal(size=(6, 5, 2)))
    for width, words in ((2, "functions of the first layer's spikes"), (3, "words of spikes")):
        with pytest.raises(ValueError, match=words):
            cells_of(two_layers(width), X)
    with pytest.raises(ValueError, match="at most 3"):
        FirstLayer(LIF, 4)
    with pytest.raises(ValueError, match="needs method='pricing'"):
        Exact(first_layer=2)
