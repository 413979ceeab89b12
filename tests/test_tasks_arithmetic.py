import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convexsnn.tasks import JointLabels, TaskSettings, load_task

SMALL = {"n_train": 40, "n_val": 10, "n_test": 10}
KINDS = ["addition", "subtraction", "multiplication", "division"]


def numbers(digits, base, most_significant_first=False):
    """Python integers from rows of digits."""
    rows = digits.tolist() if most_significant_first else digits[:, ::-1].tolist()
    values = []
    for row in rows:
        value = 0
        for digit in row:
            value = value * base + digit
        values.append(value)
    return values


def load(kind, base, timesteps, seed=0):
    return load_task(f"{kind}:base-{base}", TaskSettings(**SMALL, timesteps=timesteps, seed=seed))


def parts(task, base):
    """Input digits, what came in, digits written and what was carried on, all as integers."""
    scaled = task.train.X * (base - 1)
    X = np.rint(scaled).astype(int)
    assert np.abs(scaled - X).max() < 1e-9
    digit, carried = task.joint.split(task.train.y)
    return X[:, :, 0], X[:, :, 1], X[:, :, 2], digit, carried


bases, lengths, seeds = st.integers(2, 16), st.integers(2, 30), st.integers(0, 1000)


@given(bases, lengths, seeds)
@settings(max_examples=30, deadline=None)
def test_addition_is_the_sum(base, timesteps, seed):
    a, b, _, digit, carry = parts(load("addition", base, timesteps, seed), base)
    sums = [x + y for x, y in zip(numbers(a, base), numbers(b, base), strict=True)]
    assert numbers(digit, base) == sums
    assert not carry[:, -1].any()
    assert not a[:, -1].any()
    assert not b[:, -1].any()


@given(bases, lengths, seeds)
@settings(max_examples=30, deadline=None)
def test_subtraction_is_the_difference(base, timesteps, seed):
    a, b, _, digit, borrow = parts(load("subtraction", base, timesteps, seed), base)
    a, b = numbers(a, base), numbers(b, base)
    assert all(x >= y for x, y in zip(a, b, strict=True))
    assert numbers(digit, base) == [x - y for x, y in zip(a, b, strict=True)]
    assert not borrow[:, -1].any()


@given(bases, lengths, seeds)
@settings(max_examples=30, deadline=None)
def test_multiplication_is_the_product(base, timesteps, seed):
    a, m, _, digit, carry = parts(load("multiplication", base, timesteps, seed), base)
    assert (m == m[:, :1]).all()
    assert numbers(digit, base) == [x * y for x, y in zip(numbers(a, base), m[:, 0].tolist(), strict=True)]
    assert not carry[:, -1].any()


@given(bases, lengths, seeds)
@settings(max_examples=30, deadline=None)
def test_division_is_quotient_and_remainder(base, timesteps, seed):
    a, m, _, digit, rest = parts(load("division", base, timesteps, seed), base)
    assert (m == m[:, :1]).all()
    assert (m > 0).all()
    expected = [divmod(x, y) for x, y in zip(numbers(a, base, True), m[:, 0].tolist(), strict=True)]
    assert list(zip(numbers(digit, base, True), rest[:, -1].tolist(), strict=True)) == expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("base", [2, 3, 10, 16])
def test_feedback_reproduces_the_input_exactly(kind, base):
    task = load(kind, base, 7)
    fed = task.feedback.next_input(task.train.y, task.joint)
    column = task.train.X[:, :, task.feedback.input_feature]
    assert (column[:, 1:] == fed[:, :-1]).all()
    assert (column[:, 0] == 0).all()
    assert task.train.y.max() < task.joint.n_classes == len(task.class_names)


def test_base_10_uses_all_digits_and_carries():
    task = load_task("division:base-10", TaskSettings(n_train=2000, n_val=1, n_test=1))
    a, m, rest_in, digit, rest = parts(task, 10)
    assert set(a.ravel()) == set(digit.ravel()) == set(range(10))
    assert set(m.ravel()) == set(range(1, 10))
    assert set(rest.ravel()) == set(rest_in.ravel()) == set(range(9))


def test_plain_name_is_base_2_with_five_digits():
    plain, named = load_task("addition"), load_task("addition:base-2")
    assert (plain.train.X == named.train.X).all()
    assert plain.train.X.shape == (1000, 6, 3)
    assert plain.per_step
    assert plain.settings.per_step is True
    assert plain.class_names == ("digit 0, carry 0", "digit 1, carry 0", "digit 0, carry 1", "digit 1, carry 1")
    assert load_task("subtraction").train.X.shape == (1000, 5, 3)


@pytest.mark.parametrize(
    ("name", "chosen", "message"),
    [
        ("addition:base-17", {}, "from 2 to 16, not 17"),
        ("addition:base-1", {}, "from 2 to 16, not 1"),
        ("addition:10", {}, "such as addition:base-10"),
        ("addition:", {}, "such as addition:base-10"),
        ("addition", {"timesteps": 1}, "timesteps must be at least 2"),
        ("division", {"per_step": False}, "per_step is False, but division has a label for every step"),
    ],
)
def test_errors(name, chosen, message):
    with pytest.raises(ValueError, match=message):
        load_task(name, TaskSettings(**chosen))


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
def test_joint_labels_split_and_join(sizes):
    joint = JointLabels(tuple(f"f{i}" for i in range(len(sizes))), tuple(sizes))
    tokens = np.arange(joint.n_classes).reshape(1, -1)
    factors = joint.split(tokens)
    assert (joint.join(*factors) == tokens).all()
    assert len(set(joint.class_names)) == joint.n_classes
    assert all(f.max() == size - 1 for f, size in zip(factors, sizes, strict=True))


def test_joint_labels_check_their_values():
    joint = JointLabels(("digit", "carry"), (10, 2))
    with pytest.raises(ValueError, match=r"tokens must lie in 0 .. 19"):
        joint.split(np.array([20]))
    with pytest.raises(ValueError, match=r"carry must lie in 0 .. 1"):
        joint.join(np.array([3]), np.array([2]))
    with pytest.raises(ValueError, match="must be integers"):
        joint.split(np.array([0.5]))
    with pytest.raises(ValueError, match="expected 2 arrays, 1 given"):
        joint.join(np.array([3]))
