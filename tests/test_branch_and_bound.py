"""Branch and bound: the optimum of small programs, and a bound that no answer of the linear solver can make wrong."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from scipy.sparse import csr_array

from convexsnn.bounds.branch_and_bound import BinaryProgram, _Relaxation, minimise


def draw(seed, binaries=5, others=3, rows=6):
    """A random program; its optimum by trying all binaries, inf where there is none."""
    random = np.random.default_rng(seed)
    n = binaries + others
    matrix, cost = random.normal(size=(rows, n)) * (random.random((rows, n)) < 0.6), random.normal(size=n)
    floor = random.normal(size=rows) * 0.7
    low, high = np.r_[np.zeros(binaries), -np.ones(others)], np.ones(n)
    best = np.inf
    for bits in itertools.product((0.0, 1.0), repeat=binaries):
        ranges = [(b, b) for b in bits] + [(-1.0, 1.0)] * others
        found = linprog(cost, -matrix, -floor, bounds=ranges, method="highs")
        best = min(best, found.fun if found.status == 0 else np.inf)
    return BinaryProgram(cost, low, high, csr_array(matrix), floor, np.arange(binaries, dtype=np.int32)), best


@settings(max_examples=40)
@given(st.integers(0, 10**6))
def test_the_optimum_of_small_programs(seed):
    program, best = draw(seed)
    found = minimise(program, 60.0)
    assert found.finished
    if np.isinf(best):
        assert found.bound == np.inf
        assert found.x is None
        return
    assert found.bound == pytest.approx(best, rel=1e-7, abs=1e-7)
    assert found.x is not None
    assert float(program.cost @ found.x) == pytest.approx(best, rel=1e-6, abs=1e-6)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from(["noise", "zero", "missing", "huge"]))
def test_no_multipliers_make_the_bound_wrong(seed, lie):
    """The linear solver answers with any multipliers, and calls what it likes infeasible: the bound stays below."""
    program, best = draw(seed)
    random, original = np.random.default_rng(seed), _Relaxation._weakly
    wrong = {
        "noise": lambda y: y + random.normal(size=y.shape),
        "zero": np.zeros_like,
        "missing": lambda y: y[:0],
        "huge": lambda y: y * 1e8 + 1e6,
    }[lie]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Relaxation, "_weakly", lambda self, y, *rest: original(self, wrong(y), *rest))
        found = minimise(program, 1.0)
    assert found.bound <= best + 1e-9 * abs(best)


def test_a_bound_when_time_is_up():
    program, best = draw(7, binaries=9, rows=3)
    stopped = minimise(program, 0.0)
    assert not stopped.finished
    assert stopped.bound <= best
