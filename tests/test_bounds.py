"""Global bounds: valid below everything found, exact where they say so, monotone, and proved again by verification."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from convexsnn import Gaussian, SpikingClassifier, simulate, solve, train
from convexsnn.bounds import (
    FamilyCells,
    NetworkFamily,
    Unit,
    arrangement_certificate,
    enumerate_family,
    exact_oracle,
    pricing_certificate,
    universal_bound,
)
from convexsnn.bounds.caps import capped_scores
from convexsnn.bounds.complete import complete_network, nested_patterns
from convexsnn.certificate import Certificate
from convexsnn.columns import BitColumns, pack_bits
from convexsnn.exact import ExactSettings, solve_exactly
from convexsnn.losses import LOSSES
from convexsnn.network import Branch, Hidden, Layer
from convexsnn.neurons import Threshold, lif
from convexsnn.penalties import PENALTIES
from convexsnn.prefixes import equal_prefixes
from convexsnn.program import ConvexProgram, uniform_weights
from convexsnn.regularisation import rho_of
from convexsnn.rounding import enclose_primal, grouped_kappa
from convexsnn.sequences import as_sequences
from convexsnn.simulation import scores
from convexsnn.solvers import SolverOptions
from convexsnn.verification import verify
from helpers import KINDS, NORMS, draw_hidden, draw_sequences, draw_targets, make_problem

THRESHOLD = Unit("threshold", "none", 0.0, 0.0)
UNITS = {
    "threshold": THRESHOLD,
    "threshold with bias": replace(THRESHOLD, bias=True),
    "recurrent threshold": replace(THRESHOLD, bias=True, self_recurrent=True),
    "LIF soft": Unit("lif", "soft", 0.9, 1.0),
    "LIF hard": Unit("lif", "hard", 0.5, 2.0),
    "LIF none": Unit("lif", "none", 0.8, 1.0, bias=True),
    "LIF delayed": Unit("lif", "delayed", 0.9, 1.0),
    "LIF of negative threshold": Unit("lif", "soft", 0.5, -1.0),
    "LIF delayed of negative threshold": Unit("lif", "delayed", 0.6, -1.0),
}
PAIRS = list(itertools.product(LOSSES, NORMS))


def program_over(bits, loss, penalty, classes, rho, seed=0):
    """A program over the columns `bits` (rows, P)."""
    n = len(bits)
    Y = draw_targets(loss, n, classes, seed=seed)
    return ConvexProgram(BitColumns(pack_bits(bits.T), n), Y, LOSSES[loss], PENALTIES[penalty], rho, uniform_weights(n))


def grouped_patterns(groups):
    """All patterns that are constant on groups, (rows, 2^m - 1)."""
    m = int(groups.max()) + 1
    every = torch.tensor(list(itertools.product((False, True), repeat=m))[1:])
    return every[:, groups].T


def brute_force(unit, family, sequences, size, seed=0):
    """Columns of many neurons of a unit with weights of all sizes, and on a grid (where ties occur)."""
    random, d = np.random.default_rng(seed), sequences.n_features
    draw = lambda *shape: torch.from_numpy(  # noqa: E731
        np.where(
            random.random(shape) < 0.5,
            random.normal(size=shape) * 10 ** random.uniform(-1.5, 1.5, size=(1, shape[-1])),
            np.round(random.normal(size=shape) * 2) / 2,
        )
    )
    bias = draw(1, size)[0] if unit.bias else None
    recurrent = torch.diag(draw(1, size)[0]) if unit.self_recurrent else None
    neuron = Threshold() if unit.neuron == "threshold" else lif(size, unit.leak, unit.threshold, unit.reset)
    branch = Branch((Layer(draw(d, size), neuron, recurrent, bias),), draw(1, size)[0] if unit.readout_bias else None)
    return simulate(Hidden(d, (branch,), family.readout, family.every_step), sequences).features


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("classes", [2, 3])
def test_universal_bound_is_the_optimum_over_all_patterns(pair, classes):
    """For l1 (and one output) exactly, by the program over all 2^m patterns; never above it otherwise."""
    groups = torch.tensor([0, 1, 2, 3, 4, 0, 1, 2, 0, 4])
    program = program_over(grouped_patterns(groups), *pair, classes, 0.05, seed=classes)
    optimum = solve(program, SolverOptions(tol=1e-9)).certificate
    bound = universal_bound(program, groups)
    assert bound.value <= optimum.primal * (1 + 1e-9)
    assert float(program.penalty.dual_norm(program.columns.rmatmul(bound.U))) <= program.rho * (1 + 1e-9)
    assert program.dual(bound.U) == pytest.approx(bound.value, abs=1e-13)
    if pair[1] == "l1" or program.n_outputs == 1:
        assert bound.value == pytest.approx(optimum.primal, rel=1e-7)
    else:
        assert bound.value >= 0.8 * optimum.primal


@pytest.mark.parametrize("pair", PAIRS)
def test_groups_may_have_any_numbers(pair):
    """A search numbers them by prefixes, of which most end no row: cross entropy took these for mixtures of nothing."""
    groups = torch.tensor([0, 1, 2, 3, 0, 2, 1])
    program = program_over(grouped_patterns(torch.arange(7)), *pair, 3, 0.02)
    assert universal_bound(program, 5 * groups + 2).value == universal_bound(program, groups).value


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("rho", [1e-12, 1e-9])
def test_rounding_does_not_lift_the_universal_bound(pair, rho):
    """Objectives near zero are differences of numbers near one, and rows of tiny weight: still never above."""
    groups = torch.tensor([0, 1, 2, 3, 0, 2, 1])
    for seed, lightest in enumerate((-3, -300)):
        program = program_over(grouped_patterns(torch.arange(7)), *pair, 3, rho, seed=seed)
        weights = torch.from_numpy(10.0 ** np.random.default_rng(seed).uniform(lightest, 0, size=7))
        program = replace(program, row_weights=weights / weights.sum())
        for inputs in (groups, torch.arange(7)):
            bound = universal_bound(program, inputs).value
            network = nested_patterns(capped_scores(program, inputs, rho))
            # As floats, losses near zero are off by 1e-16 of the scores.
            columns = BitColumns(pack_bits((network[0][inputs] > 0).T.contiguous()), 7)
            reached = enclose_primal(replace(program, columns=columns), network[1]).above
            assert bound <= reached, (seed, bound, reached)


@given(st.integers(0, 10_000))
def test_universal_kappa_is_the_largest_score_of_any_pattern(seed):
    random = np.random.default_rng(seed)
    groups = torch.unique(torch.from_numpy(random.integers(5, size=8)), return_inverse=True)[1]
    U, patterns = torch.from_numpy(random.normal(size=(8, 2))), grouped_patterns(groups)
    scores = patterns.double().T @ U
    l1, group = (program_over(patterns, "squared", penalty, 3, 0.5) for penalty in ("l1", "group"))
    assert grouped_kappa(l1, U, groups) == pytest.approx(float(scores.abs().max()) / 0.5)
    assert grouped_kappa(group, U, groups) >= float(scores.norm(dim=1).max()) / 0.5


@pytest.mark.parametrize(("n", "d", "bias"), [(9, 1, True), (12, 2, True), (10, 3, True), (25, 2, True)])
def test_counts_in_general_position(n, d, bias):
    """2 sum_{k<r} C(n-1, k) cells of n hyperplanes in R^r (Cover 1965)."""
    sequences = draw_sequences(n, 1, d)
    found = enumerate_family(NetworkFamily(d, (replace(THRESHOLD, bias=bias),)), sequences).n_patterns
    assert found == 2 * sum(math.comb(n - 1, k) for k in range(d + bias))


@pytest.mark.parametrize("name", UNITS)
@pytest.mark.parametrize("readout", ["spike", "membrane"])
@pytest.mark.parametrize("grid", [False, True])
def test_enumeration_misses_nothing_and_each_pattern_has_weights(name, readout, grid):
    """Brute force over weights finds no other pattern, and every enumerated one is simulated from its witness."""
    unit, T = UNITS[name], 2
    if unit.neuron == "threshold" and readout == "membrane":
        pytest.skip("a threshold unit's membrane is what its spike says")
    random = np.random.default_rng(5)
    X = random.integers(-1, 2, size=(6, T, 2)) if grid else random.normal(size=(6, T, 2))
    sequences = as_sequences(X, lengths=random.integers(1, T + 1, size=6))
    for every_step in (False, True):
        family = NetworkFamily(2, (unit,), readout=readout, every_step=every_step)
        arrangement = enumerate_family(family, sequences)
        known = set(map(bytes, (arrangement.columns.dense() > 0).T.numpy()))
        features = brute_force(unit, family, sequences, 300 if unit.self_recurrent else 3000)
        found = {bytes(column) for column in features.T.numpy() if column.any()}
        assert found <= known
        assert len(found) >= 0.4 * len(known)  # the oracle is not an idle one
        margins = [arrangement.margin(j) for j in range(len(arrangement.owner))]
        assert None not in margins
        # Weights for the others rest on exact ties, which float64 may miss.
        clear = torch.tensor([j for j, margin in enumerate(margins) if margin], dtype=torch.int64)
        assert len(clear) >= 0.5 * len(margins)
        hidden = arrangement.witnesses(clear)  # raises where simulation gives another column
        if not grid and readout == "spike" and not unit.memoryless:  # a membrane of 0 after a hard reset is a tie
            assert simulate(hidden, sequences).margin > 0


@settings(max_examples=35)
@given(st.sampled_from(sorted(UNITS)), st.sampled_from(PAIRS), st.integers(0, 10**6), st.booleans(), st.integers(2, 3))
@example("LIF delayed", ("logistic", "l1"), 118, False, 2)
def test_bounds_are_monotone_and_below_what_is_found(name, pair, seed, every_step, classes):
    """universal <= pricing = arrangement <= the objective of any witnesses of the family, rows weighted."""
    unit = UNITS[name]
    sequences = draw_sequences(5, 2, 2, seed=seed, ragged=seed % 2 == 1)
    family = NetworkFamily(2, (unit,), every_step=every_step)
    features = brute_force(unit, family, sequences, 20, seed)
    program = program_over(features, *pair, classes, 0.03, seed)
    if seed % 3 == 1:  # as balanced classes and sample weights give them
        weights = torch.from_numpy(np.random.default_rng(seed).uniform(0.1, 1.0, size=len(features)) ** 3)
        program = replace(program, row_weights=weights / weights.sum())
    solution, groups = solve(program), equal_prefixes(sequences, every_step=every_step)
    primal, U = solution.certificate.primal, solution.U
    arrangement = enumerate_family(family, sequences)
    bounds = [
        universal_bound(program, groups, (U,)).value,
        pricing_certificate(program, groups, family, sequences, U, primal).value,
        arrangement_certificate(program, groups, arrangement, U, primal).value,
        primal,
    ]
    assert all(low <= high * (1 + 1e-7) for low, high in itertools.pairwise(bounds))


@pytest.mark.parametrize("name", UNITS)
def test_pricing_by_branch_and_bound_is_that_by_enumeration(name):
    sequences = draw_sequences(6, 2, 2, seed=3)
    family = NetworkFamily(2, (UNITS[name],))
    U = torch.randn(6, 1, generator=torch.Generator().manual_seed(1)).double()
    exact = exact_oracle(U, enumerate_family(family, sequences), penalty=PENALTIES["l1"], rho=0.1)
    priced = exact_oracle(U, FamilyCells(family, sequences), penalty=PENALTIES["l1"], rho=0.1)
    assert priced.finished
    assert priced.kappa == pytest.approx(exact.kappa)
    for pricing in (exact, priced):
        column = simulate(pricing.witnesses, sequences).features[:, :1].double()
        assert float((column.T @ U).abs()) / 0.1 == pytest.approx(pricing.best) == pytest.approx(exact.kappa)


RESETS = [
    (reset, threshold, *extras)
    for reset in ("soft", "hard", "none", "delayed")
    for threshold in (1.0, 0.0, -1.0)
    for extras in itertools.product((False, True), repeat=2)
]


@settings(max_examples=80)
@given(
    st.sampled_from(RESETS), st.integers(0, 10**6), st.booleans(), st.sampled_from(["normal", "grid", "units", "near"])
)
@example(("soft", -1.0, False, True), 3, True, "near")  # levels of the membrane that a narrow threshold would mix
@example(("delayed", -1.0, False, False), 0, False, "normal")  # the first step is after a reset
def test_no_neuron_beats_the_priced_bound(kind, seed, every_step, inputs):
    """Every reset, sign of threshold, recurrence and readout; inputs on grids, in any units, and almost equal."""
    reset, threshold, recurrent, readout_bias = kind
    random = np.random.default_rng(seed)
    unit = Unit("lif", reset, 0.3, threshold, self_recurrent=recurrent, readout_bias=readout_bias)
    X = random.normal(size=(4, 2, 1))
    X = {"normal": X, "grid": np.round(2 * X) / 2, "units": X * 10.0 ** random.integers(-9, 9), "near": X}[inputs]
    if inputs == "near":
        X[1] = X[0] + 1e-7 * random.normal(size=X[0].shape)
    sequences = as_sequences(X, lengths=random.integers(1, 3, size=4))
    family = NetworkFamily(1, (unit,), readout="membrane", every_step=every_step)
    U = torch.from_numpy(random.normal(size=(sequences.rows(every_step), 1)))
    kappa = exact_oracle(U, FamilyCells(family, sequences), penalty=PENALTIES["l1"], rho=1e-3).kappa * 1e-3
    features = brute_force(unit, family, sequences, 300, seed).double()
    assert float((features.T @ U).abs().max()) <= kappa * (1 + 1e-12)


@pytest.mark.parametrize("name", ["threshold with bias", "recurrent threshold", "LIF soft", "LIF hard"])
def test_no_weights_of_a_fine_grid_beat_the_certified_bound_and_exact_attains_it(name):
    """n = 12, d = 1 or 2, T = 2 or 3: all directions of a fine grid, at all sizes that matter."""
    unit = UNITS[name]
    d, T = (1, 2) if unit.self_recurrent else (2, 1) if unit.memoryless else (2, 3)
    sequences, family = draw_sequences(12, T, d, seed=8), NetworkFamily(d, (unit,))
    problem = make_problem(sequences, draw_targets("hinge", 12, 2, seed=3), "hinge")
    trained = solve_exactly(problem, family)
    axis = np.linspace(-1.0, 1.0, 41)
    free = d + unit.bias + unit.self_recurrent
    p = torch.from_numpy(np.stack(np.meshgrid(*[axis] * free), axis=-1).reshape(-1, free).T)
    if unit.neuron == "lif":
        p = torch.cat([p * scale for scale in (0.3, 1.0, 3.0, 10.0, 100.0)], dim=1)
    m = p.shape[1]
    neuron = Threshold() if unit.neuron == "threshold" else lif(m, unit.leak, unit.threshold, unit.reset)
    weight, rest = p[:d], list(p[d:])
    bias = rest.pop() if unit.bias else None
    columns = set()
    for part in torch.arange(m).split(500):
        recurrent = torch.diag(rest[0][part]) if rest else None
        own = neuron if unit.neuron == "threshold" else neuron.take(part)
        layer = Layer(weight[:, part], own, recurrent, None if bias is None else bias[part])
        columns |= set(map(tuple, simulate(Hidden(d, (Branch((layer,)),)), sequences).features.T.tolist()))
    known = {tuple(column) for column in (enumerate_family(family, sequences).columns.dense() > 0).T.tolist()}
    assert columns - {(False,) * 12} <= known
    assert len(columns) > 0.7 * len(known)
    grid = solve(program_over(torch.tensor(sorted(columns)).T, "hinge", "l1", 2, 0.02, seed=3)).certificate
    certificate = trained.certificate
    assert certificate.scope == "global"
    assert certificate.dual <= grid.primal * (1 + 1e-9)
    assert certificate.holds(1e-6)
    assert problem.objective(trained.network) == pytest.approx(certificate.dual, rel=1e-6)


def test_patterns_do_not_depend_on_the_units_of_features():
    random = np.random.default_rng(0)
    for X in (random.normal(size=(8, 2, 2)), random.integers(-1, 2, size=(8, 2, 2)).astype(float)):
        counts = [
            enumerate_family(NetworkFamily(2, (UNITS["LIF soft"],)), as_sequences(X * [1.0, unit])).n_patterns
            for unit in (1.0, 2.0**-50, 2.0**50)
        ]
        assert len(set(counts)) == 1


def test_a_bound_counts_the_columns_of_the_network_itself():
    """Were an own column missing from the enumeration, the bound would still not be above the objective."""
    sequences, family = draw_sequences(6, 2, 2), NetworkFamily(2, (UNITS["LIF soft"],))
    program = program_over(brute_force(UNITS["LIF soft"], family, sequences, 200), "squared", "l1", 2, 0.01)
    solution, arrangement = solve(program), enumerate_family(family, sequences)
    few = replace(arrangement, columns=arrangement.columns.take(torch.arange(3)), owner=arrangement.owner[:3])
    U = 3.0 * solution.U
    groups = equal_prefixes(sequences, every_step=False)
    bound = arrangement_certificate(program, groups, few, U, solution.certificate.primal)
    assert bound.value <= solution.certificate.primal


@settings(max_examples=40)
@given(st.sampled_from(sorted(KINDS)), st.sampled_from(PAIRS), st.integers(0, 10_000), st.booleans())
def test_every_fit_has_a_universal_bound_below_its_objective(kind, pair, seed, every_step):
    hidden = draw_hidden(kind, seed=seed, every_step=every_step, readout="spike")
    sequences = draw_sequences(6, 3, seed=seed, ragged=True)
    targets = draw_targets(pair[0], sequences.rows(every_step), 3, seed=seed)
    problem = make_problem(sequences, targets, *pair, rho_of(0.1, hidden.n_last), every_step=every_step)
    certificate = train(problem, hidden).certificate
    bound = certificate.global_bound
    assert bound is not None
    assert bound.value <= certificate.dual * (1 + 1e-6) + 1e-12
    assert (bound.scope, certificate.scope) == ("global", "dictionary")
    assert Certificate.from_json(certificate.to_json()) == certificate


@pytest.mark.parametrize("method", ["arrangement", "pricing"])
@pytest.mark.parametrize("name", ["threshold", "recurrent threshold", "LIF soft"])
@pytest.mark.parametrize("loss", ["hinge", "cross_entropy"])
def test_exact_training_is_optimal_and_verified(name, loss, method):
    """No neurons that brute force finds improve on it, the network itself has that objective, and it verifies."""
    sequences, unit = draw_sequences(7, 2, 2, seed=2), UNITS[name]
    family, problem = NetworkFamily(2, (unit,)), make_problem(sequences, draw_targets(loss, 7, 3), loss, rho=0.03)
    trained = solve_exactly(problem, family, ExactSettings(method))
    certificate = trained.certificate
    assert certificate.scope == "global"
    assert certificate.holds(1e-6)
    features = brute_force(unit, family, sequences, 300 if unit.self_recurrent else 3000)
    distinct = torch.unique(features, dim=1)
    other = solve(program_over(distinct, loss, "l1", 3, 0.03)).certificate
    assert other.primal >= certificate.dual * (1 - 1e-6)
    assert verify(trained, certificate, problem).holds
    bound = certificate.family_bound
    assert bound is not None
    with pytest.raises(ValueError, match="above the objective"):
        replace(bound, value=bound.value * 1.001)
    with pytest.raises(ValueError, match="above the objective"):
        certificate.with_family_bound(replace(bound, value=bound.value * 1.001, primal=1.0))
    with pytest.raises(ValueError, match="'global_bound' must not be a bound of method"):
        certificate.with_global_bound(bound)
    for claim in (
        replace(certificate, dual=certificate.dual * 1.01),
        certificate.with_family_bound(replace(bound, family="all networks")),
        certificate.with_family_bound(replace(bound, primal=bound.primal * 1.001)),
    ):
        assert not verify(trained, claim, problem).holds


def test_an_intercept_is_a_column_of_the_family():
    sequences = as_sequences(-np.ones((4, 1, 1)))
    family = NetworkFamily(1, (Unit("lif", "soft", 0.9, 1.0),), constant=True)
    arrangement = enumerate_family(family, sequences)
    assert arrangement.columns.dense().T.tolist() == [[1.0] * 4]
    assert NetworkFamily.of(family.simplest(), intercept=True) == family


def test_costs_are_said_and_other_families_refused():
    sequences = draw_sequences(40, 3, 3)
    with pytest.raises(ValueError, match="patterns to visit"):
        enumerate_family(NetworkFamily(3, (UNITS["LIF soft"],)), sequences, limit=1000)
    deep = NetworkFamily.of(draw_hidden("LIF soft"))
    with pytest.raises(ValueError, match="more than one hidden layer"):
        enumerate_family(deep, sequences)
    problem = make_problem(sequences, draw_targets("hinge", 40, 2), "hinge", intercept=True)
    with pytest.raises(ValueError, match="family must have the steps and the intercept of the problem"):
        solve_exactly(problem, NetworkFamily(3, (THRESHOLD,)))


def test_analog_readout_has_no_bound():
    X, y = np.random.default_rng(0).normal(size=(8, 3, 2)), np.arange(8) % 2
    model = SpikingClassifier(witnesses=Gaussian(readout="analog", hidden=4, last=8), random_state=0).fit(X, y)
    assert model.certificate_.global_bound is None


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", ["lif", "threshold", "recurrent"])
@pytest.mark.parametrize("every_step", [False, True])
def test_the_constructed_network_reaches_the_universal_bound(loss, kind, every_step):
    """Run by the simulator, its objective is the bound; with one output it has at most n + 2 last-layer neurons."""
    ragged = kind != "threshold"
    sequences = draw_sequences(9, 3, 2, seed=4, ragged=ragged)
    if kind != "threshold":  # equal inputs with different labels, and shared prefixes
        values = sequences.values.clone()
        values[1], values[3, :1] = values[0], values[2, :1]
        sequences = replace(sequences, values=values, lengths=sequences.lengths.index_fill(0, torch.tensor([0, 1]), 2))
    classes = 3 if loss == "cross_entropy" else 2
    rows = sequences.rows(every_step)
    program = program_over(torch.zeros(rows, 1, dtype=torch.bool), loss, "l1", classes, 0.02, seed=1)
    network = complete_network(program, sequences, every_step, kind)
    bound = universal_bound(program, equal_prefixes(sequences, every_step=every_step)).value
    S = scores(network, sequences)
    reached = float(program.data_term(S) + program.rho * program.penalty.value(network.W))
    assert reached == pytest.approx(bound, rel=1e-6)
    assert bound <= reached * (1 + 1e-12)
    if program.n_outputs == 1:
        assert network.hidden.n_last <= rows + 2


def test_inputs_that_look_alike_are_refused():
    sequences = as_sequences(np.array([[[1.0], [0.0]], [[2.0], [0.0]]]))
    program = program_over(torch.zeros(2, 1, dtype=torch.bool), "squared", "l1", 2, 0.01)
    with pytest.raises(ValueError, match="look alike"):
        complete_network(program, sequences, every_step=False, kind="threshold")
