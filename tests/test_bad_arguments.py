"""Sixty kinds of bad argument and more: every error names the argument and says what to do, and comes at once."""

import re

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch

from convexsnn import Exact, Gaussian, Network, Search, SpikingClassifier, SpikingRegressor, as_sequences
from convexsnn.closed_loop import FeedbackLoop, predict_closed_loop
from convexsnn.export import from_nir, to_torch
from convexsnn.tasks import TaskSettings, load_task, read_att
from convexsnn.tasks.idx import read_idx

SMALL = Gaussian(depth=2, last=16)
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(12, 5, 2)), np.arange(12) % 2
STEPS = np.arange(60).reshape(12, 5) % 2


def fit(X=X, y=Y, sample_weight=None, kind=SpikingClassifier, validation=None, **settings):
    model = kind(**({"witnesses": SMALL, "random_state": 0} | settings))
    return model.fit(X, y, sample_weight=sample_weight, validation=validation)


@pytest.fixture(scope="module")
def fitted():
    return fit()


@pytest.fixture(scope="module")
def stepwise():
    return fit(y=STEPS, per_step=True)


masked = np.ma.masked_array(X, mask=X > 2)
INPUTS = {
    "None": (None, "X must be an array of shape .* but it is None"),
    "text": ("data.csv", "X must be .*the text 'data.csv': load the file first"),
    "bytes": (b"data", "X must be .*the text"),
    "a mapping": ({"X": X}, r"X must be .*a mapping with the keys 'X': pass one of its arrays"),
    "a generator": ((x for x in X), r"X must be .*a generator, which can be read once only: pass list\(X\)"),
    "a map": (map(np.asarray, X), r"X must be .*a map, which can be read once only: pass list\(X\)"),
    "a set": ({1.0, 2.0}, "X must be .*a set, which has no order"),
    "a number": (3.0, "X must be .*the single number 3.0"),
    "a function": (np.zeros, "X must be .*function zeros"),
    "a Series": (pd.Series(range(12)), r"X must be .*a Series, which has one axis: .*X.to_frame\(\)"),
    "a Series of sequences": (pd.Series(list(X)), "X must be .*a Series"),
    "a sparse matrix": (scipy.sparse.csr_matrix(X[:, 0]), r"X must be .*sparse: pass X.toarray\(\)"),
    "a sparse tensor": (torch.from_numpy(X).to_sparse(), r"X is a sparse tensor .*: pass X.to_dense\(\)"),
    "a nested tensor": (torch.nested.nested_tensor([torch.ones(2, 2), torch.ones(3, 2)]), r"X is a nested tensor"),
    "a meta tensor": (torch.ones(12, 5, 2, device="meta"), "X is a tensor on the device meta"),
    "a masked array": (masked, "X is a masked array with [0-9]+ masked entries.*fill them"),
    "complex": (X * 1j, "Complex data not supported in X: pass real numbers"),
    "text in 3-D": (X.astype(str), "X must be numeric, got dtype <U"),
    "text in objects": (X.astype(str).astype(object), "X must be numeric, but it holds the text"),
    "dates": (X.astype("datetime64[s]"), "X must be numeric, got dtype datetime64"),
    "records": (np.zeros((12, 5, 2), dtype=[("a", float)]), "X must be numeric, got dtype .*: convert it"),
    "one sequence": (X[0, 0], "X|Reshape your data"),
    "four axes": (X[None], r"X must have shape \(n, T, d\)"),
    "NaN": (np.where(X > 2, np.nan, X), "X contains NaN or infinity: impute or drop"),
    "a number beyond float64": (
        np.full((12, 5, 2), 10**400, dtype=object),
        "X must be numeric, but it holds objects that float64 cannot hold",
    ),
    "no sequence": (X[:0], "X must hold at least one sequence"),
    "no step": (X[:, :0], "X must hold at least one step"),
    "no feature": (X[:, :, :0], "X must hold at least one feature"),
    "a ragged list": ([X[0], X[1, 0]], "X is ragged: pass a list of"),
    "ragged series": ([X[0, :, 0], X[1, :3, 0]], r"X is ragged: .*of one feature: x\[:, None\]"),
    "series turned": ([X[0].T, X[1, :3].T], r"X must have the same number of features.*pass \[x.T for x in X\]"),
    "a list of frames of unlike columns": (
        [pd.DataFrame(X[0], columns=["a", "b"]), pd.DataFrame(X[1], columns=["a", "c"])],
        r"X\[1\] must have the columns a, b: it lacks \['b'\], and has \['c'\] besides",
    ),
    "a frame of arrays beside numbers": (
        pd.DataFrame({"a": np.arange(12.0), "b": [*X[:11, :, 0], 1.0]}),
        r"X is a data frame whose cells hold sequences: pass a list of \(T_i, d\) arrays",
    ),
    "a frame with a name twice": ([pd.DataFrame(X[0], columns=["a", "a"])] * 12, "columns of X must have names of"),
}


