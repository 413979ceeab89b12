"""Work on several processes: what it is faster by, and what becomes of it when one of them is killed.

    OMP_NUM_THREADS=1 python benchmarks/ranks.py speed
    OMP_NUM_THREADS=1 python benchmarks/ranks.py speed --rows 10000 --columns 1024 --repeats 1
    OMP_NUM_THREADS=1 python benchmarks/ranks.py kills --runs 50

`speed` compares one process with two, each on one thread, on making a dictionary and on solving for a readout. Seconds
are of the processor, of the process that took most; where nothing else runs on the machine they are those of the clock.
Each process first does a small piece of the same work: what it loads once in its life is not counted.

`kills` starts `torchrun -m convexsnn fit` on two processes, and kills one of them at a random moment. Then all should
end within 30 seconds and one error be said, and the folder should hold a whole model or none. The same command, run
again, should give the same certificate. Where columns were kept, it goes on from them.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from pathlib import Path

import torch
import torch.distributed as dist

from convexsnn import build_dictionary
from convexsnn.cli.folder import CERTIFICATE, COLUMNS, MODEL, folder_problems
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
FIT = ["fit", "--task", "first-last-xor", "--timesteps", "8", "--n-train", "12000", "--witnesses", "gaussian"]
FIT += ["--n-val", "100", "--n-test", "100", "--depth", "2", "--last", "1000", "--beta", "0.1", "--tol", "1e-3"]


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


def kills(given):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [
        str(Path(sys.executable).with_name("torchrun")),
        "--nproc-per-node",
        "2",
        "-m",
        "convexsnn",
        *FIT,
        "--out",
    ]
    draws, seen, slowest = random.Random(given.seed), Counter(), 0.0
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "model")
        begun = time.monotonic()
        subprocess.run([*command, str(out)], env=environment, check=True, capture_output=True)
        length, expected = time.monotonic() - begun, certificate_of(out)
        print(f"one run takes {length:.1f} s", flush=True)
        for number in range(given.runs):
            shutil.rmtree(out, ignore_errors=True)
            outcome, seconds = killed([*command, str(out)], environment, draws.uniform(0.0, length), draws.randrange(2))
            state, again = state_of(out, expected), "-"
            if number % given.every == 0:
                done = subprocess.run([*command, str(out)], env=environment, capture_output=True, check=False)
                again = "same" if done.returncode == 0 and certificate_of(out) == expected else "other"
            seen[outcome, state, again] += 1
            slowest = max(slowest, seconds)
            print(f"  {number}: {outcome}, ended after {seconds:.1f} s, folder {state}, again {again}", flush=True)
    print("| what was said | folder | the same command again | times |\n|---|---|---|---|")
    for (outcome, state, again), count in sorted(seen.items()):
        print(f"| {outcome} | {state} | {again} | {count} |")
    print(f"all had ended at most {slowest:.1f} s after the kill")


def killed(command, environment, delay, rank):
    """What was said, and how long after the kill of one process all had ended."""
    started = time.monotonic()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    children = []
    while (time.monotonic() < started + delay or len(children) <= rank) and process.poll() is None:
        time.sleep(0.01)
        children = children_of(process.pid)
    if len(children) > rank:
        os.kill(children[rank], signal.SIGKILL)
    moment = time.monotonic()
    try:
        _, said = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        for pid in (*children_of(process.pid), process.pid):
            os.kill(pid, signal.SIGKILL)
        process.communicate()
        return "HUNG", 60.0
    seconds = time.monotonic() - moment
    errors = sum(line.startswith("error:") for line in said.splitlines())
    if process.returncode == 0:
        return "finished before the kill", seconds
    if errors == 0:
        return ("torchrun's report alone" if "ChildFailedError" in said else "NOTHING"), seconds
    return f"{errors} error and torchrun's report", seconds


def children_of(pid):
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return sorted(int(child) for child in path.read_text().split()) if path.exists() else []


def state_of(out, expected):
    """What a kill left: a whole model, none, or something else."""
    if not (out / MODEL).exists():
        kept = len(list((out / COLUMNS).glob("*"))) if (out / COLUMNS).is_dir() else 0
        return "no model, columns kept" if kept else "no model"
    return "whole" if certificate_of(out) == expected else "BROKEN"


def certificate_of(out):
    """A digest of the certificate; None where the folder is not whole."""
    if not (out / MODEL).is_file() or folder_problems(out):
        return None
    return hashlib.sha256((out / CERTIFICATE).read_bytes()).hexdigest()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = parser.add_subparsers(dest="what", required=True)
    fast = what.add_parser("speed")
    fast.add_argument("--rows", type=int, default=60_000)
    fast.add_argument("--columns", type=int, default=8192)
    fast.add_argument("--repeats", type=int, default=3)
    fast.add_argument("--work", nargs="+", default=list(WORK), choices=list(WORK))
    killing = what.add_parser("kills")
    killing.add_argument("--runs", type=int, default=50)
    killing.add_argument("--every", type=int, default=1, help="run the same command again after every so many kills")
    killing.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    {"speed": speed, "kills": kills}[given.what](given)


if __name__ == "__main__":
    main()
