"""The complete regime: networks that realise every pattern of distinct inputs, and so reach the universal bound.

The universal program min_delta F(delta) + rho sum_c (max(delta_c+) + max(delta_c-)) is reached by nested patterns:
with levels 0 < l_1 < ... of an output's positive scores, delta+ = sum_j (l_j - l_{j-1}) 1[delta >= l_j], whose weights
sum to max(delta+); likewise the negative scores. One output has at most n of them (arXiv 2303.03382,
Theorem 2.3: n + 2). Any patterns of distinct inputs, nested or not, are realised by each of

- "lif": a LIF layer without reset whose potential is a projection of the leaky sum of the input that tells all inputs
  apart, with a threshold between each two neighbours (a thermometer), and memoryless LIF neurons that add its steps;
- "threshold": the same with threshold units, where the last steps alone tell the inputs apart;
- "recurrent": a thermometer of single steps, a recurrent threshold layer with one neuron a prefix of the input, which
  fires when its last step is seen after its parent has fired, and threshold units that join prefixes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from convexsnn.bounds.caps import capped_scores
from convexsnn.bounds.universal import without_columns
from convexsnn.checks import check_choice
from convexsnn.network import Branch, Hidden, Layer, Network
from convexsnn.neurons import LIF, Neuron, Threshold, lif
from convexsnn.penalties import require_norm
from convexsnn.prefixes import equal_prefixes
from convexsnn.program import ConvexProgram, check_penalised
from convexsnn.readouts import Spike
from convexsnn.sequences import Sequences
from convexsnn.simulation import simulate

KINDS = ("lif", "threshold", "recurrent")
LEAK = 0.9
# Projections to try, and the share of their size by which the inputs must differ. A projection that is taken although
# rounding mixes it up is found out when the network is run.
TRIES, APART = 50, 1e-9


def complete_network(program: ConvexProgram, sequences: Sequences, every_step: bool, kind: str = "lif") -> Network:
    """A network whose objective is the universal bound of an l1 program, the least that any network has.

    Parameters
    ----------
    program : ConvexProgram
        With the l1 penalty (or one output); its columns are not used.
    sequences : Sequences
    every_step : bool
    kind : {"lif", "threshold", "recurrent"}
        How the patterns are realised; see the module.

    Raises
    ------
    ValueError
        For the row-group penalty with several outputs, for a penalty that is no norm, and where different inputs look
        alike to the kind of network.
    """
    check_choice("kind", kind, KINDS)
    norm = require_norm(program.penalty, "a network that reaches the universal bound")
    check_penalised(program, "a network that reaches the universal bound")
    if norm.exponent(program.n_outputs) != 1.0:
        raise ValueError("program must have the l1 penalty, or one output: otherwise the bound is not reached")
    groups = equal_prefixes(sequences, every_step=every_step)
    patterns, W = nested_patterns(capped_scores(without_columns(program), groups, program.rho))
    hidden = realise_patterns(patterns, sequences, every_step, kind)
    # The network is run: what is said of it then rests on no tolerance of its construction.
    if not torch.equal(simulate(hidden, sequences).features, patterns[groups]):
        raise _look_alike(kind)
    return Network(hidden, W)


def nested_patterns(delta: Tensor) -> tuple[Tensor, Tensor]:
    """Nested patterns and weights with patterns @ W = delta at the least l1 norm.

    Parameters
    ----------
    delta : float64 tensor of shape (m, C)

    Returns
    -------
    patterns : bool tensor of shape (m, P)
    W : float64 tensor of shape (P, C)
    """
    patterns, weights = [], []
    for c in range(delta.shape[1]):
        for sign in (1.0, -1.0):
            scores = sign * delta[:, c]
            levels = torch.unique(scores[scores > 0.0])
            for level, step in zip(levels, torch.diff(levels, prepend=levels.new_zeros(1)), strict=True):
                patterns.append(scores >= level)
                row = delta.new_zeros(delta.shape[1])
                row[c] = sign * step
                weights.append(row)
    if not patterns:
        return torch.zeros(len(delta), 0, dtype=torch.bool), delta.new_zeros(0, delta.shape[1])
    return torch.stack(patterns, dim=1), torch.stack(weights)


def realise_patterns(patterns: Tensor, sequences: Sequences, every_step: bool, kind: str = "lif") -> Hidden:
    """A network of one branch with one last-layer neuron a pattern (groups of equal inputs, P), bool."""
    if patterns.shape[1] == 0:
        return Hidden(sequences.n_features, (), Spike(), every_step)
    if kind == "recurrent":
        layers = _recurrent(patterns, sequences, every_step)
    else:
        layers = _thermometer(patterns, sequences, every_step, kind)
    return Hidden(sequences.n_features, (Branch(layers),), Spike(), every_step)


def _thermometer(patterns: Tensor, sequences: Sequences, every_step: bool, kind: str) -> tuple[Layer, ...]:
    """Depth 3: steps of a thermometer of the leaky sum (or the last step), and their sums."""
    leak = LEAK if kind == "lif" else 0.0
    groups, sums = equal_prefixes(sequences, every_step=every_step).numpy(), []
    for steps, length in zip(sequences.values.cpu().to(torch.float64).numpy(), sequences.lengths.tolist(), strict=True):
        total = np.zeros(sequences.n_features)
        for t in range(length):
            total = leak * total + steps[t]
            if every_step or t == length - 1:
                sums.append(total)
    first = np.unique(groups, return_index=True)[1]
    below, order = _steps(np.array(sums)[first], kind)
    bits = patterns[order].to(torch.float64)
    rises = torch.diff(bits, dim=0, prepend=torch.zeros_like(bits[:1]))
    P = patterns.shape[1]
    if kind == "lif":
        return below, Layer(rises, lif(P, 0.0, 0.5, "none"))
    return below, Layer(rises, Threshold(), bias=torch.full((P,), -0.5, dtype=torch.float64))


def _steps(points: np.ndarray, kind: str) -> tuple[Layer, Tensor]:
    """A layer whose k-th neuron fires from the k-th of the distinct points on, in the order of a projection."""
    for seed in range(TRIES):
        w = np.random.default_rng(seed).normal(size=points.shape[1])
        z = points @ w
        order = np.argsort(z, kind="stable")
        between = np.diff(z[order])
        if between.size == 0 or between.min() > APART * max(1e-300, np.abs(z).max()):
            break
    else:
        raise _look_alike(kind)
    cuts = torch.from_numpy(np.concatenate([z[order[:1]] - 1.0, z[order[:-1]] + between / 2.0]))
    weight = torch.from_numpy(np.repeat(w[:, None], len(cuts), axis=1))
    neuron: Neuron = Threshold()
    if kind == "lif":
        neuron = LIF(torch.full_like(cuts, LEAK), cuts, "none")
    return Layer(weight, neuron, bias=None if kind == "lif" else -cuts), torch.from_numpy(order)


def _look_alike(kind: str) -> ValueError:
    return ValueError(
        f"sequences have different inputs that look alike to a network of kind {kind!r}: choose another kind"
    )


def _recurrent(patterns: Tensor, sequences: Sequences, every_step: bool) -> tuple[Layer, ...]:
    """Depth 4: a thermometer of single steps, a neuron a prefix (and a clock, which fires always), and their unions."""
    lengths = sequences.lengths.tolist()
    flat = torch.cat([sequences.values[i, :T] for i, T in enumerate(lengths)]).cpu().to(torch.float64)
    single = Sequences(flat.unsqueeze(1), torch.ones(len(flat), dtype=torch.int64))
    value = equal_prefixes(single, every_step=False).numpy()
    below, order = _steps(flat.numpy()[np.unique(value, return_index=True)[1]], "recurrent")
    place = np.argsort(order.numpy())[value]  # which step of the thermometer is the last on
    prefix = equal_prefixes(sequences, every_step=True).numpy()
    groups, m = equal_prefixes(sequences, every_step=every_step).numpy(), int(prefix.max()) + 1
    clock = m
    weight, recurrent = torch.zeros(below.m, m + 1).double(), torch.zeros(m + 1, m + 1).double()
    bias, union = torch.zeros(m + 1).double(), torch.zeros(m + 1, patterns.shape[1]).double()
    row = start = 0
    for T in lengths:
        for t in range(T):
            node, k = prefix[start + t], place[start + t]
            weight[k, node] = 1.0
            if k + 1 < below.m:
                weight[k + 1, node] = -1.0
            # A first step counts before the clock has fired, a later one after its parent.
            recurrent[clock if t == 0 else prefix[start + t - 1], node] = -1.0 if t == 0 else 1.0
            bias[node] = -0.5 if t == 0 else -1.5
            if every_step or t == T - 1:
                union[node] = patterns[groups[row]].double()
                row += 1
        start += T
    above = Layer(union, Threshold(), bias=torch.full((patterns.shape[1],), -0.5, dtype=torch.float64))
    return below, Layer(weight, Threshold(), recurrent, bias), above
