"""`convexsnn predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from convexsnn.cli import output, predicting
from convexsnn.cli.data import read_input, read_npz
from convexsnn.cli.folder import model_file
from convexsnn.cli.options import Json
from convexsnn.storage import load_model


def predict(
    *,
    model: Path,
    data: Path,
    out: Path,
    closed_loop: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> int:
    """Predict with a trained network.

    Parameters
    ----------
    model : Path
        Folder that `convexsnn fit` wrote, or its model.safetensors.
    data : Path
        An .npz file with X, and lengths for padded sequences.
    out : Path
        The .npz file to write: prediction, and scores or probabilities where the loss has them. For per-step labels of
        sequences of unequal length the rows of all sequences follow one another, and `lengths` says how many each has.
        Scores and probabilities of several outputs are numbered: scores_0, scores_1.
    closed_loop : bool
        Feed the network its own answers: for a model of a task that has feedback, such as the carry of an addition.
        That column of X is ignored, and `inputs` in the file is X as the network saw it.
    """
    estimator, extra = load_model(model_file(model))
    X = read_input(read_npz(data), data)
    report = (
        predicting.predict_closed_loop(estimator, extra, X, out)
        if closed_loop
        else predicting.predict(estimator, X, out)
    )
    if json:
        output.print_json(report)
    else:
        output.print_facts(f"predictions in {out}", report)
    return 0
