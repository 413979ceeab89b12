"""Random fits of every loss, penalty, readout, neuron, weight and scale, and what is wrong with their numbers."""

from __future__ import annotations

import warnings

import numpy as np

from convexsnn import Gaussian, Heterogeneous, SpikingClassifier, SpikingRegressor
from convexsnn.verification import verify
from independent import Program, columns, rational, real

LOSSES = ("hinge", "logistic", "squared", "cross_entropy", "heads", "regression")


def draw_fit(seed: int):
    """A fitted estimator with its training data, what kind it is, and its row weights."""
    random = np.random.default_rng(seed)
    kind = LOSSES[seed % 6]
    n, T, d = int(random.integers(4, 14)), int(random.integers(1, 5)), int(random.integers(1, 3))
    X = np.round(random.normal(size=(n, T, d)), 3)
    X[-1] = X[0]
    every = bool(random.random() < 0.25) and kind in ("hinge", "logistic", "squared", "cross_entropy")
    penalty = str(random.choice(["l1", "group"]))
    readout = str(random.choice(["spike", "membrane", "analog"]))
    options = {"penalty": penalty, "random_state": seed, "rho": 10.0 ** random.uniform(-12, 1)}
    if random.random() < 0.7:
        options["rho"] = 10.0 ** random.uniform(-4, -0.5)
    settings = {"readout": readout, "last": 6}
    if random.random() < 0.25:
        family = Heterogeneous(depth=2, **settings)
    else:
        own = {"reset": str(random.choice(["soft", "hard", "none", "delayed"]))}
        neuron = {"neuron": "threshold"} if random.random() < 0.3 and readout != "analog" else own
        family = Gaussian(depth=2, **settings, **neuron)
    options |= {"witnesses": family, "intercept": bool(random.random() < 0.5), "max_iter": 200}
    weights = 10.0 ** random.uniform(-3, 3, size=n) if random.random() < 0.3 else None
    if kind == "regression":
        y = random.normal(size=(n, 2) if random.random() < 0.5 else n) * 10.0 ** random.uniform(-20, 20)
        model = SpikingRegressor(**options)
    else:
        classes = int(random.integers(2, 4))
        shape = (n, T) if every else ((n, 2) if kind == "heads" else (n,))
        y = random.integers(0, classes, size=shape)
        y.reshape(-1)[: 2 * classes] = np.arange(2 * classes) % classes if y.size >= 2 * classes else 0
        if kind == "heads":
            y[:classes, 0] = y[:classes, 1] = np.arange(classes)
            options["output_weights"] = (0.25, 3.0)
        elif len(np.unique(y)) < 2:
            y.reshape(-1)[:2] = [0, 1]
        name = "cross_entropy" if kind == "heads" else kind
        model = SpikingClassifier(loss=name, per_step=every, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y, sample_weight=weights)
    return model, X, y


def check_fit(seed: int) -> list[str]:
    """What is false in the certificate of the fit of this seed."""
    model, X, y = draw_fit(seed)
    trained, certificate = model.trained_, model.certificate_
    wrong = list(verify(trained, certificate, model.problem(X, y)).problems)
    problem = model.problem(X, y)
    D = columns(trained.witnesses, list(X))
    program = Program(
        D,
        problem.targets.tolist(),
        trained.row_weights.tolist(),
        certificate.loss,
        certificate.penalty,
        certificate.rho,
        list(certificate.heads),
    )
    analog = trained.witnesses.readout.name == "analog"
    primal = program.primal(rational(trained.W.tolist()))
    # Analog columns are potentials, which float64 rounds: there the program over the rounded columns is meant.
    slack = 1e-9 if analog else 1e-11
    if abs(certificate.primal - primal) > slack * abs(primal) + (1e-5 * abs(primal) if analog else 0):
        wrong.append(f"primal {certificate.primal!r}, is {primal}")
    if analog:
        return wrong
    if certificate.primal < primal:
        wrong.append(f"primal {certificate.primal!r} understated, is {primal}")
    U = rational(trained.U.tolist())
    if certificate.dual > program.dual(U):
        wrong.append(f"dual {certificate.dual!r} overstated, only {program.dual(U)}")
    reached = program_of_network(program, trained.network, X)
    if abs(reached - primal) > 1e-11 * abs(primal):
        wrong.append(f"the network reaches {reached}, the program {primal}")
    bound = certificate.global_bound
    if bound is not None and bound.value > real(rational(certificate.primal)):
        wrong.append(f"global bound {bound.value!r} above the objective")
    return wrong


def program_of_network(program: Program, network, X):
    """The objective of the pruned network, simulated here."""
    own = Program.__new__(Program)
    own.__dict__.update(program.__dict__)
    own.D = columns(network.hidden, list(X))
    return own.primal(rational(network.W.tolist()))
