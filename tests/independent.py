"""An evaluator that shares no code with the library: neurons, losses, conjugates and penalties from theory.md alone.

Potentials are sums of `Fraction`, so spikes are those of real arithmetic; what has logarithms is computed by mpmath
with 60 digits. It reads the weights of a fitted network and nothing else of it.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import mpmath
from mpmath import mpf

mpmath.mp.dps = 60


def rational(values: Any) -> Any:
    """Nested lists of floats as fractions."""
    return [rational(value) for value in values] if isinstance(values, list) else Fraction(values)


def real(value: Fraction) -> mpf:
    return mpf(value.numerator) / mpf(value.denominator)


def branch_reads(branch: Any, readout: str, sequence: list[list[Fraction]]) -> list[list[Fraction]]:
    """What the last layer of one branch gives at every step (theory.md section 1)."""
    layers = []
    for layer in branch.layers:
        neuron = layer.neuron
        m = layer.weight.shape[1]
        leaky = hasattr(neuron, "leak")
        layers.append(
            {
                "weight": rational(layer.weight.tolist()),
                "recurrent": None if layer.recurrent is None else rational(layer.recurrent.tolist()),
                "bias": [Fraction(0)] * m if layer.bias is None else rational(layer.bias.tolist()),
                "leak": rational(neuron.leak.tolist()) if leaky else [Fraction(0)] * m,
                "theta": rational(neuron.threshold.tolist()) if leaky else [Fraction(0)] * m,
                "reset": neuron.reset if leaky else "none",
                "v": [Fraction(0)] * m,
                "s": [0] * m,
            }
        )
    reads = []
    for x in sequence:
        below = x
        for layer in layers:
            m, spikes, membranes = len(layer["v"]), [], []
            for j in range(m):
                v = layer["leak"][j] * layer["v"][j] + layer["bias"][j]
                v += sum(b * layer["weight"][i][j] for i, b in enumerate(below) if b)
                if layer["recurrent"] is not None:
                    v += sum(layer["recurrent"][i][j] for i, s in enumerate(layer["s"]) if s)
                theta = layer["theta"][j]
                if layer["reset"] == "delayed" and layer["v"][j] >= theta:
                    v -= theta
                fired = v >= theta
                if fired and layer["reset"] == "soft":
                    v -= theta
                if fired and layer["reset"] == "hard":
                    v = Fraction(0)
                spikes.append(int(fired))
                membranes.append(v)
            layer["v"], layer["s"], below = membranes, spikes, spikes
        last = layers[-1]
        bias = branch.readout_bias
        biases = [Fraction(0)] * len(last["v"]) if bias is None else rational(bias.tolist())
        read = {
            "spike": lambda last=last: [Fraction(s) for s in last["s"]],
            "membrane": lambda last=last, biases=biases: [
                Fraction(int(v >= b)) for v, b in zip(last["v"], biases, strict=True)
            ],
            "analog": lambda last=last: list(last["v"]),
        }[readout]
        reads.append(read())
    return reads


def columns(hidden: Any, X: list[Any]) -> list[list[Fraction]]:
    """The rows of D: last steps of all sequences, or all their steps in order."""
    rows = []
    for x in X:
        sequence = rational([list(map(float, step)) for step in x])
        each = [branch_reads(branch, hidden.readout.name, sequence) for branch in hidden.branches]
        steps = range(len(sequence)) if hidden.every_step else [len(sequence) - 1]
        rows += [[value for reads in each for value in reads[t]] for t in steps]
    return rows


def loss(name: str, s: list[Fraction], y: list[Fraction], heads: list[tuple[range, Fraction]]) -> mpf:
    if name == "cross_entropy":
        total = mpf(0)
        for block, weight in heads:
            label = next(c for c in block if y[c] == 1)
            total += real(weight) * mpmath.log(mpmath.fsum(mpmath.exp(real(s[c] - s[label])) for c in block))
        return total
    each = {
        "squared": lambda a, b: real((a - b) ** 2),
        "hinge": lambda a, b: real(max(Fraction(0), 1 - a * b)),
        "logistic": lambda a, b: mpmath.log1p(mpmath.exp(real(-a * b))),
    }[name]
    return mpmath.fsum(each(a, b) for a, b in zip(s, y, strict=True))


def xlogx(x: mpf) -> mpf:
    return x * mpmath.log(x) if x > 0 else mpf(0)


def conjugate(name: str, v: list[Fraction], y: list[Fraction], heads: list[tuple[range, Fraction]]) -> mpf:
    """loss* of theory.md section 2; infinite outside its domain."""
    if name == "cross_entropy":
        total = mpf(0)
        for block, weight in heads:
            p = [v[c] / weight + y[c] for c in block]
            if min(p) < 0 or sum(p) != 1:
                return mpf("inf")
            total += real(weight) * mpmath.fsum(xlogx(real(q)) for q in p)
        return total
    total = mpf(0)
    for a, b in zip(v, y, strict=True):
        if name == "squared":
            total += real(a * a / 4 + a * b)
        elif not -1 <= a * b <= 0:
            return mpf("inf")
        else:
            q = real(-a * b)
            total += real(a * b) if name == "hinge" else xlogx(q) + xlogx(1 - q)
    return total


def norm(row: list[Fraction], penalty: str, *, dual: bool) -> mpf:
    if penalty == "group":
        return mpmath.sqrt(real(sum(g * g for g in row)))
    return real(max(map(abs, row)) if dual else sum(map(abs, row)))


class Program:
    """One training problem, from plain numbers."""

    def __init__(self, D, Y, weights, name, penalty, rho, heads):
        self.D, self.Y = D, rational(Y)
        total = sum(map(Fraction, weights))
        self.w = [Fraction(weight) / total for weight in weights]
        self.name, self.penalty, self.rho = name, penalty, Fraction(rho)
        starts = [sum(classes for classes, _ in heads[:k]) for k in range(len(heads))]
        self.heads = [(range(a, a + classes), Fraction(w)) for a, (classes, w) in zip(starts, heads, strict=True)]
        self.heads = self.heads or [(range(len(Y[0])), Fraction(1))]

    def primal(self, W: list[list[Fraction]], own: list[list[Fraction]] | None = None) -> mpf:
        """The objective of weights W; the penalty is that of `own`, where these are other ones."""
        outputs = range(len(self.Y[0]))
        S = [[sum((d * W[j][c] for j, d in enumerate(row) if d), Fraction(0)) for c in outputs] for row in self.D]
        data = mpmath.fsum(
            real(w) * loss(self.name, s, y, self.heads) for w, s, y in zip(self.w, S, self.Y, strict=True)
        )
        return data + real(self.rho) * mpmath.fsum(norm(row, self.penalty, dual=False) for row in own or W)

    def dual(self, U: list[list[Fraction]], kappa: mpf | None = None) -> mpf:
        """The value of (D) at the largest feasible multiple of U, whose entries at labels are those of the domain."""
        kappa = self.kappa(U) if kappa is None else kappa
        U = self._completed(U)
        V = [[u / w for u in row] for w, row in zip(self.w, U, strict=True)]
        # A rational below 1 / kappa.
        t = Fraction(int(mpmath.floor(mpf(2) ** 150 / max(1, kappa, self._excess(V)))), 2**150)
        values = [conjugate(self.name, [t * a for a in v], y, self.heads) for v, y in zip(V, self.Y, strict=True)]
        return -mpmath.fsum(real(w) * value for w, value in zip(self.w, values, strict=True))

    def kappa(self, U: list[list[Fraction]]) -> mpf:
        """Omega*(D^T U) / rho of U, whose entries at labels are those of the domain."""
        products = self._products(self._completed(U))
        return max((norm(g, self.penalty, dual=True) for g in products), default=mpf(0)) / real(self.rho)

    def _products(self, U):
        columns = {tuple(column) for column in zip(*self.D, strict=True)}
        return [
            [sum((d * row[c] for d, row in zip(column, U, strict=True) if d), Fraction(0)) for c in range(len(U[0]))]
            for column in columns
        ]

    def _completed(self, U):
        if self.name != "cross_entropy":
            return U
        out = [list(row) for row in U]
        for row, y in zip(out, self.Y, strict=True):
            for block, _ in self.heads:
                label = next(c for c in block if y[c] == 1)
                row[label] = -sum((row[c] for c in block if c != label), Fraction(0))
        return out

    def _excess(self, V) -> mpf:
        """By what V must be divided to lie in the domain, at least 1."""
        if self.name == "squared":
            return mpf(1)
        # Entries at labels of cross entropy, and every entry of the other losses, are at most 1 in size; the row
        # weights, normalised, differ from the stored ones in the last digit.
        limits = {c: weight for block, weight in self.heads for c in block}
        one = lambda c: limits[c] if self.name == "cross_entropy" else 1  # noqa: E731
        return max([mpf(1), *(real(abs(a) / one(c)) for v in V for c, a in enumerate(v))])
