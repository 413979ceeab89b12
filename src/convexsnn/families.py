"""Witness families by name: what `witnesses` of an estimator or `--witnesses` may say, and how each is drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from convexsnn.checks import check_choice
from convexsnn.network import Hidden
from convexsnn.penalties import PENALTIES
from convexsnn.readouts import Membrane, Spike
from convexsnn.search import Searched, SearchSettings, search
from convexsnn.sequences import Sequences
from convexsnn.surrogate import Epoch, Problem, SurrogateSettings, initial_network, train_surrogate
from convexsnn.training import Observer, ProgramSettings, generator_from_seed
from convexsnn.validation import Validation
from convexsnn.witnesses import Architecture, gaussian, heterogeneous, mix, tune_reservoir, with_constant
from convexsnn.witnesses.gaussian import VARIANTS


@dataclass(frozen=True, eq=False)
class Request:
    """What witnesses are drawn for; families use as much of it as they need.

    Attributes
    ----------
    architecture : Architecture
    sequences : Sequences
        To be trained on.
    targets : float64 tensor of shape (rows, C)
    row_weights : float64 tensor of shape (rows,)
        Summing to one.
    settings : ProgramSettings
    seed : int
    validation : Validation, optional
        On which surrogate-gradient training is stopped early.
    device : str
    observer : Observer
    search : SearchSettings
        Of the family "search".
    intercept : bool
        Whether an always-firing neuron will be added: a search counts on it.
    checkpoint : path, optional
        Of a search.
    """

    architecture: Architecture
    sequences: Sequences
    targets: Tensor
    row_weights: Tensor
    settings: ProgramSettings
    seed: int
    validation: Validation | None = None
    device: str = "cpu"
    observer: Observer = field(default_factory=Observer)
    search: SearchSettings = field(default_factory=SearchSettings)
    intercept: bool = False
    checkpoint: str | Path | None = None


@dataclass(frozen=True, eq=False)
class Drawn:
    """Witnesses, and how they were searched for.

    Attributes
    ----------
    hidden : Hidden
    searched : Searched or None
        None when there was no search.
    """

    hidden: Hidden
    searched: Searched | None = None


Draw = Callable[[Request, torch.Generator], Hidden]


def _reservoir(request: Request, generator: torch.Generator) -> Hidden:
    request.observer.begin("tuning the reservoir")
    return tune_reservoir(request.architecture, request.sequences, generator).hidden


def pretraining(n: int) -> SurrogateSettings:
    """Settings of the family "surrogate" for n sequences: about 2000 steps, in 10 to 60 epochs.

    Weights begin large, so that deep layers spike from the start, and leaks are learned; chosen on sequential digits,
    with and without recurrent weights, and on 3000 images of sequential MNIST.
    """
    epochs = min(60, max(10, 2000 // -(-n // 32)))
    return SurrogateSettings(epochs=epochs, batch_size=32, learning_rate=2e-3, gain=2.0, learn_leak=True)


def _surrogate(request: Request, generator: torch.Generator) -> Hidden:
    """The hidden layers of a network trained from scratch, on the program's own objective."""
    program, settings = request.settings, pretraining(len(request.sequences))
    problem = Problem(
        request.sequences,
        request.targets,
        program.loss_function,
        PENALTIES[program.penalty],
        program.rho_for(request.architecture.last),
        request.row_weights,
    )
    start = initial_network(request.architecture, request.targets.shape[1], generator, settings.gain)

    def tell(epoch: Epoch) -> None:
        request.observer.begin(f"surrogate gradients: epoch {epoch.number} of {settings.epochs}")

    result = train_surrogate(
        start.to(request.device), problem, settings, seed=request.seed, validation=request.validation, on_epoch=tell
    )
    return result.network.hidden


SEARCH, EXACT = "search", "exact"
GAUSSIAN: dict[str, str] = {"gaussian": "standard"} | {
    f"gaussian-{variant}": variant for variant in VARIANTS if variant != "standard"
}


def _gaussian(variant: str) -> Draw:
    return lambda request, generator: gaussian(request.architecture, generator, variant)  # type: ignore[arg-type]


FAMILIES: dict[str, Draw] = {name: _gaussian(variant) for name, variant in GAUSSIAN.items()} | {
    "heterogeneous": lambda request, generator: heterogeneous(request.architecture, generator),
    "reservoir": _reservoir,
    "surrogate": _surrogate,
}


def check_witnesses(witnesses: Any, architecture: Architecture) -> None:
    """Raise ValueError unless `witnesses` is a `Hidden`, or names families that `architecture` can be drawn from."""
    if isinstance(witnesses, Hidden):
        if witnesses.every_step != architecture.every_step:
            raise ValueError("per_step must be that of the given witnesses (their every_step)")
        return
    names = family_names(witnesses)
    if EXACT in names:
        check_exact(architecture)
        return
    if SEARCH in names and not isinstance(architecture.read_by, Spike | Membrane):
        raise ValueError(
            f"readout must be 'spike' or 'membrane' for witnesses='search', whose simulator reads nothing else, not "
            f"{architecture.readout!r}: name a family that is drawn, such as witnesses='gaussian'"
        )
    if names == (SEARCH,):
        check_searched_shape(architecture)
    names = drawn_first(names)
    shares = [_share(architecture, i, len(names)) for i in range(len(names))]
    for name, share in zip(names, shares, strict=True):
        if name == "reservoir" and share.neuron != "lif":
            raise ValueError("witnesses 'reservoir' are tuned over leak and threshold: neuron must be 'lif'")


