"""Other solvers of the same convex program, one function each.

A peer takes a program and an effort (0, 1, 2, ... : ever tighter settings) and returns weights of shape (P, C). None of
them has an intercept, and rho is scaled to each library's own objective; that this is right shows in the judged gap.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from convexsnn.program import ConvexProgram

Array = NDArray[np.float64]
# Tolerances handed to the peers, by effort.
TOLERANCES = (1e-3, 1e-5, 1e-7, 1e-9)
MANY = 1_000_000


@dataclass(frozen=True)
class Peer:
    """A solver, the losses and the exponents of penalties it takes, and whether it takes `several` outputs."""

    solve: Callable[[ConvexProgram, float], Array]
    losses: tuple[str, ...]
    exponents: tuple[float, ...] = (1.0,)
    several: bool = False
    package: str = "sklearn"

    def takes(self, program: ConvexProgram) -> bool:
        one = program.n_outputs == 1
        exponent = program.penalty.exponent(program.n_outputs)
        return program.loss.name in self.losses and exponent in self.exponents and (one or self.several)


def _data(program: ConvexProgram) -> tuple[Array, Array]:
    return program.columns.dense().numpy(), program.targets.numpy()


def _cvxpy(program: ConvexProgram, **options: object) -> Array:
    import cvxpy as cp

    D, Y = _data(program)
    W = cp.Variable((program.n_columns, program.n_outputs))
    S = D @ W
    terms = {
        "hinge": lambda: cp.sum(cp.pos(1 - cp.multiply(Y, S))),
        "squared": lambda: cp.sum_squares(S - Y),
        "logistic": lambda: cp.sum(cp.logistic(-cp.multiply(Y, S))),
        "cross_entropy": lambda: cp.sum(cp.log_sum_exp(S, axis=1)) - cp.sum(cp.multiply(Y, S)),
    }
    norm = cp.sum(cp.abs(W)) if program.penalty.exponent(W.shape[1]) == 1.0 else cp.sum(cp.norm(W, 2, axis=1))
    problem = cp.Problem(cp.Minimize(terms[program.loss.name]() / program.n_rows + program.rho * norm))
    problem.solve(**options)
    return np.zeros(W.shape) if W.value is None else W.value


def clarabel(program: ConvexProgram, tol: float) -> Array:
    return _cvxpy(program, solver="CLARABEL", tol_gap_abs=1e-2 * tol, tol_gap_rel=tol, tol_feas=1e-2 * tol)


def scs(program: ConvexProgram, tol: float) -> Array:
    return _cvxpy(program, solver="SCS", eps_abs=1e-2 * tol, eps_rel=tol, max_iters=MANY)


def _highs(program: ConvexProgram, tol: float, *, dual: bool, method: str) -> Array:
    from scipy.optimize import linprog
    from scipy.sparse import csr_matrix, hstack, identity

    D, Y = _data(program)
    B = csr_matrix(D * Y)
    n, count = B.shape
    options = {"primal_feasibility_tolerance": max(tol, 1e-9), "dual_feasibility_tolerance": max(tol, 1e-9)}
    if dual:  # max sum a, |B^T a| <= rho, 0 <= a <= 1/n; scaled by n
        from scipy.sparse import vstack

        rows, limits = vstack([B.T, -B.T]), np.full(2 * count, program.rho * n)
        result = linprog(-np.ones(n), A_ub=rows, b_ub=limits, bounds=(0, 1), method=method, options=options)
        multipliers = -result.ineqlin.marginals
        return (multipliers[:count] - multipliers[count:])[:, None]
    costs = np.concatenate([np.full(2 * count, program.rho * n), np.ones(n)])
    rows = hstack([-B, B, -identity(n)])
    result = linprog(costs, A_ub=rows, b_ub=-np.ones(n), bounds=(0, None), method=method, options=options)
    return (result.x[:count] - result.x[count : 2 * count])[:, None]


def _logistic_regression(program: ConvexProgram, tol: float, solver: str) -> Array:
    from sklearn.linear_model import LogisticRegression

    D, Y = _data(program)
    labels = Y.argmax(axis=1) if program.loss.name == "cross_entropy" else Y[:, 0] > 0
    model = LogisticRegression(
        l1_ratio=1.0,
        C=1.0 / (program.n_rows * program.rho),
        fit_intercept=False,
        solver=solver,
        tol=tol,
        max_iter=MANY,
        random_state=0,
    )
    return model.fit(D, labels).coef_.T


def _lasso(program: ConvexProgram, tol: float, gram: bool) -> Array:
    from sklearn.linear_model import Lasso

    D, Y = _data(program)
    D = np.asfortranarray(D)
    model = Lasso(alpha=program.rho / 2.0, fit_intercept=False, tol=tol, max_iter=MANY)
    model.set_params(precompute=D.T @ D if gram else False)
    return model.fit(D, Y[:, 0]).coef_[:, None]


def skglm(program: ConvexProgram, tol: float) -> Array:
    from skglm import Lasso, SparseLogisticRegression

    D, Y = _data(program)
    if program.loss.name == "squared":
        model = Lasso(alpha=program.rho / 2.0, fit_intercept=False, tol=0.1 * tol, max_iter=1000, max_epochs=MANY)
    else:
        model = SparseLogisticRegression(
            alpha=program.rho, fit_intercept=False, tol=0.1 * tol, max_iter=1000, max_epochs=MANY
        )
    return np.ravel(model.fit(np.asfortranarray(D), Y[:, 0]).coef_)[:, None]


def celer(program: ConvexProgram, tol: float) -> Array:
    from celer import Lasso, LogisticRegression

    D, Y = _data(program)
    if program.loss.name == "squared":
        model = Lasso(alpha=program.rho / 2.0, fit_intercept=False, tol=tol, max_iter=1000, max_epochs=MANY)
    else:
        model = LogisticRegression(
            C=1.0 / (program.n_rows * program.rho), fit_intercept=False, tol=tol, max_iter=1000, max_epochs=MANY
        )
    return np.ravel(model.fit(np.asfortranarray(D), Y[:, 0]).coef_)[:, None]


def adelie(program: ConvexProgram, tol: float) -> Array:
    import adelie as ad

    D, Y = _data(program)
    D = np.asfortranarray(D)
    if program.loss.name == "squared":
        glm, rho = ad.glm.gaussian(Y[:, 0]), program.rho / 2.0
    else:
        glm, rho = ad.glm.binomial((Y[:, 0] + 1.0) / 2.0), program.rho
    state = ad.grpnet(
        D,
        glm,
        lmda_path=[rho],
        intercept=False,
        tol=1e-2 * tol,
        irls_tol=1e-2 * tol,
        progress_bar=False,
        early_exit=False,
        max_iters=MANY,
        irls_max_iters=MANY,
    )
    return np.asarray(state.betas.todense())[-1].reshape(program.n_columns, program.n_outputs)


def fista(program: ConvexProgram, tol: float) -> Array:
    """Accelerated proximal gradient with restarts, for a fixed number of steps: 1000 at the first effort, then x 4."""
    steps = 1000 * 4 ** TOLERANCES.index(tol)
    D = program.columns.dense()
    largest = {"squared": 2.0, "logistic": 0.25, "cross_entropy": 0.5}[program.loss.name]
    length = program.n_rows / (largest * float(torch.linalg.matrix_norm(D, 2)) ** 2)
    W = V = torch.zeros(program.n_columns, program.n_outputs, dtype=torch.float64)
    momentum = 1.0
    for _ in range(steps):
        gradient = D.T @ program.data_gradient(D @ V)
        following = program.penalty.prox(V - length * gradient, length * program.rho)
        if float(((V - following) * (following - W)).sum()) > 0.0:
            momentum = 1.0
        after = (1.0 + (1.0 + 4.0 * momentum**2) ** 0.5) / 2.0
        V = following + ((momentum - 1.0) / after) * (following - W)
        W, momentum = following, after
    return W.numpy()


ALL, SMOOTH = ("hinge", "squared", "logistic", "cross_entropy"), ("squared", "logistic", "cross_entropy")
BOTH = (1.0, 2.0)
PEERS = {
    "CVXPY + Clarabel": Peer(clarabel, ALL, BOTH, several=True, package="cvxpy"),
    "CVXPY + SCS": Peer(scs, ALL, BOTH, several=True, package="cvxpy"),
    "HiGHS simplex": Peer(lambda p, tol: _highs(p, tol, dual=False, method="highs-ds"), ("hinge",)),
    "HiGHS ipm": Peer(lambda p, tol: _highs(p, tol, dual=False, method="highs-ipm"), ("hinge",)),
    "HiGHS simplex, dual LP": Peer(lambda p, tol: _highs(p, tol, dual=True, method="highs-ds"), ("hinge",)),
    "HiGHS ipm, dual LP": Peer(lambda p, tol: _highs(p, tol, dual=True, method="highs-ipm"), ("hinge",)),
    "liblinear": Peer(lambda p, tol: _logistic_regression(p, tol, "liblinear"), ("logistic",)),
    "saga": Peer(lambda p, tol: _logistic_regression(p, tol, "saga"), ("cross_entropy",), several=True),
    "Lasso": Peer(lambda p, tol: _lasso(p, tol, gram=False), ("squared",)),
    "Lasso, Gram": Peer(lambda p, tol: _lasso(p, tol, gram=True), ("squared",)),
    "skglm": Peer(skglm, ("squared", "logistic"), package="skglm"),
    "celer": Peer(celer, ("squared", "logistic"), package="celer"),
    # Its multinomial model fails with NumPy 2 (adelie 1.1.52), so cross entropy is left out.
    "adelie": Peer(adelie, ("squared", "logistic"), package="adelie"),
    "FISTA": Peer(fista, SMOOTH, BOTH, several=True),
}


def run(name: str, program: ConvexProgram, effort: int) -> Array:
    """Weights of shape (P, C), without the peer's warnings about its own stopping rule."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(PEERS[name].solve(program, TOLERANCES[effort]), dtype=np.float64)
