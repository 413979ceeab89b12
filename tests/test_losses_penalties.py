"""Losses and penalties against their definitions, and against what they promise to solvers and bounds.

Every test runs over the library's own kinds and over those of tests only, see `third_kinds`.
"""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import independent
from convexsnn.estimators.classifier import classifier_loss
from convexsnn.labels import decide
from convexsnn.losses import LOSSES, PiecewiseLinearLoss, ProbabilisticLoss, SmoothLoss, is_hinge, loss_of
from convexsnn.losses.protocol import Head
from convexsnn.penalties import PENALTIES, PenaltyWithJacobian
from independent import rational
from third_kinds import LOSS_KINDS, NORM_KINDS

losses = st.sampled_from(LOSS_KINDS)
penalties = st.sampled_from(NORM_KINDS)
seeds = st.integers(0, 100_000)
each_loss = pytest.mark.parametrize("loss", LOSS_KINDS, ids=lambda loss: loss.name)
each_penalty = pytest.mark.parametrize("penalty", NORM_KINDS, ids=lambda penalty: penalty.name)


def draw_scores(seed, n=6, C=3, scale=3.0):
    return torch.from_numpy(np.random.default_rng(seed).normal(scale=scale, size=(n, C)))


def draw_targets(loss, seed, n=6, C=3):
    if "reals" in loss.target_kinds:
        return draw_scores(seed, n, C, 1.0)
    return loss.encode(torch.from_numpy(np.random.default_rng(seed).integers(C, size=n)), C)


@given(losses, seeds)
def test_fenchel_young_inequality(loss, seed):
    """loss(s) + loss*(v) >= <s, v> everywhere."""
    Y = draw_targets(loss, seed)
    S, V = draw_scores(seed), loss.project_dual(draw_scores(seed + 1, scale=1.0), Y)
    conjugate = loss.conjugate(V, Y)
    assert torch.isfinite(conjugate).all()
    assert (loss.value(S, Y) + conjugate - (S * V).sum(dim=1) >= -1e-10).all()


@given(losses, seeds)
def test_fenchel_young_equality_at_the_gradient(loss, seed):
    Y, S = draw_targets(loss, seed), draw_scores(seed)
    V = loss.gradient(S, Y)
    assert torch.allclose(loss.value(S, Y) + loss.conjugate(V, Y), (S * V).sum(dim=1), atol=1e-9)


@given(losses, seeds, st.floats(0.0, 1.0))
def test_dual_domain_is_kept_by_projection_and_by_scaling(loss, seed, t):
    Y = draw_targets(loss, seed)
    V = loss.project_dual(draw_scores(seed), Y)
    assert torch.isfinite(loss.conjugate(t * V, Y)).all()
    assert torch.allclose(loss.project_dual(V, Y), V, atol=1e-12)


@given(losses, seeds)
def test_gradient_and_curvature_are_derivatives(loss, seed):
    Y, S = draw_targets(loss, seed), draw_scores(seed, scale=1.0)
    S.requires_grad_()
    (gradient,) = torch.autograd.grad(loss.value(S, Y).sum(), S)
    S = S.detach()
    assert torch.allclose(loss.gradient(S, Y), gradient, atol=1e-12)
    if isinstance(loss, SmoothLoss):
        direction, h = draw_scores(seed + 1, scale=1.0), 1e-7
        difference = (loss.gradient(S + h * direction, Y) - loss.gradient(S - h * direction, Y)) / (2 * h)
        assert torch.allclose(loss.curvature(S, Y).apply(direction), difference, atol=1e-5)


@each_loss
def test_what_a_separable_loss_promises(loss):
    """It is the sum of the losses of its outputs; one that is not separable is not."""
    Y, S = draw_targets(loss, 0), draw_scores(1)
    columns = [slice(c, c + 1) for c in range(3)]
    total = sum(loss.value(S[:, c], Y[:, c]) for c in columns)
    gradient = torch.cat([loss.gradient(S[:, c], Y[:, c]) for c in columns], dim=1)
    assert torch.allclose(total, loss.value(S, Y)) == loss.separable
    assert torch.allclose(gradient, loss.gradient(S, Y)) == loss.separable
    if loss.separable:
        assert loss.heads == ()


@each_loss
def test_what_pieces_of_the_margin_promise(loss):
    assert is_hinge(loss) == (loss.name == "hinge")
    if isinstance(loss, PiecewiseLinearLoss):
        Y, S = draw_targets(loss, 0), draw_scores(1)
        pieces = torch.stack([slope * Y * S + intercept for slope, intercept in loss.margin_pieces])
        assert torch.allclose(pieces.amax(dim=0).sum(dim=1), loss.value(S, Y))