@pytest.mark.parametrize("kind", INPUTS)
def test_bad_input(kind):
    value, message = INPUTS[kind]
    with pytest.raises(ValueError, match=message):
        fit(value)


LABELS = {
    "None": ({"y": None}, "requires y to be passed, but the target y is None"),
    "too few": ({"y": Y[:5]}, r"numbers of samples: \[12, 5\] \(X, y\)"),
    "reals": ({"y": RNG.normal(size=12)}, "Unknown label type|y "),
    "one class": ({"y": np.zeros(12)}, "needs at least two classes, but y has one class"),
    "steps": ({"y": STEPS[:, :, None]}, "y must have shape.*per_step=True"),
    "no steps": ({"y": Y, "per_step": True}, r"y\[0\] must hold one label for each.*pass per_step=False"),
    "a word of regression": ({"y": ["a"] * 12, "kind": SpikingRegressor}, "y must be numeric"),
    "masked labels": ({"y": np.ma.masked_array(Y, Y > 0)}, "y is a masked array with 6 masked entries.*leave these"),
    "masked steps": (
        {"y": [np.ma.masked_array(y, y > 0) for y in STEPS], "per_step": True},
        r"y\[0\] is a masked array with [0-9]+ masked",
    ),
    "masked targets": (
        {"y": np.ma.masked_array(Y * 1.0, Y > 0), "kind": SpikingRegressor},
        "y is a masked array with 6 masked entries",
    ),
    "masked weights": ({"sample_weight": np.ma.masked_array(Y + 1.0, Y > 0)}, "sample_weight is a masked array with 6"),
    "weights in words": ({"sample_weight": ["heavy"] * 12}, "sample_weight must be numeric"),
    "complex weights": ({"sample_weight": np.ones(12) * 1j}, "Complex data not supported in sample_weight"),
    "negative weights": ({"sample_weight": -np.ones(12)}, "sample_weight|Negative values in data passed"),
    "few weights": ({"sample_weight": np.ones(3)}, "sample_weight.shape"),
    "no weight": ({"sample_weight": np.zeros(12)}, "[Ss]ample.weight"),
    "weights of one class": ({"sample_weight": Y}, "sample_weight leaves only one class: give"),
    "a validation of one": ({"validation": X}, r"validation must be a pair \(X, y\)"),
    "a validation of other features": ({"validation": (X[:, :, :1], Y)}, "validation: X has 1 features"),
    "a validation of other labels": ({"validation": (X, Y + 5)}, "validation: y holds labels that were not seen"),
    "a validation of words": ({"validation": (X, Y.astype(str))}, "validation: y holds text such as.*convert it"),
}


@pytest.mark.parametrize("kind", LABELS)
def test_bad_labels_and_weights(kind):
    arguments, message = LABELS[kind]
    with pytest.raises(ValueError, match=message):
        fit(**arguments)


