"""What `convexsnn quantise` does."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from convexsnn.certificate import certify
from convexsnn.cli import output
from convexsnn.cli.fitting import collect_metrics, collect_scores
from convexsnn.cli.folder import (
    CERTIFICATE,
    METRICS,
    MODEL,
    QUANTISED,
    check_out,
    model_file,
    read_model,
    write_model,
)
from convexsnn.cli.loading import load_unchanged
from convexsnn.cli.options import FitData
from convexsnn.estimators import Estimator
from convexsnn.network import Network
from convexsnn.problem import Problem
from convexsnn.reading import DamagedFileError
from convexsnn.reconstruction import Quantised
from convexsnn.reconstruction import quantise as quantise_network
from convexsnn.solvers.base import Solution, SolverOptions
from convexsnn.storage import model_bytes, read_header
from convexsnn.training import SimulatedColumns

# Neurons named on the terminal; the file has them all.
SHOWN = 10


def quantise(model: Path, source: FitData, out: Path, bits: int, effort: int, *, force: bool) -> dict[str, Any]:
    """Write the model with integer weights wherever a neuron keeps its training spikes; says which do not.

    Raises
    ------
    ValueError
        When the data are not those of the model, or `out` is not a folder for what is written.
    """
    if out.resolve() == model_file(model).resolve().parent:
        raise ValueError(f"--out {out} must be a folder other than the model's")
    check_out(out)
    begun = time.perf_counter()
    estimator, extra = read_model(model)
    estimator.check_one_fit("quantising")
    extra = extra | {"quantised": {"of": estimator.trained_.certificate.primal, "bits": bits, "effort": effort}}
    if not force:
        _check_own(out, extra)
    data, problem = load_unchanged(source, estimator, extra)
    quantised = quantise_network(estimator.trained_.network, problem.input, bits, effort=effort)
    result = _with_network(estimator, quantised.network, problem)
    facts, certificate = describe(quantised), result.certificate_.to_json()
    metrics = collect_metrics(result, data, time.perf_counter() - begun, collect_scores(result, data))
    files = {MODEL: model_bytes(result, extra), CERTIFICATE: certificate.encode()}
    files |= {QUANTISED: json.dumps(facts, indent=2).encode()}
    files |= {METRICS: json.dumps(metrics, indent=2, allow_nan=False).encode()}
    write_model(out, files)
    return facts | {"certificate": json.loads(certificate), "metrics": metrics}


def _check_own(out: Path, extra: dict[str, Any]) -> None:
    """Raise ValueError where the folder holds another model than the one that is to be written."""
    if not (out / MODEL).exists():
        return
    try:
        same = read_header(out / MODEL)["extra"] == json.loads(json.dumps(extra))
    except (DamagedFileError, KeyError):
        same = False
    if not same:
        raise ValueError(f"--out {out} holds another model: name another folder, or --force to replace it")


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
    for name in (
        "n_features_in_",
        "feature_names_in_",
        "input_form_",
        "classes_",
        "single_output_",
        "target_scale_",
        "bypass_",
        "beta_",
    ):
        if hasattr(estimator, name):
            setattr(result, name, getattr(estimator, name))
    result.path_, result.history_, result.stopped_ = [], [], None
    source = SimulatedColumns.of(
        replace(problem, intercept=False, free_intercept=False), network.hidden, SolverOptions(estimator.tol)
    )
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
    result.adopt(source.fit_of(solution).conclude())
    return result
