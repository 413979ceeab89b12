"""Witnesses of several families in one dictionary."""

from __future__ import annotations

from dataclasses import replace

from convexsnn.caller import isolated
from convexsnn.network import Hidden


@isolated
def mix(*parts: Hidden) -> Hidden:
    """All branches of several hidden networks as one.

    Parameters
    ----------
    *parts : Hidden
        Hidden layers, at least one, with the same input features, readout, rows and dtype.

    Raises
    ------
    ValueError
        When they differ in one of these; names it.
    """
    if not parts:
        raise ValueError("mix needs at least one hidden network")
    first = parts[0]
    for name in ("n_features", "readout", "every_step", "dtype"):
        values = [getattr(part, name) for part in parts]
        if any(value != values[0] for value in values):
            raise ValueError(f"witnesses of one dictionary must have the same {name}, got {values}")
    return replace(first, branches=tuple(branch for part in parts for branch in part.to(first.device).branches))
