"""A neuron in rational arithmetic, written down from its definition, and an adversary that looks for its patterns."""

import itertools
from fractions import Fraction

import numpy as np

from convexsnn.bounds.patterns.sign_vectors import _cofactors
from convexsnn.bounds.patterns.trees import grow_trees


def split(unit, d, p):
    """(w, recurrent, bias, theta, readout bias) of parameters in the order of a unit's."""
    rest = [Fraction(v) for v in p[d:]]
    recurrent = rest.pop(0) if unit.self_recurrent else 0
    bias = rest.pop(0) if unit.bias else 0
    size = rest.pop(0) if unit.threshold != 0 else 0
    read = rest.pop(0) if unit.readout_bias else 0
    return [Fraction(v) for v in p[:d]], recurrent, bias, size * int(np.sign(unit.threshold)), read


def column(unit, family, sequences, p):
    """The 0/1 column of a neuron whose potentials are computed without rounding."""
    w, recurrent, bias, theta, read = split(unit, sequences.n_features, p)
    leak, bits = Fraction(unit.leak), []
    for x, length in zip(sequences.values.tolist(), sequences.lengths.tolist(), strict=True):
        v, s, shown = Fraction(0), False, []
        for t in range(length):
            potential = leak * v + sum(a * Fraction(b) for a, b in zip(w, x[t], strict=True)) + bias + recurrent * s
            if unit.neuron == "lif" and unit.reset == "delayed" and v >= theta:
                potential -= theta
            s = potential >= theta
            v = potential
            if unit.neuron == "lif" and s:
                v = {"soft": potential - theta, "hard": Fraction(0)}.get(unit.reset, potential)
            shown.append(v - read >= 0 if family.reads_membrane else s)
        bits += shown if family.every_step else shown[-1:]
    return tuple(bits)


def vertices(unit, family, sequences, random, count):
    """Neurons at which as many decisions as there are parameters are exact ties, and their near and far neighbours."""
    trees = grow_trees(unit, family, sequences)
    forms = np.concatenate([level.reshape(-1, level.shape[2]) for level in trees.levels])
    forms = forms[forms.any(axis=1).astype(bool)]
    d, r, theta = sequences.n_features, forms.shape[1], trees.dynamics.theta
    units = [Fraction(2) ** -int(e) for e in trees.dynamics.exponents] + [Fraction(1)] * (r - d)
    if len(forms) == 0:
        return
    for _ in range(count):
        chosen = np.array([forms[k] for k in random.integers(len(forms), size=r - 1)], dtype=object).reshape(
            1, r - 1, r
        )
        ray = [int(v) for v in _cofactors(chosen)[0]]
        for sign, small in itertools.product((1, -1), (0, -70, -20)):
            p = [sign * v * one for v, one in zip(ray, units, strict=True)]
            if small:
                p = [v + Fraction(2) ** small * abs(v or 1) * int(random.integers(-8, 9)) for v in p]
            if theta is None or p[theta] > 0:
                yield p


def climbed(unit, family, sequences, random, U, steps):
    """Neurons met on the way up to a large |d^T U|, from a random one."""
    r = sequences.n_features + unit.self_recurrent + unit.bias + (unit.threshold != 0) + unit.readout_bias
    theta = sequences.n_features + unit.self_recurrent + unit.bias if unit.threshold != 0 else None
    draw = lambda: [Fraction(float(v)) for v in random.normal(size=r) * 10.0 ** random.uniform(-2, 2, size=r)]  # noqa: E731
    sound = lambda p: [abs(v) or Fraction(1) if k == theta else v for k, v in enumerate(p)]  # noqa: E731
    best, value = sound(draw()), -1.0
    for _ in range(steps):
        size = Fraction(10) ** int(random.integers(-16, 1))
        p = sound([v + size * abs(v) * Fraction(float(e)) for v, e in zip(best, random.normal(size=r), strict=True)])
        if random.random() < 0.2:
            p = sound(draw())
        yield p
        reached = abs(float(np.array(column(unit, family, sequences, p)) @ U))
        if reached >= value:
            best, value = p, reached
