"""Certificates: what was proved about a solution, computed from W and a dual vector alone."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from convexsnn.caller import isolated
from convexsnn.facts import WithFacts
from convexsnn.global_bound import GlobalBound, finite_or_none, relative_gap
from convexsnn.losses import DirectedLoss, Head, check_heads
from convexsnn.program import ConvexProgram
from convexsnn.rounding import enclose_dictionary_dual, enclose_primal

__all__ = ["SCOPES", "Certificate", "certify", "relative_gap"]

SCOPES = ("dictionary", "search", "global")
ROUNDINGS = ("bounded", "estimated")
# The gap to the best network of the family, where there is no bound.
NOT_ASKED = "not computed: see `convexsnn bound`"


@dataclass(frozen=True)
class Certificate(WithFacts):
    """A duality gap and everything it depends on (theory.md section 3).

    With scope ``dictionary`` it proves this: no output weights on *these* hidden neurons reach an objective below
    `dual`. It then says nothing about other hidden neurons. With scope ``global`` it proves the same for every network
    of the family that `family_bound` names. `family_bound` and `global_bound` are further lower bounds, about networks
    with other hidden neurons. Each of them has a gap of its own.

    Attributes
    ----------
    primal, dual : float
        The training objective of the returned weights, and a lower bound on the objective of all output weights.
        `primal` is rounded up and `dual` is rounded down, so the optimum lies between them (see `rounding`).
    loss, penalty : str
        The names of the loss and of the penalty in the objective.
    rho : float
        The weight of the penalty in the program, more than 0.
    n : int
        The number of rows: one for each sequence, or one for each step of each sequence.
    P : int
        The number of distinct columns, each given by one or more hidden neurons.
    C : int
        The number of outputs.
    support : int
        The number of columns with a weight that is not zero.
    nonzeros : int
        The number of output weights that are not zero.
    dtype : str
        The arithmetic in which `primal` and `dual` were computed.
    spike_margin : float or None
        The smallest distance between a membrane potential and its threshold in the simulation, in units of the
        potential. If it is near the rounding error of the network's dtype, other hardware may give other spikes. 0
        means that a potential was exactly at its threshold. None means that the columns were not simulated.
    scope : str
        What the bound is about: "dictionary", "search" or "global".
    heads : tuple of Head
        The classes and the weight of each part of a label that has several parts. It is empty where there is one part.
    rounding : {"bounded", "estimated"}
        "bounded" means that rounding errors are bounded, so the optimum surely lies between `dual` and `primal`.
        "estimated" means that they are only estimated. This happens with a loss of your own that does not bound its
        rounding (see `DirectedLoss`).
    family_bound : GlobalBound, optional
        A lower bound on the objective of every network of the family: one hidden layer of neurons of the same kind, any
        hidden weights. It is None unless it was computed.
    global_bound : GlobalBound, optional
        A lower bound on the objective of networks of any kind and depth. It is None where there is no such bound.
    free_intercept : bool
        True if the weights of the neuron that always fires are not penalised.
    """

    primal: float
    dual: float
    loss: str
    penalty: str
    rho: float
    n: int
    P: int
    C: int
    support: int
    nonzeros: int
    dtype: str = "float64"
    spike_margin: float | None = None
    scope: str = "dictionary"
    heads: tuple[Head, ...] = ()
    rounding: str = "bounded"
    family_bound: GlobalBound | None = None
    global_bound: GlobalBound | None = None
    free_intercept: bool = False

    def __post_init__(self) -> None:
        for name, universal in (("family_bound", False), ("global_bound", True)):
            bound = getattr(self, name)
            if bound is None:
                continue
            if (bound.method == "universal") != universal:
                raise ValueError(f"certificate field {name!r} must not be a bound of method {bound.method!r}")
            if bound.value > self.primal:
                raise ValueError(
                    f"{name} must not be above the objective {self.primal!r} of the network, but is {bound.value!r}"
                )

    @property
    def gap(self) -> float:
        """The objective minus its lower bound."""
        return self.primal - self.dual

    @property
    def relative_gap(self) -> float:
        """The gap divided by max(|primal|, tiny). It is infinite where no bound was proved."""
        return relative_gap(self.primal, self.dual)

    @property
    def loss_name(self) -> str:
        """The loss in words, with how many heads it has."""
        return f"{self.loss} of {len(self.heads)} heads" if self.heads else self.loss

    @property
    def penalty_name(self) -> str:
        """The penalty in words, with what it leaves out."""
        return f"{self.penalty} (intercept free)" if self.free_intercept else self.penalty

    def holds(self, tol: float) -> bool:
        """Whether the relative gap is at most `tol`."""
        return self.relative_gap <= tol

    def with_spike_margin(self, spike_margin: float | None) -> Certificate:
        """The same certificate with the spike margin of the simulation that gave the columns."""
        return replace(self, spike_margin=spike_margin)

    def with_global_bound(self, global_bound: GlobalBound | None) -> Certificate:
        """The same certificate with the universal bound; ValueError where the bound is above the objective."""
        return replace(self, global_bound=global_bound)

    def with_family_bound(self, family_bound: GlobalBound | None) -> Certificate:
        """The same certificate with a bound over the family; ValueError where that is above the objective."""
        return replace(self, family_bound=family_bound)

    def facts(self) -> dict[str, str]:
        """What the certificate says: first how far the best network of the family is, last what any network reaches."""
        family, universal = self.family_bound, self.global_bound
        own = {
            "scope": self.scope,
            "objective": f"{self.primal:.10g}",
            "lower bound": f"{self.dual:.10g}",
            "relative gap": f"{self.relative_gap:.2e}",
            "program": f"{self.loss_name} + {self.rho:.4g} x {self.penalty_name}",
            "rows n, columns P, outputs C": f"{self.n}, {self.P}, {self.C}",
            "support": f"{self.support} columns, {self.nonzeros} weights",
            "arithmetic": self.dtype,
            "spike margin": "unknown" if self.spike_margin is None else f"{self.spike_margin:.2e}",
        }
        first = {"gap to the best network of its family": NOT_ASKED} if family is None else family.facts()
        return first | own | ({} if universal is None else universal.facts())

    def to_dict(self) -> dict[str, Any]:
        """All fields, and the two gaps, as plain numbers and strings."""
        bounds = {name: getattr(self, name) for name in ("family_bound", "global_bound")}
        facts = {name: None if bound is None else bound.to_dict() for name, bound in bounds.items()}
        return asdict(self) | facts | {"gap": self.gap, "relative_gap": self.relative_gap}

    def to_json(self) -> str:
        """`to_dict` as strict JSON (infinite and missing numbers become null)."""
        clean = {key: finite_or_none(value) for key, value in self.to_dict().items()}
        return json.dumps(clean, indent=2, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Certificate:
        """Inverse of `to_json`. Raises ValueError when a field is missing, unknown or of the wrong type."""
        try:
            fields = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique_keys)
        except ValueError as error:
            raise ValueError(f"certificate is not valid JSON: {error}") from error
        if not isinstance(fields, dict):
            raise ValueError("certificate must be a JSON object")
        fields["heads"] = _read_heads(fields.get("heads", []))
        for name in ("family_bound", "global_bound"):
            if fields.get(name) is not None:
                fields[name] = GlobalBound.from_dict(fields[name])
        derived = {key: fields.pop(key) for key in ("gap", "relative_gap") if key in fields}
        for key, missing in (("primal", math.inf), ("dual", -math.inf)):
            if fields.get(key, 0) is None:
                fields[key] = missing
        try:
            certificate = cls(**fields)
        except TypeError as error:
            raise ValueError(f"certificate has missing or unknown fields: {error}") from error
        certificate._check_types()
        for key, claimed in derived.items():
            if claimed != finite_or_none(getattr(certificate, key)):
                raise ValueError(f"certificate field {key!r} is {claimed!r}, but primal and dual give another")
        return certificate

    def _check_types(self) -> None:
        for name in ("primal", "dual", "rho"):
            if not isinstance(getattr(self, name), (int, float)) or isinstance(getattr(self, name), bool):
                raise ValueError(f"certificate field {name!r} must be a number")
        if not isinstance(self.spike_margin, (int, float, type(None))) or isinstance(self.spike_margin, bool):
            raise ValueError("certificate field 'spike_margin' must be a number or null")
        for name in ("n", "P", "C", "support", "nonzeros"):
            if not isinstance(getattr(self, name), int) or isinstance(getattr(self, name), bool):
                raise ValueError(f"certificate field {name!r} must be an integer")
        for name in ("loss", "penalty", "dtype"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"certificate field {name!r} must be a string")
        if not isinstance(self.free_intercept, bool):
            raise ValueError("certificate field 'free_intercept' must be true or false")
        if self.rounding not in ROUNDINGS:
            raise ValueError(f"certificate field 'rounding' must be one of {ROUNDINGS}, got {self.rounding!r}")
        if self.scope not in SCOPES:
            raise ValueError(f"certificate field 'scope' must be one of {SCOPES}, got {self.scope!r}")

    def __str__(self) -> str:
        margin = "" if self.spike_margin is None else f", spike margin {self.spike_margin:.1e}"
        arithmetic = self.dtype + ("" if self.rounding == "bounded" else f", rounding {self.rounding}")
        return (
            f"{self.scope} certificate: objective {self.primal:.9g}, lower bound {self.dual:.9g}, "
            f"relative gap {self.relative_gap:.1e} ({self.loss_name} + {self.rho:.3g} {self.penalty_name}, "
            f"n {self.n}, P {self.P}, C {self.C}, support {self.support}, {arithmetic}{margin})"
        )


def _read_heads(value: Any) -> tuple[Head, ...]:
    """Heads as JSON has them: a list of pairs of classes and weight."""
    if not isinstance(value, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in value):
        raise ValueError("certificate field 'heads' must be a list of pairs of classes and weight")
    heads = tuple(Head(*pair) for pair in value)
    check_heads(heads)
    return heads


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError(f"a key stands twice in one object: {sorted(key for key, _ in pairs)}")
    return dict(pairs)


@isolated
def certify(program: ConvexProgram, W: Tensor, U: Tensor) -> Certificate:
    """The dictionary-scope certificate of weights `W` (P, C) and any dual candidate `U` (n, C), rounded outwards.

    `U` is put into the domain of F*, and the value is that of its largest feasible multiple, so no property of the
    solver that gave it is assumed.
    """
    U = program.in_domain(U.to(torch.float64))
    if not bool(torch.isfinite(U).all()):
        raise ValueError("the dual vector U must be finite")
    return Certificate(
        primal=enclose_primal(program, W).above,
        dual=enclose_dictionary_dual(program, U).below,
        loss=program.loss.name,
        penalty=program.penalty.name,
        rho=program.rho,
        n=program.n_rows,
        P=program.n_columns,
        C=program.n_outputs,
        support=int((W != 0).any(dim=1).sum()),
        nonzeros=int((W != 0).sum()),
        heads=program.loss.heads,
        rounding="bounded" if isinstance(program.loss, DirectedLoss) else "estimated",
        free_intercept=program.free_intercept,
    )


@isolated
def certify_feasible(program: ConvexProgram, W: Tensor, U: Tensor) -> tuple[Tensor, Certificate]:
    """The dual candidate `U` made feasible, and the certificate of `W` and it; see `certify`."""
    U = program.feasible_dual(U)
    return U, certify(program, W, U)
