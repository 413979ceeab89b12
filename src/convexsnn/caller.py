"""The caller's torch: whatever it is set to changes nothing of what we compute, and is afterwards as it was.

Code of ours states dtypes, devices and generators; this is for what torch takes from its surroundings nevertheless, in
its own functions and in libraries that exports are made for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

from convexsnn.threads import threads_for

P = ParamSpec("P")
R = TypeVar("R")

# Whether this is a call of ours already, so that a public function that calls another enters once.
_ENTERED: ContextVar[bool] = ContextVar("entered", default=False)
# What torch begins with where nobody has chosen.
_USUAL_THREADS = torch.get_num_threads()


def isolated(function: Callable[P, R]) -> Callable[P, R]:
    """Run a public function as in a fresh torch: float32 and the CPU by default, gradients on, autocast off.

    torch's global generator is put back to where it was, unless it is what the caller passes to be drawn from.
    """

    @wraps(function)
    def run(*arguments: P.args, **named: P.kwargs) -> R:
        if _ENTERED.get():
            return function(*arguments, **named)
        token = _ENTERED.set(True)
        try:
            given = any(value is torch.default_generator for value in (*arguments, *named.values()))
            with _fresh(keep_generator=not given):
                return function(*arguments, **named)
        finally:
            _ENTERED.reset(token)

    return run


def paced(entries: Callable[..., int]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Run a function with as many threads as suit its work; `entries` says how much it is from the same arguments.

    See `convexsnn.threads.threads_for`. Afterwards torch has as many threads as before.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def run(*arguments: P.args, **named: P.kwargs) -> R:
            current = torch.get_num_threads()
            wanted = threads_for(entries(*arguments, **named), current, _USUAL_THREADS)
            if wanted == current:
                return function(*arguments, **named)
            torch.set_num_threads(wanted)
            try:
                return function(*arguments, **named)
            finally:
                torch.set_num_threads(current)

        return run

    return decorate


@contextmanager
def one_thread() -> Iterator[None]:
    """Run on one thread. What is computed is then the same, to the last bit, however many threads there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _fresh(*, keep_generator: bool) -> Iterator[None]:
    with ExitStack() as stack:
        if keep_generator:
            stack.callback(torch.set_rng_state, torch.get_rng_state())
        if (dtype := torch.get_default_dtype()) != torch.float32:
            stack.callback(torch.set_default_dtype, dtype)
            torch.set_default_dtype(torch.float32)
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield
