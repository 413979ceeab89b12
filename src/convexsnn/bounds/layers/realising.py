"""Two layers in float64 that give a pattern: a neuron for each spike train, and one that reads them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from convexsnn.bounds.cells.tree import DecisionTree
from convexsnn.bounds.family import NetworkFamily
from convexsnn.bounds.layers.listing import Functions, Rows, Trains
from convexsnn.bounds.patterns.witness import find_branch
from convexsnn.network import Branch, Layer
from convexsnn.sequences import Sequences


class Realising:
    """Branches of two layers for spike trains of the first and functions of their words.

    Parameters
    ----------
    family : NetworkFamily
    rows : Rows
    trains : Trains
        Of the first layer. The neuron found for each is kept.
    """

    def __init__(self, family: NetworkFamily, rows: Rows, trains: Trains) -> None:
        self._family, self._rows, self._trains = family, rows, trains
        self._neurons: dict[int, Branch | None] = {}

    def branch(self, functions: Functions, members: tuple[int, ...], column: NDArray[np.bool_]) -> Branch | None:
        """A branch that gives the column (rows,), for the numbers of a function and of trains; None where none does."""
        below = [self._neuron(train) for train in members[1:]]
        if any(neuron is None for neuron in below):
            return None
        first = self._side_by_side([neuron.last for neuron in below if neuron is not None])
        spikes = self._spikes(members[1:])
        family, units = self._family, (functions.unit,)
        above = NetworkFamily(len(below), units, readout=family.readout, every_step=family.every_step)
        tree = DecisionTree.of(functions.unit, above, spikes)
        decided = tree.along(functions.along(tree, members[0]))
        last = find_branch(tree.dynamics, decided, spikes, torch.from_numpy(column[self._rows.kept]))
        return None if last is None else replace(last, layers=(first, *last.layers))

    def _neuron(self, train: int) -> Branch | None:
        if train not in self._neurons:
            tree, column = self._trains.tree, torch.from_numpy(self._trains.bits[train].astype(bool))
            conditions = tree.along(self._trains.patterns.trains[train])
            self._neurons[train] = find_branch(tree.dynamics, conditions, self._rows.sequences, column)
        return self._neurons[train]

    def _side_by_side(self, layers: list[Layer]) -> Layer:
        below = self._family.below
        assert below is not None
        weight = torch.cat([layer.weight for layer in layers], dim=1)
        biases = [layer.bias for layer in layers if layer.bias is not None]
        leaks = torch.full((len(layers),), below.unit.leak, dtype=torch.float64)
        return Layer(weight, below.unit.neurons(leaks), None, torch.cat(biases) if biases else None)

    def _spikes(self, trains: tuple[int, ...]) -> Sequences:
        """What the first layer sends to the last one."""
        sequences = self._rows.sequences
        values = torch.zeros(len(sequences), sequences.n_steps, len(trains), dtype=torch.float64)
        values[sequences.shown] = torch.from_numpy(self._trains.bits[list(trains)].T.astype(np.float64))
        return Sequences(values, sequences.lengths)