@each_loss
@pytest.mark.parametrize("outputs", [1, 4])
def test_what_probabilities_promise(loss, outputs):
    """They sum to one, and the likeliest class is the one that is decided for."""
    if not isinstance(loss, ProbabilisticLoss) or (outputs == 1 and not loss.separable):
        return
    S = draw_scores(0, n=20, C=outputs, scale=200.0)
    shown = loss.probabilities(S)
    assert shown.shape == (20, max(2, outputs))
    assert torch.allclose(shown.sum(dim=1), torch.ones(20, dtype=torch.float64))
    assert torch.equal(loss.probabilities(S / 100.0).argmax(dim=1), decide(S))


def test_values_by_hand():
    S, one = torch.tensor([[0.5], [2.0], [-1.0]]).double(), torch.ones(3, 1).double()
    assert LOSSES["hinge"].value(S, one).tolist() == [0.5, 0.0, 2.0]
    assert LOSSES["squared"].value(S, one).tolist() == [0.25, 1.0, 4.0]
    assert LOSSES["logistic"].value(torch.zeros(1, 1).double(), one[:1]).item() == pytest.approx(math.log(2))
    assert LOSSES["cross_entropy"].value(torch.zeros(1, 4), torch.eye(4)[:1]).item() == pytest.approx(math.log(4))


@each_loss
def test_extreme_scores_stay_finite(loss):
    S, Y = torch.tensor([[800.0, -800.0, 0.0]]).double(), loss.encode(torch.tensor([1]), 3)
    assert torch.isfinite(loss.value(S, Y)).all()
    assert torch.isfinite(loss.conjugate(loss.gradient(S, Y), Y)).all()


@given(st.sampled_from(["cross_entropy", "logistic"]), seeds, st.floats(-1.0, 1.5))
def test_values_are_right_to_the_last_digits_where_the_label_is_nearly_sure(name, seed, size):
    """A loss of 1e-17 has a value, a gradient and a conjugate as exact as one of 1: programs of tiny rho end there."""
    loss = LOSSES[name]
    Y = draw_targets(loss, seed)
    S = Y * 10.0**size + draw_scores(seed)
    V = loss.gradient(S, Y)
    heads = [(range(3), Fraction(1))]
    for s, y, v, value, conjugate in zip(S, Y, V, loss.value(S, Y), loss.conjugate(V, Y), strict=True):
        exact, y = rational(s.tolist()), [int(label) for label in y]
        assert float(value) == pytest.approx(float(independent.loss(name, exact, y, heads)), rel=1e-13, abs=0.0)
        for c in range(3):
            h = Fraction(1, 10**20)
            ahead, behind = ([x + d * (k == c) for k, x in enumerate(exact)] for d in (h, -h))
            rise = independent.loss(name, ahead, y, heads) - independent.loss(name, behind, y, heads)
            assert float(v[c]) == pytest.approx(float(rise / independent.real(2 * h)), rel=1e-13, abs=0.0)
        # Young's inequality is an equality at the gradient, of terms that are much larger than the loss.
        product = sum(a * b for a, b in zip(exact, rational(v.tolist()), strict=True))
        rest = independent.real(product) - independent.loss(name, exact, y, heads)
        assert float(conjugate) == pytest.approx(float(rest), rel=1e-12, abs=0.0)


def test_encodings():
    labels = torch.tensor([0, 1, 2])
    assert LOSSES["hinge"].encode(labels, 3).tolist() == [[1, -1, -1], [-1, 1, -1], [-1, -1, 1]]
    assert LOSSES["hinge"].encode(labels[:2], 2).tolist() == [[-1], [1]]
    assert LOSSES["cross_entropy"].encode(labels[:2], 2).tolist() == [[1, 0], [0, 1]]


def test_the_classifier_offers_the_losses_that_learn_classes():
    offered = {loss.name for loss in LOSSES.values() if "classes" in loss.target_kinds}
    assert {classifier_loss(name).name for name in offered} == offered
    with pytest.raises(ValueError, match=r"loss must be one of 'hinge'.*got 'squared_hinge'"):
        classifier_loss("squared_hinge")


