"""Saving and loading of models, in sealed files. No file of ours executes code when it is loaded.

A model file holds tensors: of the reconstructed network, of all witnesses and of given layers, the readout weights, the
dual vector and the row weights. Its header holds the estimator's parameters, the layers' settings and the certificate.
Files are written beside their target and moved there, so that a full disk or a crash leaves the old file as it was.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from convexsnn.caller import isolated
from convexsnn.certificate import Certificate
from convexsnn.checks import check_integer, check_names, check_real
from convexsnn.estimators import Estimator, SpikingClassifier, SpikingRegressor, average
from convexsnn.estimators.bypass import Bypass
from convexsnn.estimators.classes import Classes
from convexsnn.estimators.input_form import InputForm
from convexsnn.estimators.target_scale import TargetScale
from convexsnn.families import family_from_dict
from convexsnn.files import write_atomically
from convexsnn.network import Hidden, Network
from convexsnn.proof import FORMAT
from convexsnn.reading import reading
from convexsnn.sealed import check_tensor, read_sealed, read_sealed_header, sealed_bytes
from convexsnn.search import Round
from convexsnn.selection import PathPoint
from convexsnn.solvers import Status
from convexsnn.tensors import describe_hidden, rebuild_hidden
from convexsnn.training import Trained

# What the file is, as its header is named; and the types of the header's fields.
KIND = "convexsnn"
FIELDS: dict[str, type] = {
    **dict.fromkeys(("format", "n_iter"), int),
    **dict.fromkeys(("estimator", "status", "solver", "data_digest", "row_weights"), str),
    **dict.fromkeys(("parameters", "fitted", "witnesses", "network", "certificate", "seconds", "extra"), dict),
    "given": list,
}
# The same of a file with the mean of several fits: `members` are the headers of theirs.
MEAN_FIELDS: dict[str, type] = {"format": int, "estimator": str, "parameters": dict, "members": list, "extra": dict}
TIMES = ("simulate", "solve", "bound", "reconstruct")
_Described = tuple[dict[str, Any], dict[str, Tensor]]
"""Header and tensors."""
ESTIMATORS: dict[str, type[Estimator]] = {cls.__name__: cls for cls in (SpikingClassifier, SpikingRegressor)}


@isolated
def save_model(estimator: Estimator, path: str | Path, extra: dict[str, Any] | None = None) -> None:
    """Write a fitted estimator to a safetensors file.

    Parameters
    ----------
    estimator : SpikingClassifier or SpikingRegressor
        A fitted estimator.
    path : path of the file
    extra : dict, optional
        JSON-compatible facts to keep beside the model (`load_model` returns them).

    Raises
    ------
    ValueError
        When class labels are of a type that JSON cannot hold.
    OSError
        When the file cannot be written; the old file, if any, is left as it was.
    """
    write_atomically(path, model_bytes(estimator, extra))


@isolated
def model_bytes(estimator: Estimator, extra: dict[str, Any] | None = None) -> bytes:
    """What `save_model` writes."""
    check_is_fitted(estimator)
    header, tensors = _described_mean(estimator) if estimator.members_ else _described(estimator)
    return sealed_bytes(KIND, header | {"extra": extra or {}}, tensors)


def _described(estimator: Estimator) -> _Described:
    """Header and tensors of one fit."""
    trained = estimator.trained_
    tensors = {"W": trained.W, "U": trained.U, "row_weights": trained.row_weights, "network.W": trained.network.W}
    if trained.family_dual is not None:
        tensors["family_dual"] = trained.family_dual
    header = {
        "format": FORMAT,
        "estimator": type(estimator).__name__,
        "parameters": describe_parameters(estimator),
        "fitted": _fitted_facts(estimator),
        "given": [describe_hidden(layers, f"given.{i}", tensors) for i, layers in enumerate(estimator.family.given)],
        "witnesses": describe_hidden(trained.witnesses, "witnesses", tensors),
        "network": describe_hidden(trained.network.hidden, "network", tensors),
        "certificate": json.loads(trained.certificate.to_json()),
        "status": trained.status.name,
        "solver": trained.solver,
        "n_iter": trained.n_iter,
        "seconds": trained.seconds,
        "data_digest": trained.data_digest,
        "row_weights": "uniform" if bool((trained.row_weights == trained.row_weights[0]).all()) else "given",
        "extra": {},
    }
    return header, tensors


def _described_mean(estimator: Estimator) -> _Described:
    """Header and tensors of the mean of several fits: all of each fit, and nothing of the mean, which follows."""
    headers, tensors = [], {}
    for k, member in enumerate(estimator.members_):
        own, values = _described(member)
        headers.append(own)
        tensors |= {f"{_prefix(k)}{name}": tensor for name, tensor in values.items()}
    facts = {"format": FORMAT, "estimator": type(estimator).__name__, "parameters": describe_parameters(estimator)}
    return facts | {"members": headers}, tensors


def _prefix(member: int) -> str:
    """What the names of a member's tensors begin with."""
    return f"members.{member}."


