"""Column generation by exact pricing: no enumeration, and a bound also where time runs out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from convexsnn.bounds import ExactPricing, cells_of, exact_oracle, pricing_bound, universal_bound
from convexsnn.bounds.pricing.branch_and_bound import ROOM
from convexsnn.bounds.report import priced_kappa
from convexsnn.bounds.universal import best_scaling
from convexsnn.columns import BitColumns
from convexsnn.dictionary import build_dictionary
from convexsnn.exact.drawn import drawn_neurons
from convexsnn.exact.family_program import TRAINING, FamilyProgram, with_branches
from convexsnn.network import Hidden
from convexsnn.penalties import require_norm
from convexsnn.rounding import enclose_dual, grouped_kappa
from convexsnn.solvers.base import Status
from convexsnn.solvers.column_generation import generate_columns
from convexsnn.training import Trained

# Patterns added a round, at most.
ADDED = 256
# Share of the time for the pricing of the first rounds: good patterns are found long before it is proved that there are
# no better ones. It grows by this factor whenever none is found.
FIRST_SHARE, GROWTH = 1 / 20, 4.0
# Dual vectors of few columns swing from round to round. What is priced is nearer to the best one met: by this share.
INWARDS = 0.5


@dataclass(frozen=True)
class ExactRound:
    """One round of column generation by exact pricing.

    Attributes
    ----------
    columns : int
        Of the dictionary.
    primal : float
        Objective.
    dictionary_dual : float
        No weights on this round's dictionary reach less.
    dual : float
        The global lower bound so far.
    kappa : float
        Bound on Omega*(d^T U) / rho over the family.
    seconds : float
        Since the beginning.
    """

    columns: int
    primal: float
    dictionary_dual: float
    dual: float
    kappa: float
    seconds: float


def by_rounds(
    task: FamilyProgram, time_limit: float, on_round: Callable[[ExactRound], None] | None, start: Hidden | None = None
) -> Trained:
    """The certificate is that of the best dual vector met, priced over the whole family; `start` has neurons of it."""
    master = _FamilyMaster(task, time_limit, on_round, start)
    try:
        status = master.solution.status
        status = status if status is Status.INTERRUPTED else generate_columns(master)
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
    solution = master.solution
    if status is Status.INTERRUPTED:
        solution = replace(solution, status=status)
    times = {"simulate": 0.0, "solve": master.solving, "bound": master.seconds - master.solving, "reconstruct": 0.0}
    bound = pricing_bound(task.family, master.bound, master.kappa, solution.certificate.primal)
    return task.conclude(master.hidden, master.dictionary.to_neurons(solution.W), master.U, bound, solution, times)


class _FamilyMaster:
    """The program over the neurons found so far, priced over all neurons of the family; see `RestrictedMaster`.

    Attributes
    ----------
    hidden : Hidden
        The neurons found so far.
    dictionary : Dictionary
    solution : Solution
        Over their columns.
    candidate : float64 tensor of shape (rows, C)
        The dual vector of the program over these columns and those of neurons that float64 does not have.
    U : float64 tensor of shape (rows, C)
        The best dual vector met: no network of the family has an objective below `bound`.
    bound : Bound
    kappa : float
    solving : float
        Seconds of the solver.
    """

    def __init__(
        self,
        task: FamilyProgram,
        time_limit: float,
        on_round: Callable[[ExactRound], None] | None,
        start: Hidden | None,
    ) -> None:
        self._begun, self._time_limit, self._tell = time.perf_counter(), time_limit, on_round
        self._task, self._share = task, FIRST_SHARE * time_limit
        self._bare, self._cells = task.problem.bare_program, cells_of(task.family, task.problem.input)
        # What holds before anything is priced, and if nothing ever is.
        universal = universal_bound(self._bare, task.problem.groups)
        self.U, self.bound = universal.U, universal.bound
        self.kappa = grouped_kappa(self._bare, self.U, task.problem.groups)
        self.hidden = with_branches(task.family.simplest(), drawn_neurons(task), constant=task.family.constant)
        self.solving = 0.0
        self._unrealised = torch.zeros(0, len(task.problem.targets), dtype=torch.bool)
        self._extend(start, self._unrealised)

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.perf_counter() - self._begun

    @property
    def closed(self) -> bool:
        """Whether no network of the family is better by more than the tolerance."""
        primal = self.solution.certificate.primal
        return primal - self.bound.below <= self._task.options.tol * abs(primal)

    @property
    def full(self) -> bool:
        """Whether time is over."""
        return self.seconds > self._time_limit

    def price(self) -> ExactPricing | None:
        """Neurons that improve; None where there are none, or time is over, or the bound is closed."""
        inwards = INWARDS
        while True:
            left, U = max(1.0, self._time_limit - self.seconds), self._bare.in_domain(self.candidate)
            mixed = self._bare.in_domain(inwards * self.U + (1.0 - inwards) * U)
            pricing = self._priced(mixed, min(left, self._share))
            if self.closed or self.full:
                return None
            if self._improves(pricing, U):
                return pricing
            # A pattern of score at most rho cannot lower the objective: then the bound is what keeps the gap open.
            if inwards == 0.0 and (pricing.finished or self._share >= left):
                return None
            if not pricing.finished:
                self._share *= GROWTH
            inwards = 0.0

    def solve(self, new: ExactPricing) -> Status:
        """Solve over the columns of more neurons."""
        self._extend(new.witnesses, new.unrealised)
        return Status.INTERRUPTED if self.solution.status is Status.INTERRUPTED else Status.CONVERGED

    def _extend(self, new: Hidden | None, unrealised: Tensor) -> None:
        task, hidden = self._task, self.hidden
        if new is not None:
            hidden = with_branches(hidden, new, constant=task.family.constant)
        dictionary = build_dictionary(hidden, task.problem.input)
        solution = task.solve(dictionary.columns, task.options.tol / 10)
        self.hidden, self.dictionary, self.solution = hidden, dictionary, solution
        self.solving += solution.seconds
        self.candidate, self._unrealised = solution.U, torch.cat([self._unrealised, unrealised])
        if len(self._unrealised):
            # The bound is over all neurons in exact arithmetic, so its dual vector has to know these too.
            bits = torch.cat([dictionary.columns.dense().T > 0.0, self._unrealised])
            both = task.solve(BitColumns.of(bits), task.options.tol / 10)
            self.candidate = both.U
            self.solving += both.seconds

    def _improves(self, pricing: ExactPricing, U: Tensor) -> bool:
        """Whether a column that pricing has found can lower the objective, or the bound's own."""
        norm, columns = require_norm(self._bare.penalty, TRAINING), []
        if pricing.best > 1.0 + 1e-9:
            columns.append(build_dictionary(pricing.witnesses, self._task.problem.input).columns)
        if len(pricing.unrealised):
            columns.append(BitColumns.of(pricing.unrealised))
        return any(float(norm.dual_norm(own.rmatmul(U))) > self._bare.rho * (1.0 + 1e-9) for own in columns)

    def _priced(self, U: Tensor, time_limit: float) -> ExactPricing:
        """Price a dual vector over the family, and keep the bound that it gives if it is the best."""
        task, bare = self._task, self._bare
        pricing = exact_oracle(U, self._cells, penalty=bare.penalty, rho=bare.rho, count=ADDED, time_limit=time_limit)
        own = task.problem.program(self.dictionary.columns)
        kappa = priced_kappa(own, task.problem.groups, U, pricing.kappa)
        # Pricing closes cells a little above the best pattern: with room, the scaled vector is found feasible again.
        scaled = best_scaling(bare, U, kappa * (1.0 + ROOM))
        bound = enclose_dual(bare, scaled, 1.0)
        if bound.below > self.bound.below:
            # Patterns below rho are not told apart: priced anew, a kappa below 1 may be another one below 1.
            self.U, self.bound, self.kappa = scaled, bound, max(1.0, kappa)
        certificate = self.solution.certificate
        entry = ExactRound(
            certificate.P, certificate.primal, certificate.dual, self.bound.below, pricing.kappa, self.seconds
        )
        task.observer.begin(
            f"exact: {entry.columns} columns, objective {entry.primal:.6g}, no network below {entry.dual:.6g}"
        )
        if self._tell is not None:
            self._tell(entry)
        return pricing
