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

    The readout is the solution of a convex program over the columns of 0/1 spikes of the hidden neurons (theory.md).
    `witnesses` says where the hidden neurons come from. What is left "auto" depends on the data, and `recipe` says what
    was chosen:

    - Sequences of real numbers, of 8 steps or more and with one label each, are read by random neurons with delays
      (`Kernels`). The loss is squared, the penalty is ridge, and there is a path of betas. At most 1000 of 5000 columns
      are kept.
    - For bits, symbols and everything else, neurons are searched by the dual vector of the program. Among them are
      branches that were trained with surrogate gradients, and then judged on true spikes.

    A label may have several outputs, such as a digit and a carry. Then y has one more axis of H columns. The loss is
    the weighted sum of one cross entropy for each output, and one network gives all answers.

    Parameters
    ----------
    witnesses : "auto", str, WitnessFamily or Hidden
        Where hidden weights come from: a family with its settings, such as ``Search(depth=2, effort=2e10)`` or
        ``Gaussian(last=1000)``, from `convexsnn.families`. A name stands for the family with default settings.
        "kernels" are random neurons with delays. "search" finds neurons by the dual vector of the program. "gaussian",
        "heterogeneous" and "reservoir" sample them, and "surrogate" trains them first. "exact" covers all neurons of a
        kind, for little data. Several are joined by ``+``, as in "surrogate+search". Hidden layers of your own do as
        well: `convexsnn.witnesses.pretrained` reads those of a module.
    loss : {"auto", "cross_entropy", "logistic", "hinge", "squared"}
        The loss that training lowers. "auto" is squared for kernels, and otherwise cross_entropy, which alone takes
        several outputs. For more than two classes, logistic, hinge and squared learn each class against the rest.
    penalty : {"auto", "l1", "group", "elastic", "ridge"}
        The price of output weights. "auto" is ridge for kernels, and otherwise l1. "l1" sums the absolute weights, and
        "group" the norms of each neuron's weights. "elastic" adds half the sum of all squared weights to group, so many
        neurons keep small weights. It is no norm, so it needs witnesses that are drawn or trained (not "search" or
        "exact") and a smooth loss (not hinge). "ridge" is half the sum of squares alone, for the squared loss and
        witnesses that are drawn or trained.
    beta : float, sequence of float, "path" or "auto"
        The weight of the penalty, more than 0. Of several one is picked by its scores on validation data. "path" stands
        for 20 betas. They go from just below the level at which all weights are zero down to 1e-3 of that level, by one
        factor. With ridge there are 24, each half of the one before. "auto" is "path" for kernels, and otherwise 0.1.
    rho : float, optional
        The weight of the penalty in the convex program, more than 0, in place of beta. None is beta / sqrt(P_last),
        where P_last counts the neurons of the last layer.
    columns : int, optional
        The network reads at most this many columns. None sets no limit, except 1000 where "auto" is ridge. Of several
        betas, those are compared whose weights lie on no more. Where more are left, as with the ridge penalty, those of
        the smallest weights are left out, some at a time. The other weights are solved for again.
    validation_fraction : float
        With several betas and no validation data, this share of the sequences is held out for the pick, in (0, 1). They
        are drawn at random, with the shares of the classes kept unless per_step. Of betas with equal scores the largest
        is picked. The network is then trained on all sequences. With up to 2000 sequences and hidden neurons that do
        not depend on labels (gaussian, heterogeneous, reservoir, kernels), all sequences are held out in turn. Of the
        betas whose mean score is within one standard error of the best, that of the smallest loss is picked.
    per_step : bool
        Each step of each sequence has a label, instead of each sequence.
    intercept : bool or "free"
        The output also reads a neuron that always fires. Its weight is penalised like any other, or with "free" not at
        all. A search, and the family exact, do not know "free".
    timesteps : int
        A 2-D X is shown for this many steps as constant current, at least 1.
    target : {"torch", "snntorch", "spikingjelly", "norse", "nir"}, optional
        Stay within what this target of `convexsnn.export` can express. Settings of the family at their default give way
        to the nearest that it can, and others are refused. `recipe` says what they are. None sets no limit.
    missing : {"refuse", "carry"}
        With "refuse", missing values (NaN) are an error. With "carry", each is the last known value of its feature in
        the sequence. Before any is known, and in a 2-D X, it is the feature's mean in training. An exported network
        does not do this by itself.
    tol : float
        The relative duality gap to certify, more than 0.
    max_iter : int
        The solver stops after this many outer iterations.
    class_weight : dict, "balanced" or None
        Factors on the weights of the classes, more than 0. With several outputs there can be no dict; the factors of a
        row's outputs are multiplied.
    output_weights : sequence of H positive numbers, optional
        The weight in the loss of each of several outputs. None is 1 each.
    device : str
        The device on which the work is done, such as "cpu" or "cuda".
    random_state : int, RandomState or None
        The seed of the hidden weights, and of the held out sequences.
    members : int
        So many fits, with the seed `random_state` and those after it, become one network. Its outputs are the mean of
        theirs. Each reads at most `columns` columns and has a certificate; of the mean nothing is proved.
    verbose : bool
        Show the progress of `fit` on standard error: bars on a terminal or in a notebook, otherwise lines. scikit-learn
        1.9 and later also has callbacks for it (`set_callbacks`): a fit is a task, its stages are the subtasks.

    Attributes
    ----------
    network_ : Network
        The trained network: only the neurons that carry weight.
    certificate_ : Certificate
    classes_ : array of shape (n_classes,)
        The classes. With several outputs, a list of such arrays.
    n_iter_ : int
    dual_gap_ : float
    n_features_in_ : int
    trained_ : Trained
        Witnesses, weights and dual vector, which are all that is needed to verify the certificate.
    beta_ : float
        The picked beta.
    path_ : list of PathPoint
        One record for each beta, from the largest to the smallest. It has beta, train_score, validation_score, support,
        seconds, status, and the certificate of that beta's own weights on the sequences that were trained on for the
        pick. Where each sequence was left out in turn, it has the picked beta alone. Empty for a model whose weights
        were quantised.
    history_ : list of Round
        One record for each round of the search; empty without a search.
    stopped_ : str or None
        Why the search ended.
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
            The file of a search, written after every round. A killed fit goes on from it to the same result.
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
        """Set `classes_`; ValueError when there is nothing to tell apart, or the settings do not fit the outputs."""
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
        """Of the fitted labels; () for one output, and before they are known."""
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
