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

# Beyond so many spikes they are drawn as pixels: a vector file of them would be large.
VECTOR_SPIKES = 4000


@dataclass(eq=False)
class RasterDisplay:
    """Time to the right, neurons upwards, layer on layer, the input below.

    Parameters
    ----------
    input : float array of shape (T, d)
        Drawn the darker the larger the magnitude.
    layers : mapping of str to bool array of shape (T, m)
        Spikes by name of the layer, from the input up.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    input: np.ndarray
    layers: Mapping[str, np.ndarray]
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
        heights = {"input": self.input.shape[1]} | {name: spikes.shape[1] for name, spikes in self.layers.items()}
        gap = 0.03 * sum(heights.values())
        many = sum(int(spikes.sum()) for spikes in self.layers.values()) > VECTOR_SPIKES
        bottom, ticks = 0.0, []
        for k, (name, height) in enumerate(heights.items()):
            if name == "input":
                self._plot_input(bottom, rasterized=self.input.size > VECTOR_SPIKES)
            else:
                at, neuron = np.nonzero(self.layers[name])
                self.ax_.plot(at + 1, bottom + neuron, "|", color=f"C{k - 1}", rasterized=many)
            ticks.append((bottom + (height - 1) / 2, f"{name}\n({height})"))
            bottom += height + gap
        self.ax_.set_yticks([place for place, _ in ticks], [text for _, text in ticks])
        self.ax_.set(xlabel="step", xlim=(0.5, len(self.input) + 0.5), ylim=(-1.0 - gap / 2, bottom))
        self.ax_.xaxis.get_major_locator().set_params(integer=True)
        return self

    def _plot_input(self, bottom: float, *, rasterized: bool) -> None:
        largest = np.abs(self.input).max(initial=0.0)
        shade = np.abs(self.input) / largest if largest else np.zeros_like(self.input)
        at, feature = np.nonzero(shade)
        colors = np.column_stack([np.zeros((len(at), 3)), shade[at, feature]])
        self.ax_.scatter(at + 1, bottom + feature, marker="s", s=12, c=colors, linewidths=0, rasterized=rasterized)
