"""From a problem and hidden layers to a certified network."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from convexsnn.caller import isolated, paced
from convexsnn.certificate import Certificate
from convexsnn.dictionary import Dictionary, build_dictionary
from convexsnn.network import Hidden, Network
from convexsnn.notices import warn
from convexsnn.observer import Observer
from convexsnn.penalties import PenaltyAboveNorm
from convexsnn.problem import Problem
from convexsnn.program import ConvexProgram
from convexsnn.reconstruction import reconstruct
from convexsnn.solvers.base import Solution, SolverOptions, Status
from convexsnn.solvers.path import halved_rhos, largest_rho, rho_grid, solve_path
from convexsnn.validation import Validation

# The betas of "path": how many, and the last as a share of the level at which W = 0 is optimal.
PATH_POINTS, PATH_RATIO = 20, 1e-3

logger = logging.getLogger(__name__)


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
        The weights of the rows in the loss, which sum to one.
    certificate : Certificate
    status : Status
        Why the solver stopped.
    solver : str
    n_iter : int
    seconds : dict of str to float
        Wall-clock seconds of "simulate", "solve", "bound" (the bounds over networks) and "reconstruct".
    data_digest : str
        SHA-256 of the sequences and targets that were trained on (`Problem.data_digest`).
    family_dual : float64 tensor of shape (rows, C), optional
        The dual vector of the certificate's bound over the family, where that is not `U`.
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
    data_digest: str
    family_dual: Tensor | None = None


class Fit(Protocol):
    """Output weights for one rho, with what was proved about them.

    Attributes
    ----------
    certificate : Certificate
    status : Status
        Why the solver stopped.
    seconds : float
        The seconds that the solver took.
    """

    @property
    def certificate(self) -> Certificate: ...
    @property
    def status(self) -> Status: ...
    @property
    def seconds(self) -> float: ...

    def score_of(self, rows: Validation) -> float:
        """The score of the network on some rows."""
        ...

    def conclude(self) -> Trained:
        """The network; warns where its certificate does not reach the tolerance."""
        ...


class ColumnSource(Protocol):
    """Where the columns of a problem's program come from: witnesses that were simulated, or exact pricing.

    Attributes
    ----------
    problem : Problem
    n_last : int
        P_last, in rho = beta / sqrt(P_last).
    options : SolverOptions
        How far programs are solved.
    start : float64 tensor of shape (P_last, C), optional
        Weights of the last-layer neurons that are nearly optimal already.
    history : tuple of Round
        Of the search that found the columns, if there was one.
    stopped : str or None
        Why that search ended.
    """

    @property
    def problem(self) -> Problem: ...
    @property
    def n_last(self) -> int: ...
    @property
    def options(self) -> SolverOptions: ...
    @property
    def start(self) -> Tensor | None: ...
    @property
    def history(self) -> tuple[Any, ...]: ...
    @property
    def stopped(self) -> str | None: ...

    def fits(self, rhos: Sequence[float], start: Tensor | None = None) -> Iterator[Fit]:
        """A fit for each rho, from the largest to the smallest, each made when it is asked for."""
        ...

    def path_of_rhos(self) -> list[float]:
        """20 values in geometric progression: from just below the level at which W = 0 is optimal to 1e-3 of it."""
        ...

    def on(self, problem: Problem) -> ColumnSource:
        """The same source for another problem."""
        ...


@dataclass(frozen=True, eq=False)
class SimulatedColumns:
    """The columns that witnesses realise on a problem's sequences.

    Attributes
    ----------
    problem : Problem
    witnesses : Hidden
    dictionary : Dictionary
    n_last : int
        P_last, in rho = beta / sqrt(P_last): of the witnesses, or that of the search that found them.
    options : SolverOptions
    observer : Observer
    seconds : float
        That the simulation took.
    start, history, stopped
        See `ColumnSource`.
    checkpoint : path, optional
        The folder that keeps columns while they are made.
    """

    problem: Problem
    witnesses: Hidden
    dictionary: Dictionary
    n_last: int
    options: SolverOptions
    observer: Observer
    seconds: float
    start: Tensor | None = None
    history: tuple[Any, ...] = ()
    stopped: str | None = None
    checkpoint: str | Path | None = None

    @classmethod
    def of(
        cls,
        problem: Problem,
        witnesses: Hidden,
        options: SolverOptions | None = None,
        observer: Observer | None = None,
        n_last: int | None = None,
        checkpoint: str | Path | None = None,
    ) -> SimulatedColumns:
        """Simulate witnesses on the problem's sequences; columns that `checkpoint` keeps are not made again.

        Warns
        -----
        UserWarning
            When no last-layer neuron gives a column on these sequences, or no neuron at all fires.
        """
        observer = observer or Observer()
        if witnesses.every_step != problem.every_step:
            raise ValueError("witnesses must be read at the steps of the problem's rows: their every_step is another")
        begun = time.perf_counter()
        dictionary = problem.dictionary(witnesses, observer.simulated, checkpoint)
        seconds = time.perf_counter() - begun
        if dictionary.columns.shape[1] == 0:
            warn(
                "no last-layer neuron fires on any training sequence, so the network's output is zero: scale the input "
                "up, or lower threshold"
            )
        elif dictionary.firing <= problem.intercept:  # its own neuron fires always
            warn(
                "no hidden neuron fires on any training sequence, so membranes are all that is read: scale the input "
                "up, or lower threshold"
            )
        width = len(dictionary.column_of) if n_last is None else n_last
        given = options or SolverOptions()
        told = replace(given, callback=given.callback or observer.solved)
        return cls(problem, witnesses, dictionary, width, told, observer, seconds, checkpoint=checkpoint)

    def fits(self, rhos: Sequence[float], start: Tensor | None = None) -> Iterator[SimulatedFit]:
        """See `ColumnSource`; `start` (P_last, C) has weights of the witnesses from which the first is solved."""
        W0 = None if start is None else self.dictionary.to_columns(start)
        for solution in solve_path(self.program, rhos, self.options, W0):
            yield self.fit_of(solution)

    def fit_of(self, solution: Solution) -> SimulatedFit:
        """A solution of the program at its own rho, with the certificate completed."""
        problem = self.problem.at(solution.certificate.rho)
        begun = time.perf_counter()
        bound = problem.universal_certificate(self.witnesses, solution.U, solution.certificate.primal)
        certificate = solution.certificate.with_spike_margin(self.dictionary.spike_margin).with_global_bound(bound)
        return SimulatedFit(self, solution, certificate, time.perf_counter() - begun)

    def path_of_rhos(self) -> list[float]:
        """See `ColumnSource`; one rho where W = 0 is optimal for every one."""
        return path_of_rhos(self.program, self.n_last)

    def on(self, problem: Problem) -> SimulatedColumns:
        """The same witnesses on another problem's sequences."""
        return SimulatedColumns.of(problem, self.witnesses, self.options, self.observer, self.n_last, self.checkpoint)

    @cached_property
    def program(self) -> ConvexProgram:
        """The convex program over the columns."""
        return self.problem.program(self.dictionary.columns)

    @cached_property
    def held(self) -> Dictionary | None:
        """The same witnesses on the validation data."""
        validation = self.problem.validation
        if validation is None:
            return None
        return build_dictionary(self.witnesses, validation.source, self.observer.simulated)


