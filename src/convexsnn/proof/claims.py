"""What the stored files claim, held against what was proved."""

from __future__ import annotations

import hashlib
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

from .data import loss_named
from .model import parse_strictly

# By how much a claimed objective may be above the exact one, and relative error of beta / sqrt(P_last) in float64.
ROUNDING = Fraction(1, 10**9)
RHO_ROUNDING = Fraction(1, 2**50)
# Rounding of potentials, in units of the spacing of numbers near one in the network's dtype.
MARGIN_ROUNDING = 1e4
SUMS = "SHA256SUMS"
# The keys that the JSON files of a model's folder may have.
_KEYS = {
    "certificate.json": "primal dual loss penalty rho n P C support nonzeros dtype spike_margin scope heads "
    "rounding global_bound gap relative_gap",
    "history.json": "stopped rounds",
    "metrics.json": "train val test closed_loop beta objective relative_gap certified status solver n_iter seconds "
    "P_last columns n unseen_share neurons synapses connection_sparsity activation_sparsity spikes_per_inference "
    "effective_acs effective_macs dense_operations",
    "path.json": "beta retrained_on_all points",
    "quantised.json": "bits threshold_bits neurons quantised complete ways failed excluded",
}
KEYS = {name: frozenset(keys.split()) for name, keys in _KEYS.items()}
# All files that are sealed.
SEALED = (*sorted(KEYS), "model.safetensors", "search.safetensors")


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
            "proves the bound over all networks again in float64"
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
    """Fields of the certificate that settings alone decide; only a proof over the dictionary is made here."""
    parameters = header["parameters"]
    loss = loss_named(parameters, header["estimator"])
    arithmetic = {"dtype": "float64", "rounding": "bounded"}
    return {"loss": loss, "penalty": parameters["penalty"], "scope": "dictionary"} | arithmetic


def margin_problems(header: dict[str, Any], margin: float, unit: float) -> list[str]:
    """Whether the spike margin is the one that was seen; a difference of potentials is compared to their rounding."""
    claimed = header["certificate"].get("spike_margin")
    if isinstance(claimed, float) and abs(claimed - margin) <= MARGIN_ROUNDING * unit:
        return []
    if claimed is None and math.isinf(margin):
        return []
    return [f"the certificate says spike margin {claimed!r}, found: {margin!r}"]


def folder_problems(folder: Path, header: dict[str, Any]) -> list[str]:
    """Whether certificate.json and metrics.json say what the model's header says, and no file has changed."""
    problems = []
    certificate, metrics = (_read_json(folder / name) for name in ("certificate.json", "metrics.json"))
    if certificate != header["certificate"]:
        problems.append("certificate.json is not the certificate in the model file")
    if metrics is None:
        problems.append("metrics.json cannot be read")
    else:
        own, tol = header["certificate"], header["parameters"]["tol"]
        expected = {"objective": own["primal"], "relative_gap": own["relative_gap"], "columns": own["P"]}
        expected |= {"certified": own["relative_gap"] <= tol, "status": header["status"], "solver": header["solver"]}
        problems += [
            f"metrics.json says {name} = {metrics.get(name)!r}, the model file {value!r}"
            for name, value in expected.items()
            if metrics.get(name) != value
        ]
    return problems + key_problems(folder) + sum_problems(folder)


def key_problems(folder: Path) -> list[str]:
    """JSON files that cannot be read, or have a key twice, or one that no such file has."""
    problems = []
    for name, known in KEYS.items():
        if not (folder / name).is_file():
            continue
        facts = _read_json(folder / name)
        if facts is None:
            problems.append(f"{name} is not a JSON object with each key once")
        elif facts.keys() - known:
            problems.append(f"{name} has keys that no such file has: {sorted(facts.keys() - known)}")
    return problems


def weight_problems(header: dict[str, Any], uniform: bool) -> list[str]:
    """Whether the row weights are uniform or given, as the model says."""
    claimed = header.get("row_weights")
    found = "uniform" if uniform else "given"
    return [] if claimed == found else [f"the model says that its row weights are {claimed!r}, found: {found!r}"]


def sum_problems(folder: Path) -> list[str]:
    """Files that differ from their SHA-256 in SHA256SUMS, or are not in it; or that there is no such file."""
    sums = folder / SUMS
    if not sums.is_file():
        return [f"there is no {SUMS}: nothing says that the files are those that were written with the model"]
    if sums.read_bytes() == sums_of(folder).encode():
        return []
    try:
        lines = [line.split("  ", 1) for line in sums.read_text().splitlines()]
        recorded = {name: digest for digest, name in lines}
    except (ValueError, OSError):
        return [f"{SUMS} cannot be read"]
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in _listed(folder)}
    changed = sorted(name for name in recorded.keys() | found.keys() if recorded.get(name) != found.get(name))
    if not changed:
        return [f"{SUMS} is not as it was written"]
    return [f"{name} is not the file that was written with the model ({SUMS})" for name in changed]


def sums_of(folder: Path) -> str:
    """The contents of SHA256SUMS for a model's folder, as `sha256sum -c` reads them."""
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in _listed(folder))


def _listed(folder: Path) -> list[Path]:
    return [folder / name for name in sorted(SEALED) if (folder / name).is_file()]


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        value = parse_strictly(path.read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _close(a: Fraction, b: Fraction, rounding: Fraction) -> bool:
    return abs(a - b) <= rounding * max(abs(a), abs(b))
