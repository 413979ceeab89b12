"""Arguments of estimators that need more than a check: devices, shapes of X, random states."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state

from convexsnn.checks import check_integer


def check_device(device: Any) -> None:
    """ValueError unless tensors can be made on `device`."""
    try:
        if torch.device(device).type == "meta":
            raise TypeError("meta tensors hold no numbers")
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(f"device {device!r} is not to be had here: {str(error).splitlines()[0]}") from error


def is_sequential(X: Any) -> bool:
    """Whether X is (n, T, d) or a list of (T_i, d), rather than 2-D (or an array that `as_sequences` refuses)."""
    if isinstance(X, (list, tuple)):
        return len(X) > 0 and all(np.ndim(x) == 2 for x in X)
    return getattr(X, "ndim", 2) >= 3


def seed_of(random_state: Any) -> int:
    """An integer `random_state` is itself the seed, so that seed 0 names the same network everywhere."""
    if isinstance(random_state, (int, np.integer)):
        return check_integer("random_state", random_state, minimum=0, maximum=np.iinfo(np.int64).max)
    try:
        return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
    except ValueError as error:
        raise ValueError(f"random_state must be an integer, a numpy RandomState or None: {error}") from error
