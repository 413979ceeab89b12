"""Exact training at the sizes of docs/bounds.md: seconds, patterns, and the proven global relative gap.

    python benchmarks/bounds.py [--losses hinge squared logistic] [--seed S] [--pricing SECONDS]

Prints a Markdown table: enumeration, solution and verification of n = 60 sequences of 2 features and 2 steps with one
LIF layer, and of n = 200 feedforward threshold inputs of rank 2 and 3. With --pricing also the bound on kappa that
branch and bound proves in that time, against the exact one. Labels are random.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

from convexsnn import Problem, as_sequences
from convexsnn.bounds import FamilyCells, NetworkFamily, Unit, enumerate_family, exact_oracle, universal_bound
from convexsnn.exact import solve_exactly
from convexsnn.losses import LOSSES
from convexsnn.penalties import PENALTIES
from convexsnn.verification import verify

LIF_UNIT, THRESHOLD = Unit("lif", "soft", 0.9, 1.0), Unit("threshold", "none", 0.0, 0.0)
CASES = {
    "LIF, n 60, d 2, T 2": (LIF_UNIT, 60, 2, 2, 0.01),
    "threshold, n 200, rank 2": (THRESHOLD, 200, 1, 2, 0.005),
    "threshold, n 200, rank 3": (THRESHOLD, 200, 1, 3, 0.005),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--losses", nargs="+", default=["hinge", "squared", "logistic"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pricing", type=float, default=0.0)
    options = parser.parse_args()
    print("| case | loss | patterns | enumerate s | solve s | verify s | support | objective | universal bound | gap |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, (unit, n, T, d, rho) in CASES.items():
        random = np.random.default_rng(options.seed)
        sequences, family = as_sequences(random.normal(size=(n, T, d))), NetworkFamily(d, (unit,))
        labels = torch.from_numpy(random.integers(2, size=n))
        for loss in options.losses:
            targets = LOSSES[loss].encode(labels, 2)
            problem = Problem(sequences, targets, LOSSES[loss], PENALTIES["l1"], rho)
            trained = solve_exactly(problem, family)
            begun = time.perf_counter()
            outcome = verify(trained, trained.certificate, problem)
            checked = time.perf_counter() - begun
            assert outcome.holds, outcome.problems
            c, seconds = trained.certificate, trained.seconds
            universal = universal_bound(problem.bare_program, problem.groups, (trained.U,)).value
            print(
                f"| {name} | {loss} | {c.family_bound.patterns} | {seconds['simulate']:.2f} | {seconds['solve']:.2f} "
                f"| {checked:.2f} | {c.support} | {c.primal:.6f} | {universal:.6f} | {c.relative_gap:.1e} |",
                flush=True,
            )
        if options.pricing:
            U = torch.from_numpy(random.normal(size=(n, 1)))
            exact = exact_oracle(U, enumerate_family(family, sequences), penalty=PENALTIES["l1"]).kappa
            begun = time.perf_counter()
            priced = exact_oracle(
                U, FamilyCells(family, sequences), penalty=PENALTIES["l1"], time_limit=options.pricing
            )
            spent = time.perf_counter() - begun
            share = float(torch.maximum(U.clamp(min=0).sum(), (-U).clamp(min=0).sum()))
            bounds = f"kappa {exact:.4f}, pricing {priced.kappa:.4f} in {spent:.1f} s, universal {share:.4f}"
            print(f"{name}: {bounds}", flush=True)


if __name__ == "__main__":
    main()
