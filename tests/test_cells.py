"""Cells of parameters: none is missed, none is made up, and what is left open is bounded."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adversary import _draw
from convexsnn.bounds import FamilyCells, NetworkFamily, Unit, enumerate_family, exact_oracle
from convexsnn.bounds.cells.enumeration import CellEnumeration
from convexsnn.bounds.cells.regions import Regions
from convexsnn.bounds.cells.tree import DecisionTree
from convexsnn.bounds.patterns.enumerations import ByLines
from convexsnn.bounds.patterns.trees import grow_trees
from convexsnn.bounds.pricing.branch_and_bound import Goal, best_patterns
from convexsnn.exact import solve_exactly
from convexsnn.penalties import PENALTIES
from convexsnn.sequences import as_sequences
from helpers import draw_sequences, make_problem

LIF = Unit("lif", "soft", 0.99, 1.0)


def symbols(T, n_symbols=2):
    """All sequences of one-hot symbols."""
    return as_sequences(np.eye(n_symbols)[np.array(list(itertools.product(range(n_symbols), repeat=T)))])


def columns_of(patterns):
    return set(map(bytes, patterns.columns))


@settings(max_examples=80)
@given(st.integers(0, 10**6))
def test_cells_give_the_patterns_of_all_sign_vectors(seed):
    """Every neuron, reset, readout and bias; inputs on grids, one-hot, almost equal, in mixed units."""
    unit, family, problem = _draw(np.random.default_rng(seed), seed)
    lines = ByLines(grow_trees(unit, family, problem.input))
    if lines.visited > 20_000:
        return
    cells = CellEnumeration(DecisionTree.of(unit, family, problem.input)).patterns()
    assert columns_of(cells) == columns_of(lines.patterns(lambda _: None))


@pytest.mark.parametrize(("T", "cells", "columns"), [(2, 28, 10), (4, 990, 554), (5, 6952, 4238)])
def test_only_histories_that_occur_are_followed(T, cells, columns):
    """One-hot bits, in which everything ties: the counts of cells, in four orthants of weights, and of columns."""
    visited = []
    found = CellEnumeration(DecisionTree.of(LIF, NetworkFamily(2, (LIF,)), symbols(T))).patterns(visited.append)
    assert (visited[-1], len(columns_of(found))) == (cells, columns)


def test_the_number_of_cells_is_estimated_before_they_are_visited():
    for sequences in (symbols(5), draw_sequences(20, 2, 2)):
        cells, visited = CellEnumeration(DecisionTree.of(LIF, NetworkFamily(2, (LIF,)), sequences)), []
        cells.patterns(visited.append)
        assert cells.expected() == pytest.approx(visited[-1], rel=1.0)


def test_the_optimum_of_a_family_on_thousands_of_rows():
    """First-last XOR of five bits: as many rows as there are, the cost is that of the distinct prefixes."""
    bits = np.random.default_rng(0).integers(0, 2, size=(2000, 5))
    targets = torch.from_numpy(2.0 * (bits[:, :1] ^ bits[:, -1:]) - 1.0)
    problem = make_problem(as_sequences(np.eye(2)[bits]), targets, "hinge", rho=0.01)
    certificate = solve_exactly(problem, NetworkFamily(2, (LIF,))).certificate
    assert certificate.holds(1e-6)
    assert certificate.primal == pytest.approx(0.01 * 52 / 7, rel=1e-6)


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(0, 6))
def test_the_bound_holds_whenever_pricing_stops(seed, outputs, steps):
    """After any number of cuts the largest bound of what is open is not below the best pattern there is."""
    _, family, problem = _draw(np.random.default_rng(seed), seed)
    U = torch.randn(problem.input.rows(family.every_step), outputs, generator=torch.Generator().manual_seed(seed))
    U, penalty = U.double(), PENALTIES["group"]
    try:
        arrangement = enumerate_family(family, problem.input, limit=20_000)
    except ValueError:
        return
    best = max([0.0, *penalty.row_norms(arrangement.columns.rmatmul(U)).tolist()])
    cells = FamilyCells(family, problem.input).priced(U.numpy(), penalty)[0]
    stopped = best_patterns(cells, Goal(0.0, 1, 0.0))
    ended = best_patterns(cells, Goal(0.0, 1, math.inf))
    assert stopped.bound >= best * (1 - 1e-12)
    assert ended.bound == pytest.approx(best, rel=1e-9, abs=1e-12)
    regions = cells.start()
    for _ in range(steps):
        parts = np.flatnonzero(regions.standing.choice >= 0)[:3]
        rest = np.setdiff1d(np.arange(len(regions)), parts)
        regions = Regions.joined([regions.take(rest), *([cells.cut(regions.take(parts))] if len(parts) else [])])
    assert float(cells.bounds(regions).max()) >= best * (1 - 1e-12)


def test_pricing_goes_on_where_enumeration_would_not_end():
    """Two hundred steps of two symbols: what is bounded is bounded, in seconds."""
    sequences = as_sequences(np.eye(2)[np.random.default_rng(0).integers(0, 2, size=(20, 200))])
    U = torch.from_numpy(np.random.default_rng(1).normal(size=(20, 1)))
    priced = exact_oracle(U, FamilyCells(NetworkFamily(2, (LIF,)), sequences), penalty=PENALTIES["l1"], time_limit=0.1)
    assert 0.0 < priced.best <= priced.kappa <= float(U.abs().sum())
