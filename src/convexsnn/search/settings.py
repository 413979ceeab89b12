"""Which neurons to search among, how far, and for what."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, Self

from convexsnn.checks import (
    check_flag,
    check_heeded,
    check_integer,
    check_memory,
    check_real,
    check_share,
)
from convexsnn.network import check_delays
from convexsnn.neurons import Reset
from convexsnn.readouts import Readout, as_readout
from convexsnn.search.branches.reading import check_scored
from convexsnn.witnesses.architecture import Architecture, NeuronKind


class BranchShape(NamedTuple):
    """The number of layers with the output, whether hidden layers are recurrent, and how many neurons each has."""

    depth: int
    recurrent: bool
    width: int


# The shapes of branches that are tried where neither `depth` nor `recurrent` is given. With 8 neurons instead of 12,
# recurrent branches find more of an automaton in the same time.
SHAPES = (BranchShape(3, False, 12), BranchShape(2, True, 8))
# The multiples of rho at which a search works where nothing is said; and with fewer than so many rounds, which then
# try the first shape alone.
STAGES, FEW_STAGES = (100.0, 30.0, 10.0, 3.0, 1.0), (50.0, 10.0, 1.0)
LEAST_ROUNDS = 10
COUNTS = ("last", "population", "generations", "add", "drop_after", "rounds", "patience", "attempts", "jury")


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """Which neurons to search among, how far, and for what.

    Attributes
    ----------
    depth : int, optional
        The network has this many layers L, counting the linear output: at least 2. Without a value it has 3. A search
        from nothing that is given neither `depth` nor `recurrent` tries two shapes: 3 layers without recurrent weights,
        and then 2 with them. The first has a third of the effort. With fewer than 10 `rounds` it is the only one.
    last : int
        This is P_last in rho = beta / sqrt(P_last). The network may end with any number of neurons.
    neuron : {"lif", "threshold"}
        Hidden neurons are leaky integrate-and-fire neurons (lif), or have no memory (threshold).
    leak : float, optional
        A LIF neuron keeps this share of its membrane potential from one step to the next: 0 to 1. Without a value,
        the search chooses a leak for each neuron.
    dyadic_leaks : bool
        The leaks that the search chooses are 0, 1/2, 3/4, 7/8 and so on to 127/128. Exports to Norse and NIR hold them
        without rounding.
    threshold : float
        A LIF neuron fires when its membrane potential reaches this value.
    reset : {"soft", "hard", "none", "delayed"}
        When a LIF neuron fires, its membrane potential falls by the threshold (soft), falls to 0 (hard) or stays
        (none). With delayed it falls by the threshold one step later.
    recurrent : bool, optional
        Every hidden layer also reads its own spikes of the step before. Without a value it does not, unless two shapes
        are tried.
    bias : bool
        Every hidden neuron has a bias.
    readout : {"spike", "membrane", "rate", "count", "leaky"}
        The output reads the spikes of the last hidden layer at the last step (spike), or whether its membrane
        potentials are at least 0 (membrane). It may read over time: the share of the steps at which a neuron fired
        (rate), the number of these steps (count), or a sum of spikes that leaks by a tenth at every step (leaky). In
        Python any object of `readouts` that sums spikes may be given, such as windows.
    standardise : bool
        The training mean of each feature is subtracted from it, and the result is divided by its standard deviation.
        Both become part of the weights and biases of the first layers, so you pass the input as it is. Features that
        are only 0 or 1 are left alone.
    delays : tuple of int
        At every step the first layer of each branch sees the input of so many steps ago: different integers of at least
        0 in ascending order. Input before the first step is zero. With delays, `standardise` does not subtract the
        mean.
    dtype : {"float64", "float32"}
        The network computes with numbers of this precision.
    width : int, optional
        Every layer of a searched branch has this many neurons. Without a value it has 12, or 8 if layers are recurrent.
    population : int
        An oracle varies at most this many branches at once. It varies fewer if the data are large and the effort is
        small.
    generations : int
        A round takes at most this many generations of hill climbing. The oracles share them by what each has gained.
    effort : float, optional
        The search may take this many neuron steps. A neuron step is one neuron simulated for one step of one distinct
        beginning of a sequence. It takes half a nanosecond on one core. The default is 2e10, about ten seconds of one
        core, or 3e11 on a GPU. A round takes at most a twentieth of the effort, and the final clean-up a tenth.
    seconds : float, optional
        The search takes this many seconds, instead of an effort. The same seed may then give another network on another
        day.
    rounds : int
        The search ends after this many rounds.
    patience : int
        The search gives up after this many rounds in a row that lower the objective by less than `min_drop`.
    min_drop : float
        A round helps when it lowers the objective by more than this fraction of it.
    stages : tuple of float, optional
        The search works at these multiples of rho, one after another; the last must be 1. Without a value they are 100,
        30, 10, 3 and 1, or 50, 10 and 1 with fewer than 10 `rounds`. With a large rho few columns get weight, so these
        programs are solved quickly. A stage ends when three rounds in a row do not help, or when its share of the
        effort is spent. A search that is given neurons begins with the last stage.
    add : int
        A round adds at most this many columns.
    drop_after : int
        A column is dropped after this many rounds without weight.
    max_columns : int, optional
        The search ends when this many columns carry weight.
    attempts : int
        The search begins from nothing at most this many times. It begins again if there is another shape to try, or if
        validation data are given and enough effort is left. The attempt with the best validation score is kept. If the
        columns of all attempts together give a better score, these are kept instead. Without validation data the
        objective takes the place of the score.
    jury : int
        The search does not begin again after this many attempts with a perfect validation score. If several attempts
        have the best score, it keeps the one whose answers agree most with those of all attempts. The answers are
        compared on new sequences that are made of parts of training sequences.
    slim : bool
        At the end, the search removes columns as long as the validation score does not fall.
    prune : int
        At the end, the search spends the effort of this many rounds on making branches smaller. It takes a smaller
        branch if the training columns stay the same or the validation score rises.
    round_tol : float
        The program of a round is solved to this relative duality gap. The search also ends when its objective is within
        this gap of a lower bound that holds for every network.
    oracles : tuple of str
        The oracles that propose branches: some of "restarts", "refinement", "crossing", "inputs" and "ascent".
    block : int
        The oracle "ascent" trains branches with this many neurons in every layer. Blocks of 16 to 64 suit a network of
        few columns.
    dropout : float
        The oracle "ascent" silences this share of the spikes while it trains a branch. Small blocks need less.
    """

    depth: int | None = None
    last: int = 512
    neuron: NeuronKind = "lif"
    leak: float | None = None
    dyadic_leaks: bool = False
    threshold: float = 1.0
    reset: Reset = "soft"
    recurrent: bool | None = None
    bias: bool = True
    readout: str | Readout = "membrane"
    standardise: bool = False
    delays: tuple[int, ...] = (0,)
    dtype: str = "float64"
    width: int | None = None
    population: int = 256
    generations: int = 40
    effort: float | None = None
    seconds: float | None = None
    rounds: int = 100
    patience: int = 4
    min_drop: float = 0.01
    stages: tuple[float, ...] | None = None
    add: int = 24
    drop_after: int = 2
    max_columns: int | None = None
    attempts: int = 8
    jury: int = 3
    slim: bool = True
    prune: int = 2
    round_tol: float = 1e-3
    oracles: tuple[str, ...] = ("restarts", "refinement", "crossing", "inputs", "ascent")
    block: int = 256
    dropout: float = 0.5

    # What may differ between two sittings of the same search: when to end it, and what is done at its end. Rounds may
    # as long as they ask for the same stages.
    BUDGETS: ClassVar[tuple[str, ...]] = (
        "rounds", "patience", "attempts", "jury", "seconds", "max_columns", "slim", "prune",
    )  # fmt: skip

    def __post_init__(self) -> None:
        for name in (*COUNTS, "block"):
            check_integer(name, getattr(self, name))
        for flag in ("bias", "standardise", "slim", "dyadic_leaks"):
            check_flag(flag, getattr(self, flag))
        if self.recurrent is not None:
            check_flag("recurrent", self.recurrent)
        check_scored(as_readout(self.readout))
        if not isinstance(self.readout, str):
            object.__setattr__(self, "readout", as_readout(self.readout))
        object.__setattr__(self, "delays", check_delays(self.delays))
        if self.depth is not None:
            check_integer("depth", self.depth, minimum=2)
        if self.width is not None:
            check_integer("width", self.width)
        depth, _, width = self.shape
        branch = lambda wide: 4 * wide * (1 + (depth - 2) * wide)  # noqa: E731 - bytes, in float32
        check_memory("population, depth and width ask for branches", self.population * branch(width))
        check_memory("block and depth ask for a branch", branch(self.block))
        self.architecture(n_features=1, every_step=False)
        if self.effort is not None:
            check_real("effort", self.effort, 0.0, open_minimum=True)
        check_real("min_drop", self.min_drop, 0.0)
        check_share("dropout", self.dropout)
        check_integer("prune", self.prune, minimum=0)
        check_real("round_tol", self.round_tol, 0.0, 0.1, open_minimum=True)
        if self.stages is not None:
            check_stages(self.stages)
            object.__setattr__(self, "stages", tuple(map(float, self.stages)))
        if self.seconds is not None:
            check_real("seconds", self.seconds, 0.0, open_minimum=True)
            if self.effort is not None:
                raise ValueError("seconds takes the place of effort: give one of the two")
        if self.max_columns is not None:
            check_integer("max_columns", self.max_columns)
        if not isinstance(self.oracles, (tuple, list)) or not self.oracles:
            raise ValueError(f"oracles must be a tuple of names of oracles, not {self.oracles!r}")
        object.__setattr__(self, "oracles", tuple(self.oracles))
        if "ascent" not in self.oracles:
            check_heeded(self, ("block", "dropout"), "without the oracle 'ascent'")
        if self.leak is not None:
            check_heeded(self, ("dyadic_leaks",), "with a leak that is given")
        if self.attempts == 1:
            check_heeded(self, ("jury",), "with attempts=1")

    @property
    def shapes(self) -> tuple[Self, ...]:
        """The same settings with each shape of branches that is tried, one after another."""
        return tuple(replace(self, **shape._asdict()) for shape in self._tried)

    @property
    def _tried(self) -> tuple[BranchShape, ...]:
        if self.depth is None and self.recurrent is None and self.rounds >= LEAST_ROUNDS:
            return tuple(shape._replace(width=self.width or shape.width) for shape in SHAPES)
        return (self.shape,)

    @property
    def shape(self) -> BranchShape:
        """The shape that is given; what is not given of it is that of the first shape with such layers."""
        recurrent = SHAPES[0].recurrent if self.recurrent is None else self.recurrent
        usual = next(shape for shape in SHAPES if shape.recurrent == recurrent)
        return BranchShape(SHAPES[0].depth if self.depth is None else self.depth, recurrent, self.width or usual.width)

    @property
    def multiples(self) -> tuple[float, ...]:
        """The multiples of rho at which the search works, which fall to 1."""
        if self.stages is not None:
            return self.stages
        return STAGES if self.rounds >= LEAST_ROUNDS else FEW_STAGES

    @property
    def n_simulated(self) -> int:
        """Neurons that are simulated at once: the last layers of a population."""
        return max(self.last, self.population * max(shape.width for shape in self._tried))

    @property
    def parts(self) -> int:
        """Columns that each neuron gives."""
        return as_readout(self.readout).parts

    @property
    def free_leak(self) -> bool:
        """Whether a leak is searched for each neuron."""
        return self.neuron == "lif" and self.leak is None

    def architecture(self, n_features: int, *, every_step: bool) -> Architecture:
        """The shape of a searched branch, apart from its numbers of neurons, for input of `n_features` features.

        Where two shapes are tried it is the first.
        """
        depth, recurrent, width = self.shape
        return Architecture(
            n_features=n_features,
            depth=depth,
            branches=1,
            hidden=width,
            last=width,
            neuron=self.neuron,
            leak=Architecture.leak if self.leak is None else self.leak,
            threshold=self.threshold,
            reset=self.reset,
            recurrent=recurrent,
            bias=self.bias,
            readout=self.readout,
            every_step=every_step,
            dtype=self.dtype,
        )


def check_stages(stages: Any) -> None:
    """Raise ValueError unless `stages` are falling multiples of rho that end with 1."""
    if not isinstance(stages, (tuple, list)) or not stages:
        raise ValueError(f"stages must be several multiples of rho that fall to 1, such as (50, 10, 1), not {stages!r}")
    for i, stage in enumerate(stages):
        check_real(f"stages[{i}]", stage, 1.0)
    if stages[-1] != 1.0 or any(a <= b for a, b in itertools.pairwise(stages)):
        raise ValueError(f"stages must fall to 1, such as (50, 10, 1), got {tuple(stages)}")
