"""Readers fail in one way: a DamagedFileError that names file, field and reason; and take no memory beforehand."""

import gzip
import io
import json
import os
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convexsnn import Gaussian, Search, SpikingClassifier
from convexsnn.checkpoints import read_checkpoint, write_checkpoint
from convexsnn.data_files import read_npz
from convexsnn.export import from_nir, to_nir
from convexsnn.reading import DamagedFileError, parse_json, read_whole, reading
from convexsnn.report import read_metrics
from convexsnn.sealed import read_sealed, write_sealed
from convexsnn.storage import load_model, save_model
from convexsnn.tasks import read_att
from convexsnn.tasks.idx import read_idx
from helpers import reseal

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 4, 2)), np.arange(20) % 2


@pytest.fixture
def model_path(tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(SpikingClassifier(witnesses=Gaussian(depth=2, last=12), random_state=0).fit(X, Y), path)
    return path


def refuses(path, call, field):
    """The reason of the error; it names the file and the field."""
    with pytest.raises(DamagedFileError) as caught:
        call(path)
    error = caught.value
    assert str(error.path) == str(path)
    assert error.field == field
    assert str(error) == f"{path} cannot be read: {field}: {error.reason}"
    return error.reason


@pytest.mark.parametrize("read", [load_model, read_npz, read_att, lambda p: read_idx(p, 3), read_metrics])
def test_what_is_no_regular_file_is_refused_before_it_is_opened(tmp_path, read):
    assert "there is no such file" in refuses(tmp_path / "none", read, "file")
    assert "a folder, a device or a pipe" in refuses(tmp_path, read, "file")
    assert "a folder, a device or a pipe" in refuses("/dev/zero", read, "file")
    os.mkfifo(tmp_path / "pipe")
    assert "a folder, a device or a pipe" in refuses(tmp_path / "pipe", read, "file")


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        (lambda _, t: t.update(W=t["W"][:, 0]), "tensors", r"tensor W must be torch.float64 of shape"),
        (lambda _, t: t.update(W=torch.zeros(80)), "tensors", "tensor W must be"),
        (lambda _, t: t.update(W=torch.tensor(3.0)), "tensors", "tensor W must be"),
        (lambda _, t: t.update(W=t["U"], U=t["W"]), "tensors", "must be torch.float64 of shape"),
        (lambda _, t: t.update({"witnesses.0.0.weight": torch.tensor(1.0)}), "layers", ""),
        (lambda _, t: t.update({"witnesses.0.0.leak": torch.ones(3)}), "layers", "leak must have shape"),
        (lambda _, t: t.update({"witnesses.9.0.leak": torch.ones(3)}), "layers", "witnesses.9.0.leak is of no layer"),
        (lambda _, t: t.update(row_weights=-t["row_weights"]), "tensors", "row_weights must be positive"),
        (lambda _, t: t.pop("network.W"), "tensors", "tensor network.W is missing"),
        (lambda h, _: h.update(more=1), "fields", "a model has no field 'more'"),
        (lambda h, _: h.pop("status"), "fields", "a model lacks 'status'"),
        (lambda h, _: h.update(n_iter=True), "n_iter", "must be of type int"),
        (lambda h, _: h["seconds"].update(solve=-1.0), "tensors", "seconds of solve must be at least 0"),
        (lambda h, _: h["witnesses"].update(n_features=2.0), "layers", "n_features must be an integer"),
        (lambda h, _: h["witnesses"].update(every_step=0), "layers", "every_step must be True or False"),
        (lambda h, _: h["witnesses"].update(branches=[[{"kind": "izhikevich"}]]), "layers", "izhikevich"),
        (lambda h, _: h["parameters"].update(tol=-1.0), "parameters", "tol must be"),
        (lambda h, _: h["parameters"]["witnesses"].update(last=10**7), "witnesses", "not such as the parameters"),
        (lambda h, _: h["parameters"]["witnesses"].update(depth=10**9), "parameters", "GiB of memory"),
        (lambda h, _: h["fitted"]["input"].update(columns=["a"]), "fitted", "columns must be the names of 2"),
        (lambda h, _: h["fitted"].update(praise=1), "fitted", "a fitted estimator has no field 'praise'"),
        (lambda h, _: h["fitted"]["path"][0].update(praise=1), "fitted", "a beta of the path has no field 'praise'"),
        (lambda h, _: h["fitted"]["path"][0].update(support=0), "fitted", "support is 0, but the certificate says"),
        (lambda h, _: h["fitted"]["path"][0]["certificate"].update(praise=1), "fitted", "unknown fields"),
        (lambda h, _: h["witnesses"].update(praise=1), "layers", "witnesses has no field 'praise'"),
        (lambda h, _: h["network"]["branches"][0][0].update(praise=1), "layers", "have no setting ['praise']"),
        (lambda h, _: h["parameters"].update(praise=1), "parameters", "praise"),
        (lambda h, _: h["parameters"]["witnesses"].update(praise=1), "parameters", "praise"),
        (lambda h, _: h["seconds"].update(praise=1.0), "tensors", "seconds has no field 'praise'"),
        (lambda h, _: h["fitted"].update(classes=[[0], 1]), "fitted", ""),
        (lambda h, _: h["certificate"].update(n="many"), "certificate", "must be an integer"),
        (lambda h, _: h["certificate"].update(heads=[[{}, 1]]), "certificate", ""),
    ],
)
def test_altered_models_that_are_sealed_again_are_refused_by_field(model_path, change, field, reason):
    reseal(model_path, change)
    assert reason in refuses(model_path, load_model, field).replace("\\", "")


