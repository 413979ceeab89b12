"""Which patterns there are is decided without rounding: none is missed, none is made up, and no bound is beaten."""

import itertools
import math
import warnings
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning

from adversary import LEAKS, RESETS, SHAPES, adversary, inputs
from convexsnn import Exact, SpikingClassifier, SpikingRegressor, solve
from convexsnn.bounds import FamilyCells, NetworkFamily, Unit, enumerate_family, exact_oracle, pricing_certificate
from convexsnn.bounds.patterns.weights import _ties
from convexsnn.columns import BitColumns, pack_bits
from convexsnn.exact import ExactSettings, solve_exactly
from convexsnn.losses import LOSSES
from convexsnn.penalties import PENALTIES
from convexsnn.prefixes import equal_prefixes
from convexsnn.program import ConvexProgram, uniform_weights
from convexsnn.rationals import interior
from convexsnn.sequences import as_sequences
from convexsnn.verification import verify
from helpers import NORMS, draw_targets, make_problem
from rational_neurons import column


def units():
    """LIF neurons of every reset and sign of threshold, and threshold units."""
    flags = {"bias": st.booleans(), "self_recurrent": st.booleans()}
    lif = st.builds(
        Unit,
        st.just("lif"),
        st.sampled_from(RESETS),
        st.sampled_from(LEAKS),
        st.sampled_from((1.0, 0.7, -1.0, 0.0)),
        readout_bias=st.booleans(),
        **flags,
    )
    threshold = st.builds(Unit, st.just("threshold"), st.just("none"), st.just(0.0), st.just(0.0), **flags)
    return st.one_of(lif, threshold)


def exactly_given(arrangement, j):
    """Whether the pattern is what a neuron with rational parameters gives."""
    owner, conditions = arrangement._conditions(j)
    dynamics, unit = arrangement._trees[owner].dynamics, arrangement.family.units[owner]
    strict = -conditions.forms[~conditions.bits]
    if dynamics.theta is not None:
        size = np.zeros((1, conditions.forms.shape[1]), dtype=object)
        size[0, dynamics.theta] = 1
        strict = np.concatenate([strict, size])
    found = interior(strict, conditions.forms[conditions.bits])
    scales = [Fraction(2) ** -int(e) for e in dynamics.exponents] + [Fraction(1)] * len(dynamics.at)
    p = [v * scale for v, scale in zip(found.point.tolist(), scales, strict=True)]
    return column(unit, arrangement.family, arrangement.sequences, p)


@settings(max_examples=40, deadline=None)
@given(units(), st.sampled_from(SHAPES), st.integers(0, 10**6), st.booleans(), st.booleans())
def test_all_patterns_are_found_and_no_others(unit, shape, seed, membrane, every_step):
    if not membrane:
        unit = replace(unit, readout_bias=False)
    sequences = inputs(shape, seed)
    family = NetworkFamily(
        sequences.n_features, (unit,), readout="membrane" if membrane else "spike", every_step=every_step
    )
    arrangement = enumerate_family(family, sequences)
    columns = [tuple(bits) for bits in (arrangement.columns.dense() > 0).T.tolist()]
    for j in range(len(columns)):
        assert exactly_given(arrangement, j) == columns[j]
    silent = (False,) * sequences.rows(every_step)
    known = set(columns) | ({silent} if arrangement.silent else set())
    U = np.random.default_rng(seed).normal(size=len(silent))
    assert adversary(unit, family, sequences, U, seed, 10) <= known


