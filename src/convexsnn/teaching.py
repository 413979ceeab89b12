"""Few kernels are taught what a network of many answers, also where nobody gave a label: to made-up sequences."""

from __future__ import annotations

from dataclasses import replace

import torch

from convexsnn.caller import one_thread
from convexsnn.kernel_search import concatenated, noisy, sampled
from convexsnn.losses import Squared
from convexsnn.network import Branch, Hidden, Network
from convexsnn.neurons import Threshold
from convexsnn.penalties import Ridge
from convexsnn.problem import Problem
from convexsnn.sequences import Sequences
from convexsnn.simulation import scores
from convexsnn.surrogate import SurrogateSettings, train_surrogate
from convexsnn.validation import Score
from convexsnn.witnesses import InputView
from convexsnn.witnesses.kernels import units, with_unit_potentials

# Few columns that answer as well as this are left as they are: the score of their answers with those of all as targets.
ENOUGH = 5 / 6
# Chosen on splits of the digits that no table of the documentation has.
LESSONS = SurrogateSettings(epochs=20, learning_rate=1e-2, surrogate="fast_sigmoid", path_norm=False)


@one_thread()
def taught(few: Network, many: Network, given: Sequences, score: Score, seed: int) -> Hidden:
    """The neurons of `few`, whose kernels have other weights and thresholds, so that they answer as `many` does.

    Weights are trained by surrogate gradients, and the output weights with them, on sequences that are `given` and on
    noisy ones that are made up of these. Neurons of other kinds, such as one that always fires, stay as they are. Where
    `few` answers to these sequences nearly as `many` does, all neurons stay as they are.

    Parameters
    ----------
    few : Network
        With output weights from which training begins.
    many : Network
    given : Sequences
    score : Score
        How well few answer, where the answers of many are right.
    seed : int
    """
    generator, hidden = torch.Generator().manual_seed(seed), few.hidden
    shown = concatenated(sampled(given, generator), noisy(given, generator))
    answers, first = scores(many, shown).cpu(), scores(few, shown).cpu()
    if score(answers, first, torch.ones(len(answers), dtype=torch.float64)) >= ENOUGH:
        return hidden
    # Features count in units of their standard deviation, and potentials in theirs.
    unit = units(given)
    view, back = (InputView(torch.zeros_like(unit), spread) for spread in (unit, 1.0 / unit))
    seen = view.applied(shown)
    begun = with_unit_potentials(back.inside(hidden), seen)
    lesson = Problem(seen, answers, Squared(), Ridge(), rho=1.0)  # training without `path_norm` has no penalty
    learned = train_surrogate(replace(few, hidden=begun), lesson, LESSONS, seed=seed).network.hidden
    branches = zip(hidden.branches, view.inside(learned).branches, strict=True)
    return replace(hidden, branches=tuple(new if can_be_taught(old) else old for old, new in branches))


def can_be_taught(branch: Branch) -> bool:
    """Whether a branch has kernels: one layer of threshold neurons without recurrent weights."""
    layer = branch.last
    return len(branch.layers) == 1 and isinstance(layer.neuron, Threshold) and layer.recurrent is None
