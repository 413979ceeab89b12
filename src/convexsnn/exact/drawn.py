"""Random neurons of a family, with which column generation begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convexsnn.bounds import NetworkFamily, Unit, rounding_of
from convexsnn.dictionary import Dictionary, build_dictionary
from convexsnn.exact.family_program import TRAINING, FamilyProgram
from convexsnn.network import Hidden, Layer
from convexsnn.penalties import require_norm
from convexsnn.sequences import Sequences

# Neurons of each kind that are drawn.
DRAWN = 4096
# Of two layers, so many last-layer neurons read the same first layer.
SHARING = 64
# A weight times the size of its feature is normal, times two to a power between these.
POWERS = (-2.0, 2.0)
# Half of free leaks are uniform. The others come near the largest, by two to powers down to this.
NEAREST = -10.0
# The program over all of them is solved so far. So many are kept: those of the largest products with its dual vector.
TOL, KEPT = 1e-3, 1000


class _Drawn(NamedTuple):
    """Neurons of one kind, side by side.

    Attributes
    ----------
    unit : Unit
    p : float64 tensor of shape (r, m)
        Their parameters.
    below : Layer, optional
        The first layer that they read.
    """

    unit: Unit
    p: Tensor
    below: Layer | None = None


def drawn_neurons(task: FamilyProgram) -> Hidden:
    """Random neurons of a family, as far as they matter to the program over them; the same each time.

    None are given where float64 cannot tell their spikes: they may be those of no neuron of the family in exact
    arithmetic.
    """
    family, sequences = task.family, task.problem.input
    drawn = _draw(family, sequences, np.random.default_rng(0))
    dictionary = _certain_columns(family, drawn, sequences)
    if dictionary is None:
        return replace(family.simplest(), branches=())
    U = task.solve(dictionary.columns, TOL).U
    worth = require_norm(task.problem.penalty, TRAINING).row_norms(dictionary.columns.rmatmul(U))
    kept = torch.zeros(len(family.units) * DRAWN, dtype=torch.bool)
    kept[dictionary.neuron_of[worth.topk(min(KEPT, len(worth))).indices]] = True
    parts = zip(drawn, kept.split([each.p.shape[1] for each in drawn]), strict=True)
    return _hidden(family, [each._replace(p=each.p[:, own]) for each, own in parts], alone=True)


def _draw(family: NetworkFamily, sequences: Sequences, random: np.random.Generator) -> list[_Drawn]:
    """So many neurons of each kind; of two layers, some of them read the same random neurons."""
    shown = sequences.values[sequences.shown].to(torch.float64).square().mean(dim=0).sqrt()
    sizes = torch.where(shown > 0.0, shown, 1.0).numpy()
    if family.below is None:
        return [_Drawn(unit, _parameters(unit, sizes, random)) for unit in family.units]
    first, drawn = family.below, []
    for unit in family.units:
        p, below = _parameters(unit, np.ones(first.width), random), _parameters(first.unit, sizes, random)
        for part, under in zip(p.split(SHARING, dim=1), below.split(first.width, dim=1), strict=False):
            layer = first.unit.branch(under, family.n_features, torch.float64).last
            drawn.append(_Drawn(unit, part, layer))
    return drawn


def _certain_columns(family: NetworkFamily, drawn: Sequence[_Drawn], sequences: Sequences) -> Dictionary | None:
    """The columns of drawn neurons; None where rounding could decide a spike, or numbers are out of range."""
    try:
        dictionary = build_dictionary(_hidden(family, drawn), sequences)
    except ValueError:  # weights or potentials beyond the range of float64
        return None
    off = max(_rounding(family, each, sequences) for each in drawn)
    return dictionary if dictionary.spike_margin > off else None


def _hidden(family: NetworkFamily, drawn: Sequence[_Drawn], *, alone: bool = False) -> Hidden:
    """Neurons of each kind; `alone`, those that see their own last spike are in branches of their own."""
    branches = []
    for unit, p, below in drawn:
        for part in p.split(1, dim=1) if alone and unit.self_recurrent else (p,):
            if part.shape[1]:
                branch = unit.branch(part, family.inputs, torch.float64)
                branches.append(branch if below is None else replace(branch, layers=(below, *branch.layers)))
    return Hidden(family.n_features, tuple(branches), family.readout, family.every_step)


def _rounding(family: NetworkFamily, drawn: _Drawn, sequences: Sequences) -> float:
    """See `rounding_of`; of two layers the larger one."""
    unit, p, below = drawn
    largest, steps = float(sequences.values.abs().max()), sequences.n_steps
    scale = abs(unit.threshold) if unit.has_threshold else 1.0
    if below is None:
        return rounding_of(scale * p.numpy(), largest, abs(unit.threshold), steps)
    assert family.below is not None
    first = [below.weight, *([] if below.bias is None else [below.bias[None]])]
    off = rounding_of(torch.cat(first).numpy(), max(1.0, largest), abs(family.below.unit.threshold), steps)
    return max(off, rounding_of(scale * p.numpy(), 1.0, abs(unit.threshold), steps))


def _parameters(unit: Unit, sizes: NDArray[np.float64], random: np.random.Generator) -> Tensor:
    """Parameters (r, DRAWN) of neurons of one kind, for features of these sizes."""
    scale = np.exp2(random.uniform(*POWERS, size=DRAWN))
    rows = list(random.normal(size=(len(sizes), DRAWN)) * scale / sizes[:, None])
    rows += [random.normal(size=DRAWN) * scale for _ in range(unit.self_recurrent + unit.bias)]
    rows += [np.ones(DRAWN)] * unit.has_threshold + [random.normal(size=DRAWN)] * unit.readout_bias
    if unit.leak_to is not None:
        share = np.where(
            random.random(DRAWN) < 0.5, random.random(DRAWN), 1.0 - np.exp2(NEAREST * random.random(DRAWN))
        )
        rows.append(unit.leak + share * (unit.leak_to - unit.leak))
    return torch.from_numpy(np.stack(rows))
