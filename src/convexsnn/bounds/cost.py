"""What an enumeration would cost, before it is begun."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from convexsnn.bounds.decisions import Decisions, decisions_of
from convexsnn.bounds.enumerate import Arranged, arrange
from convexsnn.bounds.family import Family
from convexsnn.sequences import Sequences

# Fitted to enumerations and solutions on one core of a 2026 laptop-class machine; good to a factor of three.
SECONDS_A_CANDIDATE, SECONDS_A_DECISION, SECONDS_AN_ENTRY = 5e-7, 2.5e-8, 5e-7
BYTES_A_COLUMN = 350


@dataclass(frozen=True)
class Cost:
    """Estimates, good to a factor of three; of the columns an upper bound, for inputs in general position.

    Attributes
    ----------
    candidates : float
        Sign vectors to visit.
    columns : float
        Patterns, at most about so many; often far fewer are distinct.
    seconds : float
        To visit them, and to solve the program over them.
    bytes : float
        Of memory.
    planes : tuple of (int, int)
        Hyperplanes, and their rank, of each kind of neuron.
    """

    candidates: float
    columns: float
    seconds: float
    bytes: float
    planes: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        sizes = ", ".join(f"{count} hyperplanes of rank {rank}" for count, rank in self.planes)
        return (
            f"about {self.candidates:.1e} patterns to visit ({sizes}) and up to {self.columns:.1e} columns: about "
            f"{self.seconds:.2g} s and {self.bytes / 2**30:.2g} GiB"
        )


def enumeration_cost(family: Family, sequences: Sequences, outputs: int = 1) -> Cost:
    """What it would cost to enumerate a family and to solve the program of so many outputs over all its patterns.

    Raises
    ------
    ValueError
        When the family cannot be enumerated at any cost (several layers, lateral recurrence, analog readout), or its
        neurons have too many spike histories.
    """
    family.check_enumerable()
    decisions = [decisions_of(unit, family, sequences) for unit in family.units]
    return cost_of(decisions, [arrange(own) for own in decisions], sequences.rows(family.every_step), outputs)


def cost_of(decisions: Sequence[Decisions], arranged: Sequence[Arranged], rows: int, outputs: int = 1) -> Cost:
    """The same of trees and hyperplanes that are known already."""
    candidates = columns = seconds = 0.0
    for own, planes in zip(decisions, arranged, strict=True):
        rank = planes.normals.shape[1]
        walked = own.n_sequences * (len(own.fire) + len(own.read))
        candidates += planes.candidates
        columns += planes.candidates / 2.0 ** max(0, rank - 1)
        seconds += planes.candidates * (SECONDS_A_CANDIDATE + SECONDS_A_DECISION * walked)
    seconds += SECONDS_AN_ENTRY * columns * outputs * rows
    size = columns * (BYTES_A_COLUMN + 1.25 * rows + 24.0 * outputs)
    planes = tuple((int(own.normals.shape[0]), int(own.normals.shape[1])) for own in arranged)
    return Cost(candidates, columns, seconds, size, planes)
