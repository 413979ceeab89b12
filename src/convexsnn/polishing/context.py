"""Surroundings in which results are the same for every caller, and the caller's own afterwards as they were."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


@contextmanager
def surroundings(dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Iterator[None]:
    """Default dtype and device as given, no gradients, no autocast, full precision of products.

    Afterwards all of these are what they were, and so are the global generators of torch, NumPy and Python.
    """
    before, precision = torch.get_default_dtype(), torch.get_float32_matmul_precision()
    drawn = random.getstate(), np.random.get_state()
    with ExitStack() as stack:
        on_cuda = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
        stack.enter_context(torch.random.fork_rng(devices=on_cuda))
        if torch.get_default_device() != torch.device(device):
            stack.enter_context(torch.device(device))
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.no_grad())
        try:
            torch.set_default_dtype(dtype)
            torch.set_float32_matmul_precision("highest")
            yield
        finally:
            torch.set_default_dtype(before)
            torch.set_float32_matmul_precision(precision)
            random.setstate(drawn[0])
            np.random.set_state(drawn[1])


def surroundings_of(weight: Tensor) -> Any:
    """The settings in which a module with this weight runs: the caller's default dtype and device if they fit the
    weight.

    A module in float64 may need the default float64 under which it was made; one in float32 would change under it.
    """
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    own = dtype if dtype == weight.dtype else torch.float32
    return surroundings(own, device if device.type == weight.device.type else "cpu")


@contextmanager
def as_it_was(module: nn.Module) -> Iterator[None]:
    """Afterwards the module's modes, states, buffers, parameters and hooks are what they were, the same objects."""
    kept = _Kept()
    for part in module.modules():
        kept.keep(part.__dict__)
    try:
        yield
    finally:
        kept.put_back()


class _Kept:
    """Copies of what dictionaries, lists and tensors hold, however deep they lie in one another."""

    def __init__(self) -> None:
        self.seen: set[int] = set()
        self.dicts: list[tuple[dict[Any, Any], dict[Any, Any]]] = []
        self.lists: list[tuple[list[Any], list[Any]]] = []
        self.tensors: list[tuple[Tensor, Tensor]] = []

    def keep(self, value: Any) -> None:
        if id(value) in self.seen:
            return
        if isinstance(value, Tensor):
            self.seen.add(id(value))
            self.tensors.append((value, value.detach().clone()))
        elif isinstance(value, dict):
            self.seen.add(id(value))
            self.dicts.append((value, value.copy()))
            self._keep_all(value.values())
        elif isinstance(value, list):
            self.seen.add(id(value))
            self.lists.append((value, value.copy()))
            self._keep_all(value)
        elif isinstance(value, tuple):
            self._keep_all(value)

    def _keep_all(self, values: Any) -> None:
        for value in values:
            self.keep(value)

    def put_back(self) -> None:
        for own, copy in self.dicts:
            own.clear()
            own.update(copy)
        for own, copy in self.lists:
            own[:] = copy
        with torch.no_grad():
            for own, copy in self.tensors:
                if own.shape != copy.shape:
                    own.data = copy
                elif not torch.equal(own, copy):
                    own.copy_(copy)
