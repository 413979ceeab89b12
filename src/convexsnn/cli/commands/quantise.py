"""`convexsnn quantise`."""

from __future__ import annotations

from pathlib import Path

from convexsnn.checks import check_integer
from convexsnn.cli import output
from convexsnn.cli.options import FitData, Force, Json, check_model
from convexsnn.cli.starting import loading


def quantise(
    *,
    model: Path,
    out: Path,
    source: FitData | None = None,
    bits: int = 8,
    effort: int = 300,
    force: Force = False,
    json: Json = False,
) -> int:
    """Give hidden neurons integer weights with exactly the same training spikes, and write the model anew.

    Neurons for which no integers are found keep their real weights, and are listed; then the exit status is 1. The
    model written has a certificate of its own, of scope "dictionary": that of the columns that carry weight. Output
    weights stay as they are.

    Parameters
    ----------
    model : Path
        Folder that `convexsnn fit` wrote.
    out : Path
        Folder for the files: those that `fit` writes, and quantised.json, which says of each neuron that failed.
    bits : int
        Of weights, recurrent weights and biases, sign included; thresholds are in fixed point.
    effort : int
        Exchanges tried, and nodes of a branch and bound, a neuron and start; 0 only rounds.
    """
    check_model(model)
    source = source or FitData()
    source.check()
    check_integer("--effort", effort, minimum=0)
    with loading():
        from convexsnn.cli import quantising
    report = quantising.quantise(model, source, out, bits, effort, force=force)
    if json:
        output.print_json(report)
    else:
        quantising.print_report(report, out)
    return 0 if report["complete"] else 1
