"""A fixed linear map between the pooled readout and the module's output: population codes, voting layers, scalings.

With a map M (C_out, C) the module answers z M^T for the readout's pooled output z = D W, so that the program is

    min_W  F(D W M^T) + rho * Omega(W).

Where every output of the readout goes to at most one output of the module, this is a program in V = W M^T alone. The
least Omega(w) with M w = v is

- |v|_1 / strength for l1, where strength is the largest |m| of an output;
- |v|_2 / strength for the norms of rows, where strength is the norm of the coefficients of an output.

Both need the same strength for all outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor

from convexsnn.errorfree import UNIT, two_product
from convexsnn.losses import DirectedLoss, Loss
from convexsnn.losses.protocol import Head as LossHead
from convexsnn.losses.protocol import TargetKind
from convexsnn.penalties import Penalty, require_norm

ADVICE = "make the readout and the map one torch.nn.Linear of weight M W first, and polish that"
SAME = 1e-5


@dataclass(frozen=True, eq=False)
class OutputMap:
    """The map M, known to send each readout output to one output of the module at most.

    Attributes
    ----------
    matrix : float64 tensor of shape (C_out, C)

    Raises
    ------
    ValueError
        When it mixes readout outputs in another way, or an output of the module reads none.
    """

    matrix: Tensor

    def __post_init__(self) -> None:
        used = self.matrix != 0
        if int(used.sum(dim=0).max()) > 1:
            raise ValueError(
                "head: a readout output goes to several outputs of the module, for which there is no solver: " + ADVICE
            )
        if not bool(used.any(dim=1).all()):
            silent = torch.nonzero(~used.any(dim=1)).flatten().tolist()
            raise ValueError(f"head: outputs {silent} of the module do not depend on the readout")

    @classmethod
    def read(cls, matrix: Any, n_read: int) -> OutputMap:
        """A map as users declare it. Raises ValueError on another shape, or numbers that are not finite."""
        values = torch.as_tensor(matrix).detach().cpu().to(torch.float64)
        if values.ndim != 2 or values.shape[1] != n_read or not bool(torch.isfinite(values).all()):
            raise ValueError(
                f"head must be a matrix of finite numbers of shape (outputs of the module, {n_read}), the readout "
                f"having {n_read} outputs; got shape {tuple(values.shape)}"
            )
        return cls(values)

    @property
    def is_identity(self) -> bool:
        """Whether the module's output is the pooled readout itself."""
        return self.matrix.shape[0] == self.matrix.shape[1] and torch.equal(
            self.matrix, torch.eye(len(self.matrix), dtype=torch.float64)
        )

    def through(self, Z: Tensor) -> Tensor:
        """Z M^T for rows (rows, C) of the readout, or of its weights."""
        return Z if self.is_identity else Z @ self.matrix.T

    def strength(self, penalty: Penalty) -> float:
        """By how much the penalty of V is that of the cheapest W with W M^T = V. Raises ValueError where not known."""
        if self.is_identity:
            return 1.0
        exponent = require_norm(penalty, "a head").exponent(self.matrix.shape[1])
        if exponent == 1.0:
            strengths = self.matrix.abs().amax(dim=1)
        elif exponent == 2.0:
            strengths = self.matrix.norm(dim=1)
        else:
            raise ValueError(f"penalty {penalty.name!r} is not solved through a head: {ADVICE}")
        least, most = float(strengths.min()), float(strengths.max())
        if most - least > SAME * most:
            raise ValueError(
                f"head: it weighs outputs of the module by {least:g} to {most:g}, for which there is no solver: "
                + ADVICE
            )
        return least

    def lift(self, V: Tensor, penalty: Penalty) -> Tensor:
        """The cheapest readout weights (rows, C) with W M^T = V, for V of shape (rows, C_out)."""
        if self.is_identity:
            return V
        if require_norm(penalty, "a head").exponent(self.matrix.shape[1]) == 1.0:
            W = V.new_zeros(len(V), self.matrix.shape[1])
            strongest = self.matrix.abs().argmax(dim=1)
            W[:, strongest] = V / self.matrix[torch.arange(len(self.matrix)), strongest]
            return W
        return (V / self.matrix.square().sum(dim=1)) @ self.matrix

    def loss(self, loss: Loss) -> Loss:
        """The same loss as a function of the pooled readout."""
        if self.is_identity:
            return loss
        if isinstance(loss, DirectedLoss):
            return cast(Loss, DirectedLossThroughHead(loss, self.matrix))
        return cast(Loss, LossThroughHead(loss, self.matrix))


