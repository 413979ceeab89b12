"""settings.toml: written beside every model, and read by `convexsnn fit --config`."""

import os
import tomllib
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("cyclopts")

from convexsnn.cli.app import run
from convexsnn.cli.commands.fit import fit
from convexsnn.cli.options import DataOptions, ProgramOptions
from convexsnn.cli.settings_file import settings_text
from convexsnn.storage import load_model

SIZES = ["--n-train", "40", "--n-val", "10", "--n-test", "10"]
XOR = ["--task", "first-last-xor", "--timesteps", "4", *SIZES, "--witnesses", "gaussian", "--last", "24"]
XOR += ["--depth", "2", "--beta", "1", "--beta", "0.1", "--no-intercept", "--loss", "hinge", "--seed", "3"]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    out = tmp_path_factory.mktemp("settings") / "run"
    assert run(["fit", *XOR, "--out", str(out)]) == 0
    return out


def test_the_settings_repeat_the_fit_to_the_last_bit(fitted, tmp_path):
    written = fitted / "settings.toml"
    assert "settings.toml" in (fitted / "SHA256SUMS").read_text()
    assert run(["fit", "--config", str(written), "--out", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again" / "settings.toml").read_bytes() == written.read_bytes()
    assert (tmp_path / "again" / "certificate.json").read_bytes() == (fitted / "certificate.json").read_bytes()
    (first, _), (second, _) = (load_model(folder / "model.safetensors") for folder in (fitted, tmp_path / "again"))
    for name in ("W", "U", "row_weights"):
        assert getattr(first.trained_, name).equal(getattr(second.trained_, name))


def test_options_on_the_command_line_count_instead_of_those_in_the_file(fitted, tmp_path):
    changed = [
        "--config",
        str(fitted / "settings.toml"),
        "--beta",
        "0.3",
        "--intercept",
        "--out",
        str(tmp_path / "run"),
    ]
    assert run(["fit", *changed]) == 0
    before, after = (tomllib.loads((path / "settings.toml").read_text()) for path in (fitted, tmp_path / "run"))
    assert after == before | {"beta": [0.3], "intercept": True}
    assert before["seed"] == 3


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("betta = 3.0", "betta"),
        ("beta = [3.0", "TOMLDecodeError"),
        ('last = "many"', "last"),
        ('task = "nothing"', "nothing"),
        ("loss = 'best'", "loss"),
    ],
)
def test_a_bad_file_is_refused_by_name_before_any_work(text, wrong, tmp_path, capsys):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    assert run(["fit", "--config", str(path), "--out", str(tmp_path / "run")]) == 2
    assert wrong in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert run(["fit", "--config", str(tmp_path / "none.toml"), "--out", str(tmp_path / "run")]) == 2
    assert "none.toml" in capsys.readouterr().err.replace("\n", "")


@settings(max_examples=15)
@given(st.text(), st.lists(st.floats(allow_nan=False), min_size=1, max_size=3), st.booleans())
def test_settings_are_read_as_they_were_written(task, betas, intercept):
    program = ProgramOptions(beta=tuple(betas), intercept=intercept)
    text = settings_text(DataOptions(task=task), program, seed=3, regression=None)
    read = tomllib.loads(text)
    assert read["beta"] == betas
    assert read["intercept"] is intercept
    assert read["seed"] == 3
    assert not read.keys() & {"regression", "permute", "output-weights"}
    if task.isprintable():
        assert read["task"] == task


def test_no_option_of_a_fit_is_forgotten(tmp_path, monkeypatch):
    """An option that settings.toml leaves out would not be repeated."""
    written = {}
    monkeypatch.setattr("convexsnn.cli.commands.fit.settings_text", lambda *_, **options: written.update(options) or "")
    assert run(["fit", *XOR, "--out", str(tmp_path / "run")]) == 0
    own = set(signature(fit).parameters)
    assert own == set(written) | {"out", "config", "source", "program", "settings", "force", "json"}


def test_data_are_named_by_their_whole_path_and_a_name_that_toml_has_not_is_said():
    relative = Path("mine.npz")
    assert tomllib.loads(settings_text(DataOptions(data=relative)))["data"] == str(relative.absolute())
    text = settings_text(DataOptions(data=Path(os.fsdecode(b"m\xff.npz"))), np_last=np.int64(3).item())
    assert "# data is a name that is not UTF-8: pass --data" in text
    assert tomllib.loads(text) == {"np-last": 3}
