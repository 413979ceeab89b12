"""What `convexsnn quantise` does."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from convexsnn.certificate import certify
from convexsnn.cli import output
from convexsnn.cli.fitting import collect_metrics
from convexsnn.cli.folder import CERTIFICATE, METRICS, MODEL, model_file
from convexsnn.cli.options import FitData
from convexsnn.estimators import Estimator
from convexsnn.files import write_atomically
from convexsnn.network import Network
from convexsnn.problem import Problem
from convexsnn.proof import SUMS, sums_of
from convexsnn.reconstruction import Quantised
from convexsnn.reconstruction import quantise as quantise_network
from convexsnn.solvers.base import Solution, SolverOptions
from convexsnn.storage import load_model, save_model
from convexsnn.training import SimulatedColumns

QUANTISED = "quantised.json"
# Neurons named on the terminal; the file has them all.
SHOWN = 10


def quantise(model: Path, source: FitData, out: Path, bits: int, effort: int) -> dict[str, Any]:
    """Write the model with integer weights wherever a neuron keeps its training spikes; says which do not.

    Raises
    ------
    ValueError
        When the data are not those of the model, or `out` is the model's own folder or a file.
    """
    if out.exists() and (not out.is_dir() or out.resolve() == model_file(model).resolve().parent):
        raise ValueError(f"--out {out} must be a folder other than the model's")
    begun = time.perf_counter()
    estimator, extra = load_model(model_file(model))
    data, problem = source.load_unchanged(estimator, extra)
    quantised = quantise_network(estimator.network_, problem.input, bits, effort=effort)
    result = _with_network(estimator, quantised.network, problem)
    out.mkdir(parents=True, exist_ok=True)
    save_model(result, out / MODEL, extra)
    write_atomically(out / CERTIFICATE, result.certificate_.to_json().encode())
    facts = describe(quantised)
    write_atomically(out / QUANTISED, json.dumps(facts, indent=2).encode())
    metrics = collect_metrics(result, data, time.perf_counter() - begun)
    write_atomically(out / METRICS, json.dumps(metrics, indent=2, allow_nan=False).encode())
    write_atomically(out / SUMS, sums_of(out).encode())
    return facts | {"certificate": json.loads(result.certificate_.to_json()), "metrics": metrics}


def describe(quantised: Quantised) -> dict[str, Any]:
    """Which neurons have integer weights, and how they were found."""
    neurons = quantised.network.hidden.n_neurons
    return {
        "bits": quantised.bits,
        "threshold_bits": quantised.threshold_bits,
        "neurons": neurons,
        "quantised": neurons - len(quantised.failed),
        "complete": quantised.complete,
        "ways": quantised.ways,
        "failed": [list(neuron) for neuron in quantised.failed],
        "excluded": [list(neuron) for neuron in quantised.excluded],
    }


def print_report(report: dict[str, Any], out: Path) -> None:
    """How many neurons have integer weights, and which do not."""
    metrics, failed = report["metrics"], report["failed"]
    output.print_facts(
        f"{report['bits']} bits",
        {
            "integer weights": f"{report['quantised']} of {report['neurons']} neurons",
            "thresholds": f"{report['threshold_bits']} bits",
            "training spikes": "as before, of every neuron",
            "objective": metrics["objective"],
            "certificate": "of the columns that carry weight, with the same output weights",
        },
    )
    if failed:
        names = ", ".join(f"{branch}.{layer}.{neuron}" for branch, layer, neuron in failed[:SHOWN])
        output.say(
            f"{len(failed)} neurons keep their real weights (branch.layer.neuron): {names}"
            f"{', ...' if len(failed) > SHOWN else ''}; branch and bound found that {len(report['excluded'])} of them "
            f"have no integers; allow more --bits, or more --effort for the others (all are named in {QUANTISED})",
            head="not complete:",
            style="bold yellow",
            to=output.stderr,
        )
    output.say(f"written to {out}")


def _with_network(estimator: Estimator, network: Network, problem: Problem) -> Estimator:
    """A fitted estimator of the given network, whose neurons are its witnesses, certified anew at the same rho."""
    before = estimator.trained_
    parameters = estimator.get_params(deep=False) | {
        "witnesses": network.hidden,
        "rho": before.certificate.rho,  # beta / sqrt(P_last) would be another, as P_last is
        "beta": estimator.beta_,
        "intercept": False,  # an always-firing neuron that carries weight is one of the network's own
    }
    result = type(estimator)(**parameters)
    for name in ("n_features_in_", "feature_names_in_", "input_form_", "classes_", "single_output_", "beta_"):
        if hasattr(estimator, name):
            setattr(result, name, getattr(estimator, name))
    result.path_, result.history_, result.stopped_ = [], [], None
    source = SimulatedColumns.of(replace(problem, intercept=False), network.hidden, SolverOptions(estimator.tol))
    W = source.dictionary.to_columns(network.W)
    solution = Solution(
        W=W,
        U=before.U,
        certificate=certify(source.program, W, before.U),
        status=before.status,
        n_iter=before.n_iter,
        seconds=0.0,
        solver=before.solver,
    )
    result.trained_ = source.fit_of(solution).conclude()
    result.network_ = result.trained_.network
    return result
