"""`convexsnn quantise`."""

from __future__ import annotations

from pathlib import Path

from convexsnn.cli import output, quantising
from convexsnn.cli.options import FitData, Json


def quantise(
    *,
    model: Path,
    out: Path,
    source: FitData | None = None,
    bits: int = 8,
    effort: int = 300,
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
    report = quantising.quantise(model, source or FitData(), out, bits, effort)
    if json:
        output.print_json(report)
    else:
        quantising.print_report(report, out)
    return 0 if report["complete"] else 1
