"""What an enumeration would cost, before it is begun."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from convexsnn.bounds.family import NetworkFamily
from convexsnn.bounds.patterns.enumerate import Arranged, arrange
from convexsnn.bounds.patterns.trees import Trees, grow_trees
from convexsnn.sequences import Sequences

# Fitted to enumerations and solutions on one core of a 2026 laptop-class machine; good to a factor of three.
SECONDS_A_CANDIDATE, SECONDS_A_DECISION, SECONDS_AN_ENTRY = 5e-7, 2.5e-8, 5e-7
# A sign that float64 cannot tell.
SECONDS_A_DOUBT = 1e-6
BYTES_A_COLUMN = 350


@dataclass(frozen=True)
class EnumerationCost:
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


def enumeration_cost(family: NetworkFamily, sequences: Sequences, outputs: int = 1) -> EnumerationCost:
    """What it would cost to enumerate a family and to solve the program of so many outputs over all its patterns.

    Raises
    ------
    ValueError
        When the family cannot be enumerated at any cost (several layers, lateral recurrence, analog readout), or its
        neurons have too many spike histories.
    """
    family.check_enumerable()
    trees = [grow_trees(unit, family, sequences) for unit in family.units]
    return cost_of(trees, [arrange(own) for own in trees], sequences.rows(family.every_step), outputs)


def cost_of(trees: Sequence[Trees], arranged: Sequence[Arranged], rows: int, outputs: int = 1) -> EnumerationCost:
    """The same of trees and hyperplanes that are known already."""
    candidates = columns = seconds = 0.0
    for own, planes in zip(trees, arranged, strict=True):
        rank = planes.rank
        walked = own.n_sequences * (len(own.fire) + len(own.read))
        candidates += planes.candidates
        columns += planes.candidates / 2.0 ** max(0, rank - 1)
        seconds += planes.candidates * (SECONDS_A_CANDIDATE + SECONDS_A_DECISION * walked)
        seconds += planes.doubtful * SECONDS_A_DOUBT
    seconds += SECONDS_AN_ENTRY * columns * outputs * rows
    size = columns * (BYTES_A_COLUMN + 1.25 * rows + 24.0 * outputs)
    planes = tuple((own.count, own.rank) for own in arranged)
    return EnumerationCost(candidates, columns, seconds, size, planes)