def read_header(path: str | Path) -> dict[str, Any]:
    """The facts of a model file, which are not held against its digest. Raises DamagedFileError."""
    return read_sealed_header(path, KIND)


@isolated
def load_model(path: str | Path) -> tuple[Estimator, dict[str, Any]]:
    """Read a file written by `save_model`: the fitted estimator (on the CPU), and the extra facts.

    The files of `convexsnn fit` have the settings of the data as extra facts. Nothing in a file is executed.

    Raises
    ------
    DamagedFileError
        When the file is missing, damaged in any bit, contradicts itself, is not ours, or of another format.
    """
    header, tensors = read_sealed(path, KIND)
    _check_format(path, header)
    estimator = _mean(path, header, tensors) if "members" in header else _fitted(path, header, tensors)
    return estimator, header["extra"]


def _mean(path: str | Path, header: dict[str, Any], tensors: dict[str, Tensor]) -> Estimator:
    """The mean of several fits, each of which is held against its own header."""
    _check_fields(path, header, MEAN_FIELDS)
    count = len(header["members"])
    with reading(path, "members"):
        if count < 2 or any("members" in own for own in header["members"]):
            raise ValueError("there must be at least two, each of one fit")
        if unknown := [name for name in tensors if not name.startswith(tuple(map(_prefix, range(count))))]:
            raise ValueError(f"tensor {min(unknown)} is of no member")
    fits = []
    for k, own in enumerate(header["members"]):
        named = {name.removeprefix(_prefix(k)): tensor for name, tensor in tensors.items() if _prefix(k) in name}
        fits.append(_fitted(path, own, named))
    with reading(path, "members"):
        estimator = average(fits)
    with reading(path, "parameters"):
        estimator.random_state = header["parameters"]["random_state"]
        if header["estimator"] != type(estimator).__name__ or not _alike(
            describe_parameters(estimator), header["parameters"]
        ):
            raise ValueError("they are not those of the members")
    return estimator


