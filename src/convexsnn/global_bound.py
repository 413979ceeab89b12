"""What was proved about the nonconvex training problem itself: a lower bound over every network of a family."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

from convexsnn.facts import WithFacts

METHODS = ("universal", "pricing", "arrangement")
# What the universal bound says of a network, and what not.
BY_HEART = "some very large network could learn the rows by heart; this says nothing about networks of this kind"


def shown_gap(gap: float) -> str:
    """A relative gap in percent, or as a power of ten where it is small."""
    if not math.isfinite(gap):
        return "unknown"
    return f"{100 * gap:.3g} %" if gap >= 1e-3 else f"{gap:.1e}"


def relative_gap(primal: float, dual: float) -> float:
    """(primal - dual) / max(|primal|, tiny); inf when one of them is not finite, as then nothing is proved."""
    gap = primal - dual
    return gap / max(abs(primal), 1e-300) if math.isfinite(gap) else math.inf


@dataclass(frozen=True)
class GlobalBound(WithFacts):
    """No network of `family` has a training objective below `value` (theory.md section 3, scope 3).

    Attributes
    ----------
    value : float
        The lower bound, -F*(U) of a vector U that is feasible for every pattern that the family can realise.
    method : {"universal", "pricing", "arrangement"}
        How the patterns of the family were bounded: "universal" by all of {0,1}^n, "pricing" by branch and bound,
        "arrangement" by listing them.
    family : str
        The networks that are covered, in words.
    kappa : float
        Upper bound on Omega*(d^T U) / rho over the family's patterns d. U is the dual vector that the bound was made
        from: that of the fit, or one of its own (`Trained.family_dual`). With that of the fit, a kappa of at most 1
        says that no network of the family is better. It is inf when it was not computed.
    primal : float
        The objective of the fitted network.
    assumptions : tuple of str
        What the bound needs beside the data, one sentence each.
    patterns : int, optional
        Distinct patterns that were enumerated.
    leaks : tuple of float, optional
        Where the leaks of LIF neurons are free: the least and the largest.

    Raises
    ------
    ValueError
        When a field is of the wrong type, or `value` is above `primal`: no bound is above what a network reaches.
    """

    scope: ClassVar[str] = "global"
    value: float
    method: str
    family: str
    kappa: float
    primal: float
    assumptions: tuple[str, ...] = ()
    patterns: int | None = None
    leaks: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        self._check_types()
        if self.value > self.primal or math.isnan(self.value):
            raise ValueError(
                f"a global bound of {self.value!r} is above the objective {self.primal!r} of a network: it was not "
                "computed for these data, or for this family"
            )

    def of_network(self, primal: float) -> GlobalBound:
        """The same bound beside the objective of a network; ValueError where it is above it."""
        return replace(self, primal=primal)

    @property
    def gap(self) -> float:
        """Primal minus the bound."""
        return self.primal - self.value

    @property
    def relative_gap(self) -> float:
        """The gap over max(|primal|, tiny); inf when nothing was proved."""
        return relative_gap(self.primal, self.value)

    def holds(self, tol: float) -> bool:
        """Whether the relative gap is at most `tol`."""
        return self.relative_gap <= tol

    def to_dict(self) -> dict[str, Any]:
        """All fields, the scope and the two gaps as JSON has them (infinite numbers become None)."""
        fields = asdict(self) | {"scope": self.scope, "gap": self.gap, "relative_gap": self.relative_gap}
        fields["assumptions"] = list(self.assumptions)
        fields["leaks"] = None if self.leaks is None else list(self.leaks)
        return {name: finite_or_none(value) for name, value in fields.items()}

    @classmethod
    def from_dict(cls, fields: Any) -> GlobalBound:
        """Inverse of `to_dict`. Raises ValueError when a field is missing, unknown or of the wrong type."""
        if not isinstance(fields, dict):
            raise ValueError("a certificate's bound over networks must be an object or null")
        fields = dict(fields)
        derived = {name: fields.pop(name) for name in ("scope", "gap", "relative_gap") if name in fields}
        for name, missing in (("value", -math.inf), ("primal", math.inf), ("kappa", math.inf)):
            if fields.get(name, 0) is None:
                fields[name] = missing
        for name in ("assumptions", "leaks"):
            if isinstance(fields.get(name), list):
                fields[name] = tuple(fields[name])
        try:
            bound = cls(**fields)
        except TypeError as error:
            raise ValueError(f"a bound over networks has missing or unknown fields: {error}") from error
        for name, claimed in derived.items():
            if claimed != finite_or_none(getattr(bound, name)):
                raise ValueError(f"a bound's field {name!r} is {claimed!r}, but the other fields give another")
        return bound

    def _check_types(self) -> None:
        for name in ("value", "kappa", "primal"):
            number = getattr(self, name)
            if not isinstance(number, (int, float)) or isinstance(number, bool):
                raise ValueError(f"a bound's field {name!r} must be a number")
        if self.method not in METHODS:
            raise ValueError(f"a bound's field 'method' must be one of {METHODS}, got {self.method!r}")
        texts = (self.family, *self.assumptions) if isinstance(self.assumptions, tuple) else (None,)
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("a bound's fields 'family' and 'assumptions' must be a string and a list of strings")
        if self.patterns is not None and (not isinstance(self.patterns, int) or isinstance(self.patterns, bool)):
            raise ValueError("a bound's field 'patterns' must be an integer or null")
        if self.leaks is not None and not _is_range(self.leaks):
            raise ValueError("a bound's field 'leaks' must be two floats, the least and the largest, or null")

    def facts(self) -> dict[str, str]:
        """The bound, and how far below the objective it is."""
        if self.method == "universal":
            return {"no network of any kind is below": f"{self.value:.10g}: {BY_HEART}"}
        return {
            "gap to the best network of its family": shown_gap(self.relative_gap),
            "no network of its family is below": f"{self.value:.10g} ({self.method})",
        }

    def __str__(self) -> str:
        count = "" if self.patterns is None else f", {self.patterns} patterns"
        return (
            f"global bound ({self.method}{count}): no network has an objective below {self.value:.9g}, "
            f"relative gap {self.relative_gap:.1e}; over {self.family}"
        )


def _is_range(leaks: Any) -> bool:
    two = isinstance(leaks, tuple) and len(leaks) == 2 and all(isinstance(leak, float) for leak in leaks)
    return two and 0.0 <= leaks[0] <= leaks[1] <= 1.0


def finite_or_none(value: Any) -> Any:
    """`value`, or None for a float that JSON does not have."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
