"""`convexsnn report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from convexsnn.cli import output
from convexsnn.cli.options import Force, Json, check_data_file, check_model
from convexsnn.cli.starting import loading


def report(
    model: Path,
    *,
    data: Path | None = None,
    data_dir: Path | None = None,
    out: Path | None = None,
    inputs: Annotated[tuple[int, ...], Parameter(negative="")] = (),
    verify: bool = True,
    force: Force = False,
    json: Json = False,
) -> int:
    """Write one HTML page of a fit: settings, certificate, bounds, confusion, spikes, weights, cost.

    The page holds all its pictures and fetches nothing. Exits 1 when the certificate was checked and does not hold; the
    page then says so.

    Parameters
    ----------
    model : Path
        Folder that `convexsnn fit` wrote.
    data : Path, optional
        A file of sequences to show, instead of the data of the fit.
    data_dir : Path, optional
        Folder with the task's files, where it is not where it was.
    out : Path, optional
        The page; report.html in the model's folder where it is left out.
    inputs : int
        Sequences of the test split, or of the training split where there is none, whose spikes are drawn; given
        several times for several; otherwise the first of each of up to three classes.
    verify : bool
        Check the certificate anew on the training data, as `convexsnn verify` does.
    """
    check_model(model)
    if data is not None:
        check_data_file(data)
    with loading():
        from convexsnn.cli import reporting
    written = reporting.report(model, data, data_dir, out, inputs, verify=verify, force=force)
    if json:
        output.print_json(written)
    else:
        for line in (*written["verdict"], written["missing"]):
            if line:
                output.say(line)
        output.say(f"written to {written['page']}")
    return 1 if written["holds"] is False else 0