def _alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether parameters are the same, wherever the work was done."""
    return json.dumps(one | {"device": None}, sort_keys=True) == json.dumps(other | {"device": None}, sort_keys=True)


def _fitted(path: str | Path, header: dict[str, Any], tensors: dict[str, Tensor]) -> Estimator:
    """The estimator of one fit."""
    _check_fields(path, header, FIELDS)
    with reading(path, "layers"):
        witnesses, network = (rebuild_hidden(header[name], name, tensors) for name in ("witnesses", "network"))
        given = [rebuild_hidden(layers, f"given.{i}", tensors) for i, layers in enumerate(header["given"])]
        _check_names(tensors, witnesses, network, given)
    with reading(path, "certificate"):
        certificate = Certificate.from_json(json.dumps(header["certificate"]))
    with reading(path, "tensors"):
        trained = _trained(header, tensors, witnesses, network, certificate)
    with reading(path, "parameters"):
        estimator = ESTIMATORS[header["estimator"]](**_parameters(header["parameters"], given))
        estimator.device = "cpu"  # where the tensors now are, whatever the model was trained on
        estimator.check_settings()
        if estimator.members != 1:
            raise ValueError("the members of several fits are missing")
    with reading(path, "fitted"):
        check_names("a fitted estimator", header["fitted"], _fitted_names(estimator))
        for name, value in _attributes(header["fitted"]).items():
            setattr(estimator, name, value)
        estimator.beta_ = _picked_beta(estimator, header["fitted"])
        _check_outputs(estimator, trained.W.shape[1])
    with reading(path, "witnesses"):
        if not estimator.describes(witnesses):
            raise ValueError("they are not such as the parameters describe")
        kind = lambda h: (h.n_features, h.readout, h.every_step, h.dtype)  # noqa: E731
        if kind(network) != kind(witnesses):
            raise ValueError("they are of another kind than the network")
    estimator.adopt(trained)
    return estimator


def _check_format(path: str | Path, header: dict[str, Any]) -> None:
    """DamagedFileError unless it is a file of this format."""
    with reading(path, "format"):
        own = check_integer("format", header["format"])
        if own != FORMAT:
            advice = "upgrade" if own > FORMAT else "fit the model anew"
            raise ValueError(f"it has format {own}; this version reads {FORMAT}: {advice}")


def _check_fields(path: str | Path, header: Any, fields: dict[str, type]) -> None:
    """DamagedFileError unless a header has these fields, each of its type."""
    with reading(path, "fields"):
        if not isinstance(header, dict):
            raise ValueError(f"the header must be an object, not {header!r:.60}")
        check_names("a model", header, fields)
    for name, kind in fields.items():
        with reading(path, name):
            if not isinstance(header[name], kind) or isinstance(header[name], bool):
                raise ValueError(f"it must be of type {kind.__name__}, not {header[name]!r:.60}")


def _check_names(tensors: dict[str, Tensor], witnesses: Hidden, network: Hidden, given: list[Hidden]) -> None:
    """ValueError where there are tensors that the descriptions of the layers do not name."""
    expected: dict[str, Tensor] = {}
    describe_hidden(witnesses, "witnesses", expected)
    describe_hidden(network, "network", expected)
    for i, layers in enumerate(given):
        describe_hidden(layers, f"given.{i}", expected)
    unknown = tensors.keys() - expected.keys() - {"W", "U", "row_weights", "network.W", "family_dual"}
    if unknown:
        raise ValueError(f"tensor {min(unknown)} is of no layer")


def _trained(
    header: dict[str, Any], tensors: dict[str, Tensor], witnesses: Hidden, network: Hidden, certificate: Certificate
) -> Trained:
    """What was trained, every tensor held against the layers and the others; ValueError where it does not fit."""
    rows, C = tensors["U"].shape
    take = lambda name, *shape: check_tensor(name, tensors.get(name), torch.float64, *shape)  # noqa: E731
    check_names("seconds", header["seconds"], TIMES)
    with_own_dual = tensors.get("family_dual") is not None
    trained = Trained(
        network=Network(network, take("network.W", network.n_last, C)),
        witnesses=witnesses,
        W=take("W", witnesses.n_last, C),
        U=take("U", rows, C),
        row_weights=take("row_weights", rows),
        certificate=certificate,
        status=Status[header["status"]],
        solver=header["solver"],
        n_iter=check_integer("n_iter", header["n_iter"], minimum=0),
        seconds={name: check_real(f"seconds of {name}", value, 0.0) for name, value in header["seconds"].items()},
        data_digest=header["data_digest"],
        family_dual=take("family_dual", rows, C) if with_own_dual else None,
    )
    if not bool((trained.row_weights > 0.0).all()):
        raise ValueError("tensor row_weights must be positive")
    return trained


def _check_outputs(estimator: Estimator, outputs: int) -> None:
    """ValueError where the labels of fit do not have so many outputs."""
    if isinstance(estimator, SpikingClassifier):
        classes = estimator.classes_
        several = isinstance(classes, list)
        count = sum(map(len, classes)) if several else len(classes)
        allowed = {count} | ({1} if count == 2 and not several else set())
        ordered = all(np.array_equal(own, np.unique(own)) for own in (classes if several else [classes]))
        if not ordered or outputs not in allowed:
            raise ValueError(f"the classes {classes!r} do not fit {outputs} outputs")
        _ = estimator.loss_function  # refuses output weights, or a loss, that do not fit the classes
    elif not isinstance(estimator.single_output_, bool) or (estimator.single_output_ and outputs != 1):
        raise ValueError(f"single_output does not fit {outputs} outputs")
    elif len(estimator.target_scale_.unit) != outputs:
        raise ValueError(f"target_scale does not fit {outputs} outputs")
    elif estimator.bypass_ is not None:
        features = estimator.n_features_in_
        if not estimator.bypass_.fits(estimator.bypass, features, outputs):
            raise ValueError(f"bypass does not fit {outputs} outputs of {features} features")


def describe_parameters(estimator: Estimator) -> dict[str, Any]:
    """Parameters as JSON has them, "auto" as what was chosen; without `verbose`, which says nothing of a model.

    A RandomState has no JSON form and becomes None (the weights are in the file).
    """
    parameters = estimator.get_params(deep=False)
    del parameters["verbose"]
    if not isinstance(parameters["random_state"], (int, np.integer, type(None))):
        parameters["random_state"] = None
    parameters["device"] = str(parameters["device"])
    parameters |= vars(estimator.recipe)
    parameters["witnesses"] = estimator.family.to_dict()
    weights = parameters.get("class_weight")
    if isinstance(weights, dict):
        parameters["class_weight"] = [[_plain(key), float(value)] for key, value in weights.items()]
    return {name: value if name == "witnesses" else _plain(value) for name, value in parameters.items()}


def _parameters(plain: dict[str, Any], given: list[Hidden]) -> dict[str, Any]:
    """Inverse of `describe_parameters`."""
    plain = plain | {"witnesses": family_from_dict(plain["witnesses"], given)}
    if isinstance(plain.get("class_weight"), list):
        return plain | {"class_weight": dict(plain["class_weight"])}
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, list, np.ndarray)):
        return [_plain(entry) for entry in value]
    return value.item() if isinstance(value, np.generic) else value


def _fitted_facts(estimator: Estimator) -> dict[str, Any]:
    facts: dict[str, Any] = {"input": estimator.input_form_.to_dict(), "beta": estimator.beta_}
    facts["path"] = [point.to_dict() for point in estimator.path_]
    facts["history"] = [entry.to_dict() for entry in estimator.history_]
    facts["stopped"] = estimator.stopped_
    if isinstance(estimator, SpikingClassifier):
        facts |= _describe_classes(estimator.classes_)
    if isinstance(estimator, SpikingRegressor):
        facts |= {"single_output": estimator.single_output_, "target_scale": estimator.target_scale_.to_dict()}
        facts["bypass"] = None if estimator.bypass_ is None else estimator.bypass_.to_dict()
    return facts


def _fitted_names(estimator: Estimator) -> tuple[str, ...]:
    """The names of `_fitted_facts`."""
    of_regressor = ("single_output", "target_scale", "bypass")
    own = ("classes", "classes_dtype") if isinstance(estimator, SpikingClassifier) else of_regressor
    return ("input", "beta", "path", "history", "stopped", *own)


def _describe_classes(classes: Classes) -> dict[str, Any]:
    """Classes and their dtype; of several outputs a list of both."""
    if isinstance(classes, list):
        each = [_describe_classes(own) for own in classes]
        return {key: [description[key] for description in each] for key in ("classes", "classes_dtype")}
    values = classes.tolist()
    if not all(isinstance(value, (str, int, float, bool)) for value in values):
        raise ValueError(f"class labels of dtype {classes.dtype} cannot be saved: use strings or numbers")
    return {"classes": values, "classes_dtype": "object" if classes.dtype.hasobject else classes.dtype.str}


def _rebuild_classes(values: Any, dtype: Any) -> Classes:
    """Inverse of `_describe_classes`."""
    if isinstance(dtype, list):
        return [np.array(own, dtype=np.dtype(kind)) for own, kind in zip(values, dtype, strict=True)]
    return np.array(values, dtype=np.dtype(dtype))


def _attributes(facts: dict[str, Any]) -> dict[str, Any]:
    form = InputForm.from_dict(facts["input"])
    attributes: dict[str, Any] = {"input_form_": form, "n_features_in_": form.n_features}
    if form.columns is not None:
        attributes["feature_names_in_"] = np.array(form.columns, dtype=object)
    attributes["path_"] = [PathPoint.from_dict(point) for point in facts["path"]]
    attributes["history_"] = [Round.from_dict(entry) for entry in facts["history"]]
    attributes["stopped_"] = facts["stopped"]
    if "classes" in facts:
        attributes["classes_"] = _rebuild_classes(facts["classes"], facts["classes_dtype"])
    if "single_output" in facts:
        attributes["single_output_"] = facts["single_output"]
        attributes["target_scale_"] = TargetScale.from_dict(facts["target_scale"])
        attributes["bypass_"] = None if facts["bypass"] is None else Bypass.from_dict(facts["bypass"])
    return attributes


def _picked_beta(estimator: Estimator, facts: dict[str, Any]) -> float:
    """The stored beta; ValueError when it is none of those that the parameters name."""
    betas = estimator.recipe.regularisation(estimator.rho).betas
    picked = check_real("beta", facts["beta"], 0.0, open_minimum=True)
    if betas is not None and picked not in betas:
        raise ValueError(f"the picked beta {picked} is not among the parameters' {list(betas)}")
    return picked
