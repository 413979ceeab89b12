"""Random problems whose global bounds an adversary tries to beat by neurons in exact arithmetic.

Inputs are of all the kinds that rounding could confuse. The adversary knows neurons at exact ties, those near them, and
those met while climbing towards what the dual vector misses most. Nothing has a tolerance: prices and objectives are
sums of fractions.
"""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from convexsnn import solve, train
from convexsnn.bounds import NetworkFamily, Unit
from convexsnn.columns import BitColumns, pack_bits
from convexsnn.exact import ExactSettings, bound_network, solve_exactly
from convexsnn.network import Hidden
from convexsnn.sequences import as_sequences
from convexsnn.verification import verify
from convexsnn.witnesses import with_constant
from helpers import draw_targets, make_problem
from independent import Program, rational, real
from rational_neurons import climbed, column, vertices

SHAPES = ("normal", "grid", "tiny angles", "duplicates", "near duplicates", "mixed units", "one-hot")
LEAKS = (0.0, 0.5, 1 / 3, 0.9, 0.9000005, 1.0)
RESETS = ("soft", "hard", "none", "delayed")
LOSSES = ("hinge", "squared", "logistic", "cross_entropy")
ROUTES = ("arrangement", "pricing", "stopped pricing", "tightened")
# This share of the problems of LIF neurons, unless they are enumerated, is about neurons with leaks of their own.
FREE = 0.2


@dataclass(frozen=True)
class Outcome:
    """What came of one problem: how its bound was made, whether the optimum was attained, and what is false.

    Attributes
    ----------
    route : str
        One of `ROUTES`, and whether leaks were free.
    ended : {"attained", "open", "refused"}
        Open is a gap that stays; a warning must say so, where the route is one of training. Refused is what would cost
        too much.
    tried : int
        Neurons of the adversary that give distinct columns.
    wrong : tuple of str
    """

    route: str
    ended: str
    tried: int = 0
    wrong: tuple[str, ...] = ()


def inputs(shape, seed, n=4, T=2):
    """Small sequences of one or two features, of all the kinds that rounding could confuse."""
    random = np.random.default_rng(seed)
    d = int(random.integers(1, 3)) + (shape == "one-hot")
    X = random.normal(size=(n, T, d))
    if shape == "grid":
        X = random.integers(-2, 3, size=X.shape).astype(float)
    elif shape == "one-hot":
        X = np.eye(d)[random.integers(d, size=(n, T))]
    elif shape == "mixed units":
        X = X * 10.0 ** random.integers(-12, 12, size=d)
    elif shape == "duplicates":
        X = np.concatenate([X, X], axis=2)[:, :, :2]
    elif shape == "tiny angles":
        X[1] = X[0] + 10.0 ** random.uniform(-15, -3) * random.normal(size=X[0].shape)
        X[2] = -X[0] * (1.0 + 10.0 ** random.uniform(-15, -3))
    elif shape == "near duplicates":
        X = np.concatenate([X[:, :, :1], X[:, :, :1] * 1.8 + 32.0], axis=2)
    return as_sequences(X, lengths=random.integers(1, T + 1, size=n))


def adversary(unit, family, sequences, U, seed, count):
    """Distinct columns that neurons give in exact arithmetic: with exact ties, near them, and climbed for U (rows,)."""
    random = np.random.default_rng(seed)
    neurons = itertools.chain(
        vertices(unit, family, sequences, random, count), climbed(unit, family, sequences, random, U, 4 * count)
    )
    return {column(unit, family, sequences, p) for p in neurons}


def attack(seed: int) -> Outcome:
    """Draw the problem of this seed, bound it globally, and try to beat the bound."""
    random = np.random.default_rng(seed)
    unit, family, problem = _draw(random, seed)
    route = str(random.choice(ROUTES))
    leaks = None if route == "arrangement" else _leaks(unit, np.random.default_rng([seed, 1]))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        try:
            trained, universal = _bounded(route, unit, family, problem, random, leaks)
        except ValueError as error:
            if "max_patterns = " in str(error) or "time_limit = " in str(error):  # it would cost too much
                return Outcome(route, "refused")
            raise
    certificate, wrong, route = trained.certificate, [], f"{route}, free leaks" if leaks else route
    bound = certificate.family_bound or certificate.global_bound
    ended = "attained" if bound.holds(1e-6) else "open"
    said = any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
    if ended == "open" and not said and universal is None:
        wrong.append(f"{route} is not attained, and does not say so")
    wrong += [f"verify: {reason}" for reason in verify(trained, certificate, problem).problems]
    U = trained.U if trained.family_dual is None else trained.family_dual
    missed = U[:, int(random.integers(U.shape[1]))].numpy()
    of_family = set()
    for own in _fixed(unit, leaks, random):
        alike = replace(family, units=(own,))
        of_family |= adversary(own, alike, problem.input, missed, seed, 2 if leaks else 6)
    of_family |= {(True,) * len(U)} if family.constant else set()
    wrong += _beaten(bound, U, problem, _loud(of_family))
    if universal is not None:
        wrong += _beaten(universal.certificate.global_bound, universal.U, problem, _all_patterns(problem))
    return Outcome(route, ended, len(of_family), tuple(wrong))


