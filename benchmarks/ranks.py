"""What work on two processes is faster by.

    OMP_NUM_THREADS=1 python benchmarks/ranks.py
    OMP_NUM_THREADS=1 python benchmarks/ranks.py --rows 10000 --columns 1024 --repeats 1

One process is compared with two, each on one thread, on making a dictionary, on solving for a readout and on a search.
Seconds are of the processor, of the process that took most; where nothing else runs on the machine they are those of
the clock. Each process first does a small piece of the same work: what it loads once in its life is not counted.
"""

import argparse
import json
import multiprocessing
import statistics
import tempfile
import time
from collections import deque
from pathlib import Path

import torch
import torch.distributed as dist

from convexsnn import build_dictionary
from convexsnn.columns import BitColumns
from convexsnn.losses import LOSSES
from convexsnn.penalties import PENALTIES
from convexsnn.problem import Problem
from convexsnn.program import ConvexProgram, uniform_weights
from convexsnn.ranks import ProcessGroup
from convexsnn.search import SearchSettings, search
from convexsnn.sequences import Sequences
from convexsnn.sharded import ShardedColumns, ShardedSequences, rows_of_rank
from convexsnn.solvers import SolverOptions, solve
from convexsnn.witnesses import Architecture, gaussian

STEPS, FEATURES, CLASSES = 10, 8, 10
# Rows and columns of what each process does beforehand.
SMALL = 240, 160


def dictionary(rows, columns, ranks):
    """Making the columns of random neurons on random sequences."""
    g = torch.Generator().manual_seed(0)
    values = torch.randn(rows, STEPS, FEATURES, generator=g, dtype=torch.float64)
    sequences = Sequences(values, torch.full((rows,), STEPS))
    hidden = gaussian(Architecture(n_features=FEATURES, depth=2, branches=1, last=columns), g)
    yield
    found = build_dictionary(hidden, ShardedSequences(sequences, ranks))
    yield {"P": found.columns.shape[1], "margin": found.spike_margin}


def program(rows, columns, ranks, loss="cross_entropy"):
    """Solving for the readout of random columns, whose labels depend on a few of them."""
    g, own = torch.Generator().manual_seed(0), rows_of_rank(rows, ranks)
    packed = torch.randint(256, (columns, -(-rows // 8)), generator=g, dtype=torch.uint8)
    packed &= torch.randint(256, packed.shape, generator=g, dtype=torch.uint8)
    few = BitColumns(packed[: 8 * CLASSES], rows).dense()
    scores = few @ torch.randn(8 * CLASSES, CLASSES, generator=g, dtype=torch.float64)
    labels = (scores + torch.randn(rows, CLASSES, generator=g, dtype=torch.float64)).argmax(dim=1)
    chosen, two = LOSSES[loss], loss == "logistic"
    targets = chosen.encode(labels % 2 if two else labels, 2 if two else CLASSES)
    held = BitColumns(packed[:, own.start // 8 : -(-own.stop // 8)].clone(), own.stop - own.start)
    asked = ConvexProgram(
        ShardedColumns(held, rows, ranks), targets, chosen, PENALTIES["l1"], 0.004, uniform_weights(rows)
    )
    del packed, few, scores
    yield
    found = solve(asked, SolverOptions(tol=1e-4)).certificate
    yield {"primal": found.primal, "dual": found.dual, "support": found.support}


def searched(rows, columns, ranks):
    """A search for neurons, without the oracle that trains by surrogate gradients; `columns` are 1e6 neuron steps."""
    g = torch.Generator().manual_seed(0)
    values = torch.randn(rows, STEPS, FEATURES, generator=g, dtype=torch.float64)
    sequences = Sequences(values, torch.full((rows,), STEPS))
    loss = LOSSES["cross_entropy"]
    targets = loss.encode((values[:, 0, 0] * values[:, -1, 1] > 0).to(torch.int64), 2)
    oracles = ("restarts", "refinement", "crossing", "inputs")
    settings = SearchSettings(depth=2, effort=1e6 * columns, oracles=oracles)
    problem = Problem(sequences, targets, loss, PENALTIES["l1"], 0.002).over(ranks)
    yield
    found = search(problem, settings)
    yield {"objective": found.history[-1].objective, "rounds": len(found.history)}


WORK = {"dictionary": dictionary, "cross_entropy": program, "search": searched}


def measure(folder, rank, size, arguments):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=size)
    name, rows, columns = arguments
    deque(WORK[name](*SMALL, ProcessGroup()), maxlen=0)
    steps = WORK[name](rows, columns, ProcessGroup())
    next(steps)
    dist.barrier()
    clock, processor = time.perf_counter(), time.process_time()
    outcome = next(steps)
    facts = {"clock": time.perf_counter() - clock, "processor": time.process_time() - processor, "outcome": outcome}
    Path(folder, f"{rank}.json").write_text(json.dumps(facts))
    dist.destroy_process_group()


def on(size, arguments):
    """Clock, processor of the process that took most, and what came out."""
    with tempfile.TemporaryDirectory() as folder:
        start = multiprocessing.get_context("fork").Process
        running = [start(target=measure, args=(folder, rank, size, arguments)) for rank in range(size)]
        for process in running:
            process.start()
        for process in running:
            process.join()
        facts = [json.loads(Path(folder, f"{rank}.json").read_text()) for rank in range(size)]
    assert all(own["outcome"] == facts[0]["outcome"] for own in facts)
    return {name: max(own[name] for own in facts) for name in ("clock", "processor")} | {"outcome": facts[0]["outcome"]}


def speed(given):
    for name in given.work:
        arguments = (name, given.rows, given.columns)
        runs = {1: [], 2: []}
        for _ in range(given.repeats):
            for size, own in runs.items():
                own.append(on(size, arguments))
        same = runs[1][0]["outcome"] == runs[2][0]["outcome"]
        median = {
            size: {kind: statistics.median(run[kind] for run in own) for kind in ("clock", "processor")}
            for size, own in runs.items()
        }
        for kind in ("processor", "clock"):
            one, two = median[1][kind], median[2][kind]
            print(f"{name} {given.rows} x {given.columns}, {kind}: {one:.2f} s, {two:.2f} s, {one / two:.2f} times")
        print(f"  the same outcome: {same} {runs[1][0]['outcome']}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--columns", type=int, default=8192)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--work", nargs="+", default=list(WORK), choices=list(WORK))
    speed(parser.parse_args())


if __name__ == "__main__":
    main()
