"""The dual-guided search on the tasks that random witnesses do not solve, and surrogate gradients for the same time.

    python benchmarks/search.py [--only xor-T14 ...] [--seeds 0 1 2] [--methods search sg] [--out search.jsonl]

Every run is one line of JSON in --out, and is not repeated when it is there already. Prints a Markdown table: mean and
worst over the seeds. Times are those of one thread (set OMP_NUM_THREADS=1) on whatever else the machine does.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track

from convexsnn import Architecture, Gaussian, Network, Problem, Search, SpikingClassifier, Surrogate
from convexsnn.bench.methods import SENSIBLE, SENSIBLE_START
from convexsnn.cost import inference_cost
from convexsnn.metrics import closed_loop_scores, split_scores
from convexsnn.regularisation import rho_of
from convexsnn.surrogate import SurrogateSettings, initial_network, train_surrogate
from convexsnn.tasks import TaskData, TaskSettings, load_task
from convexsnn.witnesses.heterogeneous import diversify

DIGITS = (5, 10, 20, 50, 1000)
# Of the time, for the surrogate gradients that a search goes on from.
SG_SHARE = 0.3


@dataclass(frozen=True)
class Case:
    """A task, the neurons to search among, the estimator's settings; and the trainer that it is compared with."""

    task: str
    timesteps: int
    family: Search
    settings: dict[str, Any]
    sizes: tuple[int, int, int] = (2000, 2000, 4000)
    digits: tuple[int, ...] = ()
    sg_neurons: int = 256
    sg: SurrogateSettings | None = None

    @property
    def seconds(self) -> float:
        """That training may take."""
        assert self.family.seconds is not None
        return self.family.seconds


def xor(timesteps: int, seconds: float, *, depth: int = 3, recurrent: bool = False) -> Case:
    family = Search(depth=depth, recurrent=recurrent, readout="spike", seconds=seconds)
    return Case("first-last-xor", timesteps, family, {"loss": "hinge", "beta": 0.01})


def arithmetic(name: str, base: int) -> Case:
    family = Search(depth=2, readout="spike", seconds=200.0)
    return Case(f"{name}:base-{base}", 6, family, {"beta": 0.01}, (2000, 500, 500), DIGITS)


