"""Saving and loading: safetensors with a JSON header. No file of ours executes code when it is loaded.

A model file holds the tensors of the reconstructed network, of all witnesses and of given layers, the readout weights,
the dual vector and the row weights; the header holds the estimator's parameters, the layers' settings and the
certificate. Files are written beside their target and moved there, so that a full disk or a crash leaves the old file
as it was.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from convexsnn.caller import isolated
from convexsnn.certificate import Certificate
from convexsnn.checks import check_real
from convexsnn.estimators import Estimator, SpikingClassifier, SpikingRegressor
from convexsnn.estimators.classes import Classes
from convexsnn.families import family_from_dict, family_of
from convexsnn.files import write_atomically
from convexsnn.network import Hidden, Network
from convexsnn.proof import FORMAT
from convexsnn.regularisation import Regularisation
from convexsnn.search import Round
from convexsnn.selection import PathPoint
from convexsnn.solvers import Status
from convexsnn.tensors import describe_hidden, rebuild_hidden
from convexsnn.training import Trained

ESTIMATORS: dict[str, type[Estimator]] = {cls.__name__: cls for cls in (SpikingClassifier, SpikingRegressor)}


class ModelFileError(ValueError):
    """A model file is missing, truncated, foreign, or of another format."""


def save_model(estimator: Estimator, path: str | Path, extra: dict[str, Any] | None = None) -> None:
    """Write a fitted estimator to a safetensors file.

    Parameters
    ----------
    estimator : SpikingClassifier or SpikingRegressor
        Fitted.
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
    trained = estimator.trained_
    tensors = {"W": trained.W, "U": trained.U, "row_weights": trained.row_weights, "network.W": trained.network.W}
    if trained.global_dual is not None:
        tensors["global_dual"] = trained.global_dual
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
        "extra": extra or {},
    }
    # Given layers are the witnesses, or some of them: files hold each tensor on its own.
    ready = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    return serialize(ready, metadata={"convexsnn": json.dumps(header)})


def read_header(path: str | Path) -> dict[str, Any]:
    """The facts of a model file, without its tensors. Raises ModelFileError as `load_model` does."""
    return _read_file(Path(path), tensors=False)[0]


@isolated
def load_model(path: str | Path) -> tuple[Estimator, dict[str, Any]]:
    """Read a file written by `save_model`: the fitted estimator (on the CPU), and the extra facts.

    Raises
    ------
    ModelFileError
        When the file is missing, unreadable, truncated, not ours, or of another format.
    """
    header, tensors = _read_file(Path(path))
    try:
        witnesses = rebuild_hidden(header["witnesses"], "witnesses", tensors)
        given = [rebuild_hidden(layers, f"given.{i}", tensors) for i, layers in enumerate(header["given"])]
        parameters = _parameters(header["parameters"], given)
        estimator = ESTIMATORS[header["estimator"]](**parameters)
        estimator.device = "cpu"  # where the tensors now are, whatever the model was trained on
        for name, value in _attributes(header["fitted"]).items():
            setattr(estimator, name, value)
        estimator.beta_ = _picked_beta(estimator, header["fitted"])
        trained = Trained(
            network=Network(rebuild_hidden(header["network"], "network", tensors), tensors["network.W"]),
            witnesses=witnesses,
            W=tensors["W"],
            U=tensors["U"],
            row_weights=tensors["row_weights"],
            certificate=Certificate.from_json(json.dumps(header["certificate"])),
            status=Status[header["status"]],
            solver=header["solver"],
            n_iter=header["n_iter"],
            seconds=header["seconds"],
            data_digest=header["data_digest"],
            global_dual=tensors.get("global_dual"),
        )
        extra = header["extra"]
        _check_consistency(estimator, trained, extra)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise ModelFileError(f"model file {path} is damaged or was not written by convexsnn: {error!r}") from error
    estimator.trained_, estimator.network_ = trained, trained.network
    return estimator, extra


