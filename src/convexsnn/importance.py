"""What a fitted network makes of each feature and of each step: the loss of score when it is shuffled."""

from __future__ import annotations

import warnings
from typing import Any, cast

import numpy as np
from sklearn import inspection
from sklearn.utils import Bunch

from convexsnn.checks import check_choice
from convexsnn.estimators import SpikingEstimator

BY = ("feature", "step")


def permutation_importance(
    estimator: SpikingEstimator, X: Any, y: Any, *, by: str = "feature", n_repeats: int = 5, random_state: Any = None
) -> Bunch:
    """How much worse a fitted estimator gets when one feature, or one step, is taken from other sequences.

    scikit-learn's `permutation_importance` does the work. What it shuffles here is whole features, over all steps, or
    whole steps, over all features. An importance says what this network uses, and not what is useful: of two features
    that say the same, either may have none.

    Parameters
    ----------
    estimator : SpikingClassifier or SpikingRegressor
        A fitted estimator.
    X, y
        Sequences of one length and their labels, best those that were not trained on.
    by : {"feature", "step"}
    n_repeats : int
        Each is shuffled so many times.
    random_state : int, RandomState or None

    Returns
    -------
    Bunch
        importances_mean and importances_std, float arrays of shape (d,) or (T,), and importances, (d or T, n_repeats):
        the score on X less that on X with the feature or step shuffled.

    Raises
    ------
    ValueError
        When sequences have several lengths, when X is a table without steps, or when X does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from convexsnn import Gaussian, SpikingClassifier, permutation_importance
    >>> bits = np.random.default_rng(0).integers(2, size=(200, 6))
    >>> X, y = np.eye(2)[bits], bits[:, -1]
    >>> model = SpikingClassifier(witnesses=Gaussian(last=100), random_state=0).fit(X, y)
    >>> steps = permutation_importance(model, X, y, by="step", random_state=0).importances_mean
    >>> int(steps.argmax())
    5
    """
    axis = 2 if check_choice("by", by, BY) == "feature" else 1
    sequences = estimator.sequences(X)
    if not estimator.input_form_.sequences:
        raise ValueError("X is a table without steps: use scikit-learn's permutation_importance")
    if not sequences.equal_lengths:
        raise ValueError("X must have sequences of one length: those of others have no values to take instead")
    values = sequences.values.numpy()
    # scikit-learn shuffles the columns of a table. Here a column says from which sequence each one takes a feature.
    sources = np.repeat(np.arange(len(values))[:, None], values.shape[axis], axis=1)

    def score(_: Any, table: np.ndarray, labels: Any) -> float:
        rows = table[:, :, None] if axis == 1 else table[:, None, :]
        shuffled = np.take_along_axis(values, np.broadcast_to(rows, values.shape), axis=0)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "X does not have valid feature names")  # X had them
            return estimator.score(shuffled, labels)

    found = inspection.permutation_importance(
        estimator, sources, y, scoring=score, n_repeats=n_repeats, random_state=random_state
    )
    return cast(Bunch, found)
