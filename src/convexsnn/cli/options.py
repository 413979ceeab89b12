"""The groups of options that commands share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from convexsnn.checks import check_choice, check_integer, check_real, check_share
from convexsnn.cli.witness_options import OFFERED
from convexsnn.regularisation import Regularisation

if TYPE_CHECKING:
    from convexsnn.tasks import TaskSettings

Json = Annotated[bool, Parameter(negative="", help="Print JSON on standard output instead of tables.")]
Force = Annotated[
    bool, Parameter(negative="", help="Replace what is there, though it is another model or another kind of file.")
]


@Parameter(name="*", group=Group("Data", sort_key=1))
@dataclass(frozen=True)
class DataOptions:
    """Where the data come from.

    Parameters
    ----------
    task : str, optional
        The data are those of this task; `convexsnn tasks` lists all tasks.
    data : Path, optional
        The data are in this file, or in the .npz files of this folder, of which one is in memory at a time, in the
        order of their names. An .npz file has X (n, T, d) or (n, d) and y. It may have X_val, y_val, X_test,
        y_test and lengths. A .csv file has one sequence a line, or one step a line and a column named sequence; labels
        are in a column y. A .ts file is as the UCR and UEA archives have them.
    timesteps : int, optional
        The sequences of a task have this many steps T, or a 2-D X is shown for this many steps.
    min_timesteps : int, optional
        The sequences of an automaton task have at least this many steps. Lengths are drawn from here to --timesteps.
    n_train : int, optional
        A task gives this many training sequences.
    n_val : int, optional
        A task gives this many validation sequences.
    n_test : int, optional
        A task gives this many test sequences.
    per_step : bool, optional
        Every step has a label. With --data, y is then (n, T).
    permute : bool
        The pixels of image tasks are permuted, those of all images alike.
    data_dir : Path, optional
        This folder holds the files of a task, such as the four IDX files of MNIST, or sets that aeon keeps.
    factored : bool
        An arithmetic task has two outputs, the digit and what is carried on, instead of one joint token.
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

    def check(self, seed: int) -> None:
        """Raise ValueError unless exactly one source is named, without options that this source does not use."""
        check_one_source(self.task, self.data)
        check_integer("--seed", seed, minimum=0)
        if self.task is not None:
            from convexsnn.tasks import check_task

            check_task(self.task, self.settings(seed))
            return
        assert self.data is not None
        names = ("n_train", "n_val", "n_test", "min_timesteps", "permute", "data_dir", "factored")
        unused = [f"--{name.replace('_', '-')}" for name in names if getattr(self, name) not in (None, False)]
        if unused:
            raise ValueError(f"{', '.join(unused)} is for --task, not for --data")
        if self.timesteps is not None and self.data.is_dir():
            raise ValueError("--timesteps is for a 2-D X in a file, not for a folder of batches")
        check_data(self.data)

    def settings(self, seed: int) -> TaskSettings:
        """The settings of the task that is named."""
        from convexsnn.tasks import TaskSettings

        names = ("n_train", "n_val", "n_test", "min_timesteps", "permute", "data_dir", "timesteps", "per_step")
        return TaskSettings(**{name: getattr(self, name) for name in names}, seed=seed)


