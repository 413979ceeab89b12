"""Our solvers beside others, on dictionaries made by the paper's recipe.

    python benchmarks/solvers.py [--mnist DIR] [--programs NAME ...] [--betas B ...] [--repeats N] [--out DIR]
    python benchmarks/solvers.py --mode path | growth

Every run is a process of its own, from a cold start: it is killed at the time limit, and its peak memory is its own.
Import, dictionary and a warm-up on a tiny program (which compiles what a library compiles) are not timed. Ours runs
once, to --tol, and its history tells when it certified 1e-2 and 1e-4. A peer runs with ever tighter tolerances; the
time to a gap is that of the first whole run whose weights are that good. How good they are is judged by our
certificate code, never by the peer's stopping rule: (primal(W) - bound) / primal(W), with the bound of our own solution
at a hundredth of the tolerance, so that a peer that returns no dual vector has no disadvantage. With `--clock cpu` and
OMP_NUM_THREADS=1 the seconds are those of one processor, which other work on the machine hardly changes. Results go to
solvers.jsonl as they come; cells that are there already are not run again, so a killed run can be resumed.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import platform
import resource
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch

from convexsnn.columns import BitColumns
from convexsnn.dictionary import build_dictionary
from convexsnn.losses import LOSSES
from convexsnn.penalties import PENALTIES
from convexsnn.program import ConvexProgram, uniform_weights
from convexsnn.sequences import as_sequences
from convexsnn.solvers import SolverOptions, solve
from convexsnn.solvers.path import largest_rho, solve_path
from convexsnn.tasks import TaskSettings, load_task
from convexsnn.witnesses import Architecture, gaussian
from peers import PEERS, TOLERANCES, run

GAPS = (1e-2, 1e-4, 1e-6)
OURS = "convexsnn"


@dataclass(frozen=True)
class Case:
    """A dictionary and a loss: the task, its size, which class is told from the rest (None: all classes)."""

    task: str
    loss: str
    n: int
    last: int
    timesteps: int
    penalty: str = "l1"
    one: int | None = None
    dtype: str = "float64"

    @property
    def architecture(self) -> dict[str, Any]:
        if self.timesteps == 1:
            return {"depth": 2, "last": self.last}
        deep = {"depth": 5, "hidden": 500} if self.task == "first-last-xor" else {"depth": 3, "hidden": 512}
        return deep | {"last": self.last}


CASES = {
    "xor-hinge": Case("first-last-xor", "hinge", 2000, 1000, 11),
    "mnist-hinge": Case("mnist", "hinge", 6000, 1024, 14, one=0),
    "mnist-squared": Case("mnist", "squared", 6000, 1024, 14, one=0),
    "mnist-logistic": Case("mnist", "logistic", 6000, 1024, 14, one=0),
    "mnist-ce": Case("mnist", "cross_entropy", 6000, 1024, 14),
    "mnist-ce-group": Case("mnist", "cross_entropy", 6000, 1024, 14, penalty="group"),
    "mnist-squared-group": Case("mnist", "squared", 6000, 1024, 14, penalty="group"),
    "mnist-hinge-group": Case("mnist", "hinge", 6000, 1024, 14, penalty="group"),
    "mnist-ce-8192": Case("mnist", "cross_entropy", 59900, 8192, 14),
    # One layer of neurons on whole images, in float32: the one product that makes the 3.9e9 entries takes minutes.
    "mnist-ce-65536": Case("mnist", "cross_entropy", 59900, 65536, 1, dtype="float32"),
}
USUAL = ("xor-hinge", "mnist-hinge", "mnist-squared", "mnist-logistic", "mnist-ce")


def columns_and_labels(case: Case, cache: Path, data_dir: Path | None) -> tuple[BitColumns, torch.Tensor]:
    """The dictionary of a case, from the cache when it was made before."""
    file = cache / f"{case.task}-{case.n}-{case.last}-{case.timesteps}.pt"
    if not file.exists():
        settings = TaskSettings(case.n, 100, 100, timesteps=case.timesteps)
        task = load_task(case.task, settings if case.task != "mnist" else replace(settings, data_dir=data_dir))
        sequences = as_sequences(task.train.X)
        architecture = Architecture(
            sequences.n_features, **case.architecture, branches=2, leak=0.99, readout="membrane", dtype=case.dtype
        )
        columns = build_dictionary(gaussian(architecture, torch.Generator().manual_seed(0)), sequences).columns
        assert isinstance(columns, BitColumns)
        labels = torch.as_tensor(np.asarray(task.train.y)).long()
        cache.mkdir(parents=True, exist_ok=True)
        torch.save({"packed": columns.packed, "n": columns.n, "labels": labels}, file)
    stored = torch.load(file, weights_only=True)
    return BitColumns(stored["packed"], stored["n"]), stored["labels"]


def make_program(case: Case, beta: float, cache: Path, data_dir: Path | None) -> ConvexProgram:
    columns, labels = columns_and_labels(case, cache, data_dir)
    if case.one is not None:
        labels = (labels == case.one).long()
    loss = LOSSES[case.loss]
    targets = loss.encode(labels, int(labels.max()) + 1)
    rho = beta / math.sqrt(case.last)
    return ConvexProgram(columns, targets, loss, PENALTIES[case.penalty], rho, uniform_weights(len(labels)))


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def work(connection: Connection, name: str, program: ConvexProgram, effort: int, tol: float, clock: str) -> None:
    """What the process of one run does."""
    now = CLOCKS[clock]
    tiny = replace(program, columns=program.columns.take(torch.arange(64)))  # enough that all code of ours is loaded
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    history: list[tuple[float, float]] = []
    if name == OURS:
        solve(tiny)
        program.columns.rmatmul(program.targets)  # by compiled code, which small programs do not use
        start = now()
        W = solve(
            program, SolverOptions(tol, callback=lambda entry: history.append((entry.relative_gap, now() - start)))
        ).W.numpy()
    else:
        run(name, tiny, 0)
        start = now()
        W = run(name, program, effort)
    seconds = now() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    connection.send((W, seconds, history, (peak - base) / 1024))


def isolated(
    name: str, program: ConvexProgram, effort: int, limit: float, tol: float, clock: str
) -> tuple[Any, ...] | str:
    """The result of `work`, or why there is none."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(there, name, program, effort, tol, clock), daemon=True)
    process.start()
    there.close()
    try:
        # Start and warm-up take some seconds, which are not counted.
        if not here.poll(limit + 20.0):
            return f"over {limit:g} s"
        return here.recv()
    except EOFError:
        return "failed"
    finally:
        process.kill()
        process.join()


