"""What is noted of each round of a search."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from convexsnn.certificate import relative_gap
from convexsnn.checks import check_integer, check_real


@dataclass(frozen=True)
class Round:
    """One round: columns found under the last dual vector, added, and the program solved anew.

    Attributes
    ----------
    number : int
        0 is the dictionary that the search began with.
    rho : float
        The rho of this round's program. Early stages have a larger one than the result.
    objective : float
        The objective of the best weights on the dictionary. It never rises while rho is the same.
    dual : float
        A lower bound: no weights on this round's dictionary reach less.
    global_bound : float
        No network whatever its hidden neurons reaches less at this rho. It is the best "universal" bound so far
        (`convexsnn.bounds`).
    columns : int
        The number of columns of the dictionary.
    support : int
        Columns that carry weight.
    best_score : float
        Largest Omega*(d^T U) / rho that this round's search found: above 1, the column lowers the objective.
    admitted : dict of str to int
        Columns added, by the oracle that found them.
    simulated : int
        Branches run over all training rows.
    validation_score : float or None
    seconds : float
        Since the search began, over all its sittings.
    attempt : int
        The first search from nothing is 1.
    steps : int
        Neuron steps that this took, about. The first record of an attempt has those of the last step of the attempt
        before.
    """

    number: int
    rho: float
    objective: float
    dual: float
    global_bound: float
    columns: int
    support: int
    best_score: float
    admitted: dict[str, int]
    simulated: int
    validation_score: float | None
    seconds: float
    attempt: int = 1
    steps: int = 0

    @property
    def relative_gap(self) -> float:
        """The relative gap on the columns of this round."""
        return relative_gap(self.objective, self.dual)

    def to_dict(self) -> dict[str, Any]:
        """All fields as JSON has them."""
        return {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Round:
        """Inverse of `to_dict`. Raises KeyError, TypeError or ValueError on fields of wrong names or types."""
        unbounded: dict[str, Any] = {name: -math.inf for name in ("dual", "global_bound") if fields[name] is None}
        entry = cls(**(fields | unbounded))
        for name in ("number", "columns", "support", "simulated", "attempt", "steps"):
            check_integer(name, getattr(entry, name), minimum=0)
        for name in {"rho", "objective", "dual", "global_bound", "best_score", "seconds"} - unbounded.keys():
            check_real(name, getattr(entry, name))
        if entry.validation_score is not None:
            check_real("validation_score", entry.validation_score)
        for name, count in entry.admitted.items():
            check_integer(f"admitted of {name}", count, minimum=0)
        return entry
