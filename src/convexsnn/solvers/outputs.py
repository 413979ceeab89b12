"""Programs that fall into one of each output: the loss is a sum over the outputs and the penalty one over entries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from convexsnn.penalties import L1
from convexsnn.program import ConvexProgram
from convexsnn.solvers.base import Best


def output_program(program: ConvexProgram, c: int) -> ConvexProgram:
    """The program of output `c` alone, where every penalty is the l1 penalty."""
    return replace(program, targets=program.targets[:, c : c + 1], penalty=L1())


def output_of(W: Tensor | None, c: int) -> Tensor | None:
    """Column `c` of weights (P, C) as weights of one output (P, 1); None of None."""
    return None if W is None else W[:, c : c + 1]


def join_outputs(parts: Sequence[Best]) -> Best:
    """The best point of the whole program, of those of its outputs."""
    if len(parts) == 1:
        return parts[0]
    W, U = torch.cat([part.W for part in parts], dim=1), torch.cat([part.U for part in parts], dim=1)
    return Best(W, U, sum(part.primal for part in parts), sum(part.dual for part in parts))
