"""Bounds over neurons with leaks of their own in a range: no neuron is above them, and cells are those of neurons."""

import itertools
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from adversary import _draw
from convexsnn import Gaussian, SpikingClassifier
from convexsnn.bounds import FamilyCells, NetworkFamily, Unit, exact_oracle
from convexsnn.bounds.cells.deciding import Weights
from convexsnn.bounds.cells.moving_regions import MovingCutting
from convexsnn.bounds.cells.polynomials import sign_on
from convexsnn.bounds.cells.roots import ABOVE, AT, BELOW, Root, Roots, certain_sign, inner_sign
from convexsnn.bounds.pricing.branch_and_bound import Goal, best_patterns
from convexsnn.bounds.pricing.priced_cells import _reach
from convexsnn.exact import ExactSettings, bound_network, solve_exactly
from convexsnn.global_bound import GlobalBound
from convexsnn.penalties import PENALTIES
from convexsnn.rationals.polynomials import divided, greatest_divisor, multiply, sign_at, squarefree
from convexsnn.sequences import as_sequences
from convexsnn.verification import verify
from helpers import make_problem
from rational_neurons import climbed, column, vertices

FREE = Unit("lif", "soft", 0.0, 1.0, leak_to=1.0)


def symbols(T):
    return as_sequences(np.eye(2)[np.array(list(itertools.product(range(2), repeat=T)))])


def leaves(cells, number):
    """All cells of one part of a family, each with its region."""
    states = cells.states[number]
    below = states.tree.sums_below(np.ones((states.tree.n_nodes, 1)))[:, 0]
    none = np.zeros((states.tree.n_nodes, 0))
    cutting = MovingCutting(
        states, Weights(none, none, none, np.ascontiguousarray(below)), _reach(states.tree.dynamics)
    )
    waiting = [cutting.start()]
    while waiting:
        regions = waiting.pop()
        done = regions.standing.choice < 0
        yield cutting, regions.take(np.flatnonzero(done))
        if not done.all():
            waiting.append(cutting.cut(regions.take(np.flatnonzero(~done)))[0])


def test_cells_are_those_of_neurons_and_none_is_missed():
    """Three one-hot bits, all leaks: each cell of many leaks has a neuron, and each neuron's pattern is a cell."""
    sequences, random, columns = symbols(3), np.random.default_rng(0), set()
    cells = FamilyCells(NetworkFamily(2, (FREE,)), sequences)
    for number in (2, 3):
        for cutting, regions in leaves(cells, number):
            assert regions.certain.all()
            for k in range(len(regions)):
                train = regions.open.bits[k]
                tree = cells.states[number].tree
                columns.add(tuple(np.unpackbits(train, count=tree.n_nodes).astype(bool)[tree.rows].tolist()))
                if regions.side[k] != AT:
                    met = tree.with_leak(cutting.leak_of(regions, k)).along(train)
                    forms = tree.with_leak(0.5).dynamics.in_floats(met)
                    assert _can_be_met(forms, met.bits)
    for _ in range(600):
        leak = float(random.choice([random.uniform(0.01, 0.99), 0.5, 0.25, 0.618033988749895]))
        w = [Fraction(round(v * 64), 64) for v in random.normal(size=2) * 2]
        assert column(replace(FREE, leak=leak, leak_to=None), cells.family, sequences, [*w, Fraction(1)]) in columns


