import gzip
import os
import struct
from pathlib import Path
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest
from sklearn.datasets import load_digits

from convexsnn.tasks import TaskSettings, image_source, images, load_task
from convexsnn.tasks.idx import read_idx

MNIST = Path(os.environ.get("CONVEXSNN_MNIST", Path(__file__).parents[2] / "shared" / "data" / "mnist"))
needs_mnist = pytest.mark.skipif(not MNIST.is_dir(), reason="no MNIST folder; set CONVEXSNN_MNIST")


def idx_bytes(array, magic=None):
    header = bytes((0, 0, 8, array.ndim)) if magic is None else magic
    return header + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(np.uint8).tobytes()


def make_mnist(folder, n_train=30, n_test=20, style="-", gz=False, seed=0):
    """Random images; the first two of each part are the same image."""
    rng = np.random.default_rng(seed)
    for part, n in (("train", n_train), ("t10k", n_test)):
        pixels = rng.integers(0, 256, size=(n, 28, 28))
        pixels[:2] = np.arange(784).reshape(28, 28) % 256
        for kind, array in (("images", pixels), ("labels", np.arange(n) % 10)):
            data = idx_bytes(array)
            path = folder / f"{part}-{kind}{style}idx{array.ndim}-ubyte{'.gz' if gz else ''}"
            path.write_bytes(gzip.compress(data) if gz else data)
    return folder


def keys(split):
    return [x.tobytes() for x in split.X]


def all_distinct(task):
    everything = keys(task.train) + keys(task.val) + keys(task.test)
    return len(set(everything)) == len(everything)


@pytest.mark.parametrize("timesteps", [1, 8, 64])
def test_digits_are_scikit_learns(timesteps):
    task = load_task("digits", TaskSettings(timesteps=timesteps))
    bunch = load_digits()
    labels = {image.tobytes(): label for image, label in zip(bunch.data / 16, bunch.target, strict=True)}
    assert [len(s) for s in (task.train, task.val, task.test)] == [1000, 297, 500]
    for split in (task.train, task.val, task.test):
        assert split.X.shape[1:] == (timesteps, 64 // timesteps)
        assert [labels[key] for key in keys(split)] == split.y.tolist()
    assert all_distinct(task)
    assert task.unseen_share == 1.0


def test_digits_splits_keep_their_images_when_other_sizes_change():
    base = load_task("digits", TaskSettings(n_train=100, n_val=50, n_test=60))
    other = load_task("digits", TaskSettings(n_train=1000, n_val=80, n_test=60))
    assert keys(base.train) == keys(other.train)[:100]
    assert keys(base.val) == keys(other.val)[-50:]
    assert keys(base.test) == keys(other.test)
    assert keys(load_task("digits", TaskSettings(n_train=100, n_val=50, n_test=60, seed=1)).train) != keys(base.train)


def test_permutation_is_one_for_all_images_splits_and_seeds():
    orders = []
    for seed in (0, 1):
        chosen = {"n_train": 900, "n_val": 100, "n_test": 100, "timesteps": 1, "seed": seed}
        plain, permuted = (load_task("digits", TaskSettings(**chosen, permute=p)) for p in (False, True))
        before = np.concatenate([s.X[:, 0] for s in (plain.train, plain.val, plain.test)])
        after = np.concatenate([s.X[:, 0] for s in (permuted.train, permuted.val, permuted.test)])
        order = np.random.default_rng(0).permutation(64)
        assert (after == before[:, order]).all()
        assert (plain.train.y == permuted.train.y).all()
        orders.append(order)
    assert (orders[0] != np.arange(64)).any()


@pytest.mark.parametrize("style", ["-", "."])
@pytest.mark.parametrize("gz", [False, True])
def test_mnist_from_every_file_name(tmp_path, style, gz):
    make_mnist(tmp_path, style=style, gz=gz)
    task = load_task("mnist", TaskSettings(n_train=20, n_val=9, n_test=18, data_dir=str(tmp_path)))
    assert task.train.X.shape == (20, 14, 56)
    assert task.train.X.max() <= 1.0
    assert all_distinct(task)
    originals = read_idx(next(tmp_path.glob("train-images*")), 3).reshape(30, 14, 56) / 255
    labels = {image.tobytes(): i % 10 for i, image in reversed(list(enumerate(originals)))}
    assert [labels[key] for key in keys(task.train)] == task.train.y.tolist()


def test_duplicates_are_dropped_and_counted(tmp_path):
    make_mnist(tmp_path)
    # 29 different training images; the image that occurs twice in both parts is no test image at all.
    with pytest.raises(ValueError, match=r"n_train \+ n_val asks for 30, but there are only 29 different"):
        load_task("mnist", TaskSettings(n_train=20, n_val=10, n_test=5, data_dir=tmp_path))
    with pytest.raises(ValueError, match="n_test asks for 19, but there are only 18 different"):
        load_task("mnist", TaskSettings(n_train=20, n_val=9, n_test=19, data_dir=tmp_path))
    with pytest.raises(ValueError, match="asks for 2097, but there are only 1797"):
        load_task("digits", TaskSettings(n_train=1300))


@pytest.mark.parametrize(("name", "timesteps"), [("digits", 7), ("digits", 128), ("mnist", 15)])
def test_timesteps_must_divide_the_pixels(name, timesteps):
    with pytest.raises(ValueError, match="timesteps must divide"):
        load_task(name, TaskSettings(timesteps=timesteps))


def test_folder_and_file_must_exist(tmp_path):
    with pytest.raises(ValueError, match="is not a folder"):
        load_task("mnist", TaskSettings(data_dir=tmp_path / "none"))
    with pytest.raises(ValueError, match=r"lacks train-images-idx3-ubyte \(or train-images-idx3-ubyte.gz"):
        load_task("mnist", TaskSettings(data_dir=tmp_path))


GOOD = idx_bytes(np.zeros((3, 4, 5)))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (GOOD[:-1], "should have 60 bytes.*holds (only )?59"),
        (GOOD + b"x", "should have 60 bytes.*holds (more|61)"),
        (GOOD[:9], "header: the file ends within it"),
        (b"", "begins with bytes .none"),
        (b"PNG" + GOOD, "not an IDX file"),
        (idx_bytes(np.zeros((3, 4, 5)), magic=bytes((0, 0, 13, 3))), "begins with bytes 00000d03, not 00000803"),
        (idx_bytes(np.zeros(60)), "begins with bytes 00000801"),
    ],
)
@pytest.mark.parametrize("gz", [False, True])
def test_idx_faults(tmp_path, data, message, gz):
    path = tmp_path / ("x.gz" if gz else "x")
    path.write_bytes(gzip.compress(data) if gz else data)
    with pytest.raises(ValueError, match=message):
        read_idx(path, 3)


