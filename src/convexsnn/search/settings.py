"""How far to search, and for what."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from convexsnn.checks import check_choice, check_flag, check_integer, check_real, check_share

# All that there are, in the order in which they are asked.
ORACLE_NAMES = ("restarts", "refinement", "crossing", "inputs", "ascent")
COUNTS = ("width", "population", "generations", "add", "drop_after", "rounds", "patience", "attempts", "jury", "block")


@dataclass(frozen=True)
class SearchSettings:
    """How far to search, and for what.

    Attributes
    ----------
    width : int
        Neurons of every layer of a searched branch.
    population : int
        Branches that an oracle varies at once.
    generations : int
        Generations of hill climbing a round, at most, shared among the oracles by what each has gained.
    effort : float
        Neuron steps that the search may take, each of one neuron for one step of one distinct prefix: about two
        nanoseconds on one core. A round takes a twentieth of it at most, and the last step a tenth.
    add : int
        Columns added in a round, at most.
    drop_after : int
        Rounds without weight after which a column is dropped.
    rounds : int
        At most so many.
    patience : int
        Rounds in a row that find no improving neuron, or lower the objective by less than `min_drop`, after which the
        search ends.
    stages : tuple of float
        Multiples of rho to search at, one after another, the last of them 1. Programs of a large rho have few columns
        and are solved in no time; a stage ends when three rounds in a row lower its objective by less than `min_drop`,
        or with its share of `rounds` and `effort`, of which a fifth is kept for the last. A search that is given a
        dictionary begins with the last.
    attempts : int
        Searches from nothing, at most. Another is begun where one has ended and what is left of `effort` or `seconds`
        is as much as one has taken; never without validation data, nor from given witnesses. The one with the best
        validation score is kept, or the columns of all, where their program has a better score.
    jury : int
        Attempts with a validation score of 1 after which no other is begun; after the first only if at least three fit
        into the effort. Of several with the best score that one is kept which agrees most with all attempts on training
        sequences put together anew.
    min_drop : float
        Share of the objective.
    slim : bool
        At the end, leave out columns as far as the validation score does not fall, where there are validation data.
    prune : int
        At the end, the effort of so many rounds, at most, is spent on branches with the same training columns: with
        fewer connections, and, where there are validation data, with a better score on these.
    seconds : float or None
        Time to search, instead of `effort`; the same seed may then give another network on another day.
    max_columns : int or None
        Support at which the search ends.
    tol : float
        Relative duality gap to which the program of a round is solved.
    free_leak : bool
        Search a leak for every LIF neuron, instead of the architecture's.
    free_bias : bool
        Search a bias for every neuron, also where the architecture has none.
    oracles : tuple of str
        Some of "restarts", "refinement", "crossing", "inputs", "ascent".
    block : int
        Neurons of every layer of a branch that "ascent" trains: 16 to 64 for a network of few columns.
    dropout : float
        Share of its spikes that are silenced while it trains; less for small blocks.
    """

    width: int = 12
    population: int = 256
    generations: int = 40
    effort: float = 5e9
    add: int = 24
    drop_after: int = 2
    rounds: int = 100
    patience: int = 4
    stages: tuple[float, ...] = (50.0, 10.0, 1.0)
    attempts: int = 8
    jury: int = 3
    min_drop: float = 0.01
    slim: bool = True
    prune: int = 2
    seconds: float | None = None
    max_columns: int | None = None
    tol: float = 1e-3
    free_leak: bool = True
    free_bias: bool = True
    oracles: tuple[str, ...] = ORACLE_NAMES
    block: int = 256
    dropout: float = 0.5

    def __post_init__(self) -> None:
        for name in COUNTS:
            check_integer(name, getattr(self, name))
        check_real("effort", self.effort, 0.0, open_minimum=True)
        check_real("min_drop", self.min_drop, 0.0)
        check_share("dropout", self.dropout)
        check_integer("prune", self.prune, minimum=0)
        check_real("tol", self.tol, 0.0, 0.1, open_minimum=True)
        check_stages(self.stages)
        object.__setattr__(self, "stages", tuple(map(float, self.stages)))
        if self.seconds is not None:
            check_real("seconds", self.seconds, 0.0, open_minimum=True)
        if self.max_columns is not None:
            check_integer("max_columns", self.max_columns)
        for flag in ("slim", "free_leak", "free_bias"):
            check_flag(flag, getattr(self, flag))
        if not isinstance(self.oracles, (tuple, list)) or not self.oracles:
            raise ValueError(f"oracles must be several of {', '.join(ORACLE_NAMES)}, not {self.oracles!r}")
        for name in self.oracles:
            check_choice("oracles", name, ORACLE_NAMES)
        object.__setattr__(self, "oracles", tuple(self.oracles))


def check_stages(stages: Any) -> None:
    """Raise ValueError unless `stages` are falling multiples of rho that end with 1."""
    if not isinstance(stages, (tuple, list)) or not stages:
        raise ValueError(f"stages must be several multiples of rho that fall to 1, such as (50, 10, 1), not {stages!r}")
    for i, stage in enumerate(stages):
        check_real(f"stages[{i}]", stage, 1.0)
    if stages[-1] != 1.0 or any(a <= b for a, b in itertools.pairwise(stages)):
        raise ValueError(f"stages must fall to 1, such as (50, 10, 1), got {tuple(stages)}")
