"""The files of a model's folder: sealed together, and saying what the model's header says."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from .model import parse_strictly

SUMS = "SHA256SUMS"
# The JSON files of a folder. All are sealed, and so are the model and the settings of the fit.
CERTIFICATE, HISTORY, METRICS, PATH, PROOF, QUANTISED = (
    f"{name}.json" for name in ("certificate", "history", "metrics", "path", "proof", "quantised")
)
SEALED = (CERTIFICATE, HISTORY, METRICS, "model.safetensors", PATH, PROOF, QUANTISED, "settings.toml")
# What metrics.json says, and what it says of each split, of the times and of the counts.
METRIC_KEYS = re.compile(
    "train|val|test|closed_loop|n|seconds|beta|objective|relative_gap|certified|status|solver|n_iter|P_last|columns|"
    "members|unseen_share|test_error_bound|neurons|silent_neurons|synapses|connection_sparsity|activation_sparsity|"
    "spikes_per_inference|effective_acs|effective_macs|dense_operations"
)
NESTED_KEYS = {
    **dict.fromkeys(
        ("train", "val", "test", "closed_loop"), re.compile(r"accuracy|sequence_accuracy|accuracy_output_\d+|r2")
    ),
    "n": re.compile("train|val|test"),
    "seconds": re.compile("total|simulate|solve|bound|reconstruct"),
}
QUANTISED_KEYS = frozenset(("bits", "threshold_bits", "neurons", "quantised", "complete", "ways", "failed", "excluded"))
WAYS = re.compile("plain|solved|wide|exchanged")


def folder_problems(folder: Path, header: dict[str, Any]) -> list[str]:
    """Why the files of a folder are not as they were written, or do not say what the model's header says."""
    return [*content_problems(folder, header), *sum_problems(folder)]


def content_problems(folder: Path, header: dict[str, Any]) -> list[str]:
    """Why the JSON files of a folder do not say what the model's header says; whether they are sealed is not asked."""
    expected = _expected(header)
    foreign = [name for name in (HISTORY, PATH, QUANTISED) if name not in expected and (folder / name).is_file()]
    problems = [f"{name} is there, but this model was not made in a way that writes it" for name in foreign]
    for name, wrong in expected.items():
        try:
            facts = parse_strictly((folder / name).read_text())
            problems += wrong(facts) if isinstance(facts, dict) else [f"{name} is not a JSON object"]
        except FileNotFoundError:
            problems.append(f"{name} is missing")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            problems.append(f"{name} cannot be read: {error}")
    return problems


def _expected(header: dict[str, Any]) -> dict[str, Callable[[dict[str, Any]], list[str]]]:
    """The JSON files that belong to a model, each with what finds the problems of its contents."""
    if "members" in header:
        return _expected_of_mean(header["members"])
    fitted, betas = header["fitted"], header["parameters"]["beta"]
    expected = {
        CERTIFICATE: lambda facts: _differs(CERTIFICATE, "the certificate", facts, header["certificate"]),
        METRICS: lambda facts: _metric_problems(facts, header),
    }
    if betas == "path" or (isinstance(betas, list) and len(betas) > 1):
        points = [point | {"picked": point["beta"] == fitted["beta"]} for point in fitted["path"]]
        path = {"beta": fitted["beta"], "points": points}
        expected[PATH] = lambda facts: _path_problems(facts, path)
    if fitted["stopped"] is not None:
        history = {"stopped": fitted["stopped"], "rounds": fitted["history"]}
        expected[HISTORY] = lambda facts: _differs(HISTORY, "the history", facts, history)
    if "quantised" in header["extra"]:
        expected[QUANTISED] = lambda facts: _quantised_problems(facts, header["extra"]["quantised"])
    return expected


def _expected_of_mean(members: list[dict[str, Any]]) -> dict[str, Callable[[dict[str, Any]], list[str]]]:
    """The same of the mean of several fits: a certificate of each, and nothing of one fit."""
    certificates = {"members": [own["certificate"] for own in members]}

    def metric_problems(facts: dict[str, Any]) -> list[str]:
        same = _same(facts.get("members"), len(members))
        return _unknown_metrics(facts) + ([] if same else [f"{METRICS} counts other members than the model file"])

    return {
        CERTIFICATE: lambda facts: _differs(CERTIFICATE, "the certificates of the members", facts, certificates),
        METRICS: metric_problems,
    }


def _differs(name: str, what: str, found: Any, expected: Any) -> list[str]:
    return [] if _same(found, expected) else [f"{name} is not {what} in model.safetensors"]


def _same(found: Any, expected: Any) -> bool:
    """Whether two values are the same JSON: 1, 1.0 and true are three values, though Python calls them equal."""
    return json.dumps(found, sort_keys=True) == json.dumps(expected, sort_keys=True)


def _path_problems(facts: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    retrained = facts.get("retrained_on_all")
    if not isinstance(retrained, bool):
        return [f"{PATH} says retrained_on_all = {retrained!r}, which must be true or false"]
    return _differs(PATH, "the path", facts, expected | {"retrained_on_all": retrained})


def _unknown_metrics(facts: dict[str, Any]) -> list[str]:
    problems = _unknown(METRICS, facts, METRIC_KEYS)
    for name, known in NESTED_KEYS.items():
        problems += _unknown(f"{name} in {METRICS}", facts.get(name, {}), known)
    return problems


def _metric_problems(facts: dict[str, Any], header: dict[str, Any]) -> list[str]:
    problems = _unknown_metrics(facts)
    own, tol = header["certificate"], header["parameters"]["tol"]
    expected = {"objective": own["primal"], "relative_gap": own["relative_gap"], "columns": own["P"]}
    expected |= {"certified": own["relative_gap"] <= tol, "status": header["status"], "solver": header["solver"]}
    return problems + [
        f"{METRICS} says {name} = {facts.get(name)!r}, the model file {value!r}"
        for name, value in expected.items()
        if not _same(facts.get(name), value)
    ]


def _quantised_problems(facts: dict[str, Any], claimed: dict[str, Any]) -> list[str]:
    if facts.keys() != QUANTISED_KEYS:
        return [f"{QUANTISED} must have the keys {sorted(QUANTISED_KEYS)}"]
    problems = _unknown(f"ways in {QUANTISED}", facts["ways"], WAYS)
    if facts["bits"] != claimed["bits"]:
        problems.append(f"{QUANTISED} says bits = {facts['bits']!r}, the model file {claimed['bits']!r}")
    failed, excluded = facts["failed"], facts["excluded"]
    if not (isinstance(failed, list) and isinstance(excluded, list) and all(neuron in failed for neuron in excluded)):
        problems.append(f"{QUANTISED} excludes neurons that have not failed")
    elif (facts["neurons"] - facts["quantised"], facts["complete"]) != (len(failed), not failed):
        problems.append(f"{QUANTISED} counts other neurons than it names")
    return problems


def _unknown(where: str, facts: Iterable[str], known: re.Pattern[str]) -> list[str]:
    """Keys that nobody knows. A file with such a key says something that was never checked."""
    unknown = sorted(key for key in facts if not known.fullmatch(key))
    return [f"{where} has keys that no such file has: {unknown}"] if unknown else []


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
    return [folder / name for name in SEALED if (folder / name).is_file()]
