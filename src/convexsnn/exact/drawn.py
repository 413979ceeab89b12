"""Random neurons of a family, with which column generation begins."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from convexsnn.bounds import Unit
from convexsnn.dictionary import build_dictionary
from convexsnn.exact.family_program import TRAINING, FamilyProgram
from convexsnn.network import Branch, Hidden
from convexsnn.penalties import require_norm
from convexsnn.reconstruction import keep_neurons

# Neurons of each kind that are drawn.
DRAWN = 4096
# A weight times the size of its feature is normal, times two to a power between these.
POWERS = (-2.0, 2.0)
# Half of free leaks are uniform. The others come near the largest, by two to powers down to this.
NEAREST = -10.0
# The program over all of them is solved so far. So many are kept: those of the largest products with its dual vector.
TOL, KEPT = 1e-3, 1000


def drawn_neurons(task: FamilyProgram) -> Hidden:
    """Random neurons of a family of one layer, as far as they matter to the program over them; the same each time."""
    family, sequences = task.family, task.problem.input
    random = np.random.default_rng(0)
    shown = sequences.values[sequences.shown].to(torch.float64).square().mean(dim=0).sqrt()
    sizes = torch.where(shown > 0.0, shown, 1.0).numpy()
    branches = tuple(_branch(unit, sizes, random) for unit in family.units)
    hidden = Hidden(family.n_features, branches, family.readout, family.every_step)
    dictionary = build_dictionary(hidden, sequences)
    U = task.solve(dictionary.columns, TOL).U
    worth = require_norm(task.problem.penalty, TRAINING).row_norms(dictionary.columns.rmatmul(U))
    kept = torch.zeros(hidden.n_last, dtype=torch.bool)
    kept[dictionary.neuron_of[worth.topk(min(KEPT, len(worth))).indices]] = True
    return keep_neurons(hidden, kept)[0]


def _branch(unit: Unit, sizes: NDArray[np.float64], random: np.random.Generator) -> Branch:
    """Neurons of one kind, for features of these sizes."""
    scale = np.exp2(random.uniform(*POWERS, size=DRAWN))
    rows = list(random.normal(size=(len(sizes), DRAWN)) * scale / sizes[:, None])
    rows += [random.normal(size=DRAWN) * scale for _ in range(unit.self_recurrent + unit.bias)]
    rows += [np.ones(DRAWN)] * unit.has_threshold + [random.normal(size=DRAWN)] * unit.readout_bias
    if unit.leak_to is not None:
        share = np.where(
            random.random(DRAWN) < 0.5, random.random(DRAWN), 1.0 - np.exp2(NEAREST * random.random(DRAWN))
        )
        rows.append(unit.leak + share * (unit.leak_to - unit.leak))
    return unit.branch(torch.from_numpy(np.stack(rows)), len(sizes), torch.float64)
