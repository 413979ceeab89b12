"""Several fits averaged into one network."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch
from sklearn.base import clone, is_classifier
from sklearn.utils.validation import check_is_fitted

from convexsnn.caller import isolated
from convexsnn.certificate import Certificate
from convexsnn.checks import check_choice, check_integer
from convexsnn.estimators import Estimator, SpikingClassifier
from convexsnn.facts import WithFacts
from convexsnn.network import Network
from convexsnn.witnesses import mix

ROWS = ("all", "bootstrap")


@dataclass(frozen=True, eq=False, repr=False)
class Averaged(WithFacts):
    """One network whose outputs are the mean of those of several fits.

    Attributes
    ----------
    members : tuple of SpikingClassifier or SpikingRegressor
        The fits, each with a certificate of its own program. The mean solves no program, so nothing is proved of it.
    network : Network
        All their neurons, with output weights divided by the number of fits. It is exported like any other network.
    """

    members: tuple[Estimator, ...]
    network: Network

    @property
    def certificates(self) -> tuple[Certificate, ...]:
        """The certificate of each member, about its own program."""
        return tuple(member.certificate_ for member in self.members)

    def predict(self, X: Any, *, lengths: Any = None) -> Any:
        """What the network answers, in the form of a member's `predict`."""
        return self._reader.predict(X, lengths=lengths)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None, *, lengths: Any = None) -> float:
        """Accuracy, or R^2, as of a member's `score`."""
        return self._reader.score(X, y, sample_weight, lengths=lengths)

    def facts(self) -> dict[str, str]:
        """See `WithFacts`."""
        largest = max(certificate.relative_gap for certificate in self.certificates)
        return {
            "network": f"the mean of {len(self.members)} fits: {self.network.hidden.n_neurons} neurons",
            "certificates": f"one of each fit's own program, relative gap at most {largest:.2e}",
            "of the mean": "nothing is proved: it solves no program",
        }

    @cached_property
    def _reader(self) -> Estimator:
        """A member that answers by the network of all."""
        reader = copy(self.members[0])
        reader.network_ = self.network
        return reader


@isolated
def average(members: Sequence[Estimator]) -> Averaged:
    """Average fitted estimators into one network.

    Parameters
    ----------
    members : sequence of SpikingClassifier or SpikingRegressor
        At least two, fitted to labels of the same classes or as many outputs. Their networks have the same features,
        readout, rows and dtype.

    Raises
    ------
    ValueError
        When they do not fit together; names in what.
    """
    own = tuple(members)
    if len(own) < 2:
        raise ValueError(f"members must be at least two fitted estimators, got {len(own)}")
    for member in own:
        check_is_fitted(member)
    if len({type(member) for member in own}) > 1:
        raise ValueError("members must all be classifiers, or all regressors")
    if len({_answers(member) for member in own}) > 1:
        raise ValueError("members must know the same classes, or as many outputs, and be of the same loss")
    hidden = mix(*(member.network_.hidden for member in own))
    weights = [member.network_.W.to(hidden.device) / len(own) for member in own]
    return Averaged(own, Network(hidden, torch.cat(weights)))


@isolated
def fit_members(
    estimator: Estimator, X: Any, y: Any, members: int = 5, *, rows: str = "all", seed: int = 0
) -> Averaged:
    """Fit several copies of an estimator that differ in what is drawn, and average them into one network.

    Parameters
    ----------
    estimator : SpikingClassifier or SpikingRegressor
        Its settings; it is not changed. Copy k has the `random_state` seed + k, and so other hidden neurons.
    X : array of shape (n, T, d), list of n arrays of shape (T_i, d), or array of shape (n, d)
    y : array with one label a sequence, shape (n,) or (n, C)
    members : int
        Copies, at least 2.
    rows : {"all", "bootstrap"}
        With "bootstrap" each copy is trained on n sequences that are drawn with replacement, of each class as many as
        it has.
    seed : int
        At least 0.

    Raises
    ------
    ValueError
        When a setting is bad.

    References
    ----------
    L. Breiman, Bagging predictors, Machine Learning 24 (1996).
    """
    check_integer("members", members, minimum=2)
    check_choice("rows", rows, ROWS)
    check_integer("seed", seed, minimum=0)
    fitted = []
    for k in range(members):
        copied = cast(Estimator, clone(estimator)).set_params(random_state=seed + k)
        counts = _drawn(y, np.random.default_rng(seed + k), classes=is_classifier(copied)) if rows != "all" else None
        fitted.append(copied.fit(X, y, sample_weight=counts))
    return average(fitted)


def _drawn(y: Any, generator: np.random.Generator, *, classes: bool) -> np.ndarray:
    """How often each sequence is drawn: float64 of shape (n,); of each class as often as it has sequences."""
    labels = np.asarray(y)
    strata = labels if classes and labels.ndim == 1 else np.zeros(len(labels))
    counts = np.zeros(len(labels))
    for stratum in np.unique(strata):
        of_it = np.flatnonzero(strata == stratum)
        np.add.at(counts, generator.choice(of_it, len(of_it)), 1.0)
    return counts


def _answers(member: Estimator) -> str:
    """What outputs mean."""
    classes = member.classes_ if isinstance(member, SpikingClassifier) else None
    return repr((member.loss_function.name, member.network_.W.shape[1], classes))
