"""What `convexsnn bound` does: a tighter bound for a model that is there, written into its certificate."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from convexsnn.cli import output, showing
from convexsnn.cli.folder import CERTIFICATE, MODEL, add_to_model, check_out, folder_problems, read_model
from convexsnn.cli.loading import load_unchanged
from convexsnn.cli.options import FitData
from convexsnn.exact import ExactSettings
from convexsnn.global_bound import GlobalBound
from convexsnn.storage import model_bytes


def bound(
    model: Path, source: FitData, how: ExactSettings, leaks: tuple[float, float] | None = None
) -> dict[str, Any]:
    """Bound every network of a model's kind, and keep the bound in the model's folder where it is better.

    Raises
    ------
    ValueError
        When the data are not those of the model, its files are not as they were written, or it has no such bound.
    """
    if not model.is_dir():
        raise ValueError(f"--model {model} must be the folder that fit wrote: its certificate is written anew")
    begun = time.perf_counter()
    check_out(model)
    # Files written now get a new seal, which must not cover what someone changed before.
    estimator, extra = read_model(model)
    if problems := folder_problems(model):
        raise ValueError("; ".join(problems))
    train = load_unchanged(source, estimator, extra)[0].train
    before = estimator.certificate_.family_bound or estimator.certificate_.global_bound
    with showing.progress(estimator.tol) as observer:
        after = estimator.tighten_bound(train.X, train.y, how, observer=observer, leaks=leaks)
    improved = after is not before
    if improved:
        own = estimator.certificate_.to_json().encode()
        add_to_model(model, {MODEL: model_bytes(estimator, extra), CERTIFICATE: own})
    return {
        "improved": improved,
        "before": None if before is None else before.to_dict(),
        "bound": after.to_dict(),
        "seconds": time.perf_counter() - begun,
    }


def print_report(report: dict[str, Any], model: Path) -> None:
    """The bound, what it covers and rests on, and whether it is a better one."""
    found = GlobalBound.from_dict(report["bound"])
    facts: dict[str, Any] = found.facts() | {
        "objective": f"{found.primal:.10g}",
        "method": found.method if found.patterns is None else f"{found.method}, {found.patterns} patterns",
        "over": found.family,
        "assuming": "\n".join(found.assumptions),
        "seconds": f"{report['seconds']:.1f}",
    }
    if report["before"] is not None and report["improved"]:
        facts["before"] = f"{report['before']['value']:.10g} ({report['before']['method']})"
    output.print_facts("The best network of its family", facts)
    if report["improved"]:
        output.say(f"written to {model / CERTIFICATE} and {model / MODEL}")
    else:
        output.say("no better than the bound that the certificate has, which is kept: allow more --time-limit")
