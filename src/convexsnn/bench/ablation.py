"""`convexsnn bench ablation`: accuracy and gap against one setting at a time."""

from __future__ import annotations

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
from convexsnn.bench.sections import Section
from convexsnn.display.axes import legend_above
from convexsnn.estimators import SpikingClassifier
from convexsnn.families import FAMILIES, WitnessFamily
from convexsnn.report.text_table import TextTable
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


def ablation_sections(rows: Sequence[dict[str, Any]]) -> list[Section]:
    """One section for each setting that was varied: means and standard deviations over seeds, and a plot of them."""
    sections = []
    for base, axis in dict.fromkeys((row["base"], row["axis"]) for row in rows):
        own = [row for row in rows if (row["base"], row["axis"]) == (base, axis)]
        values = dict.fromkeys(row["value"] for row in own)
        varied = {str(value): [row for row in own if row["value"] == value] for value in values}
        title = f"{base}: {axis}"
        head = (axis, "test %", "train %", "objective", "relative gap", "columns", "with weight", "seconds", "seeds")
        table = TextTable(title, head, tuple(_line(value, chosen) for value, chosen in varied.items()))
        caption = f"Accuracy and relative gap on {base} for each value of {axis}"
        draw = lambda panels, axis=axis, varied=varied: _draw(panels, axis, varied)  # noqa: E731
        sections.append(Section(f"{base}-{axis}", title, (table,), draw, caption, (6.0, 5.0), panels=2))
    return sections


def _line(value: str, rows: list[dict[str, Any]]) -> tuple[str, ...]:
    mean = lambda name: float(np.mean([row[name] for row in rows]))  # noqa: E731
    return (
        value,
        mean_and_spread([row["test"] for row in rows]),
        f"{mean('train'):.1f}",
        f"{mean('objective'):.5f}",
        f"{max(row['relative_gap'] for row in rows):.1e}",
        f"{mean('columns'):.0f}",
        f"{mean('support'):.0f}",
        f"{mean('seconds'):.2f}",
        str(len(rows)),
    )


def _draw(panels: Any, axis: str, varied: dict[str, list[dict[str, Any]]]) -> None:
    """Test and train accuracy above, the largest relative gap below."""
    above, below = panels
    places = np.arange(len(varied))
    for name in ("train", "test"):
        scores = [[row[name] for row in rows] for rows in varied.values()]
        means, spreads = ([summed(one) for one in scores] for summed in (np.mean, np.std))
        above.errorbar(places, means, spreads, marker="o", capsize=3, label=name)
    above.set_ylabel("accuracy, %")
    legend_above(above)
    # A gap of zero has no place on a logarithmic axis.
    below.semilogy(places, [max(1e-16, *(row["relative_gap"] for row in rows)) for rows in varied.values()], marker="o")
    below.axhline(1e-6, color="grey", linewidth=0.8)
    below.set_ylabel("relative gap")
    below.set_xlabel(axis)
    below.set_xticks(places, list(varied), rotation=30 if axis == "witnesses" else 0)
