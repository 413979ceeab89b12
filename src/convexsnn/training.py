"""The main path: witnesses and sequences in, a certified network out."""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from convexsnn.bounds import equal_inputs, universal_certificate
from convexsnn.certificate import Certificate
from convexsnn.checks import check_choice, check_integer, check_real
from convexsnn.dictionary import Dictionary, build_dictionary
from convexsnn.losses import Head, Loss, loss_of
from convexsnn.network import Hidden, Network
from convexsnn.penalties import PENALTIES
from convexsnn.program import ConvexProgram, uniform_weights
from convexsnn.reconstruction import reconstruct
from convexsnn.sequences import Sequences
from convexsnn.simulation import scores
from convexsnn.solvers import solve
from convexsnn.solvers.base import Progress, Solution, SolverOptions, Status

# Below it the numbers in the solvers leave the range of float64.
SMALLEST_RHO = 1e-100

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ProgramSettings:
    """The convex program and how far to solve it.

    Attributes
    ----------
    loss : {"hinge", "squared", "logistic", "cross_entropy"}
    penalty : {"l1", "group"}
    beta : float
        Weight of the path norm, > 0.
    rho : float, optional
        Weight of the penalty in the convex program, > 0; None is beta / sqrt(P_last) (the paper's).
    tol : float
        Relative duality gap to reach, in (0, 1).
    max_iter : int
        Limit on the solver's outer iterations.
    heads : tuple of Head
        Classes and weight of each categorical output of cross_entropy; () where there is one.
    width : int, optional
        P_last in beta / sqrt(P_last); None is the number of last-layer neurons. A search, which adds and drops neurons,
        keeps to one rho by it.
    """

    loss: str = "cross_entropy"
    penalty: str = "l1"
    beta: float = 0.1
    rho: float | None = None
    tol: float = 1e-6
    max_iter: int = 1000
    heads: tuple[Head, ...] = ()
    width: int | None = None

    def __post_init__(self) -> None:
        loss_of(self.loss, self.heads)
        check_choice("penalty", self.penalty, PENALTIES)
        check_real("beta", self.beta, 0.0, open_minimum=True)
        if self.rho is not None:
            check_real("rho", self.rho, 0.0, open_minimum=True)
        check_real("tol", self.tol, 0.0, 1.0, open_minimum=True)
        check_integer("max_iter", self.max_iter)
        if self.width is not None:
            check_integer("width", self.width)

    def width_for(self, n_last: int) -> int:
        """`width`, or `n_last` when it is None."""
        return n_last if self.width is None else self.width

    def rho_for(self, n_last: int) -> float:
        """`rho`, or beta / sqrt(P_last) when it is None."""
        rho = float(self.rho) if self.rho is not None else float(self.beta) / math.sqrt(max(1, self.width_for(n_last)))
        if rho < SMALLEST_RHO:
            raise ValueError(f"beta (or rho) is too small: rho = {rho:g} must be at least {SMALLEST_RHO:g}")
        return rho

    @property
    def loss_function(self) -> Loss:
        """The loss named by `loss`, of the given heads."""
        return loss_of(self.loss, self.heads)


@dataclass(frozen=True)
class Observer:
    """Whom to tell about long work; both are called from the thread that works.

    Attributes
    ----------
    simulated : callable (rows done, rows in all), optional
    solved : callable (Progress), optional
    began : callable (str), optional
        Told in words which of several programs is solved next.
    searched : callable (convexsnn.search.Round), optional
        Told of each round of a search.
    """

    simulated: Callable[[int, int], None] | None = None
    solved: Callable[[Progress], None] | None = None
    began: Callable[[str], None] | None = None
    searched: Callable[[Any], None] | None = None

    def begin(self, what: str) -> None:
        """Say what is solved next."""
        if self.began is not None:
            self.began(what)


@dataclass(frozen=True, eq=False)
class Trained:
    """A network and all that is needed to prove again what its certificate says.

    Attributes
    ----------
    network : Network
        Reconstructed: the neurons that carry weight.
    witnesses : Hidden
        All sampled neurons; their columns are the dictionary of the certificate.
    W : float64 tensor of shape (P_last, C)
        Weights of the witnesses' last-layer neurons.
    U : float64 tensor of shape (rows, C)
        A feasible dual vector.
    row_weights : float64 tensor of shape (rows,)
    certificate : Certificate
    status : Status
        Why the solver stopped.
    solver : str
    n_iter : int
    seconds : dict of str to float
        Wall-clock seconds of "simulate", "solve" and "reconstruct".
    global_dual : float64 tensor of shape (rows, C), optional
        The dual vector of the certificate's global bound, where that is not `U`.
    """

    network: Network
    witnesses: Hidden
    W: Tensor
    U: Tensor
    row_weights: Tensor
    certificate: Certificate
    status: Status
    solver: str
    n_iter: int
    seconds: dict[str, float]
    global_dual: Tensor | None = None


def make_program(
    dictionary: Dictionary, targets: Tensor, row_weights: Tensor, settings: ProgramSettings
) -> ConvexProgram:
    """The convex program of `settings` over a dictionary, with targets (rows, C) and row weights (rows,)."""
    return ConvexProgram(
        columns=dictionary.columns,
        targets=targets,
        loss=settings.loss_function,
        penalty=PENALTIES[settings.penalty],
        rho=settings.rho_for(len(dictionary.column_of)),
        row_weights=row_weights,
    )