@dataclass(frozen=True, eq=False)
class LossThroughHead:
    """loss(y, M z) as a loss of z: what a certificate in the readout's own weights is computed with.

    With v = M^T u its conjugate is that of the loss at u, which is read off the strongest coefficient of each output;
    v that are no such product are outside the domain.
    """

    inner: Loss
    matrix: Tensor
    separable: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """The name of the loss, and that it is taken after a head."""
        return f"{self.inner.name} through a head"

    @property
    def target_kinds(self) -> frozenset[TargetKind]:
        return self.inner.target_kinds

    @property
    def heads(self) -> tuple[LossHead, ...]:
        return self.inner.heads

    def encode(self, labels: Tensor, n_classes: int) -> Tensor:
        return self.inner.encode(labels, n_classes)

    def value(self, S: Tensor, Y: Tensor) -> Tensor:
        return self.inner.value(S @ self.matrix.T, Y)

    def gradient(self, S: Tensor, Y: Tensor) -> Tensor:
        return self.inner.gradient(S @ self.matrix.T, Y) @ self.matrix

    def conjugate(self, V: Tensor, Y: Tensor) -> Tensor:
        U = self.inner.project_dual(self._inner_dual(V), Y)
        return torch.where(self._same(U @ self.matrix, V), self.inner.conjugate(U, Y), torch.inf)

    def project_dual(self, V: Tensor, Y: Tensor) -> Tensor:
        projected = self.inner.project_dual(self._inner_dual(V), Y) @ self.matrix
        return torch.where(self._same(projected, V).unsqueeze(1), V, projected)

    def _same(self, projected: Tensor, V: Tensor) -> Tensor:
        """Which rows are the same but for the rounding of a quotient and a product."""
        return ((projected - V).abs() <= 8.0 * UNIT * V.abs()).all(dim=1)

    def _inner_dual(self, V: Tensor) -> Tensor:
        strongest = self.matrix.abs().argmax(dim=1)
        return V[:, strongest] / self.matrix[torch.arange(len(self.matrix)), strongest]


@dataclass(frozen=True, eq=False)
class DirectedLossThroughHead(LossThroughHead):
    """A loss through a head, for a loss that bounds its rounding (see `DirectedLoss`).

    The point of the domain that a dual vector V stands for is u M exactly, u the rounded quotients of `_inner_dual`.
    """

    inner: DirectedLoss

    def value_within(self, S: Tensor, tail: Tensor, error: Tensor, Y: Tensor) -> tuple[Tensor, Tensor]:
        sizes, terms = self.matrix.abs().T, self.matrix.shape[1] + 4
        within = (error + terms * UNIT * (S.abs() + tail.abs())) @ sizes
        return self.inner.value_within(S @ self.matrix.T, tail @ self.matrix.T, within, Y)

    def conjugate_within(self, V: Tensor, Y: Tensor) -> tuple[Tensor, Tensor]:
        return self.inner.conjugate_within(self._inner_dual(V), Y)

    def completion(self, U: Tensor, Y: Tensor) -> Tensor:
        """What u M, completed as the loss itself says, is beyond U."""
        u, own = self._inner_dual(U), self.matrix.abs().argmax(dim=0)
        factors = self.matrix[own, torch.arange(self.matrix.shape[1])]
        product, lost = two_product(u[:, own], factors.expand_as(U))
        rest = self.inner.completion(u, Y)
        return (product - U) + lost if rest is None else (product - U) + (lost + rest @ self.matrix)

    def excess(self, V: Tensor, Y: Tensor) -> float:
        """The excess of the loss, and a margin for quotients that rounding puts outside of their interval."""
        return max(1.0, self.inner.excess(self._inner_dual(V), Y)) * (1.0 + 32.0 * UNIT)
