"""Random neurons of a family, with which column generation begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convexsnn.bounds import NetworkFamily, Unit, rounding_of
from convexsnn.dictionary import Dictionary, build_dictionary
from convexsnn.exact.family_program import TRAINING, FamilyProgram
from convexsnn.network import Hidden
from convexsnn.penalties import require_norm
from convexsnn.sequences import Sequences

# Neurons of each kind that are drawn.
DRAWN = 4096
# A weight times the size of its feature is normal, times two to a power between these.
POWERS = (-2.0, 2.0)
# Half of free leaks are uniform. The others come near the largest, by two to powers down to this.
NEAREST = -10.0
# The program over all of them is solved so far. So many are kept: those of the largest products with its dual vector.
TOL, KEPT = 1e-3, 1000


def drawn_neurons(task: FamilyProgram) -> Hidden:
    """Random neurons of a family of one layer, as far as they matter to the program over them; the same each time.

    None are given where float64 cannot tell their spikes: they may be those of no neuron of the family in exact
    arithmetic.
    """
    family, sequences = task.family, task.problem.input
    random = np.random.default_rng(0)
    shown = sequences.values[sequences.shown].to(torch.float64).square().mean(dim=0).sqrt()
    sizes = torch.where(shown > 0.0, shown, 1.0).numpy()
    drawn = [_parameters(unit, sizes, random) for unit in family.units]
    dictionary = _certain_columns(family, drawn, sequences)
    if dictionary is None:
        return replace(family.simplest(), branches=())
    U = task.solve(dictionary.columns, TOL).U
    worth = require_norm(task.problem.penalty, TRAINING).row_norms(dictionary.columns.rmatmul(U))
    kept = torch.zeros(len(drawn) * DRAWN, dtype=torch.bool)
    kept[dictionary.neuron_of[worth.topk(min(KEPT, len(worth))).indices]] = True
    return _hidden(family, [p[:, own] for p, own in zip(drawn, kept.split(DRAWN), strict=True)], alone=True)


def _certain_columns(family: NetworkFamily, parameters: Sequence[Tensor], sequences: Sequences) -> Dictionary | None:
    """The columns of neurons of each kind; None where rounding could decide a spike, or numbers are out of range."""
    try:
        dictionary = build_dictionary(_hidden(family, parameters), sequences)
    except ValueError:  # weights or potentials beyond the range of float64
        return None
    off = max(_rounding(unit, p, sequences) for unit, p in zip(family.units, parameters, strict=True))
    return dictionary if dictionary.spike_margin > off else None


def _hidden(family: NetworkFamily, parameters: Sequence[Tensor], *, alone: bool = False) -> Hidden:
    """Neurons of each kind; `alone`, those that see their own last spike are in branches of their own."""
    parts = [
        (unit, part)
        for unit, p in zip(family.units, parameters, strict=True)
        for part in (p.split(1, dim=1) if alone and unit.self_recurrent else (p,))
    ]
    branches = tuple(unit.branch(p, family.n_features, torch.float64) for unit, p in parts if p.shape[1])
    return Hidden(family.n_features, branches, family.readout, family.every_step)


def _rounding(unit: Unit, p: Tensor, sequences: Sequences) -> float:
    """See `rounding_of`."""
    scale, largest = abs(unit.threshold) if unit.has_threshold else 1.0, float(sequences.values.abs().max())
    return rounding_of(scale * p.numpy(), largest, abs(unit.threshold), sequences.n_steps)


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
