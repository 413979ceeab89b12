"""Estimators in the terms of aeon: series have shape (n, channels, steps), or are a list of (channels, steps_i).

Everything else is as in `convexsnn.estimators`, whose estimators these hold. This module needs aeon; the rest of the
library does not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone

from convexsnn.estimators import SpikingClassifier, SpikingRegressor
from convexsnn.families import Kernels

try:
    from aeon.classification.base import BaseClassifier
    from aeon.regression.base import BaseRegressor
except ImportError as error:
    raise ImportError(f"convexsnn.aeon needs the package aeon: pip install 'convexsnn[series]' ({error})") from error

TAGS = {
    "X_inner_type": ["np-list", "numpy3D"],
    "capability:multivariate": True,
    "capability:unequal_length": True,
    "non_deterministic": False,
}


class SpikingSeriesClassifier(BaseClassifier):
    """A `SpikingClassifier` for aeon.

    Parameters
    ----------
    estimator : SpikingClassifier, optional
        Its settings; None stands for its defaults.
    random_state : int, RandomState or None
        Seed, in place of the estimator's where it is given.

    Attributes
    ----------
    estimator_ : SpikingClassifier
        The fitted estimator, with network, certificate and all else. It takes series of shape (n, steps, channels).

    Examples
    --------
    >>> from aeon.datasets import load_italy_power_demand
    >>> from convexsnn import Kernels, SpikingClassifier
    >>> X, y = load_italy_power_demand(split="train")
    >>> model = SpikingSeriesClassifier(SpikingClassifier(witnesses=Kernels(last=100)), random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.9)
    True
    """

    _tags = TAGS

    def __init__(self, estimator: SpikingClassifier | None = None, random_state: Any = None) -> None:
        self.estimator = estimator
        self.random_state = random_state
        super().__init__()

    def _fit(self, X: Any, y: Any) -> None:
        self.estimator_ = _settled(self.estimator or SpikingClassifier(), self.random_state).fit(_by_step(X), y)

    def _predict(self, X: Any) -> np.ndarray:
        return self.estimator_.predict(_by_step(X))

    def _predict_proba(self, X: Any) -> np.ndarray:
        if hasattr(self.estimator_, "predict_proba"):
            return self.estimator_.predict_proba(_by_step(X))
        return super()._predict_proba(X)

    @classmethod
    def _get_test_params(cls, parameter_set: str = "default") -> dict[str, Any]:  # noqa: ARG003 - aeon's interface
        return {"estimator": SpikingClassifier(witnesses=Kernels(last=40))}


class SpikingSeriesRegressor(BaseRegressor):
    """A `SpikingRegressor` for aeon.

    Parameters
    ----------
    estimator : SpikingRegressor, optional
        Its settings; None stands for its defaults.
    random_state : int, RandomState or None
        Seed, in place of the estimator's where it is given.

    Attributes
    ----------
    estimator_ : SpikingRegressor
        The fitted estimator, with network, certificate and all else. It takes series of shape (n, steps, channels).
    """

    _tags = TAGS

    def __init__(self, estimator: SpikingRegressor | None = None, random_state: Any = None) -> None:
        self.estimator = estimator
        self.random_state = random_state
        super().__init__()

    def _fit(self, X: Any, y: Any) -> None:
        self.estimator_ = _settled(self.estimator or SpikingRegressor(), self.random_state).fit(_by_step(X), y)

    def _predict(self, X: Any) -> np.ndarray:
        return self.estimator_.predict(_by_step(X))

    @classmethod
    def _get_test_params(cls, parameter_set: str = "default") -> dict[str, Any]:  # noqa: ARG003 - aeon's interface
        return {"estimator": SpikingRegressor(witnesses=Kernels(last=40))}


def _settled(estimator: Any, random_state: Any) -> Any:
    """A fresh estimator of these settings, with the seed where one is given."""
    fresh: Any = clone(estimator)
    return fresh if random_state is None else fresh.set_params(random_state=random_state)


def _by_step(X: Any) -> Any:
    """Series (n, channels, steps), or a list of (channels, steps_i), as (n, steps, channels) or (steps_i, channels)."""
    return [x.T for x in X] if isinstance(X, list) else np.transpose(X, (0, 2, 1))
