"""Chance on a GPU: a mutation draws for all numbers at once, and changes some of them."""

from __future__ import annotations

import torch
from torch import Tensor

from convexsnn.search.branches.fused.chance import FLIPPED, REDRAWN, STEPPED


def varied_at_once(
    numbers: Tensor, unit: Tensor, chance: tuple[Tensor, Tensor], anew: float, generator: torch.Generator
) -> Tensor:
    """Some of the numbers of each branch changed, each with the probabilities that `vary` has for it.

    Parameters
    ----------
    numbers : float tensor of shape (B, n_in, m)
    unit : float tensor of shape (n_in,)
        Their scale.
    chance : two float tensors of shape (B,)
        How probably each number is changed, and by how much, in units of its scale.
    anew : float
        How probably all numbers of one of the m neurons are drawn anew.
    generator : torch.Generator
        Where the numbers are.
    """
    rate, step = (each[:, None, None] for each in chance)
    uniform = lambda *shape: torch.rand(shape, generator=generator, device=numbers.device)  # noqa: E731
    noise = torch.randn(numbers.shape, generator=generator, device=numbers.device) * unit[:, None]
    kind = uniform(*numbers.shape)
    changed = torch.where(kind < STEPPED + REDRAWN + FLIPPED, -numbers, 0.0)
    changed = torch.where(kind < STEPPED + REDRAWN, noise, changed)
    changed = torch.where(kind < STEPPED, numbers + noise * step, changed)
    changed = torch.where(uniform(*numbers.shape) < rate, changed, numbers)
    return torch.where(uniform(len(numbers), 1, numbers.shape[2]) < anew, noise, changed)
