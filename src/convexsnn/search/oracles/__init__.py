"""Where candidates come from: several ways to begin, most of them followed by hill climbing on the exact score."""

from convexsnn.search.oracles.ascent import Ascent
from convexsnn.search.oracles.crossing import Crossing
from convexsnn.search.oracles.directions import InputDirections
from convexsnn.search.oracles.protocol import Oracle, Proposal, Situation, climbed, evenly
from convexsnn.search.oracles.refinement import Refinement
from convexsnn.search.oracles.restarts import Restarts

ORACLES: dict[str, Oracle] = {
    oracle.name: oracle for oracle in (Restarts(), Refinement(), Crossing(), InputDirections(), Ascent())
}
"""By name, in the order in which they are asked; to add an oracle, enter it here."""

__all__ = ["ORACLES", "Oracle", "Proposal", "Situation", "climbed", "evenly"]
