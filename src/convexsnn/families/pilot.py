"""What ridge regression on a sample of the sequences says of kernels: which kind suits, and first output weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from convexsnn.dictionary import Dictionary, build_dictionary
from convexsnn.losses import Squared
from convexsnn.network import Hidden
from convexsnn.penalties import Ridge
from convexsnn.problem import Problem
from convexsnn.program import ConvexProgram
from convexsnn.solvers.path import halved_rhos
from convexsnn.solvers.spectrum import Spectrum
from convexsnn.witnesses.kernels import KernelShape, kernels

# Sequences of the sample on which kinds of kernels are compared, and of that for which output weights are made.
SAMPLE, READ = 1000, 4000
# Output weights are made this many times as large, if that lowers the loss.
SCALES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


def least_left_out(shapes: Sequence[KernelShape], problem: Problem, seed: int) -> int:
    """The place of the kernels whose ridge readout has the smallest error on sequences that are left out.

    Each kind is drawn, and solved for with the squared loss, on at most `SAMPLE` sequences, at its best rho. That error
    is known for the squared loss alone, so it stands for the loss of the problem.

    Raises
    ------
    ValueError
        Where the problem has a label at every step.
    """
    if problem.every_step:
        raise ValueError("choose_windows compares errors on sequences that are left out: it needs one label a sequence")
    sample = _sampled(problem, SAMPLE, seed)
    drawn = (kernels(sample.source.sample, torch.Generator().manual_seed(seed), shape) for shape in shapes)
    return int(np.argmin([_Ridge.of(sample, hidden).error for hidden in drawn]))


def sampled_weights(hidden: Hidden, problem: Problem, dropout: float, seed: int) -> Tensor:
    """Output weights (P_last, C) with which training of given neurons may begin.

    They are those of ridge regression on some sequences, scaled to the loss of the problem. Its penalty is that of
    dropout, which in the mean adds dropout / (1 - dropout) of the mean square of each column (Wager et al., Dropout
    training as adaptive regularization, 2013): the mean over all columns stands for each.
    """
    sample = _sampled(problem, READ, seed)
    ridge = _Ridge.of(sample, hidden)
    spread = float(ridge.spectrum.values.sum()) / ridge.program.n_columns
    W = ridge.spectrum.weights(max(ridge.rho, 2.0 * dropout / (1.0 - dropout) * spread))
    S = ridge.program.columns.matmul(W)
    losses = [float(sample.weights @ problem.loss.value(scale * S, sample.targets)) for scale in SCALES]
    return ridge.dictionary.to_neurons(SCALES[int(np.argmin(losses))] * W)


class _Ridge(NamedTuple):
    """Ridge regression on the columns of some neurons, at the rho that leaves out best, and its error there."""

    dictionary: Dictionary
    program: ConvexProgram
    spectrum: Spectrum
    rho: float
    error: float

    @classmethod
    def of(cls, problem: Problem, hidden: Hidden) -> _Ridge:
        squared = replace(problem, loss=Squared(), penalty=Ridge())
        dictionary = build_dictionary(hidden, problem.source)
        program = squared.program(dictionary.columns)
        spectrum, rhos = Spectrum.of(program), halved_rhos(program)
        left_out = spectrum.least_left_out(rhos)
        return cls(dictionary, program, spectrum, rhos[left_out.place], left_out.loss)


def _sampled(problem: Problem, size: int, seed: int) -> Problem:
    """The problem of at most `size` of the sequences, in memory."""
    chosen = np.zeros(len(problem.source), dtype=bool)
    chosen[torch.randperm(len(chosen), generator=torch.Generator().manual_seed(seed))[:size].numpy()] = True
    sample = problem.take(chosen)
    (sequences,) = sample.source.chunks(size)
    return replace(sample, sequences=sequences)