@pytest.mark.parametrize("cut", [slice(0, 40), slice(0, -12), slice(5, None)])
def test_damaged_gzip(tmp_path, cut):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(idx_bytes(np.random.default_rng(0).integers(0, 256, (3, 40, 50))))[cut])
    with pytest.raises(ValueError, match=r"cannot be read: .*fetch it again"):
        read_idx(path, 3)


@pytest.mark.parametrize(
    ("file", "array", "message"),
    [
        ("train-images-idx3-ubyte", np.zeros((30, 8, 8)), "8 x 8 pixels, not 28 x 28"),
        ("train-labels-idx1-ubyte", np.zeros(29), "30 images, but .* 29 labels"),
        ("t10k-labels-idx1-ubyte", np.full(20, 11), "holds the label 11"),
    ],
)
def test_foreign_idx_files(tmp_path, file, array, message):
    (make_mnist(tmp_path) / file).write_bytes(idx_bytes(array))
    with pytest.raises(ValueError, match=message):
        load_task("mnist", TaskSettings(n_train=5, n_val=5, n_test=5, data_dir=tmp_path))


def test_offline_without_data_dir(monkeypatch):
    def offline(*_args, **_kwargs):
        raise URLError("no network")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", offline)
    with pytest.raises(ValueError, match=r"data_dir is not set .*no network.*pass their folder as data_dir"):
        load_task("mnist")


def test_openml_table(monkeypatch):
    table = SimpleNamespace(data=np.zeros((7, 784)), target=np.array(["1"] * 7))
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda *_args, **_kwargs: table)
    with pytest.raises(ValueError, match=r"shape \(7, 784\)"):
        load_task("mnist")
    table.data = np.arange(7 * 784).reshape(7, 784) % 251.0
    monkeypatch.setattr(image_source, "_OPENML_TRAIN", 4)
    monkeypatch.setattr(image_source, "_OPENML_TEST", 3)
    task = load_task("mnist", TaskSettings(n_train=2, n_val=2, n_test=3))
    assert sorted(keys(task.test)) == sorted(row.tobytes() for row in table.data[4:] / 255)
    assert task.train.y.tolist() == [1, 1]


def test_fashion_mnist_has_the_form_of_mnist_and_says_where_it_comes_from(tmp_path, monkeypatch):
    sizes = {"n_train": 20, "n_val": 9, "n_test": 18}
    make_mnist(tmp_path, gz=True)
    fashion = load_task("fashion-mnist", TaskSettings(**sizes, timesteps=14, data_dir=tmp_path))
    mnist = load_task("mnist", TaskSettings(**sizes, data_dir=tmp_path))
    assert keys(fashion.train) == keys(mnist.train)
    assert fashion.class_names[9] == "ankle boot"
    monkeypatch.setattr(images, "FASHION_FOLDER", str(tmp_path))
    assert load_task("fashion-mnist", TaskSettings(**sizes)).train.X.shape == (20, 28, 28)
    monkeypatch.setattr(images, "FASHION_FOLDER", str(tmp_path / "none"))
    with pytest.raises(ValueError, match=r"install Debian's package dataset-fashion-mnist, or get them from https"):
        load_task("fashion-mnist", TaskSettings(**sizes))


@needs_mnist
def test_real_mnist():
    plain, permuted = (load_task("mnist", TaskSettings(data_dir=MNIST, permute=p)) for p in (False, True))
    assert [len(s) for s in (plain.train, plain.val, plain.test)] == [6000, 2000, 2000]
    assert all_distinct(plain)
    assert np.bincount(plain.train.y).min() > 450
    order = np.random.default_rng(images._PERMUTATION_SEED).permutation(784)
    assert (permuted.test.X.reshape(2000, 784) == plain.test.X.reshape(2000, 784)[:, order]).all()
    # Ink is in the middle of the picture: the order of the pixels is the usual one.
    assert plain.train.X[:, 7].mean() > 5 * plain.train.X[:, 0].mean()
