"""A dozen small fits whose results are pinned: every family, loss, readout, exact training, polish and a bench cell."""

from __future__ import annotations

import hashlib
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from convexsnn import (
    Architecture,
    Exact,
    Gaussian,
    Heterogeneous,
    Reservoir,
    Search,
    SpikingClassifier,
    SpikingRegressor,
    Surrogate,
    gaussian,
    polish,
)
from convexsnn.bench.cells import choose_cells
from convexsnn.bench.methods import run_paper_job
from convexsnn.export import to_torch
from convexsnn.network import Hidden, Network

Facts = dict[str, Any]
CASES: dict[str, Callable[[], Facts]] = {}


def case(function: Callable[[], Facts]) -> Callable[[], Facts]:
    CASES[function.__name__] = function
    return function


def run(name: str) -> Facts:
    """The facts of one case, computed on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return CASES[name]()
    finally:
        torch.set_num_threads(threads)


# What is noted of a fit. Numbers are exact: JSON has all digits of a float.


def _digest(*tensors: torch.Tensor | None) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        array = np.zeros(0) if tensor is None else np.ascontiguousarray(tensor.detach().cpu().numpy())
        digest.update(f"{array.dtype.str}{array.shape}".encode() + array.tobytes())
    return digest.hexdigest()[:16]


def _weights_of(hidden: Hidden) -> str:
    tensors = []
    for branch in hidden.branches:
        tensors.append(branch.readout_bias)
        for layer in branch.layers:
            neuron = layer.neuron
            tensors += [layer.weight, layer.recurrent, layer.bias]
            tensors += [getattr(neuron, "leak", None), getattr(neuron, "threshold", None)]
    return _digest(*tensors)


def _certificate(certificate: Any) -> Facts:
    bound = certificate.family_bound or certificate.global_bound
    facts = {name: getattr(certificate, name) for name in ("primal", "dual", "rho", "P", "support", "scope")}
    facts["spike_margin"] = certificate.spike_margin if np.isfinite(certificate.spike_margin or 0.0) else None
    facts["global"] = None if bound is None else [bound.method, bound.value, bound.kappa, bound.patterns]
    return facts


def _network(network: Network) -> Facts:
    return {"neurons": network.hidden.n_neurons, "hidden": _weights_of(network.hidden), "W": _digest(network.W)}


def _fit(model: Any, shown: Any) -> Facts:
    trained = model.trained_
    predicted = model.predict(shown)
    rows = [np.asarray(p).tolist() for p in predicted] if isinstance(predicted, list) else predicted.tolist()
    return {
        "certificate": _certificate(model.certificate_),
        "status": trained.status.name,
        "solver": trained.solver,
        "witnesses": _weights_of(trained.witnesses),
        "U": _digest(trained.U),
        "network": _network(model.network_),
        "beta": model.beta_,
        "path": [[p.beta, p.train_score, p.validation_score, p.certificate.primal] for p in model.path_],
        "history": [[r.objective, r.global_bound, r.columns, r.support, r.simulated] for r in model.history_],
        "stopped": model.stopped_,
        "predictions": rows,
    }


# Data.


def _reals(n: int = 60, T: int = 6, d: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = np.round(rng.normal(size=(n, T, d)) + 0.5, 3)
    return X, (X[:, :, 0].sum(axis=1) > X[:, -1, 1] + 3.0).astype(int) + (X[:, 0, 2] > 0.5)


def _bits(n: int = 64, T: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    bits = np.random.default_rng(seed).integers(2, size=(n, T))
    return np.eye(2)[bits], bits[:, 0] ^ bits[:, -1]


SMALL = {"hidden": 16, "last": 24}


# Cases.


@case
def gaussian_cross_entropy() -> Facts:
    X, y = _reals()
    return _fit(SpikingClassifier(witnesses=Gaussian(**SMALL), random_state=1).fit(X, y), X)


@case
def orthogonal_threshold_hinge_group() -> Facts:
    X, y = _reals(seed=1)
    family = Gaussian(variant="orthogonal", **SMALL, neuron="threshold", recurrent=True, bias=True, readout="spike")
    model = SpikingClassifier(witnesses=family, loss="hinge", penalty="group", beta=0.05, random_state=2)
    return _fit(model.fit(X, y), X)


@case
def normalized_analog_squared() -> Facts:
    X, _ = _reals(seed=2)
    family = Gaussian(variant="normalized", last=24, depth=2, reset="hard", readout="analog", dtype="float32")
    model = SpikingRegressor(witnesses=family, beta=0.01, random_state=3)
    return _fit(model.fit(X, np.column_stack([X[:, -1, 0], X[:, 0, 1]])), X[:20])


@case
def heterogeneous_logistic_path() -> Facts:
    X, y = _reals(seed=3)
    family = Heterogeneous(**SMALL, readout="spike")
    return _fit(SpikingClassifier(witnesses=family, loss="logistic", beta="path", random_state=4).fit(X, y), X)


@case
def reservoir_hinge() -> Facts:
    X, y = _reals(seed=4)
    model = SpikingClassifier(witnesses=Reservoir(**SMALL), loss="hinge", beta=0.02, random_state=5)
    return _fit(model.fit(X, y == 1), X)


@case
def surrogate_group() -> Facts:
    X, y = _reals(seed=5)
    model = SpikingClassifier(witnesses=Surrogate(**SMALL), penalty="group", beta=0.02, random_state=6)
    return _fit(model.fit(X, y, validation=(X[::2], y[::2])), X)


@case
def mixture_weighted_intercept() -> Facts:
    X, y = _reals(seed=6)
    half = {"hidden": 8, "last": 12}
    model = SpikingClassifier(
        witnesses=Gaussian(**half) + Heterogeneous(**half), intercept=True, class_weight="balanced",
        beta=[0.1, 0.01], random_state=7,
    )  # fmt: skip
    return _fit(model.fit(X, y, sample_weight=np.arange(len(X)) % 3), X)


@case
def search_default() -> Facts:
    X, y = _bits()
    model = SpikingClassifier(witnesses=Search(effort=3e7), random_state=8)
    return _fit(model.fit(X, y, validation=_bits(seed=1)), X)


@case
def search_recurrent_hinge() -> Facts:
    X, y = _bits(T=6, seed=2)
    oracles = ("restarts", "refinement", "crossing", "inputs")
    family = Search(effort=2e7, width=6, oracles=oracles, depth=2, recurrent=True, readout="spike", last=100)
    return _fit(SpikingClassifier(witnesses=family, loss="hinge", beta=0.02, random_state=9).fit(X, y), X)


@case
def search_after_gaussian_regression() -> Facts:
    X, _ = _reals(seed=7)
    family = Gaussian(**SMALL) + Search(effort=2e7, last=24)
    model = SpikingRegressor(witnesses=family, intercept=True, beta=0.01, random_state=10)
    return _fit(model.fit(X, X[:, -1, 0] + X[:, 0, 1]), X[:20])


@case
def search_every_step_two_outputs() -> Facts:
    X, _ = _bits(n=40, seed=3)
    one = np.cumsum(X[:, :, 1], axis=1).astype(int) % 2
    y = np.stack([one, X[:, :, 1].astype(int)], axis=2)
    model = SpikingClassifier(witnesses=Search(effort=2e7), per_step=True, output_weights=[1.0, 0.5], random_state=11)
    return _fit(model.fit(X, y, validation=(X[:10], y[:10])), X[:10])


@case
def exact_arrangement() -> Facts:
    X, y = _bits(n=12, T=3, seed=4)
    family = Exact(leak=0.9, readout="spike")
    return _fit(SpikingClassifier(witnesses=family, loss="hinge", rho=0.05, random_state=0).fit(X, y), X)


@case
def exact_pricing_group() -> Facts:
    rng = np.random.default_rng(5)
    X = np.round(rng.normal(size=(10, 2, 2)), 1)
    y = np.arange(10) % 3
    family = Exact(method="pricing", time_limit=60, neuron="threshold", bias=True, readout="spike")
    model = SpikingClassifier(witnesses=family, penalty="group", rho=0.1, random_state=0)
    facts = _fit(model.fit(X, y), X)
    facts["certificate"]["global"][2] = None  # kappa comes from programs that time may stop
    return facts


@case
def unequal_lengths_every_step() -> Facts:
    rng = np.random.default_rng(6)
    X = [np.round(rng.normal(size=(t, 2)), 2) for t in rng.integers(2, 7, size=30)]
    y = [x.cumsum(axis=0)[:, 0] for x in X]
    family = Gaussian(**SMALL, reset="none")
    model = SpikingRegressor(witnesses=family, per_step=True, beta=0.01, random_state=12)
    return _fit(model.fit(X, y), X[:8])


@case
def given_hidden_delayed_then_tightened() -> Facts:
    X, y = _bits(n=14, T=3, seed=7)
    shape = Architecture(2, depth=2, branches=3, last=3, reset="delayed", readout="spike")
    hidden = gaussian(shape, torch.Generator().manual_seed(0))
    model = SpikingClassifier(witnesses=hidden, loss="hinge", rho=0.05).fit(X, y)
    before = _certificate(model.certificate_)
    bound = model.tighten_bound(X, y)
    found = [bound.method, bound.value, bound.kappa, bound.patterns]
    return {"before": before, "predictions": model.predict(X).tolist(), "bound": found}


@case
def polished() -> Facts:
    X, y = _reals(seed=8)
    family = Gaussian(branches=1, **SMALL, readout="spike")
    model = SpikingClassifier(witnesses=family, random_state=13).fit(X, y)
    module = to_torch(model.network_)
    with torch.no_grad():
        module.output.weight += 0.05
    batches = [(torch.from_numpy(X).transpose(0, 1), torch.from_numpy(y))]
    result = polish(module, batches, beta=0.02, loss="logistic")
    facts = {"certificate": _certificate(result.certificate), "improved": result.improved}
    facts |= {"before": list(result.before), "after": list(result.after), "solver": result.solver}
    return facts | {"weight": _digest(module.output.weight)}


@case
def bench_cell() -> Facts:
    (cell,) = choose_cells(("xor-T6-L5",), small=True)
    settings = {"cell": asdict(cell), "seed": 0, "device": "cpu", "data_dir": None}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for group, methods in (("gaussian", ["CVX", "CVX-an", "CVX-FT"]), ("reservoir", ["R", "R-CVX"])):
            rows += run_paper_job(settings | {"group": group, "methods": methods}, Path(folder) / "scratch")
    for row in rows:
        del row["seconds"]
    return {"rows": rows}