def check_searched_shape(architecture: Architecture) -> None:
    """Raise ValueError where the shape of families that are drawn is asked of a search from nothing."""
    usual = Architecture.__dataclass_fields__
    asked = [name for name in ("hidden", "branches") if getattr(architecture, name) != usual[name].default]
    if asked:
        raise ValueError(
            f"{' and '.join(asked)} would have no effect on witnesses='search', which finds as many branches as it "
            "needs, each with the search's width: set that instead, or name a family that is drawn, such as "
            "witnesses='gaussian' or 'gaussian+search'"
        )


def check_exact(architecture: Architecture) -> None:
    """Raise ValueError, naming the argument, unless the network is of single neurons on the input."""
    a = architecture
    refusals = {
        "depth must be 2 (one hidden layer)": a.depth == 2,
        f"readout must be 'spike' or 'membrane', not {a.readout!r},": isinstance(a.read_by, Spike | Membrane),
        "branches must equal last (one neuron a branch, which feeds itself alone) with recurrent": not a.recurrent
        or a.branches == a.last,
        "dtype must be 'float64'": a.dtype == "float64",
    }
    for reason, met in refusals.items():
        if not met:
            raise ValueError(f"{reason} for witnesses='exact', which covers single neurons on the input")


def family_names(witnesses: Any) -> tuple[str, ...]:
    """The families that a string such as "gaussian+reservoir" names; ValueError for any other."""
    parts = witnesses.split("+") if isinstance(witnesses, str) else [witnesses]
    known = [*FAMILIES, SEARCH, EXACT]
    names = tuple(check_choice("witnesses", part.strip() if isinstance(part, str) else part, known) for part in parts)
    if EXACT in names and len(names) > 1:
        raise ValueError(f"witnesses must name 'exact' alone, as it covers every neuron there is, got {witnesses!r}")
    if SEARCH in names[:-1]:
        raise ValueError(f"witnesses must name 'search' once and last, as in 'gaussian+search', got {witnesses!r}")
    return names


def drawn_first(names: tuple[str, ...]) -> tuple[str, ...]:
    """The families that are drawn before a search begins."""
    return tuple(name for name in names if name != SEARCH)


def is_searched(witnesses: Any) -> bool:
    """Whether `witnesses` names a search."""
    return not isinstance(witnesses, Hidden) and SEARCH in family_names(witnesses)


def is_exact(witnesses: Any) -> bool:
    """Whether `witnesses` asks for exact training, which has no witnesses to draw."""
    return not isinstance(witnesses, Hidden) and EXACT in family_names(witnesses)


def draw_witnesses(witnesses: str | Hidden, request: Request) -> Drawn:
    """Witnesses on the request's device.

    Parameters
    ----------
    witnesses : str or Hidden
        A family, or several joined by "+", each of which gets an equal share of the neurons (and K branches of its
        own); or hidden layers, such as pretrained ones, which are taken as they are: shape, neurons, readout and dtype.
        "search" comes last: it begins from what the families before it have drawn, or from nothing.
    request : Request
    """
    if isinstance(witnesses, Hidden):
        if witnesses.n_features != request.sequences.n_features:
            raise ValueError(
                f"witnesses expect {witnesses.n_features} features, but X has {request.sequences.n_features} features"
            )
        return Drawn(witnesses.to(request.device))
    wanted, generator = family_names(witnesses), generator_from_seed(request.seed)
    names = drawn_first(wanted)
    parts = []
    for i, name in enumerate(names):
        share = replace(request, architecture=_share(request.architecture, i, len(names)))
        parts.append(FAMILIES[name](share, generator).to(request.device))
    hidden = mix(*parts) if parts else None
    if SEARCH not in wanted:
        assert hidden is not None
        return Drawn(hidden)
    searched = _search(request, hidden)
    return Drawn(searched.network.hidden.to(request.device), searched)


def _search(request: Request, hidden: Hidden | None) -> Searched:
    """Search on from `hidden`, on the CPU."""
    given = hidden or request.architecture.hidden_of()
    return search(
        request.architecture,
        request.sequences,
        request.targets,
        request.row_weights,
        request.settings,
        request.search,
        seed=request.seed,
        given=with_constant(given.to("cpu")) if request.intercept else given.to("cpu"),
        validation=request.validation,
        on_round=request.observer.searched,
        checkpoint=request.checkpoint,
    )


def _share(architecture: Architecture, i: int, parts: int) -> Architecture:
    """The i-th share of an architecture's neurons; what does not divide goes to the first shares, one neuron each."""
    size = lambda whole: whole // parts + (i < whole % parts)  # noqa: E731
    if parts == 1:
        return architecture
    return replace(architecture, hidden=size(architecture.hidden), last=size(architecture.last))
