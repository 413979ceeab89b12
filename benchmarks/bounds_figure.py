"""The figure of docs/bounds.md: objective, dictionary bound and global bound of a real run, closing.

    python benchmarks/bounds_figure.py [--out docs/figures/bounds.svg]

Column generation with exact pricing on n = 60 sequences of d = 2 features and T = 2 steps, random labels, one layer of
LIF neurons, hinge loss: each round solves over the columns so far, bounds all networks of the family by its dual
vector, and adds the best patterns. Needs matplotlib (the extra `plot`); takes seconds.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch

from convexsnn import Problem, as_sequences, build_dictionary, solve
from convexsnn.bounds import (
    NetworkFamily,
    Unit,
    arrangement_certificate,
    enumerate_family,
    exact_oracle,
)
from convexsnn.losses import LOSSES
from convexsnn.penalties import PENALTIES

ADDED, RHO, TOL = 8, 0.01, 1e-6


def rounds() -> list[dict[str, float]]:
    """One record a round: columns, objective, and the three lower bounds."""
    random = np.random.default_rng(0)
    sequences, family = as_sequences(random.normal(size=(60, 2, 2))), NetworkFamily(2, (Unit("lif", "soft", 0.9, 1.0),))
    targets = LOSSES["hinge"].encode(torch.from_numpy(random.integers(2, size=60)), 2)
    problem = Problem(sequences, targets, LOSSES["hinge"], PENALTIES["l1"], RHO)
    arrangement = enumerate_family(family, sequences)
    hidden, records = family.simplest(), []
    while True:
        program = problem.program(build_dictionary(hidden, sequences).columns)
        solution = solve(program)
        primal, dual, U = solution.certificate.primal, solution.certificate.dual, solution.U
        bound = arrangement_certificate(program, problem.groups, arrangement, U, primal)
        universal = problem.universal_certificate(hidden, U, primal)
        assert universal is not None
        best = max([bound.value, *(record["global bound over the family"] for record in records)])
        records.append(
            {
                "columns": program.n_columns,
                "objective": primal,
                "dictionary bound": dual,
                "global bound over the family": best,
                "universal bound": universal.value,
            }
        )
        if primal - best <= TOL * primal:
            return records
        found = exact_oracle(U, arrangement, penalty=problem.penalty, rho=RHO, count=ADDED).witnesses
        hidden = replace(hidden, branches=(*hidden.branches, *found.branches))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/figures/bounds.svg"))
    out = parser.parse_args().out
    mpl.use("agg")
    mpl.rcParams["svg.hashsalt"] = "bounds"  # the same file each time
    from matplotlib import pyplot as plt

    records = rounds()
    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    styles = {
        "objective": {"color": "C0", "marker": "o"},
        "dictionary bound": {"color": "C1", "linestyle": "--"},
        "global bound over the family": {"color": "C2", "marker": "s"},
        "universal bound": {"color": "C3", "linestyle": ":"},
    }
    for name, style in styles.items():
        axes.plot([record[name] for record in records], label=name, markersize=3, **style)
    axes.set(xlabel="round", ylabel="training objective", ylim=(0, None))
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, metadata={"Date": None} if out.suffix == ".svg" else None, dpi=130)
    last = records[-1]
    gap = 1 - last["global bound over the family"] / last["objective"]
    print(
        f"{len(records)} rounds, {last['columns']:.0f} columns, objective {last['objective']:.9g}, "
        f"relative gap {gap:.1e}"
    )


if __name__ == "__main__":
    main()
