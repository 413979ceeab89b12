"""SpikingTransformer."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
from sklearn.utils import get_tags
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted

from convexsnn.caller import isolated
from convexsnn.checks import check_choice
from convexsnn.estimators.classifier import SpikingClassifier
from convexsnn.estimators.regressor import SpikingRegressor
from convexsnn.simulation import simulate_chunks

COLUMNS = ("used", "all")


class SpikingTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Turns each sequence into what the output of a spiking network reads: one number for each neuron.

    An estimator is fitted to the labels, and finds its hidden neurons. `transform` runs these neurons and gives their
    columns, such as the share of steps at which each fires. What comes next in a pipeline may be any method for tables.

    Parameters
    ----------
    estimator : SpikingClassifier or SpikingRegressor, optional
        Its settings say how neurons are found. None is a regressor where y holds real numbers, and else a classifier,
        with default settings. It must answer once a sequence (``per_step=False``).
    columns : {"used", "all"}
        "used" are the neurons whose output weight is not zero. "all" are all that were drawn or found.

    Attributes
    ----------
    estimator_ : SpikingClassifier or SpikingRegressor
        The fitted estimator, with network and certificate.
    n_features_in_ : int

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from convexsnn import Gaussian, SpikingClassifier, SpikingTransformer
    >>> bits = np.random.default_rng(0).integers(2, size=(200, 6))
    >>> X, y = np.eye(2)[bits], bits[:, 0] ^ bits[:, -1]
    >>> neurons = SpikingTransformer(SpikingClassifier(witnesses=Gaussian(last=200), beta=0.01, random_state=0))
    >>> model = make_pipeline(neurons, LogisticRegression()).fit(X, y)
    >>> bool(model.score(X, y) > 0.9)
    True
    """

    estimator_: SpikingClassifier | SpikingRegressor

    def __init__(self, estimator: SpikingClassifier | SpikingRegressor | None = None, *, columns: str = "used") -> None:
        self.estimator = estimator
        self.columns = columns

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.estimator or SpikingClassifier()).input_tags
        tags.target_tags.required = True
        return tags

    def fit(
        self, X: Any, y: Any = None, sample_weight: Any = None, *, lengths: Any = None, validation: Any = None
    ) -> SpikingTransformer:
        """Find the neurons.

        Parameters
        ----------
        X, y, sample_weight, lengths, validation
            As in `SpikingClassifier.fit`.

        Raises
        ------
        ValueError, TypeError
            Bad settings or data; the message names the argument.
        """
        check_choice("columns", self.columns, COLUMNS)
        chosen = _suited(y) if self.estimator is None else self.estimator
        if not isinstance(chosen, SpikingClassifier | SpikingRegressor):
            raise ValueError(f"estimator must be a SpikingClassifier or a SpikingRegressor, not {chosen!r}")
        if chosen.per_step:
            raise ValueError("estimator must have per_step=False: a transformer gives one row a sequence")
        fitted = cast(Any, clone(chosen)).fit(X, y, sample_weight, lengths=lengths, validation=validation)
        self.estimator_, self.n_features_in_ = fitted, fitted.n_features_in_
        if hasattr(fitted, "feature_names_in_"):
            self.feature_names_in_ = fitted.feature_names_in_
        return self

    @property
    def _hidden(self):
        """The neurons whose columns are given."""
        fitted = self.estimator_
        return fitted.network_.hidden if self.columns == "used" else fitted.trained_.witnesses

    @property
    def _n_features_out(self) -> int:
        return self._hidden.n_last

    @isolated
    def transform(self, X: Any, *, lengths: Any = None) -> np.ndarray:
        """The columns of the neurons.

        Parameters
        ----------
        X : sequences of any form that `fit` takes
        lengths : int array of shape (n,), optional

        Returns
        -------
        float64 array of shape (n, P)
            0 or 1 where the output reads single spikes, and else what it reads of each neuron.
        """
        check_is_fitted(self)
        check_choice("columns", self.columns, COLUMNS)
        sequences = self.estimator_.shown(X, lengths=lengths)
        parts = [part.features.double().cpu() for part in simulate_chunks(self._hidden, sequences)]
        return torch.cat(parts).numpy()


def _suited(y: Any) -> SpikingClassifier | SpikingRegressor:
    """The default estimator for such labels; what is wrong with them is for its `fit` to say."""
    real = y is not None and type_of_target(y).startswith("continuous")
    return SpikingRegressor() if real else SpikingClassifier()
