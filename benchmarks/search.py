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
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track

from convexsnn import SpikingClassifier
from convexsnn.bench.methods import SENSIBLE, SENSIBLE_START
from convexsnn.cost import inference_cost
from convexsnn.families import pretraining
from convexsnn.metrics import closed_loop_scores, split_scores
from convexsnn.network import Network
from convexsnn.penalties import PENALTIES
from convexsnn.search import SearchSettings, search
from convexsnn.surrogate import Problem, SurrogateSettings, initial_network, train_surrogate
from convexsnn.tasks import TaskSettings, load_task
from convexsnn.validation import Validation
from convexsnn.witnesses.heterogeneous import diversify

DIGITS = (5, 10, 20, 50, 1000)
# Of the time, for the surrogate gradients that a search goes on from.
SG_SHARE = 0.3


@dataclass(frozen=True)
class Case:
    """A task, the estimator's settings, the seconds for the search; and the trainer that it is compared with."""

    task: str
    timesteps: int
    seconds: float
    sizes: tuple[int, int, int] = (2000, 2000, 4000)
    settings: dict[str, Any] = field(default_factory=dict)
    search: dict[str, Any] = field(default_factory=dict)
    digits: tuple[int, ...] = ()
    sg_neurons: int = 256
    sg: SurrogateSettings | None = None


def xor(timesteps: int, seconds: float, *, depth: int = 3, recurrent: bool = False) -> Case:
    settings = {"loss": "hinge", "beta": 0.01, "readout": "spike", "recurrent": recurrent, "depth": depth}
    return Case("first-last-xor", timesteps, seconds, settings=settings)


def arithmetic(name: str, base: int) -> Case:
    settings = {"beta": 0.01, "readout": "spike", "depth": 2}
    return Case(f"{name}:base-{base}", 6, 200.0, (2000, 500, 500), settings, digits=DIGITS)


MNIST = {"beta": 0.01, "tol": 1e-5, "penalty": "group", "depth": 2, "recurrent": True, "readout": "spike"}
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
        400.0,
        (6000, 2000, 2000),
        MNIST | {"dtype": "float32"},
        {"oracles": ("ascent",), "block": 512, "stages": (1.0,)},
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
    model = SpikingClassifier(
        **case.settings,
        witnesses="search",
        search=case.search | {"seconds": case.seconds},
        per_step=task.per_step,
        random_state=seed,
    )
    began = time.perf_counter()
    facts: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if method != "search":
            # Only so that the estimator knows the data; its network is replaced.
            model.set_params(search=case.search | {"rounds": 1, "population": 8, "generations": 1, "prune": 0})
        model.fit(task.train.X, task.train.y, validation=(task.val.X, task.val.y))
        if method != "search":
            share = 1.0 if method == "sg" else SG_SHARE
            trained = Surrogate.of(case, model, task, share * case.seconds, seed)
            model.network_ = trained.network
            if method == "sg+search":
                score = 100.0 * split_scores(model, task.test.X, task.test.y)["accuracy"]
                facts |= {"sg objective": trained.problem.objective(trained.network), "sg test": score}
                model = trained.searched(case, model, (1.0 - share) * case.seconds, seed, task)
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


@dataclass(frozen=True, eq=False)
class Surrogate:
    """A network of surrogate gradients alone, and the problem that it was trained on."""

    network: Network
    problem: Problem
    validation: Validation

    @classmethod
    def of(cls, case: Case, model: SpikingClassifier, task: Any, seconds: float, seed: int) -> Surrogate:
        """One branch of `case.sg_neurons` neurons a layer, trained until the time is up; its best epoch."""
        sequences, targets = model.training_rows(task.train.X, task.train.y)
        held, held_targets = model.training_rows(task.val.X, task.val.y)
        program = model.program_settings()
        uniform = torch.full((len(targets),), 1.0 / len(targets), dtype=torch.float64)
        penalty, rho = PENALTIES[program.penalty], program.rho_for(case.sg_neurons)
        problem = Problem(sequences, targets, program.loss_function, penalty, rho, uniform)
        shape = model._architecture(sequences.n_features)
        shape = replace(shape, branches=1, hidden=case.sg_neurons, last=case.sg_neurons, bias=True)
        settings = case.sg or replace(pretraining(len(sequences)), epochs=100_000, schedule="constant", learn_leak=True)
        generator = torch.Generator().manual_seed(seed)
        start = initial_network(shape, targets.shape[1], generator, settings.gain)
        if case.sg:
            start = Network(diversify(start.hidden, generator, SENSIBLE_START), start.W)
        began = time.perf_counter()

        def stop(_: Any) -> None:
            if time.perf_counter() - began > seconds:
                raise KeyboardInterrupt

        ones = np.ones(len(held_targets))
        validation = Validation(held, lambda S: model._score_rows(held_targets, S, ones))
        trained = train_surrogate(start, problem, settings, seed=seed, validation=validation, on_epoch=stop)
        return cls(trained.network, problem, validation)

    def searched(self, case: Case, model: SpikingClassifier, seconds: float, seed: int, task: Any) -> SpikingClassifier:
        """Search on from the hidden layers, at the same rho, and fit the readout of what was found."""
        p, settings = self.problem, replace(model.program_settings(), rho=self.problem.rho)
        found = search(
            model._architecture(p.sequences.n_features),
            p.sequences,
            p.targets,
            p.row_weights,
            settings,
            SearchSettings(**case.search, seconds=seconds),
            seed=seed,
            given=self.network.hidden,
            validation=self.validation,
        )
        final = SpikingClassifier(**case.settings | {"witnesses": found.network.hidden, "rho": p.rho})
        final.fit(task.train.X, task.train.y)
        final.history_ = list(found.history)
        return final


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
