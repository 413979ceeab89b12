import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convexsnn.tasks import Split, TaskSettings, list_tasks, load_task
from convexsnn.tasks.base import unseen_share

GENERATED = [
    "first-last-xor",
    "mnist-1d",
    "dfa:tomita-4",
    "dfa:random-5",
    "addition:base-3",
    "subtraction",
    "multiplication",
]


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a.X, b.X, strict=True)) and np.array_equal(a.y, b.y)


@pytest.mark.parametrize("name", [*GENERATED, "digits"])
def test_same_seed_same_data(name):
    chosen = {"n_train": 40, "n_val": 30, "n_test": 20}
    one, two, other = (load_task(name, TaskSettings(**chosen, seed=seed)) for seed in (5, 5, 6))
    for split in ("train", "val", "test"):
        assert same(getattr(one, split), getattr(two, split))
        assert not same(getattr(one, split), getattr(other, split))


@pytest.mark.parametrize("name", GENERATED)
@pytest.mark.parametrize("size", ["n_train", "n_val", "n_test"])
def test_a_split_does_not_depend_on_the_sizes_of_others(name, size):
    chosen = {"n_train": 40, "n_val": 40, "n_test": 40}
    one, two = load_task(name, TaskSettings(**chosen)), load_task(name, TaskSettings(**{**chosen, size: 70}))
    for split in ("train", "val", "test"):
        if f"n_{split}" == size:
            assert len(getattr(two, split)) == 70
        else:
            assert same(getattr(one, split), getattr(two, split))
    assert not same(one.train, one.val)
    assert not same(one.train, one.test)


def test_loading_leaves_the_global_generator_alone():
    before = np.random.get_state()[1].copy()
    load_task("dfa:random-4")
    assert (np.random.get_state()[1] == before).all()


@given(st.integers(2, 20), st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_first_last_xor(timesteps, seed):
    task = load_task("first-last-xor", TaskSettings(n_train=30, n_val=5, n_test=5, timesteps=timesteps, seed=seed))
    X, y = task.train.X, task.train.y
    assert X.shape == (30, timesteps, 2)
    assert (X.sum(axis=2) == 1).all()
    assert (y == (X[:, 0, 1] != X[:, -1, 1])).all()


def test_first_last_xor_defaults():
    task = load_task("first-last-xor")
    assert [len(s) for s in (task.train, task.val, task.test)] == [2000, 2000, 4000]
    assert task.train.X.shape[1] == task.settings.timesteps == 6
    assert task.unseen_share == 0.0
    assert abs(task.train.X[:, :, 1].mean() - 0.5) < 0.03


@pytest.mark.parametrize(("name", "timesteps"), [("first-last-xor", 8), ("dfa:parity", 9), ("addition", 5)])
def test_unseen_share_counts_new_inputs(name, timesteps):
    task = load_task(name, TaskSettings(n_train=100, n_val=5, n_test=200, timesteps=timesteps))
    unseen = [not any(np.array_equal(x, known) for known in task.train.X) for x in task.test.X]
    assert task.unseen_share == np.mean(unseen)
    assert 0 < task.unseen_share < 1


def test_unseen_share_tells_lengths_apart():
    train = [np.zeros((2, 3)), np.ones((1, 3))]
    assert unseen_share(train, [np.zeros((1, 3)), np.zeros((2, 3)), np.ones((1, 3)), np.ones((3, 3))]) == 0.5


def test_every_listed_task_loads_with_its_defaults():
    for info in list_tasks():
        assert info.per_step in ("never", "optional", "always")
        for name in info.examples:
            if name in ("mnist", "fashion-mnist") or name.startswith(("dfa:file:", "automaton:file:", "aeon:")):
                continue
            task = load_task(name, TaskSettings(n_train=9, n_val=8, n_test=7))
            assert [len(s) for s in (task.train, task.val, task.test)] == [9, 8, 7]
            assert task.name == name
            assert task.train.X.dtype == np.float64
            assert np.issubdtype(task.train.y.dtype, np.int64)
            assert task.train.X.shape[1] == info.defaults.timesteps
            assert task.per_step == bool(info.defaults.per_step)
            assert task.train.y.max() < len(task.class_names)
            assert None not in (task.settings.n_train, task.settings.timesteps, task.settings.per_step)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("adition", "did you mean addition"),
        ("xor", "did you mean first-last-xor"),
        ("MNIST", "did you mean mnist"),
        ("tomita-3", "did you mean dfa:tomita-3"),
        ("dfa", "known are .*dfa:mod-M"),
        ("dfa:", "unknown task"),
        ("digits:8", "did you mean digits"),
        ("", "unknown task ''; known are"),
    ],
)
def test_unknown_task(name, near):
    with pytest.raises(ValueError, match=near):
        load_task(name)


@pytest.mark.parametrize("field", ["n_train", "n_val", "n_test", "timesteps", "min_timesteps"])
@pytest.mark.parametrize("value", [0, -3, 2.5, True, "7"])
def test_sizes_must_be_positive_integers(field, value):
    with pytest.raises(ValueError, match=f"{field} must be an integer of at least 1, not"):
        TaskSettings(**{field: value})


def test_numpy_integers_will_do():
    assert load_task("addition", TaskSettings(n_train=np.int64(3), n_val=1, n_test=1)).train.X.shape[0] == 3


@pytest.mark.parametrize(
    ("name", "chosen", "message"),
    [
        ("first-last-xor", {"timesteps": 1}, "timesteps must be at least 2"),
        ("first-last-xor", {"permute": True}, "permute is True, but first-last-xor has no such setting"),
        ("first-last-xor", {"min_timesteps": 3}, "min_timesteps is 3, but"),
        ("digits", {"data_dir": "somewhere"}, "data_dir is 'somewhere', but"),
        ("aeon:GunPoint", {"n_train": 5}, "n_train is 5, but aeon:GunPoint has no such setting"),
        ("aeon:GunPoint", {"timesteps": 5}, "timesteps is 5, but"),
        ("mnist-1d", {"timesteps": 1}, "timesteps must be at least 2"),
        ("digits", {"per_step": True}, "per_step is True, but digits has a label for the whole sequence only"),
        ("dfa:parity", {"min_timesteps": 13}, "min_timesteps is 13, more than timesteps = 12"),
    ],
)
def test_settings_that_do_not_suit_the_task(name, chosen, message):
    with pytest.raises(ValueError, match=message):
        load_task(name, TaskSettings(**chosen))


def test_seed_and_lengths_are_checked():
    with pytest.raises(ValueError, match="seed must be an integer of at least 0, not -1"):
        TaskSettings(seed=-1)
    with pytest.raises(ValueError, match="min_timesteps is 5, more than timesteps = 4"):
        TaskSettings(timesteps=4, min_timesteps=5)


def test_split_checks_its_lengths():
    with pytest.raises(ValueError, match="X holds 2 sequences and y 3 labels"):
        Split(np.zeros((2, 1, 1)), np.zeros(3))
