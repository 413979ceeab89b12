"""Proximal maps and their Jacobians, for the semismooth Newton solver."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convexsnn.losses import Rows


@dataclass(frozen=True)
class Prox:
    """A proximal point W (P, C) and the inverse of the proximal map's Jacobian there.

    The Jacobian vanishes outside `active`; on it, its inverse is `inverse`, row by row: the form that
    `SmoothLoss.curvature` has too.
    """

    W: Tensor
    active: Tensor
    inverse: Rows


def prox_l1(Z: Tensor, threshold: Tensor) -> Prox:
    """Soft thresholding of Z (P, C) by threshold (P, 1)."""
    active = Z.abs() > threshold
    return Prox(torch.where(active, Z - threshold * Z.sign(), 0.0), active, Rows(torch.ones_like(Z)))


def prox_group(Z: Tensor, threshold: Tensor) -> Prox:
    """Shrinkage of the rows of Z (P, C) by threshold (P, 1).

    The Jacobian keeps the direction of the row and shrinks what is orthogonal to it by 1 - threshold / |row|.
    """
    norms = Z.norm(dim=1, keepdim=True)
    active = norms > threshold
    kept = torch.where(active, 1.0 - threshold / norms, 1.0)
    # A row just beyond the threshold has kept ~ 0; the floor keeps its inverse finite.
    diagonal = 1.0 / kept.clamp(min=1e-12)
    direction = torch.where(active, Z / norms, 0.0)
    vector = (diagonal - 1.0).sqrt() * direction
    return Prox(torch.where(active, kept * Z, 0.0), active.expand_as(Z), Rows(diagonal.expand_as(Z), vector))


PROX = {"l1": prox_l1, "group": prox_group}


def apply_rows(rows: Rows, X: Tensor) -> Tensor:
    """Row i of the result is the matrix of row i times X_i, for X of shape (rows, C)."""
    diagonal, vector, blocks = rows
    out = diagonal * X
    if vector is None:
        return out
    products = vector * X
    if not blocks:
        return out - vector * products.sum(dim=1, keepdim=True)
    parts = products.split([len(block) for block in blocks], dim=1)
    return out - vector * torch.cat([part.sum(dim=1, keepdim=True).expand_as(part) for part in parts], dim=1)