def measure(name: str, program: ConvexProgram, bound: float, limit: float, tol: float, clock: str) -> dict[str, Any]:
    """Seconds to each gap, and the gap of every run of the ladder."""
    seconds: dict[str, float] = {}
    trace: list[tuple[float, float]] = []
    peak, note = 0.0, ""
    for effort in range(1 if name == OURS else len(TOLERANCES)):
        result = isolated(name, program, effort, limit, tol, clock)
        if isinstance(result, str):
            note = result
            break
        W, spent, history, memory = result
        primal = program.primal(torch.from_numpy(np.ascontiguousarray(W)))
        gap = max((primal - bound) / max(abs(primal), 1e-300), 1e-16)
        trace += history or [(gap, spent)]
        if name == OURS:
            # The last entry of the history is timed before the final certificate is computed.
            trace.append((gap, spent))
        peak = max(peak, memory)
        for level in GAPS:
            reached = [at for value, at in trace if value <= level]
            if reached:
                seconds[f"{level:g}"] = min(reached)
        if gap <= GAPS[-1] or spent > limit / 3.0:
            break
    return {
        "seconds": seconds,
        "trace": trace,
        "peak_mib": peak,
        "best_gap": min((g for g, _ in trace), default=None),
        "note": note,
    }


def compare(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Run every cell that is not in the file of results yet."""
    file = arguments.out / "solvers.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    done = {(row["case"], row["beta"], row["solver"], row["repeat"]) for row in rows}
    bounds: dict[tuple[str, float], float] = {}
    for case, beta, program in programs(arguments):
        contestants = [OURS] + [name for name, peer in PEERS.items() if peer.takes(program)]
        for repeat in range(arguments.repeats):
            for name in contestants:
                if (arguments.solvers and name not in arguments.solvers) or (case, beta, name, repeat) in done:
                    continue
                if name != OURS and find_spec(PEERS[name].package) is None:
                    print(f"skipped {name}: package {PEERS[name].package} is not installed")
                    continue
                if (case, beta) not in bounds:
                    bounds[case, beta] = solve(program, SolverOptions(1e-2 * arguments.tol)).certificate.dual
                row = {"case": case, "beta": beta, "solver": name, "repeat": repeat}
                row |= {"n": program.n_rows, "P": program.n_columns, "C": program.n_outputs}
                row |= measure(name, program, bounds[case, beta], arguments.limit, arguments.tol, arguments.clock)
                rows.append(row)
                print(case, beta, name, row["seconds"], row["best_gap"], row["note"], flush=True)
                with file.open("a") as handle:
                    handle.write(json.dumps(row) + "\n")
    return rows


def programs(arguments: argparse.Namespace) -> Iterator[tuple[str, float, ConvexProgram]]:
    for case in arguments.programs:
        for beta in arguments.betas:
            try:
                yield case, beta, make_program(CASES[case], beta, arguments.out / "cache", arguments.mnist)
            except ValueError as error:
                print(f"skipped {case}: {error}")
                break


def render(rows: list[dict[str, Any]], clock: str) -> str:
    """One line a program and solver: median seconds to each gap."""
    lines = [
        "| program | n x P x C | beta | solver | s to 1e-2 | s to 1e-4 | s to 1e-6 | best gap | peak MiB | ours |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    cells: dict[tuple[str, float, str], list[dict[str, Any]]] = {}
    for row in rows:
        cells.setdefault((row["case"], row["beta"], row["solver"]), []).append(row)
    for (case, beta, solver), several in cells.items():
        first = several[0]
        times = [_median([r["seconds"].get(f"{level:g}") for r in several]) for level in GAPS]
        ours = cells.get((case, beta, OURS))
        own = _median([r["seconds"].get(f"{GAPS[-1]:g}") for r in ours]) if ours else None
        ratio = "" if solver == OURS or own is None or times[-1] is None else f"{times[-1] / own:.1f} x"
        shown = " | ".join("-" if t is None else f"{t:.2f}" for t in times)
        gap = "-" if first["best_gap"] is None else f"{first['best_gap']:.0e}"
        lines.append(
            f"| {case} | {first['n']} x {first['P']} x {first['C']} | {beta:g} | {solver} | {shown} "
            f"| {gap} {first['note']} | {first['peak_mib']:.0f} | {ratio} |"
        )
    return "\n".join([*lines, "", footer(clock)])


def footer(clock: str) -> str:
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    seconds = {"wall": "seconds", "cpu": "seconds of processor time"}[clock]
    return f"Measured {datetime.now(tz=UTC):%Y-%m-%d} on {machine}, {seconds}. '-': not reached within the limit.\n"


def _median(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if len(known) == len(values) and known else None


def plot(rows: list[dict[str, Any]], out: Path) -> None:
    """Gap against time, one picture a program."""
    if find_spec("matplotlib") is None:
        print("no plots: matplotlib is not installed")
        return
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    for case, beta in sorted({(row["case"], row["beta"]) for row in rows}):
        figure, axes = plt.subplots(figsize=(6, 4))
        for row in rows:
            if (row["case"], row["beta"], row["repeat"]) == (case, beta, 0) and row["trace"]:
                gaps, seconds = zip(*sorted(row["trace"], key=lambda entry: entry[1]), strict=True)
                axes.loglog(seconds, gaps, marker=".", label=row["solver"], lw=2 if row["solver"] == OURS else 1)
        axes.set(xlabel="seconds", ylabel="relative duality gap", title=f"{case}, beta {beta:g}")
        axes.legend(fontsize="small")
        figure.tight_layout()
        figure.savefig(out / f"{case}-{beta:g}.png", dpi=120)
        plt.close(figure)


def path(arguments: argparse.Namespace) -> None:
    """A path of 20 rho from the level of W = 0 down to that of each beta, against one cold solve there."""
    print("| program | beta | one solve s | path of 20 s | ratio | largest gap |\n|---|---|---|---|---|---|")
    now = CLOCKS[arguments.clock]
    for case, beta, program in programs(arguments):
        solve(replace(program, rho=largest_rho(program)))
        rhos = np.geomspace(0.99 * largest_rho(program), program.rho, 20).tolist()
        single, whole, worst = [], [], 0.0
        for _ in range(arguments.repeats):
            start = now()
            solve(program)
            single.append(now() - start)
            start = now()
            worst = max(point.certificate.relative_gap for point in solve_path(program, rhos))
            whole.append(now() - start)
        one, twenty = statistics.median(single), statistics.median(whole)
        print(f"| {case} | {beta:g} | {one:.2f} | {twenty:.2f} | {twenty / one:.1f} | {worst:.0e} |", flush=True)
    print("\n" + footer(arguments.clock))


def growth(arguments: argparse.Namespace) -> None:
    """Seconds of MNIST cross entropy at beta 0.1 when n, P or the number of classes doubles, and the exponents."""
    base = make_program(CASES["mnist-ce"], 0.1, arguments.out / "cache", arguments.mnist)
    n, P = base.columns.shape
    points: dict[str, list[tuple[int, float]]] = {"n": [], "P": [], "C": []}
    for part in (1 / 4, 1 / 2, 1):
        rows, some = int(part * n), int(part * P)
        bits = base.columns.dense(torch.bool)[:rows]
        points["n"].append((rows, _seconds(base, bits, base.targets[:rows], arguments.repeats)))
        bits = base.columns.dense(torch.bool)[:, :some]
        points["P"].append((some, _seconds(base, bits, base.targets, arguments.repeats)))
    for classes in (2, 4, 8):
        own = base.targets[:, :classes].any(dim=1)
        bits, targets = base.columns.dense(torch.bool)[own], base.targets[own, :classes]
        equal = int(base.targets[:, :2].any(dim=1).sum())  # the same n for every number of classes
        points["C"].append((classes, _seconds(base, bits[:equal], targets[:equal], arguments.repeats)))
    print("| grows | sizes | seconds | exponent |\n|---|---|---|---|")
    for what, measured in points.items():
        sizes, seconds = zip(*measured, strict=True)
        exponent = np.polyfit(np.log(sizes), np.log(seconds), 1)[0]
        print(f"| {what} | {', '.join(map(str, sizes))} | {', '.join(f'{s:.2f}' for s in seconds)} | {exponent:.1f} |")
    print("\n" + footer(arguments.clock))


def _seconds(base: ConvexProgram, bits: torch.Tensor, targets: torch.Tensor, repeats: int) -> float:
    from convexsnn.columns import pack_bits

    columns = BitColumns(pack_bits(bits.T), len(bits))
    program = replace(base, columns=columns, targets=targets, row_weights=uniform_weights(len(bits)))
    return statistics.median(solve(program).seconds for _ in range(repeats))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", choices=("compare", "path", "growth"), default="compare")
    parser.add_argument("--programs", nargs="+", choices=CASES, default=list(USUAL))
    parser.add_argument("--betas", nargs="+", type=float, default=[1.0, 0.1, 0.01])
    parser.add_argument("--solvers", nargs="+", choices=[OURS, *PEERS], default=[], help="only these")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--tol", type=float, default=1e-6, help="relative gap that ours is to certify")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds a run may take")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="what the seconds are")
    parser.add_argument("--mnist", type=Path, default=None, help="folder with the four IDX files")
    parser.add_argument("--out", type=Path, default=Path("bench-solvers"), help="folder of results and cache")
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.mode != "compare":
        {"path": path, "growth": growth}[arguments.mode](arguments)
        return
    rows = compare(arguments)
    table = render(rows, arguments.clock)
    (arguments.out / "solvers.md").write_text(table)
    plot(rows, arguments.out)
    print("\n" + table)


if __name__ == "__main__":
    main()
