"""`convexsnn bench ablation`: accuracy and gap against one setting at a time."""

from __future__ import annotations

import io
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from convexsnn.bench.jobs import Job, JobSkippedError, TableRows, mean_and_spread
from convexsnn.estimators import SpikingClassifier
from convexsnn.families import FAMILIES, WitnessFamily
from convexsnn.files import write_atomically
from convexsnn.tasks import TaskSettings, load_task


@dataclass(frozen=True)
class Base:
    """What an ablation varies around: a task with its sizes, a fit, and a network of gaussian witnesses."""

    task: str
    sizes: tuple[int, int, int]
    fit: dict[str, Any]
    network: dict[str, Any]


_NETWORK = {"branches": 2, "readout": "membrane"}
BASES: dict[str, Base] = {
    "xor": Base(
        "first-last-xor",
        (2000, 2000, 4000),
        {"timesteps": 8, "loss": "hinge", "beta": 0.01},
        _NETWORK | {"depth": 5, "hidden": 500, "last": 1000},
    ),
    "addition": Base(
        "addition:base-2",
        (1000, 1000, 1000),
        {"timesteps": 6, "loss": "cross_entropy", "beta": 0.01},
        _NETWORK | {"depth": 3, "hidden": 512, "last": 1024},
    ),
    "digits": Base(
        "digits",
        (1000, 297, 500),
        {"timesteps": 8, "loss": "cross_entropy", "beta": 0.1},
        _NETWORK | {"depth": 3, "hidden": 256, "last": 512},
    ),
    "mnist": Base(
        "mnist",
        (6000, 2000, 2000),
        {"timesteps": 14, "loss": "cross_entropy", "beta": 0.1},
        _NETWORK | {"depth": 3, "hidden": 512, "last": 1024},
    ),
}

