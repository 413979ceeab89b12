"""Labels that hold several answers in one, and the answer that a network is fed back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class JointLabels:
    """Tokens that stand for one value of each factor: token = v_0 + sizes[0] * (v_1 + sizes[1] * (v_2 + ...)).

    Attributes
    ----------
    names : tuple of str
        The factors, least significant first.
    sizes : tuple of int
        Factor k takes the values 0 .. sizes[k] - 1.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]

    @property
    def n_classes(self) -> int:
        return math.prod(self.sizes)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Such as ``digit 3, carry 1``, one a token."""
        factors = self.split(np.arange(self.n_classes))
        rows = zip(*(factor.tolist() for factor in factors), strict=True)
        return tuple(", ".join(f"{k} {v}" for k, v in zip(self.names, row, strict=True)) for row in rows)

    def join(self, *factors: np.ndarray) -> np.ndarray:
        """Tokens of equally shaped integer arrays, one a factor.

        Raises
        ------
        ValueError
            If the number of arrays differs from the number of factors, or a value lies outside its factor.
        """
        if len(factors) != len(self.sizes):
            raise ValueError(
                f"factors are {', '.join(self.names)}: expected {len(self.sizes)} arrays, {len(factors)} given"
            )
        tokens = np.zeros_like(np.asarray(factors[0]), dtype=np.int64)
        for name, size, values in zip(self.names[::-1], self.sizes[::-1], factors[::-1], strict=True):
            values = _checked(name, values, size)
            tokens = tokens * size + values
        return tokens

    def split(self, tokens: np.ndarray) -> tuple[np.ndarray, ...]:
        """The factors of integer `tokens` of any shape, one int64 array of that shape each.

        Raises
        ------
        ValueError
            If a token lies outside 0 .. n_classes - 1.
        """
        rest = _checked("tokens", tokens, self.n_classes)
        factors = []
        for size in self.sizes:
            factors.append(rest % size)
            rest = rest // size
        return tuple(factors)


@dataclass(frozen=True)
class Feedback:
    """One factor of the answer at step t is one input at step t + 1 (0 at the first step).

    Attributes
    ----------
    input_feature : int
        The column of X that is fed back.
    output_factor : int
        The factor of the joint label that it repeats.
    scale : float
        The input is the factor divided by this.
    """

    input_feature: int
    output_factor: int
    scale: float

    def next_input(self, tokens: np.ndarray, joint: JointLabels) -> np.ndarray:
        """Values of the fed-back input one step after answers `tokens`; float64, of the shape of `tokens`."""
        return joint.split(tokens)[self.output_factor] / self.scale


def _checked(name: str, values: np.ndarray, size: int) -> np.ndarray:
    values = np.asarray(values)
    if not np.issubdtype(values.dtype, np.integer):
        raise ValueError(f"{name} must be integers, not {values.dtype}")
    if values.size and (values.min() < 0 or values.max() >= size):
        raise ValueError(f"{name} must lie in 0 .. {size - 1}, but range over {values.min()} .. {values.max()}")
    return values.astype(np.int64)
