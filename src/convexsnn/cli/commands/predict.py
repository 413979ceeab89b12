"""`convexsnn predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from convexsnn.cli import output
from convexsnn.cli.options import Force, Json, check_data_file, check_model
from convexsnn.cli.starting import loading


def predict(
    *,
    model: Path,
    data: Path,
    out: Path,
    closed_loop: Annotated[bool, Parameter(negative="")] = False,
    force: Force = False,
    json: Json = False,
) -> int:
    """Predict with a trained network.

    Parameters
    ----------
    model : Path
        Folder that `convexsnn fit` wrote, or its model.safetensors.
    data : Path
        An .npz file with X, and lengths for padded sequences; or an .npy, .csv or .ts file.
    out : Path
        The .npz file to write: prediction, and scores or probabilities where the loss has them. For per-step labels of
        sequences of unequal length the rows of all sequences follow one another, and `lengths` says how many each has.
        Scores and probabilities of several outputs are numbered: scores_0, scores_1.
    closed_loop : bool
        Feed the network its own answers: for a model of a task that has feedback, such as the carry of an addition.
        That column of X is ignored, and `inputs` in the file is X as the network saw it.
    """
    check_model(model)
    check_data_file(data)
    with loading():
        from convexsnn.cli import predicting
    report = predicting.predict(model, data, out, in_closed_loop=closed_loop, force=force)
    if json:
        output.print_json(report)
    else:
        output.print_facts(f"predictions in {out}", report)
    return 0
