"""Weights of a network as a picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from convexsnn.checks import check_choice
from convexsnn.display.axes import axes_for
from convexsnn.estimators import Estimator
from convexsnn.network import Network

WHICH = ("readout", "input")


@dataclass(eq=False)
class WeightsDisplay:
    """A matrix of weights in colours, red above zero and blue below; of one row, bars.

    Parameters
    ----------
    weights : float array of shape (rows, columns)
    rows, columns : str
        What the rows and the columns stand for, such as "class" and "neuron".

    Attributes
    ----------
    image_ : matplotlib AxesImage, or None where bars were drawn
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    weights: np.ndarray
    rows: str
    columns: str
    image_: Any = field(init=False, repr=False)
    ax_: Any = field(init=False, repr=False)
    figure_: Any = field(init=False, repr=False)

    @classmethod
    def from_estimator(cls, estimator: Estimator, *, which: str = "readout", ax: Any = None) -> WeightsDisplay:
        """Plot weights of the trained network, `which` as of `from_network`."""
        check_is_fitted(estimator)
        return cls.from_network(estimator.network_, which=which, ax=ax)

    @classmethod
    def from_network(cls, network: Network, *, which: str = "readout", ax: Any = None) -> WeightsDisplay:
        """Plot weights of a network.

        Parameters
        ----------
        network : Network
        which : {"readout", "input"}
            The output weights of the neurons that have one, the largest first; or what the first layers of all
            branches, side by side, give to each input feature.
        ax : matplotlib Axes, optional

        Raises
        ------
        ValueError
            When `which` is neither, or the network has no neurons.
        """
        check_choice("which", which, WHICH)
        if not network.hidden.branches:
            raise ValueError("the network has no neurons, so there are no weights to draw")
        if which == "readout":
            order = torch.argsort(network.W.norm(dim=1), descending=True, stable=True)
            used = int((network.W != 0).any(dim=1).sum())
            name = f"neuron, by size of weight ({used} of {len(network.W)} have one)"
            return cls(network.W[order[:used]].T.cpu().numpy(), "output", name).plot(ax)
        layers = [branch.layers[0] for branch in network.hidden.branches]
        delayed = any(layer.delayed for layer in layers)
        most = max(len(layer.delays) for layer in layers)
        first = torch.zeros(most * network.hidden.n_features, sum(layer.m for layer in layers), dtype=torch.float64)
        for layer, begun in zip(layers, np.cumsum([0, *(layer.m for layer in layers)]), strict=False):
            first[: len(layer.weight), begun : begun + layer.m] = layer.weight
        name = "input feature, delay by delay" if delayed else "input feature"
        return cls(first.numpy(), name, "neuron of the first layers").plot(ax)

    def plot(self, ax: Any = None) -> WeightsDisplay:
        """Draw on `ax`, or in a new figure. Raises ImportError without matplotlib."""
        self.ax_ = axes_for("WeightsDisplay", ax, figsize=(6.4, 3.2))
        self.figure_ = self.ax_.figure
        self.ax_.set_xlabel(self.columns)
        self.ax_.xaxis.get_major_locator().set_params(integer=True)
        if len(self.weights) == 1:
            self.image_ = None
            row = self.weights[0]
            self.ax_.bar(np.arange(len(row)), row, color=np.where(row > 0, "C3", "C0"))
            self.ax_.axhline(0.0, color="black", lw=0.8)
            self.ax_.set_ylabel("weight")
            return self
        largest = float(np.abs(self.weights).max(initial=0.0)) or 1.0
        settings = {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest, "aspect": "auto", "interpolation": "nearest"}
        self.image_ = self.ax_.imshow(self.weights, **settings)
        self.ax_.set_ylabel(self.rows)
        self.ax_.yaxis.get_major_locator().set_params(integer=True)
        self.figure_.colorbar(self.image_, ax=self.ax_, label="weight")
        return self
