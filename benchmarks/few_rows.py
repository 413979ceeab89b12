"""Few rows and many real columns: seconds of our solvers on random columns in [0, 1], for each rho and penalty.

    python benchmarks/few_rows.py [--clock wall | cpu] [--repeats N] [--loss NAME] [--penalties NAME ...]

rho is given as a share of the one for which W = 0 is optimal. Seconds are medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace

import torch

from convexsnn.columns import RealColumns
from convexsnn.losses import LOSSES
from convexsnn.penalties import PENALTIES, PenaltyAboveNorm
from convexsnn.program import ConvexProgram, uniform_weights
from convexsnn.solvers import solve
from convexsnn.solvers.path import largest_rho

ROWS, COLUMNS, CLASSES = 200, 10_000, 6
SHARES = (0.1, 0.01, 0.003, 0.001)
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def make_program(loss_name: str, penalty: str, share: float) -> ConvexProgram:
    generator = torch.Generator().manual_seed(0)
    columns = RealColumns(torch.rand(COLUMNS, ROWS, generator=generator, dtype=torch.float64))
    loss = LOSSES[loss_name]
    targets = loss.encode(torch.randint(0, CLASSES, (ROWS,), generator=generator), CLASSES)
    unit = ConvexProgram(columns, targets, loss, PENALTIES[penalty], 1.0, uniform_weights(ROWS))
    return replace(unit, rho=share * largest_rho(unit))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="what the seconds are")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--loss", choices=LOSSES, default="cross_entropy")
    norms = [name for name, own in PENALTIES.items() if isinstance(own, PenaltyAboveNorm)]
    parser.add_argument("--penalties", nargs="+", choices=norms, default=norms)
    arguments = parser.parse_args()
    now = CLOCKS[arguments.clock]
    print("| penalty | rho | solver | seconds | gap | support |\n|---|---|---|---|---|---|")
    for penalty in arguments.penalties:
        for share in SHARES:
            program, seconds = make_program(arguments.loss, penalty, share), []
            for _ in range(arguments.repeats):
                start = now()
                solution = solve(program)
                seconds.append(now() - start)
            certificate = solution.certificate
            print(
                f"| {penalty} | {share:g} | {solution.solver} | {statistics.median(seconds):.2f} "
                f"| {certificate.relative_gap:.0e} | {certificate.support} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
