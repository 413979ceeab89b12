"""Convex readouts and surrogate gradients together: each lowers the same objective, at the same rho."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from sklearn.exceptions import ConvergenceWarning

from convexsnn.caller import isolated
from convexsnn.checks import check_integer, check_real
from convexsnn.network import Network
from convexsnn.problem import Problem
from convexsnn.simulation import scores
from convexsnn.solvers.base import SolverOptions
from convexsnn.surrogate import SurrogateSettings, train_surrogate
from convexsnn.training import Trained, train


@dataclass(frozen=True)
class Stage:
    """One stage of `alternate`.

    Attributes
    ----------
    name : {"start", "convex", "surrogate"}
    objective : float
        The objective of the network that the stage gave, at the problem's rho, found by running it.
    accepted : bool
        Whether it is the best so far; if not, the network before it was kept.
    best : float
        The smallest objective so far: never rises.
    neurons : int
        Hidden neurons of the best network so far.
    seconds : float
    """

    name: str
    objective: float
    accepted: bool
    best: float
    neurons: int
    seconds: float


@dataclass(frozen=True, eq=False)
class Alternated:
    """The best network of an alternation.

    Attributes
    ----------
    network : Network
    trained : Trained or None
        The convex stage that gave `network`, with its certificate; None where the last improvement was a surrogate
        stage's, whose readout is not certified.
    stages : tuple of Stage
    """

    network: Network
    trained: Trained | None
    stages: tuple[Stage, ...] = field(repr=False)


@isolated
def convex_readout(network: Network, problem: Problem, tol: float = 1e-6) -> Trained:
    """The optimal readout of a network's own hidden layers at the problem's rho: the paper's SG-CVX.

    The solver starts at the network's output weights, so the objective is at most the network's own, up to `tol`
    relative and the network's rounding.

    Parameters
    ----------
    network : Network
        A network, such as a trained one. The solver starts at its output weights.
    problem : Problem
    tol : float
        The relative duality gap to certify, more than 0.
    """
    return train(problem, network.hidden, SolverOptions(tol), start=network.W.to(torch.float64))


@isolated
def fine_tune(
    network: Network, problem: Problem, settings: SurrogateSettings | None = None, *, seed: int = 0
) -> Network:
    """Surrogate gradients on all weights of a network, such as a reconstructed one; never worse than it.

    Parameters
    ----------
    network : Network
    problem : Problem
        What is to be learned. With validation data, networks are compared by their score there; without, by the
        objective.
    settings : SurrogateSettings, optional
    seed : int

    Returns
    -------
    Network
        The tuned network, or `network` itself when tuning did not help.
    """
    if network.hidden.n_last == 0:
        return network  # no output weight, nothing to tune
    tuned = train_surrogate(network, problem, settings, seed=seed).network
    if (validation := problem.validation) is None:
        return tuned if problem.objective(tuned) < problem.objective(network) else network
    score = lambda candidate: validation.score_of(scores(candidate, validation.sequences).cpu())  # noqa: E731
    return tuned if score(tuned) > score(network) else network


@isolated
def alternate(
    start: Network,
    problem: Problem,
    settings: SurrogateSettings | None = None,
    *,
    rounds: int = 10,
    min_drop: float = 1e-3,
    tol: float = 1e-6,
    seed: int = 0,
    on_stage: Callable[[Stage], None] | None = None,
) -> Alternated:
    """Surrogate gradients and convex readout in turn, until they no longer lower the objective.

    A round trains all weights of the best network so far (with all its hidden neurons) by surrogate gradients, and
    then solves for the readout. It is judged as a whole: surrogate gradients alone may well raise the objective of a
    network whose readout was optimal. A round that fails is tried once more at a tenth of the learning rate. rho is the
    problem's throughout: it does not follow the number of neurons, which falls with every reconstruction. Ctrl-C ends
    the alternation with the best network so far.

    Parameters
    ----------
    start : Network
        A network that was sampled, pretrained or reconstructed, or a fresh one of `initial_network`.
    problem : Problem
    settings : SurrogateSettings, optional
        The settings of each surrogate stage. With path_norm, the default, the objective itself is trained.
    rounds : int
        There are at most this many rounds, at least 1.
    min_drop : float
        A round that lowers the objective by less than this share of it is the last.
    tol : float
        The relative duality gap of each convex stage, more than 0.
    seed : int
    on_stage : callable (Stage), optional
    """
    check_integer("rounds", rounds)
    check_real("min_drop", min_drop, 0.0)
    settings, log = settings or SurrogateSettings(), _Log(start, problem, tol, on_stage)
    slower = replace(settings, learning_rate=settings.learning_rate / 10.0)
    try:
        base = log.convex(start) or start
        for r in range(rounds):
            before, improved = log.best, None
            for tried in (settings, slower):
                improved = improved or log.convex(log.surrogate(base, tried, seed + r))
            if improved is None or log.best > before * (1.0 - min_drop):
                break
            base = improved
    except KeyboardInterrupt:
        pass
    return Alternated(log.network, log.trained, tuple(log.stages))


class _Log:
    """The best network so far and the stages that led to it."""

    def __init__(self, start: Network, problem: Problem, tol: float, on_stage: Callable[[Stage], None] | None) -> None:
        self.network, self.best = start, problem.objective(start)
        self.trained: Trained | None = None
        self.stages: list[Stage] = []
        self._problem, self._tol, self._tell = problem, tol, on_stage
        self._note("start", self.best, 0.0, accepted=True)

    def convex(self, network: Network) -> Network | None:
        """Solve for the readout; all hidden neurons with it where the objective is the smallest so far, else None."""
        began = time.perf_counter()
        with warnings.catch_warnings():
            # An uncertified stage is judged by its objective as any other; the result carries its certificate.
            warnings.simplefilter("ignore", ConvergenceWarning)
            trained = convex_readout(network, self._problem, self._tol)
        if not self._offer("convex", trained.network, began):
            return None
        self.trained = trained
        return Network(trained.witnesses, trained.W)

    def surrogate(self, network: Network, settings: SurrogateSettings, seed: int) -> Network:
        """Train all weights."""
        began = time.perf_counter()
        tuned = train_surrogate(network, self._problem, settings, seed=seed).network
        if self._offer("surrogate", tuned, began):
            self.trained = None
        return tuned

    def _offer(self, name: str, network: Network, began: float) -> bool:
        value = self._problem.objective(network)
        accepted = value < self.best
        if accepted:
            self.network, self.best = network, value
        self._note(name, value, time.perf_counter() - began, accepted=accepted)
        return accepted

    def _note(self, name: str, value: float, seconds: float, *, accepted: bool) -> None:
        stage = Stage(name, value, accepted, self.best, self.network.hidden.n_neurons, seconds)
        self.stages.append(stage)
        if self._tell is not None:
            self._tell(stage)
