"""Tasks of real numbers: MNIST-1D, and the archives of time series."""

import sys

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from convexsnn.tasks import TaskSettings, load_task


def test_mnist_1d_is_as_hard_for_a_linear_model_as_was_published():
    """Greydanus and Kobak give 32 % for logistic regression on the raw numbers, with 4000 and 1000 curves."""
    task = load_task("mnist-1d")
    model = LogisticRegression(max_iter=300).fit(task.train.X[:, :, 0], task.train.y)
    assert 0.27 < model.score(task.test.X[:, :, 0], task.test.y) < 0.37
    assert abs(task.train.X.mean()) < 0.02
    assert abs(task.train.X.std() - 1.0) < 0.02
    assert np.bincount(task.test.y).tolist() == [100] * 10


def test_steps_of_mnist_1d_are_permuted_alike_in_all_curves():
    sizes = {"n_train": 20, "n_val": 5, "n_test": 5, "timesteps": 30}
    plain, permuted = (load_task("mnist-1d", TaskSettings(**sizes, permute=p)) for p in (False, True))
    order = np.random.default_rng(0).permutation(30)
    assert np.array_equal(permuted.test.X, plain.test.X[:, order])


def test_sets_of_the_archives_come_on_their_own_split():
    pytest.importorskip("aeon")
    task = load_task("aeon:GunPoint")
    assert task.train.X.shape == (50, 150, 1)
    assert task.test.X.shape == (150, 150, 1)
    assert task.val is None
    assert list(task.splits) == ["train", "test"]
    assert task.class_names == ("1", "2")
    vowels = load_task("aeon:JapaneseVowels")
    assert {x.shape[1] for x in vowels.train.X} == {12}
    assert len({len(x) for x in vowels.train.X}) > 5


@pytest.mark.parametrize(
    ("name", "message"),
    [("aeon:NoSuchSet", "aeon cannot load the set NoSuchSet"), ("aeon:../GunPoint", "is not the name of a set")],
)
def test_sets_that_there_are_not(name, message):
    pytest.importorskip("aeon")
    with pytest.raises(ValueError, match=message):
        load_task(name)


def test_without_aeon_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "aeon.datasets", None)
    with pytest.raises(ImportError, match=r"pip install 'convexsnn\[series\]'"):
        load_task("aeon:GunPoint")
