"""Certificates: computed from W and a dual vector alone, valid for any of them, honest about what they are."""

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convexsnn import Certificate, certify, solve
from convexsnn.columns import BitColumns, pack_bits
from convexsnn.losses import LOSSES
from convexsnn.program import uniform_weights
from helpers import NORMS, draw_program

pairs = st.tuples(st.sampled_from(sorted(LOSSES)), st.sampled_from(NORMS))


@given(pairs, st.integers(0, 1000), st.floats(1e-4, 1.0), st.floats(0.0, 100.0))
def test_any_vectors_give_a_valid_bound(pair, seed, rho, scale):
    """Weak duality: dual(any U) <= optimum <= primal(any W), the optimum as the solver certified it."""
    program = draw_program(*pair, n=12, P=5, rho=rho, seed=seed)
    random = torch.Generator().manual_seed(seed)
    W = scale * torch.randn(program.n_columns, program.n_outputs, generator=random).double()
    U = scale * torch.randn(program.n_rows, program.n_outputs, generator=random).double()
    certificate, optimum = certify(program, W, U), solve(program).certificate
    assert optimum.holds(1e-6)
    assert certificate.dual <= optimum.primal * (1 + 1e-9) + 1e-12
    assert certificate.primal >= optimum.dual * (1 - 1e-9) - 1e-12
    assert certificate.gap >= -1e-12 * abs(certificate.primal)


@given(pairs, st.integers(0, 1000))
def test_feasible_dual_is_feasible(pair, seed):
    program = draw_program(*pair, seed=seed, rho=0.01)
    U = torch.randn(program.n_rows, program.n_outputs, generator=torch.Generator().manual_seed(seed)).double()
    feasible = program.feasible_dual(U)
    assert float(program.penalty.dual_norm(program.columns.rmatmul(feasible))) <= program.rho * (1 + 1e-12)
    assert math.isfinite(program.dual(feasible))
    # What is feasible comes back as it is, so that a certificate can be computed again from the vectors it names.
    assert torch.equal(program.feasible_dual(feasible), feasible)


@pytest.mark.parametrize("loss", LOSSES)
def test_zero_dual_vector_gives_a_finite_bound(loss):
    program = draw_program(loss, "l1")
    certificate = certify(
        program, torch.zeros(12, program.n_outputs).double(), torch.zeros(30, program.n_outputs).double()
    )
    assert math.isfinite(certificate.dual)
    assert (certificate.support, certificate.nonzeros) == (0, 0)


def test_row_weights_act_as_repetition():
    program = draw_program("logistic", "l1", n=6, P=4)
    repeats = torch.tensor([1, 2, 3, 1, 1, 2])
    index = torch.repeat_interleave(repeats)
    weighted = type(program)(
        program.columns, program.targets, program.loss, program.penalty, 0.01, repeats.double() / repeats.sum()
    )
    repeated = type(program)(
        BitColumns(pack_bits(program.columns.dense()[index].T > 0), len(index)),
        program.targets[index],
        program.loss,
        program.penalty,
        0.01,
        uniform_weights(len(index)),
    )
    W = torch.randn(4, program.n_outputs, generator=torch.Generator().manual_seed(0)).double()
    assert weighted.primal(W) == pytest.approx(repeated.primal(W), rel=1e-12)
    assert solve(weighted).certificate.primal == pytest.approx(solve(repeated).certificate.primal, rel=2e-6)


def example(**changes):
    fields = {"primal": 1.0, "dual": 0.5, "loss": "hinge", "penalty": "l1", "rho": 0.1, "n": 4, "P": 3, "C": 1}
    return Certificate(**(fields | {"support": 2, "nonzeros": 2, "spike_margin": 1e-3} | changes))


def test_json_round_trip():
    certificate = example()
    assert Certificate.from_json(certificate.to_json()) == certificate
    written = json.loads(certificate.to_json())
    assert written["gap"] == 0.5
    assert written["relative_gap"] == 0.5
    assert written["scope"] == "dictionary"


def test_nothing_proved_is_said_in_strict_json():
    certificate = example(dual=-math.inf)
    assert certificate.relative_gap == math.inf
    assert not certificate.holds(1e300)
    assert json.loads(certificate.to_json())["dual"] is None
    assert Certificate.from_json(certificate.to_json()) == certificate


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "valid JSON"),
        ("[]", "object"),
        ("{}", "missing or unknown fields"),
        (example().to_json().replace('"rho"', '"rhoo"'), "missing or unknown fields"),
        (example().to_json().replace('"rho": 0.1', '"rho": "0.1"'), "'rho' must be a number"),
        (example().to_json().replace('"n": 4', '"n": 4.5'), "'n' must be an integer"),
        (example().to_json().replace('"dictionary"', '"universe"'), "'scope'"),
    ],
)
def test_bad_json_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        Certificate.from_json(text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rho": 0.0}, "rho"),
        ({"rho": -1.0}, "rho"),
        ({"rho": math.nan}, "rho"),
        ({"targets": torch.zeros(3, 1)}, "targets"),
        ({"row_weights": torch.zeros(3)}, "row_weights"),
        ({"row_weights": torch.zeros(30)}, "positive"),
    ],
)
def test_bad_programs_are_refused(changes, message):
    program = draw_program("hinge", "l1")
    with pytest.raises(ValueError, match=message):
        type(program)(**(vars(program) | changes))
