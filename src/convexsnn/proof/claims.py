"""What a model's header claims, held against what was proved."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

# By how much a claimed objective may be above the exact one, and relative error of beta / sqrt(P_last) in float64.
ROUNDING = Fraction(1, 10**9)
RHO_ROUNDING = Fraction(1, 2**50)
# Rounding of potentials, in units of the spacing of numbers near one in the network's dtype.
MARGIN_ROUNDING = 1e4


def rho_problems(header: dict[str, Any], n_last: int) -> list[str]:
    """Whether the rho of the certificate is that of the settings: beta / sqrt(P_last) to rounding, or rho itself."""
    parameters, claimed = header["parameters"], Fraction(header["certificate"]["rho"])
    if parameters["rho"] is not None:
        wrong = claimed != Fraction(parameters["rho"])
    else:
        beta = Fraction(header["fitted"]["beta"])
        # A search, and exact training, keep to the rho of their setting `last`, however many neurons they find.
        family = parameters["witnesses"]
        family = family["parts"][-1] if family["family"] == "mixture" else family
        width = int(family["last"]) if family["family"] in ("search", "exact") else n_last
        # rho = beta / sqrt(P) to rounding, squared: no root is needed.
        wrong = beta <= 0 or not _close(claimed**2 * width, beta**2, RHO_ROUNDING)
    named = parameters["beta"]
    if not isinstance(named, (str, list)) and header["fitted"]["beta"] != named:
        return ["the picked beta is not the one in the parameters"]
    return ["the certificate's rho is not the one that the model's settings give"] if wrong else []


def certificate_problems(header: dict[str, Any], facts: dict[str, Any], primal: Fraction, dual: Fraction) -> list[str]:
    """Claims of the certificate in a model's header that are not so; `facts` are the fields as they were found."""
    claimed = header["certificate"]
    expected = facts | _settings(header)
    problems = []
    if claimed.get("scope") == "global":
        del expected["scope"]
        problems.append(
            "its scope is 'global', and only what it says of its own columns is proved exactly; verify without --exact "
            "proves the bound over its family again"
        )
    problems += [
        f"the certificate says {name} = {claimed.get(name)!r}, found: {value!r}"
        for name, value in expected.items()
        if type(claimed.get(name)) is not type(value) or claimed[name] != value
    ]
    for name in ("primal", "dual", "gap", "relative_gap", "rho"):
        if not isinstance(claimed.get(name), (int, float)):
            return [*problems, f"the certificate's {name} is not a finite number"]
    if Fraction(claimed["primal"]) < primal or not _close(Fraction(claimed["primal"]), primal, ROUNDING):
        problems.append(f"the certificate claims objective {claimed['primal']!r}, but it is {float(primal)!r}")
    if Fraction(claimed["dual"]) > dual:
        problems.append(f"the certificate claims lower bound {claimed['dual']!r}, but only {float(dual)!r} is proved")
    gap = claimed["primal"] - claimed["dual"]
    if claimed["gap"] != gap or claimed["relative_gap"] != gap / max(abs(claimed["primal"]), 1e-300):
        problems.append("the certificate's gaps do not follow from its primal and dual")
    return problems


def _settings(header: dict[str, Any]) -> dict[str, Any]:
    """Fields of the certificate that settings alone decide; only a proof over the dictionary is made here.

    A certificate may call its rounding estimated: what is proved here holds all the same.
    """
    parameters = header["parameters"]
    rounding = "estimated" if header["certificate"].get("rounding") == "estimated" else "bounded"
    arithmetic = {"dtype": "float64", "rounding": rounding}
    program = {"loss": parameters["loss"], "penalty": parameters["penalty"]}
    free = {"free_intercept": parameters["intercept"] == "free"}
    return program | free | {"scope": "dictionary"} | arithmetic


def margin_problems(header: dict[str, Any], margin: float, unit: float) -> list[str]:
    """Whether the spike margin is the one that was seen; a difference of potentials is compared to their rounding."""
    claimed = header["certificate"].get("spike_margin")
    if isinstance(claimed, float) and abs(claimed - margin) <= MARGIN_ROUNDING * unit:
        return []
    if claimed is None and math.isinf(margin):
        return []
    return [f"the certificate says spike margin {claimed!r}, found: {margin!r}"]


def weight_problems(header: dict[str, Any], uniform: bool) -> list[str]:
    """Whether the row weights are uniform or given, as the model says."""
    claimed = header.get("row_weights")
    found = "uniform" if uniform else "given"
    return [] if claimed == found else [f"the model says that its row weights are {claimed!r}, found: {found!r}"]


def _close(a: Fraction, b: Fraction, rounding: Fraction) -> bool:
    return abs(a - b) <= rounding * max(abs(a), abs(b))
