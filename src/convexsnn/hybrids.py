"""Convex readouts and surrogate gradients together: each lowers the same objective, at the same rho."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from convexsnn.checks import check_integer, check_real
from convexsnn.network import Hidden, Network
from convexsnn.simulation import scores
from convexsnn.surrogate import Problem, SurrogateSettings, initial_network, train_surrogate
from convexsnn.training import ProgramSettings, Trained, train
from convexsnn.validation import Validation
from convexsnn.witnesses import Architecture


@dataclass(frozen=True)
class Stage:
    """One stage of `alternate`.

    Attributes
    ----------
    name : {"start", "convex", "surrogate"}
    objective : float
        Of the network that the stage gave, at the problem's rho, by running it.
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


def convex_readout(network: Network, problem: Problem, tol: float = 1e-6) -> Trained:
    """The optimal readout of a network's own hidden layers at the problem's rho: the paper's SG-CVX.

    The solver starts at the network's output weights, so the objective is at most the network's own, up to `tol`
    relative and the network's rounding.

    Parameters
    ----------
    network : Network
        Such as a trained one.
    problem : Problem
    tol : float
        Relative duality gap to certify.
    """
    settings = ProgramSettings(
        problem.loss.name, problem.penalty.name, rho=problem.rho, tol=tol, heads=problem.loss.heads
    )
    start = network.W.to(torch.float64)
    return train(network.hidden, problem.sequences, problem.targets, settings, problem.row_weights, start=start)


def fine_tune(
    network: Network,
    problem: Problem,
    settings: SurrogateSettings | None = None,
    *,
    seed: int = 0,
    validation: Validation | None = None,
) -> Network:
    """Surrogate gradients on all weights of a network, such as a reconstructed one; never worse than it.

    Parameters
    ----------
    network : Network
    problem : Problem
    settings : SurrogateSettings, optional
    seed : int
    validation : Validation, optional
        With it, "worse" is the score on these; without it, the objective.

    Returns
    -------
    Network
        The tuned network, or `network` itself when tuning did not help.
    """
    if network.hidden.n_last == 0:
        return network  # no output weight, nothing to tune
    tuned = train_surrogate(network, problem, settings, seed=seed, validation=validation).network
    if validation is None:
        return tuned if problem.objective(tuned) < problem.objective(network) else network
    score = lambda candidate: validation.score(_scores(candidate, validation))  # noqa: E731
    return tuned if score(tuned) > score(network) else network


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
    """Convex readout and surrogate gradients in turn, until neither lowers the objective.

    rho is the problem's throughout: it does not follow the number of neurons, which falls with every reconstruction. A
    stage that does not lower the objective leaves the network as it was; a surrogate stage that fails is tried once
    more at a tenth of the learning rate, and then the alternation ends. Ctrl-C ends it after the stage before.

    Parameters
    ----------
    start : Network
        Sampled, pretrained, reconstructed, or fresh from `initial_network`.
    problem : Problem
    settings : SurrogateSettings, optional
        Of each surrogate stage; with path_norm, as what is trained is the objective.
    rounds : int
        At most so many pairs of stages.
    min_drop : float
        A round that lowers the objective by less than this share of it is the last.
    tol : float
        Relative duality gap of each convex stage.
    seed : int
    on_stage : callable (Stage), optional
    """
    check_integer("rounds", rounds)
    check_real("min_drop", min_drop, 0.0)
    log = _Log(start, problem, on_stage)
    settings = settings or SurrogateSettings()
    try:
        log.convex(tol)
        for r in range(rounds):
            before = log.best
            tried = settings
            while not log.surrogate(tried, seed + r) and tried is settings:
                tried = replace(settings, learning_rate=settings.learning_rate / 10.0)
            if log.trained is None:
                log.convex(tol)
            if log.best > before * (1.0 - min_drop):
                break
    except KeyboardInterrupt:
        pass
    return Alternated(log.network, log.trained, tuple(log.stages))


def stack_layers(
    architecture: Architecture,
    problem: Problem,
    settings: SurrogateSettings | None = None,
    *,
    seed: int = 0,
    validation: Validation | None = None,
) -> Network:
    """Train layer by layer: each as the last hidden layer of a shallower network, which is then frozen.

    Parameters
    ----------
    architecture : Architecture
    problem : Problem
        Its rho is that of every depth.
    settings : SurrogateSettings, optional
        Of each depth.
    seed : int
    validation : Validation, optional
        For early stopping at each depth.

    Returns
    -------
    Network
        Of the full depth; follow it with `convex_readout`.
    """
    settings = settings or SurrogateSettings()
    generator = torch.Generator().manual_seed(seed)
    outputs = problem.targets.shape[1]
    network = initial_network(architecture, outputs, generator, settings.gain)
    fresh = network.hidden
    for depth in range(1, architecture.depth):
        grown = _grow(network.hidden, fresh, depth)
        bound = grown.n_last**-0.5
        W = (2.0 * torch.rand(grown.n_last, outputs, generator=generator, dtype=torch.float64) - 1.0) * bound
        start = Network(grown, W.to(problem.targets.device)).to(problem.targets.device)
        trained = train_surrogate(start, problem, settings, seed=seed, validation=validation, frozen_layers=depth - 1)
        network = trained.network
    return network


class _Log:
    """The best network so far and the stages that led to it."""

    def __init__(self, start: Network, problem: Problem, on_stage: Callable[[Stage], None] | None) -> None:
        self.network, self.trained = start, None
        self.best = problem.objective(start)
        self.stages: list[Stage] = []
        self._problem, self._tell = problem, on_stage
        self._note("start", self.best, 0.0, accepted=True)

    def convex(self, tol: float) -> bool:
        began = time.perf_counter()
        with warnings.catch_warnings():
            # An uncertified stage is judged by its objective as any other; the result carries its certificate.
            warnings.simplefilter("ignore", ConvergenceWarning)
            trained = convex_readout(self.network, self._problem, tol)
        accepted = self._offer("convex", trained.network, began)
        if accepted:
            self.trained = trained
        return accepted

    def surrogate(self, settings: SurrogateSettings, seed: int) -> bool:
        began = time.perf_counter()
        if self.network.hidden.n_last == 0:
            return False
        tuned = train_surrogate(self.network, self._problem, settings, seed=seed).network
        accepted = self._offer("surrogate", tuned, began)
        if accepted:
            self.trained = None
        return accepted

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


def _grow(trained: Hidden, fresh: Hidden, depth: int) -> Hidden:
    """`depth` layers a branch: the trained ones below, and a fresh one on top."""
    branches = []
    for old, new in zip(trained.branches, fresh.branches, strict=True):
        kept = old.layers[: depth - 1]
        branches.append(replace(new, layers=(*kept, new.layers[depth - 1].to(old.last.weight.device))))
    return replace(fresh, branches=tuple(branches))


def _scores(network: Network, validation: Validation) -> Tensor:
    return scores(network, validation.sequences).cpu()
