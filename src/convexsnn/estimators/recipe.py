"""What "auto" stands for in the settings of an estimator: one recipe for real numbers, one for symbols."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from convexsnn.checks import check_choice
from convexsnn.families import Kernels, KernelSearch, Search, WitnessFamily, family_of, within
from convexsnn.penalties import PENALTIES
from convexsnn.regularisation import Regularisation
from convexsnn.sequences import Sequences

AUTO = "auto"
# Sequences of fewer steps have little for kernels to see.
LEAST_STEPS = 8
# With so many sequences of real numbers the data choose whether kernels are read in windows. The network may then read
# half as many columns as there are sequences.
MANY = 2000
# With a penalty that leaves columns out.
USUAL_BETA = 0.1


@dataclass(frozen=True)
class Usual:
    """What "auto" stands for in one kind of estimator.

    Attributes
    ----------
    loss : str
        The loss where neurons are searched.
    kernels : Kernels
        The family for sequences of real numbers.
    columns : int
        The network reads at most this many columns of kernels.
    """

    loss: str
    kernels: Kernels
    columns: int

    def of(self, sequences: int) -> Usual:
        """The recipe for this many sequences."""
        if sequences < MANY or self.kernels.readouts != Kernels.readouts:
            return self
        return replace(self, kernels=replace(self.kernels, choose_windows=True), columns=sequences // 2)


@dataclass(frozen=True)
class Recipe:
    """Hidden neurons and the program over their columns, with nothing left open.

    Attributes
    ----------
    witnesses : WitnessFamily
    loss : str
    penalty : str
    beta : float, sequence of float, or "path"
    columns : int or None
    """

    witnesses: WitnessFamily
    loss: str
    penalty: str
    beta: float | Sequence[float] | str
    columns: int | None

    @classmethod
    def of(cls, estimator: Any, usual: Usual, real_sequences: int = 0) -> Recipe:
        """The settings of an estimator, with what is "auto" chosen.

        Parameters
        ----------
        estimator : SpikingEstimator
            An estimator with the settings `witnesses`, `loss`, `penalty`, `beta` and `columns`, `target`, any of
            which may be bad.
        usual : Usual
        real_sequences : int
            The number of sequences, where they are what kernels are for (`are_real`), else 0.
        """
        loss, penalty, beta = estimator.loss, estimator.penalty, estimator.beta
        check_choice("penalty", penalty, [AUTO, *PENALTIES])
        target = estimator.target
        usual = replace(usual, kernels=within(usual.kernels, target, usual=True))
        usual = usual.of(real_sequences) if penalty in (AUTO, "ridge") else usual
        squared = isinstance(loss, str) and loss in (AUTO, "squared") and penalty in (AUTO, "ridge", "elastic")
        if is_auto(estimator.witnesses):
            family = usual.kernels if real_sequences and squared else within(Search(), target)
        else:
            family = within(family_of(estimator.witnesses), target)
        read_by_ridge = isinstance(family, Kernels | KernelSearch) and squared
        limit = estimator.columns
        if read_by_ridge:
            penalty, limit = ("ridge", limit or usual.columns) if penalty == AUTO else (penalty, limit)
            loss, beta = "squared", "path" if is_auto(beta) and estimator.rho is None else beta
        return cls(
            family,
            usual.loss if is_auto(loss) else loss,
            "l1" if penalty == AUTO else penalty,
            USUAL_BETA if is_auto(beta) else beta,
            limit,
        )

    def __str__(self) -> str:
        """The choice in words."""
        betas = f"beta {self.beta}" if isinstance(self.beta, int | float) else "several betas"
        limit = [] if self.columns is None else [f"at most {self.columns} columns"]
        return ", ".join([self.witnesses.name, f"{self.loss} loss", f"{self.penalty} penalty", betas, *limit])

    def regularisation(self, rho: Any) -> Regularisation:
        """The regularisation with these betas, or with `rho`."""
        return Regularisation.read(self.beta, rho, self.columns)


def are_real(sequences: Sequences, *, per_step: bool) -> bool:
    """Whether sequences are of real numbers, and long enough to see how these change, with one label a sequence.

    Some feature has more than two values. Features of two values are bits, or symbols in one-hot code, which a search
    reads better.
    """
    if per_step or int(sequences.lengths.median()) < LEAST_STEPS:
        return False
    shown = sequences.shown
    features = (sequences.values[:, :, place][shown] for place in range(sequences.n_features))  # no copy of all
    return any(bool(((values != values.min()) & (values != values.max())).any()) for values in features)


def is_auto(value: Any) -> bool:
    """Whether a setting, which may be an array, is "auto"."""
    return isinstance(value, str) and value == AUTO