MNIST = Search(
    depth=2,
    recurrent=True,
    readout="spike",
    dtype="float32",
    oracles=("ascent",),
    block=512,
    stages=(1.0,),
    seconds=400.0,
)
CASES: dict[str, Case] = {
    "xor-T6": xor(6, 30.0),
    "xor-T8": xor(8, 60.0),
    "xor-T11": xor(11, 270.0, depth=4),
    "xor-T14": xor(14, 270.0, depth=4),
    "xor-T14-rec": xor(14, 50.0, depth=2, recurrent=True),
    "xor-T30-rec": xor(30, 240.0, depth=2, recurrent=True),
    "xor-T50-rec": xor(50, 480.0, depth=2, recurrent=True),
    **{f"addition-{base}": arithmetic("addition", base) for base in (2, 3, 5, 7, 10)},
    **{f"subtraction-{base}": arithmetic("subtraction", base) for base in (2, 3, 5, 7, 10)},
    "mnist-T14": Case(
        "mnist",
        14,
        MNIST,
        {"beta": 0.01, "tol": 1e-5, "penalty": "group"},
        (6000, 2000, 2000),
        sg_neurons=512,
        sg=SENSIBLE,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=sorted(CASES), default=list(CASES))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--methods", nargs="*", choices=["search", "sg", "sg+search"], default=["search"])
    parser.add_argument("--out", type=Path, default=Path("search.jsonl"))
    parser.add_argument("--data-dir", type=Path, default=None)
    options = parser.parse_args()
    done = {}
    if options.out.exists():
        done = {(row["case"], row["method"], row["seed"]): row for row in map(json.loads, options.out.open())}
    jobs = [(case, m, seed) for case in options.only for seed in options.seeds for m in options.methods]
    for name, method, seed in track(jobs, disable=None, description="runs"):
        if (name, method, seed) not in done:
            row = {"case": name, "method": method, "seed": seed} | run(CASES[name], method, seed, options.data_dir)
            done[name, method, seed] = row
            with options.out.open("a") as file:
                file.write(json.dumps(row) + "\n")
    print_table([done[job] for job in jobs])


def run(case: Case, method: str, seed: int, data_dir: Path | None) -> dict[str, Any]:
    """One fit, scored on the test split, and in closed loop where the task has one."""
    folder = data_dir if case.task == "mnist" else None
    task = load_task(case.task, TaskSettings(*case.sizes, case.timesteps, seed=seed, data_dir=folder))
    facts: dict[str, Any] = {}
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if method == "search":
            model = estimator(case, task, seed, witnesses=case.family)
            model.fit(task.train.X, task.train.y, validation=(task.val.X, task.val.y))
        else:
            model = surrogate(case, task, method, seed, facts)
    if method != "sg":
        certificate = model.certificate_
        facts |= {"objective": certificate.primal, "gap": certificate.relative_gap, "columns": certificate.support}
        facts |= {"rounds": len(model.history_) - 1, "beta": model.beta_}
    facts["seconds"] = time.perf_counter() - began
    facts["test"] = {k: 100.0 * v for k, v in split_scores(model, task.test.X, task.test.y).items()}
    facts["neurons"] = inference_cost(model.network_, model.sequences(task.test.X)).neurons
    for digits in case.digits:
        longer = load_task(case.task, TaskSettings(1, 1, case.sizes[2], digits + 1, seed=seed))
        scores = closed_loop_scores(model, longer)
        facts[f"digits {digits}"] = {k: 100.0 * v for k, v in scores.items()}
    return facts


def estimator(case: Case, task: TaskData, seed: int, **parameters: Any) -> SpikingClassifier:
    return SpikingClassifier(per_step=task.per_step, random_state=seed, **case.settings, **parameters)


def surrogate(case: Case, task: TaskData, method: str, seed: int, facts: dict[str, Any]) -> SpikingClassifier:
    """A network of surrogate gradients alone, or with "sg+search" of a search that goes on from its hidden layers."""
    share = 1.0 if method == "sg" else SG_SHARE
    # Fitted only so that it knows the classes: its network is replaced.
    model = estimator(case, task, seed, witnesses=Gaussian(depth=2, last=8)).fit(task.train.X, task.train.y)
    problem = replace(
        model.problem(task.train.X, task.train.y),
        rho=rho_of(case.settings["beta"], case.sg_neurons),
        validation=model.problem(task.val.X, task.val.y).scored,
    )
    model.network_ = trained(case, problem, share * case.seconds, seed)
    if method == "sg":
        return model
    score = split_scores(model, task.test.X, task.test.y)["accuracy"]
    facts |= {"sg objective": problem.objective(model.network_), "sg test": 100.0 * score}
    family = model.network_.hidden + case.family.with_params(seconds=(1.0 - share) * case.seconds)
    on = estimator(case, task, seed, witnesses=family, rho=problem.rho)
    return on.fit(task.train.X, task.train.y, validation=(task.val.X, task.val.y))


def trained(case: Case, problem: Problem, seconds: float, seed: int) -> Network:
    """One branch of `case.sg_neurons` neurons a layer, trained until the time is up; its best epoch."""
    sequences, family, neurons = problem.input, case.family, case.sg_neurons
    shape = Architecture(
        n_features=sequences.n_features,
        depth=family.depth,
        branches=1,
        hidden=neurons,
        last=neurons,
        recurrent=family.recurrent,
        bias=True,
        readout=family.readout,
        every_step=problem.every_step,
        dtype=family.dtype,
    )
    usual = replace(Surrogate().training(len(sequences)), epochs=100_000, schedule="constant")
    settings, generator = case.sg or usual, torch.Generator().manual_seed(seed)
    start = initial_network(shape, problem.n_outputs, generator, settings.gain)
    if case.sg:
        start = Network(diversify(start.hidden, generator, SENSIBLE_START), start.W)
    began = time.perf_counter()

    def stop(_: Any) -> None:
        if time.perf_counter() - began > seconds:
            raise KeyboardInterrupt

    return train_surrogate(start, problem, settings, seed=seed, on_epoch=stop).network


def print_table(rows: list[dict[str, Any]]) -> None:
    print("| case | method | seeds | test % mean (worst) | columns | neurons | seconds | closed loop, all right % |")
    print("|---|---|---|---|---|---|---|---|")
    for case, method in dict.fromkeys((row["case"], row["method"]) for row in rows):
        own = [row for row in rows if (row["case"], row["method"]) == (case, method)]
        test = [row["test"]["accuracy"] for row in own]
        mean = lambda name, own=own: f"{np.mean([row.get(name, np.nan) for row in own]):.0f}"  # noqa: E731
        loops = [
            f"{digits}: {min(row[f'digits {digits}']['sequence_accuracy'] for row in own):.1f}"
            for digits in CASES[case].digits
        ]
        cells = [case, method, str(len(own)), f"{np.mean(test):.2f} ({min(test):.2f})"]
        print(f"| {' | '.join([*cells, mean('columns'), mean('neurons'), mean('seconds'), ', '.join(loops)])} |")


if __name__ == "__main__":
    main()