@Parameter(name="*", group=Group("Convex program", sort_key=2))
@dataclass(frozen=True)
class ProgramOptions:
    """The convex program and how far to solve it.

    Parameters
    ----------
    loss : {"auto", "cross_entropy", "logistic", "hinge", "squared"}
        Training lowers this loss. "auto" is squared for kernels and with --regression, else cross_entropy.
    penalty : {"auto", "l1", "group", "elastic", "ridge"}
        "auto" is ridge for kernels, else l1. The penalty sums the absolute output weights (l1), or the norm of the
        output weights of each neuron (group). elastic adds half the sum of the squared output weights to group. ridge
        is that half alone, for the squared loss.
    output_weights : float
        Each of several outputs has this weight in the loss, as in --output-weights 1 --output-weights 2. Without
        weights, all have weight 1.
    beta : float or "path"
        The path norm has this weight: rho = beta / sqrt(P_last). Of several, as in --beta 1 --beta 0.1, the one is
        picked that is best on the validation split. "path" stands for 20 values, from where weights begin to 1e-3 of
        that; with ridge for 24, each half of the one before. "auto" is path for kernels, else 0.1.
    rho : float, optional
        The penalty has this weight in the convex program, in place of --beta.
    columns : int, optional
        The network reads at most this many columns. Of several betas, those are compared whose weights lie on no more;
        where more are left, those of the smallest weights are left out. Without a number, an automatic ridge penalty
        keeps 1000.
    validation_fraction : float
        Betas are compared on this share of the training sequences, where the data have no validation split. The network
        is then trained on all of them at the picked beta.
    intercept : bool, optional
        The output also reads a neuron that always fires. This is the default with --regression only.
    free_intercept : bool
        The weight of that neuron is not penalised.
    members : int
        So many networks are trained, which differ in their seed, and become one: its outputs are the mean of theirs.
        Each has a certificate, and the mean has none.
    bypass : int
        With --regression, neurons that never spike add a linear regression on the features at so many last steps. The
        network learns what this leaves.
    tol : float
        The output weights are certified to this relative duality gap.
    max_iter : int
        The solver stops after this many iterations.
    """

    loss: str = "auto"
    penalty: str = "auto"
    output_weights: Annotated[tuple[float, ...], Parameter(negative="", consume_multiple=True, show_default=False)] = ()
    beta: Annotated[
        tuple[float | Literal["path", "auto"], ...], Parameter(negative="", consume_multiple=True, show_default="auto")
    ] = ("auto",)
    rho: float | None = None
    columns: int | None = None
    validation_fraction: float = 0.2
    intercept: Annotated[bool | None, Parameter(negative="--no-intercept", show_default=False)] = None
    free_intercept: Annotated[bool, Parameter(negative="")] = False
    members: int = 1
    bypass: int = 0
    tol: float = 1e-6
    max_iter: int = 1000

    def check(self) -> None:
        """Raise ValueError on a bad value, before any library is loaded."""
        check_choice("loss", self.loss, ["auto", *OFFERED["losses"]])
        check_choice("penalty", self.penalty, ["auto", *OFFERED["penalties"]])
        Regularisation.read(0.1 if self.betas == "auto" else self.betas, self.rho, self.columns)
        check_share("validation_fraction", self.validation_fraction, open_minimum=True)
        if self.free_intercept and self.intercept is False:
            raise ValueError("--free-intercept needs an intercept, so it cannot be given with --no-intercept")
        check_integer("members", self.members)
        check_integer("bypass", self.bypass, minimum=0)
        check_real("tol", self.tol, 0.0, open_minimum=True)
        check_integer("max_iter", self.max_iter)

    @property
    def parameters(self) -> dict[str, Any]:
        """The settings of an estimator; without `intercept` where its default is meant."""
        chosen = {"intercept": "free" if self.free_intercept else self.intercept}
        left_out = {"free_intercept"} | ({"intercept"} if chosen["intercept"] is None else set())
        settings = vars(self) | chosen | {"beta": self.betas, "output_weights": list(self.output_weights) or None}
        return {name: value for name, value in settings.items() if name not in left_out}

    @property
    def betas(self) -> float | str | list[float | str]:
        """`beta` as estimators have it: one, or a list."""
        return self.beta[0] if len(self.beta) == 1 else list(self.beta)


@Parameter(name="*", group="Runs")
@dataclass(frozen=True)
class RunOptions:
    """How many runs of a benchmark, and where.

    Parameters
    ----------
    seeds : int
        A run is made with this seed; the option may be given several times. Without it the seeds are 0, 1 and 2, or 0
        for small cells.
    jobs : int
        This many run at once. With more than one, each has one thread.
    backend : str
        How they are started: loky, threading or dask. Dask runs them on a cluster.
    address : str, optional
        The scheduler of the cluster, such as tcp://10.0.0.1:8786. Its workers must see the folder of --out.
    device : str
        The work is done on this device: cpu, cuda, ...
    data_dir : Path, optional
        This folder holds the four IDX files of MNIST.
    """

    seeds: Annotated[tuple[int, ...], Parameter(negative="")] = ()
    jobs: int = 1
    backend: str = "loky"
    address: str | None = None
    device: str = "cpu"
    data_dir: Path | None = None


@Parameter(name="*", group="Data of the fit")
@dataclass(frozen=True)
class FitData:
    """What the model was trained on; a task is loaded with the settings of the fit.

    Parameters
    ----------
    task : str, optional
        The model was trained on this task.
    data : Path, optional
        The model was trained on this file, or on the batches of this folder.
    data_dir : Path, optional
        This folder holds the files of the task, where they have moved.
    """

    task: str | None = None
    data: Path | None = None
    data_dir: Path | None = None

    def check(self) -> None:
        """Raise ValueError unless exactly one source is named."""
        check_one_source(self.task, self.data)
        if self.data is not None:
            check_data(self.data)


def check_one_source(task: str | None, data: Path | None) -> None:
    """Raise ValueError unless exactly one of the two is given."""
    if (task is None) == (data is None):
        raise ValueError("pass either --task NAME or --data FILE")


def check_data(path: Path) -> None:
    """Raise ValueError unless there is such a file, or a folder of batches."""
    if not path.is_dir():
        check_data_file(path)


def check_no_folder(path: Path) -> None:
    """Raise ValueError where a path is that of a folder."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder: batches are for convexsnn fit and verify, and this needs one file")


def check_data_file(path: Path) -> None:
    """Raise ValueError unless there is such a file."""
    check_no_folder(path)
    if not path.is_file():
        raise ValueError(f"there is no data file {path}")


def check_model(path: Path) -> None:
    """Raise ValueError unless there is such a folder or file; what a killed run left beside it is looked at later."""
    if not path.exists() and not any(path.parent.glob(f".{path.name}.*")):
        raise ValueError(f"--model {path}: there is no such folder or file")
