"""What an enumeration would cost, before it is begun."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from convexsnn.bounds.family import NetworkFamily
from convexsnn.bounds.patterns.enumerations import Enumeration, enumeration_of
from convexsnn.sequences import Sequences

# Fitted to solutions on one core of a 2026 laptop-class machine; good to a factor of three.
SECONDS_AN_ENTRY = 5e-7
BYTES_A_COLUMN = 350


@dataclass(frozen=True)
class EnumerationCost:
    """Estimates, good to a factor of three; of the columns more than there are, as several cells can give one.

    Attributes
    ----------
    candidates : float
        Cells or sign vectors to visit.
    columns : float
        Patterns, at most about so many; often far fewer are distinct.
    seconds : float
        To visit them, and to solve the program over them.
    bytes : float
        Of memory.
    """

    candidates: float
    columns: float
    seconds: float
    bytes: float

    def __str__(self) -> str:
        return (
            f"about {self.candidates:.1e} patterns to visit and up to {self.columns:.1e} columns: about "
            f"{self.seconds:.2g} s and {self.bytes / 2**30:.2g} GiB"
        )


def enumeration_cost(family: NetworkFamily, sequences: Sequences, outputs: int = 1) -> EnumerationCost:
    """What it would cost to enumerate a family and to solve the program of so many outputs over all its patterns.

    Raises
    ------
    ValueError
        When the family cannot be enumerated at any cost (several layers, lateral recurrence, analog readout), or its
        neurons have too many spike histories.
    """
    family.check_enumerable()
    ways = [enumeration_of(unit, family, sequences) for unit in family.units]
    return cost_of(ways, sequences.rows(family.every_step), outputs)


def cost_of(ways: Sequence[Enumeration], rows: int, outputs: int = 1) -> EnumerationCost:
    """The cost of ways to enumerate that are known already."""
    columns = sum(way.columns for way in ways)
    seconds = sum(way.seconds for way in ways) + SECONDS_AN_ENTRY * columns * outputs * rows
    size = columns * (BYTES_A_COLUMN + 1.25 * rows + 24.0 * outputs)
    return EnumerationCost(sum(way.visited for way in ways), columns, seconds, size)
