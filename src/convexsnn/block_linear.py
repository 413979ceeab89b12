"""A linear layer whose weight has blocks, as exported networks have where branches are side by side."""

from __future__ import annotations

from torch import Tensor, nn


class BlockLinear(nn.Linear):
    """`nn.Linear` of which only the weights within blocks are used and trained; all others are zero.

    Attributes
    ----------
    inside : tensor of the shape of the weight
        1 within the blocks, and 0 between them.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, inside: Tensor) -> None:
        n_in, m = weight.shape
        super().__init__(n_in, m, bias=bias is not None, dtype=weight.dtype, device=weight.device)
        self.register_buffer("inside", inside.T.to(weight), persistent=False)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - as torch names it
        """The product with the blocks."""
        return nn.functional.linear(input, self.weight * self.inside, self.bias)  # type: ignore[operator]
