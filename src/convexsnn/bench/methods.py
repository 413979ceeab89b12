"""The methods of the paper and ours, each run on one cell with one seed."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from convexsnn.bench.cells import Cell
from convexsnn.bench.jobs import JobSkippedError, TableRows
from convexsnn.estimators import SpikingClassifier
from convexsnn.families import Gaussian, WitnessFamily
from convexsnn.hybrids import fine_tune
from convexsnn.labels import flatten_steps
from convexsnn.losses import LOSSES
from convexsnn.metrics import closed_loop_scores, split_scores
from convexsnn.network import Hidden, Network
from convexsnn.penalties import PENALTIES
from convexsnn.problem import Problem
from convexsnn.regularisation import rho_of
from convexsnn.ridge import fit_ridge
from convexsnn.sequences import Sequences, as_sequences
from convexsnn.simulation import scores
from convexsnn.surrogate import PAPER_BASELINE, SurrogateSettings, initial_network, train_surrogate
from convexsnn.tasks import Split, TaskData, TaskSettings, load_task
from convexsnn.validation import Accuracy, Validation
from convexsnn.witnesses import Architecture, Heterogeneity, diversify, tune_reservoir

BRANCHES, LEAK, THRESHOLD = 2, 0.99, 1.0

# Ours: one recurrent layer, leaks of 1 to 30 steps, minibatches; the same on every task.
SENSIBLE = SurrogateSettings(
    epochs=30, batch_size=64, learning_rate=2e-3, dropout=0.1, learn_leak=True, learn_threshold=True
)
SENSIBLE_START = Heterogeneity(memory=(1.0, 30.0), threshold=(1.0, 1.0), gain=(1.0, 1.0), bias=0.0)
SENSIBLE_BETAS = (0.01, 0.03, 0.1, 0.3, 1.0)


@dataclass(frozen=True, eq=False)
class Setup:
    """A cell's data, loaded, and what a run depends on besides.

    Attributes
    ----------
    cell : Cell
    task : TaskData
    seed : int
    device : str
    scratch : Path
        Where unfinished training is kept.
    methods : tuple of str
        Those asked for; what they do not need is not run.
    """

    cell: Cell
    task: TaskData
    seed: int
    device: str
    scratch: Path
    methods: tuple[str, ...]

    def sequences(self, split: str) -> Sequences:
        return as_sequences(getattr(self.task, split).X)

    def labels(self, split: str) -> torch.Tensor:
        """Class indices of all rows of a split."""
        part: Split = getattr(self.task, split)
        y = flatten_steps(part.y, self.sequences(split)) if self.cell.per_step else np.asarray(part.y)
        return torch.from_numpy(np.asarray(y, dtype=np.int64))

    @property
    def n_classes(self) -> int:
        return len(self.task.class_names)

    def architecture(self, **changes: Any) -> Architecture:
        cell = self.cell
        settings: dict[str, Any] = {
            "depth": cell.depth,
            "branches": BRANCHES,
            "hidden": cell.hidden,
            "last": cell.last,
            "leak": LEAK,
            "threshold": THRESHOLD,
            "readout": "membrane",
            "every_step": cell.per_step,
        }
        return Architecture(self.sequences("train").n_features, **(settings | changes))

    def validation(self, split: str = "val", loss: str = "cross_entropy") -> Validation:
        """The share of right rows of a split, whose classes are coded as `loss` has them."""
        targets = LOSSES[loss].encode(self.labels(split), self.n_classes)
        return Validation(self.sequences(split), targets, Accuracy())

    def accuracy(self, network: Network, split: str) -> float:
        """The share of rows of a split that a network has right."""
        validation = self.validation(split)
        return validation.score_of(scores(network, validation.sequences).cpu())

    def problem(self, loss: str, beta: float, n_last: int) -> Problem:
        """The training problem with l1; rho = beta / sqrt(P_last)."""
        labels = self.labels("train")
        targets = LOSSES[loss].encode(labels, self.n_classes)
        rho, every_step = rho_of(beta, n_last), self.cell.per_step
        return Problem(
            self.sequences("train"), targets, LOSSES[loss], PENALTIES["l1"], rho, every_step=every_step,
            validation=self.validation(loss=loss),
        )  # fmt: skip


def load_setup(
    cell: Cell,
    seed: int,
    data_dir: str | Path | None,
    scratch: Path,
    device: str = "cpu",
    methods: tuple[str, ...] = (),
) -> Setup:
    """A cell with its data. Raises ValueError or OSError when they are not available."""
    n_train, n_val, n_test = cell.sizes
    asked = TaskSettings(n_train, n_val, n_test, cell.timesteps, data_dir=data_dir, seed=seed)
    return Setup(cell, load_task(cell.task, asked), seed, device, scratch, methods)


def run_paper_job(settings: dict[str, Any], scratch: Path) -> TableRows:
    """All methods of one group on one cell with one seed; `settings` as `paper.jobs` makes them."""
    cell, methods = Cell(**settings["cell"]), tuple(settings["methods"])
    try:
        setup = load_setup(cell, settings["seed"], settings["data_dir"], scratch, settings["device"], methods)
    except (ValueError, OSError) as error:
        raise JobSkippedError(f"{cell.name}: {error}") from error
    with warnings.catch_warnings():
        # The rows say whether they are certified.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return [row for row in GROUPS[settings["group"]].run(setup) if row["method"] in setup.methods]


def _gaussian(setup: Setup) -> Iterator[dict[str, Any]]:
    if "CVX-an" in setup.methods:
        yield _convex(setup, "CVX-an", _cell_family(setup, "analog"))[1]
    model, row = _convex(setup, "CVX", _cell_family(setup, "membrane"))
    yield row
    if "CVX-FT" in setup.methods:
        yield _fine_tuned(setup, model)


def _cell_family(setup: Setup, readout: Any) -> Gaussian:
    """The paper's gaussian witnesses, of the cell's shape."""
    cell = setup.cell
    return Gaussian(
        depth=cell.depth,
        branches=BRANCHES,
        hidden=cell.hidden,
        last=cell.last,
        leak=LEAK,
        threshold=THRESHOLD,
        readout=readout,
    )


def _fine_tuned(setup: Setup, model: SpikingClassifier) -> dict[str, Any]:
    """Surrogate gradients from the reconstructed network on, kept where they help on validation."""
    with _timed() as seconds:
        problem = replace(
            model.problem(setup.task.train.X, setup.task.train.y), validation=setup.validation(loss=setup.cell.loss)
        )
        settings = SurrogateSettings(epochs=30, batch_size=64, learning_rate=1e-3)
        tuned = fine_tune(model.network_, problem, settings, seed=setup.seed)
    return _row(setup, "CVX-FT", _with_network(model, tuned), seconds(), objective=problem.objective(tuned))


def _reservoir(setup: Setup) -> Iterator[dict[str, Any]]:
    """The paper's R on snnTorch's neuron, tuned and read there, and convex readouts of its weights in our neuron."""
    with _timed() as tuning:
        generator = torch.Generator().manual_seed(setup.seed)
        tuned = tune_reservoir(setup.architecture(reset="delayed"), setup.sequences("train"), generator)
        hidden = tuned.hidden.to(setup.device)
    facts: dict[str, Any] = {"reservoir": asdict(tuned.chosen)}
    tuning_seconds = tuning()
    soft = with_reset(hidden, "soft")
    model, row = _convex(setup, "R-CVX", soft, **facts)
    yield row
    if "R-CVX-an" in setup.methods:
        yield _convex(setup, "R-CVX-an", replace(soft, readout="analog"), **facts)[1]
    with _timed() as seconds:
        one_hot = LOSSES["cross_entropy"].encode(setup.labels("train"), setup.n_classes)
        analog = replace(hidden, readout="analog")
        fit = fit_ridge(analog, setup.sequences("train"), 2.0 * one_hot - 1.0, validation=setup.validation())
    yield _row(setup, "R", _with_network(model, fit.network), tuning_seconds + seconds(), lam=fit.lam, **facts)


def _surrogate(setup: Setup) -> Iterator[dict[str, Any]]:
    """The paper's SG on snnTorch's neuron, and convex readouts of its weights: in our neuron, as the paper has it ...

    ... and in the neuron and with the readout that it was trained with ("same").
    """
    cell = setup.cell
    problem = replace(setup.problem("cross_entropy", 1.0, cell.last), validation=None)
    best: tuple[float, float, Network] | None = None
    with _timed() as seconds:
        for rate in cell.rates:
            start = baseline_start(setup).to(setup.device)
            settings = replace(PAPER_BASELINE, epochs=cell.epochs, learning_rate=rate)
            checkpoint = setup.scratch.with_name(f"{setup.scratch.name}.{rate:g}.safetensors")
            result = train_surrogate(start, problem, settings, seed=setup.seed, checkpoint=checkpoint)
            score = setup.accuracy(result.network, "val")
            if best is None or score > best[0]:
                best = score, rate, result.network
    assert best is not None
    _, rate, network = best
    same, row = _convex(setup, "SG-CVX-same", network.hidden)
    yield _row(setup, "SG", _with_network(same, network), seconds(), learning_rate=rate)
    yield row
    soft = with_reset(network.hidden, "soft")
    if "SG-CVX" in setup.methods:
        yield _convex(setup, "SG-CVX", replace(soft, readout="membrane"))[1]
    if "SG-CVX-an" in setup.methods:
        yield _convex(setup, "SG-CVX-an", replace(soft, readout="analog"))[1]


def _recurrent(setup: Setup) -> Iterator[dict[str, Any]]:
    """A sensible trainer in place of the paper's, and the convex readout of the same hidden layer."""
    last = min(512, setup.cell.last)
    with _timed() as seconds:
        start = sensible_start(setup, last).to(setup.device)
        problem = setup.problem("cross_entropy", 0.01, last)
        result = train_surrogate(
            start,
            problem,
            SENSIBLE,
            seed=setup.seed,
            checkpoint=setup.scratch.with_name(f"{setup.scratch.name}.recurrent.safetensors"),
        )
    model, row = _convex(
        setup, "SG+-CVX", result.network.hidden, loss="cross_entropy", penalty="group", beta=SENSIBLE_BETAS
    )
    own = problem.objective(result.network)
    yield _row(setup, "SG+", _with_network(model, result.network), seconds(), epoch=result.epoch, objective=own)
    yield row


