"""Whom to tell about long work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from convexsnn.solvers.base import Progress


@dataclass(frozen=True)
class Observer:
    """Whom to tell about long work; all are called from the thread that works.

    Attributes
    ----------
    simulated : callable (rows done, rows in all), optional
    solved : callable (Progress), optional
        It is called after each iteration of a solver.
    began : callable (str), optional
        It is told in words what is done next.
    searched : callable (convexsnn.search.Round), optional
        It is called after each round of a search.
    chose : callable (str), optional
        It is told in words what was chosen where the settings leave it to the data.
    """

    simulated: Callable[[int, int], None] | None = None
    solved: Callable[[Progress], None] | None = None
    began: Callable[[str], None] | None = None
    searched: Callable[[Any], None] | None = None
    chose: Callable[[str], None] | None = None

    def begin(self, what: str) -> None:
        """Say what is done next."""
        if self.began is not None:
            self.began(what)

    def simulate(self, done: int, total: int) -> None:
        """Say how many rows have been simulated."""
        if self.simulated is not None:
            self.simulated(done, total)

    def and_then(self, other: Observer) -> Observer:
        """An observer that tells this one, and then `other`."""
        both = {own.name: (getattr(self, own.name), getattr(other, own.name)) for own in fields(self)}
        return Observer(**{name: _in_turn(first, second) for name, (first, second) in both.items()})


def _in_turn(first: Callable[..., None] | None, second: Callable[..., None] | None) -> Callable[..., None] | None:
    """One call for two; where only one is there, it is that one."""
    if first is None or second is None:
        return first or second

    def tell(*what: Any) -> None:
        first(*what)
        second(*what)

    return tell
