"""`convexsnn verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from convexsnn.cli import output, torchrun
from convexsnn.cli.options import FitData, Json, check_model
from convexsnn.cli.starting import loading


def verify(
    *,
    model: Path,
    source: FitData | None = None,
    exact: Annotated[bool, Parameter(negative="")] = False,
    strict: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> int:
    """Check a certificate anew: simulate the witnesses and recompute primal and dual from the stored vectors.

    Exits 1, with the reason, when the stored certificate does not hold. A task is loaded with the settings with which
    the model was trained. `torchrun --nproc-per-node 2 -m convexsnn verify` shares the work among processes.

    Parameters
    ----------
    model : Path
        Folder that `convexsnn fit` wrote.
    exact : bool
        Also prove the gap in exact rational arithmetic (hinge, squared) or with all rounding outwards (logistic,
        cross_entropy), by code that shares nothing with the solver, and check all files that `fit` wrote.
    strict : bool
        As `exact`, and do not accept spikes that lie within rounding of their threshold.
    """
    check_model(model)
    source = source or FitData()
    source.check()
    if torchrun.launched() and (exact or strict):
        raise ValueError("--exact and --strict prove in one process: start them without torchrun")
    with loading():
        from convexsnn.cli import verifying
    with torchrun.joined() as ranks:
        report = verifying.verify(model, source, exact=exact, strict=strict, ranks=ranks)
    if json:
        output.print_json(report)
    else:
        verifying.print_verification(report)
    return 0 if report["holds"] else 1
