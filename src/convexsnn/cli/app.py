"""The commands."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter
from sklearn.exceptions import ConvergenceWarning

from convexsnn.cli import benching, bounding, exporting, fitting, output, quantising, reporting
from convexsnn.cli.data import DataSet, from_file, from_task, read_input, read_npz
from convexsnn.exact import ExactSettings
from convexsnn.families import is_exact, is_searched
from convexsnn.search import SearchSettings
from convexsnn.storage import ModelFileError, load_model
from convexsnn.tasks import TaskSettings, list_tasks

app = App(
    name="convexsnn",
    help="Spiking neural networks trained by convex optimisation, with a certificate of optimality.",
    version=version("convexsnn"),
    suppress_keyboard_interrupt=False,
)
bench = App(name="bench", help="The paper's tables and ablations; a killed run goes on where it was.")
app.command(bench)
# As shells have it: 128 + SIGINT.
INTERRUPTED = 130

Json = Annotated[bool, Parameter(negative="", help="Print JSON on standard output instead of tables.")]


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
        _check_one_source(self.task, self.data)
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
    """

    search_effort: float = SearchSettings.effort
    search_seconds: float | None = None
    search_rounds: int = SearchSettings.rounds
    search_width: int = SearchSettings.width
    search_columns: int | None = None
    search_oracles: str = "+".join(SearchSettings.oracles)

    def settings(self) -> SearchSettings:
        """As the library has them."""
        return SearchSettings(
            width=self.search_width,
            rounds=self.search_rounds,
            effort=self.search_effort,
            seconds=self.search_seconds,
            max_columns=self.search_columns,
            oracles=tuple(part.strip() for part in self.search_oracles.split("+")),
        )


@Parameter(name="*", group="Exact training (with --witnesses exact)")
@dataclass(frozen=True)
class ExactOptions:
    """How to train exactly; what would cost more is refused beforehand, with an estimate.

    Parameters
    ----------
    exact_method : {"arrangement", "milp"}
        arrangement: over all patterns at once. milp: by rounds of mixed-integer programs, which may end with a gap.
    exact_limit : int
        Patterns that arrangement may have to visit.
    exact_seconds : float
        Time that arrangement may be expected to take; time after which milp begins no round.
    """

    exact_method: Literal["arrangement", "milp"] = "arrangement"
    exact_limit: int = ExactSettings.limit
    exact_seconds: float = ExactSettings.time_limit

    def settings(self) -> ExactSettings:
        """As the library has them."""
        return ExactSettings(self.exact_method, self.exact_limit, self.exact_seconds)


@app.command
def fit(
    *,
    out: Path,
    source: DataOptions | None = None,
    network: NetworkOptions | None = None,
    program: ProgramOptions | None = None,
    search: SearchOptions | None = None,
    exact: ExactOptions | None = None,
    regression: Annotated[bool, Parameter(negative="")] = False,
    seed: int = 0,
    device: str = "cpu",
    json: Json = False,
) -> int:
    """Train a network and write model.safetensors, certificate.json and metrics.json; of several betas also path.json.

    A search writes history.json as well. It keeps its state in search.safetensors, from which a killed fit goes on.

    Parameters
    ----------
    out : Path
        Folder for the files.
    regression : bool
        Real targets (squared loss) instead of classes.
    seed : int
        Of the data and of the hidden weights.
    device : str
        cpu, cuda, ...
    """
    data = (source or DataOptions()).load(seed)
    parameters = vars(network or NetworkOptions()) | vars(program or ProgramOptions())
    beta = parameters["beta"]
    parameters["beta"] = beta[0] if len(beta) == 1 else list(beta)
    parameters["output_weights"] = list(parameters["output_weights"]) or None
    if is_searched(parameters["witnesses"]):
        parameters["search"] = (search or SearchOptions()).settings()
    if is_exact(parameters["witnesses"]):
        parameters["exact"] = (exact or ExactOptions()).settings()
    if regression and parameters.pop("output_weights") is not None:
        raise ValueError("--output-weights goes with classes, not with --regression")
    parameters |= {"per_step": data.per_step, "device": device, "random_state": seed}
    if data.timesteps is not None:
        parameters["timesteps"] = data.timesteps
    report = fitting.fit(data, parameters, out, regression=regression)
    if json:
        output.print_json(report)
    else:
        fitting.print_report(report, out)
    if report["interrupted"]:
        output.say(f"interrupted: the best network so far is in {out}", to=output.stderr)
        return INTERRUPTED
    return 0


