"""What the estimators share: settings, reading input, drawing witnesses, training, running."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from convexsnn.certificate import Certificate
from convexsnn.checks import check_choice, check_flag, check_integer
from convexsnn.network import Hidden, Network
from convexsnn.sequences import Sequences, as_sequences
from convexsnn.simulation import scores
from convexsnn.training import Observer, ProgramSettings, Trained, generator_from_seed, train
from convexsnn.witnesses import Architecture, gaussian, with_constant
from convexsnn.witnesses.gaussian import VARIANTS

# How `witnesses` names its families.
WITNESSES = {"gaussian": "standard"} | {f"gaussian-{variant}": variant for variant in VARIANTS if variant != "standard"}


class SpikingEstimator(BaseEstimator, ABC):
    """What classifier and regressor share: reading input, drawing witnesses, training, running."""

    network_: Network
    trained_: Trained

    def __init__(
        self,
        *,
        loss: str = "auto",
        penalty: str = "l1",
        beta: float = 0.1,
        rho: float | None = None,
        witnesses: str = "gaussian",
        depth: int = 3,
        branches: int = 2,
        hidden: int = 256,
        last: int = 512,
        neuron: str = "lif",
        leak: float = 0.99,
        threshold: float = 1.0,
        reset: str = "soft",
        recurrent: bool = False,
        bias: bool = False,
        readout: str = "membrane",
        per_step: bool = False,
        intercept: bool = False,
        timesteps: int = 8,
        tol: float = 1e-6,
        max_iter: int = 1000,
        dtype: str = "float64",
        device: str = "cpu",
        random_state: Any = None,
    ) -> None:
        self.loss = loss
        self.penalty = penalty
        self.beta = beta
        self.rho = rho
        self.witnesses = witnesses
        self.depth = depth
        self.branches = branches
        self.hidden = hidden
        self.last = last
        self.neuron = neuron
        self.leak = leak
        self.threshold = threshold
        self.reset = reset
        self.recurrent = recurrent
        self.bias = bias
        self.readout = readout
        self.per_step = per_step
        self.intercept = intercept
        self.timesteps = timesteps
        self.tol = tol
        self.max_iter = max_iter
        self.dtype = dtype
        self.device = device
        self.random_state = random_state

    @property
    def certificate_(self) -> Certificate:
        """What was proved about the readout weights."""
        check_is_fitted(self)
        return self.trained_.certificate

    @property
    def dual_gap_(self) -> float:
        """Absolute duality gap."""
        return self.certificate_.gap

    @property
    def n_iter_(self) -> int:
        """Iterations of the solver."""
        check_is_fitted(self)
        return max(1, self.trained_.n_iter)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "trained_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.three_d_array = True
        tags.input_tags.sparse = False
        return tags

    def _architecture(self, n_features: int) -> Architecture:
        return Architecture(
            n_features=n_features,
            depth=self.depth,
            branches=self.branches,
            hidden=self.hidden,
            last=self.last,
            neuron=self.neuron,  # type: ignore[arg-type] - checked by Architecture
            leak=self.leak,
            threshold=self.threshold,
            reset=self.reset,  # type: ignore[arg-type]
            recurrent=self.recurrent,
            bias=self.bias,
            readout=self.readout,  # type: ignore[arg-type]
            every_step=bool(self.per_step),
            dtype=self.dtype,
        )

    def _settings(self, losses: dict[str, str]) -> ProgramSettings:
        """The program's settings; `losses` maps the values that `loss` may take to names of losses."""
        loss = losses[check_choice("loss", self.loss, losses)]
        return ProgramSettings(loss, self.penalty, self.beta, self.rho, self.tol, self.max_iter)

    def check_settings(self) -> None:
        """Raise on any bad setting that does not depend on the data, before work is done on it."""
        for flag in ("recurrent", "bias", "per_step", "intercept"):
            check_flag(flag, getattr(self, flag))
        self._architecture(n_features=1)
        check_choice("witnesses", self.witnesses, WITNESSES)
        check_integer("timesteps", self.timesteps)
        _check_device(self.device)

    def _forget(self) -> None:
        """Drop what an earlier fit left, so that a fit that fails leaves an unfitted estimator."""
        for name in [name for name in vars(self) if name.endswith("_") and not name.startswith("_")]:
            delattr(self, name)

    @abstractmethod
    def program_settings(self) -> ProgramSettings:
        """The convex program that these parameters describe."""

    def _begin(self, X: Any) -> tuple[ProgramSettings, Sequences]:
        """Check everything, forget an earlier fit, read X."""
        settings = self.program_settings()
        self.check_settings()
        self._forget()
        return settings, self._read(X, fitting=True)

    def _read(self, X: Any, *, fitting: bool) -> Sequences:
        """Sequences of any accepted form of X; sets or checks `n_features_in_`."""
        if _is_sequential(X):
            sequences = as_sequences(X)
            if fitting:
                if sequences.rows(self.per_step) < 2:
                    raise ValueError("X holds one sample (one sequence with one label); training needs at least two")
                self.n_features_in_ = sequences.n_features
            elif sequences.n_features != self.n_features_in_:
                raise ValueError(
                    f"X has {sequences.n_features} features, but {type(self).__name__} is expecting "
                    f"{self.n_features_in_} features as input"
                )
            return sequences
        array = validate_data(self, X, reset=fitting, dtype=np.float64, ensure_min_samples=2 if fitting else 1)
        return as_sequences(array, timesteps=self.timesteps)

    def _train(
        self,
        sequences: Sequences,
        targets: Tensor,
        row_weights: np.ndarray,
        settings: ProgramSettings,
        observer: Observer | None,
    ) -> None:
        witnesses = self.draw_witnesses(sequences.n_features, _seed(self.random_state))
        weights = torch.from_numpy(row_weights)
        self.trained_ = train(witnesses.to(self.device), sequences, targets, settings, weights, observer)
        self.network_ = self.trained_.network

    def draw_witnesses(self, n_features: int, seed: int) -> Hidden:
        """Witnesses of the family and shape that the parameters describe."""
        variant = WITNESSES[self.witnesses]
        hidden = gaussian(self._architecture(n_features), generator_from_seed(seed), variant)  # type: ignore[arg-type]
        return with_constant(hidden) if self.intercept else hidden

    def sequences(self, X: Any) -> Sequences:
        """`X`, of any accepted form, as the fitted network is shown it."""
        check_is_fitted(self)
        return self._read(X, fitting=False)

    def _scores(self, X: Any) -> tuple[Tensor, Sequences]:
        sequences = self.sequences(X)
        return scores(self.network_, sequences).cpu(), sequences

    def _shape_like(self, rows: np.ndarray, sequences: Sequences) -> Any:
        """Rows as users gave labels: one a sequence, or (n, T) / a list of (T_i,) a step."""
        return sequences.unflatten(rows) if self.per_step else rows


def _check_device(device: Any) -> None:
    try:
        if torch.device(device).type == "meta":
            raise TypeError("meta tensors hold no numbers")
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(f"device {device!r} is not to be had here: {str(error).splitlines()[0]}") from error


def _is_sequential(X: Any) -> bool:
    """Whether X is (n, T, d) or a list of (T_i, d), rather than 2-D (or an array that `as_sequences` refuses)."""
    if isinstance(X, (list, tuple)):
        return len(X) > 0 and all(np.ndim(x) == 2 for x in X)
    return getattr(X, "ndim", 2) >= 3


def _seed(random_state: Any) -> int:
    """An integer `random_state` is itself the seed, so that seed 0 names the same network everywhere."""
    if isinstance(random_state, (int, np.integer)):
        return check_integer("random_state", random_state, minimum=0, maximum=np.iinfo(np.int64).max)
    try:
        return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
    except ValueError as error:
        raise ValueError(f"random_state must be an integer, a numpy RandomState or None: {error}") from error
