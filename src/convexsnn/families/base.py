"""What a witness family is: it owns its settings, and gives the columns of a problem's program."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, dataclass_transform

import numpy as np
import torch

from convexsnn.checks import check_choice, check_heeded
from convexsnn.network import Hidden
from convexsnn.observer import Observer
from convexsnn.problem import Problem
from convexsnn.readouts import Readout
from convexsnn.solvers.base import SolverOptions
from convexsnn.training import ColumnSource, SimulatedColumns
from convexsnn.witnesses import with_constant

if TYPE_CHECKING:
    from convexsnn.families.mixture import Mixture


@dataclass(frozen=True)
class Run:
    """How a fit is run.

    Attributes
    ----------
    seed : int
        All that is drawn follows from this seed.
    device : str
        Networks are simulated and programs are solved on this device.
    options : SolverOptions
        How closely the program is solved, and for how many iterations at most.
    observer : Observer
        Whom to tell of the progress.
    checkpoint : path, optional
        From it a killed fit goes on: the file of a search, or a folder with the columns of a `batchwise` family.
    """

    seed: int = 0
    device: str = "cpu"
    options: SolverOptions = field(default_factory=SolverOptions)
    observer: Observer = field(default_factory=Observer)
    checkpoint: str | Path | None = None

    @property
    def generator(self) -> torch.Generator:
        """A CPU generator in the state of the seed, the only source of randomness that witnesses take."""
        return torch.Generator().manual_seed(self.seed)


@dataclass_transform(kw_only_default=True, frozen_default=True)
def family(cls: type) -> type:
    """Make a class a witness family: a frozen dataclass of its settings, all given by keyword."""
    return dataclass(frozen=True, kw_only=True, repr=False)(cls)


@family
class WitnessFamily(ABC):
    """Where hidden weights come from, with all the settings that this depends on.

    Settings are fields, so one that a family does not use cannot be given to it. Families are compared by their
    settings, are never changed, and are joined by ``+``. scikit-learn sees them as nested parameters, such as
    ``witnesses__depth``.
    """

    name: ClassVar[str]
    # Whether neurons are searched: a killed fit then goes on from a checkpoint, and validation data choose among them.
    searches: ClassVar[bool] = False
    # Whether hidden weights are the same whatever the labels: then one simulation serves every split of the rows.
    label_free: ClassVar[bool] = False
    # Whether labels decide on neurons by rows that are left out: then a beta may be picked by such rows as well.
    priced_left_out: ClassVar[bool] = False
    # Whether hidden weights are drawn without a look at all sequences, which may then be read in batches.
    batchwise: ClassVar[bool] = False
    # Whether neurons are made for sequences of real numbers, whose means are sequences of the same kind.
    real_numbers: ClassVar[bool] = False
    # Whether processes can share the work where each of them has all sequences.
    shared: ClassVar[bool] = False

    @property
    @abstractmethod
    def n_last(self) -> int:
        """P_last in rho = beta / sqrt(P_last), as far as the settings tell."""

    @property
    def goes_on(self) -> bool:
        """Whether a killed fit goes on from a checkpoint: from the state of a search, or from columns that it made."""
        return self.searches or self.batchwise

    @property
    def n_at_once(self) -> int:
        """Neurons that are worked on at once: with the rows of a problem, how much work that is."""
        return self.n_last

    def n_last_of(self, witnesses: Hidden) -> int:
        """P_last in rho = beta / sqrt(P_last) of the witnesses that the family gave."""
        return witnesses.n_last

    @property
    def given(self) -> tuple[Hidden, ...]:
        """Hidden layers of the user's own among the settings, which files keep as tensors."""
        return ()

    @abstractmethod
    def columns(self, problem: Problem, run: Run) -> ColumnSource:
        """The columns for a problem, whose rho is the one for which hidden weights are trained or searched."""

    def check(self, *, every_step: bool, device: str = "cpu") -> None:  # noqa: B027 - most can
        """Raise ValueError where the family cannot be had for such a problem, before any work is done."""

    def check_cost(self, problem: Problem) -> None:  # noqa: B027 - most cost little
        """Raise ValueError where the family would cost too much on a problem."""

    def suited(self, problem: Problem, run: Run) -> Self:  # noqa: ARG002 - most leave nothing to the data
        """The family with what its settings leave to the data of a problem decided; the same for the same seed."""
        return self

    def describes(self, hidden: Hidden, *, intercept: bool) -> bool:  # noqa: ARG002 - most can give any network
        """Whether the family could have given these witnesses."""
        return True

    def __add__(self, other: WitnessFamily | Hidden | str) -> Mixture:
        from convexsnn.families.mixture import joined

        return joined(self, other)

    def __radd__(self, other: Hidden | str) -> Mixture:
        from convexsnn.families.mixture import joined

        return joined(other, self)

    # Settings, as scikit-learn, files and people have them.

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002 - no setting has settings of its own
        """All settings by name."""
        return {own.name: getattr(self, own.name) for own in fields(self)}

    def with_params(self, **changes: Any) -> Self:
        """The same family with some settings changed; ValueError on names that it does not have."""
        for name in changes:
            check_choice(f"settings of witnesses={self.name!r}", name, self.get_params())
        return replace(self, **changes)

    def __sklearn_clone__(self) -> Self:
        return self  # never changed, so it is its own copy

    def to_dict(self) -> dict[str, Any]:
        """Name and settings as JSON has them."""
        return {"family": self.name} | {name: _plain(value) for name, value in self.get_params().items()}

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`, without the name; ValueError on unknown names and bad values."""
        for name in settings:
            check_choice(f"settings of witnesses={cls.name!r}", name, [own.name for own in fields(cls)])
        return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in settings.items()})

    def __repr__(self) -> str:
        changed = [own for own in fields(self) if getattr(self, own.name) != own.default]
        return f"{type(self).__name__}({', '.join(f'{own.name}={getattr(self, own.name)!r}' for own in changed)})"


def _plain(value: Any) -> Any:
    """A setting as JSON has it."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Readout):
        return value.describe()
    return list(value) if isinstance(value, tuple) else value


# Settings that say nothing of neurons of a kind.
OF_LIF = (
    *("leak", "dyadic_leaks", "learn_leak", "memory_range", "reset"),
    *("threshold", "learn_threshold", "threshold_range"),
)
UNHEEDED = {"threshold": OF_LIF}


def check_neuron_settings(family: WitnessFamily, neuron: str) -> None:
    """Raise ValueError where a setting was changed that has no effect on neurons of this kind."""
    check_heeded(family, UNHEEDED.get(neuron, ()), f"on neuron={neuron!r}")


@family
class SampledFamily(WitnessFamily):
    """A family whose hidden weights are there before any program is solved."""

    @abstractmethod
    def sample(self, problem: Problem, run: Run, generator: torch.Generator) -> Hidden:
        """Hidden layers for a problem, on the device of the run."""

    def columns(self, problem: Problem, run: Run) -> ColumnSource:
        """See `WitnessFamily`."""
        return simulated(self.sample(problem, run, run.generator), problem, run)


def simulated(hidden: Hidden, problem: Problem, run: Run, n_last: int | None = None) -> SimulatedColumns:
    """The columns of hidden layers, with an always-firing neuron where the problem has an intercept."""
    witnesses = with_constant(hidden) if problem.intercept else hidden
    return SimulatedColumns.of(problem, witnesses, run.options, run.observer, n_last, run.checkpoint)
