"""The groups of options that commands share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from convexsnn.cli.data import DataSet, from_file, from_task, stored_task, trained_on
from convexsnn.estimators import Estimator
from convexsnn.problem import Problem
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

    loss: str = "auto"
    penalty: str = "l1"
    output_weights: Annotated[tuple[float, ...], Parameter(negative="")] = ()
    beta: Annotated[tuple[float | Literal["path"], ...], Parameter(negative="")] = (0.1,)
    rho: float | None = None
    validation_fraction: float = 0.2
    intercept: Annotated[bool, Parameter(negative="")] = False
    tol: float = 1e-6
    max_iter: int = 1000


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

    def load_unchanged(self, estimator: Estimator, extra: dict[str, Any]) -> tuple[DataSet, Problem]:
        """The data, and the problem that they make; ValueError unless they are those of the fit to the last bit."""
        data = self.load(estimator, extra)
        problem = estimator.problem(data.train.X, data.train.y)
        if problem.data_digest != estimator.trained_.data_digest:
            raise ValueError(OTHER_DATA)
        return data, problem


def check_one_source(task: str | None, data: Path | None) -> None:
    """Raise ValueError unless exactly one of the two is given."""
    if (task is None) == (data is None):
        raise ValueError("pass either --task NAME or --data FILE.npz")
