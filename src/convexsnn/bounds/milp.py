"""The best pattern of one neuron by a mixed-integer program, with a bound that holds even when it is stopped early.

One binary a decision (spike, or bit read) of every distinct prefix of the input, one continuous variable a potential,
and the parameters p = (w, recurrent weight, bias, size of the threshold, readout bias). Two things make it a program
with finite constants that still covers unrestricted weights:

- Scaling all of p by c > 0 changes no decision, so (w, bias) is put on the boundary of its unit box: some |p_k| = 1,
  chosen by a selector variable. The other parameters are then bounded as well, as nothing changes beyond a point: a
  threshold above all potentials, a recurrent weight or readout bias larger than all that it competes with. What is left
  out, w = bias = 0, has a handful of patterns, which are scored one by one. Without this, p = 0, where everything is a
  tie, would allow any pattern.
- Strict inequalities become weak, and both get a slack of SLACK: a silent neuron has v <= theta + SLACK, a firing one
  v >= theta - SLACK. That only adds patterns (those that near ties would allow to choose), so the optimum is an upper
  bound, and covers what the rounding of float64 makes of potentials. It is loose where many decisions tie at once, such
  as at w = 0 with a bias that reaches the threshold exactly; a `margin` excludes those, for a family of networks that
  keep it.
- Each feature is scaled, by a power of two, to be about 1 at most, whatever its units.

Products of a binary with a variable in a known range (theta * s of the soft reset, (1 - s) * v of the hard one,
recurrent weight times s) are exact by their four linear inequalities.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array

from convexsnn.bounds.branch_and_bound import BinaryProgram, minimise
from convexsnn.bounds.decisions import Floats, Inputs, distinct_inputs, positions
from convexsnn.bounds.family import Family, Unit
from convexsnn.bounds.ranges import ranges_of, without_input
from convexsnn.bounds.rows import equal_inputs
from convexsnn.readouts import Membrane
from convexsnn.sequences import Sequences

# Potentials, of inputs and weights of about 1, are rounded by far less in float64.
SLACK = 1e-9
# By so much wider, relatively, are ranges that rounding might otherwise have made too narrow.
WIDER = 1e-12
# The positive scores of a program are scaled to sum to so much: the tolerances of HiGHS are absolute.
TOTAL = 1e3

Expression = dict[int, float]
"""Coefficients of variables, by number; -1 is the constant."""


@dataclass(frozen=True, eq=False)
class Priced:
    """What a mixed-integer program says of the best pattern.

    Attributes
    ----------
    bound : float
        No pattern scores more.
    finished : bool
        Whether it is the optimum of the program, and not what was proved when time was up.
    bits : bool array of shape (m, T) or (2, m, T), optional
        Spikes, and bits read where the membrane is, of the best point found; it may rest on ties.
    weights : float64 array of shape (k, r)
        Parameters p of neurons that were met on the way, whose patterns may be good ones.
    """

    bound: float
    finished: bool
    bits: NDArray[np.bool_] | None
    weights: Floats


@dataclass
class _Model:
    """Variables and constraints as they are written down."""

    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    integer: list[int] = field(default_factory=list)
    rows: list[Expression] = field(default_factory=list)

    def add(self, low: float, high: float, *, integer: bool = False) -> int:
        self.low.append(low)
        self.high.append(high)
        self.integer.append(int(integer))
        return len(self.low) - 1

    def nonnegative(self, *terms: tuple[float, Expression]) -> None:
        """The sum of factor * expression is nonnegative."""
        self.rows.append(combine(*terms))

    def value(self, low: float, high: float, expression: Expression) -> int:
        """A variable equal to an expression, which lies between `low` <= 0 and `high` >= 0."""
        v = self.add(low * (1.0 + WIDER), high * (1.0 + WIDER))
        self.nonnegative((1.0, {v: 1.0}), (-1.0, expression))
        self.nonnegative((-1.0, {v: 1.0}), (1.0, expression))
        return v

    def decision(self, distance: Expression, size: float, margin: float) -> int:
        """A binary that is 1 only where distance >= margin and 0 only where distance <= -margin; |distance| <= size."""
        s = self.add(0.0, 1.0, integer=True)
        self.nonnegative((1.0, distance), (size, {-1: 1.0, s: -1.0}), (-margin, {s: 1.0}))
        self.nonnegative((-1.0, distance), (size, {s: 1.0}), (-margin, {-1: 1.0, s: -1.0}))
        return s

    def product(self, s: int, variable: int) -> int:
        """A variable equal to s * variable, s a binary."""
        low, high = self.low[variable], self.high[variable]
        z = self.add(min(low, 0.0), max(high, 0.0))
        self.nonnegative((1.0, {z: 1.0}), (-low, {s: 1.0}))
        self.nonnegative((-1.0, {z: 1.0}), (high, {s: 1.0}))
        self.nonnegative((1.0, {z: 1.0, variable: -1.0}), (high, {-1: 1.0, s: -1.0}))
        self.nonnegative((-1.0, {z: 1.0, variable: -1.0}), (-low, {-1: 1.0, s: -1.0}))
        return z


def combine(*terms: tuple[float, Expression]) -> Expression:
    """The sum of factor * expression."""
    total: Expression = {}
    for factor, expression in terms:
        for key, value in expression.items():
            total[key] = total.get(key, 0.0) + factor * value
    return total


def price_by_milp(
    unit: Unit,
    family: Family,
    sequences: Sequences,
    scores: Floats,
    *,
    time_limit: float = 60.0,
    margin: float = 0.0,
) -> Priced:
    """Bound max d^T u over the patterns d of one unit.

    Parameters
    ----------
    unit : Unit
    family : Family
    sequences : Sequences
    scores : float64 array of shape (rows,)
        u: a column of the dual vector, or its negative.
    time_limit : float
        Seconds.
    margin : float
        Cover only weights whose potentials stay so far from the threshold, in units of the largest bias or input
        weight (times its feature's largest size, rounded to a power of two). 0 covers all weights.

    Raises
    ------
    ValueError
        For families with recurrent weights whose range cannot be bounded well.
    """
    family.check_enumerable()
    inputs = distinct_inputs(unit, family, sequences)
    nodes = _nodes(inputs)
    special = max(float(scores @ pattern[inputs.step]) for pattern in without_input(unit, family, inputs))
    trivial = _trivial(inputs, nodes, scores)
    if trivial <= 0.0:
        return Priced(max(0.0, special), True, None, np.zeros((0, family.n_features + len(positions(unit, family)))))
    exponent = np.frexp(np.abs(inputs.values).max(axis=(0, 1)))[1]
    inputs = inputs._replace(values=np.ldexp(inputs.values, -exponent))
    ranges = ranges_of(unit, family, inputs)
    model, spikes, reads = _Model(), {}, {}
    _write(model, unit, family, inputs, nodes, ranges, margin - SLACK, spikes, reads)
    shown = reads or spikes
    cost = np.zeros(len(model.low))
    np.add.at(cost, [shown[nodes[i, t]] for i, t in zip(inputs.sequence, inputs.step, strict=True)], -scores)
    rows, columns, values, floor = [], [], [], []
    for k, expression in enumerate(model.rows):
        floor.append(-expression.pop(-1, 0.0))
        rows += [k] * len(expression)
        columns += expression.keys()
        values += expression.values()
    shape = (len(model.rows), len(model.low))
    matrix = csr_array((values, (rows, columns)), shape=shape)  # type: ignore[arg-type]
    binary = np.flatnonzero(model.integer).astype(np.int32)
    low, high = np.array(model.low), np.array(model.high)
    program = BinaryProgram(cost * (TOTAL / trivial), low, high, matrix, np.array(floor), binary, len(ranges))
    found = minimise(program, time_limit)
    bound = min(trivial, -found.bound * (trivial / TOTAL))
    bits = None if found.x is None else _bits(found.x, nodes, spikes, reads)
    weights = found.points.copy()
    weights[:, : len(exponent)] = np.ldexp(weights[:, : len(exponent)], -exponent)
    return Priced(max(0.0, special, bound), found.finished, bits, weights)


def _nodes(inputs: Inputs) -> NDArray[np.int64]:
    """A number for each prefix of each sequence, equal where the prefixes are: (m, T), -1 beyond the length."""
    lengths = torch.from_numpy(inputs.lengths)
    groups = equal_inputs(Sequences(torch.from_numpy(inputs.values), lengths), every_step=True).numpy()
    m, T = inputs.values.shape[:2]
    nodes = np.full((m, T), -1)
    nodes[np.arange(T) < inputs.lengths[:, None]] = groups
    return nodes


def _trivial(inputs: Inputs, nodes: NDArray[np.int64], scores: Floats) -> float:
    """The universal bound: the sum of the positive scores over rows with equal input."""
    merged = np.bincount(nodes[inputs.sequence, inputs.step], weights=scores, minlength=nodes.max() + 1)
    return float(np.maximum(merged, 0.0).sum())


def _write(
    model: _Model,
    unit: Unit,
    family: Family,
    inputs: Inputs,
    nodes: NDArray[np.int64],
    ranges: list[tuple[float, float]],
    margin: float,
    spikes: dict[int, int],
    reads: dict[int, int],
) -> None:
    """The dynamics of the unit on every prefix; fills in the decision variables of the prefixes."""
    d, at = family.n_features, positions(unit, family)
    used = set(nodes[inputs.sequence, inputs.step].tolist())
    p = [model.add(low, high) for low, high in ranges]
    _on_the_boundary(model, p[:d] + ([p[at["bias"]]] if unit.bias else []))
    reach_of = {name: ranges[k][1] for name, k in at.items()}
    limit = reach_of.get("threshold", 0.0)
    theta: Expression = {p[at["threshold"]]: float(np.sign(unit.threshold))} if unit.has_threshold else {}
    leak = unit.leak if unit.neuron == "lif" else 0.0
    membranes: dict[int, tuple[int, float]] = {}
    for i, length in enumerate(inputs.lengths.tolist()):
        for t in range(length):
            node = int(nodes[i, t])
            if node in spikes:
                continue
            terms = [(1.0, {p[k]: float(x) for k, x in enumerate(inputs.values[i, t]) if x != 0.0})]
            size = float(np.abs(inputs.values[i, t]).sum())
            if unit.bias:
                terms, size = [*terms, (1.0, {p[at["bias"]]: 1.0})], size + 1.0
            if t > 0:
                before = int(nodes[i, t - 1])
                membrane, reach = membranes[before]
                terms, size = [*terms, (leak, {membrane: 1.0})], size + leak * reach
                if unit.self_recurrent:
                    fed = model.product(spikes[before], p[at["recurrent"]])
                    terms, size = [*terms, (1.0, {fed: 1.0})], size + reach_of["recurrent"]
                if unit.reset == "delayed" and theta:
                    late = model.product(spikes[before], p[at["threshold"]])
                    terms, size = [*terms, (-float(np.sign(unit.threshold)), {late: 1.0})], size + limit
            elif unit.reset_at_first:
                terms, size = [*terms, (-1.0, theta)], size + limit
            v = model.value(-size, size, combine(*terms))
            spikes[node] = model.decision(combine((1.0, {v: 1.0}), (-1.0, theta)), size + limit, margin)
            membranes[node] = _reset(model, unit, at, p, v, spikes[node], size)
            if isinstance(family.readout, Membrane) and node in used:
                left, reach = membranes[node]
                bias: Expression = {p[at["readout_bias"]]: 1.0} if unit.readout_bias else {}
                reach += reach_of.get("readout_bias", 0.0)
                reads[node] = model.decision(combine((1.0, {left: 1.0}), (-1.0, bias)), reach, margin)
                if not unit.readout_bias:
                    _tie_read_to_spike(model, unit, reads[node], spikes[node])


def _tie_read_to_spike(model: _Model, unit: Unit, read: int, s: int) -> None:
    """What a spike says of the sign of the membrane after it, which weak inequalities alone would lose at ties."""
    if unit.threshold >= 0.0 or unit.reset in ("soft", "hard"):
        model.nonnegative((1.0, {read: 1.0, s: -1.0}))
    if unit.threshold <= 0.0:
        model.nonnegative((-1.0, {read: 1.0, s: -1.0}))


def _reset(
    model: _Model, unit: Unit, at: dict[str, int], p: list[int], v: int, s: int, size: float
) -> tuple[int, float]:
    """The membrane after reset, and a bound on its size."""
    if unit.neuron == "lif" and unit.reset == "soft" and unit.has_threshold:
        taken = model.product(s, p[at["threshold"]])
        kept = {v: 1.0, taken: -float(np.sign(unit.threshold))}
        reach = size + model.high[p[at["threshold"]]]
        return model.value(-reach, reach, kept), reach
    if unit.neuron == "lif" and unit.reset == "hard":
        lost = model.product(s, v)
        return model.value(-size, size, {v: 1.0, lost: -1.0}), size
    return v, size


def _on_the_boundary(model: _Model, p: list[int]) -> None:
    """Some parameter is 1 or -1."""
    selectors = []
    for variable in p:
        for sign in (1.0, -1.0):
            chosen = model.add(0.0, 1.0, integer=True)
            model.nonnegative((sign, {variable: 1.0}), (1.0, {-1: 1.0}), (-2.0, {chosen: 1.0}))
            selectors.append(chosen)
    model.nonnegative((1.0, {-1: -1.0} | dict.fromkeys(selectors, 1.0)))


def _bits(x: Floats, nodes: NDArray[np.int64], spikes: dict[int, int], reads: dict[int, int]) -> NDArray[np.bool_]:
    """Decisions of every sequence and step; False where nothing was decided."""
    of = lambda table: np.array(  # noqa: E731
        [[x[table[node]] > 0.5 if node in table else False for node in row] for row in nodes.tolist()], dtype=bool
    )
    return np.stack([of(spikes), of(reads)]) if reads else of(spikes)
