"""Spikes of a network on one input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from convexsnn.checks import check_integer
from convexsnn.display.axes import axes_for
from convexsnn.estimators import Estimator
from convexsnn.network import Hidden
from convexsnn.reconstruction.traces import trace
from convexsnn.sequences import Sequences

# A layer of few neurons is drawn as high as this share of all, so that it can be seen beside a large one.
LEAST = 0.12
# Up to so many steps, or neurons in all, white lines tell one from the next.
RULED = 48


@dataclass(eq=False)
class RasterDisplay:
    """A cell for each spike: time to the right, neurons upwards, layer on layer, the input below.

    Parameters
    ----------
    input : float array of shape (T, d)
        What the network was shown. It is drawn the darker the larger the magnitude.
    layers : mapping of str to bool array of shape (T, m)
        Spikes by name of the layer, from the input up.

    Attributes
    ----------
    images_ : dict of str to matplotlib AxesImage
        The pictures of the input and of each layer, by name; arrays of shape (m, T).
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    input: np.ndarray
    layers: Mapping[str, np.ndarray]
    images_: Any = field(init=False, repr=False)
    ax_: Any = field(init=False, repr=False)
    figure_: Any = field(init=False, repr=False)

    @classmethod
    def from_estimator(cls, estimator: Estimator, X: Any, *, index: int = 0, ax: Any = None) -> RasterDisplay:
        """Plot the spikes of the trained network (the neurons that carry weight) on sequence `index` of `X`.

        Raises
        ------
        ValueError
            When X has no such sequence, or does not fit.
        """
        check_is_fitted(estimator)
        return cls.from_network(estimator.network_.hidden, estimator.sequences(X), index=index, ax=ax)

    @classmethod
    def from_network(cls, hidden: Hidden, sequences: Sequences, *, index: int = 0, ax: Any = None) -> RasterDisplay:
        """Plot the spikes of hidden layers on sequence `index`; layers of all branches are put side by side."""
        check_integer("index", index, minimum=0, maximum=len(sequences) - 1)
        steps = int(sequences.lengths[index])
        one = sequences.take(slice(index, index + 1)).to(hidden.device, hidden.dtype)
        branches = [[layer.spikes[0, :steps] > 0 for layer in branch.layers] for branch in trace(hidden, one)]
        layers = {
            f"layer {i + 1}": torch.cat([part for part in parts if part is not None], dim=1).cpu().numpy()
            for i, parts in enumerate(zip_longest(*branches))
        }
        return cls(one.values[0, :steps].double().cpu().numpy(), layers).plot(ax)

    def plot(self, ax: Any = None) -> RasterDisplay:
        """Draw on `ax`, or in a new figure. Raises ImportError without matplotlib."""
        self.ax_ = axes_for("RasterDisplay", ax, figsize=(6.4, 4.8))
        self.figure_ = self.ax_.figure
        from matplotlib.colors import LinearSegmentedColormap

        shown = {"input": np.abs(self.input)} | {name: spikes.astype(float) for name, spikes in self.layers.items()}
        total = sum(cells.shape[1] for cells in shown.values())
        bottom, ticks, self.images_ = 0.0, [], {}
        for k, (name, cells) in enumerate(shown.items()):
            top = bottom + max(cells.shape[1] / total, LEAST)
            colors = LinearSegmentedColormap.from_list(name, ["white", "black" if k == 0 else f"C{k - 1}"])
            settings = {"cmap": colors, "vmin": 0.0, "vmax": cells.max(initial=0.0) or 1.0, "interpolation": "none"}
            extent = (0.5, len(cells) + 0.5, bottom, top)
            self.images_[name] = self.ax_.imshow(cells.T, origin="lower", aspect="auto", extent=extent, **settings)
            self._rule(cells.shape, bottom, top, ruled=total <= RULED)
            ticks.append(((bottom + top) / 2, f"{name}\n({cells.shape[1]})"))
            bottom = top + 0.03
        self.ax_.set_yticks([place for place, _ in ticks], [text for _, text in ticks])
        self.ax_.set(xlabel="step", xlim=(0.5, len(self.input) + 0.5), ylim=(-0.02, bottom))
        self.ax_.xaxis.get_major_locator().set_params(integer=True)
        return self

    def _rule(self, shape: tuple[int, int], bottom: float, top: float, *, ruled: bool) -> None:
        """Lines between the cells of one layer."""
        steps, m = shape
        lines = {"colors": "white", "linewidths": 1.5}
        if steps <= RULED:
            self.ax_.vlines(np.arange(1, steps) + 0.5, bottom, top, **lines)
        if ruled:
            self.ax_.hlines(np.linspace(bottom, top, m + 1), 0.5, steps + 0.5, **lines)
