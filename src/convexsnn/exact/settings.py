"""How to train exactly, and at what cost to refuse."""

from __future__ import annotations

from dataclasses import dataclass

from convexsnn.checks import check_choice, check_integer, check_real

METHODS = ("arrangement", "pricing")


@dataclass(frozen=True)
class ExactSettings:
    """How to train exactly, and at what cost to refuse.

    Attributes
    ----------
    method : {"arrangement", "pricing"}
        "arrangement" solves the program over all patterns at once. "pricing" generates columns: each round prices by
        branch and bound, whose bound is the certificate; it needs no enumeration, and may stop with a gap.
    limit : int
        "arrangement" is refused beforehand when it would have to visit more patterns.
    time_limit : float
        Seconds. "arrangement" is refused beforehand when its estimate is above; "pricing" begins no round after it.
    """

    method: str = "arrangement"
    limit: int = 20_000_000
    time_limit: float = 600.0

    def __post_init__(self) -> None:
        check_choice("method", self.method, METHODS)
        check_integer("limit", self.limit)
        check_real("time_limit", self.time_limit, 0.0, open_minimum=True)