SETTINGS = {
    "loss": ({"loss": "mse"}, "loss must be one of"),
    "loss None": ({"loss": None}, "loss must be one of"),
    "penalty": ({"penalty": "l2"}, "penalty must be one of"),
    "beta": ({"beta": -1.0}, "beta must be more than 0"),
    "beta text": ({"beta": "small"}, "beta must be a number"),
    "beta set": ({"beta": {0.1, 0.2}}, r"beta must be .*not a set: pass list\(beta\)"),
    "rho": ({"rho": 0.0}, "rho must be more than 0"),
    "tol": ({"tol": "1e-6"}, "tol must be a number"),
    "max_iter": ({"max_iter": 1.5}, "max_iter must be an integer"),
    "timesteps": ({"timesteps": 0}, "timesteps must be an integer"),
    "per_step": ({"per_step": "no"}, "per_step must be True or False"),
    "intercept": ({"intercept": 2}, "intercept must be True, False or 'free'"),
    "validation_fraction": ({"validation_fraction": 1.0}, "validation_fraction must be less than 1"),
    "device": ({"device": "quantum"}, "device 'quantum' is not available"),
    "device meta": ({"device": "meta"}, "device 'meta' is not available here: meta tensors hold no numbers"),
    "random_state module": ({"random_state": np.random}, "random_state must be an integer seed, .*: pass an integer"),
    "random_state generator": ({"random_state": RNG}, r"random_state must be .*int\(generator.integers\(2\*\*31\)\)"),
    "random_state torch": ({"random_state": torch.Generator()}, "random_state must be an integer seed"),
    "random_state text": ({"random_state": "0"}, "random_state must be an integer seed"),
    "random_state real": ({"random_state": 1.0}, "random_state must be an integer seed"),
    "class_weight": ({"class_weight": "even"}, "class_weight"),
    "class_weight list": ({"class_weight": [1.0, 2.0]}, "class_weight"),
    "class_weight zero": ({"class_weight": {0: 0.0}}, "class_weight must be positive for every class: drop"),
    "output_weights": ({"output_weights": "even"}, "output_weights must be a sequence of positive numbers"),
    "witnesses": ({"witnesses": "gausian"}, "witnesses must be one of .*Did you mean 'gaussian'"),
    "witnesses None": ({"witnesses": None}, "witnesses must be the name of a family"),
    "witnesses module": ({"witnesses": torch.nn.Linear(2, 2)}, "witnesses must be the name of a family"),
    "witnesses class": ({"witnesses": Gaussian}, "witnesses must be the name of a family"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_bad_settings(name):
    settings, message = SETTINGS[name]
    with pytest.raises(ValueError, match=message):
        fit(**settings)


FAMILIES = {
    "depth": (lambda: Gaussian(depth=1), "depth must be an integer of at least 2"),
    "deep": (lambda: Gaussian(depth=10**9), "depth, branches, hidden and last ask for .* GiB of memory: choose"),
    "wide": (lambda: Gaussian(last=10**9, hidden=10**9), "depth, branches, hidden and last ask for"),
    "many branches": (lambda: Gaussian(last=10**9, branches=10**9, depth=2), "depth, branches, hidden and last ask"),
    "deep search": (lambda: Search(depth=10**9), "depth"),
    "wide search": (lambda: Search(width=10**9), "width"),
    "large population": (lambda: Search(population=10**12), "population, depth and width ask for"),
    "large block": (lambda: Search(block=10**9), "block and depth ask for"),
    "leak": (lambda: Gaussian(leak=1.5), "leak must be at least 0 and at most 1"),
    "reset": (lambda: Gaussian(reset="weak"), "reset must be one of"),
    "readout": (lambda: Gaussian(readout="rates"), "readout must be one of"),
    "dtype": (lambda: Gaussian(dtype="float16"), "dtype must be one of"),
    "recurrent": (lambda: Gaussian(recurrent=1), "recurrent must be True or False"),
    "exact": (lambda: Exact(depth=3), "depth"),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_bad_families(name):
    call, message = FAMILIES[name]
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_a_current_that_is_shown_for_longer_than_fits_into_memory_is_refused_at_once():
    with pytest.raises(ValueError, match=r"timesteps=1000000000000 makes an array of X of at least .* GiB"):
        fit(X[:, 0], timesteps=10**12)


PREDICTIONS = {
    "one sequence": (
        lambda m: m.predict(X[0]),
        r"X has shape \(5, 2\).*one sequence is X\[None\], of shape \(1, 5, 2\)",
    ),
    "a table": (lambda m: m.predict(X[:, 0]), r"X has shape \(12, 2\), but in fit it was sequences"),
    "turned": (lambda m: m.predict(X.transpose(0, 2, 1)), r"X has 5 features.*looks like \(n, d, T\).*X.transpose"),
    "other features": (
        lambda m: m.predict(np.ones((3, 5, 7))),
        "X has 7 features, but SpikingClassifier is expecting 2",
    ),
    "text labels": (
        lambda m: m.score(X, Y.astype(str)),
        "y holds text such as '0', but y in fit held numbers.*convert",
    ),
    "object labels": (lambda m: m.score(X, Y.astype(str).astype(object)), "y holds text .*but y in fit held numbers"),
    "two outputs": (lambda m: m.score(X, np.c_[Y, Y]), "y has 2 outputs, but y in fit had one"),
    "few labels": (lambda m: m.score(X, Y[:3]), r"samples: \[12, 3\]"),
    "other data": (lambda m: m.tighten_bound(X + 1, Y), "X and y must be those that the network was trained on"),
    "lengths": (lambda _: as_sequences(X, lengths=[1]), "lengths must be 12 integers"),
    "lengths of text": (lambda _: as_sequences(X, lengths="12"), "lengths must be an array|lengths must be 12"),
    "a 2-D X without timesteps": (lambda _: as_sequences(X[0]), r"X must have shape \(n, T, d\)"),
    "no network": (lambda m: to_torch(m), "network must be a convexsnn.Network"),
    "output weights of no network": (lambda m: Network(m.network_.hidden, torch.ones(1, 1)), "W must have shape"),
}


@pytest.mark.parametrize("name", PREDICTIONS)
def test_bad_predictions(name, fitted):
    call, message = PREDICTIONS[name]
    with pytest.raises((ValueError, TypeError), match=message):
        call(fitted)


LOOP = FeedbackLoop(feature=1, values={0: 0.0, 1: 1.0})
OTHERS = {
    "no task": (lambda _: load_task(None), "name must be the name of a task, such as 'dfa:parity', not None"),
    "unknown task": (lambda _: load_task("first-last-or"), "unknown task 'first-last-or'; did you mean first-last-xor"),
    "task settings": (lambda _: load_task("digits", {"n_train": 3}), "settings must be TaskSettings or None"),
    "a huge task": (lambda _: load_task("first-last-xor", TaskSettings(n_train=10**14)), "n_train, .* ask for data of"),
    "many states": (lambda _: load_task("dfa:mod-999999999"), "M in dfa:mod-M must be an integer from 2 to"),
    "n_train": (lambda _: TaskSettings(n_train=0), "n_train must be an integer of at least 1"),
    "task seed": (lambda _: TaskSettings(seed=None), "seed must be an integer"),
    "task per_step": (lambda _: TaskSettings(per_step="yes"), "per_step must be True or False"),
    "data_dir": (lambda _: TaskSettings(data_dir=3), "data_dir must be the path of a folder"),
    "task feedback": (lambda _: FeedbackLoop.of_task(load_task("dfa:parity")), "task dfa:parity has no feedback"),
    "feedback of no task": (lambda _: FeedbackLoop.of_task("addition"), "task must be TaskData, as load_task gives it"),
    "loop feature": (lambda _: FeedbackLoop(feature=-1, values={}), "feature must be an integer of at least 0"),
    "loop values": (lambda _: FeedbackLoop(feature=0, values=[1.0]), "values must be a mapping"),
    "loop beyond X": (
        lambda m: predict_closed_loop(m, X, FeedbackLoop(7, LOOP.values)),
        "feature must be one of the 2",
    ),
    "no loop": (lambda m: predict_closed_loop(m, X, {"feature": 1}), "loop must be a FeedbackLoop"),
    "loop of one label": (lambda m: predict_closed_loop(m, X, FeedbackLoop(1, {0: 0.0})), r"values must hold .* \[1\]"),
    "loop of a regressor": (lambda _: predict_closed_loop(None, X, LOOP), "estimator must be a SpikingClassifier"),
    "automaton device": (lambda _: read_att("/dev/zero"), "/dev/zero cannot be read: file: .*a device or a pipe"),
    "automaton folder": (lambda _: read_att("/tmp"), "cannot be read: file: it is a folder"),
    "images device": (lambda _: read_idx("/dev/zero", 3), "/dev/zero cannot be read: file"),
    "graph": (lambda _: from_nir(None), "graph must be a nir.NIRGraph or the path"),
    "graph dt": (lambda _: from_nir(None, dt="1"), "dt must be a number"),
    "graph dtype": (lambda _: from_nir(None, dtype="float16"), "dtype must be one of"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_bad_arguments_elsewhere(name, stepwise):
    call, message = OTHERS[name]
    with pytest.raises((ValueError, TypeError), match=message):
        call(stepwise)


def test_there_are_sixty_kinds_and_more():
    tables = (INPUTS, LABELS, SETTINGS, FAMILIES, PREDICTIONS, OTHERS)
    assert sum(map(len, tables)) >= 120
    for message in (entry[1] for table in tables for entry in table.values()):
        re.compile(message)