def test_a_checkpoint_with_owner_and_weights_exchanged_is_refused(tmp_path):
    path = tmp_path / "search.safetensors"
    family = Search(rounds=3, effort=2e7, population=16, width=4, stages=(1.0,))
    search = SpikingClassifier(witnesses=family, random_state=0)

    class StopError(Exception):
        pass

    def stop(entry):
        if entry.number == 1:
            raise StopError

    from convexsnn.observer import Observer

    with pytest.raises(StopError):
        search.fit(X, Y, checkpoint=path, observer=Observer(searched=stop))
    whole = path.read_bytes()
    for change, field in (
        (lambda _, t: t.update({"pool.owner": t["pool.W"], "pool.W": t["pool.owner"]}), "pool"),
        (lambda _, t: t.update({"pool.owner": t["pool.owner"] + 10**6}), "pool"),
        (lambda _, t: t.update(U=t["U"][1:]), "pool"),
        (lambda _, t: t.update(random=t["random"][:7]), "state"),
        (lambda h, _: h["state"].update(history=[]), "history"),
        (lambda h, _: h["state"]["history"][0].update(columns=1.5), "history"),
        (lambda h, _: h["state"].update(stage="first"), "state"),
        (lambda h, _: h.pop("of"), "header"),
        # What is unknown is refused at every depth.
        (lambda h, _: h["state"].update(praise=1), "state"),
        (lambda h, _: h["state"]["pool"].update(praise=1), "state"),
        (lambda h, _: h["state"]["pool"]["genomes"].update(praise=1), "state"),
        (lambda h, _: h["state"]["pool"]["given"].update(praise=1), "pool"),
        (lambda h, _: h["state"]["history"][0].update(praise=1), "history"),
        (lambda h, _: h["state"]["rates"].update(praise="much"), "state"),
        (lambda h, _: h["state"].update(stage=False), "state"),
        (lambda _, t: t.update(praise=t["U"]), "tensors"),
        (lambda _, t: t.update({"pool.genomes.7.weight": t["U"]}), "tensors"),
    ):
        path.write_bytes(whole)
        reseal(path, change)
        reason = refuses(path, lambda path: search.fit(X, Y, checkpoint=path), field)
        assert reason.endswith("; delete the checkpoint to begin anew, or name another path")
    path.write_bytes(whole)
    search.fit(X, Y, checkpoint=path)