def _draw(random, seed):
    """A kind of neurons, their family, and a problem for it."""
    flag = lambda: bool(random.random() < 0.3)  # noqa: E731
    membrane, every_step, intercept = flag(), flag(), flag()
    extras = {"bias": flag(), "self_recurrent": flag()}
    if random.random() < 0.3:
        unit = Unit("threshold", "none", 0.0, 0.0, **extras)
    else:
        leak = float(random.choice(LEAKS)) if random.random() < 0.7 else float(random.random())
        threshold = float(random.choice((1.0, 0.7, -1.0, 0.0)))
        extras["readout_bias"] = membrane and flag()
        unit = Unit("lif", str(random.choice(RESETS)), leak, threshold, **extras)
    n, T = int(random.integers(3, 7)), int(random.integers(1, 4))
    sequences = inputs(str(random.choice(SHAPES)), seed, n, T)
    readout = "membrane" if membrane else "spike"
    family = NetworkFamily(sequences.n_features, (unit,), readout=readout, every_step=every_step, constant=intercept)
    loss, rows = str(random.choice(LOSSES)), sequences.rows(every_step)
    targets = draw_targets(loss, rows, int(random.integers(2, 4)), seed=seed)
    weights = torch.from_numpy(10.0 ** random.uniform(-2, 2, size=rows)) if flag() else None
    steps = {"every_step": every_step, "intercept": intercept, "row_weights": weights}
    penalty, rho = str(random.choice(("l1", "group"))), float(10.0 ** random.uniform(-4, -0.5))
    return unit, family, make_problem(sequences, targets, loss, penalty, rho, **steps)


def _leaks(unit, random):
    """A range of leaks that has the one of a LIF neuron, maybe at its end; None for other neurons and for some."""
    if unit.neuron != "lif" or random.random() >= FREE:
        return None
    low = float(random.choice((0.0, unit.leak, unit.leak * random.random())))
    high = float(random.choice((1.0, unit.leak, unit.leak + (1.0 - unit.leak) * random.random())))
    return (low, high) if low < high else (0.0, 1.0)


def _fixed(unit, leaks, random):
    """The kind of neurons for one leak each: its own, or the ends of a range, its middle and two leaks inside."""
    if leaks is None:
        return [unit]
    inside = [0.5 * sum(leaks), *random.uniform(*leaks, size=2).tolist()]
    return [replace(unit, leak=leak) for leak in (*leaks, *inside)]


def _bounded(route, unit, family, problem, random, leaks):
    """What was trained, with its global bound; and the same before its bound was tightened, None on other routes."""
    if route != "tightened":
        family = family.with_leaks(*leaks) if leaks else family
        method, limit = ("pricing", 0.02) if route == "stopped pricing" else (route, 1.0 if leaks else 10.0)
        most = {"max_patterns": 20_000} if method == "arrangement" else {}
        return solve_exactly(problem, family, ExactSettings(method, time_limit=limit, **most)), None
    drawn = tuple(_neuron(unit, family.n_features, random) for _ in range(6))
    hidden = Hidden(family.n_features, drawn, family.readout, family.every_step)
    trained = train(problem, with_constant(hidden) if family.constant else hidden)
    how = ExactSettings("pricing", time_limit=1.0) if leaks else ExactSettings("arrangement", 20_000, 10.0)
    return bound_network(trained, problem, how, leaks=leaks), trained


def _neuron(unit, d, random):
    """A random neuron of a kind, as a branch."""
    extras = [unit.self_recurrent, unit.bias, unit.has_threshold, unit.readout_bias]
    p = random.normal(size=(d + sum(extras), 1))
    if unit.has_threshold:
        p[d + sum(extras[:2])] = abs(unit.threshold)
    return unit.branch(torch.from_numpy(p), d, torch.float64)


def _beaten(bound, U, problem, columns) -> list[str]:
    """What columns, all of which the bound covers, show to be false in it."""
    if not columns:
        return []
    exact = Program(
        [[Fraction(int(bit)) for bit in row] for row in zip(*columns, strict=True)],
        problem.targets.tolist(),
        problem.weights.tolist(),
        problem.loss.name,
        problem.penalty.name,
        problem.rho,
        list(problem.loss.heads),
    )
    kappa, wrong = exact.kappa(rational(problem.bare_program.in_domain(U).tolist())), []
    if kappa > real(Fraction(bound.kappa)):
        wrong.append(f"{bound.method}: kappa is {bound.kappa!r}, but a neuron has {kappa}")
    bits = BitColumns(pack_bits(torch.tensor(columns, dtype=torch.bool)), len(U))
    reached = exact.primal(rational(solve(problem.program(bits)).W.tolist()))
    if real(Fraction(bound.value)) > reached:
        wrong.append(f"{bound.method}: no network is below {bound.value!r}, but one has {reached}")
    return wrong


def _loud(columns):
    return sorted(bits for bits in columns if any(bits))


def _all_patterns(problem, most=7):
    """All patterns constant on rows of equal input; where they are many, random ones and the best of the gradient."""
    groups = problem.groups.numpy()
    count = int(groups.max()) + 1
    if count <= most:
        patterns = np.array(list(itertools.product((False, True), repeat=count)))
    else:
        patterns = np.random.default_rng(count).random((2**most, count)) < 0.5
        slope = problem.bare_program.data_gradient(torch.zeros_like(problem.targets)).numpy()
        merged = np.zeros((count, slope.shape[1]))
        np.add.at(merged, groups, slope)
        patterns = np.concatenate([patterns, merged.T > 0, merged.T < 0])
    return _loud(map(tuple, patterns[:, groups].tolist()))
