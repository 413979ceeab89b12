"""Every certificate of hinge or squared loss that the tests make is held against exact rational arithmetic.

`certify` encloses the objective and the dual value: here both are computed again by `proof`, which shares nothing with
it. What is larger than LARGEST, of real columns, or made in another process is left out; the summary counts it.
"""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import Any

import pytest
import torch

from convexsnn import certificate
from convexsnn.columns import BitColumns
from convexsnn.losses.hinge import Hinge
from convexsnn.losses.squared import Squared
from convexsnn.proof import ExactProgram, LossHead
from convexsnn.proof.inequality import dual_bound, primal_bound

# Entries of a dictionary times outputs: proofs of more take too long for every run of the tests.
LARGEST = 20_000
COUNTS = "proved_certificates"
counts: Counter[str] = Counter()


def watch() -> None:
    """From now on `certify` raises AssertionError where the rational verifier finds less than it says."""
    enclose_primal, enclose_dual = certificate.enclose_primal, certificate.enclose_dictionary_dual

    def primal(program: Any, W: torch.Tensor) -> Any:
        bound = enclose_primal(program, W)
        if bool(torch.isfinite(W).all()) and (exact := _exact(program)) is not None:
            proved = primal_bound(exact, W.detach().cpu().to(torch.float64).numpy())
            assert Fraction(bound.above) >= proved, f"objective {bound.above!r} understated, it is {float(proved)!r}"
        return bound

    def dual(program: Any, U: torch.Tensor) -> Any:
        bound = enclose_dual(program, U)
        if (exact := _exact(program)) is not None:
            proved = dual_bound(exact, U.detach().cpu().to(torch.float64).numpy())
            assert Fraction(bound.below) <= proved, f"dual {bound.below!r} overstated, only {float(proved)!r} is proved"
            counts["proved"] += 1
        elif type(program.loss) in (Hinge, Squared):
            counts["left out"] += 1
        return bound

    certificate.enclose_primal, certificate.enclose_dictionary_dual = primal, dual


def _exact(program: Any) -> ExactProgram | None:
    """The program as exact data; None of one that is left out."""
    loss, columns = program.loss, program.columns
    if type(loss) not in (Hinge, Squared) or program.penalty.name not in ("l1", "group", "ridge"):
        return None
    if not isinstance(columns, BitColumns) or program.n_rows * program.n_columns * program.n_outputs > LARGEST:
        return None
    if program.free_intercept and len(program.row_weights.unique()) > 1:
        return None
    heads = (LossHead(slice(0, program.n_outputs)),)
    bits, rho = columns.dense().cpu().numpy() > 0, Fraction(program.rho)
    targets, weights = (values.detach().cpu().numpy() for values in (program.targets, program.row_weights))
    return ExactProgram(bits, targets, weights, loss.name, program.penalty.name, rho, heads, program.free_column)


# pytest: each process counts, and the summary has the sum.


def pytest_configure() -> None:
    watch()


def pytest_sessionfinish(session: Any) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput[COUNTS] = dict(counts)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    counts.update(getattr(node, "workeroutput", {}).get(COUNTS, {}))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    terminalreporter.write_line(
        f"certificates of hinge or squared loss: {counts['proved']} proved in rational arithmetic, "
        f"{counts['left out']} left out"
    )