def _can_be_met(forms, bits):
    """Whether form @ p >= 0 where the bit is 1 and < 0 where it is 0, with a threshold of 1, for some p."""
    rows = np.hstack([np.where(bits[:, None], -forms, forms), (~bits)[:, None].astype(float)])
    bounds = [(None, None), (None, None), (1.0, 1.0), (0.0, 1.0)]
    found = linprog([0, 0, 0, -1], A_ub=rows, b_ub=np.zeros(len(rows)), bounds=bounds)
    return found.status == 0 and (bits.all() or found.x[3] > 1e-12)


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.booleans())
def test_no_neuron_of_any_leak_in_the_range_is_above_the_bound(seed, stopped):
    """All resets, readouts and biases; all kinds of inputs; neurons at ties, near them, and climbed."""
    random = np.random.default_rng(seed)
    unit, family, problem = _draw(random, seed)
    if unit.neuron != "lif" or problem.input.n_features + unit.bias + unit.self_recurrent + unit.readout_bias > 3:
        return
    low, high = sorted(random.choice([0.0, 0.1, 0.25, 0.5, 0.7, 0.9, 1.0], size=2, replace=False).tolist())
    free = replace(unit, leak=low, leak_to=high)
    family = replace(family, units=(free,), constant=False)
    U = random.normal(size=(problem.input.rows(family.every_step), 1))
    penalty, cells = PENALTIES["l1"], FamilyCells(family, problem.input)
    limit = 0.0 if stopped else 0.3
    priced = exact_oracle(torch.from_numpy(U), cells, penalty=penalty, time_limit=limit)
    for leak in (low, high, *random.uniform(low, high, size=2).tolist(), 0.5 * (low + high)):
        fixed = replace(unit, leak=float(leak))
        own = replace(family, units=(fixed,))
        neurons = itertools.chain(
            vertices(fixed, own, problem.input, random, 2), climbed(fixed, own, problem.input, random, U[:, 0], 8)
        )
        for p in neurons:
            bits = column(fixed, own, problem.input, p)
            assert abs(float(np.array(bits) @ U[:, 0])) <= priced.kappa * (1.0 + 1e-12)


@pytest.mark.parametrize(("leak", "leak_to"), [(0.25, 0.75), (0.5, 1.0), (0.6, 0.9)])
def test_pricing_finds_the_best_of_all_leaks(leak, leak_to):
    """The bound is met by a cell, and is that of the best of many leaks or a little more."""
    unit, sequences, random = replace(FREE, leak=leak, leak_to=leak_to), symbols(3), np.random.default_rng(1)
    U = random.normal(size=(8, 1))
    cells, norm = FamilyCells(NetworkFamily(2, (unit,)), sequences), PENALTIES["l1"]
    ended = [best_patterns(own, Goal(0.0, 1, math.inf)) for own in cells.priced(U, norm)]
    assert all(priced.finished for priced in ended)
    best = 0.0
    for fixed in np.linspace(leak, leak_to, 9):
        own = FamilyCells(NetworkFamily(2, (replace(FREE, leak=float(fixed), leak_to=None),)), sequences)
        best = max(best, best_patterns(own.priced(U, norm)[0], Goal(0.0, 1, math.inf)).bound)
    assert best * (1 - 1e-12) <= max(priced.bound for priced in ended) <= 1.5 * best


def test_the_best_network_of_all_leaks_is_certified():
    """First-last XOR of three bits: no leaks give a network below 8 rho, and verification proves it again."""
    X = symbols(3)
    labels = torch.tensor([[2.0 * (word[0] != word[-1]) - 1.0] for word in itertools.product((0, 1), repeat=3)])
    problem = make_problem(X, labels.double(), "hinge", rho=0.01)
    trained = solve_exactly(problem, NetworkFamily(2, (FREE,)), ExactSettings("pricing", time_limit=60.0))
    certificate = trained.certificate
    assert certificate.holds(1e-6)
    assert certificate.primal == pytest.approx(0.08, rel=1e-6)
    assert certificate.family_bound.leaks == (0.0, 1.0)
    assert GlobalBound.from_dict(certificate.family_bound.to_dict()) == certificate.family_bound
    assert verify(trained, certificate, problem).problems == ()


def test_the_bound_of_a_network_over_more_leaks():
    bits = np.random.default_rng(0).integers(0, 2, size=(50, 3))
    X, y = np.eye(2)[bits], bits[:, 0] ^ bits[:, -1]
    model = SpikingClassifier(
        witnesses=Gaussian(depth=2, last=32, readout="spike"), loss="hinge", beta=0.1, random_state=0
    ).fit(X, y)
    how = ExactSettings("pricing", time_limit=20.0)
    wide = model.tighten_bound(X, y, how, leaks=(0.0, 1.0))
    assert wide.leaks == (0.0, 1.0)
    assert "leak 0.0 to 1.0, each its own" in wide.family
    assert verify(model.trained_, model.certificate_, model.problem(X, y)).problems == ()
    with pytest.raises(ValueError, match="leaks must include those of the neurons"):
        model.tighten_bound(X, y, how, leaks=(0.0, 0.5))
    with pytest.raises(ValueError, match="need method 'pricing'"):
        bound_network(model.trained_, model.problem(X, y), ExactSettings(), leaks=(0.0, 1.0))
    narrow = SpikingClassifier(witnesses=model.family, loss="hinge", beta=0.1, intercept=True, random_state=0).fit(X, y)
    # The neuron that always fires has leak 0.
    assert narrow.tighten_bound(X, y, how, leaks=(0.5, 1.0)).leaks == (0.5, 1.0)
    assert verify(narrow.trained_, narrow.certificate_, narrow.problem(X, y)).problems == ()
    deep = SpikingClassifier(witnesses=Gaussian(depth=3, last=8, readout="spike"), beta=0.1, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="more than one hidden layer"):
        deep.tighten_bound(X, y, how, leaks=(0.0, 1.0))


