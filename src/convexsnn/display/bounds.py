"""The course of a search: objective and bounds against time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from convexsnn.display.axes import axes_for, legend_above
from convexsnn.estimators import Estimator
from convexsnn.search import Round


@dataclass(eq=False)
class BoundsDisplay:
    """Objective, the dictionary's lower bound and the global bound of each round, against seconds.

    Lines are broken where a stage of the search ends and rho becomes smaller.

    Parameters
    ----------
    history : sequence of Round
        The rounds of a search: `history_` of an estimator, or `Searched.history`; not empty.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes with objective and bounds.
    columns_ax_ : matplotlib Axes or None
        The axes with the columns; None when `plot` was given one Axes.
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
            Axes for the bounds, or a pair for bounds and columns. None makes a figure of both.

        Raises
        ------
        ImportError
            When matplotlib is not installed.
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
        self._plot("objective", [entry.objective for entry in history], marker="o")
        self._plot("lower bound on this dictionary", [entry.dual for entry in history], ls="--", marker=".")
        self._plot("lower bound on any network", [entry.global_bound for entry in history], ls=":", marker=".")
        if min(entry.global_bound for entry in history) > 0.0:
            self.ax_.set_yscale("log")
        self.ax_.set_ylabel("training objective")
        stages = self._stages()
        legend_above(self.ax_, height=1.0 if len(stages) == 1 else 1.08)
        for k in stages if len(stages) > 1 else ():
            place = {"x": history[k].seconds, "y": 1.0, "transform": self.ax_.get_xaxis_transform()}
            self.ax_.text(s=f" rho {history[k].rho:.2g}", va="bottom", fontsize="small", **place)
            self.ax_.vlines(history[k].seconds, 0.0, 1.0, colors="C7", lw=0.8, transform=place["transform"])

    def _plot_columns(self) -> None:
        seconds = [entry.seconds for entry in self.history]
        self.columns_ax_.plot(seconds, [entry.columns for entry in self.history], label="columns")
        self.columns_ax_.plot(seconds, [entry.support for entry in self.history], label="with weight")
        self.columns_ax_.set_ylabel("columns")
        self.columns_ax_.set_ylim(bottom=0)
        legend_above(self.columns_ax_)

    def _stages(self) -> list[int]:
        """The first round of each rho: objectives of different rho are not to be compared."""
        return [k for k, entry in enumerate(self.history) if k == 0 or entry.rho != self.history[k - 1].rho]

    def _plot(self, label: str, values: list[float], **style: Any) -> None:
        """A line against seconds, broken where rho changes."""
        starts = self._stages()[1:]
        seconds = np.insert([entry.seconds for entry in self.history], starts, np.nan)
        self.ax_.plot(seconds, np.insert(values, starts, np.nan), label=label, **style)