def _check_consistency(estimator: Estimator, trained: Trained, extra: Any) -> None:
    """Raise ValueError when the header contradicts itself or the tensors."""
    if not isinstance(extra, dict):
        raise ValueError("extra is not an object")
    estimator.check_settings()
    hidden, kind = trained.witnesses, lambda h: (h.n_features, h.readout, h.every_step, h.dtype)
    if not estimator.describes(hidden):
        raise ValueError("the parameters do not describe the stored witnesses")
    if kind(trained.network.hidden) != kind(hidden):
        raise ValueError("the stored network and the stored witnesses are of different kinds")
    outputs = trained.W.shape[1]
    if isinstance(estimator, SpikingClassifier):
        classes = estimator.classes_
        several = isinstance(classes, list)
        count = sum(map(len, classes)) if several else len(classes)
        allowed = {count} | ({1} if count == 2 and not several else set())
        ordered = all(np.array_equal(own, np.unique(own)) for own in (classes if several else [classes]))
        if not ordered or outputs not in allowed:
            raise ValueError(f"the classes {classes!r} do not fit {outputs} outputs")
    elif not isinstance(estimator.single_output_, bool) or (estimator.single_output_ and outputs != 1):
        raise ValueError(f"single_output does not fit {outputs} outputs")
    if not (trained.U.shape[1] == trained.network.W.shape[1] == outputs):
        raise ValueError("W, U and the network's W differ in outputs")


def _read_file(path: Path, *, tensors: bool = True) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not path.is_file():
        raise ModelFileError(f"there is no model file {path}")
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            held = {name: file.get_tensor(name) for name in file.keys()} if tensors else {}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelFileError(f"model file {path} is truncated or not a safetensors file: {error}") from error
    try:
        header = json.loads(metadata["convexsnn"])
        newest = header["format"]
        if not isinstance(newest, int) or newest < 1:
            raise ValueError("format must be a positive integer")
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path} is a safetensors file, but not one that convexsnn wrote") from error
    if newest != FORMAT:
        advice = "upgrade" if newest > FORMAT else "fit the model anew"
        raise ModelFileError(f"model file {path} has format {newest}; this version reads {FORMAT}: {advice}")
    return header, held


def describe_parameters(estimator: Estimator) -> dict[str, Any]:
    """Parameters as JSON has them; a RandomState has no JSON form and becomes None (the weights are in the file)."""
    parameters = estimator.get_params(deep=False)
    if not isinstance(parameters["random_state"], (int, np.integer, type(None))):
        parameters["random_state"] = None
    parameters["device"] = str(parameters["device"])
    parameters["witnesses"] = family_of(parameters["witnesses"]).to_dict()
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
    facts: dict[str, Any] = {"n_features_in": estimator.n_features_in_, "beta": estimator.beta_}
    facts["path"] = [point.to_dict() for point in estimator.path_]
    facts["history"] = [entry.to_dict() for entry in estimator.history_]
    facts["stopped"] = estimator.stopped_
    if isinstance(estimator, SpikingClassifier):
        facts |= _describe_classes(estimator.classes_)
    if isinstance(estimator, SpikingRegressor):
        facts["single_output"] = estimator.single_output_
    return facts


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
    attributes: dict[str, Any] = {"n_features_in_": facts["n_features_in"]}
    attributes["path_"] = [PathPoint.from_dict(point) for point in facts["path"]]
    attributes["history_"] = [Round.from_dict(entry) for entry in facts["history"]]
    attributes["stopped_"] = facts["stopped"]
    if "classes" in facts:
        attributes["classes_"] = _rebuild_classes(facts["classes"], facts["classes_dtype"])
    if "single_output" in facts:
        attributes["single_output_"] = facts["single_output"]
    return attributes


def _picked_beta(estimator: Estimator, facts: dict[str, Any]) -> float:
    """The stored beta; ValueError when it is none of those that the parameters name."""
    betas = Regularisation.read(estimator.beta).betas
    picked = check_real("beta", facts["beta"], 0.0, open_minimum=True)
    if betas is not None and picked not in betas:
        raise ValueError(f"the picked beta {picked} is not among the parameters' {list(betas)}")
    return picked
