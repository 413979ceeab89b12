"""Exact proofs with the ridge penalty, and of data with missing values."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convexsnn.proof import ExactProgram, LossHead
from convexsnn.proof.data import read_rows
from convexsnn.proof.inequality import prove
from convexsnn.solvers import solve
from test_ridge import make


@settings(max_examples=25, deadline=None)
@given(n=st.integers(2, 12), count=st.integers(1, 12), outputs=st.integers(1, 3), seed=st.integers(0, 999))
def test_rational_arithmetic_proves_the_certificate(n, count, outputs, seed):
    program = make(n, count, outputs, 0.05, seed=seed)
    solution = solve(program)
    heads = (LossHead(slice(0, outputs)),)
    exact = ExactProgram(
        program.columns.dense().numpy(), program.targets.numpy(), program.row_weights.numpy(), "squared", "ridge",
        Fraction(program.rho), heads,
    )  # fmt: skip
    proof = prove(exact, solution.W.numpy(), solution.U.numpy())
    certificate = solution.certificate
    assert proof.exact
    assert proof.dual <= proof.primal
    assert Fraction(certificate.primal) >= proof.primal
    assert Fraction(certificate.dual) <= proof.dual


def test_the_proof_takes_equal_columns_for_one():
    program = make(10, 6, 1)
    solution = solve(program)
    twice = torch.cat([program.columns.dense(), program.columns.dense()], dim=1).numpy()
    exact = ExactProgram(
        twice, program.targets.numpy(), program.row_weights.numpy(), "squared", "ridge", Fraction(program.rho),
        (LossHead(slice(0, 1)),),
    )  # fmt: skip
    once = np.concatenate([solution.W.numpy(), np.zeros((6, 1))])
    proof = prove(exact, once, solution.U.numpy())
    assert Fraction(solution.certificate.dual) <= proof.dual <= proof.primal <= Fraction(solution.certificate.primal)
    shared = np.concatenate([solution.W.numpy(), solution.W.numpy()]) / 2
    with pytest.raises(ValueError, match="one of equal columns only"):
        prove(exact, shared, solution.U.numpy())


def test_missing_values_are_carried_forward_from_the_mean_of_training():
    parameters = {"timesteps": 2, "per_step": False, "loss": "cross_entropy", "missing": "carry"}
    seen = {"low": [0.0], "high": [1.0], "mean": [0.25]}
    fitted = {"classes": [0, 1], "classes_dtype": "int64", "input": {"seen": seen}}
    X = np.array([[[np.nan], [2.0], [np.nan]], [[3.0], [np.nan], [4.0]]])
    rows = read_rows(X, [0, 1], {"parameters": parameters, "estimator": "SpikingClassifier", "fitted": fitted})
    (part,) = rows.read()
    assert np.array_equal(part.values[:, :, 0], [[0.25, 2.0, 2.0], [3.0, 3.0, 4.0]])
