"""SG-CVX, fine-tuning, alternation: the objective only falls."""

from dataclasses import replace

import pytest
import torch

from convexsnn import Architecture, Problem, gaussian, train
from convexsnn.hybrids import alternate, convex_readout, fine_tune
from convexsnn.losses import LOSSES
from convexsnn.penalties import PENALTIES
from convexsnn.simulation import scores
from convexsnn.surrogate import SurrogateSettings, initial_network, train_surrogate
from convexsnn.validation import Accuracy, Validation
from helpers import NORMS, draw_sequences, generator

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
    return Problem(sequences, targets, LOSSES[loss], PENALTIES[penalty], rho, every_step=every_step)


def make_network(problem, **settings):
    defaults = {"depth": 3, "branches": 2, "hidden": 12, "last": 20, "readout": "spike"}
    architecture = Architecture(3, **(defaults | settings))
    return initial_network(architecture, problem.targets.shape[1], generator(0), gain=2.0)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("penalty", NORMS)
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
    start = train(problem, hidden).network
    ruinous = SurrogateSettings(epochs=3, learning_rate=10.0, clip_norm=None)
    assert fine_tune(start, problem, ruinous) is start
    plain = make_network(problem, every_step=every_step)
    assert problem.objective(fine_tune(plain, problem, QUICK)) < problem.objective(plain)
    validation = Validation(problem.sequences, problem.targets, Accuracy())
    kept = fine_tune(start, replace(problem, validation=validation), ruinous)
    before, after = (validation.score_of(scores(network, problem.sequences)) for network in (start, kept))
    assert after >= before


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
