"""SpikingRegressor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from torch import Tensor

from convexsnn.caller import isolated
from convexsnn.checks import check_choice, check_integer
from convexsnn.estimators.arguments import labels_beside
from convexsnn.estimators.averaging import with_members
from convexsnn.estimators.base import SpikingEstimator
from convexsnn.estimators.bypass import Bypass
from convexsnn.estimators.recipe import AUTO, Usual
from convexsnn.estimators.target_scale import TargetScale
from convexsnn.estimators.targets import real_targets, sequence_weights, spread_weights, weighty
from convexsnn.estimators.watching import with_observers
from convexsnn.families import Kernels, WitnessFamily
from convexsnn.losses import LOSSES, Loss
from convexsnn.network import Hidden, Network
from convexsnn.observer import Observer
from convexsnn.ranks import Ranks
from convexsnn.sequences import Sequences, SequenceSource, in_memory
from convexsnn.validation import RSquared


class SpikingRegressor(RegressorMixin, SpikingEstimator):
    """A regressor: a spiking network whose output weights are optimal for its hidden neurons, with a certificate.

    The loss is the squared error, unless another that can learn real targets has been added to `convexsnn.losses`.

    Each output of y is divided by its standard deviation before training, so beta means the same in every unit. With
    `intercept` its mean is also subtracted, and the neuron that always fires adds it again. `network_` and its exports
    answer in the unit of y, since both steps are part of their output weights. The certificate is about the scaled
    targets. The network that answers in their unit is ``trained_.network``.

    Parameters
    ----------
    witnesses, penalty, beta, columns : "auto", or as in `SpikingClassifier`
        If the data are sequences of real numbers, "auto" stands for 2000 kernels and the ridge penalty, and several
        betas are compared. The output reads three numbers of each neuron: how often it fires, whether it fires at the
        last step, and its weighted input at the last step. The 200 neurons with the largest weights are kept. For all
        other data "auto" is a search.
    loss : {"auto", "squared"}
        The loss that training lowers. "auto" is squared.
    intercept : bool or "free"
        Whether the output also reads a neuron that always fires. The mean of the targets is part of its weight, and is
        not penalised. The rest of its weight is penalised like any other, except with "free". Readouts that count
        spikes cannot read this neuron: pass False with them.
    rho, validation_fraction, per_step, timesteps, target, missing
        As in `SpikingClassifier`, except that there are no classes whose shares are kept.
    bypass : int
        A linear regression on the features at this many last steps is part of the network. Spikes learn what the
        regression leaves, and the certificate is about that. Neurons that never spike pass the regression on to the
        outputs by their membrane potentials. With 0 there is no regression.
    tol, max_iter, device, random_state, members, verbose
        As in `SpikingClassifier`.

    Attributes
    ----------
    bypass_ : Bypass or None
        The linear regression. It is None without `bypass`.
    target_scale_ : TargetScale
        The mean and the standard deviation by which each output of y is scaled.
    network_, certificate_, n_iter_, dual_gap_, n_features_in_, trained_, beta_, path_, history_, stopped_, members_
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
        intercept: bool | str = True,
        timesteps: int = 8,
        target: str | None = None,
        missing: str = "refuse",
        bypass: int = 0,
        tol: float = 1e-6,
        max_iter: int = 1000,
        device: str = "cpu",
        random_state: Any = None,
        members: int = 1,
        verbose: bool = False,
    ) -> None:
        super().__init__(
            witnesses=witnesses,
            loss=loss,
            penalty=penalty,
            beta=beta,
            rho=rho,
            columns=columns,
            validation_fraction=validation_fraction,
            per_step=per_step,
            intercept=intercept,
            timesteps=timesteps,
            target=target,
            missing=missing,
            tol=tol,
            max_iter=max_iter,
            device=device,
            random_state=random_state,
            members=members,
            verbose=verbose,
        )
        self.bypass = bypass

    def check_settings(self) -> None:
        """Raise on any bad setting that does not depend on the data, before work is done on it."""
        super().check_settings()
        check_integer("bypass", self.bypass, minimum=0)

    @isolated
    @with_observers
    @with_members
    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        lengths: Any = None,
        validation: Any = None,
        observer: Observer | None = None,
        checkpoint: str | Path | None = None,
        ranks: Ranks | None = None,
    ) -> SpikingRegressor:
        """Find hidden neurons, solve for their readout, certify it, and reconstruct the network.

        Parameters
        ----------
        X : array of shape (n, T, d), list of n arrays of shape (T_i, d), or array of shape (n, d); or Batches
            Of batches (`as_batches`) one is in memory at a time; they bring their own labels and weights.
        y : array of shape (n,) or (n, C); with per_step (n, T), (n, T, C) or a list of (T_i,) or (T_i, C) arrays
        sample_weight : array of shape (n,), optional
        lengths : int array of shape (n,), optional
            The steps of each sequence, where X is (n, T, d) and padded at the end; the rest is ignored.
        validation : tuple (X_val, y_val), optional
            Sequences and targets that are not trained on. They decide between betas, instead of held out sequences. A
            search also leaves out columns as long as the score on them does not fall.
        observer : Observer, optional
        checkpoint : path, optional
            The file of a search, or a folder for columns, as in `SpikingClassifier.fit`.
        ranks : Ranks, optional
            Processes that share the work, as in `SpikingClassifier.fit`.

        Raises
        ------
        ValueError, TypeError
            Bad settings or data; the message names the argument.
        """
        y, sample_weight = labels_beside(X, y, sample_weight)
        sequences = self._begin(X, lengths)
        values = real_targets(y, sequences, self.per_step, type(self).__name__)
        self.single_output_ = values.ndim == 1
        weights = sequence_weights(sample_weight, sequences)
        weights, sequences, values = weighty(weights, sequences, values, per_step=self.per_step)
        of_rows = spread_weights(weights, sequences, self.per_step)
        self.bypass_ = self._bypass_of(sequences, values, of_rows) if self.bypass else None
        values = self._left(values, sequences)
        self.target_scale_ = self._scale_of(values, of_rows)
        self._train(
            self._problem(sequences, self.target_scale_.scaled(values), weights),
            validation,
            observer,
            checkpoint,
            ranks,
        )
        return self

    def _bypass_of(self, sequences: SequenceSource, values: np.ndarray, weights: np.ndarray) -> Bypass:
        """The linear regression of values (rows, C), or (rows,), on the last steps of the sequences."""
        return Bypass.of(
            in_memory(sequences), values.reshape(len(values), -1), weights, self.bypass,
            per_step=bool(self.per_step), centred=bool(self.intercept),
        )  # fmt: skip

    def _left(self, values: np.ndarray, sequences: SequenceSource) -> np.ndarray:
        """What the linear regression leaves of values (rows, C), or (rows,)."""
        if self.bypass_ is None:
            return values
        outputs = self.bypass_.outputs(in_memory(sequences), per_step=bool(self.per_step))
        if values.size != outputs.size:
            own = values.size // len(outputs)
            raise ValueError(f"y has {own} outputs, but y in fit has {outputs.shape[1]} outputs")
        return values - outputs.reshape(values.shape)

    def beside(self, sequences: Sequences) -> Tensor:
        """See `SpikingEstimator`: the linear regression, in the units of the program."""
        if self.bypass_ is None:
            return super().beside(sequences)
        outputs = torch.from_numpy(self.bypass_.outputs(sequences, per_step=bool(self.per_step)))
        return outputs / torch.tensor(self.target_scale_.unit, dtype=torch.float64)

    def _scale_of(self, values: np.ndarray, weights: np.ndarray) -> TargetScale:
        """The scale of targets, which is centred where the network has an always-firing neuron to add the mean back."""
        return TargetScale.of(values.reshape(len(values), -1), weights, centred=bool(self.intercept))

    def _answering(self, network: Network) -> Network:
        """See `SpikingEstimator`: in the units of y."""
        answering = self.target_scale_.unfolded(network)
        return answering if self.bypass_ is None else self.bypass_.added_to(answering)

    @property
    def usual(self) -> Usual:
        """The squared error, and some 200 neurons of short and long kernels, which are also read at the last step."""
        kernels = Kernels(last=2000, lengths=(1, 2, 3, 5, 9), readouts=("rate", "spike", "analog"))
        return Usual("squared", kernels, columns=200 * len(kernels.readouts))

    @property
    def loss_function(self) -> Loss:
        """The loss that these parameters describe; ValueError unless it can learn real targets."""
        known = [loss.name for loss in LOSSES.values() if "reals" in loss.target_kinds]
        return LOSSES[check_choice("loss", self.recipe.loss, known)]

    @property
    def score_function(self) -> RSquared:
        """R^2."""
        return RSquared()

    def _targets(self, y: Any, sequences: SequenceSource) -> Tensor:
        values = real_targets(y, sequences, self.per_step, type(self).__name__)
        return self.target_scale_.scaled(self._left(values, sequences))

    @isolated
    def predict(self, X: Any, *, lengths: Any = None) -> Any:
        """Values of the shape that y had in `fit`."""
        S, sequences = self._scores(X, lengths)
        rows = S.numpy()
        return self._shape_like(rows[:, 0] if self.single_output_ else rows, sequences)

    @isolated
    def score(self, X: Any, y: Any = None, sample_weight: Any = None, *, lengths: Any = None) -> float:
        """R^2 over sequences, or over all steps with per_step."""
        y, sample_weight = labels_beside(X, y, sample_weight)
        S, sequences = self._scores(X, lengths)
        values = real_targets(y, sequences, self.per_step, type(self).__name__)
        weights = spread_weights(sequence_weights(sample_weight, sequences), sequences, self.per_step)
        return float(r2_score(values.reshape(len(values), -1), S.numpy(), sample_weight=weights))
