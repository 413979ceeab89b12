"""A search that is given no shape of branches tries two."""

import sys
from dataclasses import replace

import pytest
import torch

from convexsnn import SpikingClassifier
from convexsnn.families import Search
from convexsnn.prefixes import prefixes_of
from convexsnn.ranks import Alone
from convexsnn.search import SearchSettings
from convexsnn.search.branches.runner import BranchRunner
from convexsnn.search.dictionary import admit, dictionary_of, united
from convexsnn.search.effort import LAST_STEP, ROUND
from convexsnn.search.endings.attempts import EARLY_SHARE, shapes_of, together
from convexsnn.sequences import as_sequences
from convexsnn.simulation import scores as score_outputs
from convexsnn.witnesses import Architecture, gaussian
from test_search import NO_ASCENT, PLAIN, NeverPerfect, bits, encoded, held_of, run, space_of

OPEN = replace(PLAIN, depth=None, recurrent=None, oracles=NO_ASCENT, rounds=40, patience=2, prune=1)


def shape_of(branch):
    return len(branch.layers) + 1, branch.last.recurrent is not None


@pytest.fixture(scope="module")
def data():
    X, y = bits(60, 5)
    held, answers = bits(200, 5, seed=1)
    return as_sequences(X), encoded(y, "hinge"), held_of(held, answers, NeverPerfect())


def test_a_shape_that_is_given_is_never_changed():
    assert [own.shape for own in SearchSettings().shapes] == [(3, False, 12), (2, True, 8)]
    assert [own.shape for own in SearchSettings(width=5).shapes] == [(3, False, 5), (2, True, 5)]
    assert Search().shapes[1:] == Search(depth=2, recurrent=True).shapes
    for given, shape in (
        ({"depth": 3}, (3, False, 12)),
        ({"depth": 2}, (2, False, 12)),
        ({"recurrent": False}, (3, False, 12)),
        ({"recurrent": True}, (3, True, 8)),
        ({"depth": 4, "recurrent": True}, (4, True, 8)),
        ({"depth": 2, "width": 20}, (2, False, 20)),
    ):
        assert [own.shape for own in SearchSettings(**given).shapes] == [shape]


def test_a_search_of_few_rounds_has_few_stages():
    assert SearchSettings().multiples == (100.0, 30.0, 10.0, 3.0, 1.0)
    assert SearchSettings(rounds=9).multiples == (50.0, 10.0, 1.0)
    assert SearchSettings(rounds=9, stages=(7, 1)).multiples == (7.0, 1.0)


def test_each_shape_has_one_attempt_and_the_better_one_the_others():
    assert shapes_of([], 2) == [0]
    assert shapes_of([0.9], 2) == [0, 1]
    assert shapes_of([0.9, 0.8], 2) == [0, 1, 0]
    assert shapes_of([0.8, 0.9, 0.7], 2) == [0, 1, 1, 1]
    assert shapes_of([0.8, 0.8], 2) == [0, 1, 0]
    assert shapes_of([1.0, 0.9], 2) == [0, 0, 0]  # right on all validation data: the other shape is not needed
    assert shapes_of([0.8, 0.9], 1) == [0, 0, 0]


@pytest.mark.parametrize("validated", [False, True])
def test_both_shapes_are_tried_within_the_effort(data, validated):
    sequences, targets, held = data
    effort = 1e7
    how = replace(OPEN, effort=effort, rounds=1000, patience=1000, min_drop=0.0, attempts=2)
    found = run(sequences, targets, settings=how, validation=held if validated else None)
    steps = {k: sum(entry.steps for entry in found.history if entry.attempt == k) for k in (1, 2)}
    assert {entry.attempt for entry in found.history} == {1, 2}
    # The first has a third of the effort, up to a round. The last step of the second is not in the history.
    third = (1.0 - 2 * LAST_STEP) * EARLY_SHARE * effort
    assert steps[1] == pytest.approx(third, abs=2 * ROUND * effort)
    assert steps[2] == pytest.approx((1.0 - LAST_STEP) * effort - third, abs=2 * ROUND * effort)
    assert sum(steps.values()) <= (1.0 - LAST_STEP + 2 * ROUND) * effort
    assert found.network.equals(run(sequences, targets, settings=how, validation=held if validated else None).network)


