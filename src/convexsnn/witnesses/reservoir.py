"""Reservoir witnesses: a random LIF network tuned to criticality, the paper's R and R-CVX."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from convexsnn.caller import isolated
from convexsnn.checks import check_grid, check_integer
from convexsnn.network import Branch, Hidden
from convexsnn.neurons import LIF, lif
from convexsnn.sequences import Sequences
from convexsnn.simulation import check_features, initial_state, step
from convexsnn.witnesses.architecture import Architecture
from convexsnn.witnesses.gaussian import gaussian

# Sequences on which a setting is judged: the ratio's error falls with their root, its cost grows with them.
SAMPLE = 500


@dataclass(frozen=True)
class ReservoirGrid:
    """The settings to try; the defaults are the paper's 64.

    Attributes
    ----------
    leaks, thresholds : tuple of float
        Leaks from 0 to 1, and thresholds of more than 0, in units of the membrane potential; one for all neurons.
    input_scales : tuple of float
        Factors on the input weights of the first layers, more than 0.
    """

    leaks: tuple[float, ...] = (0.9, 0.95, 0.99, 0.995)
    thresholds: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0)
    input_scales: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)

    def __post_init__(self) -> None:
        for name in ("leaks", "thresholds", "input_scales"):
            check_grid(name, getattr(self, name), zero_to_one=name == "leaks")


@dataclass(frozen=True)
class ReservoirSetting:
    """One line of the sweep.

    Attributes
    ----------
    leak, threshold, input_scale : float
    branching_ratios : tuple of float
        The branching ratio of each layer: sigma = sum_t a_t a_{t+1} / sum_t a_t^2. Here a_t counts the spikes of the
        layer's neurons at step t of a sequence, over all branches. Both sums go over all sequences, and over the steps
        that have a next step. A silent layer has nan.
    rate : float
        Spikes of one neuron in one step, in the mean: from 0 to 1.
    """

    leak: float
    threshold: float
    input_scale: float
    branching_ratios: tuple[float, ...]
    rate: float

    @property
    def distance(self) -> float:
        """From criticality: the largest abs(sigma - 1) of a layer; infinite where a layer is silent."""
        return max(math.inf if math.isnan(sigma) else abs(sigma - 1.0) for sigma in self.branching_ratios)


@dataclass(frozen=True, eq=False)
class TunedReservoir:
    """A reservoir and the sweep that chose its setting.

    Attributes
    ----------
    hidden : Hidden
    chosen : ReservoirSetting
    table : tuple of ReservoirSetting
        Every setting tried, in the order of the grid (leak, then threshold, then input scale).
    """

    hidden: Hidden
    chosen: ReservoirSetting
    table: tuple[ReservoirSetting, ...] = field(repr=False)


@isolated
def tune_reservoir(
    architecture: Architecture,
    sequences: Sequences,
    generator: torch.Generator,
    grid: ReservoirGrid | None = None,
    sample: int = SAMPLE,
    on_setting: Callable[[int, int], None] | None = None,
) -> TunedReservoir:
    """Draw column-normalised gaussian weights once, and choose the setting nearest to criticality.

    Each layer has a branching ratio, and near 1 its activity neither dies out nor explodes. The setting is chosen by
    the layer whose ratio is farthest from 1. The ratio of all neurons together would not do: it is that of the first
    layer, which spikes most, and may be 1 while the last layer is silent. Of equally close settings the first in the
    order of the grid is chosen. Each setting is simulated once.

    Parameters
    ----------
    architecture : Architecture
        The shape of the network, of LIF neurons. Its leak and threshold are not used.
    sequences : Sequences
        The training sequences. The first `sample` of them are simulated.
    generator : torch.Generator
        The source of random numbers, on the CPU.
    grid : ReservoirGrid, optional
    sample : int
    on_setting : callable (settings done, settings in all), optional

    Raises
    ------
    ValueError
        When the neurons are not LIF, no sequence has two steps, or no setting makes every layer spike.

    References
    ----------
    arXiv 2605.08022, reservoir witnesses.
    """
    if architecture.neuron != "lif":
        raise ValueError(
            f"a reservoir is tuned over leak and threshold: neuron must be 'lif', not {architecture.neuron!r}"
        )
    grid, shown = grid or ReservoirGrid(), sequences.take(slice(0, check_integer("sample", sample)))
    if int(shown.lengths.max()) < 2:
        raise ValueError("a reservoir is tuned on how its activity goes on: X needs sequences of at least two steps")
    drawn = gaussian(architecture, generator, "normalized")
    settings = list(itertools.product(grid.leaks, grid.thresholds, grid.input_scales))
    table = []
    for done, (leak, threshold, scale) in enumerate(settings, start=1):
        activity = spikes_per_step(set_reservoir(drawn, leak, threshold, scale), shown)
        rate = float(activity.sum() / (shown.lengths.sum() * drawn.n_neurons))
        ratios = tuple(branching_ratio(of_layer, shown.lengths) for of_layer in activity)
        table.append(ReservoirSetting(leak, threshold, scale, ratios, rate))
        if on_setting is not None:
            on_setting(done, len(settings))
    chosen = min(table, key=lambda setting: setting.distance)
    if math.isinf(chosen.distance):
        raise ValueError(
            "a layer of the reservoir is silent at every setting: scale the input up, add larger input_scales or "
            "smaller thresholds, or use fewer layers"
        )
    hidden = set_reservoir(drawn, chosen.leak, chosen.threshold, chosen.input_scale)
    return TunedReservoir(hidden, chosen, tuple(table))


def branching_ratio(activity: Tensor, lengths: Tensor) -> float:
    """Sigma of `activity` (n, T), of sequences of the given lengths (n,); see `ReservoirSetting`."""
    followed = torch.arange(1, activity.shape[1]) < lengths.cpu().unsqueeze(1)
    before, after = activity[:, :-1].cpu()[followed], activity[:, 1:].cpu()[followed]
    square = float(before @ before)
    return float(before @ after) / square if square > 0.0 else math.nan


@torch.no_grad()
def spikes_per_step(hidden: Hidden, sequences: Sequences) -> Tensor:
    """Spikes of each layer at each step of each sequence.

    Returns
    -------
    float64 tensor of shape (layers, n, T)
        Layers at the same depth count together over the branches; 0 past a sequence's end.
    """
    check_features(hidden, sequences)
    sequences = sequences.to(hidden.device, hidden.dtype)
    depth = max(len(branch.layers) for branch in hidden.branches)
    counts = torch.zeros(depth, len(sequences), sequences.n_steps, dtype=torch.float64, device=hidden.device)
    state = initial_state(hidden, len(sequences))
    for t, x in enumerate(sequences.values.unbind(dim=1)):
        state = step(hidden, x, state).state
        for branch in state.branches:
            for i, layer in enumerate(branch.layers):
                counts[i, :, t] += layer.spikes.sum(dim=1, dtype=torch.float64)
    return counts * sequences.shown


def set_reservoir(hidden: Hidden, leak: float, threshold: float, input_scale: float) -> Hidden:
    """`hidden` with this leak and threshold in all neurons, and the first layers' input weights scaled.

    Raises
    ------
    ValueError
        When a layer's neurons are not LIF.
    """
    branches = []
    for branch in hidden.branches:
        layers = []
        for i, layer in enumerate(branch.layers):
            if not isinstance(layer.neuron, LIF):
                raise ValueError(f"a reservoir is of LIF neurons, hidden has kind {layer.neuron.name!r}")
            neuron = lif(layer.m, leak, threshold, layer.neuron.reset, hidden.dtype)
            layers.append(replace(layer, weight=layer.weight * (input_scale if i == 0 else 1.0), neuron=neuron))
        branches.append(Branch(tuple(layers)))
    return replace(hidden, branches=tuple(branches))
