"""How to train exactly, and at what cost to refuse."""

from __future__ import annotations

from dataclasses import dataclass

from convexsnn.checks import check_choice, check_heeded, check_integer, check_real

METHODS = ("arrangement", "pricing")


@dataclass(frozen=True)
class ExactSettings:
    """How to train exactly, and at what cost to refuse.

    Attributes
    ----------
    method : {"arrangement", "pricing"}
        "arrangement" solves the program over the patterns of all neurons at once. "pricing" adds columns round by
        round, by branch and bound: it needs no enumeration, and may stop with a gap.
    max_patterns : int
        "arrangement" is refused beforehand where it would visit more patterns than this.
    time_limit : float
        Training may take this many seconds. "arrangement" is refused beforehand where it is expected to take longer,
        and "pricing" begins no round after that time.
    """

    method: str = "arrangement"
    max_patterns: int = 20_000_000
    time_limit: float = 600.0

    def __post_init__(self) -> None:
        check_choice("method", self.method, METHODS)
        check_integer("max_patterns", self.max_patterns)
        check_real("time_limit", self.time_limit, 0.0, open_minimum=True)
        if self.method == "pricing":
            check_heeded(self, ("max_patterns",), "on method='pricing'")