def test_without_validation_data_the_objective_decides(monkeypatch):
    X, y = bits(100, 9)
    sequences, targets, seen = as_sequences(X), encoded(y, "hinge"), []

    def recorded(task, settled):
        seen.append(together(task, settled))
        return seen[-1]

    monkeypatch.setattr(sys.modules["convexsnn.search.search"], "together", recorded)
    found = run(sequences, targets, settings=replace(OPEN, rounds=16))
    attempts = seen[0][:2]
    assert [one.score for one in attempts] == [
        -next(entry.objective for entry in reversed(found.history) if entry.attempt == k) for k in (1, 2)
    ]
    (both,) = seen[0][2:]
    assert both.score > max(one.score for one in attempts)
    assert {shape_of(branch) for branch in found.network.hidden.branches} <= {(3, False), (2, True)}


@pytest.mark.parametrize("validated", [False, True])
def test_a_search_killed_on_the_second_shape_goes_on_to_the_same_network(data, tmp_path, validated):
    sequences, targets, held = data
    how = {"settings": OPEN, "validation": held if validated else None}
    whole = run(sequences, targets, **how)
    path = tmp_path / "search.safetensors"
    begun = next(entry.number for entry in whole.history if entry.attempt == 2)

    def kill(entry):
        if entry.number == begun + 2:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        run(sequences, targets, **how, on_round=kill, checkpoint=path)
    # Of another shape it is another search.
    with pytest.raises(ValueError, match=r"another|other"):
        run(sequences, targets, **(how | {"settings": replace(OPEN, depth=3)}), checkpoint=path)
    resumed = run(sequences, targets, **how, checkpoint=path)
    assert resumed.network.equals(whole.network)
    assert [entry.steps for entry in resumed.history] == [entry.steps for entry in whole.history]


def test_one_attempt_or_given_neurons_leave_one_shape(data):
    sequences, targets, held = data
    alone = run(sequences, targets, settings=replace(OPEN, attempts=1), validation=held)
    assert alone.history[-1].attempt == 1
    assert {shape_of(branch) for branch in alone.network.hidden.branches} == {(3, False)}
    given = gaussian(Architecture(2, last=8, readout="spike", bias=True), torch.Generator().manual_seed(0))
    after = run(sequences, targets, settings=OPEN, given=given)
    assert after.history[-1].attempt == 1


def test_pools_of_several_shapes_in_one():
    sequences, rows = as_sequences(bits(60, 4)[0]), torch.arange(60)
    prefixes, pools = prefixes_of(sequences, every_step=False), []
    for seed, shape in enumerate(({"depth": 3}, {"depth": 2, "recurrent": True}, {"depth": 2, "recurrent": True})):
        space = space_of(sequences, readout="spike", **shape)
        population, own = space.draw(6, torch.Generator().manual_seed(seed)), torch.arange(6)
        hidden = gaussian(Architecture(2, depth=2, hidden=3, last=3, readout="spike"), torch.Generator().manual_seed(9))
        pool = admit(dictionary_of(hidden, sequences, rows, 1), population, own, own % 5, 0 * own, prefixes, Alone())
        pools.append(pool.solved(torch.randn(len(pool), 1, generator=torch.Generator().manual_seed(seed)).double()))
    runner = BranchRunner(prefixes, space.architecture.read_by)
    for pool in pools:
        torch.testing.assert_close(pool.as_given.outputs(sequences, runner), pool.outputs(sequences, runner))
    whole = united(united(pools[0], pools[1]), pools[2])
    packed = [{row.tobytes() for row in pool.columns.packed.numpy()} for pool in (*pools, whole)]
    assert packed[3] == packed[0] | packed[1] | packed[2]
    assert len(packed[3]) == len(whole)
    weighted = replace(whole, W=torch.randn(len(whole), 1, generator=torch.Generator().manual_seed(5)).double())
    told = weighted.columns.dense(torch.float64) @ weighted.W
    torch.testing.assert_close(weighted.outputs(sequences, runner), told)
    torch.testing.assert_close(score_outputs(weighted.to_network(), sequences), told)


@pytest.mark.parametrize("intercept", [False, True])
def test_classifier_of_both_shapes_is_certified(intercept):
    X, y = bits(60, 5)
    family = Search(**{name: value for name, value in vars(OPEN).items() if name != "readout"})
    model = SpikingClassifier(witnesses=family, loss="hinge", intercept=intercept, random_state=0).fit(X, y)
    assert model.certificate_.relative_gap <= 1e-5
    assert {entry.attempt for entry in model.history_} == {1, 2}
