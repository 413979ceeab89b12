"""All neurons of a family as the source of a program's columns, at one rho after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from torch import Tensor

from convexsnn.bounds import Arrangement, NetworkFamily
from convexsnn.certificate import Certificate
from convexsnn.exact.family_program import TRAINING
from convexsnn.exact.settings import ExactSettings
from convexsnn.exact.training import enumerate_patterns_of, solve_exactly
from convexsnn.observer import Observer
from convexsnn.penalties import require_norm
from convexsnn.problem import Problem
from convexsnn.program import check_penalised
from convexsnn.simulation import scores
from convexsnn.solvers.base import SolverOptions, Status
from convexsnn.training import Trained, path_of_rhos
from convexsnn.validation import Validation


@dataclass(frozen=True, eq=False)
class ExactColumns:
    """All columns of a family, by enumeration or by exact pricing; see `convexsnn.training.ColumnSource`.

    Every rho has neurons of its own, and each certificate the scope "global". An enumeration is made once.

    Attributes
    ----------
    problem : Problem
    family : NetworkFamily
    how : ExactSettings
    options : SolverOptions
    observer : Observer
    n_last : int
        P_last in rho = beta / sqrt(P_last).
    start, history, stopped
        Nothing is searched, and there are no weights to start from.
    """

    problem: Problem
    family: NetworkFamily
    how: ExactSettings
    options: SolverOptions
    observer: Observer
    n_last: int

    start: None = None
    history: tuple[()] = ()
    stopped: None = None

    def __post_init__(self) -> None:
        require_norm(self.problem.penalty, TRAINING)
        check_penalised(self.problem, TRAINING)

    @cached_property
    def arrangement(self) -> Arrangement | None:
        """All patterns; None for the method "pricing", which needs no enumeration."""
        if self.how.method != "arrangement":
            return None
        problem = self.problem
        return enumerate_patterns_of(self.family, problem.input, self.how, problem.n_outputs, self.observer)

    def fits(self, rhos: Sequence[float], start: Tensor | None = None) -> Iterator[ExactFit]:  # noqa: ARG002
        """Train exactly for each rho; it ends after a fit that was interrupted."""
        for rho in rhos:
            trained = solve_exactly(
                self.problem.at(rho),
                self.family,
                self.how,
                self.options,
                arrangement=self.arrangement,
                observer=self.observer,
            )
            yield ExactFit(trained)
            if trained.status is Status.INTERRUPTED:
                return

    def path_of_rhos(self) -> list[float]:
        """See `ColumnSource`; ValueError for the method "pricing", which knows no level at which weights begin."""
        if self.arrangement is None:
            raise ValueError("beta must be numbers, not 'path', for exact training by method 'pricing'")
        return path_of_rhos(self.problem.program(self.arrangement.columns), self.n_last)

    def on(self, problem: Problem) -> ExactColumns:
        """The same family on another problem."""
        return replace(self, problem=problem)


@dataclass(frozen=True, eq=False)
class ExactFit:
    """A network that was trained exactly; see `convexsnn.training.Fit`."""

    trained: Trained

    @property
    def certificate(self) -> Certificate:
        """The certificate, of scope "global"."""
        return self.trained.certificate

    @property
    def status(self) -> Status:
        """Why training ended."""
        return self.trained.status

    @property
    def seconds(self) -> float:
        """Seconds that the solver took."""
        return self.trained.seconds["solve"]

    def score_of(self, rows: Validation) -> float:
        """The score of the network on some rows."""
        return rows.score_of(scores(self.trained.network, rows.sequences).cpu())

    def conclude(self) -> Trained:
        """The network."""
        return self.trained