@settings(max_examples=25, deadline=None)
@given(units(), st.sampled_from(SHAPES), st.integers(0, 10**6), st.booleans(), st.sampled_from(NORMS))
def test_pricing_finds_the_best_of_all_patterns(unit, shape, seed, membrane, penalty):
    if not membrane:
        unit = replace(unit, readout_bias=False)
    sequences = inputs(shape, seed)
    family = NetworkFamily(sequences.n_features, (unit,), readout="membrane" if membrane else "spike")
    U = torch.from_numpy(np.random.default_rng(seed).normal(size=(len(sequences), 2)))
    norms = PENALTIES[penalty].row_norms(enumerate_family(family, sequences).columns.rmatmul(U))
    best = float(norms.max()) if len(norms) else 0.0
    priced = exact_oracle(U, FamilyCells(family, sequences), penalty=PENALTIES[penalty], rho=1e-3)
    assert priced.finished
    assert priced.kappa * 1e-3 == pytest.approx(best, abs=1e-3)
    assert priced.kappa * 1e-3 >= best


def program_over(columns, loss, rho, targets):
    n = len(columns[0]) if columns else len(targets)
    bits = torch.tensor(columns, dtype=torch.bool).reshape(len(columns), n)
    return ConvexProgram(
        BitColumns(pack_bits(bits), n), targets, LOSSES[loss], PENALTIES["l1"], rho, uniform_weights(n)
    )


@settings(max_examples=12, deadline=None)
@given(
    units(),
    st.sampled_from(SHAPES),
    st.integers(0, 10**6),
    st.booleans(),
    st.sampled_from(["arrangement", "pricing"]),
    st.sampled_from(["hinge", "squared"]),
)
def test_no_exact_bound_is_beaten_and_each_is_attained_or_said_not_to_be(unit, shape, seed, membrane, method, loss):
    if not membrane:
        unit = replace(unit, readout_bias=False)
    sequences = inputs(shape, seed, n=5)
    family = NetworkFamily(sequences.n_features, (unit,), readout="membrane" if membrane else "spike")
    targets = draw_targets(loss, 5, 2, seed=seed)
    problem = make_problem(sequences, targets, loss, rho=0.05)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        trained = solve_exactly(problem, family, ExactSettings(method, time_limit=20.0))
    certificate = trained.certificate
    assert certificate.holds(1e-6) or any(issubclass(w.category, ConvergenceWarning) for w in caught)
    U = trained.U[:, 0].numpy()
    found = [bits for bits in adversary(unit, family, sequences, U, seed, 10) if any(bits)]
    if found:
        assert certificate.dual <= solve(program_over(found, loss, 0.05, targets)).certificate.primal * (1 + 1e-9)
    assert verify(trained, certificate, problem).holds


@pytest.mark.parametrize("close", [1e-3, 1e-10, 1e-13, 2e-16])
def test_inputs_that_are_almost_equal_are_told_apart(close):
    """Neurons with huge weights tell them apart, so a bound that takes them for equal would be beaten."""
    X = np.random.default_rng(0).normal(size=(5, 1, 2))
    X[1] = X[0] * (1.0 + close * np.array([1.0, -1.0]))
    assert not np.array_equal(X[0], X[1])
    family = NetworkFamily(2, (Unit("threshold", "none", 0.0, 0.0, bias=True),))
    found = enumerate_family(family, as_sequences(X)).n_patterns
    assert found == 2 * sum(math.comb(4, k) for k in range(3))


def test_celsius_and_fahrenheit():
    """Two units of one measurement differ by rounding only: in exact arithmetic, and so for a bound, they are two."""
    random = np.random.default_rng(1)
    C = np.round(random.uniform(-10, 35, 10), 1)
    X, y = np.c_[C, C * 1.8 + 32][:, None, :], random.integers(0, 2, 10)
    family = Exact(neuron="threshold", bias=True, readout="spike")
    model = SpikingClassifier(witnesses=family, loss="hinge", rho=0.02).fit(X, y)
    assert model.certificate_.dual == pytest.approx(0.12, rel=1e-6)
    assert model.certificate_.holds(1e-6)


