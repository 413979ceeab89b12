"""How branches are read: what one spike counts in a score, and columns from the spikes of all steps.

A column is a sum of spikes with weights kappa that are fixed before training (theory.md section 7). So its product with
a dual vector is a sum over spikes too. A spike counts there what it counts in the column of each row that it precedes,
times that row's entry. These numbers do not depend on the branches: they are found once for many of these.
"""

from __future__ import annotations

import torch
from torch import Tensor

from convexsnn.prefixes import Prefixes
from convexsnn.readouts import Accumulated, LastLayer, Membrane, Readout, Spike


def check_scored(readout: Readout) -> None:
    """ValueError, naming the readout, where the columns of branches are not known from their spikes."""
    if not isinstance(readout, Membrane) and readout.kappa((1,)) is None:
        raise ValueError(
            f"readout {str(readout)!r} is no sum of spikes, which a search could score: use 'rate', 'count', 'leaky', "
            "'spike' or 'membrane', or a readout that sums spikes, such as Windows"
        )


def at_last_step(readout: Readout) -> bool:
    """Whether a column is what is seen of a neuron at the step that is read, and nothing of the steps before."""
    return isinstance(readout, Spike | Membrane)


def watched(prefixes: Prefixes, readout: Readout) -> Prefixes:
    """The prefixes, seen after all steps that count to a readout."""
    return prefixes if at_last_step(readout) else prefixes.at_every_step


def counted(prefixes: Prefixes, readout: Readout, U: Tensor) -> list[Tensor]:
    """What one spike after each prefix counts in d^T U, step by step.

    Parameters
    ----------
    prefixes : Prefixes
    readout : Readout
        With columns that are sums of spikes, or `Membrane`.
    U : float tensor of shape (rows, C)

    Returns
    -------
    list of T float tensors of shape (u_t, parts * C)
        The outputs for the first part, then those for the second, and so on.
    """
    if at_last_step(readout):
        return prefixes.gather(U)
    depth = prefixes.depth_of_row
    reads, which = depth.unique(return_inverse=True)
    kappa = readout.kappa(reads.tolist())
    assert kappa is not None  # else `check_scored` refuses it
    kappa, sums = kappa.to(U), []
    starts = torch.tensor([0, *prefixes.sizes]).cumsum(0).tolist()
    # From the last step to the first: the rows that have come so far, and the prefix of each.
    node = prefixes.node_of_row.clone()
    for t in range(len(prefixes.sizes) - 1, -1, -1):
        seen = torch.nonzero(depth > t).flatten()
        here = node[seen] - starts[t]
        own = torch.einsum("rp,rc->rpc", kappa[which[seen], t], U[seen]).flatten(1)
        sums.append(U.new_zeros(prefixes.sizes[t], own.shape[1]).index_add_(0, here, own))
        parent = prefixes.parents[t]
        if t > 0:
            node[seen] = starts[t - 1] + (here if parent is None else parent[here])
    return sums[::-1]


def columns_over_time(readout: Readout, spikes: Tensor, part: Tensor, prefixes: Prefixes, dtype: torch.dtype) -> Tensor:
    """The columns of neurons from their spikes, for readouts over time.

    Parameters
    ----------
    readout : Readout
    spikes : bool tensor of shape (P, nodes)
        After each prefix.
    part : int64 tensor of shape (P,)
        The part of the readout that is wanted of each neuron.
    prefixes : Prefixes
        On the CPU.
    dtype : torch.dtype
        Arithmetic of the readout: that of the network to be.

    Returns
    -------
    float64 tensor of shape (P, rows)
    """
    count, depth = len(spikes), prefixes.depth_of_row
    ends = torch.tensor(prefixes.sizes).cumsum(0).tolist()
    found = torch.zeros(count, len(depth), dtype=torch.float64)
    if count == 0:
        return found
    accumulated: Accumulated = readout.start(torch.zeros(1, count, dtype=dtype))
    for t, (end, size) in enumerate(zip(ends, prefixes.sizes, strict=True)):
        parent = prefixes.parents[t]
        if parent is not None:
            accumulated = tuple(carried[parent] for carried in accumulated)
        fired, steps = spikes[:, end - size : end].T.to(dtype), torch.full((size, 1), t + 1)
        last = LastLayer(fired, fired, accumulated, steps, None)
        accumulated = readout.update(last)
        rows = torch.nonzero(depth == t + 1).flatten()
        if len(rows):
            read = readout.read(last._replace(accumulated=accumulated)).features.view(size, count, readout.parts)
            mine = read[:, torch.arange(count), part]
            found[:, rows] = mine[prefixes.node_of_row[rows] - (end - size)].T.to(torch.float64)
    return found + 0.0  # -0.0 becomes 0.0, so that equal columns are equal bytes
