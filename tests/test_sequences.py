"""Reading input: accepted forms and clear refusals."""

import numpy as np
import pytest
import torch

from convexsnn import as_sequences


def test_forms():
    X = np.arange(12.0).reshape(2, 3, 2)
    assert as_sequences(X).values.shape == (2, 3, 2)
    assert as_sequences(torch.from_numpy(X)).lengths.tolist() == [3, 3]
    ragged = as_sequences([X[0], X[1, :1]])
    assert ragged.lengths.tolist() == [3, 1]
    assert ragged.values[1, 1:].eq(0).all()
    constant = as_sequences(X[0], timesteps=4)
    assert constant.values.shape == (3, 4, 2)
    assert constant.values[1].eq(torch.tensor([2.0, 3.0])).all()


def test_the_callers_array_is_not_aliased():
    X = np.zeros((1, 1, 1))
    sequences = as_sequences(X)
    X[:] = 1.0
    assert sequences.values.item() == 0.0


def test_unflatten():
    sequences = as_sequences(np.zeros((2, 3, 1)), lengths=[3, 1])
    parts = sequences.unflatten(np.arange(4))
    assert [p.tolist() for p in parts] == [[0, 1, 2], [3]]
    assert as_sequences(np.zeros((2, 2, 1))).unflatten(np.arange(4)).tolist() == [[0, 1], [2, 3]]


@pytest.mark.parametrize(
    ("X", "settings", "message"),
    [
        (np.full((2, 2, 1), np.nan), {}, "X contains NaN or infinity"),
        (np.full((2, 2, 1), np.inf), {}, "X contains NaN or infinity"),
        (np.zeros((2, 2)), {}, "X must have shape"),
        (np.zeros(2), {"timesteps": 3}, "X must have shape"),
        (np.zeros((2, 2)), {"timesteps": -1}, "timesteps"),
        (np.zeros((2, 2)), {"timesteps": 2.5}, "timesteps"),
        (np.zeros((2, 2, 1), dtype="datetime64[s]"), {}, "numeric"),
        (np.zeros((2, 2, 2, 2)), {}, "X must have shape"),
        (np.zeros((0, 2, 2)), {}, "at least one sequence"),
        (np.zeros((2, 0, 2)), {}, "at least one step"),
        (np.zeros((2, 2, 0)), {}, "at least one feature"),
        ([np.zeros((2, 2)), np.zeros((0, 2))], {}, r"X\[1\] has no steps"),
        ([np.zeros((2, 2)), np.zeros((2, 3))], {}, "same number of features"),
        ([np.zeros((2, 2)), np.full((2, 2), np.nan)], {}, r"X\[1\] contains NaN"),
        (np.array([[["a"]]]), {}, "X must be numeric"),
        (np.zeros((1, 1, 1), dtype=complex), {}, "Complex"),
        ([[1.0], [1.0, 2.0]], {}, "ragged"),
        (np.zeros((2, 2, 1)), {"lengths": [1]}, "lengths must be 2 integers"),
        (np.zeros((2, 2, 1)), {"lengths": [1.0, 2.0]}, "lengths must be 2 integers"),
        (np.zeros((2, 2, 1)), {"lengths": [0, 2]}, "lengths must lie between 1 and 2"),
        (np.zeros((2, 2, 1)), {"lengths": [1, 3]}, "lengths must lie between 1 and 2"),
    ],
)
def test_bad_input_is_refused(X, settings, message):
    with pytest.raises(ValueError, match=message):
        as_sequences(X, **settings)
