"""What the estimators share: settings, reading input, training, running."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from convexsnn import fitting
from convexsnn.caller import isolated
from convexsnn.checks import check_choice, check_flag, check_integer, check_share
from convexsnn.estimators.arguments import check_device, check_intercept, is_free, labels_beside, pair_of, seed_of
from convexsnn.estimators.input_reading import MISSING, InputReader
from convexsnn.estimators.recipe import AUTO, Recipe, Usual, are_real
from convexsnn.estimators.results import Results
from convexsnn.estimators.targets import spread_weights
from convexsnn.estimators.watching import WithCallbacks
from convexsnn.families import Run, WitnessFamily
from convexsnn.losses import Loss
from convexsnn.network import Hidden
from convexsnn.observer import Observer
from convexsnn.penalties import PENALTIES
from convexsnn.problem import Problem
from convexsnn.ranks import Ranks
from convexsnn.sequences import Sequences, SequenceSource
from convexsnn.simulation import scores
from convexsnn.solvers import SolverOptions
from convexsnn.validation import Score, Validation


class SpikingEstimator(InputReader, Results, WithCallbacks, ABC):
    """What classifier and regressor share: settings, reading input, training, running."""

    recipe_: Recipe

    def __init__(
        self,
        *,
        witnesses: str | WitnessFamily | Hidden = AUTO,
        loss: str = AUTO,
        penalty: str = AUTO,
        beta: float | Sequence[float] | str = AUTO,
        rho: float | None = None,
        columns: int | None = None,
        validation_fraction: float = 0.2,
        per_step: bool = False,
        intercept: bool | str = False,
        timesteps: int = 8,
        target: str | None = None,
        missing: str = "refuse",
        tol: float = 1e-6,
        max_iter: int = 1000,
        device: str = "cpu",
        random_state: Any = None,
        members: int = 1,
        verbose: bool = False,
    ) -> None:
        self.witnesses = witnesses
        self.loss = loss
        self.penalty = penalty
        self.beta = beta
        self.rho = rho
        self.columns = columns
        self.validation_fraction = validation_fraction
        self.per_step = per_step
        self.intercept = intercept
        self.timesteps = timesteps
        self.target = target
        self.missing = missing
        self.tol = tol
        self.max_iter = max_iter
        self.device = device
        self.random_state = random_state
        self.members = members
        self.verbose = verbose

    @property
    def recipe(self) -> Recipe:
        """The settings with what is "auto" chosen: by the data of fit, and before it as for symbols."""
        return vars(self).get("recipe_") or Recipe.of(self, self.usual)

    @isolated
    def recipe_for(self, X: Any, *, lengths: Any = None) -> Recipe:
        """What "auto" stands for on sequences `X`, of any form that `fit` takes, with one label each.

        Raises
        ------
        ValueError
            On bad settings or data.
        """
        reader = cast(SpikingEstimator, clone(self))
        reader._begin(X, lengths)
        return reader.recipe

    @property
    def family(self) -> WitnessFamily:
        """Where hidden weights come from."""
        return self.recipe.witnesses

    @property
    @abstractmethod
    def usual(self) -> Usual:
        """What "auto" stands for."""

    @property
    @abstractmethod
    def loss_function(self) -> Loss:
        """The loss that these parameters describe, and, once they are known, the labels; ValueError on a bad one."""

    @property
    @abstractmethod
    def score_function(self) -> Score:
        """How outputs are scored."""

    def check_settings(self) -> None:
        """Raise on any bad setting that does not depend on the data, before work is done on it."""
        _ = self.loss_function
        check_choice("missing", self.missing, MISSING)
        self.recipe.regularisation(self.rho)
        self._options()
        for flag in ("per_step", "verbose"):
            check_flag(flag, getattr(self, flag))
        check_intercept(self.intercept)
        check_integer("timesteps", self.timesteps)
        check_share("validation_fraction", self.validation_fraction, open_minimum=True)
        check_integer("members", self.members)
        check_device(self.device)
        self.family.check(every_step=bool(self.per_step), device=str(self.device))

    def _options(self) -> SolverOptions:
        return SolverOptions(self.tol, self.max_iter)

    def _forget(self) -> None:
        """Drop what an earlier fit left, so that a fit that fails leaves an unfitted estimator."""
        for name in [name for name in vars(self) if name.endswith("_") and not name.startswith("_")]:
            delattr(self, name)

    @abstractmethod
    def _targets(self, y: Any, sequences: SequenceSource) -> Tensor:
        """`y` as the fitted estimator's program has it, (rows, C)."""

    def beside(self, sequences: Sequences) -> Tensor:  # noqa: ARG002 - most have nothing
        """What there is beside the program, to be added to its targets and outputs: float64 (rows, C), or a zero."""
        return torch.zeros((), dtype=torch.float64)

    def score_outputs(self, targets: Tensor, S: Tensor) -> float:
        """What `score` says of outputs S (rows, C), where the targets, as `problem` has them, are (rows, C)."""
        return self.score_function(targets, S, torch.ones(len(targets), dtype=torch.float64))

    def _begin(self, X: Any, lengths: Any) -> SequenceSource:
        """Check everything, forget an earlier fit, read X."""
        self._forget()
        self.check_settings()
        sequences = self._source(X, lengths, fitting=True)
        real = self.input_form_.sequences and are_real(sequences.sample, per_step=bool(self.per_step))
        self.recipe_ = Recipe.of(self, self.usual, len(sequences) if real else 0)
        return sequences

    def _train(
        self,
        problem: Problem,
        validation: Any,
        observer: Observer | None,
        checkpoint: str | Path | None,
        ranks: Ranks | None,
    ) -> None:
        """Train on a problem whose rho is still to be chosen, and keep what came of it."""
        if validation is not None:
            problem = replace(problem, validation=self._read_validation(validation, problem.n_outputs))
        run = Run(seed_of(self.random_state), self.device, self._options(), observer or Observer(), checkpoint)
        regularisation = self.recipe.regularisation(self.rho)
        self.recipe_ = replace(self.recipe, witnesses=self.family.suited(problem, run))
        share = self.validation_fraction
        fitted = fitting.fit(problem.over(ranks), self.family, regularisation, run, validation_fraction=share)
        self.beta_, self.path_ = fitted.beta, list(fitted.path)
        self.history_, self.stopped_ = list(fitted.history), fitted.stopped
        self.adopt(fitted.trained)

    def _problem(
        self, sequences: SequenceSource, targets: Tensor, per_sequence: np.ndarray, balance: Any = 1.0
    ) -> Problem:
        """The problem of weighted sequences; ValueError where the weights of their rows are not positive.

        Parameters
        ----------
        sequences : SequenceSource
        targets : float64 tensor of shape (rows, C)
        per_sequence : float64 array of shape (n,)
            Positive weights.
        balance : float64 array of shape (rows,), or 1
            Further factors of the weights of rows, which do not count in scores.
        """
        scored = spread_weights(per_sequence, sequences, self.per_step)
        row_weights = scored * balance
        if not np.isfinite(row_weights.sum()):
            raise ValueError("sample_weight and class_weight must be finite, and so must the sum of their products")
        if not (row_weights > 0).all():
            raise ValueError("class_weight must be positive for every class: drop the examples of a class instead")
        return Problem(
            sequences,
            targets,
            self.loss_function,
            PENALTIES[self.recipe.penalty],
            1.0,
            torch.from_numpy(row_weights),
            every_step=bool(self.per_step),
            intercept=bool(self.intercept),
            free_intercept=is_free(self.intercept),
            score=self.score_function,
            score_weights=torch.from_numpy(scored),
        )

    def _read_validation(self, validation: Any, n_outputs: int) -> Validation:
        """Explicit validation data, of equal weight; ValueError naming the argument."""
        X, y = pair_of("validation", validation)
        try:
            y, _ = labels_beside(X, y)
            sequences = self._source(X, fitting=False)
            targets = self._targets(y, sequences)
        except ValueError as error:
            raise ValueError(f"validation: {error}") from error
        if targets.shape[1] != n_outputs:
            raise ValueError(f"validation: y has {targets.shape[1]} outputs, but y in fit has {n_outputs}")
        if len(targets) < 2:
            raise ValueError("validation must hold at least two labels")
        return Validation(sequences, targets, self.score_function)

    @isolated
    def problem(self, X: Any, y: Any = None) -> Problem:
        """The problem that this fitted estimator solved, for its training data `X` and `y`.

        Rows are weighted as they were in training, where `X` and `y` have as many of them.
        """
        self.check_one_fit("the problem")
        y, _ = labels_beside(X, y)
        sequences = self._source(X, fitting=False)
        targets, trained = self._targets(y, sequences), self.trained_
        n_last = self.family.n_last_of(trained.witnesses)
        rho = self.recipe.regularisation(self.rho).rho_of(self.beta_, n_last)
        weights = trained.row_weights.cpu() if len(trained.row_weights) == len(targets) else None
        return Problem(
            sequences,
            targets,
            self.loss_function,
            PENALTIES[self.recipe.penalty],
            rho,
            weights,
            every_step=bool(self.per_step),
            intercept=bool(self.intercept),
            free_intercept=is_free(self.intercept),
            score=self.score_function,
        )

    def describes(self, hidden: Hidden) -> bool:
        """Whether fitting with these parameters could have given witnesses of this shape, with these neurons."""
        if (hidden.n_features, hidden.every_step) != (self.n_features_in_, bool(self.per_step)):
            return False
        return self.family.describes(hidden, intercept=bool(self.intercept))

    def shown(self, X: Any, *, lengths: Any = None) -> SequenceSource:
        """`X` as the fitted network is shown it, batches too; warns where its values are far from those of `fit`."""
        check_is_fitted(self)
        sequences = self._source(X, lengths, fitting=False)
        self.input_form_.seen.warn_of_range(sequences.sample)
        return sequences

    def _scores(self, X: Any, lengths: Any = None) -> tuple[Tensor, SequenceSource]:
        sequences = self.shown(X, lengths=lengths)
        return scores(self.network_, sequences).cpu(), sequences

    def _shape_like(self, rows: np.ndarray, sequences: SequenceSource) -> Any:
        """Rows as users gave labels: one a sequence, or (n, T) / a list of (T_i,) a step."""
        return sequences.unflatten(rows) if self.per_step else rows
