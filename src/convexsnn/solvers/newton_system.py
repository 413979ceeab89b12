"""Linear algebra of the semismooth Newton solver: normalised columns, proximal maps, the Newton system."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from convexsnn.columns import BLOCK_ENTRIES, Columns

# A dictionary is unpacked once when its float64 entries fit in this many bytes, else product by product.
DENSE_BYTES = 2**30
# One Cholesky factor over all outputs costs about n A^2 operations for A unknowns; a CG iteration, of which it saves
# many, costs 4 n r C, each of which takes about this many times longer, for they wait for memory.
CG_SLOWNESS = 10
# Unknowns beyond which one Cholesky factor over all outputs would take too much memory (float32: 400 MB).
COUPLED_LIMIT = 10_000
# Entries of a row's curvature below this part of the largest are left out of the factor, which conjugate gradients
# make good. Softmax probabilities are mostly near 0 or 1: on MNIST this saves half of the work.
CURVATURE_CUT = 1e-4
CG_LIMIT = 250
# Relative residual of the Newton system. Loose solves cost more Newton steps than they save: sigma amplifies the error.
CG_TOL = 1e-6


class NormalisedColumns:
    """D diag(scale), whose columns have norm one under the row weights.

    The proximal point step is a step in this metric, so the solver does not see the units of real-valued columns.

    Attributes
    ----------
    scale : float64 tensor of shape (P, 1)
        Weights of the program are ``scale`` times weights of the normalised columns.
    """

    def __init__(self, columns: Columns, row_weights: Tensor) -> None:
        n, count = columns.shape
        self._columns = columns
        squares = [(columns.take(block).dense() ** 2).T @ row_weights for block in _blocks(n, count, columns.device)]
        norms = torch.cat(squares).sqrt() if squares else row_weights.new_zeros(0)
        self.scale = torch.where(norms > 0.0, 1.0 / norms, 1.0).unsqueeze(1)
        fits = 0 < n * count * 8 <= DENSE_BYTES
        self._rows = {torch.float64: columns.dense().T * self.scale} if fits else {}

    def matmul(self, W: Tensor) -> Tensor:
        """``D diag(scale) @ W`` for a float64 `W` of shape (P, C)."""
        if not self._rows:
            return self._columns.matmul(self.scale * W)
        return self._rows[torch.float64].T @ W

    def rmatmul(self, U: Tensor) -> Tensor:
        """``diag(scale) D.T @ U`` for a float64 `U` of shape (n, C)."""
        if not self._rows:
            return self.scale * self._columns.rmatmul(U)
        return self._rows[torch.float64] @ U

    def rows(self, index: Tensor, dtype: torch.dtype) -> Tensor:
        """The columns named by `index`, as the rows of a (len(index), n) tensor of `dtype`."""
        if not self._rows:
            return self._columns.take(index).dense(dtype).T * self.scale[index].to(dtype)
        if dtype not in self._rows:
            self._rows[dtype] = self._rows[torch.float64].to(dtype)
        return self._rows[dtype][index]


def _blocks(n: int, count: int, device: torch.device) -> Iterator[Tensor]:
    size = max(1, BLOCK_ENTRIES // max(1, n))
    return (torch.arange(start, min(start + size, count), device=device) for start in range(0, count, size))


# Row i stands for the matrix diag(diagonal_i) - vector_i vector_i^T; both tensors have shape (rows, C).
Rows = tuple[Tensor, Tensor | None]


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
    return Prox(torch.where(active, Z - threshold * Z.sign(), 0.0), active, (torch.ones_like(Z), None))


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
    return Prox(torch.where(active, kept * Z, 0.0), active.expand_as(Z), (diagonal.expand_as(Z), vector))


PROX = {"l1": prox_l1, "group": prox_group}


def apply_rows(rows: Rows, X: Tensor) -> Tensor:
    """Row i of the result is the matrix of row i times X_i, for X of shape (rows, C)."""
    diagonal, vector = rows
    out = diagonal * X
    return out if vector is None else out - vector * (vector * X).sum(dim=1, keepdim=True)


class NewtonSystem:
    """K = J^-1 + R H R^T on the active entries of R's rows, solved by preconditioned conjugate gradients.

    R (r, n) holds columns of the dictionary as rows, H is the loss's curvature (rows of `apply_rows`), and J^-1 the
    proximal map's, of the form of `Rows`. The preconditioner is the Cholesky factor of the blocks of K that belong to
    one output each, or of all of K where that is cheaper than `expected` iterations. It may be of lower precision.

    Attributes
    ----------
    single : bool
        Whether there is one factor over all outputs.
    iterations : int
        Of the last `solve`.
    converged : bool
        Whether the last `solve` reached `CG_TOL`.
    """

    def __init__(self, R: Tensor, low: Tensor, active: Tensor, curvature: Rows, inverse: Rows, expected: int) -> None:
        """`R` in float64, and `low`, the same in the dtype of the factor."""
        self._R, self._low, self._active, self._curvature, self._inverse = R, low, active, curvature, inverse
        coupled = curvature[1] is not None or inverse[1] is not None
        unknowns = int(active.sum())
        saved = 4 * CG_SLOWNESS * expected * active.numel()
        self.single = coupled and unknowns <= COUPLED_LIMIT and unknowns**2 <= saved
        outputs = [slice(0, None)] if self.single else [slice(c, c + 1) for c in range(active.shape[1])]
        self.iterations, self.converged = 0, False
        self._factors = [(self._entries(chosen), self._factor(chosen)) for chosen in outputs]

    def _entries(self, outputs: slice) -> tuple[Tensor, Tensor]:
        """Row and output of the active entries, output by output."""
        output, row = torch.nonzero(self._active[:, outputs].T, as_tuple=True)
        return row, output + outputs.start

    def _factor(self, outputs: slice) -> Tensor:
        """Cholesky factor of the block of K of these outputs; only the lower triangle of K is formed."""
        row, output = self._entries(outputs)
        diagonal, vector = self._inverse
        K = self._low.new_zeros(len(row), len(row))
        parts = []
        for c in output.unique().tolist():
            own = torch.nonzero(output == c).flatten()
            parts.append((c, slice(int(own[0]), int(own[-1]) + 1), self._low[row[own]].T.contiguous()))
            for other, part, T in parts:
                self._add_curvature(K[parts[-1][1], part], c, other, parts[-1][2], T)
        K.diagonal().add_(diagonal[row, output].to(K.dtype))
        if vector is not None:
            v = vector[row, output].to(K.dtype)
            K -= torch.where(row.unsqueeze(1) == row, torch.outer(v, v), 0.0)
        return _cholesky(K)

    def _add_curvature(self, block: Tensor, c: int, other: int, T: Tensor, T_other: Tensor) -> None:
        """Add T^T diag(h) T_other to a block of K, h the curvature between two outputs without its small entries.

        What is left of each row's curvature stays diagonally dominant, so K stays positive definite.
        """
        a, b = self._curvature
        h = a[:, c] if c == other else torch.zeros_like(a[:, c])
        if b is not None:
            h = h - b[:, c] * b[:, other]
        kept = torch.nonzero(h.abs() > CURVATURE_CUT * self._curvature[0].max()).flatten()
        block += (T[kept] * h[kept].to(T.dtype).unsqueeze(1)).T @ T_other[kept]

    def _precondition(self, X: Tensor) -> Tensor:
        out = torch.zeros_like(X)
        for entries, factor in self._factors:
            right = X[entries].to(factor.dtype).unsqueeze(1)
            out[entries] = torch.cholesky_solve(right, factor).squeeze(1).to(X.dtype)
        return out

    def _apply(self, X: Tensor) -> Tensor:
        HX = apply_rows(self._curvature, self._R.T @ X)
        return torch.where(self._active, self._R @ HX + apply_rows(self._inverse, X), 0.0)

    def solve(self, B: Tensor) -> Tensor:
        """Approximate solution of K X = B; both of shape (r, C), zero outside the active entries."""
        X, residual = torch.zeros_like(B), B.clone()
        step = direction = self._precondition(residual)
        energy = first = float((residual * step).sum())
        for _ in range(CG_LIMIT):
            if not energy > CG_TOL**2 * first:
                self.converged = True
                break
            self.iterations += 1
            image = self._apply(direction)
            curvature = float((direction * image).sum())
            # Rounding can make K indefinite along the last directions: what was found so far is the answer.
            if not curvature > 0.0:
                break
            X += (energy / curvature) * direction
            residual -= (energy / curvature) * image
            step = self._precondition(residual)
            energy, previous = float((residual * step).sum()), energy
            direction = step + (energy / previous) * direction
        return X


def _cholesky(K: Tensor) -> Tensor:
    """Lower Cholesky factor of K, with the smallest ridge that rounding makes necessary."""
    if not K.numel():
        return K
    ridge = 8.0 * torch.finfo(K.dtype).eps * float(K.diagonal().mean())
    for _ in range(12):
        K.diagonal().add_(ridge)
        factor, info = torch.linalg.cholesky_ex(K)
        if int(info) == 0:
            return factor
        ridge *= 10.0
    return torch.diag(K.diagonal().abs().sqrt())
