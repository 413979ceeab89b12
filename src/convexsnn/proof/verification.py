"""From files and data to a proof: read, simulate, prove, and hold the claims against it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from . import claims
from .data import ProgramRows, read_rows
from .decimals import decimal_text
from .folder import folder_problems
from .inequality import ExactProgram, Proof, primal_bound, prove
from .losses import LossHead
from .model import DamagedModelError, Model, StoredHidden, read_model
from .simulation import Spikes, simulate_exactly

MODEL = "model.safetensors"


@dataclass(frozen=True)
class ExactVerification:
    """The outcome of `verify_exactly`.

    Attributes
    ----------
    proof : Proof or None
        What was proved from the stored weights and dual vector, whatever the files claim; None where nothing could be.
    problems : tuple of str
        Claims that do not hold; empty when all do.
    trusted : tuple of str
        What the proof rests on.
    undecided : int
        Spike decisions within rounding of their threshold, where the columns are those of numpy's arithmetic.
    """

    proof: Proof | None
    problems: tuple[str, ...]
    trusted: tuple[str, ...] = ()
    undecided: int = 0

    @property
    def holds(self) -> bool:
        """Whether an inequality was proved and every claim of the files agrees with it."""
        return self.proof is not None and not self.problems

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON has it; numbers are decimals rounded outwards."""
        facts: dict[str, Any] = {"holds": self.holds, "problems": list(self.problems), "trusted": list(self.trusted)}
        if self.proof is None:
            return facts
        gap = self.proof.relative_gap
        return facts | {
            "primal": decimal_text(self.proof.primal, up=True),
            "dual": decimal_text(self.proof.dual, up=False),
            "undecided": self.undecided,
            "gap": decimal_text(self.proof.gap, up=True, digits=6),
            "relative_gap": None if gap is None else decimal_text(gap, up=True, digits=6),
            "arithmetic": "rational" if self.proof.exact else "rational, and decimal rounded outwards",
        }


def verify_exactly(path: Path, X: Any, y: Any) -> ExactVerification:
    """Prove dual <= optimum <= primal from stored files and training data, and check all that the files claim.

    Parameters
    ----------
    path : Path
        A folder that `convexsnn fit` wrote, or its model file alone.
    X : array of shape (n, T, d), list of n arrays of shape (T_i, d), or array of shape (n, d)
        The training sequences. It may also be a function that gives batches (X, y), again at every call, of which one
        is in memory at a time.
    y : labels, as they were given to `fit`; None where X gives them

    References
    ----------
    theory.md sections 2 and 3 (weak duality); docs/proofs.md.
    """
    try:
        model = read_model(path / MODEL if path.is_dir() else path)
        problems = folder_problems(path, model.header) if path.is_dir() else []
        rows = read_rows(X, y, model.header)
        return _verify(model, rows, problems)
    except DamagedModelError as error:
        return ExactVerification(None, (str(error),))
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, ArithmeticError, MemoryError) as error:
        return ExactVerification(None, (f"the stored model cannot be verified on these data: {error!r}",))


def _verify(model: Model, rows: ProgramRows, problems: list[str]) -> ExactVerification:
    header, tensors = model.header, model.tensors
    for hidden in (model.witnesses, model.network):
        if hidden.readout.analog:
            raise ValueError(
                "exact verification needs columns of spikes, not the analog readout; use verify without it"
            )
        if hidden.n_features != rows.shape[2]:
            raise ValueError(f"X has {rows.shape[2]} features, the network {hidden.n_features}")
    digest, parts = hashlib.sha256(), []
    for part in rows.reading(digest):
        parts.append([simulate_exactly(h, part.values, part.lengths) for h in (model.witnesses, model.network)])
    spikes, own = (Spikes.joined(found) for found in zip(*parts, strict=True))
    program = _program(header, spikes, rows, tensors["row_weights"], model.witnesses)
    proof = prove(program, tensors["W"], tensors["U"])
    if header["data_digest"] != digest.hexdigest():
        problems.append("the data are not those the model was trained on (their SHA-256 differs)")
    problems += claims.rho_problems(header, model.witnesses.n_last)
    facts = _facts(program, tensors["W"]) | {"heads": [[_width(h), float(h.weight)] for h in _stored_heads(header)]}
    problems += claims.certificate_problems(header, facts, proof.primal, proof.dual)
    unit = float(np.finfo(model.witnesses.dtype).eps)
    problems += claims.margin_problems(header, spikes.margin, unit)
    if abs(float(tensors["row_weights"].sum()) - 1.0) > 1e-9:
        problems.append("the row weights do not sum to one")
    problems += claims.weight_problems(header, bool((tensors["row_weights"] == tensors["row_weights"][0]).all()))
    of_network = replace(program, columns=own.columns, free=_free_column(header, model.network, own))
    problems += _network_problems(of_network, proof, tensors["network.W"])
    trusted = _trusted(spikes, own, tensors["row_weights"])
    for name, networks in (("family_bound", "networks of its family"), ("global_bound", "networks of any kind")):
        if header["certificate"].get(name) is not None:
            trusted.append(f"not proved here, nor that it is not altered: the bound on {networks} ({name})")
    return ExactVerification(proof, tuple(problems), tuple(trusted), spikes.undecided + own.undecided)