@dataclass(frozen=True, eq=False)
class SimulatedFit:
    """Output weights of simulated witnesses; see `Fit`.

    Attributes
    ----------
    source : SimulatedColumns
    solution : Solution
    certificate : Certificate
        The certificate, with spike margin and global bound.
    bound_seconds : float
    """

    source: SimulatedColumns
    solution: Solution
    certificate: Certificate
    bound_seconds: float

    @property
    def status(self) -> Status:
        """Why the solver stopped."""
        return self.solution.status

    @property
    def seconds(self) -> float:
        """Seconds that the solver took."""
        return self.solution.seconds

    def score_of(self, rows: Validation) -> float:
        """The score of the network on the training rows, or on the validation data."""
        source, W = self.source, self.solution.W
        if rows.source is source.problem.sequences:
            return rows.score_of(source.program.columns.matmul(W).cpu())
        held = source.held
        assert held is not None
        return rows.score_of(held.columns.matmul(held.to_columns(source.dictionary.to_neurons(W))).cpu())

    def conclude(self) -> Trained:
        """Reconstruct the network, and warn when it is not certified to the tolerance."""
        source, solution, tol = self.source, self.solution, self.source.options.tol
        begun = time.perf_counter()
        network = reconstruct(source.witnesses, source.dictionary, solution.W)
        seconds = {"simulate": source.seconds, "solve": solution.seconds, "bound": self.bound_seconds}
        seconds["reconstruct"] = time.perf_counter() - begun
        if not self.certificate.holds(tol):
            warn(
                f"not certified to tol={tol:g}: relative gap {self.certificate.relative_gap:.2e} after "
                f"{solution.n_iter} iterations; {solution.status.value}",
                ConvergenceWarning,
            )
        logger.info("%s", self.certificate)
        if self.certificate.global_bound is not None:
            logger.info("%s", self.certificate.global_bound)
        return Trained(
            network=network,
            witnesses=source.witnesses,
            W=source.dictionary.to_neurons(solution.W),
            U=solution.U,
            row_weights=source.program.row_weights,
            certificate=self.certificate,
            status=solution.status,
            solver=solution.solver,
            n_iter=solution.n_iter,
            seconds=seconds,
            data_digest=source.problem.data_digest,
        )


def path_of_rhos(program: ConvexProgram, n_last: int) -> list[float]:
    """The rhos of beta="path" for a program; one, that of beta 1, where W = 0 is optimal for every one."""
    above_norm = isinstance(program.penalty, PenaltyAboveNorm)
    if program.n_columns == 0 or (above_norm and largest_rho(program) == 0.0):
        return [1.0 / math.sqrt(n_last)]
    if not above_norm:
        return halved_rhos(program)
    # The first of the grid is the level itself, where there is nothing to see.
    return rho_grid(program, PATH_POINTS + 1, PATH_RATIO)[1:]


@isolated
@paced(lambda problem, witnesses, *_, **__: len(problem.targets) * witnesses.n_last)
def train(
    problem: Problem,
    witnesses: Hidden,
    options: SolverOptions | None = None,
    *,
    observer: Observer | None = None,
    start: Tensor | None = None,
) -> Trained:
    """Simulate witnesses, solve the convex program over their columns, certify and reconstruct.

    Parameters
    ----------
    problem : Problem
    witnesses : Hidden
        Their every_step is that of the problem.
    options : SolverOptions, optional
        The relative gap to reach, and the largest number of iterations.
    observer : Observer, optional
    start : float64 tensor of shape (P_last, C), optional
        Weights of the witnesses' last-layer neurons to start the solver from, such as `Trained.W` of a similar problem.

    Warns
    -----
    ConvergenceWarning
        When the certified relative gap is above tol.
    UserWarning
        When no witness ever fires on these sequences.
    """
    source = SimulatedColumns.of(problem, witnesses, options, observer)
    (fit,) = source.fits([problem.rho], start)
    return fit.conclude()
