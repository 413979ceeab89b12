"""What a search is for, where it stands, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from convexsnn.certificate import relative_gap
from convexsnn.columns import Columns
from convexsnn.merged import MergedRows
from convexsnn.network import Network
from convexsnn.penalties import Norm, require_norm
from convexsnn.problem import Problem
from convexsnn.program import ConvexProgram
from convexsnn.search.branches.population import Population
from convexsnn.search.branches.runner import BranchRunner
from convexsnn.search.branches.variation import Variation
from convexsnn.search.dictionary import SearchDictionary
from convexsnn.search.effort import Effort
from convexsnn.search.history import Round
from convexsnn.search.oracles.credit import Credit
from convexsnn.search.settings import SearchSettings
from convexsnn.validation import Validation

# Why a search ended that Ctrl-C ended.
INTERRUPTED = "interrupted"
# What of a search needs a norm as penalty.
SEARCHING = "a search for neurons (witnesses 'search')"


@dataclass(frozen=True, eq=False)
class Held:
    """Validation data as a search runs them.

    Attributes
    ----------
    validation : Validation
    runner : BranchRunner
        Over its sequences, in float32.
    """

    validation: Validation
    runner: BranchRunner

    def outputs(self, pool: SearchDictionary) -> Tensor:
        """What a pool's network gives; float64 tensor of shape (rows, C)."""
        return pool.outputs(self.validation.sequences, self.runner)

    def score(self, pool: SearchDictionary) -> float:
        """The validation score of a pool's network."""
        return self.validation.score_of(self.outputs(pool))


@dataclass(frozen=True, eq=False)
class SearchTask:
    """What is searched for; all that does not change from round to round.

    Attributes
    ----------
    problem : Problem
        At the rho with which the search ends.
    rows : MergedRows
        Its rows, equal ones merged.
    runner : BranchRunner
        Over these rows, in float32.
    variation : Variation
    settings : SearchSettings
    effort : Effort
    held : Held or None
    end : float
        Share of the effort at which an attempt is over.
    """

    problem: Problem
    rows: MergedRows
    runner: BranchRunner
    variation: Variation
    settings: SearchSettings
    effort: Effort
    held: Held | None
    end: float = 1.0

    @property
    def norm(self) -> Norm:
        """The penalty, by whose dual norm columns are scored; ValueError where it is no norm."""
        return require_norm(self.problem.penalty, SEARCHING)

    def rho_at(self, stage: int) -> float:
        """Rho of a stage."""
        return self.problem.rho * self.settings.multiples[stage]

    def program(self, columns: Columns, rho: float) -> ConvexProgram:
        """The convex program over columns of the merged rows."""
        problem = self.problem
        return ConvexProgram(columns, self.rows.targets, problem.loss, problem.penalty, rho, self.rows.groups.weights)

    @property
    def cap(self) -> float | None:
        """Columns have entries from 0 to this number, whatever the branch; None where nothing is known."""
        return self.runner.readout.cap(self.problem.input.n_steps, self.runner.dtype)

    def reached(self, state: SearchState) -> bool:
        """Whether the objective is about what no network goes below."""
        last = state.history[-1]
        return relative_gap(last.objective, last.global_bound) <= self.settings.round_tol

    def before(self, state: SearchState) -> float:
        """The share of the effort that the attempts before the current one have spent."""
        attempt = state.history[-1].attempt
        begun = next(i for i, entry in enumerate(state.history) if entry.attempt == attempt)
        return self.effort.spent(state.history[:begun])

    @property
    def last_stage(self) -> int:
        """Number of the stage with which the search ends."""
        return len(self.settings.multiples) - 1


@dataclass(frozen=True, eq=False)
class Settled:
    """What an attempt came to.

    Attributes
    ----------
    pool : SearchDictionary
        After the last step.
    score : float
        Its validation score; without validation data minus its objective.
    """

    pool: SearchDictionary
    score: float


@dataclass(frozen=True, eq=False)
class SearchState:
    """All of a search between two rounds.

    Attributes
    ----------
    pool : SearchDictionary
    U : float64 tensor of shape (merged rows, C)
        The dual vector of the pool's program.
    kept : dict of str to Population
        What oracles keep from round to round.
    credit : Credit
    random : uint8 tensor
        SearchState of the generator of all that is drawn from here on.
    history : tuple of Round
    idle : int
        Rounds in a row that did not help.
    stage : int
        Number of the current of `SearchSettings.stages`.
    settled : tuple of Settled
        The attempts before.
    """

    pool: SearchDictionary
    U: Tensor
    kept: dict[str, Population]
    credit: Credit
    random: Tensor
    history: tuple[Round, ...]
    idle: int = 0
    stage: int = 0
    settled: tuple[Settled, ...] = ()

    @property
    def generator(self) -> torch.Generator:
        """A generator in the state `random`."""
        generator = torch.Generator()
        generator.set_state(self.random)
        return generator


@dataclass(frozen=True, eq=False)
class Searched:
    """What a search found.

    Attributes
    ----------
    network : Network
        The neurons whose columns carry weight, and their weights in the last round's program (solved to the search's
        tolerance; certify by solving for the readout once more).
    history : tuple of Round
        Of all attempts; the network is that of one of them, or has columns of several.
    stopped : str
        Why it ended, in words; `INTERRUPTED` after Ctrl-C.
    """

    network: Network
    history: tuple[Round, ...] = field(repr=False)
    stopped: str