def baseline_start(setup: Setup) -> Network:
    """Where the paper's SG begins: the cell's network of snnTorch's neurons."""
    architecture = setup.architecture(reset="delayed", readout="spike")
    return initial_network(architecture, setup.n_classes, torch.Generator().manual_seed(setup.seed))


def sensible_start(setup: Setup, last: int) -> Network:
    """Where SG+ begins: one recurrent layer of `last` neurons with leaks of their own, read by its spikes."""
    architecture = setup.architecture(
        depth=2, branches=1, last=last, recurrent=True, bias=True, readout="spike", dtype="float32"
    )
    generator = torch.Generator().manual_seed(setup.seed)
    start = initial_network(architecture, setup.n_classes, generator)
    return Network(diversify(start.hidden, generator, SENSIBLE_START), start.W)


@dataclass(frozen=True)
class Group:
    """Methods that share their hidden layers, run as one job."""

    methods: tuple[str, ...]
    run: Callable[[Setup], Iterator[dict[str, Any]]]


GROUPS: dict[str, Group] = {
    "gaussian": Group(("CVX", "CVX-an", "CVX-FT"), _gaussian),
    "reservoir": Group(("R", "R-CVX", "R-CVX-an"), _reservoir),
    "surrogate": Group(("SG", "SG-CVX", "SG-CVX-an", "SG-CVX-same"), _surrogate),
    "recurrent": Group(("SG+", "SG+-CVX"), _recurrent),
}
METHODS: tuple[str, ...] = tuple(method for group in GROUPS.values() for method in group.methods)


