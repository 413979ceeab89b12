"""How the score grows with the columns that are read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from convexsnn.checks import check_integer
from convexsnn.display.axes import axes_for, legend_above
from convexsnn.estimators import Estimator, SpikingClassifier
from convexsnn.simulation import simulate_chunks

# Up to so many columns the axis is even, beyond it grows by factors.
FEW = 30


@dataclass(eq=False)
class ColumnsDisplay:
    """Score against columns with weight.

    Parameters
    ----------
    columns : int array of shape (k,)
    scores : float array of shape (k,)
    name : str
        The name of the curve in the legend.
    ylabel : str

    Attributes
    ----------
    line_ : matplotlib Line2D
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    columns: np.ndarray
    scores: np.ndarray
    name: str = "columns"
    ylabel: str = "score"
    line_: Any = field(init=False, repr=False)
    ax_: Any = field(init=False, repr=False)
    figure_: Any = field(init=False, repr=False)

    @classmethod
    def from_estimator(
        cls, estimator: Estimator, X: Any, y: Any, *, n_points: int = 30, name: str = "largest weights", ax: Any = None
    ) -> ColumnsDisplay:
        """Plot the score on `X`, `y` when only the columns of largest weight are read.

        The other weights are set to zero, and nothing is solved again; the last point is the network itself.

        Parameters
        ----------
        estimator : SpikingClassifier or SpikingRegressor
            A fitted estimator.
        X, y
            Sequences and labels or targets, as `estimator.score` takes them.
        n_points : int
            Numbers of columns that are tried, in geometric progression, at least 2.
        name : str
        ax : matplotlib Axes, optional

        Raises
        ------
        ValueError
            When X and y do not fit.
        """
        check_is_fitted(estimator)
        check_integer("n_points", n_points, minimum=2)
        problem = estimator.problem(X, y)
        sequences, targets = problem.input, problem.targets
        network = estimator.trained_.network
        order = torch.argsort(network.W.norm(dim=1), descending=True, stable=True)
        used = int((network.W != 0).any(dim=1).sum())
        counts = np.unique([0, *np.geomspace(1, max(1, used), n_points).round().astype(int)]).clip(max=used)
        counts = np.unique(counts)
        parts = [
            torch.stack([part.features[:, order[:k]].double() @ network.W[order[:k]] for k in counts])
            for part in simulate_chunks(network.hidden, sequences)
        ]
        beside = estimator.beside(sequences)  # of which no column is left out
        outputs = torch.cat(parts, dim=1).cpu() + beside
        scores = np.array([estimator.score_outputs(targets + beside, S) for S in outputs])
        return cls(counts, scores, name, _label(estimator)).plot(ax)

    @classmethod
    def from_path(cls, estimator: Estimator, *, name: str = "path, validation", ax: Any = None) -> ColumnsDisplay:
        """Plot the validation score of every beta that was compared (`path_`) against its columns with weight.

        Raises
        ------
        ValueError
            When the estimator was fitted with one beta, so that nothing was compared.
        """
        check_is_fitted(estimator)
        points = [point for point in estimator.path_ if point.validation_score is not None]
        if not points:
            raise ValueError("the estimator has no path with validation scores: fit it with several betas")
        columns = np.array([point.support for point in points])
        return cls(columns, np.array([p.validation_score for p in points]), name, _label(estimator)).plot(ax)

    def plot(self, ax: Any = None) -> ColumnsDisplay:
        """Draw on `ax`, or in a new figure. Raises ImportError without matplotlib."""
        self.ax_ = axes_for("ColumnsDisplay", ax, figsize=(6.4, 3.6))
        self.figure_ = self.ax_.figure
        (self.line_,) = self.ax_.plot(self.columns, self.scores, marker=".", label=self.name)
        if max(line.get_xdata().max() for line in self.ax_.lines) > FEW:
            self.ax_.set_xscale("symlog", linthresh=1)
            self.ax_.xaxis.set_major_formatter("{x:g}")
        else:
            self.ax_.xaxis.get_major_locator().set_params(integer=True)
        self.ax_.set(xlabel="columns with weight", ylabel=self.ylabel)
        legend_above(self.ax_)
        return self


def _label(estimator: Estimator) -> str:
    return "accuracy" if isinstance(estimator, SpikingClassifier) else "R^2"
