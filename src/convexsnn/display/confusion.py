"""The confusion matrix, of sequences or of steps, of one output or of one of several."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.validation import check_is_fitted

from convexsnn.checks import check_integer
from convexsnn.display.axes import require_matplotlib
from convexsnn.display.text import plotted
from convexsnn.estimators import SpikingClassifier
from convexsnn.estimators.targets import class_labels
from convexsnn.labels import flatten_steps


class ConfusionDisplay(ConfusionMatrixDisplay):
    """scikit-learn's `ConfusionMatrixDisplay`, for labels at every step and for several outputs too."""

    @classmethod
    def from_estimator(  # type: ignore[override] - scikit-learn passes estimator-free settings by position as well
        cls, estimator: SpikingClassifier, X: Any, y: Any, *, output: int | None = None, ax: Any = None, **settings: Any
    ) -> ConfusionMatrixDisplay:
        """Plot the confusion matrix of a classifier on `X`, `y`.

        Parameters
        ----------
        estimator : SpikingClassifier
            A fitted classifier.
        X, y
            Sequences and labels, as `SpikingClassifier.score` takes them.
        output : int, optional
            The output to show, from 0 on, where a label has several; 0 where it is left out.
        ax : matplotlib Axes, optional
        **settings
            They are passed to scikit-learn's `ConfusionMatrixDisplay.from_predictions`.

        Raises
        ------
        ImportError
            When matplotlib is not installed.
        ValueError
            When there is no such output, or X and y do not fit.
        """
        require_matplotlib(cls.__name__)
        check_is_fitted(estimator)
        outputs = len(estimator.classes_) if isinstance(estimator.classes_, list) else 1
        chosen = check_integer("output", 0 if output is None else output, minimum=0, maximum=outputs - 1)
        sequences = estimator.sequences(X)
        labels = class_labels(y, sequences, estimator.per_step, "y")
        answers = estimator.predict(X)
        answers = flatten_steps(answers, sequences, vectors=True) if estimator.per_step else np.asarray(answers)
        if isinstance(estimator.classes_, list):
            labels, answers = labels[:, chosen], answers[:, chosen]
        known = settings.get("labels")
        known = unique_labels(labels, answers) if known is None else known
        shown: dict[str, Any] = {"display_labels": [plotted(label) for label in known]} | settings
        return cls.from_predictions(labels, answers, ax=ax, **shown)
