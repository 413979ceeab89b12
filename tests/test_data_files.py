"""Files of sequences that users bring: .csv, .ts and .npy, read strictly and in one form."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convexsnn.cli.app import run
from convexsnn.data_files import read_arrays, read_csv, read_npy, read_ts
from convexsnn.reading import DamagedFileError

HEADER = "@problemName x\n@univariate true\n@equalLength false\n@classLabel true a b\n@data\n"


def written(folder, text, name="d.csv"):
    path = folder / name
    path.write_text(text)
    return path


def same(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert np.array_equal(found[name], np.asarray(array), equal_nan=np.asarray(array).dtype.kind == "f"), name


def test_a_line_of_a_csv_file_is_a_sequence_of_one_feature(tmp_path):
    found = read_csv(written(tmp_path, "t0,y,t1\n1,up,2\n\n3,down,?\n"))
    same(found, {"X": [[[1.0], [2.0]], [[3.0], [np.nan]]], "y": ["up", "down"]})


def test_or_a_step_of_the_sequence_that_it_names(tmp_path):
    path = written(tmp_path, "sequence,a,b,y\nfirst,1,2,0\nfirst,3,,0\nsecond,5,6,1\n")
    X = [[[1.0, 2.0], [3.0, np.nan]], [[5.0, 6.0], [0.0, 0.0]]]
    same(read_csv(path), {"X": X, "lengths": [2, 1], "y": [0, 1]})
    same(read_csv(path, per_step=True), {"X": X, "lengths": [2, 1], "y": [[0, 0], [1, 0]]})
    several = written(tmp_path, "sequence,a,y_0,y_1\n1,1,0.5,2\n2,5,1,3\n")
    same(read_csv(several), {"X": [[[1.0]], [[5.0]]], "y": [[0.5, 2.0], [1.0, 3.0]]})


@pytest.mark.parametrize(
    ("text", "field", "reason"),
    [
        ("", "text", "must have a line that names the columns"),
        ("a,b\n", "text", "and at least one more"),
        ("1,2\n3,4\n", "line 1", "it begins with a number"),
        ("a,a\n1,2\n", "line 1", "a column occurs twice"),
        ("a,y\n1,2\n\n1,2,3\n", "line 4", "it has 3 fields, but there are 2 columns"),
        ("a,y\n1,2\nx,3\n", "line 3", "'x' is not a number"),
        ("a,y\n1_0,2\n", "line 2", "is not a number"),
        ("a,y\n1,2\n2,\n", "column y", "a label is missing"),
        ("y\n1\n", "columns", "no column of numbers"),
        ("sequence,a\n1,2\n2,3\n1,4\n", "column sequence", "must follow one another"),
        ("sequence,a,y\n1,2,0\n1,3,1\n", "sequence 1", "pass --per-step"),
    ],
)
def test_faults_of_csv_files_are_named_by_line(tmp_path, text, field, reason):
    with pytest.raises(DamagedFileError, match=reason) as caught:
        read_csv(written(tmp_path, text))
    assert caught.value.field == field


def test_ts_files_are_read_as_aeon_reads_them():
    datasets = pytest.importorskip("aeon.datasets")
    folder = Path(datasets.__file__).parent / "data"
    for name in ("GunPoint", "BasicMotions", "JapaneseVowels", "PickupGestureWiimoteZ", "Covid3Month"):
        path = folder / name / f"{name}_TRAIN.ts"
        expected, labels = datasets.load_from_ts_file(str(path))
        found = read_arrays(path)
        lengths = found.get("lengths", np.full(len(found["X"]), found["X"].shape[1]))
        for x, length, own in zip(found["X"], lengths, expected, strict=True):
            assert np.array_equal(x[:length].T, own)
            assert not x[length:].any()
        own = [label.lower() for label in found["y"]] if name != "Covid3Month" else found["y"]  # aeon's are lower case
        assert np.array_equal(own, labels.astype(float) if name == "Covid3Month" else labels)
        assert {"X_test", "y_test"} <= found.keys()


def test_missing_values_and_files_without_labels(tmp_path):
    found = read_ts(written(tmp_path, "# a comment\n@missing true\n@classLabel false\n@data\n1,?:2,3\n4:5\n", "d.ts"))
    same(found, {"X": [[[1.0, 2.0], [np.nan, 3.0]], [[4.0, 5.0], [0.0, 0.0]]], "lengths": [2, 1]})
    same(read_ts(written(tmp_path, HEADER + "1,2:a\n3:b\n", "d.ts")), {
        "X": [[[1.0], [2.0]], [[3.0], [0.0]]], "lengths": [2, 1], "y": ["a", "b"]
    })  # fmt: skip


@pytest.mark.parametrize(
    ("text", "field", "reason"),
    [
        ("1,2:a\n", "line 1", "neither a comment"),
        ("@problemName x\n", "header", "the tag @data is missing"),
        ("@timeStamps true\n@data\n", "line 1", "with time stamps are not read"),
        ("@seriesLength none\n@data\n", "line 1", "none"),
        ("@wild true\n@data\n", "line 1", "the tag @wild is unknown"),
        ("@univariate maybe\n@data\n", "line 1", "must be followed by true or false"),
        (HEADER, "data", "there is no sequence"),
        (HEADER + "1,2:3,4:a\n", "line 6", "it has 2 features, but the header says 1"),
        (HEADER + "1,x:a\n", "line 6", "'x' is not a number"),
        (HEADER + "1,2:c\n", "line 6", "its class 'c' is not among"),
        ("@equalLength true\n@classLabel true a\n@data\n1,2:a\n1:a\n", "data", "equal lengths, but they have not"),
        ("@equalLength true\n@seriesLength 3\n@data\n1,2\n", "line 4", "it has 2 steps, but the header says 3"),
        ("@missing false\n@data\n1,?\n", "line 3", "a value is missing"),
        ("@data\n1,2:3\n", "line 2", "different numbers of steps"),
        ("@data\n1:2\n3\n", "data", "different numbers of features"),
        ("@targetLabel true\n@data\n1,2:?\n", "line 3", "its target is missing"),
    ],
)
def test_faults_of_ts_files_are_named_by_line(tmp_path, text, field, reason):
    with pytest.raises(DamagedFileError, match=reason) as caught:
        read_ts(written(tmp_path, text, "d.ts"))
    assert caught.value.field == field


@given(st.binary(max_size=200) | st.text(alphabet="@data1,:?\n y", max_size=80).map(str.encode))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_read_or_refused_in_one_way(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("any")
    for name in ("d.csv", "d.ts", "d.npy", "d.npz", "d.txt", "d"):
        (folder / name).write_bytes(content)
        try:
            arrays = read_arrays(folder / name)
        except DamagedFileError:
            continue
        assert all(isinstance(array, np.ndarray) for array in arrays.values())


def test_npy_files_are_single_arrays_of_the_size_that_is_stored(tmp_path):
    np.save(tmp_path / "d.npy", np.arange(12.0).reshape(2, 3, 2))
    assert read_arrays(tmp_path / "d.npy")["X"].shape == (2, 3, 2)
    content = (tmp_path / "d.npy").read_bytes()
    (tmp_path / "d.npy").write_bytes(content[:-8])
    with pytest.raises(DamagedFileError, match="88 bytes follow"):
        read_npy(tmp_path / "d.npy")
    np.save(tmp_path / "d.npy", np.array([{}], dtype=object))
    with pytest.raises(DamagedFileError, match="it holds objects"):
        read_npy(tmp_path / "d.npy")


def test_the_command_line_takes_any_of_them(tmp_path, capsys):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 6)), np.arange(30) % 2
    X += 2.0 * y[:, None]
    rows = [",".join([*map(str, x), "b" if label else "a"]) for x, label in zip(X, y, strict=True)]
    data = written(tmp_path, "\n".join([",".join([*"uvwxyz".replace("y", "s"), "y"]), *rows]))
    np.save(tmp_path / "new.npy", X[:, :, None])
    small = ["--witnesses", "kernels", "--last", "40", "--beta", "0.1"]
    assert run(["fit", "--data", str(data), *small, "--out", str(tmp_path / "m"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["train"]["accuracy"] > 0.9
    assert run(["verify", "--exact", "--data", str(data), "--model", str(tmp_path / "m")]) == 0
    arguments = ["--model", str(tmp_path / "m"), "--data", str(tmp_path / "new.npy"), "--out", str(tmp_path / "p.npz")]
    assert run(["predict", *arguments]) == 0
    assert set(np.load(tmp_path / "p.npz")["prediction"]) == {"a", "b"}


def test_missing_values_in_a_file_are_carried_on_request_and_proved_exactly(tmp_path, capsys):
    rng = np.random.default_rng(0)
    rows = ["sequence,u,v,y"]
    for i in range(20):
        rows += [f"{i},{rng.normal():.2f},{'' if t % 3 == 0 else i % 2},{i % 2}" for t in range(4 + i % 2)]
    data = written(tmp_path, "\n".join(rows))
    small = ["--data", str(data), "--witnesses", "kernels", "--last", "40", "--out", str(tmp_path / "m")]
    assert run(["fit", *small]) == 2
    assert "missing='carry'" in capsys.readouterr().err.replace("\n", " ")
    assert run(["fit", *small, "--missing", "carry"]) == 0
    assert run(["verify", "--exact", "--data", str(data), "--model", str(tmp_path / "m")]) == 0
