"""All that the proof refuses, branch by branch: `make coverage` asks that no branch of the module is left untried."""

import json
import runpy
import sys
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from convexsnn import Gaussian, SpikingClassifier
from convexsnn.network import Hidden
from convexsnn.proof import LossHead, prove, verify_exactly
from convexsnn.proof.claims import margin_problems
from convexsnn.proof.data import read_rows
from convexsnn.proof.inequality import Proof, _feasible_factor
from convexsnn.proof.model import parse_strictly
from convexsnn.readouts import Spike
from convexsnn.storage import save_model
from test_proof import draw_program, exact_program
from test_proof_files import draw_data

FAMILY = Gaussian(depth=2, last=20, readout="spike", leak=0.9)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    save_model(SpikingClassifier(witnesses=FAMILY, loss="hinge", beta=0.05, random_state=0).fit(*draw_data()), path)
    return path


def altered(model, path, change):
    """The model with header and tensors changed, as a forger would leave it."""
    with safe_open(str(model), "pt") as file:
        header = json.loads(file.metadata()["convexsnn"])
    tensors = load_file(model)
    change(header, tensors)
    save_file(tensors, path, {"convexsnn": json.dumps(header)})
    return verify_exactly(path, *draw_data())


def of_hidden(**facts):
    return lambda header, tensors: header["witnesses"].update(facts)  # noqa: ARG005


def of_certificate(**facts):
    return lambda header, tensors: header["certificate"].update(facts)  # noqa: ARG005


def other_neurons(header, tensors):  # noqa: ARG001
    header["witnesses"]["branches"][0][0]["kind"] = "izhikevich"


def without_leak(header, tensors):  # noqa: ARG001
    del tensors["witnesses.0.0.leak"]


def narrow_network(header, tensors):  # noqa: ARG001
    tensors["network.W"] = tensors["network.W"][1:].contiguous()


def more_tensors(header, tensors):  # noqa: ARG001
    tensors["V"] = torch.zeros(1)


def other_beta(header, tensors):  # noqa: ARG001
    header["parameters"]["beta"] = 0.06


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (of_hidden(readout="last"), "readout 'last' is unknown"),
        (lambda header, _: header.update(praise=1), "its header must have the fields"),
        (of_hidden(praise=1), "witnesses must have the fields"),
        (of_hidden(every_step=1), "every_step must be true or false"),
        (of_hidden(branches=[[]]), "branch 0 has no layers"),
        (of_hidden(n_features=3), "must be finite"),
        (other_neurons, "are unknown"),
        (without_leak, "leak or"),
        (narrow_network, "network.W has shape"),
        (more_tensors, "tensors that no model has"),
        (other_beta, "the picked beta is not the one"),
        (of_certificate(primal=None), "primal is not a finite number"),
        (of_certificate(gap=0.5), "gaps do not follow"),
    ],
)
def test_altered_models_are_refused(model, tmp_path, change, reason):
    outcome = altered(model, tmp_path / "m.safetensors", change)
    assert not outcome.holds
    assert reason in " ".join(outcome.problems)
    assert outcome.to_dict()["problems"] == list(outcome.problems)


def test_a_model_without_a_global_bound_is_proved_and_nothing_is_said_of_one(model, tmp_path):
    outcome = altered(model, tmp_path / "m.safetensors", of_certificate(global_bound=None))
    assert outcome.holds
    assert "global_bound" not in " ".join(outcome.trusted)


def test_the_dual_vector_of_a_bound_over_the_family_is_read(model, tmp_path):
    more = lambda header, tensors: tensors.update(family_dual=tensors["U"].clone())  # noqa: ARG005, E731
    assert altered(model, tmp_path / "m.safetensors", more).holds


def test_the_margin_of_a_network_that_decides_nothing_is_none():
    assert margin_problems({"certificate": {"spike_margin": None}}, float("inf"), 1e-16) == []
    assert Hidden(2, (), Spike()).n_last == 0


def header(**facts):
    parameters = {"timesteps": 2, "per_step": False, "loss": "cross_entropy", "missing": "refuse"}
    own = {"classes": [0, 1], "classes_dtype": "int64"}
    return {"parameters": parameters | facts, "estimator": "SpikingClassifier", "fitted": own}


@pytest.mark.parametrize(
    ("X", "y", "header", "reason"),
    [
        (np.zeros((3, 2, 1)), [0, 1], header(), "2 labels, but X has 3 rows"),
        (np.zeros((3, 2, 1, 1)), [0, 1, 0], header(), "X must have shape"),
        (np.zeros((3, 2, 1)), [[0, 1]], header(per_step=True), "labels for 1 sequences"),
        (
            np.zeros((2, 2, 1)),
            [[0], [1]],
            header() | {"fitted": {"classes": [[0, 1], [0, 1]], "classes_dtype": ["int64", "int64"]}},
            "y must have 2 outputs",
        ),
    ],
)
def test_data_that_do_not_fit_are_refused(X, y, header, reason):
    with pytest.raises(ValueError, match=reason):
        read_rows(X, y, header)


def test_a_number_that_json_does_not_have_is_refused():
    with pytest.raises(ValueError, match="NaN is not JSON"):
        parse_strictly("[NaN]")


def test_endless_nesting_is_refused():
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_strictly("[" * 10**5 + "]" * 10**5)


def test_a_dictionary_without_columns_leaves_the_dual_vector_as_it_is():
    assert _feasible_factor(np.zeros((0, 1), dtype=object), "l1", Fraction(1)) == (1, 0)


def test_relative_gaps():
    half = Fraction(1, 2)
    assert Proof(half, half, exact=True).relative_gap == 0
    assert Proof(Fraction(0), -half, exact=True).relative_gap is None
    assert Proof(half, Fraction(1, 4), exact=True).relative_gap == half


def test_heads_that_do_not_cover_the_outputs_are_refused():
    program = exact_program(draw_program("cross_entropy", "l1"))
    W, U = np.zeros((program.columns.shape[1], 3)), np.zeros(program.targets.shape)
    with pytest.raises(ValueError, match="cover the outputs in order"):
        prove(replace(program, heads=(LossHead(slice(0, 2)),)), W, U)
    with pytest.raises(ValueError, match="one-hot"):
        prove(replace(program, targets=2.0 * program.targets), W, U)


@pytest.mark.parametrize("lengths", [False, True])
def test_the_room_as_a_command(model, tmp_path, monkeypatch, capsys, lengths):
    X, y = draw_data()
    more = {"lengths": np.full(len(X), X.shape[1])} if lengths else {}
    np.savez(tmp_path / "data.npz", X=X, y=y, **more)
    monkeypatch.setattr(sys, "argv", ["proof", str(model), str(tmp_path / "data.npz")])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("convexsnn.proof", run_name="__main__")
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["holds"]


def test_the_command_without_data_says_how_it_is_used(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["proof"])
    assert "main" in runpy.run_module("convexsnn.proof.__main__", run_name="imported")
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("convexsnn.proof", run_name="__main__")
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err
