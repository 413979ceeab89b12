"""SG-CVX, fine-tuning, alternation, stacking: the objective only falls."""

import pytest
import torch

from convexsnn import Architecture, gaussian, hybrids, train
from convexsnn.hybrids import alternate, convex_readout, fine_tune, stack_layers
from convexsnn.losses import LOSSES
from convexsnn.penalties import PENALTIES
from convexsnn.program import uniform_weights
from convexsnn.simulation import scores
from convexsnn.surrogate import Problem, SurrogateSettings, initial_network, train_surrogate
from convexsnn.training import ProgramSettings
from convexsnn.validation import Validation
from helpers import draw_sequences, generator

QUICK = SurrogateSettings(epochs=4, batch_size=32, learning_rate=1e-2)


def make_problem(loss="cross_entropy", penalty="l1", rho=2e-3, n=100, every_step=False):
    sequences = draw_sequences(n, 5, 3, ragged=every_step)
    values = sequences.values
    if every_step:
        inside = torch.arange(5) < sequences.lengths.unsqueeze(1)
        labels = (values[:, :, 0] > 0.3)[inside].long()
    else:
        labels = (values[:, 0, 0] > 0.3).long() + (values[:, -1, 1] > 0.3).long()
    outputs = 2 if every_step else 3
    targets = (
        LOSSES[loss].encode(labels, outputs) if loss == "cross_entropy" else 2.0 * (labels > 0).double()[:, None] - 1
    )
    return Problem(sequences, targets, LOSSES[loss], PENALTIES[penalty], rho, uniform_weights(len(targets)))


def make_network(problem, **settings):
    defaults = {"depth": 3, "branches": 2, "hidden": 12, "last": 20, "readout": "spike"}
    architecture = Architecture(3, **(defaults | settings))
    return initial_network(architecture, problem.targets.shape[1], generator(0), gain=2.0)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("settings", [{}, {"recurrent": True, "bias": True}, {"neuron": "threshold", "bias": True}])
def test_a_convex_readout_is_at_most_the_trained_networks_objective(loss, penalty, settings):
    problem = make_problem(loss, penalty)
    trained = train_surrogate(make_network(problem, **settings), problem, QUICK, seed=1).network
    convex = convex_readout(trained, problem)
    own = problem.objective(trained)
    assert convex.certificate.holds(1e-6)
    assert convex.certificate.rho == problem.rho
    assert convex.certificate.primal <= own * (1 + 1e-6)
    assert problem.objective(convex.network) == pytest.approx(convex.certificate.primal, rel=1e-9)
    assert convex.certificate.dual <= own


@pytest.mark.parametrize("every_step", [False, True])
def test_fine_tuning_never_raises_what_it_is_judged_by(every_step):
    problem = make_problem(every_step=every_step)
    hidden = gaussian(Architecture(3, hidden=12, last=30, every_step=every_step), generator(0))
    settings = ProgramSettings(rho=problem.rho)
    start = train(hidden, problem.sequences, problem.targets, settings, problem.row_weights).network
    ruinous = SurrogateSettings(epochs=3, learning_rate=10.0, clip_norm=None)
    assert fine_tune(start, problem, ruinous) is start
    plain = make_network(problem, every_step=every_step)
    assert problem.objective(fine_tune(plain, problem, QUICK)) < problem.objective(plain)
    labels = problem.targets.argmax(dim=1)
    validation = Validation(problem.sequences, lambda S: float((S.argmax(dim=1) == labels).double().mean()))
    kept = fine_tune(start, problem, ruinous, validation=validation)
    assert validation.score(scores(kept, problem.sequences)) >= validation.score(scores(start, problem.sequences))


def test_alternation_is_logged_and_never_worse():
    problem, heard, settings = make_problem(rho=5e-4), [], SurrogateSettings(epochs=25, batch_size=32)
    start = make_network(problem)
    result = alternate(start, problem, settings, rounds=3, on_stage=heard.append)
    assert tuple(heard) == result.stages
    best = [stage.best for stage in result.stages]
    assert best == sorted(best, reverse=True)
    assert best[-1] < 0.9 * best[1] < best[0]
    assert sum(stage.accepted for stage in result.stages if stage.name == "convex") >= 2
    assert problem.objective(result.network) == best[-1]
    assert all(stage.objective == stage.best for stage in result.stages if stage.accepted)
    if result.trained is not None:
        assert result.trained.network.equals(result.network)
    again = alternate(start, problem, settings, rounds=3)
    assert again.network.equals(result.network)


def test_alternation_ends_where_neither_helps():
    problem = make_problem(rho=10.0)  # nothing pays for a weight
    result = alternate(make_network(problem), problem, QUICK, rounds=5)
    assert result.network.hidden.n_last == 0
    assert [stage.name for stage in result.stages] == ["start", "convex", *["surrogate", "convex"] * 2]


def test_interrupted_alternation_keeps_the_best():
    problem = make_problem()

    def stop(stage):
        if stage.name == "surrogate":
            raise KeyboardInterrupt

    result = alternate(make_network(problem), problem, QUICK, on_stage=stop)
    assert [stage.name for stage in result.stages] == ["start", "convex", "surrogate"]
    assert problem.objective(result.network) == result.stages[-1].best


def test_stacked_layers_are_trained_one_after_another(monkeypatch):
    problem, calls = make_problem(), []

    def record(start, *arguments, **settings):
        calls.append((start, train_surrogate(start, *arguments, **settings)))
        return calls[-1][1]

    monkeypatch.setattr(hybrids, "train_surrogate", record)
    architecture = Architecture(3, depth=4, branches=2, hidden=12, last=20, readout="spike")
    whole = stack_layers(architecture, problem, SurrogateSettings(epochs=4, batch_size=32, gain=4.0), seed=2)
    assert [[la.m for la in start.hidden.branches[0].layers] for start, _ in calls] == [[6], [6, 6], [6, 6, 10]]
    for depth, (start, result) in enumerate(calls):
        for k, branch in enumerate(start.hidden.branches):
            after, final = result.network.hidden.branches[k], whole.hidden.branches[k]
            assert not torch.equal(after.last.weight, branch.last.weight)
            assert torch.equal(after.last.weight, final.layers[depth].weight)
    assert convex_readout(whole, problem).certificate.primal <= problem.objective(whole) * (1 + 1e-6)