def test_tables_refuse_what_they_do_not_know():
    known = "'hinge', 'squared', 'logistic', 'cross_entropy'"
    for miss in (lambda: LOSSES["squared_hinge"], lambda: loss_of("squared_hinge")):
        with pytest.raises(ValueError, match=f"loss must be one of {known}, got 'squared_hinge'"):
            miss()
    known = "'l1', 'group', 'elastic', 'ridge'"
    with pytest.raises(ValueError, match=rf"penalty must be one of {known}, got 'groups'\. Did you mean 'group'"):
        PENALTIES["groups"]
    with pytest.raises(ValueError, match="loss must be 'cross_entropy' for several categorical outputs, not 'hinge'"):
        loss_of("hinge", (Head(2),))


def conjugate_exponent(p):
    return {1.0: math.inf, 2.0: 2.0, math.inf: 1.0}[p]


@each_penalty
@pytest.mark.parametrize("outputs", [1, 2, 5])
def test_what_an_exponent_promises(penalty, outputs):
    p, W = penalty.exponent(outputs), draw_scores(0, C=outputs)
    assert p is not None
    assert float(penalty.value(W)) == pytest.approx(float(W.norm(p, dim=1).sum()))
    assert torch.allclose(penalty.row_norms(W), W.norm(conjugate_exponent(p), dim=1))
    assert (p == 1.0) == (outputs == 1 or penalty.name == "l1")


@given(penalties, seeds, st.integers(1, 4))
def test_no_row_within_caps_has_a_larger_norm(penalty, seed, outputs):
    """All corners of the box, which for a norm hold its largest value; caps that are attained by both signs."""
    caps = draw_scores(seed, n=1, C=outputs)[0].abs()
    corners = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=outputs))).double() * caps
    largest = float(penalty.row_norms(corners).max())
    assert largest <= float(penalty.row_norm_within(caps)) * (1 + 1e-14)
    assert float(penalty.row_norm_within(caps)) == pytest.approx(largest)  # no kind so far is looser than need be


@given(penalties, seeds)
def test_dual_norm_is_dual(penalty, seed):
    """<W, G> <= Omega(W) Omega*(G), with equality for some W."""
    W, G = draw_scores(seed), draw_scores(seed + 1)
    assert (W * G).sum() <= penalty.value(W) * penalty.dual_norm(G) + 1e-9
    best, row = torch.zeros_like(G), G.norm(conjugate_exponent(penalty.exponent(3)), dim=1).argmax()
    largest = torch.nn.functional.one_hot(G[row].abs().argmax(), 3)
    best[row] = {1.0: largest * G[row].sign(), 2.0: G[row] / G[row].norm()}.get(penalty.exponent(3), G[row].sign())
    assert (best * G).sum().item() == pytest.approx(float(penalty.dual_norm(G)))
    assert float(penalty.value(best)) == pytest.approx(1.0)
    assert float(penalty.dual_norm(G[:0])) == 0.0


@given(penalties, seeds, st.floats(0.0, 5.0))
def test_prox_satisfies_its_optimality_condition(penalty, seed, step):
    """X = prox(W) iff (W - X) / step is a subgradient: dual norm at most 1, and aligned with X."""
    W = draw_scores(seed)
    X = penalty.prox(W, step)
    residual = W - X
    assert penalty.dual_norm(residual) <= step * (1 + 1e-12) + 1e-12
    assert (residual * X).sum().item() == pytest.approx(step * float(penalty.value(X)), abs=1e-9)


@given(penalties, seeds, st.floats(0.01, 5.0))
def test_what_a_jacobian_of_the_prox_promises(penalty, seed, step):
    """Its inverse undoes a small change on the active entries, and nothing else changes."""
    if not isinstance(penalty, PenaltyWithJacobian):
        return
    Z, direction, h = draw_scores(seed), draw_scores(seed + 1, scale=1.0), 1e-7
    thresholds = torch.full((len(Z), 1), step, dtype=torch.float64)
    point = penalty.proximal_point(Z, thresholds)
    assert torch.allclose(point.W, penalty.prox(Z, step), atol=1e-12)
    after, before = (penalty.proximal_point(Z + sign * h * direction, thresholds) for sign in (1.0, -1.0))
    settled = (after.active == point.active).all(dim=1) & (before.active == point.active).all(dim=1)
    change = (after.W - before.W)[settled] / (2 * h)
    active = point.active[settled]
    undone = point.inverse.apply((after.W - before.W) / (2 * h))[settled]
    assert not change[~active].any()
    assert torch.allclose(undone[active], direction[settled][active], rtol=1e-4, atol=1e-4)
