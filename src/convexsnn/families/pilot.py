"""Which of several kinds of kernels suits a problem, by a sample of its sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from convexsnn.dictionary import build_dictionary
from convexsnn.problem import Problem
from convexsnn.solvers.path import halved_rhos
from convexsnn.solvers.spectrum import Spectrum
from convexsnn.witnesses.kernels import KernelShape, kernels

# Sequences of the sample.
SAMPLE = 1000


def least_left_out(shapes: Sequence[KernelShape], problem: Problem, seed: int) -> int:
    """The place of the kernels whose ridge readout has the smallest error on sequences that are left out.

    Each kind is drawn and solved for on at most `SAMPLE` sequences, at its best rho.

    Raises
    ------
    ValueError
        Where the loss and penalty of the problem do not tell that error.
    """
    if not problem.leaves_one_out:
        raise ValueError(
            "choose_windows compares errors on sequences that are left out: it needs loss='squared', penalty='ridge' "
            "and one label a sequence"
        )
    chosen = np.zeros(len(problem.source), dtype=bool)
    chosen[torch.randperm(len(chosen), generator=torch.Generator().manual_seed(seed))[:SAMPLE].numpy()] = True
    sample = problem.take(chosen)
    (sequences,) = sample.source.chunks(SAMPLE)
    sample = replace(sample, sequences=sequences)
    errors = [_left_out(shape, sample, seed) for shape in shapes]
    return int(np.argmin(errors))


def _left_out(shape: KernelShape, problem: Problem, seed: int) -> float:
    """The error of one kind of kernels."""
    hidden = kernels(problem.source.sample, torch.Generator().manual_seed(seed), shape)
    program = problem.program(build_dictionary(hidden, problem.source).columns)
    return Spectrum.of(program).least_left_out(halved_rhos(program)).loss
