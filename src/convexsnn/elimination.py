"""A network of fewer columns: those of small weight are left out, and the program is solved again on the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from convexsnn.columns import RealColumns
from convexsnn.kernel_search import exchanged, joined_weights, made_up_for, noisy
from convexsnn.kernel_search.rates import rates
from convexsnn.leave_one_out import solved
from convexsnn.network import Hidden, Network
from convexsnn.notices import warn
from convexsnn.program import ConvexProgram
from convexsnn.readouts import Rate
from convexsnn.reconstruction.pruning import keep_neurons
from convexsnn.regularisation import Regularisation
from convexsnn.selection import Fitted, betas_of, point_of
from convexsnn.sequences import Sequences
from convexsnn.sharded import whole
from convexsnn.simulation import simulate_chunks
from convexsnn.solvers import solve
from convexsnn.solvers.base import Status
from convexsnn.solvers.spectrum import Spectrum
from convexsnn.teaching import can_be_taught, taught
from convexsnn.training import SimulatedColumns, Trained

# The columns that a round keeps, as a share of those in use.
KEPT = 0.7
# Up to so many columns are chosen one by one, where there are so many sequences, on at most so many of them.
FEW, LEAST_SEQUENCES, MOST_SEQUENCES = 100, 1000, 4000


@dataclass(frozen=True, eq=False)
class Elimination:
    """How a fit with many columns is made one with few.

    Neurons with the smallest weights are left out, some at a time, and the weights of the others are solved for anew,
    as in recursive feature elimination. Beta stays as it was picked, so that rho = beta / sqrt(P_last) grows. With the
    squared loss and the ridge penalty beta is picked anew each time, by rows that are left out, from those of the path
    for which rho is not smaller than at first.

    Attributes
    ----------
    source : SimulatedColumns
        That of the fit.
    regularisation : Regularisation
        With the largest number of columns.
    n_last_of : callable
        P_last in rho = beta / sqrt(P_last) for some witnesses (`WitnessFamily.n_last_of`).
    seed : int, optional
        Few sequences say little of a neuron. With a seed they are joined by made-up ones (`made_up_for`), and neurons
        are left out so that the rest answers to all of them as the fit with all columns does. Then the weights are
        solved for on the real sequences and their own targets. It is done where fewer columns are allowed than there
        are sequences. With 1000 sequences or more, and up to 100 columns of rates, columns are not left out step by
        step. They are chosen one by one, and exchanged (`kernel_search.exchanged`), also by made-up sequences.
        Then beta is picked from all of the path. Up to 100 columns are taught in the end (`taught`), where what is
        left are kernels, and the weights are solved for at the beta picked before.

    References
    ----------
    Guyon et al., Gene selection for cancer classification using support vector machines, Machine Learning 46 (2002).
    """

    source: SimulatedColumns
    regularisation: Regularisation
    n_last_of: Callable[[Hidden], int]
    seed: int | None = None

    def of(self, fitted: Fitted) -> Fitted:
        """The fit with no more columns in use than are allowed; its program has the columns of kept neurons alone.

        Raises ValueError where one neuron has more columns than are allowed.
        """
        source, trained = self.source, fitted.trained
        if self.regularisation.allows(trained.certificate.support) or trained.status is Status.INTERRUPTED:
            return fitted
        most = self.regularisation.columns
        assert most is not None
        least = source.witnesses.readout.parts * (1 + source.problem.intercept)
        if most < least:
            has = f"a neuron has {source.witnesses.readout.parts} columns"
            also = ", and so has the always-firing one of the intercept" if source.problem.intercept else ""
            raise ValueError(f"columns={most} leaves no neuron: {has}{also}; give at least {least}")
        if any(branch.last.recurrent is not None for branch in source.witnesses.branches):
            warn(f"the network reads more than columns={most}: neurons that feed one another are not left out")
            return fitted
        source.observer.begin(f"leaving out columns down to {most}")
        kept, beta, W = self._narrowed(trained, fitted.beta, most)
        fewer, fitted = self._concluded(fitted, kept, beta, W)
        # Columns that were equal to those of neurons now gone count as new ones.
        return replace(self, source=fewer).of(fitted)

    def _narrowed(self, trained: Trained, beta: float, most: int) -> tuple[Tensor, float, Tensor]:
        """At most so many columns, the beta for them, and their weights."""
        if (kept := self._chosen(trained, most)) is not None:
            W = self.source.dictionary.to_columns(trained.W)[kept]
            return kept, *self._solved(self.source.program, kept, beta, 0.0, W)
        return self._left(trained, beta, most)

    def _chosen(self, trained: Trained, most: int) -> Tensor | None:
        """Columns that are chosen one by one, in ascending order; None where that is not done."""
        source, program, given = self.source, self.source.program, whole(self.source.problem.source)
        if self.seed is None or most > FEW or source.witnesses.readout != Rate() or source.problem.every_step:
            return None
        if not isinstance(given, Sequences) or len(given) < LEAST_SEQUENCES:
            return None
        generator = torch.Generator().manual_seed(self.seed)
        some = torch.randperm(len(given), generator=generator)[:MOST_SEQUENCES].sort().values.to(program.columns.device)
        features = rates(source.witnesses.to("cpu"), noisy(given, generator))
        made_up = features[:, source.dictionary.neuron_of.cpu()].to(program.columns.device)
        weights = program.row_weights[some] / program.row_weights[some].sum()
        of_some = replace(
            program, columns=program.columns.rows(some), targets=program.targets[some], row_weights=weights
        )
        joined = self._joined(of_some, trained, made_up)
        first = [int(source.dictionary.column_of[-1])] if source.problem.intercept else []
        return torch.tensor(exchanged(joined, first, most)).sort().values

    def _left(self, trained: Trained, beta: float, most: int) -> tuple[Tensor, float, Tensor]:
        """See `_narrowed`: what is left where columns are left out step by step."""
        source, program, least = self.source, self._answering(trained, most), trained.certificate.rho
        kept, W = torch.arange(program.n_columns), source.dictionary.to_columns(trained.W)
        if joined := program is not source.program:
            beta, W = self._solved(program, kept, beta, 0.0, W)
            least = self.regularisation.rho_of(beta, source.n_last)
        while (support := int(W.any(dim=1).sum())) > most:
            strongest = self._strongest(kept, W, max(most, int(KEPT * support)))
            kept = kept[strongest]
            beta, W = self._solved(program, kept, beta, least, W[strongest])
        if joined:
            beta, W = self._solved(source.program, kept, beta, trained.certificate.rho, W)
        return kept, beta, W

    def _answering(self, trained: Trained, most: int) -> ConvexProgram:
        """The program itself; where sequences are made up, that of answering to all of them as the fit does."""
        source, program = self.source, self.source.program
        if self.seed is None or most >= program.n_rows:
            return program
        given, generator = whole(source.problem.source), torch.Generator().manual_seed(self.seed)
        made_up = made_up_for(given, generator) if isinstance(given, Sequences) else None
        if made_up is None:
            return program
        made_up = made_up.to(source.witnesses.device, source.witnesses.dtype)
        features = torch.cat([part.features.to(torch.float64) for part in simulate_chunks(source.witnesses, made_up)])
        return self._joined(program, trained, features[:, source.dictionary.neuron_of])

    def _joined(self, program: ConvexProgram, trained: Trained, made_up: Tensor) -> ConvexProgram:
        """The program with rows of made-up sequences, all of whose targets are what the fit answers."""
        columns = torch.cat([program.columns.dense(), made_up])
        answers = columns @ self.source.dictionary.to_columns(trained.W)
        weights = joined_weights(program.row_weights, len(made_up))
        return replace(program, columns=RealColumns(columns.T.contiguous()), targets=answers, row_weights=weights)

    @cached_property
    def _betas(self) -> tuple[float, ...]:
        """The betas of the path."""
        return betas_of(self.source, self.regularisation)

    def _strongest(self, kept: Tensor, W: Tensor, most: int) -> Tensor:
        """Positions in `kept` of the columns of those neurons whose weights are largest, at most `most` of them."""
        group, squares, sizes = self._neurons(kept, W)
        if self.source.problem.intercept:
            squares[-1] = torch.inf  # the always-firing neuron, which comes last
        order = squares.argsort(descending=True, stable=True)
        chosen = order[sizes[order].cumsum(0) <= most]
        mask = torch.zeros(len(sizes), dtype=torch.bool).index_fill_(0, chosen, True)
        return torch.nonzero(mask[group]).flatten()

    def _neurons(self, kept: Tensor, W: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The neuron of each column, counted among those of `kept`; its squared weight, and its number of columns."""
        neuron = self.source.dictionary.neuron_of[kept] // self.source.witnesses.readout.parts
        _, group = neuron.unique(return_inverse=True)
        sizes = torch.bincount(group)
        return group, W.new_zeros(len(sizes)).index_add_(0, group, W.square().sum(dim=1)), sizes

    def _solved(
        self, over_all: ConvexProgram, kept: Tensor, beta: float, least: float, start: Tensor
    ) -> tuple[float, Tensor]:
        """The beta, and the weights, of a program on the columns `kept`, where rho should not be below `least`."""
        source = self.source
        n_last = self.n_last_of(self._witnesses(kept, start)[0])
        program = replace(over_all, columns=over_all.columns.take(kept))
        if not source.problem.leaves_one_out:
            own = replace(program, rho=self.regularisation.rho_of(beta, n_last))
            return beta, solve(own, source.options, start).W
        rhos = {self.regularisation.rho_of(one, n_last): one for one in self._betas}
        candidates = [rho for rho in rhos if rho >= least] or [max(rhos)]
        spectrum = Spectrum.of(program)
        rho = candidates[spectrum.least_left_out(candidates).place]
        return rhos[rho], solved(program, rho, source.options, spectrum).W

    def _witnesses(self, kept: Tensor, W: Tensor) -> tuple[Hidden, Tensor]:
        """The neurons of the columns `kept`, and the weights (P_last, C) of their columns."""
        source = self.source
        used = torch.zeros(source.program.n_columns, dtype=torch.bool).index_fill_(0, kept, True)
        weights = W.new_zeros(len(used), W.shape[1]).index_copy_(0, kept, W)
        parts = source.witnesses.readout.parts
        per_neuron = source.dictionary.to_neurons(weights).unflatten(0, (-1, parts))
        read = torch.zeros(len(per_neuron), dtype=torch.bool)
        read[source.dictionary.neuron_of[used] // parts] = True
        hidden, neurons = keep_neurons(source.witnesses, read)
        return hidden, per_neuron[neurons].flatten(end_dim=1)

    def _taught(self, hidden: Hidden, W: Tensor, trained: Trained) -> Hidden:
        """The kept neurons, changed so that they answer more like the fit with all columns where that may be done."""
        source, given = self.source, whole(self.source.problem.source)
        if self.seed is None or len(W) > FEW or source.problem.every_step or not isinstance(given, Sequences):
            return hidden
        if not all(map(can_be_taught, hidden.branches[: len(hidden.branches) - source.problem.intercept])):
            return hidden
        source.observer.begin(f"teaching {len(W)} columns to answer as all do")
        return taught(
            Network(hidden, W), Network(source.witnesses, trained.W), given, source.problem.scored.score, self.seed
        )

    def _concluded(self, fitted: Fitted, kept: Tensor, beta: float, W: Tensor) -> tuple[SimulatedColumns, Fitted]:
        """The columns of the kept neurons, which may be taught first, and the fit over them."""
        source = self.source
        hidden, weights = self._witnesses(kept, W)
        hidden = self._taught(hidden, weights, fitted.trained)
        fewer = SimulatedColumns.of(source.problem, hidden, source.options, source.observer, self.n_last_of(hidden))
        (fit,) = fewer.fits([self.regularisation.rho_of(beta, fewer.n_last)], weights)
        picked = next(point for point in fitted.path if point.beta == fitted.beta)
        point = point_of(fewer, beta, fit, picked.validation_score)
        path = tuple(point if old is picked else old for old in fitted.path)
        return fewer, replace(fitted, trained=fit.conclude(), beta=beta, path=path)