@given(position=st.integers(0, 10**9), flip=st.integers(1, 255))
def test_no_flipped_byte_of_a_sealed_file_is_believed(tmp_path_factory, position, flip):
    path = tmp_path_factory.mktemp("sealed") / "x.safetensors"
    header, tensors = {"kind": "x", "of": "y", "state": {"a": [1, 2.5, None]}}, {"t": torch.arange(5.0)}
    write_sealed(path, "convexsnn_checkpoint", header, tensors)
    data = bytearray(path.read_bytes())
    data[position % len(data)] ^= flip
    path.write_bytes(data)
    try:
        again, held = read_sealed(path, "convexsnn_checkpoint")
    except DamagedFileError:
        return
    assert again == header
    assert torch.equal(held["t"], tensors["t"])


def test_checkpoints_say_whose_they_are(tmp_path):
    path = tmp_path / "c.safetensors"
    write_checkpoint(path, "search 5", "mine", {"a": 1}, {})
    assert read_checkpoint(path, "search 5", "mine") == ({"a": 1}, {})
    with pytest.raises(ValueError, match="is of other data, settings or seed"):
        read_checkpoint(path, "search 5", "yours")
    assert "it is of 'search 5'" in refuses(path, lambda p: read_checkpoint(p, "surrogate 2", "mine"), "kind")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_checkpoint(path, "search 5", "mine", {"a": float("nan")}, {})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1, "a": 2}', "the key 'a' occurs twice"),
        ('{"a": {"b": 1, "b": 1}}', "the key 'b' occurs twice"),
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": 1e999}', "beyond the range of float64"),
        ("[1]", "must be a JSON object"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
        ('{"a": ' + "9" * 10_000 + "}", ""),
        ("{", ""),
        ("", ""),
    ],
)
def test_json_is_read_strictly(text, reason):
    assert reason in refuses("f.json", lambda path: parse_json(text, path, "header"), "header")


def test_errors_of_readers_survive_other_processes():
    import pickle

    error = DamagedFileError("a.npz", "array X", "it is missing")
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) == "a.npz cannot be read: array X: it is missing"
    with pytest.raises(DamagedFileError, match="inner"), reading("outer", "x"), reading("inner", "y"):
        raise MemoryError


def peak(call):
    """The most memory that Python took for a call that is refused, in bytes."""
    tracemalloc.start()
    with pytest.raises(DamagedFileError):
        call()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def test_headers_of_images_are_held_against_the_file_before_memory_is_taken(tmp_path):
    header = bytes((0, 0, 8, 3)) + struct.pack(">3I", 60_000, 50_000, 50_000)
    (tmp_path / "plain").write_bytes(header + b"x" * 100)
    (tmp_path / "packed.gz").write_bytes(gzip.compress(header + b"x" * 100))
    bomb = gzip.compress(bytes((0, 0, 8, 3)) + struct.pack(">3I", 300, 300, 300) + bytes(1000))
    (tmp_path / "bomb.gz").write_bytes(bomb + bytes(60_000))
    for name in ("plain", "packed.gz", "bomb.gz"):
        assert peak(lambda name=name: read_idx(tmp_path / name, 3)) < 2**23
    assert "60 bytes" not in refuses(tmp_path / "plain", lambda p: read_idx(p, 3), "dimensions")


def test_automata_beyond_a_sane_size_are_refused(tmp_path):
    path = tmp_path / "long.att"
    with path.open("wb") as file:
        file.truncate(2**27)
    assert peak(lambda: read_att(path)) < 2**23
    assert "and at most 67108864 are read" in refuses(path, read_att, "size")
    wide = tmp_path / "wide.att"
    wide.write_text("".join(f"{q} {q + 1} s{q}\n" for q in range(4000)) + "1\n")
    assert "4001 states and 4000 symbols" in refuses(wide, read_att, "size")
    with pytest.raises(DamagedFileError):
        read_whole("/dev/zero", 10)


