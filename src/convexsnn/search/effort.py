"""How much a search may do, counted in steps of neurons, so that its result does not depend on a clock."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from convexsnn.prefixes import Prefixes
from convexsnn.search.history import Round
from convexsnn.search.settings import SearchSettings

# What one neuron takes for one step of one distinct prefix, about: on one core of 2026 (benchmarks/simulator.py), and
# on an H200 (benchmarks/on_cuda.py).
SECONDS_A_STEP, SECONDS_A_STEP_ON_GPU = 5e-10, 3e-11
# The effort is what takes about so many seconds, where none is given.
USUAL_SECONDS = 10.0
# A round has at least so many generations, of at least so many branches, on at least so many rows.
GENERATIONS, BRANCHES, ROWS = 30, 64, 256
# Shares of the effort: that of a round, at most, and that which is kept for the last step.
ROUND, LAST_STEP = 0.05, 0.1


@dataclass(frozen=True)
class Effort:
    """What a search may spend.

    Attributes
    ----------
    settings : SearchSettings
    branch : int
        Neuron steps of running one small branch over all training rows.
    all_rows : int
    seconds_a_step : float
        That a neuron step takes, about.
    """

    settings: SearchSettings
    branch: int
    all_rows: int
    seconds_a_step: float = SECONDS_A_STEP

    @classmethod
    def of(cls, settings: SearchSettings, prefixes: Prefixes, layers: int, device: torch.device) -> Effort:
        """For branches of so many layers, which are scored on a device."""
        step = SECONDS_A_STEP if device.type == "cpu" else SECONDS_A_STEP_ON_GPU
        return cls(settings, prefixes.n_nodes * layers * settings.shape.width, len(prefixes.node_of_row), step)

    @property
    def total(self) -> float:
        """Neuron steps: those that are given, or about as many as there are seconds for."""
        if self.settings.effort is not None:
            return self.settings.effort
        return (self.settings.seconds or USUAL_SECONDS) / self.seconds_a_step

    @property
    def rows(self) -> int:
        """Rows on which branches climb: all, or so many that a round's share of the effort suffices for its least."""
        least = min(GENERATIONS, self.settings.generations) * min(BRANCHES, self.settings.population)
        return min(self.all_rows, max(ROWS, int(self.all_rows * self._afforded / least)))

    @property
    def population(self) -> int:
        """Branches that an oracle varies: those asked for, or as many as climb for the least number of generations."""
        generations = min(GENERATIONS, self.settings.generations)
        return max(1, min(self.settings.population, int(self._on_rows / generations)))

    @property
    def generations(self) -> int:
        """Generations of hill climbing in a round: as many as asked for, or as its share of the effort allows."""
        return max(1, min(self.settings.generations, int(self._on_rows / self.population)))

    @property
    def _afforded(self) -> float:
        """Branches that a round may run over all training rows."""
        return ROUND * self.total / self.branch

    @property
    def _on_rows(self) -> float:
        """Branches that it may run over those on which they climb."""
        return self._afforded * self.all_rows / self.rows

    @property
    def trials(self) -> int:
        """Branches to be run for pruning."""
        asked = self.settings.prune * self.generations * self.population
        return min(asked, int(LAST_STEP * self.total / self.branch))

    @property
    def last_step(self) -> float:
        """The share, as `spent` counts, of the last step of an attempt."""
        return self.trials / self.simulations

    @property
    def simulations(self) -> float:
        """Branches that all rounds together may run over the training rows."""
        return (1.0 - LAST_STEP) * self.total / self.branch

    def spent(self, history: tuple[Round, ...]) -> float:
        """Share that has been spent of what there was for all but the last step, on branches of any shape."""
        if not history:
            return 0.0
        settings, last = self.settings, history[-1]
        if settings.seconds is None:
            most = sum(entry.steps for entry in history) / self.branch / self.simulations
        else:
            most = last.seconds / ((1.0 - LAST_STEP) * settings.seconds)
        return max(most, last.number / settings.rounds)
