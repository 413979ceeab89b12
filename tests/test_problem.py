"""Problem: what identifies it, what it derives and keeps, its parts, and arguments that do not fit."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convexsnn import Network, Problem, as_sequences, build_dictionary
from convexsnn.bounds.universal import universal_bound
from convexsnn.losses import LOSSES
from convexsnn.penalties import PENALTIES
from convexsnn.prefixes import equal_prefixes
from convexsnn.sequences import Sequences
from convexsnn.validation import Accuracy, RSquared, Validation
from helpers import draw_hidden, draw_sequences, draw_targets, generator, make_problem


def whole(every_step=False, seed=0):
    """A problem that has everything."""
    sequences, held = draw_sequences(10, ragged=True, seed=seed), draw_sequences(6, ragged=True, seed=seed + 1)
    rows, held_rows = sequences.rows(every_step), held.rows(every_step)
    weights = torch.rand(rows, generator=generator(seed), dtype=torch.float64) + 0.5
    return make_problem(
        sequences,
        draw_targets("cross_entropy", rows, seed=seed),
        "cross_entropy",
        row_weights=weights,
        every_step=every_step,
        score=Accuracy(),
        score_weights=weights,
        validation=Validation(held, draw_targets("cross_entropy", held_rows, seed=seed + 1), Accuracy()),
    )


def changed(tensor, index=0):
    """The tensor with one entry changed."""
    other = tensor.clone().flatten()
    other[index] = other[index] - 1 if other[index] > 1 else other[index] + 1
    return other.reshape(tensor.shape)


def held(problem, **changes):
    return replace(problem, validation=replace(problem.validation, **changes))


MATTERS = {
    "input": lambda p: replace(p, sequences=replace(p.sequences, values=changed(p.sequences.values))),
    "lengths": lambda p: replace(p, sequences=replace(p.sequences, lengths=changed(p.sequences.lengths))),
    "order": lambda p: replace(p, sequences=p.sequences.take(torch.arange(9, -1, -1))),
    "targets": lambda p: replace(p, targets=changed(p.targets)),
    "row weights": lambda p: replace(p, row_weights=changed(p.row_weights)),
    "no row weights": lambda p: replace(p, row_weights=None),
    "rho": lambda p: p.at(np.nextafter(p.rho, 1.0)),
    "loss": lambda p: replace(p, loss=LOSSES["squared"]),
    "penalty": lambda p: replace(p, penalty=PENALTIES["group"]),
    "intercept": lambda p: replace(p, intercept=True),
    "score": lambda p: replace(p, score=RSquared()),
    "no validation data": lambda p: p.without_validation,
    "validation input": lambda p: held(p, source=draw_sequences(6, ragged=True, seed=5)),
    "validation lengths": lambda p: held(
        p, source=replace(p.validation.sequences, lengths=changed(p.validation.sequences.lengths))
    ),
    "validation labels": lambda p: held(p, targets=changed(p.validation.targets)),
    "validation score": lambda p: held(p, score=RSquared()),
    "validation weights": lambda p: held(p, weights=torch.arange(1.0, 7.0, dtype=torch.float64)),
}


def test_the_same_content_has_the_same_digest():
    assert whole().digest == whole().digest
    assert whole(every_step=True).digest == whole(every_step=True).digest


@pytest.mark.parametrize("change", MATTERS)
def test_everything_that_matters_changes_the_digest(change):
    assert MATTERS[change](whole()).digest != whole().digest


def test_the_digest_knows_at_which_steps_the_output_is_read():
    one_step = make_problem(draw_sequences(8, T=1), draw_targets("squared", 8))
    assert replace(one_step, every_step=True).digest != one_step.digest


def test_the_digest_of_the_data_is_that_of_input_and_targets_alone():
    problem = whole()
    for change in ("input", "lengths", "order", "targets"):
        assert MATTERS[change](problem).data_digest != problem.data_digest
    for change in set(MATTERS) - {"input", "lengths", "order", "targets"}:
        assert MATTERS[change](problem).data_digest == problem.data_digest


def test_another_rho_keeps_what_was_derived_from_the_data():
    problem = whole()
    kept = problem.weights, problem.groups, problem.data_digest
    other = problem.at(0.5)
    assert problem.at(problem.rho) is problem
    assert (other.rho, other.bare_program.rho) == (0.5, 0.5)
    assert all(a is b for a, b in zip((other.weights, other.groups, other.data_digest), kept, strict=True))
    U = 0.1 * (problem.targets - 0.5)
    anew = replace(whole(), rho=0.5)
    bounds = [universal_bound(p.bare_program, p.groups, (U,)).value for p in (other, anew, problem)]
    assert bounds[0] == bounds[1] != bounds[2]


def by_sequence(problem):
    """Input, targets and weights of each sequence on its own."""
    counts = problem.input.lengths if problem.every_step else torch.ones(len(problem.input), dtype=torch.int64)
    parts = zip(
        problem.input.values,
        problem.input.lengths.tolist(),
        problem.targets.split(counts.tolist()),
        problem.row_weights.split(counts.tolist()),
        strict=True,
    )
    return [
        (values[:length].tolist(), targets.tolist(), weights.tolist()) for values, length, targets, weights in parts
    ]


@given(st.booleans(), st.integers(0, 1000), st.sets(st.integers(0, 9), min_size=1, max_size=9))
def test_a_split_parts_the_sequences_with_all_that_is_theirs(every_step, seed, chosen):
    problem, mask = whole(every_step, seed), np.isin(np.arange(10), list(chosen))
    everything = by_sequence(problem)
    taken = problem.take(mask)
    assert by_sequence(taken) == [everything[i] for i in sorted(chosen)]
    assert torch.equal(taken.score_weights, taken.row_weights)
    parted = problem.split(mask)
    assert by_sequence(parted) == [everything[i] for i in range(10) if i not in chosen]
    assert torch.equal(parted.validation.targets, taken.targets)
    assert torch.equal(parted.validation.weights, taken.score_weights)
    assert parted.validation.sequences.lengths.tolist() == taken.input.lengths.tolist()
    assert float(parted.weights.sum()) == pytest.approx(1.0)


def test_without_a_score_nothing_can_be_held_out():
    with pytest.raises(ValueError, match="must have a score"):
        replace(whole(), score=None).split(np.arange(10) < 3)


grids = st.sampled_from([-1.0, -0.0, 0.0, 1.0])


@given(
    st.lists(st.lists(st.tuples(grids, grids), min_size=1, max_size=4), min_size=1, max_size=8),
    st.booleans(),
)
def test_equal_prefixes_are_told_apart_as_brute_force_does(X, every_step):
    sequences = as_sequences([np.array(x) for x in X])
    seen: dict[tuple, int] = {}
    expected = [
        seen.setdefault(tuple(x[:end]), len(seen))
        for x in X
        for end in (range(1, len(x) + 1) if every_step else [len(x)])
    ]
    assert equal_prefixes(sequences, every_step=every_step).tolist() == expected
    targets = draw_targets("squared", len(expected))
    assert make_problem(sequences, targets, every_step=every_step).groups.tolist() == expected


@given(st.booleans(), st.integers(0, 1000), st.sampled_from(["spike", "analog"]))
def test_merged_sequences_keep_the_objective(every_step, seed, readout):
    sequences = draw_sequences(8, T=4, ragged=True, seed=seed)
    sequences = sequences.take(torch.randint(8, (20,), generator=generator(seed)))
    rows = sequences.rows(every_step)
    labels = torch.randint(2, (rows,), generator=generator(seed + 1))
    weights = torch.rand(rows, generator=generator(seed), dtype=torch.float64) + 0.1
    targets = LOSSES["cross_entropy"].encode(labels, 2)
    problem = make_problem(sequences, targets, "cross_entropy", row_weights=weights, every_step=every_step)
    merged, hidden = problem.merged_sequences, draw_hidden(readout=readout, every_step=every_step, seed=seed)
    W = torch.randn(hidden.n_last, 2, generator=generator(seed), dtype=torch.float64)
    network = Network(hidden, W)
    assert merged.objective(network) == pytest.approx(problem.objective(network), rel=1e-12)
    kinds = {str((x, y)) for x, y, _ in by_sequence(problem)}
    assert len(merged.input) == len(kinds)
    assert float(merged.weights.sum()) == pytest.approx(1.0)
    assert merged.merged_sequences is merged
    assert merged.every_step == every_step


def test_the_objective_of_a_network_is_that_of_its_program():
    problem, hidden = whole(every_step=True), draw_hidden(every_step=True)
    dictionary = build_dictionary(hidden, problem.input)
    W = torch.randn(dictionary.columns.shape[1], 3, generator=generator(), dtype=torch.float64)
    network = Network(hidden, dictionary.to_neurons(W))
    assert problem.objective(network) == pytest.approx(problem.program(dictionary.columns).primal(W), rel=1e-12)
    with pytest.raises(ValueError, match="network must be read at the steps of the problem's rows"):
        whole().objective(network)


def test_a_problem_of_columns_alone_says_what_it_lacks():
    problem = Problem(None, draw_targets("squared", 5), LOSSES["squared"], PENALTIES["l1"], 0.1)
    assert problem.bare_program.n_rows == 5
    for ask in ("input", "groups", "data_digest", "digest", "merged_sequences"):
        with pytest.raises(ValueError, match="the problem has no sequences"):
            getattr(problem, ask)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rho": 0.0}, "rho must be more than 0"),
        ({"rho": float("nan")}, "rho must be finite"),
        ({"rho": 1e-200}, "rho = 1e-200 must be at least"),
        ({"targets": torch.zeros(10, dtype=torch.float64)}, r"targets must have shape \(rows, C\), got \(10,\)"),
        ({"targets": torch.zeros(9, 1, dtype=torch.float64)}, "targets has 9 rows, but there are 10 sequences"),
        ({"every_step": True}, "targets has 10 rows, but there are .* steps of all sequences"),
        ({"row_weights": torch.ones(9, dtype=torch.float64)}, r"row_weights must have shape \(10,\), got \(9,\)"),
        ({"row_weights": torch.zeros(10, dtype=torch.float64)}, "row_weights must be positive"),
        ({"row_weights": torch.full((10,), torch.nan, dtype=torch.float64)}, "row_weights must be positive"),
        ({"row_weights": torch.full((10,), 1e308, dtype=torch.float64)}, "row_weights must be finite"),
        ({"validation": "rows"}, r"validation must have targets of shape \(6, 3\), got \(5, 3\)"),
        ({"validation": "outputs"}, r"validation must have targets of shape \(6, 3\), got \(6, 2\)"),
        ({"validation": "features"}, "validation has 2 features, but the training sequences have 3"),
    ],
)
def test_arguments_that_do_not_fit_are_named(changes, message):
    problem = whole()
    sequences, targets = problem.validation.sequences, problem.validation.targets
    bad = {"rows": (sequences, targets[:5]), "outputs": (sequences, targets[:, :2])}
    bad["features"] = Sequences(sequences.values[:, :, :2], sequences.lengths), targets
    if "validation" in changes:
        changes = {"validation": Validation(*bad[changes["validation"]], Accuracy())}
    with pytest.raises(ValueError, match=message):
        replace(problem, **changes)
