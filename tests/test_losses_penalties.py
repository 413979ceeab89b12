"""Losses and penalties against their definitions: conjugates by Fenchel-Young, gradients by differences, proxes."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convexsnn.losses import LOSSES, SmoothLoss
from convexsnn.penalties import PENALTIES
from helpers import draw_targets

loss_names = st.sampled_from(sorted(LOSSES))
seeds = st.integers(0, 100_000)


def draw_scores(seed, n=6, C=3, scale=3.0):
    return torch.from_numpy(np.random.default_rng(seed).normal(scale=scale, size=(n, C)))


@given(loss_names, seeds)
def test_fenchel_young_inequality(name, seed):
    """loss(s) + loss*(v) >= <s, v> everywhere."""
    loss, Y = LOSSES[name], draw_targets(name, 6, seed=seed)
    S, V = draw_scores(seed), loss.project_dual(draw_scores(seed + 1, scale=1.0), Y)
    conjugate = loss.conjugate(V, Y)
    assert torch.isfinite(conjugate).all()
    assert (loss.value(S, Y) + conjugate - (S * V).sum(dim=1) >= -1e-10).all()


@given(loss_names, seeds)
def test_fenchel_young_equality_at_the_gradient(name, seed):
    loss, Y = LOSSES[name], draw_targets(name, 6, seed=seed)
    S = draw_scores(seed)
    V = loss.gradient(S, Y)
    assert torch.allclose(loss.value(S, Y) + loss.conjugate(V, Y), (S * V).sum(dim=1), atol=1e-9)


@given(loss_names, seeds, st.floats(0.0, 1.0))
def test_dual_domain_is_kept_by_projection_and_by_scaling(name, seed, t):
    loss, Y = LOSSES[name], draw_targets(name, 6, seed=seed)
    V = loss.project_dual(draw_scores(seed), Y)
    assert torch.isfinite(loss.conjugate(t * V, Y)).all()
    assert torch.allclose(loss.project_dual(V, Y), V, atol=1e-12)


@pytest.mark.parametrize("name", [n for n in LOSSES if isinstance(LOSSES[n], SmoothLoss)])
def test_gradient_and_curvature_are_derivatives(name):
    loss, Y, S = LOSSES[name], draw_targets(name, 6), draw_scores(0)
    S.requires_grad_()
    (gradient,) = torch.autograd.grad(loss.value(S, Y).sum(), S)
    S = S.detach()
    assert torch.allclose(loss.gradient(S, Y), gradient, atol=1e-12)
    diagonal, rank_one, _ = loss.curvature(S, Y)
    direction = draw_scores(1)
    product = diagonal * direction
    if rank_one is not None:
        product = product - rank_one * (rank_one * direction).sum(dim=1, keepdim=True)
    h = 1e-6
    difference = (loss.gradient(S + h * direction, Y) - loss.gradient(S - h * direction, Y)) / (2 * h)
    assert torch.allclose(product, difference, atol=1e-7)


def test_values_by_hand():
    S, one = torch.tensor([[0.5], [2.0], [-1.0]]).double(), torch.ones(3, 1).double()
    assert LOSSES["hinge"].value(S, one).tolist() == [0.5, 0.0, 2.0]
    assert LOSSES["squared"].value(S, one).tolist() == [0.25, 1.0, 4.0]
    assert LOSSES["logistic"].value(torch.zeros(1, 1).double(), one[:1]).item() == pytest.approx(math.log(2))
    assert LOSSES["cross_entropy"].value(torch.zeros(1, 4), torch.eye(4)[:1]).item() == pytest.approx(math.log(4))


def test_extreme_scores_stay_finite():
    S = torch.tensor([[800.0, -800.0]]).double()
    for name in LOSSES:
        Y = LOSSES[name].encode(torch.tensor([1]), 3 if name != "cross_entropy" else 2)[:, :2]
        value, V = LOSSES[name].value(S, Y), LOSSES[name].gradient(S, Y)
        assert torch.isfinite(value).all(), name
        assert torch.isfinite(LOSSES[name].conjugate(V, Y)).all(), name


def test_encodings():
    labels = torch.tensor([0, 1, 2])
    assert LOSSES["hinge"].encode(labels, 3).tolist() == [[1, -1, -1], [-1, 1, -1], [-1, -1, 1]]
    assert LOSSES["hinge"].encode(labels[:2], 2).tolist() == [[-1], [1]]
    assert LOSSES["cross_entropy"].encode(labels[:2], 2).tolist() == [[1, 0], [0, 1]]


@given(st.sampled_from(sorted(PENALTIES)), seeds)
def test_dual_norm_is_dual(name, seed):
    """<W, G> <= Omega(W) Omega*(G), with equality for some W."""
    penalty, W, G = PENALTIES[name], draw_scores(seed), draw_scores(seed + 1)
    assert (W * G).sum() <= penalty.value(W) * penalty.dual_norm(G) + 1e-9
    best = torch.zeros_like(G)
    row = G.norm(dim=1).argmax() if name == "group" else G.abs().amax(dim=1).argmax()
    if name == "group":
        best[row] = G[row] / G[row].norm()
    else:
        column = G[row].abs().argmax()
        best[row, column] = G[row, column].sign()
    assert (best * G).sum().item() == pytest.approx(float(penalty.dual_norm(G)))
    assert float(penalty.value(best)) == pytest.approx(1.0)


@given(st.sampled_from(sorted(PENALTIES)), seeds, st.floats(0.0, 5.0))
def test_prox_satisfies_its_optimality_condition(name, seed, step):
    """X = prox(W) iff (W - X) / step is a subgradient: dual norm at most 1, and aligned with X."""
    penalty, W = PENALTIES[name], draw_scores(seed)
    X = penalty.prox(W, step)
    residual = W - X
    assert penalty.dual_norm(residual) <= step * (1 + 1e-12) + 1e-12
    assert (residual * X).sum().item() == pytest.approx(step * float(penalty.value(X)), abs=1e-9)
