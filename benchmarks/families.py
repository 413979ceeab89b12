"""The best network of a family, certified: one layer of LIF neurons on thousands of rows; the tables of docs/bounds.md.

    python benchmarks/families.py [--xor 5 6 7 8] [--real 60,2,2 500,3,2] [--rho 0.02] [--seconds 60]

First-last XOR of T one-hot bits (2000 rows, leak 0.99, soft reset, hinge loss) is solved over all cells of parameters.
Sequences of real numbers (n,T,d; leak 0.9, random labels) are solved by column generation, in so many seconds.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from convexsnn import Problem, as_sequences
from convexsnn.bounds import NetworkFamily, Unit, universal_bound
from convexsnn.exact import ExactSettings, solve_exactly
from convexsnn.losses import LOSSES
from convexsnn.penalties import PENALTIES
from convexsnn.sequences import Sequences

XOR_ROWS, XOR_RHO = 2000, 0.3 / 1000**0.5
UNLIMITED = 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--xor", nargs="*", type=int, default=[5, 6])
    parser.add_argument("--real", nargs="*", default=["60,2,2"])
    parser.add_argument("--rho", type=float, default=0.02)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    print("| case | rho | columns | objective | no network below | relative gap | universal bound | processor s | s |")
    print("|---|---|---|---|---|---|---|---|---|")
    for T in options.xor:
        bits = np.random.default_rng(0).integers(0, 2, size=(XOR_ROWS, T))
        labels = bits[:, 0] ^ bits[:, -1]
        how = ExactSettings("arrangement", time_limit=UNLIMITED)
        row(f"XOR, T {T}", as_sequences(np.eye(2)[bits]), labels, XOR_RHO, 0.99, how)
    for text in options.real:
        n, T, d = map(int, text.split(","))
        random = np.random.default_rng(0)
        X, labels = random.normal(size=(n, T, d)), random.integers(2, size=n)
        how = ExactSettings("pricing", time_limit=options.seconds)
        row(f"n {n}, T {T}, d {d}", as_sequences(X), labels, options.rho, 0.9, how)


def row(name: str, X: Sequences, labels: np.ndarray, rho: float, leak: float, how: ExactSettings) -> None:
    """Print one row of the table."""
    family = NetworkFamily(X.n_features, (Unit("lif", "soft", leak, 1.0),))
    targets = LOSSES["hinge"].encode(torch.from_numpy(labels), 2)
    problem = Problem(X, targets, LOSSES["hinge"], PENALTIES["l1"], rho)
    begun, worked = time.perf_counter(), time.process_time()
    certificate = solve_exactly(problem, family, how).certificate
    worked, begun = time.process_time() - worked, time.perf_counter() - begun
    bound = certificate.family_bound
    assert bound is not None
    universal = universal_bound(problem.bare_program, problem.groups).value
    print(
        f"| {name} | {rho:.4g} | {certificate.P if bound.patterns is None else bound.patterns} | {bound.primal:.6f} "
        f"| {bound.value:.6f} | {bound.relative_gap:.1e} | {universal:.6f} | {worked:.0f} | {begun:.0f} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
