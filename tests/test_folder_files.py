"""Files beside a model say what the model says, also where they are sealed anew."""

import json
import shutil

import numpy as np
import pytest

from convexsnn.cli.app import run
from convexsnn.proof import SUMS, sums_of, verify_exactly

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3, 2))
Y = (X[:, -1, 0] > 0).astype(int)
SEARCH = ["--depth", "2", "--population", "8", "--width", "3", "--effort", "1e6", "--beta", "0.1", "--beta", "0.01"]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Folders of a search over several betas, and of a network with integer weights, and the data."""
    home = tmp_path_factory.mktemp("written")
    data = ["--data", str(home / "data.npz")]
    np.savez(home / "data.npz", X=X, y=Y)
    assert run(["fit", *data, *SEARCH, "--out", str(home / "searched")]) == 0
    family = ["--witnesses", "gaussian", "--depth", "2", "--last", "12", "--loss", "hinge"]
    assert run(["fit", *data, *family, "--out", str(home / "drawn")]) == 0
    assert run(["quantise", *data, "--model", str(home / "drawn"), "--out", str(home / "integers")]) in (0, 1)
    return home


CHANGES = [
    ("searched", "path.json", lambda f: f.update(praise=1)),
    ("searched", "path.json", lambda f: f.update(retrained_on_all=1)),
    ("searched", "path.json", lambda f: f["points"][0].update(praise=1)),
    ("searched", "path.json", lambda f: f["points"][0].update(train_score=0.125)),
    ("searched", "path.json", lambda f: f["points"][0]["certificate"].update(praise=1)),
    ("searched", "path.json", lambda f: f["points"][0].update(picked=not f["points"][0]["picked"])),
    ("searched", "path.json", lambda f: f["points"][0].update(picked=int(f["points"][0]["picked"]))),
    ("searched", "path.json", lambda f: f["points"].pop()),
    ("searched", "history.json", lambda f: f["rounds"][0].update(praise=1)),
    ("searched", "history.json", lambda f: f["rounds"][0].update(columns=10**6)),
    ("searched", "history.json", lambda f: f["rounds"][0]["admitted"].update(praise=1)),
    ("searched", "history.json", lambda f: f.update(stopped="nothing is left to find")),
    ("searched", "certificate.json", lambda f: f["global_bound"].update(praise=1)),
    ("searched", "metrics.json", lambda f: f["seconds"].update(praise=1.0)),
    ("searched", "metrics.json", lambda f: f["train"].update(praise=1.0)),
    ("searched", "metrics.json", lambda f: f["n"].update(praise=1)),
    ("integers", "quantised.json", lambda f: f.update(praise=1)),
    ("integers", "quantised.json", lambda f: f.update(bits=4)),
    ("integers", "quantised.json", lambda f: f["ways"].update(praise=1)),
    ("integers", "quantised.json", lambda f: f.update(complete=not f["complete"])),
    ("integers", "quantised.json", lambda f: f.update(excluded=[[0, 0, 0], [9, 9, 9]])),
    ("integers", "quantised.json", lambda f: f.update(ways=3)),
]


@pytest.mark.parametrize(("model", "name", "change"), CHANGES)
def test_an_altered_file_is_refused_though_it_is_sealed_anew(written, tmp_path, capsys, model, name, change):
    folder = tmp_path / "m"
    shutil.copytree(written / model, folder)
    assert verify_exactly(folder, X, Y).holds
    facts = json.loads((folder / name).read_text())
    change(facts)
    (folder / name).write_text(json.dumps(facts))
    (folder / SUMS).write_text(sums_of(folder))
    assert name in " ".join(verify_exactly(folder, X, Y).problems)
    assert run(["verify", "--model", str(folder), "--data", str(written / "data.npz")]) == 1
    assert name in capsys.readouterr().out


@pytest.mark.parametrize(
    ("model", "name"), [("searched", "path.json"), ("searched", "history.json"), ("integers", "quantised.json")]
)
def test_files_that_are_missing_or_of_another_model_are_named(written, tmp_path, model, name):
    folder, other = tmp_path / "m", tmp_path / "other"
    shutil.copytree(written / model, folder)
    shutil.copytree(written / "drawn", other)
    shutil.move(folder / name, other / name)
    for changed in (folder, other):
        (changed / SUMS).write_text(sums_of(changed))
    assert f"{name} is missing" in verify_exactly(folder, X, Y).problems
    assert any(problem.startswith(f"{name} is there, but") for problem in verify_exactly(other, X, Y).problems)


def test_a_search_that_is_under_way_leaves_the_model_beside_it_as_it_was(written, tmp_path):
    folder = tmp_path / "m"
    shutil.copytree(written / "searched", folder)
    (folder / "search.safetensors").write_bytes(b"the state of a search")
    assert run(["verify", "--model", str(folder), "--data", str(written / "data.npz"), "--exact"]) == 0