POLYNOMIALS = st.lists(st.integers(-9, 9), min_size=1, max_size=6).filter(lambda p: p[-1] != 0).map(tuple)


@settings(max_examples=100)
@given(POLYNOMIALS, POLYNOMIALS)
def test_polynomials(p, q):
    """A product is divided, has its factors as common divisors, and each of its roots once."""
    both = multiply(p, q)
    assert divided(both, q) == p
    assert divided(greatest_divisor(both, q), greatest_divisor(q, q)) is not None
    single = squarefree(multiply(both, q))
    for x in (Fraction(1, 3), Fraction(1, 2), Fraction(-2), Fraction(1)):
        assert (sign_at(single, x) == 0) == (sign_at(both, x) == 0)


@settings(max_examples=200)
@given(POLYNOMIALS, st.floats(0.0, 0.9), st.floats(0.01, 1.0))
def test_signs_on_intervals(p, a, width):
    """A sign is that of every point of the interval."""
    b = min(1.0, a + width)
    row = np.array(p, dtype=float)
    sign, exact = sign_on(row, len(row), 0.0, a, b, np.empty(len(row))), certain_sign(p, a, b)
    inside = {sign_at(p, Fraction(a) + (Fraction(b) - Fraction(a)) * k / 8) for k in range(a == 0.0, 9)}
    assert abs(sign) != 1 or inside == {sign}
    assert exact is None or inside == {exact}


@settings(max_examples=100)
@given(POLYNOMIALS, st.integers(1, 3), POLYNOMIALS)
def test_signs_beside_a_root(q, k, other):
    """Of products with powers of the golden ratio's polynomial, at its root 0.618, below it and above it."""
    golden, p = (-1, 1, 1), q
    for _ in range(k):
        p = multiply(p, golden)
    root = Root(multiply(golden, (2, -3, 1)), 0.6, 0.63)
    root.sign(other, AT)
    below, above = root.sign(p, BELOW, 0.6), root.sign(p, ABOVE, 0.63)
    assert root.sign(p, AT) == 0
    near = (root.low + 0.6) / 2, (root.high + 0.63) / 2
    assert below in (None, sign_at(p, Fraction(near[0])))
    assert above in (None, sign_at(p, Fraction(near[1])))


def test_a_root_keeps_its_polynomial_while_signs_beside_it_are_told():
    """Its polynomial lost a factor between two uses, and signs below the root came out reversed."""
    m, line = (-1, 6, -7, 4, -1), (1, -1)
    p = multiply(m, multiply(line, multiply(line, line)))
    root = Root(multiply(m, line), 0.2138486220434147, 0.2138486224417388)
    assert root.sign(p, BELOW, 0.0) == sign_at(p, Fraction(1, 10))


def test_a_sign_at_a_root_is_told_though_another_root_lies_in_its_interval():
    """As a campaign found it (seed 302450 of `adversary.attack`): the two roots are 1e-10 apart."""
    low, high = 0.2034591702690808, 0.20345917064805305
    root = Root((-1694222007712614, 8327085989263043), low, high)
    other = (-6776888031310801, 33308343958097628)
    assert certain_sign(other, low, high) is None
    exact = sign_at(other, Fraction(1694222007712614, 8327085989263043))
    assert inner_sign(other, low, high, root) == exact == -1
    assert inner_sign((-1, 3), 1.0, 1.0, None) == 1


def test_equal_roots_of_different_polynomials_are_one():
    roots = Roots()
    (one,) = roots.between((-1, 1, 1), 0.0, 1.0)
    (same,) = roots.between(multiply((-1, 1, 1), (5, 1)), 0.0, 1.0)
    assert one == same
    assert roots.between((1, 0, 1), 0.0, 1.0) == []
