"""Algebra of many second-order cones at once: row j of a (P, C + 1) tensor is one point (u0, u1), inside if u0 > |u1|.

Symbols as in L. Vandenberghe, The CVXOPT linear and quadratic cone program solvers, 2010, section 5.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


def determinant(u: Tensor) -> Tensor:
    """u0^2 - |u1|^2, shape (P,), as a product that keeps its digits near the boundary."""
    length = u[:, 1:].norm(dim=1)
    return (u[:, 0] - length) * (u[:, 0] + length)


def product(u: Tensor, v: Tensor) -> Tensor:
    """The Jordan product (u . v, u0 v1 + v0 u1)."""
    return torch.cat([(u * v).sum(dim=1, keepdim=True), u[:, :1] * v[:, 1:] + v[:, :1] * u[:, 1:]], dim=1)


def divide(u: Tensor, r: Tensor) -> Tensor:
    """The x with u o x = r, for u inside the cone."""
    x0 = (u[:, :1] * r[:, :1] - (u[:, 1:] * r[:, 1:]).sum(dim=1, keepdim=True)) / determinant(u).unsqueeze(1)
    return torch.cat([x0, (r[:, 1:] - x0 * u[:, 1:]) / u[:, :1]], dim=1)


def longest_step(u: Tensor, du: Tensor) -> float:
    """The largest step for which every u + step * du stays in its cone (inf if there is none), for u inside."""
    a = (du[:, 0] ** 2) - (du[:, 1:] ** 2).sum(dim=1)
    b = u[:, 0] * du[:, 0] - (u[:, 1:] * du[:, 1:]).sum(dim=1)
    c = determinant(u)
    pace = -b + (b**2 - a * c).clamp(min=0.0).sqrt()
    leaves = (pace > 0.0) & (b**2 >= a * c)
    return float(torch.where(leaves, c / pace, torch.inf).min()) if len(u) else float("inf")


@dataclass(frozen=True)
class Scaling:
    """The Nesterov-Todd scaling V = beta (2 v v^T - J) of a primal-dual pair: V z = V^{-1} x = lam, J = diag(1, -I).

    Attributes
    ----------
    beta : float64 tensor of shape (P, 1)
    w, v, lam : float64 tensors of shape (P, C + 1)
        V^2 = beta^2 (2 w w^T - J).
    """

    beta: Tensor
    w: Tensor
    v: Tensor
    lam: Tensor

    @classmethod
    def of(cls, x: Tensor, z: Tensor) -> Scaling:
        """The scaling of `x` and `z`, both (P, C + 1) and inside their cones."""
        det_x, det_z = determinant(x).unsqueeze(1), determinant(z).unsqueeze(1)
        x_unit, z_unit = x / det_x.sqrt(), z / det_z.sqrt()
        gamma = ((1.0 + (x_unit * z_unit).sum(dim=1, keepdim=True)) / 2.0).sqrt()
        w = (x_unit + reflect(z_unit)) / (2.0 * gamma)
        v = w.clone()
        v[:, 0] += 1.0
        v = v / (2.0 * v[:, :1]).sqrt()
        beta = (det_x / det_z) ** 0.25
        return cls(beta, w, v, _scale(beta, v, z))

    def apply(self, u: Tensor) -> Tensor:
        """V u."""
        return _scale(self.beta, self.v, u)

    def apply_inverse(self, u: Tensor) -> Tensor:
        """V^{-1} u."""
        v = reflect(self.v)
        return (2.0 * v * (v * u).sum(dim=1, keepdim=True) - reflect(u)) / self.beta


def _scale(beta: Tensor, v: Tensor, u: Tensor) -> Tensor:
    """Beta (2 v v^T - J) u."""
    return beta * (2.0 * v * (v * u).sum(dim=1, keepdim=True) - reflect(u))


def reflect(u: Tensor) -> Tensor:
    """J u = (u0, -u1)."""
    return torch.cat([u[:, :1], -u[:, 1:]], dim=1)
