"""Codings of class labels as targets."""

from __future__ import annotations

import torch
from torch import Tensor

from convexsnn.errorfree import UNIT


def one_hot(labels: Tensor, n_classes: int) -> Tensor:
    """Class indices (n,) as float64 rows (n, n_classes) with a one at the class."""
    rows = torch.zeros(len(labels), n_classes, dtype=torch.float64, device=labels.device)
    return rows.scatter_(1, labels.unsqueeze(1), 1.0)


def signs(labels: Tensor, n_classes: int) -> Tensor:
    """Class indices (n,) as +-1: (n, 1) for two classes (+1 = class 1), else (n, n_classes), one-versus-rest."""
    if n_classes == 2:
        return (2.0 * labels.to(torch.float64) - 1.0).unsqueeze(1)
    return 2.0 * one_hot(labels, n_classes) - 1.0


def entropy_margin(p: Tensor, missing: Tensor) -> Tensor:
    """Rounding of p log p + (1 - m) log(1 - m) for probabilities with a relative error of 4 units, entry by entry.

    The slopes are 1 + |log p| and 1 + |log(1 - m)|. What remains of 1 within rounding of m counts as 2^-53.
    """
    near = -torch.log1p(-missing).clamp(min=-40.0)
    far = torch.special.xlogy(p, p).abs()
    return 2.0 * UNIT * (far + p + missing * (1.0 + near))
