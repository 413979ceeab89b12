"""What the estimators share: settings, reading input, drawing witnesses, training, running."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from convexsnn.bounds import NetworkFamily
from convexsnn.certificate import Certificate
from convexsnn.checks import check_choice, check_flag, check_integer, check_share
from convexsnn.estimators.arguments import check_device, is_sequential, read_settings, seed_of
from convexsnn.estimators.exactly import train_exact_path
from convexsnn.estimators.examples import Examples, held_out
from convexsnn.exact import ExactSettings, bound_network, check_cost
from convexsnn.families import GAUSSIAN, Drawn, Request, check_witnesses, draw_witnesses, is_exact, is_searched
from convexsnn.global_bound import GlobalBound
from convexsnn.network import Hidden, Network
from convexsnn.search import Round, SearchSettings
from convexsnn.selection import Betas, PathPoint, Score, Validation, is_several, read_betas, train_path
from convexsnn.sequences import Sequences, as_sequences
from convexsnn.simulation import scores
from convexsnn.solvers import Status
from convexsnn.training import Observer, ProgramSettings, Trained, generator_from_seed, train
from convexsnn.witnesses import Architecture, gaussian, with_constant

# The beta for which witnesses are trained that go before a path of betas.
DRAWN_FOR_PATH = 0.01


class SpikingEstimator(BaseEstimator, ABC):
    """What classifier and regressor share: reading input, drawing witnesses, training, running."""

    network_: Network
    trained_: Trained
    beta_: float
    path_: list[PathPoint]
    history_: list[Round]
    stopped_: str | None

    def __init__(
        self,
        *,
        loss: str = "auto",
        penalty: str = "l1",
        beta: float | Sequence[float] | str = 0.1,
        rho: float | None = None,
        validation_fraction: float = 0.2,
        witnesses: str | Hidden = "search",
        search: SearchSettings | Mapping[str, Any] | None = None,
        exact: ExactSettings | Mapping[str, Any] | None = None,
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
        self.validation_fraction = validation_fraction
        self.witnesses = witnesses
        self.search = search
        self.exact = exact
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
        betas = read_betas(self.beta)
        if is_several(betas) and self.rho is not None:
            raise ValueError("rho takes the place of beta: leave it None when there are several betas")
        width = self.last if is_searched(self.witnesses) or is_exact(self.witnesses) else None
        # Until one of several is picked, any of them describes the program, apart from its rho.
        beta = betas[0] if betas else 1.0
        if is_several(betas):
            beta = getattr(self, "beta_", beta)
        return ProgramSettings(loss, self.penalty, beta, self.rho, self.tol, self.max_iter, width=width)

    def check_settings(self) -> None:
        """Raise on any bad setting that does not depend on the data, before work is done on it."""
        for flag in ("recurrent", "bias", "per_step", "intercept"):
            check_flag(flag, getattr(self, flag))
        check_witnesses(self.witnesses, self._architecture(n_features=1))
        read_settings("search", self.search, SearchSettings)
        read_settings("exact", self.exact, ExactSettings)
        if is_exact(self.witnesses) and str(self.device) != "cpu":
            raise ValueError(f"device must be 'cpu' for witnesses='exact', not {self.device!r}")
        check_integer("timesteps", self.timesteps)
        check_share("validation_fraction", self.validation_fraction, open_minimum=True)
        check_device(self.device)

    def _forget(self) -> None:
        """Drop what an earlier fit left, so that a fit that fails leaves an unfitted estimator."""
        for name in [name for name in vars(self) if name.endswith("_") and not name.startswith("_")]:
            delattr(self, name)

    @abstractmethod
    def program_settings(self) -> ProgramSettings:
        """The convex program that these parameters describe; of several betas, the one that was picked."""

    @abstractmethod
    def _targets(self, y: Any, sequences: Sequences) -> Tensor:
        """`y` as the fitted estimator's program has it, (rows, C)."""

    @abstractmethod
    def _score_rows(self, targets: Tensor, S: Tensor, weights: np.ndarray) -> float:
        """What `score` says of outputs S (rows, C)."""

    def score_outputs(self, targets: Tensor, S: Tensor) -> float:
        """What `score` says of outputs S (rows, C), where the targets, as `training_rows` gives them, are (rows, C)."""
        return self._score_rows(targets, S, np.ones(len(targets)))

    def _strata(self, examples: Examples) -> np.ndarray:
        """The stratum of each sequence, for the split of `validation_fraction`."""
        return np.zeros(len(examples.sequences), dtype=np.int64)

    def _begin(self, X: Any) -> tuple[ProgramSettings, Sequences]:
        """Check everything, forget an earlier fit, read X."""
        self._forget()
        settings = self.program_settings()
        self.check_settings()
        return settings, self._read(X, fitting=True)

    def _read(self, X: Any, *, fitting: bool) -> Sequences:
        """Sequences of any accepted form of X; sets or checks `n_features_in_`."""
        if is_sequential(X):
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
        examples: Examples,
        settings: ProgramSettings,
        validation: Any,
        observer: Observer | None,
        checkpoint: str | Path | None = None,
    ) -> None:
        """Train along the betas, pick one, and train on all examples when some were held out for the pick."""
        betas, seed, observer = read_betas(self.beta), seed_of(self.random_state), observer or Observer()
        held = None if validation is None else self._read_validation(validation, examples.targets.shape[1])
        training = examples
        if split := is_several(betas) and held is None:
            mask = held_out(self._strata(examples), self.validation_fraction, seed)
            training, held = examples.take(~mask), examples.take(mask)
        validated = None if held is None else Validation(held.sequences, self._scorer(held))
        if is_exact(self.witnesses):
            self._train_exactly(examples, training, settings, betas, validated, observer, split=split)
            return
        # Families that train for a beta do so for the smallest: a penalty too large leaves few neurons of use.
        drawn_for = replace(settings, beta=betas[-1] if betas else DRAWN_FOR_PATH)
        drawn = self._draw_witnesses(training, drawn_for, validated, observer, checkpoint)
        witnesses = with_constant(drawn.hidden) if self.intercept else drawn.hidden
        path = train_path(
            witnesses,
            training.sequences,
            training.targets,
            settings,
            betas,
            self._scorer(training),
            validation=validated,
            row_weights=torch.from_numpy(training.row_weights),
            observer=observer,
            # The search has all but solved the program of the smallest beta.
            start=None if is_several(betas) else _start(drawn, witnesses),
        )
        trained = path.trained
        if split:
            observer.begin(f"beta {path.beta:.3g} on all sequences")
            settings, weights = replace(settings, beta=path.beta), torch.from_numpy(examples.row_weights)
            trained = train(witnesses, examples.sequences, examples.targets, settings, weights, observer, trained.W)
        self.beta_, self.path_ = path.beta, list(path.points)
        self.history_ = [] if drawn.searched is None else list(drawn.searched.history)
        self.stopped_ = None if drawn.searched is None else drawn.searched.stopped
        self.trained_, self.network_ = trained, trained.network

    def _train_exactly(
        self,
        examples: Examples,
        training: Examples,
        settings: ProgramSettings,
        betas: Betas,
        validation: Validation | None,
        observer: Observer,
        *,
        split: bool,
    ) -> None:
        """The same over all networks of the architecture's family; `split` says that `training` is a part."""
        architecture = self._architecture(examples.sequences.n_features)
        family = NetworkFamily.of_architecture(architecture, intercept=bool(self.intercept))
        how = read_settings("exact", self.exact, ExactSettings)
        if split and how.method == "arrangement":  # a refusal should not come after half of the work
            check_cost(family, examples.sequences, how, examples.targets.shape[1])
        path = train_exact_path(training, settings, family, how, betas, self._scorer(training), validation, observer)
        trained = path.trained
        if split and trained.status is not Status.INTERRUPTED:
            observer.begin(f"beta {path.beta:.3g} on all sequences")
            last = train_exact_path(
                examples, settings, family, how, (path.beta,), self._scorer(examples), None, observer
            )
            trained = last.trained
        self.beta_, self.path_ = path.beta, list(path.points)
        self.history_, self.stopped_ = [], None
        self.trained_, self.network_ = trained, trained.network

    def _scorer(self, examples: Examples) -> Score:
        return lambda S: self._score_rows(examples.targets, S, examples.score_weights)

    def _read_validation(self, validation: Any, n_outputs: int) -> Examples:
        """Explicit validation data as examples of equal weight; ValueError naming the argument."""
        if not isinstance(validation, (tuple, list)) or len(validation) != 2:
            raise ValueError("validation must be a pair (X_val, y_val)")
        X, y = validation
        try:
            sequences = self._read(X, fitting=False)
            targets = self._targets(y, sequences)
        except ValueError as error:
            raise ValueError(f"validation: {error}") from error
        if targets.shape[1] != n_outputs:
            raise ValueError(f"validation: y has {targets.shape[1]} outputs, but y in fit has {n_outputs}")
        if len(targets) < 2:
            raise ValueError("validation must hold at least two labels")
        ones = np.ones(len(targets))
        return Examples(sequences, targets, ones, np.ones(len(sequences)), bool(self.per_step))

    def tighten_bound(
        self,
        X: Any,
        y: Any,
        *,
        method: str = "arrangement",
        limit: int = ExactSettings.limit,
        time_limit: float = ExactSettings.time_limit,
        observer: Observer | None = None,
    ) -> GlobalBound:
        """Bound the objective of every network of the fitted neurons' kind; `certificate_` keeps it where it is better.

        Every fit has the universal bound, over networks of any kind. This one is over those of one hidden layer of the
        kind of neurons that the fit has, any number of them, any weights; it is often far higher.

        Parameters
        ----------
        X, y
            The training data.
        method : {"arrangement", "pricing"}
            By all patterns that neurons of this kind can have on X, or by branch and bound, which need no
            enumeration and stop with what is proved when time is up.
        limit, time_limit
            "arrangement" is refused beforehand where it would visit more patterns, or is expected to take more seconds;
            "pricing" begins no round after that time.
        observer : Observer, optional
            Told of the progress.

        Returns
        -------
        GlobalBound
            That of `certificate_`: the better of the old and the new.

        Raises
        ------
        ValueError
            When X and y are not the training data, or the network is not of one hidden layer of neurons that do not
            feed one another, in float64, with 0/1 columns, or when it would cost too much: says what it would cost.
        """
        sequences, targets = self.training_rows(X, y)
        how = ExactSettings(method, limit, time_limit)
        settings, intercept = self.program_settings(), bool(self.intercept)
        self.trained_ = bound_network(
            self.trained_, sequences, targets, settings, how, intercept=intercept, observer=observer
        )
        assert self.certificate_.global_bound is not None
        return self.certificate_.global_bound

    def training_rows(self, X: Any, y: Any) -> tuple[Sequences, Tensor]:
        """`X` and `y` as the convex program of this fitted estimator has them: sequences, and encoded targets."""
        sequences = self.sequences(X)
        return sequences, self._targets(y, sequences)

    def _draw_witnesses(
        self,
        examples: Examples,
        settings: ProgramSettings,
        validation: Validation | None,
        observer: Observer,
        checkpoint: str | Path | None,
    ) -> Drawn:
        """Witnesses of the families and shape that the parameters describe, drawn for these examples."""
        request = Request(
            self._architecture(examples.sequences.n_features),
            examples.sequences,
            examples.targets,
            torch.from_numpy(examples.row_weights / examples.row_weights.sum()),
            settings,
            seed_of(self.random_state),
            validation,
            self.device,
            observer,
            read_settings("search", self.search, SearchSettings),
            bool(self.intercept),
            checkpoint,
        )
        return draw_witnesses(self.witnesses, request)

    def describes(self, hidden: Hidden) -> bool:
        """Whether fitting with these parameters could have given witnesses of this shape, with these neurons."""
        facts = (hidden.n_features, hidden.every_step)
        if isinstance(self.witnesses, Hidden) or self.witnesses not in GAUSSIAN:
            return facts == (self.n_features_in_, bool(self.per_step))
        expected = gaussian(self._architecture(self.n_features_in_), generator_from_seed(0))
        return (with_constant(expected) if self.intercept else expected).same_shape(hidden)

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


def _start(drawn: Drawn, witnesses: Hidden) -> Tensor | None:
    """Weights of the witnesses, of which the last may be an always-firing neuron, that a search came to."""
    if drawn.searched is None:
        return None
    W = drawn.searched.network.W
    return torch.cat([W, W.new_zeros(witnesses.n_last - len(W), W.shape[1])]).to(witnesses.device)
