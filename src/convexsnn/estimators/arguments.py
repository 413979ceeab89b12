"""Arguments of estimators that need more than a check: devices, random states."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state

from convexsnn.batches import Batches
from convexsnn.checks import check_flag, check_integer

FREE = "free"


def check_device(device: Any) -> None:
    """ValueError unless tensors can be made on `device`."""
    try:
        if torch.device(device).type == "meta":
            raise TypeError("meta tensors hold no numbers")
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(f"device {device!r} is not available here: {str(error).splitlines()[0]}") from error


def is_free(intercept: Any) -> bool:
    """Whether the setting `intercept` says that its weight is not penalised."""
    return isinstance(intercept, str) and intercept == FREE


def check_intercept(intercept: Any) -> None:
    """ValueError unless it is True, False or "free"."""
    if is_free(intercept):
        return
    try:
        check_flag("intercept", intercept)
    except ValueError:
        raise ValueError(f"intercept must be True, False or {FREE!r}, not {intercept!r}") from None


def seed_of(random_state: Any) -> int:
    """An integer `random_state` is itself the seed, so that seed 0 names the same network everywhere."""
    match random_state:
        case int() | np.integer():
            return check_integer("random_state", random_state, minimum=0, maximum=np.iinfo(np.int64).max)
        case None | np.random.RandomState():
            return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))
        case np.random.Generator():
            advice = "pass an integer drawn from it, such as int(generator.integers(2**31))"
        case _:
            advice = "pass an integer"
    raise ValueError(
        f"random_state must be an integer seed, a numpy RandomState or None, not {random_state!r}: {advice}"
    )


def labels_beside(X: Any, y: Any, sample_weight: Any = None) -> tuple[Any, Any]:
    """Labels and weights: those that come with batches, or as they were passed; ValueError where these are others."""
    if not isinstance(X, Batches):
        return y, sample_weight
    for name, given, own in (("y", y, X.y), ("sample_weight", sample_weight, X.weight)):
        if given is not None and given is not own:
            raise ValueError(f"{name} comes with the batches of X: leave it out")
    return X.y, X.weight


def pair_of(name: str, value: Any) -> tuple[Any, Any]:
    """A pair (X, y); ValueError for anything else."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise ValueError(f"{name} must be a pair (X, y)")
    return value[0], value[1]
