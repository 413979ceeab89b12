"""The course of a search: objective and bounds against time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sklearn.utils.validation import check_is_fitted

from convexsnn.display.axes import axes_for
from convexsnn.estimators import Estimator
from convexsnn.search import Round


@dataclass(eq=False)
class BoundsDisplay:
    """Objective, the dictionary's lower bound and the global bound of each round, against seconds.

    Parameters
    ----------
    history : sequence of Round
        `history_` of an estimator, or `Searched.history`; not empty.

    Attributes
    ----------
    ax_ : matplotlib Axes
        With objective and bounds.
    columns_ax_ : matplotlib Axes or None
        With the columns; None when `plot` was given one Axes.
    figure_ : matplotlib Figure

    Raises
    ------
    ValueError
        When the history is empty: the witnesses were not searched.
    """

    history: Sequence[Round]
    ax_: Any = field(init=False, repr=False)
    columns_ax_: Any = field(init=False, repr=False)
    figure_: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.history:
            raise ValueError("history must hold at least one round: nothing was searched")

    @classmethod
    def from_estimator(cls, estimator: Estimator, *, ax: Any = None) -> BoundsDisplay:
        """Plot `estimator.history_`, of an estimator fitted with witnesses="search"."""
        check_is_fitted(estimator)
        return cls(estimator.history_).plot(ax)

    def plot(self, ax: Any = None) -> BoundsDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, or pair of them, optional
            For the bounds, or for bounds and columns; None makes a figure of both.

        Raises
        ------
        ImportError
            Without matplotlib.
        """
        settings = {"nrows": 2, "sharex": True, "height_ratios": [2, 1], "figsize": (6.4, 5.6)}
        drawn = axes_for("BoundsDisplay", ax, **settings)
        self.ax_, self.columns_ax_ = drawn if hasattr(drawn, "__len__") else (drawn, None)
        self.figure_ = self.ax_.figure
        self._plot_bounds()
        if self.columns_ax_ is not None:
            self._plot_columns()
        (self.ax_ if self.columns_ax_ is None else self.columns_ax_).set_xlabel("seconds")
        return self

    def _plot_bounds(self) -> None:
        history = self.history
        seconds = [entry.seconds for entry in history]
        self.ax_.plot(seconds, [entry.objective for entry in history], marker="o", label="objective")
        self.ax_.plot(seconds, [entry.dual for entry in history], ls="--", label="lower bound on this dictionary")
        self.ax_.plot(seconds, [entry.global_bound for entry in history], ls=":", label="lower bound on any network")
        if min(entry.global_bound for entry in history) > 0.0:
            self.ax_.set_yscale("log")
        self.ax_.set_ylabel("training objective")
        self.ax_.legend()

    def _plot_columns(self) -> None:
        seconds = [entry.seconds for entry in self.history]
        self.columns_ax_.plot(seconds, [entry.columns for entry in self.history], label="columns")
        self.columns_ax_.plot(seconds, [entry.support for entry in self.history], label="with weight")
        self.columns_ax_.set_ylabel("columns")
        self.columns_ax_.legend()
