"""Rows with equal input: every deterministic network gives them equal bits, whatever its weights."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

from convexsnn.sequences import Sequences


def equal_inputs(sequences: Sequences, every_step: bool) -> Tensor:
    """A number for each dictionary row, the same for two rows if and only if the network has seen the same input.

    What a causal network does at a step depends on the steps up to it alone, so a row is its sequence up to the step
    at which it is read: the last, or with `every_step` each of them.

    Parameters
    ----------
    sequences : Sequences
    every_step : bool

    Returns
    -------
    int64 tensor of shape (rows,) on the CPU
        Groups are numbered from 0 in the order of their first row.
    """
    # Inputs are told apart by a cryptographic digest of their bytes; adding zero turns -0.0 into 0.0.
    values = np.ascontiguousarray(sequences.values.cpu().numpy() + 0.0)
    seen: dict[bytes, int] = {}
    groups = []
    for steps, length in zip(values, sequences.lengths.tolist(), strict=True):
        digest = hashlib.blake2b(digest_size=16)
        if not every_step:
            digest.update(steps[:length].tobytes())
            groups.append(seen.setdefault(digest.digest(), len(seen)))
            continue
        for step in steps[:length]:
            digest.update(step.tobytes())
            groups.append(seen.setdefault(digest.copy().digest(), len(seen)))
    return torch.tensor(groups)


def sum_groups(values: Tensor, groups: Tensor) -> Tensor:
    """The sums of the rows of `values` (n, C) over each group of `groups` (n,): shape (number of groups, C)."""
    return values.new_zeros(int(groups.max()) + 1, values.shape[1]).index_add_(0, groups, values)
