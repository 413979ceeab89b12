"""`convexsnn export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from convexsnn.cli import output
from convexsnn.cli.options import Force, Json, check_model
from convexsnn.cli.starting import loading


def export(
    *,
    model: Path,
    to: Literal["torch", "nir"],
    out: Path,
    soft_reset: Annotated[bool, Parameter(negative="")] = False,
    steps: int | None = None,
    force: Force = False,
    json: Json = False,
) -> int:
    """Write a trained network for other tools: torch's weights as safetensors, or a NIR graph.

    Neither file executes code when it is loaded. For snnTorch, SpikingJelly and Norse, whose networks are Python
    objects, see `convexsnn.export`.

    Parameters
    ----------
    model : Path
        Folder that `convexsnn fit` wrote, or its model.safetensors.
    to : {"torch", "nir"}
        torch: the state dict of `convexsnn.export.to_torch`, in `nn.Linear` layout. nir: a graph with steps of 1e-4
        seconds; needs the package nir.
    out : Path
        The file to write.
    soft_reset : bool
        With nir: write neurons of soft reset as a subgraph that few simulators read, instead of refusing.
    steps : int, optional
        With nir: all sequences have this many steps. A network that is read by its rate needs it.
    """
    check_model(model)
    with loading():
        from convexsnn.cli import exporting
    report = exporting.export(model, to, out, soft_reset=soft_reset, steps=steps, force=force)
    if json:
        output.print_json(report)
    else:
        output.print_facts(f"network in {out}", report)
    return 0