@app.command
def predict(
    *,
    model: Path,
    data: Path,
    out: Path,
    closed_loop: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> int:
    """Predict with a trained network.

    Parameters
    ----------
    model : Path
        Folder that `convexsnn fit` wrote, or its model.safetensors.
    data : Path
        An .npz file with X, and lengths for padded sequences.
    out : Path
        The .npz file to write: prediction, and scores or probabilities where the loss has them. For per-step labels of
        sequences of unequal length the rows of all sequences follow one another, and `lengths` says how many each has.
        Scores and probabilities of several outputs are numbered: scores_0, scores_1.
    closed_loop : bool
        Feed the network its own answers: for a model of a task that has feedback, such as the carry of an addition.
        That column of X is ignored, and `inputs` in the file is X as the network saw it.
    """
    estimator, extra = load_model(fitting.model_file(model))
    X = read_input(read_npz(data), data)
    report = (
        fitting.predict_closed_loop(estimator, extra, X, out) if closed_loop else fitting.predict(estimator, X, out)
    )
    if json:
        output.print_json(report)
    else:
        output.print_facts(f"predictions in {out}", report)
    return 0


@app.command
def verify(
    *,
    model: Path,
    task: str | None = None,
    data: Path | None = None,
    data_dir: Path | None = None,
    exact: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> int:
    """Check a certificate anew: simulate the witnesses and recompute primal and dual from the stored vectors.

    Exits 1, with the reason, when the stored certificate does not hold. A task is loaded with the settings with which
    the model was trained.

    Parameters
    ----------
    model : Path
        Folder that `convexsnn fit` wrote.
    task : str, optional
        The task on which the model was trained.
    data : Path, optional
        The .npz file on which the model was trained.
    data_dir : Path, optional
        Folder with the task's files, where it is not where it was.
    exact : bool
        Also prove the gap in exact rational arithmetic (hinge, squared) or with all rounding outwards (logistic,
        cross_entropy), by code that shares nothing with the solver, and check all files that `fit` wrote.
    """
    _check_one_source(task, data)
    try:
        report = (fitting.verify_exact if exact else fitting.verify)(model, task, data, data_dir)
    except ModelFileError as error:
        report = fitting.failed(str(error))
    if json:
        output.print_json(report)
    else:
        fitting.print_verification(report)
    return 0 if report["holds"] else 1


@app.command
def bound(
    *,
    model: Path,
    task: str | None = None,
    data: Path | None = None,
    data_dir: Path | None = None,
    method: Literal["arrangement", "milp"] = "arrangement",
    seconds: float = ExactSettings.time_limit,
    limit: int = ExactSettings.limit,
    json: Json = False,
) -> int:
    """Bound the objective of every network of a model's kind, and write the bound into its certificate if it is better.

    For networks of one hidden layer (--depth 2) whose neurons do not feed one another. Every fit has the universal
    bound, over networks of any kind; this one is over its own kind of neurons, any number of them, any weights.

    Parameters
    ----------
    model : Path
        Folder that `convexsnn fit` wrote.
    task : str, optional
        The task on which the model was trained.
    data : Path, optional
        The .npz file on which the model was trained.
    data_dir : Path, optional
        Folder with the task's files, where it is not where it was.
    method : {"arrangement", "milp"}
        arrangement: all patterns that these neurons can have; refused beforehand, with an estimate, where it would take
        too long. milp: mixed-integer programs, whose bound holds however early they are stopped.
    seconds : float
        Time that arrangement may be expected to take; time after which milp begins no round.
    limit : int
        Patterns that arrangement may have to visit.
    """
    _check_one_source(task, data)
    report = bounding.bound(model, task, data, data_dir, ExactSettings(method, limit, seconds))
    if json:
        output.print_json(report)
    else:
        bounding.print_report(report, model)
    return 0


@app.command
def export(
    *,
    model: Path,
    to: Literal["torch", "nir"],
    out: Path,
    soft_reset: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> int:
    """Write a trained network for other tools: torch's weights as safetensors, or a NIR graph.

    Neither file executes code when it is loaded. For snnTorch, SpikingJelly and Norse, whose networks are Python
    objects, see `convexsnn.export`.

    Parameters
    ----------
    model : Path
        Folder that `convexsnn fit` wrote, or its model.safetensors.
    to : {"torch", "nir"}
        torch: the state dict of `convexsnn.export.to_torch`, in `nn.Linear` layout. nir: a graph with steps of 1e-4
        seconds; needs the package nir.
    out : Path
        The file to write.
    soft_reset : bool
        With nir: write neurons of soft reset as a subgraph that few simulators read, instead of refusing.
    """
    report = exporting.export(fitting.model_file(model), to, out, soft_reset=soft_reset)
    if json:
        output.print_json(report)
    else:
        output.print_facts(f"network in {out}", report)
    return 0


@app.command(name="report")
def report_page(
    model: Path,
    *,
    data: Path | None = None,
    data_dir: Path | None = None,
    out: Path | None = None,
    inputs: Annotated[tuple[int, ...], Parameter(negative="")] = (),
    verify: bool = True,
    json: Json = False,
) -> int:
    """Write one HTML page of a fit: settings, certificate, bounds, confusion, spikes, weights, cost.

    The page holds all its pictures and fetches nothing. Exits 1 when the certificate was checked and does not hold; the
    page then says so.

    Parameters
    ----------
    model : Path
        Folder that `convexsnn fit` wrote.
    data : Path, optional
        An .npz file to show, instead of the data of the fit.
    data_dir : Path, optional
        Folder with the task's files, where it is not where it was.
    out : Path, optional
        The page; report.html in the model's folder where it is left out.
    inputs : int
        Sequences of the test split, or of the training split where there is none, whose spikes are drawn; given
        several times for several; otherwise the first of each of up to three classes.
    verify : bool
        Check the certificate anew on the training data, as `convexsnn verify` does.
    """
    written = reporting.report(model, data, data_dir, out, inputs, verify=verify)
    if json:
        output.print_json(written)
    else:
        for line in (*written["verdict"], written["missing"]):
            if line:
                output.say(line)
        output.say(f"written to {written['page']}")
    return 1 if written["holds"] is False else 0


@app.command
def quantise(
    *,
    model: Path,
    out: Path,
    task: str | None = None,
    data: Path | None = None,
    data_dir: Path | None = None,
    bits: int = 8,
    effort: int = 300,
    json: Json = False,
) -> int:
    """Give hidden neurons integer weights with exactly the same training spikes, and write the model anew.

    Neurons for which no integers are found keep their real weights, and are listed; then the exit status is 1. The
    model written has a certificate of its own, of scope "dictionary": that of the columns that carry weight. Output
    weights stay as they are.

    Parameters
    ----------
    model : Path
        Folder that `convexsnn fit` wrote.
    out : Path
        Folder for the files: those that `fit` writes, and quantised.json, which says of each neuron that failed.
    task : str, optional
        The task on which the model was trained.
    data : Path, optional
        The .npz file on which the model was trained.
    data_dir : Path, optional
        Folder with the task's files, where it is not where it was.
    bits : int
        Of weights, recurrent weights and biases, sign included; thresholds are in fixed point.
    effort : int
        Exchanges tried, and nodes of a branch and bound, a neuron and start; 0 only rounds.
    """
    _check_one_source(task, data)
    report = quantising.quantise(model, task, data, data_dir, out, bits, effort)
    if json:
        output.print_json(report)
    else:
        quantising.print_report(report, out)
    return 0 if report["complete"] else 1


@app.command
def tasks(*, json: Json = False) -> int:
    """List the tasks."""
    rows = [
        {
            "name": info.name,
            "description": info.description,
            "per_step": info.per_step,
            "timesteps": info.defaults.timesteps,
            "sizes": [info.defaults.n_train, info.defaults.n_val, info.defaults.n_test],
            "source": info.source,
            "examples": list(info.examples),
        }
        for info in list_tasks()
    ]
    if json:
        output.print_json(rows)
    else:
        output.print_tasks(rows)
    return 0


@bench.command
def paper(
    *,
    out: Path,
    cells: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    methods: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    seeds: Annotated[tuple[int, ...], Parameter(negative="")] = (),
    small: Annotated[bool, Parameter(negative="")] = False,
    jobs: int = 1,
    device: str = "cpu",
    data_dir: Path | None = None,
    json: Json = False,
) -> int:
    """Rerun the paper's tables: test accuracy of each cell and method beside the paper's figure.

    Writes paper.json and paper.md, and one file a finished run in jobs/: run the same command again to go on.

    Parameters
    ----------
    out : Path
        Folder for the files.
    cells : str
        xor-T6-L5 ..., mnist-T14-L3 ..., addition-base2 ...; given several times for several; otherwise all.
    methods : str
        CVX, CVX-an, CVX-FT (gaussian witnesses; analog; fine-tuned), R, R-CVX, R-CVX-an (reservoir), SG, SG-CVX,
        SG-CVX-an, SG-CVX-same (surrogate gradients as in the paper), SG+, SG+-CVX (with a sensible trainer). Methods
        that share their hidden layers run together. Otherwise all.
    seeds : int
        Given several times for several; otherwise 0, 1 and 2, or 0 with --small.
    small : bool
        One cell of each task, cut down to about a minute each.
    jobs : int
        Processes; with more than one, each has one thread.
    device : str
        cpu, cuda, ...
    data_dir : Path, optional
        Folder with the four IDX files of MNIST.
    """
    report = benching.paper(out, cells, methods, seeds, small=small, jobs=jobs, device=device, data_dir=data_dir)
    return _print_bench(report, out, json)


@bench.command
def ablation(
    *,
    out: Path,
    base: str = "digits",
    axes: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    seeds: Annotated[tuple[int, ...], Parameter(negative="")] = (),
    jobs: int = 1,
    device: str = "cpu",
    data_dir: Path | None = None,
    plots: bool = True,
    json: Json = False,
) -> int:
    """Vary one setting at a time: accuracy and gap as tables and plots.

    Writes ablation.json, ablation.md, a plot an axis, and one file a finished run in jobs/: run the same command again
    to go on.

    Parameters
    ----------
    out : Path
        Folder for the files.
    base : str
        xor, addition, digits or mnist: the task and the settings around which one is varied.
    axes : str
        n_train, branches, last, depth, timesteps, beta, witnesses; given several times for several; otherwise all.
    seeds : int
        Given several times for several; otherwise 0, 1 and 2.
    jobs : int
        Processes; with more than one, each has one thread.
    device : str
        cpu, cuda, ...
    data_dir : Path, optional
        Folder with the four IDX files of MNIST.
    plots : bool
        Write the plots (they need matplotlib).
    """
    report = benching.ablation(out, base, axes, seeds, jobs=jobs, device=device, data_dir=data_dir, plots=plots)
    return _print_bench(report, out, json)


def _check_one_source(task: str | None, data: Path | None) -> None:
    """Raise ValueError unless exactly one of the two is given."""
    if (task is None) == (data is None):
        raise ValueError("pass either --task NAME or --data FILE.npz")


def _print_bench(report: dict[str, Any], out: Path, json: bool) -> int:
    if json:
        output.print_json(report)
    else:
        output.say(report["table"])
        for reason in dict.fromkeys(report["skipped"].values()):
            output.say(reason, head="skipped:", style="bold yellow", to=output.stderr)
        output.say(f"written to {out}")
    return 0


def run(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            return int(app(arguments, exit_on_error=False, print_error=True, result_action="return_value") or 0)
        except CycloptsError:
            return 2  # cyclopts has printed what was wrong
        except KeyboardInterrupt:
            output.say("interrupted; nothing was written", to=output.stderr)
            return INTERRUPTED
        except MemoryError as error:
            reason = f"out of memory: ask for less data or fewer neurons ({error})"
        except (ValueError, TypeError, OSError, RuntimeError, ArithmeticError, ImportError) as error:
            reason = str(error)
    output.say(reason, head="error:", style="bold red", to=output.stderr)
    return 2


def _show_warning(message: Warning | str, category: type[Warning], *_: Any) -> None:
    style = "bold yellow" if issubclass(category, (UserWarning, ConvergenceWarning)) else "dim"
    output.say(str(message), head="warning:", style=style, to=output.stderr)
