"""Figures as data addresses, so that the page is one file."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from convexsnn.display.axes import require_matplotlib

# The same figure is the same bytes: names within it from a fixed salt, and no date.
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "convexsnn",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 9,
    "legend.frameon": False,
    "text.usetex": False,
}


@dataclass(frozen=True)
class Picture:
    """A figure in the page.

    Attributes
    ----------
    address : str
        `data:image/svg+xml;base64,...`
    caption : str
        Also its text alternative.
    width : int
        In pixels of the page, beyond which it is not enlarged.
    """

    address: str
    caption: str
    width: int


def picture(draw: Callable[[Any], Any], caption: str, *, size: tuple[float, float], panels: int = 1) -> Picture:
    """What `draw` draws on new axes (an array of them when `panels`, one above the other, is more than one)."""
    drawn = image(draw, "svg", size=size, panels=panels)
    return Picture("data:image/svg+xml;base64," + base64.b64encode(drawn).decode(), caption, round(96 * size[0]))


def image(draw: Callable[[Any], Any], kind: str, *, size: tuple[float, float], panels: int = 1) -> bytes:
    """What `draw` draws, as the bytes of a file of this kind: "svg" or "png"."""
    require_matplotlib("a picture")
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    buffer = io.BytesIO()
    with rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        heights = [2] + [1] * (panels - 1)
        draw(figure.subplots(panels, 1, sharex=panels > 1, height_ratios=heights))
        more: dict[str, Any] = {"metadata": {"Date": None}} if kind == "svg" else {"dpi": 150}
        figure.savefig(buffer, format=kind, **more)
    return buffer.getvalue()
