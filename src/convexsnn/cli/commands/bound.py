"""`convexsnn bound`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from convexsnn.cli import output
from convexsnn.cli.options import FitData, Json, check_model
from convexsnn.cli.starting import loading
from convexsnn.cli.witness_options import default_of


def bound(
    *,
    model: Path,
    source: FitData | None = None,
    method: Literal["arrangement", "pricing"] = "arrangement",
    time_limit: float = default_of("exact", "time_limit"),
    max_patterns: int = default_of("exact", "max_patterns"),
    leaks: tuple[float, float] | None = None,
    json: Json = False,
) -> int:
    """Bound the objective of every network of a model's kind, and write the bound into its certificate if it is better.

    For networks of one hidden layer (--depth 2) whose neurons do not feed one another. Pricing also covers two layers,
    the first of one to three neurons a branch, on very little data. Every fit has the universal
    bound, over networks of any kind; this one is over its own kind of neurons, any number of them, any weights.

    Parameters
    ----------
    model : Path
        Folder that `convexsnn fit` wrote.
    method : {"arrangement", "pricing"}
        arrangement: all patterns that these neurons can have; refused beforehand, with an estimate, where it would take
        too long. pricing: branch and bound, whose bound holds however early it is stopped.
    time_limit : float
        Seconds that arrangement may be expected to take; time after which pricing begins no round.
    max_patterns : int
        Patterns that arrangement may have to visit.
    leaks : tuple[float, float], optional
        The least and the largest leak, such as 0 1: the bound is over neurons with any leaks between. For pricing.
    """
    check_model(model)
    source = source or FitData()
    source.check()
    with loading():
        from convexsnn.cli import bounding
        from convexsnn.exact import ExactSettings
    report = bounding.bound(model, source, ExactSettings(method, max_patterns, time_limit), leaks)
    if json:
        output.print_json(report)
    else:
        bounding.print_report(report, model)
    return 0
