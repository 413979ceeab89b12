"""SpikingClassifier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from sklearn.base import ClassifierMixin
from sklearn.utils.metaestimators import available_if
from torch import Tensor

from convexsnn.caller import isolated
from convexsnn.checks import check_choice
from convexsnn.estimators.arguments import labels_beside
from convexsnn.estimators.averaging import with_members
from convexsnn.estimators.base import SpikingEstimator
from convexsnn.estimators.classes import (
    Classes,
    balance_of,
    class_index,
    class_labels_of,
    distinct_classes,
    heads_of,
    most_classes,
    read_output_weights,
    same_answers,
)
from convexsnn.estimators.recipe import AUTO, Recipe, Usual
from convexsnn.estimators.targets import class_labels, sequence_weights, spread_weights, weighty
from convexsnn.estimators.watching import with_observers
from convexsnn.families import Kernels, WitnessFamily
from convexsnn.labels import decide, split_heads
from convexsnn.losses import LOSSES, Head, Loss, ProbabilisticLoss, loss_of
from convexsnn.network import Hidden
from convexsnn.notices import warn
from convexsnn.observer import Observer
from convexsnn.ranks import Ranks
from convexsnn.sequences import SequenceSource
from convexsnn.validation import Accuracy


def classifier_loss(name: Any, heads: tuple[Head, ...] = ()) -> Loss:
    """The loss of this name; ValueError unless it can learn classes."""
    known = [loss.name for loss in LOSSES.values() if "classes" in loss.target_kinds]
    return loss_of(check_choice("loss", name, known), heads)


def _models_probabilities(estimator: SpikingClassifier) -> bool:
    """Whether there are probabilities; AttributeError, with the way to have some, where the loss models none."""
    name = estimator.recipe.loss
    try:
        loss = classifier_loss(name)
    except ValueError:
        return False  # what is wrong with `loss` is for `fit` to say
    if not isinstance(loss, ProbabilisticLoss):
        raise AttributeError(
            f"loss={name!r} models no probabilities: use loss='logistic' or 'cross_entropy', or have scikit-learn's "
            "CalibratedClassifierCV fit them to the scores"
        )
    return True


class SpikingClassifier(ClassifierMixin, SpikingEstimator):
    """A classifier: a spiking network whose output weights are optimal for its hidden neurons, with a certificate.

    A *column* is what one hidden neuron gives on all training sequences, such as a spike (1) or none (0) for each. The
    output weights are the solution of a convex program over these columns (theory.md). `witnesses` says where the
    hidden neurons come from. Settings that are left at "auto" depend on the data, and `recipe` says what was chosen:

    - Sequences of real numbers, of 8 steps or more and with one label each, are read by 5000 random neurons with delays
      (`Kernels`), of which 1000 are kept. The loss is squared, the penalty is ridge, and several betas are compared.
    - For bits, symbols and everything else, `Search` looks for neurons that lower the objective. Some of its candidates
      are trained with surrogate gradients. All of them are judged by their true spikes.

    A label may have several parts, such as a digit and a carry. The last axis of y then has an entry for each of the H
    parts, and one network gives all answers. The loss is the weighted sum of their cross entropies.

    Parameters
    ----------
    witnesses : "auto", str, WitnessFamily or Hidden
        Where hidden weights come from: a family with its settings, such as ``Search(depth=2, effort=2e10)`` or
        ``Gaussian(last=1000)``, from `convexsnn.families`. A name stands for the family with default settings.
        "kernels" draws random neurons with delays. "search" looks for the neurons that lower the objective most.
        "gaussian", "heterogeneous" and "reservoir" draw random neurons, and "surrogate" trains them first. "exact" is
        for little data. Names are joined by ``+``, as in "surrogate+search". Hidden layers of your own may be passed.
    loss : {"auto", "cross_entropy", "logistic", "hinge", "squared"}
        The loss that training lowers. "auto" is squared for kernels, and otherwise cross_entropy. Only cross_entropy
        takes several outputs. For more than two classes, logistic, hinge and squared learn each class against the rest.
    penalty : {"auto", "l1", "group", "elastic", "ridge"}
        The price of output weights. "auto" is ridge for kernels, and otherwise l1. "l1" sums the absolute weights, and
        "group" the norms of each neuron's weights. "elastic" adds half the sum of all squared weights to group, so many
        neurons keep small weights. It needs witnesses that are drawn or trained (not "search" or "exact") and a smooth
        loss (not hinge). "ridge" is half the sum of all squared weights, without group. It needs the squared loss, and
        witnesses that are drawn or trained.
    beta : float, sequence of float, "path" or "auto"
        The weight of the penalty, more than 0. If you give several, the one with the best score on validation data is
        picked. "path" stands for 20 betas. The first lies just below the level at which all weights are zero, and the
        last is a thousandth of that level. Each is smaller than the one before by the same factor. With ridge there are
        24 betas, each half of the one before. "auto" is "path" for kernels, and otherwise 0.1.
    rho : float, optional
        The weight of the penalty in the convex program, more than 0. It replaces beta. None stands for
        beta / sqrt(P_last), where P_last is the number of neurons of the last layer.
    columns : int, optional
        The output reads at most this many columns. None sets no limit, except 1000 where "auto" is ridge. If there are
        several betas, only those that need no more columns are compared. Ridge gives weight to all columns: those with
        the smallest weights are removed step by step. Up to 100 columns of kernels then learn to answer as all do.
    validation_fraction : float
        The share of the sequences that is held out to compare several betas, where no validation data are given: above
        0 and below 1. These sequences are drawn at random. Classes keep their shares, except with per_step. The beta
        with the best score is picked, and of equal ones the largest. The network is then trained on all sequences. If
        there are at most 2000 sequences and the hidden neurons do not depend on labels (gaussian, heterogeneous,
        reservoir, kernels), every sequence is held out once. Among the betas whose mean score is within one standard
        error of the best, the one with the smallest loss is picked.
    per_step : bool
        Whether every step of a sequence has a label. Otherwise a sequence has one label.
    intercept : bool or "free"
        Whether the output also reads a neuron that always fires. Its weight is penalised like any other. With "free" it
        is not penalised. The families search and exact refuse "free".
    timesteps : int
        The number of steps for which each row of a 2-D X is shown as a constant input, at least 1.
    target : {"torch", "snntorch", "spikingjelly", "norse", "nir"}, optional
        The network can be exported to this target of `convexsnn.export`. Default settings that are not supported there
        give way to the nearest that are, as `recipe` says. A setting of yours that is not supported is an error.
    missing : {"refuse", "carry"}
        With "refuse", missing values (NaN) are an error. With "carry", each is replaced by the last known value of its
        feature in the sequence, or where there is none by the mean of the feature in training. An exported network does
        not replace missing values.
    tol : float
        The relative duality gap to certify, more than 0.
    max_iter : int
        The solver stops after this many outer iterations.
    class_weight : dict, "balanced" or None
        Factors by which the rows of each class count, more than 0. No dict can be given with several outputs.
    output_weights : sequence of H positive numbers, optional
        How much each of several outputs counts in the loss; None gives each the weight 1.
    device : str
        The device on which the work is done, such as "cpu" or "cuda".
    random_state : int, RandomState or None
        The seed from which hidden weights and held-out sequences are drawn.
    members : int
        The network is the mean of this many fits, with seeds from `random_state` on. Each has its own certificate and
        reads at most `columns` columns. Nothing is proved about the mean.
    verbose : bool
        Whether `fit` shows its progress on standard error: as bars, or as lines of text where these cannot be drawn.

    Attributes
    ----------
    network_ : Network
        The trained network. It holds only the neurons that the output needs.
    certificate_ : Certificate
        The objective of the network, and a proved lower bound.
    classes_ : array of shape (n_classes,)
        The classes in ascending order; with several outputs, a list of such arrays.
    n_iter_ : int
        The number of iterations of the solver.
    dual_gap_ : float
        The objective minus its lower bound.
    n_features_in_ : int
        The number d of input features.
    trained_ : Trained
        What the certificate is verified by: hidden neurons, output weights and dual vector.
    beta_ : float
        The picked beta.
    path_ : list of PathPoint
        One record for each beta that was compared, from the largest to the smallest. Its certificate is about the
        sequences that were not held out. There is one record where each was held out once, and none after `quantise`.
    history_ : list of Round
        One record for each round of a search.
    stopped_ : str or None
        The reason for which the search ended; None without a search.
    members_ : tuple of SpikingClassifier
        The fits of which the network is the mean, each with its certificate; empty where there is one fit.

    References
    ----------
    arXiv 2605.08022.

    Examples
    --------
    >>> import numpy as np
    >>> from convexsnn import SpikingClassifier
    >>> bits = np.random.default_rng(0).integers(2, size=(200, 6))
    >>> X, y = np.eye(2)[bits], bits[:, 0] ^ bits[:, -1]
    >>> model = SpikingClassifier(beta=0.01, random_state=0).fit(X, y)
    >>> model.score(X, y)
    1.0
    >>> model.certificate_.relative_gap <= 1e-6
    True
    """

    classes_: Classes

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
        class_weight: dict | str | None = None,
        output_weights: Sequence[float] | None = None,
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
        self.class_weight = class_weight
        self.output_weights = output_weights

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
    ) -> SpikingClassifier:
        """Find hidden neurons, solve for their readout, certify it, and reconstruct the network.

        Parameters
        ----------
        X : array of shape (n, T, d), list of n arrays of shape (T_i, d), or array of shape (n, d); or Batches
            Of batches (`as_batches`) one is in memory at a time; they bring their own labels and weights.
        y : array of shape (n,), or with per_step (n, T) or a list of n arrays of shape (T_i,)
            Labels: integers, strings or booleans. Of H > 1 outputs (n, H), or (n, T, H) or a list of (T_i, H).
        sample_weight : array of shape (n,), optional
            Nonnegative weight of each sequence; sequences of weight zero are as if absent.
        lengths : int array of shape (n,), optional
            The steps of each sequence, where X is (n, T, d) and padded at the end; the rest is ignored.
        validation : tuple (X_val, y_val), optional
            Sequences and labels that are not trained on. They decide between betas, instead of held out sequences. A
            search also leaves out columns as long as the score on them does not fall.
        observer : Observer, optional
            It is told of the progress.
        checkpoint : path, optional
            From it a killed fit goes on: the file of a search, or a folder for the columns of neurons that are drawn.
        ranks : Ranks, optional
            Processes that all make this same call, such as `ProcessGroup()` under torchrun. Each simulates a share of
            the sequences, and all come to the same fit.

        Raises
        ------
        ValueError, TypeError
            Bad settings or data; the message names the argument.
        """
        y, sample_weight = labels_beside(X, y, sample_weight)
        sequences = self._begin(X, lengths)
        labels = class_labels(y, sequences, self.per_step, type(self).__name__)
        weights = sequence_weights(sample_weight, sequences)
        weights, sequences, kept = weighty(weights, sequences, labels, per_step=self.per_step)
        if most_classes(labels) >= 2 > most_classes(kept):
            raise ValueError("sample_weight leaves only one class: give sequences of two classes a positive weight")
        self._note_classes(kept, sequences)
        balance = balance_of(self.class_weight, kept, self.classes_)
        self._train(
            self._problem(sequences, self._encode(kept), weights, balance), validation, observer, checkpoint, ranks
        )
        return self

    def _note_classes(self, labels: np.ndarray, sequences: SequenceSource) -> None:
        """Set `classes_`; ValueError when there is only one class, or the settings do not fit the outputs."""
        classes = distinct_classes(labels)
        several = isinstance(classes, list)
        if most_classes(labels) < 2:
            hint = "; for one label a step pass per_step=True" if several and not self.per_step else ""
            only = " in each output" if several else f": {classes[0]!r}"
            raise ValueError(f"{type(self).__name__} needs at least two classes, but y has one class{only}{hint}")
        if several and not self.per_step and labels.shape[1] == sequences.n_steps:
            warn(
                f"y of shape {labels.shape} is read as {labels.shape[1]} outputs a sequence; for one label at each of "
                f"the {sequences.n_steps} steps pass per_step=True"
            )
        self.classes_ = classes
        if several:  # cross entropy is the only loss for it
            self.recipe_ = Recipe.of(self, self.usual)
        _ = self.loss_function  # of several outputs: refuses a loss that has none

    @property
    def _heads(self) -> tuple[Head, ...]:
        """The heads of the fitted labels; () for one output, and before labels are known."""
        return heads_of(self.classes_, self.output_weights) if hasattr(self, "classes_") else ()

    @property
    def usual(self) -> Usual:
        """Cross entropy, and kernels that are read by their rate."""
        return Usual("cross_entropy", Kernels(), columns=1000)

    @property
    def loss_function(self) -> Loss:
        """The loss that these parameters describe, and, once they are known, the labels."""
        return classifier_loss(self.recipe.loss, self._heads)

    @property
    def score_function(self) -> Accuracy:
        """Accuracy."""
        return Accuracy(self._heads)

    def check_settings(self) -> None:
        """Raise on any bad setting that does not depend on the data, before work is done on it."""
        super().check_settings()
        read_output_weights(self.output_weights)

    def _encode(self, labels: np.ndarray) -> Tensor:
        loss, index = self.loss_function, class_index(labels, self.classes_)
        n_classes = sum(map(len, self.classes_)) if isinstance(self.classes_, list) else len(self.classes_)
        return loss.encode(torch.from_numpy(index), n_classes)

    def _targets(self, y: Any, sequences: SequenceSource) -> Tensor:
        return self._encode(class_labels(y, sequences, self.per_step, type(self).__name__))

    @isolated
    def decision_function(self, X: Any, *, lengths: Any = None) -> Any:
        """Scores: (rows,) for two classes (positive: `classes_[1]`), (rows, n_classes) for more.

        With per_step, rows are arranged as (n, T) or a list of (T_i,). For several outputs a list of such scores.
        """
        S, sequences = self._scores(X, lengths)
        scores = [
            (s[:, 0] if s.shape[1] == 1 else s[:, 1] - s[:, 0]) if len(classes) == 2 else s
            for s, classes in zip(split_heads(S, self._heads), self._class_list, strict=True)
        ]
        shaped = [self._shape_like(s.numpy(), sequences) for s in scores]
        return shaped if self._heads else shaped[0]

    @property
    def _class_list(self) -> list[np.ndarray]:
        return self.classes_ if isinstance(self.classes_, list) else [self.classes_]

    @isolated
    def predict(self, X: Any, *, lengths: Any = None) -> Any:
        """The label of each sequence, or of each step with per_step; of several outputs as in `fit`."""
        S, sequences = self._scores(X, lengths)
        return self._shape_like(self._labels(S), sequences)

    def _labels(self, S: Tensor) -> np.ndarray:
        return class_labels_of(decide(S, self._heads).numpy(), self.classes_)

    @available_if(_models_probabilities)
    @isolated
    def predict_proba(self, X: Any, *, lengths: Any = None) -> Any:
        """Class probabilities, (rows, n_classes); only for losses that model them (cross_entropy, logistic).

        With cross_entropy they are the softmax of the scores. With logistic they are the sigmoid of the score for two
        classes. For more classes, each has a sigmoid of its own, and these are divided by their sum. They are as good
        as the program makes them on the training data, where a large beta makes them timid. For several outputs a list
        of such probabilities.
        """
        S, sequences = self._scores(X, lengths)
        loss = cast(ProbabilisticLoss, classifier_loss(self.recipe.loss))
        shaped = [self._shape_like(loss.probabilities(s).numpy(), sequences) for s in split_heads(S, self._heads)]
        return shaped if self._heads else shaped[0]

    @isolated
    def score(self, X: Any, y: Any = None, sample_weight: Any = None, *, lengths: Any = None) -> float:
        """Accuracy over sequences, or over all steps with per_step; of several outputs all must be right."""
        y, sample_weight = labels_beside(X, y, sample_weight)
        S, sequences = self._scores(X, lengths)
        labels = class_labels(y, sequences, self.per_step, type(self).__name__)
        weights = spread_weights(sequence_weights(sample_weight, sequences), sequences, self.per_step)
        return float(np.average(same_answers(labels, self._labels(S)), weights=weights))