def npz(path, **members):
    """An archive of these bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def npy(array, claimed=None):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=True)
    content = stream.getvalue()
    return content if claimed is None else content.replace(str(array.shape).encode(), claimed)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x80\x04K\x03.", "such as a pickle, which is never read"),
        (npy(np.array([{"a": 1}], dtype=object)), "it holds objects, which are pickled and never read"),
        (npy(np.zeros((4, 5)), b"(10**9,)"), ""),
        (npy(np.zeros((40, 50)), b"(90, 99)"), "its header claims float64 (90, 99), but 16000 bytes follow"),
        (npy(np.zeros(3))[:-1], "bytes follow"),
        (npy(np.zeros(3, dtype="U1")).replace(b"<U1", b"<U0"), "its header claims <U0 (3,), but 12 bytes follow"),
        (b"\x93NUMPY\x09\x00", "version (9, 0) is unknown"),
    ],
)
def test_members_of_archives_are_plain_arrays_of_the_size_that_is_stored(tmp_path, content, reason):
    assert reason in refuses(npz(tmp_path / "d.npz", X=content), read_npz, "array X")


def test_archives_are_refused_by_name(tmp_path):
    path = tmp_path / "d.npz"
    path.write_text("a,b\n1,2\n")
    assert "save it with numpy.savez" in refuses(path, read_npz, "file")
    with zipfile.ZipFile(tmp_path / "twice.npz", "w") as archive:
        archive.writestr("X.npy", npy(np.zeros(3)))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("X.npy", npy(np.ones(3)))
    assert "an array occurs twice" in refuses(tmp_path / "twice.npz", read_npz, "archive")
    np.savez_compressed(tmp_path / "good.npz", X=X, y=Y)
    assert np.array_equal(read_npz(tmp_path / "good.npz")["X"], X)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"test": {"accuracy": "high"}}, "test"),
        ({"n": {"train": 1.5}}, "n"),
        ({"certified": 1}, "certified"),
        ({"praise": 1}, "fields"),
        ({"": 1}, "fields"),
        ({"test": {"accuracy": 1.0, "praise": 1.0}}, "test"),
        ({"seconds": {"total": 1.0, "praise": 1.0}}, "seconds"),
        ({"seconds": []}, "seconds"),
        ({"status": 3}, "status"),
    ],
)
def test_metrics_are_read_by_type(tmp_path, change, field):
    from convexsnn.cli.app import run

    folder = tmp_path / "m"
    arguments = ["--task", "first-last-xor", "--timesteps", "3", "--n-train", "20", "--n-val", "5", "--n-test", "5"]
    assert run(["fit", *arguments, "--witnesses", "gaussian", "--last", "8", "--depth", "2", "--out", str(folder)]) == 0
    path = folder / "metrics.json"
    metrics = read_metrics(path)
    assert metrics == json.loads(path.read_text())
    path.write_text(json.dumps(metrics | change))
    refuses(path, read_metrics, field)


def test_a_graph_whose_heap_of_texts_has_no_end_is_refused(tmp_path):
    """The HDF5 library itself would read it for ever."""
    nir = pytest.importorskip("nir")
    path = tmp_path / "g.nir"
    model = SpikingClassifier(
        witnesses=Gaussian(depth=2, last=12, readout="spike", reset="hard"), beta=1e-3, random_state=0
    )
    nir.write(path, to_nir(model.fit(X, Y).network_))
    from_nir(path)
    data = bytearray(path.read_bytes())
    place = data.index(b"GCOL") + 16
    while data[place] or data[place + 1]:
        place += 16 + -(-int.from_bytes(data[place + 8 : place + 16], "little") // 8) * 8
    data[place + 8 : place + 16] = bytes(8)
    path.write_bytes(data)
    assert "heap" in refuses(path, from_nir, "file")
