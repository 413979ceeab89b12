"""Several fits averaged into one network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, TypeVar, cast

import torch
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from convexsnn.caller import isolated
from convexsnn.checks import check_integer
from convexsnn.estimators.arguments import seed_of
from convexsnn.network import Network
from convexsnn.witnesses import mix

E = TypeVar("E")

# Settings that say how X is read.
READING = ("per_step", "timesteps", "missing")


def with_members(fit: Callable[..., Any]) -> Callable[..., Any]:
    """Make a method `fit` fit as many estimators as the setting `members` says, and become their mean."""

    @wraps(fit)
    def run(self: Any, X: Any, y: Any = None, sample_weight: Any = None, *, checkpoint: Any = None, **more: Any) -> Any:
        count = check_integer("members", self.members)
        if count == 1:
            return fit(self, X, y, sample_weight, checkpoint=checkpoint, **more)
        if checkpoint is not None:
            raise ValueError("checkpoint is for one fit: leave it out, or pass members=1")
        self._forget()
        seed, fits = seed_of(self.random_state), []
        for k in range(count):
            member = cast(Any, clone(self)).set_params(members=1, random_state=seed + k)
            fits.append(fit(member, X, y, sample_weight, **more))
        self.adopt_mean(fits, mean_network(fits))
        return self

    return run


@isolated
def average(members: Sequence[E]) -> E:
    """Average fitted estimators into one, whose outputs are the mean of theirs.

    The setting `members` of an estimator does this with fits that differ in their seed alone. Each fit has a
    certificate of its own program. The mean solves no program, so nothing is proved of it.

    Parameters
    ----------
    members : sequence of SpikingClassifier or SpikingRegressor
        At least two, fitted to labels of the same classes or as many outputs. Their networks have the same features,
        readout, rows and dtype.

    Returns
    -------
    SpikingClassifier or SpikingRegressor
        With the settings of the first; `members_` are the fits. Its network has all their neurons, with output weights
        divided by the number of fits.

    Raises
    ------
    ValueError
        When they do not fit together; names in what.

    References
    ----------
    L. Breiman, Bagging predictors, Machine Learning 24 (1996).
    """
    own: tuple[Any, ...] = tuple(members)
    if len(own) < 2:
        raise ValueError(f"members must be at least two fitted estimators, got {len(own)}")
    for member in own:
        check_is_fitted(member)
        member.check_one_fit("a member")
    if len({type(member) for member in own}) > 1:
        raise ValueError("members must all be classifiers, or all regressors")
    if len({_answers(member) for member in own}) > 1:
        raise ValueError("members must know the same classes, or as many outputs, and be of the same loss")
    if len({_reading(member) for member in own}) > 1:
        raise ValueError(
            "members must read X alike: they must be fitted to X of one form, with the same per_step, timesteps and "
            "missing, and where missing values are carried, to the same X"
        )
    mean = cast(Any, clone(own[0])).set_params(members=len(own))
    mean.adopt_mean(own, mean_network(own))
    return mean


def mean_network(members: Sequence[Any]) -> Network:
    """All neurons of fitted estimators, with output weights divided by their number; ValueError where they differ."""
    hidden = mix(*(member.network_.hidden for member in members))
    weights = [member.network_.W.to(hidden.device) / len(members) for member in members]
    return Network(hidden, torch.cat(weights))


def _answers(member: Any) -> str:
    """What outputs mean."""
    return repr((member.loss_function.name, member.network_.W.shape[1], vars(member).get("classes_")))


def _reading(member: Any) -> str:
    """How X is read."""
    form, settings = member.input_form_, [getattr(member, name) for name in READING]
    means = form.seen.mean if member.missing == "carry" else None
    return repr((settings, form.n_features, form.sequences, form.columns, means))