def _program(
    header: dict[str, Any], spikes: Spikes, rows: ProgramRows, row_weights: np.ndarray, witnesses: StoredHidden
) -> ExactProgram:
    certificate = header["certificate"]
    heads = _stored_heads(header) or (LossHead(slice(0, rows.targets.shape[1])),)
    free = _free_column(header, witnesses, spikes)
    if certificate.get("free_intercept", False) and free is None:
        raise ValueError("the certificate has a free intercept, but no neuron at the end of the witnesses always fires")
    return ExactProgram(
        columns=spikes.columns,
        targets=rows.targets,
        row_weights=row_weights,
        loss=certificate["loss"],
        penalty=certificate["penalty"],
        rho=Fraction(certificate["rho"]),
        heads=heads,
        free=free,
    )


def _free_column(header: dict[str, Any], hidden: StoredHidden, spikes: Spikes) -> int | None:
    """The column of the intercept where it is free: of the last branch, where that fires whatever it sees."""
    if not header["certificate"].get("free_intercept", False) or not hidden.branches:
        return None
    first, last = hidden.branches[-1].layers[0], hidden.branches[-1].layers[-1]
    if first is not last or last.m > 1 or last.weight.any():
        return None
    own = range(hidden.n_last - hidden.readout.parts, hidden.n_last)
    return next((j for j in own if (spikes.columns[:, j] == 1).all()), None)


def _stored_heads(header: dict[str, Any]) -> tuple[LossHead, ...]:
    """The heads that classes and output weights give; () where there is one output."""
    if not isinstance(header["fitted"].get("classes_dtype"), list):
        return ()
    sizes = [len(classes) for classes in header["fitted"]["classes"]]
    weights = header["parameters"].get("output_weights") or [1.0] * len(sizes)
    ends = np.cumsum(sizes).tolist()
    return tuple(LossHead(slice(e - s, e), Fraction(w)) for s, e, w in zip(sizes, ends, weights, strict=True))


def _width(head: LossHead) -> int:
    return head.columns.stop - head.columns.start


def _facts(program: ExactProgram, W: np.ndarray) -> dict[str, Any]:
    """Fields of the certificate that can be counted: P is the number of distinct columns that are not all zero."""
    loud = program.columns[:, program.columns.any(axis=0)]
    packed = np.packbits(loud, axis=0) if loud.dtype == np.bool_ else loud
    distinct = len(np.unique(packed, axis=1).T) if loud.size else 0
    support, nonzeros = int(W.any(axis=1).sum()), int((W != 0).sum())
    n, C = program.targets.shape
    return {"n": n, "P": distinct, "C": C, "support": support, "nonzeros": nonzeros}


def _network_problems(program: ExactProgram, proof: Proof, W: np.ndarray) -> list[str]:
    """Whether the stored network, run anew, attains exactly the proved objective; the columns are its own."""
    if W.shape != (program.columns.shape[1], program.targets.shape[1]):
        return [f"the stored network.W has shape {W.shape}"]
    reached = primal_bound(program, W)
    if reached == proof.primal:
        return []
    return [f"the stored network has objective {float(reached)!r}, the convex program {float(proof.primal)!r}"]


def _trusted(spikes: Spikes, own: Spikes, row_weights: np.ndarray) -> list[str]:
    decisions, undecided = (getattr(spikes, name) + getattr(own, name) for name in ("decisions", "undecided"))
    if undecided:
        columns = (
            f"{undecided} of {decisions} spike decisions lie within rounding of their threshold: there the columns are "
            "those of numpy's arithmetic"
        )
    else:
        columns = f"columns: nothing; all {decisions} spike decisions exceed a bound of their rounding error"
    if spikes.columns.dtype != np.bool_:
        columns += (
            "; what is read of the spikes are the floats to which IEEE arithmetic rounds their sums and quotients"
        )
    weights = "uniform, exactly 1/n" if (row_weights == row_weights[0]).all() else "those stored with the model"
    return [
        columns,
        f"row weights: {weights}",
        "the data as given, identified by their SHA-256",
        "integer and decimal arithmetic of Python, and float64 products of integers below 2^53 by numpy",
    ]
