"""The groups of options that commands share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from torch import Tensor

from convexsnn.cli.data import DataSet, from_file, from_task, stored_task, trained_on
from convexsnn.estimators import Estimator
from convexsnn.exact import ExactSettings
from convexsnn.search import SearchSettings
from convexsnn.sequences import Sequences
from convexsnn.storage import data_digest
from convexsnn.tasks import TaskSettings

Json = Annotated[bool, Parameter(negative="", help="Print JSON on standard output instead of tables.")]


OTHER_DATA = "the data are not those the model was trained on (their SHA-256 differs)"


class OtherDataError(ValueError):
    """The data named are not those that the model says it was trained on."""


@Parameter(name="*", group="Data")
@dataclass(frozen=True)
class DataOptions:
    """Where the data come from.

    Parameters
    ----------
    task : str, optional
        A task by name; `convexsnn tasks` lists them.
    data : Path, optional
        An .npz file with X (n, T, d) or (n, d) and y, optionally X_val, y_val, X_test, y_test, lengths.
    timesteps : int, optional
        Steps T of a task's sequences, or steps for which a 2-D X is shown.
    min_timesteps : int, optional
        Shortest sequence of an automaton task; lengths are drawn between it and --timesteps.
    n_train : int, optional
        Training sequences of a task.
    n_val : int, optional
        Validation sequences of a task.
    n_test : int, optional
        Test sequences of a task.
    per_step : bool, optional
        One label a step; with --data, y is (n, T).
    permute : bool
        Permute the pixels of image tasks by one fixed permutation.
    data_dir : Path, optional
        Folder with a task's files (the four IDX files of MNIST).
    factored : bool
        Train an arithmetic task on two outputs, the digit and what is carried on, instead of one joint token.
    """

    task: str | None = None
    data: Path | None = None
    timesteps: int | None = None
    min_timesteps: int | None = None
    n_train: int | None = None
    n_val: int | None = None
    n_test: int | None = None
    per_step: bool | None = None
    permute: Annotated[bool, Parameter(negative="")] = False
    data_dir: Path | None = None
    factored: Annotated[bool, Parameter(negative="")] = False

    def load(self, seed: int) -> DataSet:
        """The data these options name."""
        check_one_source(self.task, self.data)
        names = ("n_train", "n_val", "n_test", "min_timesteps", "permute", "data_dir", "factored")
        chosen = {name: getattr(self, name) for name in names}
        if self.data is not None:
            unused = [f"--{name.replace('_', '-')}" for name, value in chosen.items() if value not in (None, False)]
            if unused:
                raise ValueError(f"{', '.join(unused)} goes with --task, not with --data")
            return from_file(self.data, per_step=bool(self.per_step), timesteps=self.timesteps)
        assert self.task is not None
        del chosen["factored"]
        chosen |= {"timesteps": self.timesteps, "per_step": self.per_step, "seed": seed}
        return from_task(self.task, TaskSettings(**chosen), factored=self.factored)


@Parameter(name="*", group="Network")
@dataclass(frozen=True)
class NetworkOptions:
    """The shape of the network.

    Parameters
    ----------
    depth : int
        L, counted with the linear output: L - 2 hidden layers of P_rec / K neurons and one of P_last / K a branch.
    branches : int
        K, parallel branches.
    hidden : int
        P_rec, neurons of each hidden layer over all branches.
    last : int
        P_last, neurons of the last hidden layers over all branches.
    neuron : {"lif", "threshold"}
        Kind of neuron.
    leak : float
        Of LIF neurons, in [0, 1].
    threshold : float
        Of LIF neurons.
    reset : {"soft", "hard", "none", "delayed"}
        Of LIF neurons.
    recurrent : bool
        Explicit recurrent weights in every layer.
    bias : bool
        A bias on every neuron.
    readout : {"spike", "membrane", "analog"}
        What the output reads of the last layers.
    witnesses : str
        Where hidden weights come from. search finds neurons by the dual vector of the program, from nothing or from
        what comes before it, as in surrogate+search. Families that are drawn, with --hidden and --branches: gaussian,
        gaussian-normalized, gaussian-orthogonal, heterogeneous, reservoir, surrogate; several joined by + share the
        neurons, as in gaussian+reservoir. exact finds, for --depth 2 and little data, a network than which none of its
        kind is better, and proves it.
    dtype : {"float64", "float32"}
        Arithmetic in which the dynamics are defined.
    """

    depth: int = 3
    branches: int = 2
    hidden: int = 256
    last: int = 512
    neuron: Literal["lif", "threshold"] = "lif"
    leak: float = 0.99
    threshold: float = 1.0
    reset: Literal["soft", "hard", "none", "delayed"] = "soft"
    recurrent: bool = False
    bias: bool = False
    readout: Literal["spike", "membrane", "analog"] = "membrane"
    witnesses: str = "search"
    dtype: Literal["float64", "float32"] = "float64"


@Parameter(name="*", group="Convex program")
@dataclass(frozen=True)
class ProgramOptions:
    """The convex program and how far to solve it.

    Parameters
    ----------
    loss : {"auto", "cross_entropy", "logistic", "hinge", "squared"}
        "auto" is cross_entropy, or squared with --regression.
    penalty : {"l1", "group"}
        Omega.
    output_weights : float
        Weight of each of several outputs in the loss, as in --output-weights 1 --output-weights 2; otherwise 1 each.
    beta : float or "path"
        Weight of the path norm; rho = beta / sqrt(P_last). Given several times, as in --beta 1 --beta 0.1, the one that
        is best on the validation split is picked; "path" is 20 values from where weights begin to 1e-3 of that.
    rho : float, optional
        Weight of the penalty in the convex program, instead of --beta.
    validation_fraction : float
        Share of the training sequences on which betas are compared where the data have no validation split; the network
        is then trained on all of them at the picked beta.
    intercept : bool
        Add an always-firing neuron.
    tol : float
        Relative duality gap to certify.
    max_iter : int
        Limit on the solver's iterations.
    """

    loss: Literal["auto", "cross_entropy", "logistic", "hinge", "squared"] = "auto"
    penalty: Literal["l1", "group"] = "l1"
    output_weights: Annotated[tuple[float, ...], Parameter(negative="")] = ()
    beta: Annotated[tuple[float | Literal["path"], ...], Parameter(negative="")] = (0.1,)
    rho: float | None = None
    validation_fraction: float = 0.2
    intercept: Annotated[bool, Parameter(negative="")] = False
    tol: float = 1e-6
    max_iter: int = 1000


@Parameter(name="*", group="Search (unless --witnesses names another family)")
@dataclass(frozen=True)
class SearchOptions:
    """How far to search.

    Parameters
    ----------
    search_effort : float
        Neuron steps that the search may take: 1e9 are about two seconds on one core, solving not counted.
    search_seconds : float, optional
        Time to search, instead of --search-effort.
    search_rounds : int
        At most so many rounds.
    search_width : int
        Neurons of every layer of a searched branch.
    search_columns : int, optional
        Columns with weight at which the search ends.
    search_oracles : str
        Where candidates come from, joined by +: restarts, refinement, crossing, inputs, ascent.
    search_block : int
        Neurons of every layer of a branch that ascent trains by surrogate gradients.
    search_dropout : float
        Share of its spikes silenced meanwhile; less for small blocks.
    """

    search_effort: float = SearchSettings.effort
    search_seconds: float | None = None
    search_rounds: int = SearchSettings.rounds
    search_width: int = SearchSettings.width
    search_columns: int | None = None
    search_oracles: str = "+".join(SearchSettings.oracles)
    search_block: int = SearchSettings.block
    search_dropout: float = SearchSettings.dropout

    def settings(self) -> SearchSettings:
        """As the library has them."""
        return SearchSettings(
            width=self.search_width,
            rounds=self.search_rounds,
            effort=self.search_effort,
            seconds=self.search_seconds,
            max_columns=self.search_columns,
            oracles=tuple(part.strip() for part in self.search_oracles.split("+")),
            block=self.search_block,
            dropout=self.search_dropout,
        )


@Parameter(name="*", group="Exact training (with --witnesses exact)")
@dataclass(frozen=True)
class ExactOptions:
    """How to train exactly; what would cost more is refused beforehand, with an estimate.

    Parameters
    ----------
    exact_method : {"arrangement", "pricing"}
        arrangement: over all patterns at once. pricing: by rounds of exact pricing, which may end with a gap.
    exact_limit : int
        Patterns that arrangement may have to visit.
    exact_seconds : float
        Time that arrangement may be expected to take; time after which pricing begins no round.
    """

    exact_method: Literal["arrangement", "pricing"] = "arrangement"
    exact_limit: int = ExactSettings.limit
    exact_seconds: float = ExactSettings.time_limit

    def settings(self) -> ExactSettings:
        """As the library has them."""
        return ExactSettings(self.exact_method, self.exact_limit, self.exact_seconds)


@Parameter(name="*", group="Runs")
@dataclass(frozen=True)
class RunOptions:
    """How many runs of a benchmark, and where.

    Parameters
    ----------
    seeds : int
        Given several times for several; otherwise 0, 1 and 2, or 0 for small cells.
    jobs : int
        Processes; with more than one, each has one thread.
    device : str
        cpu, cuda, ...
    data_dir : Path, optional
        Folder with the four IDX files of MNIST.
    """

    seeds: Annotated[tuple[int, ...], Parameter(negative="")] = ()
    jobs: int = 1
    device: str = "cpu"
    data_dir: Path | None = None


@Parameter(name="*", group="Data of the fit")
@dataclass(frozen=True)
class FitData:
    """What the model was trained on; a task is loaded with the settings of the fit.

    Parameters
    ----------
    task : str, optional
        The task on which the model was trained.
    data : Path, optional
        The .npz file on which the model was trained.
    data_dir : Path, optional
        Folder with the task's files, where it is not where it was.
    """

    task: str | None = None
    data: Path | None = None
    data_dir: Path | None = None

    def load(self, estimator: Estimator, extra: dict[str, Any]) -> DataSet:
        """The data, for a model and what else its file says; `OtherDataError` when these are not the model's."""
        check_one_source(self.task, self.data)
        if self.data is not None:
            return from_file(self.data, per_step=estimator.per_step)
        if trained_on(extra) != self.task:
            raise OtherDataError(f"the model was trained on {trained_on(extra)}, not on task {self.task}")
        try:
            moved = {} if self.data_dir is None else {"data_dir": self.data_dir}
            name, settings, factored = stored_task(extra, **moved)
        except ValueError as error:
            raise OtherDataError(str(error)) from error
        return from_task(name, settings, factored=factored)

    def load_unchanged(self, estimator: Estimator, extra: dict[str, Any]) -> tuple[DataSet, Sequences, Tensor]:
        """The data, and their rows in the program; ValueError unless they are those of the fit to the last bit."""
        data = self.load(estimator, extra)
        sequences, targets = estimator.training_rows(data.train.X, data.train.y)
        if data_digest(sequences, targets) != extra.get("data_sha256"):
            raise ValueError(OTHER_DATA)
        return data, sequences, targets


def check_one_source(task: str | None, data: Path | None) -> None:
    """Raise ValueError unless exactly one of the two is given."""
    if (task is None) == (data is None):
        raise ValueError("pass either --task NAME or --data FILE.npz")