def test_a_tiny_input_is_not_zero():
    model = SpikingClassifier(witnesses=Exact(neuron="threshold", readout="spike"), loss="hinge", rho=0.1)
    certificate = model.fit(np.array([[[1.0]], [[-1e-13]]]), [1, 0]).certificate_
    assert certificate.primal == pytest.approx(0.2, rel=1e-6)
    assert certificate.holds(1e-6)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["arrangement", "pricing"]))
@example(0, "arrangement")
def test_an_optimum_that_needs_ties_is_attained(seed, method):
    """Integers, leak 1 and no reset: potentials are sums of inputs, and many of them are equal."""
    random = np.random.default_rng(seed)
    X, y = random.integers(-2, 3, size=(8, 2, 2)).astype(float), random.integers(0, 2, 8)
    y[:2] = 0, 1
    family = Exact(method=method, leak=1.0, reset="none")
    model = SpikingClassifier(witnesses=family, intercept=True, loss="hinge", rho=0.1)
    assert model.fit(X, y).certificate_.holds(1e-6)


@pytest.mark.parametrize(("T", "optimum"), [(3, 0.16), (4, 0.1485714)])
def test_pricing_tells_ties_apart_on_one_hot_input(T, optimum):
    """Every step of a neuron with w = theta is a tie, of which exact arithmetic says how it ends."""
    words = np.array(list(itertools.product((0, 1), repeat=T)))
    X, y = np.eye(2)[words], words[:, 0] ^ words[:, -1]
    for method in ("pricing", "arrangement"):
        family = Exact(method=method, leak=0.9, readout="spike")
        certificate = SpikingClassifier(witnesses=family, loss="hinge", rho=0.02).fit(X, y).certificate_
        assert certificate.holds(1e-6)
        assert certificate.primal == pytest.approx(optimum, rel=1e-5)


def test_long_sequences_can_be_priced():
    """Thirty steps have 2^30 spike histories, of which few can occur."""
    X = np.arange(4.0)[:, None, None] + np.zeros((4, 30, 1))
    model = SpikingRegressor(witnesses=Exact(method="pricing", readout="spike"), rho=0.1)
    assert model.fit(X, [0.0, 1.0, 0.0, 1.0]).certificate_.holds(1e-6)


def test_pricing_that_time_stops_still_bounds():
    sequences = as_sequences(np.random.default_rng(0).normal(size=(12, 2, 3)))
    family = NetworkFamily(3, (Unit(),))
    program = program_over([[True] * 12], "hinge", 0.02, draw_targets("hinge", 12, 2))
    U = -program.targets * program.row_weights[:, None]
    groups = equal_prefixes(sequences, every_step=False)
    stopped, whole = (
        pricing_certificate(program, groups, family, sequences, U, math.inf, time_limit=limit) for limit in (0.0, 60.0)
    )
    assert stopped.value <= whole.value
    assert stopped.kappa >= whole.kappa


def test_patterns_that_contradict_themselves_have_no_ties():
    sequences = as_sequences(np.array([[[1.0]], [[2.0]]]))
    arrangement = enumerate_family(NetworkFamily(1, (Unit("threshold", "none", 0.0, 0.0),)), sequences)
    owner, conditions = arrangement._conditions(0)
    wrong = replace(conditions, bits=np.array([True, False]))
    assert _ties(arrangement._trees[owner].dynamics, wrong) is None


def test_a_pattern_that_only_zero_weights_give_has_a_network():
    """Opposite inputs: both fire only at w = 0, where both are ties."""
    sequences = as_sequences(np.array([[[1.0, 2.0]], [[-1.0, -2.0]], [[0.5, 0.1]], [[-0.5, -0.1]]]))
    arrangement = enumerate_family(NetworkFamily(2, (Unit("threshold", "none", 0.0, 0.0),)), sequences)
    columns = [tuple(bits) for bits in (arrangement.columns.dense() > 0).T.tolist()]
    assert (True,) * 4 in columns
    assert all(arrangement.realised(torch.arange(len(columns)))[1])