# The settings that are varied, one at a time, and the values they take.
AXES: dict[str, tuple[Any, ...]] = {
    "n_train": (30, 60, 125, 250, 500, 1000, 2000, 4000),
    "branches": (1, 2, 4, 8, 16),
    "last": (64, 128, 256, 512, 1024, 2048),
    "depth": (2, 3, 5, 8, 12),
    "timesteps": (2, 4, 6, 8, 11, 14),
    "beta": (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
    "witnesses": (
        "gaussian",
        "gaussian-normalized",
        "gaussian-orthogonal",
        "heterogeneous",
        "reservoir",
        "surrogate",
        "gaussian+heterogeneous",
    ),
}


def ablation_jobs(
    base: str, axes: Sequence[str], seeds: Sequence[int], device: str, data_dir: Path | None
) -> list[Job]:
    """One job an axis, value and seed."""
    return [
        Job(
            f"{base}-{axis}-{value}-{seed}".replace("+", "_"),
            {
                "base": base,
                "axis": axis,
                "value": value,
                "seed": seed,
                "device": device,
                "data_dir": None if data_dir is None or base != "mnist" else str(data_dir),
            },
        )
        for axis in axes
        for value in AXES[axis]
        for seed in seeds
    ]


def run_ablation_job(settings: dict[str, Any], scratch: Path) -> TableRows:  # noqa: ARG001 - nothing to go on from
    """One fit; `settings` as `ablation_jobs` makes them."""
    base, axis, value, seed = (settings[name] for name in ("base", "axis", "value", "seed"))
    chosen = BASES[base]
    n_train, n_val, n_test = chosen.sizes
    fit = chosen.fit | ({axis: value} if axis in chosen.fit else {})
    network = chosen.network | ({axis: value} if axis in chosen.network else {})
    timesteps = fit.pop("timesteps")
    n_train = value if axis == "n_train" else n_train
    asked = TaskSettings(n_train, n_val, n_test, timesteps, data_dir=settings["data_dir"], seed=seed)
    try:
        task = load_task(chosen.task, asked)
    except (ValueError, OSError) as error:
        raise JobSkippedError(f"{base}, {axis} {value}: {error}") from error
    family = _family(str(value) if axis == "witnesses" else "gaussian", network)
    fit |= {"per_step": task.per_step, "device": settings["device"], "random_state": seed}
    model = SpikingClassifier(witnesses=family, **fit)
    begun = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the row has the gap
        model.fit(task.train.X, task.train.y)
    seconds = time.perf_counter() - begun
    certificate = model.certificate_
    row = {"base": base, "axis": axis, "value": value, "seed": seed, "seconds": seconds}
    row |= {split: 100.0 * model.score(part.X, part.y) for split, part in _splits(task).items()}
    row |= {"objective": certificate.primal, "relative_gap": certificate.relative_gap}
    return [row | {"columns": certificate.P, "support": certificate.support}]


def _family(name: str, network: dict[str, Any]) -> WitnessFamily:
    """Witnesses by name, of the same number of neurons whatever the family; "gaussian-orthogonal" is a variant."""
    if "+" in name:
        parts = name.split("+")
        share = network | {size: network[size] // len(parts) for size in ("hidden", "last")}
        return reduce(add, (_family(part, share) for part in parts))
    kind, _, variant = name.partition("-")
    settings = network | ({"variant": variant} if variant else {})
    if network["depth"] == 2:
        settings = {setting: value for setting, value in settings.items() if setting != "hidden"}
    return FAMILIES[kind](**settings)


def _splits(task: Any) -> dict[str, Any]:
    return {"train": task.train, "test": task.test}


def ablation_table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows of all jobs as Markdown, one table an axis: means (and standard deviations) over seeds."""
    lines = []
    for base, axis in dict.fromkeys((row["base"], row["axis"]) for row in rows):
        lines += [
            f"### {base}: {axis}",
            "",
            f"| {axis} | test % | train % | objective | relative gap | columns | with weight | seconds | seeds |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        for value in dict.fromkeys(row["value"] for row in rows if (row["base"], row["axis"]) == (base, axis)):
            own = [row for row in rows if (row["base"], row["axis"], row["value"]) == (base, axis, value)]
            mean = lambda name: float(np.mean([row[name] for row in own]))  # noqa: B023, E731
            test = mean_and_spread([row["test"] for row in own])
            gap = max(row["relative_gap"] for row in own)
            lines.append(
                f"| {value} | {test} | {mean('train'):.1f} | {mean('objective'):.5f} | {gap:.1e} "
                f"| {mean('columns'):.0f} | {mean('support'):.0f} | {mean('seconds'):.2f} | {len(own)} |"
            )
        lines.append("")
    return "\n".join(lines)


def plot_ablations(rows: Sequence[dict[str, Any]], folder: Path) -> list[Path]:
    """One PNG an axis: test and train accuracy above, relative gap below; returns the files."""
    from matplotlib.figure import Figure

    files = []
    for base, axis in dict.fromkeys((row["base"], row["axis"]) for row in rows):
        own = [row for row in rows if (row["base"], row["axis"]) == (base, axis)]
        values = list(dict.fromkeys(row["value"] for row in own))
        figure = Figure(figsize=(6.0, 6.0), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
        places = np.arange(len(values))
        of = lambda value, name: [row[name] for row in own if row["value"] == value]  # noqa: B023, E731
        for name in ("train", "test"):
            means = [np.mean(of(value, name)) for value in values]
            above.errorbar(places, means, [np.std(of(value, name)) for value in values], marker="o", label=name)
        above.set_ylabel("accuracy, %")
        above.legend()
        # A gap of zero has no place on a logarithmic axis.
        below.semilogy(places, [max(1e-16, *of(value, "relative_gap")) for value in values], marker="o")
        below.axhline(1e-6, color="grey", linewidth=0.8)
        below.set_ylabel("relative gap")
        below.set_xlabel(axis)
        below.set_xticks(places, [str(value) for value in values], rotation=30 if axis == "witnesses" else 0)
        above.set_title(f"{base}: {axis}")
        path = folder / f"{base}-{axis}.png"
        picture = io.BytesIO()
        figure.savefig(picture, format="png", dpi=150)
        write_atomically(path, picture.getvalue())
        files.append(path)
    return files
