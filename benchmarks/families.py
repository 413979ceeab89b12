"""The best network of a family, certified: one layer of LIF neurons on thousands of rows; the tables of docs/bounds.md.

    python benchmarks/families.py [--xor 5 6 7 8] [--free-leaks 3 4] [--real 60,2,2 500,3,2] [--rho 0.02] [--seconds 60]
        [--two-layers 1,3 2,3] [--two-layers-real 1,60,2,2]

First-last XOR of T one-hot bits (2000 rows, leak 0.99, soft reset, hinge loss) is solved over all cells of parameters.
Sequences of real numbers (n,T,d; leak 0.9, random labels) are solved by column generation, in so many seconds. With
--two-layers (w,T of XOR) and --two-layers-real (w,n,T,d) every last neuron reads a first layer of w neurons of its own.
There equal sequences are taken as one of their weight, and what pricing lists is printed before each row.
"""

from __future__ import annotations

import argparse
import math
import time
import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from convexsnn import Problem, as_sequences
from convexsnn.bounds import FirstLayer, LayeredCells, NetworkFamily, Unit, universal_bound
from convexsnn.exact import ExactSettings, solve_exactly
from convexsnn.losses import LOSSES
from convexsnn.penalties import PENALTIES
from convexsnn.sequences import Sequences

LIF = Unit("lif", "soft", 0.99, 1.0)
XOR_ROWS, XOR_RHO = 2000, 0.3 / 1000**0.5
UNLIMITED = 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--xor", nargs="*", type=int, default=[5, 6])
    parser.add_argument("--free-leaks", nargs="*", type=int, default=[])
    parser.add_argument("--real", nargs="*", default=["60,2,2"])
    parser.add_argument("--two-layers", nargs="*", default=[])
    parser.add_argument("--two-layers-real", nargs="*", default=[])
    parser.add_argument("--rho", type=float, default=0.02)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    print("| case | rho | columns | objective | no network below | relative gap | universal bound | processor s | s |")
    print("|---|---|---|---|---|---|---|---|---|")
    pricing = ExactSettings("pricing", time_limit=options.seconds)
    for T in options.xor:
        row(f"XOR, T {T}", *xor(T), XOR_RHO, LIF, ExactSettings("arrangement", time_limit=UNLIMITED))
    for T in options.free_leaks:
        free = Unit("lif", "soft", 0.0, 1.0, leak_to=1.0)
        row(f"XOR, T {T}, any leaks", *xor(T), XOR_RHO, free, pricing)
    for text in options.two_layers:
        w, T = map(int, text.split(","))
        row(f"XOR, T {T}, first layer {w}", *xor(T), XOR_RHO, LIF, pricing, w)
    for text in options.real:
        n, T, d = map(int, text.split(","))
        row(f"n {n}, T {T}, d {d}", *reals(n, T, d), options.rho, Unit("lif", "soft", 0.9, 1.0), pricing)
    for text in options.two_layers_real:
        w, n, T, d = map(int, text.split(","))
        name, unit = f"n {n}, T {T}, d {d}, first layer {w}", Unit("lif", "soft", 0.9, 1.0)
        row(name, *reals(n, T, d), options.rho, unit, pricing, w)


def xor(T: int) -> tuple[Sequences, np.ndarray]:
    """Rows of random bits, one-hot, and whether the first differs from the last."""
    bits = np.random.default_rng(0).integers(0, 2, size=(XOR_ROWS, T))
    return as_sequences(np.eye(2)[bits]), bits[:, 0] ^ bits[:, -1]


def reals(n: int, T: int, d: int) -> tuple[Sequences, np.ndarray]:
    """Sequences of real numbers with random labels."""
    random = np.random.default_rng(0)
    X = random.normal(size=(n, T, d))
    return as_sequences(X), random.integers(2, size=n)


def row(
    name: str, X: Sequences, labels: np.ndarray, rho: float, unit: Unit, how: ExactSettings, below: int = 0
) -> None:
    """Print one row of the table; of two layers, where `below` neurons are in the first one."""
    family = NetworkFamily(X.n_features, (unit,))
    if below:
        family = NetworkFamily(X.n_features, (unit,), layers=2, below=FirstLayer(unit, below))
        cells = LayeredCells(family, X)
        trains, functions = len(cells.trains.bits), len(cells.functions[0].bits)
        tuples = math.comb(trains + below - 1, below) * functions
        print(f"{name}: {trains} spike trains, {functions} functions, {tuples:.1e} pairs of layers", flush=True)
    targets = LOSSES["hinge"].encode(torch.from_numpy(labels), 2)
    problem = Problem(X, targets, LOSSES["hinge"], PENALTIES["l1"], rho)
    problem = problem.merged_sequences if below else problem
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