@dataclass(frozen=True, eq=False)
class Prepared:
    """Simulated witnesses and the convex program over their columns: all that comes before solving.

    Attributes
    ----------
    witnesses : Hidden
    dictionary : Dictionary
    program : ConvexProgram
    groups : int64 tensor of shape (rows,)
        The same number for rows with equal input (`equal_inputs`).
    options : SolverOptions
    simulate_seconds : float
    """

    witnesses: Hidden
    dictionary: Dictionary
    program: ConvexProgram
    groups: Tensor
    options: SolverOptions
    simulate_seconds: float

    def certificate_of(self, solution: Solution) -> Certificate:
        """What was proved about `solution`, which may be at another rho than the program, such as one of a path."""
        certificate = solution.certificate.with_spike_margin(self.dictionary.spike_margin)
        program = replace(self.program, rho=certificate.rho)
        bound = universal_certificate(program, self.groups, self.witnesses, solution.U, certificate.primal)
        return certificate.with_global_bound(bound)

    def conclude(self, solution: Solution, solve_seconds: float) -> Trained:
        """Reconstruct the network of `solution`, and warn when it is not certified to tol."""
        tol = self.options.tol
        certificate = self.certificate_of(solution)
        start = time.perf_counter()
        network = reconstruct(self.witnesses, self.dictionary, solution.W)
        reconstruct_seconds = time.perf_counter() - start
        if not certificate.holds(tol):
            warnings.warn(
                f"not certified to tol={tol:g}: relative gap {certificate.relative_gap:.2e} after "
                f"{solution.n_iter} iterations; {solution.status.value}",
                ConvergenceWarning,
                stacklevel=3,
            )
        logger.info("%s", certificate)
        if certificate.global_bound is not None:
            logger.info("%s", certificate.global_bound)
        return Trained(
            network=network,
            witnesses=self.witnesses,
            W=self.dictionary.to_neurons(solution.W),
            U=solution.U,
            row_weights=self.program.row_weights,
            certificate=certificate,
            status=solution.status,
            solver=solution.solver,
            n_iter=solution.n_iter,
            seconds={"simulate": self.simulate_seconds, "solve": solve_seconds, "reconstruct": reconstruct_seconds},
        )


def prepare(
    witnesses: Hidden,
    sequences: Sequences,
    targets: Tensor,
    settings: ProgramSettings,
    row_weights: Tensor | None,
    observer: Observer,
) -> Prepared:
    """Simulate witnesses and form the convex program over their columns; arguments and warnings as of `train`."""
    start = time.perf_counter()
    dictionary = build_dictionary(witnesses, sequences, observer.simulated)
    seconds = time.perf_counter() - start
    device = dictionary.columns.device
    weights = uniform_weights(len(targets)) if row_weights is None else row_weights / row_weights.sum()
    program = make_program(dictionary, targets.to(device), weights.to(device), settings)
    if program.n_columns == 0:
        warnings.warn(
            "no last-layer neuron fires on any training sequence, so the network's output is zero: scale the input up, "
            "or lower threshold",
            stacklevel=3,
        )
    options = SolverOptions(settings.tol, settings.max_iter, observer.solved)
    groups = equal_inputs(sequences, witnesses.every_step)
    return Prepared(witnesses, dictionary, program, groups, options, seconds)


def train(
    witnesses: Hidden,
    sequences: Sequences,
    targets: Tensor,
    settings: ProgramSettings,
    row_weights: Tensor | None = None,
    observer: Observer | None = None,
    start: Tensor | None = None,
) -> Trained:
    """Simulate witnesses, solve the convex program over their columns, certify and reconstruct.

    Parameters
    ----------
    witnesses : Hidden
    sequences : Sequences
    targets : float64 tensor of shape (rows, C)
        Encoded labels, one row a dictionary row.
    settings : ProgramSettings
    row_weights : float64 tensor of shape (rows,), optional
        Positive; scaled to sum to one. None is uniform.
    observer : Observer, optional
    start : float64 tensor of shape (P_last, C), optional
        Weights of the witnesses' last-layer neurons to start the solver from, such as `Trained.W` of a similar program.

    Warns
    -----
    ConvergenceWarning
        When the certified relative gap is above tol.
    UserWarning
        When no witness ever fires on these sequences.
    """
    prepared = prepare(witnesses, sequences, targets, settings, row_weights, observer or Observer())
    begun = time.perf_counter()
    W0 = None if start is None else prepared.dictionary.to_columns(start)
    solution = solve(prepared.program, prepared.options, W0)
    return prepared.conclude(solution, time.perf_counter() - begun)


def objective(
    network: Network, sequences: Sequences, targets: Tensor, row_weights: Tensor, certificate: Certificate
) -> float:
    """The training objective of a network, by running it: F(f(x)) + rho * Omega(W)."""
    S = scores(network, sequences)
    data = row_weights @ loss_of(certificate.loss, certificate.heads).value(S, targets)
    return float(data + certificate.rho * PENALTIES[certificate.penalty].value(network.W))


def generator_from_seed(seed: int) -> torch.Generator:
    """A CPU generator, the only source of randomness that witnesses take."""
    return torch.Generator().manual_seed(seed)
