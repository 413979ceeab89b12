"""Column generation for the hinge loss with an interior point method on the working set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from convexsnn.solvers.base import Journal, Status
from convexsnn.solvers.hinge.certified import CertifiedPoint
from convexsnn.solvers.merge_rows import RowGroups

# Columns of the first restricted program, and the growth of the working set when they do not suffice. An iteration
# costs C (m P^2 + P^3), so that dictionaries of this size are solved at once and larger ones in rounds.
FIRST_COLUMNS = 1500
# A round adds the violated columns, up to the first of these parts of those it has, and the next ones up to the second.
GROWTH, COMPANY = 0.5, 0.15
# A round whose own gap is below this part of the gap that all columns leave has no more to say than which are missing.
ROUND_SHARE = 0.1
# Iterations without a smaller complementarity after which the arithmetic is taken to be exhausted.
PATIENCE = 15


class Iterate(Protocol):
    """What an interior point method on given columns offers; see `LinearInteriorPoint`, `ConeInteriorPoint`."""

    @property
    def a(self) -> Tensor: ...
    @property
    def dual(self) -> float: ...
    def primal(self, W: Tensor) -> float: ...
    def sparse_weights(self) -> Tensor: ...
    def complementarity(self) -> float: ...
    def step(self) -> None: ...


# D (m, P), Y (m, C), cost (m, 1), rho; see the constructors of the two interior point methods.
MakeIterate = Callable[[Tensor, Tensor, Tensor, float], Iterate]


class InteriorMaster:
    """An interior point method on a growing set of columns, see `generate_columns`.

    The iterates are strictly dual feasible for the columns of the working set, so each gives a certificate after one
    product with the whole dictionary. Weights that complementarity marks as inactive are exact zeros.
    """

    def __init__(
        self,
        point: CertifiedPoint,
        make: MakeIterate,
        groups: RowGroups,
        journal: Journal,
        record: Callable[[], None],
        likely: Tensor | None = None,
    ) -> None:
        """Go on from `point`, whose best weights and dual vector it improves.

        `record` is called after each iteration, and has to make an entry in the journal. The first round is over the
        columns `likely` (int64), or where nothing is known of the support over many.
        """
        self._point, self._make, self._groups = point, make, groups
        self._journal, self._record, self._likely = journal, record, likely
        self._working: Tensor | None = None

    @property
    def closed(self) -> bool:
        return self._point.closed

    @property
    def full(self) -> bool:
        return self._journal.full

    def price(self) -> Tensor | None:
        """The next working set: at first the likely columns, then with those that violate the dual constraint most."""
        norms, working = self._point.products.norm(dim=1), self._working
        if working is None:
            likely = self._likely
            if likely is None:
                likely = norms.argsort(descending=True, stable=True)[:FIRST_COLUMNS]
            return torch.cat([likely, self._point.support]).unique()
        norms[working] = -1.0
        violated = int((norms > self._point.program.rho).sum())
        if not violated:
            return None
        # With the violated columns come those next to them.
        count = max(min(violated, int(GROWTH * len(working))), int(COMPANY * len(working)), 1)
        added = norms.argsort(descending=True, stable=True)[: min(count, len(norms) - len(working))]
        return torch.cat([working, added])

    def solve(self, new: Tensor) -> Status:
        """Iterate until the gap over the working set `new` is within the tolerance."""
        self._working, point, groups = new, self._point, self._groups
        program, best, tol = point.program, point.best, self._journal.options.tol
        scale = float(groups.weights.mean())
        D, Y = program.columns.take(new).dense()[groups.first], program.targets[groups.first]
        iterate = self._make(D, Y, (groups.weights / scale).unsqueeze(1), program.rho / scale)
        smallest, since = float("inf"), 0
        while not self._journal.full:
            try:
                iterate.step()
            except ArithmeticError:
                return Status.STALLED
            primal = self._offer_weights(iterate, new, scale)
            point.offer_dual(groups.spread(-Y * iterate.a * scale))
            self._record()
            gap = primal - iterate.dual * scale
            if gap <= max(0.5 * tol * primal, ROUND_SHARE * (primal - best.dual)):
                return Status.CONVERGED
            # The gap of the sparse weights may stand still for long when rho is tiny; mu shows whether steps are made.
            mu = iterate.complementarity()
            smallest, since = (mu, 0) if mu < smallest else (smallest, since + 1)
            if since > PATIENCE:
                return Status.STALLED
        return Status.MAX_ITER

    def _offer_weights(self, iterate: Iterate, working: Tensor, scale: float) -> float:
        """Offer the sparse weights of the iterate; their objective. The dense ones would be no certified support."""
        best, sparse = self._point.best, iterate.sparse_weights()
        W = best.W.new_zeros(best.W.shape)
        W[working] = sparse
        primal = iterate.primal(sparse) * scale
        best.offer_primal(W, primal)
        return primal
