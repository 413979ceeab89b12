"""What `convexsnn bound` does: a tighter bound for a model that is there, written into its certificate."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from convexsnn.cli import output
from convexsnn.cli.folder import CERTIFICATE, MODEL
from convexsnn.cli.options import FitData
from convexsnn.cli.verifying import stored_claims
from convexsnn.exact import ExactSettings
from convexsnn.files import write_atomically
from convexsnn.global_bound import GlobalBound
from convexsnn.proof import SUMS, sum_problems, sums_of
from convexsnn.storage import load_model, save_model


def bound(model: Path, source: FitData, how: ExactSettings) -> dict[str, Any]:
    """Bound every network of a model's kind, and keep the bound in the model's folder where it is better.

    Raises
    ------
    ValueError
        When the data are not those of the model, its files are not as they were written, or it has no such bound.
    """
    if not model.is_dir():
        raise ValueError(f"--model {model} must be the folder that fit wrote: its certificate is written anew")
    begun = time.perf_counter()
    estimator, extra = load_model(model / MODEL)
    # Files written now get a new seal, which must not cover what someone changed before.
    problems = [*sum_problems(model), *stored_claims(model, estimator.trained_.certificate)]
    if problems:
        raise ValueError("; ".join(problems))
    train = source.load_unchanged(estimator, extra)[0].train
    before = estimator.certificate_.global_bound
    with output.progress(estimator.tol) as observer:
        after = estimator.tighten_bound(train.X, train.y, how, observer=observer)
    improved = after is not before
    if improved:
        save_model(estimator, model / MODEL, extra)
        write_atomically(model / CERTIFICATE, estimator.certificate_.to_json().encode())
        write_atomically(model / SUMS, sums_of(model).encode())
    return {
        "improved": improved,
        "before": None if before is None else before.to_dict(),
        "bound": after.to_dict(),
        "seconds": time.perf_counter() - begun,
    }


def print_report(report: dict[str, Any], model: Path) -> None:
    """The bound, what it covers and rests on, and whether it is a better one."""
    found = GlobalBound.from_dict(report["bound"])
    facts: dict[str, Any] = {
        "objective": f"{found.primal:.10g}",
        "no network is below": f"{found.value:.10g}",
        "global relative gap": f"{found.relative_gap:.2e}",
        "method": found.method if found.patterns is None else f"{found.method}, {found.patterns} patterns",
        "over": found.family,
        "assuming": "\n".join(found.assumptions),
        "seconds": f"{report['seconds']:.1f}",
    }
    if report["before"] is not None and report["improved"]:
        facts["before"] = f"{report['before']['value']:.10g} ({report['before']['method']})"
    output.print_facts("Global bound", facts)
    if report["improved"]:
        output.say(f"written to {model / CERTIFICATE} and {model / MODEL}")
    else:
        output.say("no better than the bound that the certificate has, which is kept: allow more --time-limit")