def _convex(
    setup: Setup, method: str, witnesses: WitnessFamily | Hidden, **more: Any
) -> tuple[SpikingClassifier, dict[str, Any]]:
    """A convex readout, beta chosen on validation, and its row."""
    cell = setup.cell
    parameters: dict[str, Any] = {"loss": cell.loss, "penalty": "l1", "beta": cell.betas}
    parameters |= {name: more.pop(name) for name in tuple(parameters) if name in more}
    model = SpikingClassifier(
        loss=parameters["loss"],
        penalty=parameters["penalty"],
        beta=list(parameters["beta"]),
        witnesses=witnesses,
        per_step=cell.per_step,
        device=setup.device,
        random_state=setup.seed,
    )
    held = setup.task.splits["val"]
    with _timed() as seconds:
        model.fit(setup.task.train.X, setup.task.train.y, validation=(held.X, held.y))
    certificate = model.certificate_
    facts = {
        "beta": model.beta_,
        "objective": certificate.primal,
        "relative_gap": certificate.relative_gap,
        "certified": certificate.holds(model.tol),
        "columns": certificate.P,
        "support": certificate.support,
    }
    return model, _row(setup, method, model, seconds(), **facts, **more)


def _row(setup: Setup, method: str, model: SpikingClassifier, seconds: float, **facts: Any) -> dict[str, Any]:
    """Scores of a network, in percent."""
    percent = lambda part: {k: 100.0 * v for k, v in split_scores(model, part.X, part.y).items()}  # noqa: E731
    task = setup.task
    row = {"cell": setup.cell.name, "method": method, "seed": setup.seed, "seconds": seconds, **facts}
    row |= {split: percent(getattr(task, split)) for split in ("train", "val", "test")}
    if setup.cell.digits:
        row["closed_loop"] = {str(digits): _closed_loop(setup, model, digits) for digits in setup.cell.digits}
    return row


def _closed_loop(setup: Setup, model: SpikingClassifier, digits: int) -> dict[str, float]:
    cell = setup.cell
    longer = load_task(cell.task, TaskSettings(1, 1, cell.sizes[2], digits + 1, seed=setup.seed))
    return {name: 100.0 * value for name, value in closed_loop_scores(model, longer).items()}


def _with_network(model: SpikingClassifier, network: Network) -> SpikingClassifier:
    """The fitted model's labels with another network behind them; nothing is certified about it."""
    other = copy.copy(model)
    other.network_ = network
    return other


def with_reset(hidden: Hidden, reset: Any) -> Hidden:
    """The same weights, leaks and thresholds in LIF neurons of another reset."""
    branches = []
    for branch in hidden.branches:
        layers = tuple(replace(la, neuron=replace(la.neuron, reset=reset)) for la in branch.layers)  # type: ignore[call-arg]
        branches.append(replace(branch, layers=layers))
    return replace(hidden, branches=tuple(branches))


@contextmanager
def _timed() -> Iterator[Callable[[], float]]:
    """Seconds between entering and leaving."""
    begun, ended = time.perf_counter(), None
    try:
        yield lambda: (ended or time.perf_counter()) - begun
    finally:
        ended = time.perf_counter()
