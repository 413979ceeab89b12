"""Seconds of a fit on many machines, on paper: from rates that are measured here, and checked on 1, 2 and 4 processes.

    OMP_NUM_THREADS=1 python benchmarks/plan.py
    OMP_NUM_THREADS=1 python benchmarks/plan.py --rows 10000 --columns 1024

A fit simulates its columns, multiplies with all of them a few times (passes), and works on the columns in use between.
The rate of each is measured on one process. What of the last part does not shrink with the number of processes is found
from two, and the seconds of four are then predicted and measured. All seconds are of the processor, of the process that
took most. Links and what stands under "assumed" are not measured.
"""

import argparse
from contextlib import contextmanager
from dataclasses import dataclass
from time import process_time

import torch

import ranks
from convexsnn.columns import BitColumns
from convexsnn.ranks import Alone

C, STEPS = ranks.CLASSES, 20
# Assumed: cores of a node that share a product evenly, bytes a second of a link, and of the memory of a GPU.
CORES, ETHERNET, NVLINK, MEMORY = 32, 25e9 / 8, 450e9, 4.8e12
# Assumed of a GPU: bytes that are moved for an entry of a product (unpacked once, read once) and for a neuron's step.
ENTRY_BYTES, STEP_BYTES = 16, 80


@dataclass
class Tally:
    """Products with all columns: how often, and their seconds."""

    width: int
    passes: int = 0
    scores: int = 0
    seconds: float = 0.0


@contextmanager
def counting(width):
    """Count products with at least half of `width` columns, and products with weights."""
    tally, rmatmul, matmul = Tally(width), BitColumns.rmatmul, BitColumns.matmul

    def counted(columns, U):
        begun = process_time()
        found = rmatmul(columns, U)
        if columns.shape[1] >= width // 2:
            # Rows are multiplied part by part, and squares are a product with one output.
            tally.passes += columns.n * U.shape[1]
            tally.seconds += process_time() - begun
        return found

    def scored(columns, W):
        tally.scores += columns.n
        return matmul(columns, W)

    BitColumns.rmatmul, BitColumns.matmul = counted, scored
    try:
        yield tally
    finally:
        BitColumns.rmatmul, BitColumns.matmul = rmatmul, matmul


@dataclass(frozen=True)
class Rates:
    """What was measured of one process.

    Attributes
    ----------
    step, entry : float
        Seconds of one neuron for one step of one sequence, and of one entry of a product with one output.
    passes, scores : float
        Products with all columns and all outputs in a fit, and products with weights.
    used : float
        Seconds of the rest of a fit, for each row and output.
    fixed : float
        The share of this rest that every process does.
    """

    step: float
    entry: float
    passes: float
    scores: float
    used: float
    fixed: float = 0.0

    def seconds(self, n, P, processes):
        """Seconds of the solver."""
        shared = self.passes * n * P * C * self.entry + (1 - self.fixed) * self.used * n * C
        return shared / processes + self.fixed * self.used * n * C


def measured(rows, columns):
    """The rates of one process, and the seconds of its solver."""
    step = ranks.on(1, ("dictionary", rows, columns))["processor"] / (rows * columns * ranks.STEPS)
    run = ranks.program(rows, columns, Alone())
    next(run)
    with counting(columns) as tally:
        begun = process_time()
        next(run)
        seconds = process_time() - begun
    passes = tally.passes / (rows * C)
    entry = tally.seconds / (passes * rows * columns * C)
    return Rates(step, entry, passes, tally.scores / rows, (seconds - tally.seconds) / (rows * C)), seconds


def check(rows, columns):
    """Rates, completed from two processes, after a check of what they say of four."""
    rates, seconds = measured(rows, columns)
    print(f"{rows} rows, {columns} columns, {C} outputs, float64, one thread")
    print(f"simulation {1e9 * rates.step:.1f} ns a neuron and step; product {1e9 * rates.entry:.2f} ns an entry")
    print(f"a fit has {rates.passes:.1f} passes over all columns, {rates.scores:.0f} products with weights, and works")
    print(f"{1e6 * rates.used:.1f} microseconds for each row and output between them")
    one, two, four = (ranks.on(size, ("cross_entropy", rows, columns))["processor"] for size in (1, 2, 4))
    rest, product = rates.used * rows * C, seconds - rates.used * rows * C
    fixed = min(1.0, max(0.0, (2 * two - product - rest) / rest))
    rates = Rates(rates.step, rates.entry, rates.passes, rates.scores, rates.used, fixed)
    print(f"{100 * fixed:.0f} % of what is between is done by every process")
    print("| processes | model | measured |\n|---|---|---|")
    for size, found in ((1, one), (2, two), (4, four)):
        print(f"| {size} | {rates.seconds(rows, columns, size):.2f} s | {found:.2f} s |")
    return rates


def all_reduce(numbers, machines, link):
    """Seconds of adding up float64 numbers in a ring."""
    return 2 * (machines - 1) / machines * 8 * numbers / link


def plan(rates, P):
    """The table of what is on paper."""
    gpu = Rates(STEP_BYTES / MEMORY, ENTRY_BYTES / MEMORY / C, rates.passes, rates.scores, 0.0)
    print("| step | " + " | ".join(f"n = {n:.0e}, {where}" for n in (1e7, 1e8) for where in ("nodes", "GPUs")) + " |")
    print("|---|" + "---|" * 4)
    lines = {"simulate": [], "passes over all columns": [], "between, shared": [], "between, on each": [], "links": []}
    for n in (1e7, 1e8):
        for own, machines, cores, link in ((rates, 16, CORES, ETHERNET), (gpu, 8, 1, NVLINK)):
            every = machines * cores
            lines["simulate"].append(n * P * STEPS * own.step / every)
            lines["passes over all columns"].append(own.passes * n * P * C * own.entry / every)
            lines["between, shared"].append((1 - rates.fixed) * own.used * n * C / every)
            lines["between, on each"].append(rates.fixed * own.used * n * C / cores)
            products = own.scores * all_reduce(n * C, machines, link)
            lines["links"].append(products + own.passes * all_reduce(machines * P * C, machines, link))
    for name, found in lines.items():
        print(f"| {name} | " + " | ".join(f"{value:,.0f} s" for value in found) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--columns", type=int, default=2048)
    given = parser.parse_args()
    torch.set_num_threads(1)
    plan(check(given.rows, given.columns), 1e5)


if __name__ == "__main__":
    main()
