"""SpikingRegressor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from torch import Tensor

from convexsnn.caller import isolated
from convexsnn.checks import check_choice
from convexsnn.estimators.base import SpikingEstimator
from convexsnn.estimators.targets import real_targets, sequence_weights, spread_weights, weighty
from convexsnn.losses import LOSSES, Loss
from convexsnn.observer import Observer
from convexsnn.sequences import Sequences
from convexsnn.validation import RSquared


class SpikingRegressor(RegressorMixin, SpikingEstimator):
    """Regressor: a spiking network whose linear readout is optimal for its hidden neurons, with a certificate.

    The loss is the squared error, unless another that can learn real targets has been added to `convexsnn.losses`.

    Parameters
    ----------
    loss : {"auto", "squared"}
        "auto" is squared.
    witnesses, penalty, beta, rho, columns, validation_fraction, per_step, intercept, timesteps, missing
        As in `SpikingClassifier`; held out sequences are not stratified.
    tol, max_iter, device, random_state
        As in `SpikingClassifier`.

    Attributes
    ----------
    network_, certificate_, n_iter_, dual_gap_, n_features_in_, trained_, beta_, path_, history_, stopped_
        As in `SpikingClassifier`.

    References
    ----------
    arXiv 2605.08022.

    Examples
    --------
    >>> import numpy as np
    >>> from convexsnn import Search, SpikingRegressor
    >>> X = np.random.default_rng(0).normal(size=(200, 5, 3))
    >>> y = X[:, -1, 0] + 1.0
    >>> model = SpikingRegressor(witnesses=Search(effort=1e9), beta=0.01, random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.9)
    True
    """

    @isolated
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        lengths: Any = None,
        validation: Any = None,
        observer: Observer | None = None,
        checkpoint: str | Path | None = None,
    ) -> SpikingRegressor:
        """Find hidden neurons, solve for their readout, certify it, and reconstruct the network.

        Parameters
        ----------
        X : array of shape (n, T, d), list of n arrays of shape (T_i, d), or array of shape (n, d)
        y : array of shape (n,) or (n, C); with per_step (n, T), (n, T, C) or a list of (T_i,) or (T_i, C) arrays
        sample_weight : array of shape (n,), optional
        lengths : int array of shape (n,), optional
            The steps of each sequence, where X is (n, T, d) and padded at the end; the rest is ignored.
        validation : tuple (X_val, y_val), optional
            Not trained on. Scores the betas, instead of held out sequences; and a search leaves out the columns that
            these do not miss.
        observer : Observer, optional
        checkpoint : path, optional
            Of a search, as in `SpikingClassifier.fit`.

        Raises
        ------
        ValueError, TypeError
            Bad settings or data; the message names the argument.
        """
        sequences = self._begin(X, lengths)
        values = real_targets(y, sequences, self.per_step, type(self).__name__)
        self.single_output_ = values.ndim == 1
        weights = sequence_weights(sample_weight, sequences)
        weights, sequences, values = weighty(weights, sequences, values, per_step=self.per_step)
        self._train(self._problem(sequences, _columns(values), weights), validation, observer, checkpoint)
        return self

    @property
    def usual_loss(self) -> str:
        """Squared."""
        return "squared"

    @property
    def loss_function(self) -> Loss:
        """The loss that these parameters describe; ValueError unless it can learn real targets."""
        known = [loss.name for loss in LOSSES.values() if "reals" in loss.target_kinds]
        return LOSSES[check_choice("loss", self.recipe.loss, known)]

    @property
    def score_function(self) -> RSquared:
        """R^2."""
        return RSquared()

    def _targets(self, y: Any, sequences: Sequences) -> Tensor:
        return _columns(real_targets(y, sequences, self.per_step, type(self).__name__))

    @isolated
    def predict(self, X: Any, *, lengths: Any = None) -> Any:
        """Values of the shape that y had in `fit`."""
        S, sequences = self._scores(X, lengths)
        rows = S.numpy()
        return self._shape_like(rows[:, 0] if self.single_output_ else rows, sequences)

    @isolated
    def score(self, X: Any, y: Any, sample_weight: Any = None, *, lengths: Any = None) -> float:
        """R^2 over sequences, or over all steps with per_step."""
        S, sequences = self._scores(X, lengths)
        values = real_targets(y, sequences, self.per_step, type(self).__name__)
        weights = spread_weights(sequence_weights(sample_weight, sequences), sequences, self.per_step)
        return float(r2_score(_columns(values), S.numpy(), sample_weight=weights))


def _columns(values: np.ndarray) -> Tensor:
    """Targets as a float64 tensor of shape (rows, C)."""
    return torch.from_numpy(values.reshape(len(values), -1))
