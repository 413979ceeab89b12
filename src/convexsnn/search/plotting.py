"""The course of a search as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convexsnn.search.history import Round


def plot_history(history: Sequence[Round], axes: Any = None) -> Any:
    """Objective, the dictionary's lower bound and the global bound against seconds, and the columns below.

    Parameters
    ----------
    history : sequence of Round
        `Searched.history`, or `history_` of an estimator; not empty.
    axes : pair of matplotlib Axes, optional
        To draw on; None makes a figure.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    ImportError
        Without matplotlib (`pip install 'convexsnn[plot]'`).
    ValueError
        When the history is empty.
    """
    if not history:
        raise ValueError("history must hold at least one round: nothing was searched")
    if axes is None:
        from matplotlib.figure import Figure

        axes = Figure(figsize=(6.4, 5.6), layout="constrained").subplots(2, 1, sharex=True, height_ratios=[2, 1])
    above, below = axes
    seconds = [entry.seconds for entry in history]
    above.plot(seconds, [entry.objective for entry in history], marker="o", label="objective")
    above.plot(seconds, [entry.dual for entry in history], ls="--", label="lower bound on this dictionary")
    above.plot(seconds, [entry.global_bound for entry in history], ls=":", label="lower bound on any network")
    if min(entry.global_bound for entry in history) > 0.0:
        above.set_yscale("log")
    above.set_ylabel("training objective")
    above.legend()
    below.plot(seconds, [entry.columns for entry in history], label="columns")
    below.plot(seconds, [entry.support for entry in history], label="with weight")
    below.set(xlabel="seconds", ylabel="columns")
    below.legend()
    return above.figure
