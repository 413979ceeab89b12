"""Where a display draws; matplotlib is loaded here and nowhere before."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any


def require_matplotlib(owner: str) -> None:
    """Raise ImportError, saying what to install, without matplotlib."""
    if find_spec("matplotlib") is None:
        raise ImportError(f"{owner} needs matplotlib: pip install 'convexsnn[plot]'")


def axes_for(owner: str, ax: Any, **figure: Any) -> Any:
    """`ax`, or new axes of a pyplot figure with the settings of `matplotlib.pyplot.subplots`, as in scikit-learn."""
    require_matplotlib(owner)
    if ax is not None:
        return ax
    from matplotlib import pyplot as plt

    return plt.subplots(layout="constrained", **figure)[1]


def legend_above(ax: Any, *, height: float = 1.0) -> None:
    """A legend above the axes, where it hides no curve: its foot is at this share of their height."""
    place = {"loc": "lower left", "bbox_to_anchor": (0.0, height), "borderaxespad": 0.2}
    ax.legend(**place, ncols=3, fontsize="small", frameon=False)
