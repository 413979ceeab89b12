"""Neurons found by the dual vector of the program."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch

from convexsnn.families.base import Run, WitnessFamily, check_neuron_settings, family, simulated
from convexsnn.network import Hidden
from convexsnn.problem import Problem
from convexsnn.search import SearchSettings, search
from convexsnn.search.search import check_oracles
from convexsnn.training import SimulatedColumns
from convexsnn.witnesses import with_constant


@family
class Search(WitnessFamily, SearchSettings):
    """Neurons that lower the objective, found by the dual vector of the program; the default.

    Its settings are those of `convexsnn.search.SearchSettings`.
    """

    name: ClassVar[str] = "search"
    searches: ClassVar[bool] = True
    shared: ClassVar[bool] = True

    def __post_init__(self) -> None:
        SearchSettings.__post_init__(self)
        check_neuron_settings(self, self.neuron)
        check_oracles(self)

    @property
    def n_at_once(self) -> int:
        """Neurons that are simulated at once."""
        return self.n_simulated

    @property
    def n_last(self) -> int:
        """P_last in rho = beta / sqrt(P_last): neurons times the columns that each gives."""
        return self.last * self.parts

    def n_last_of(self, witnesses: Hidden) -> int:  # noqa: ARG002 - whatever number of neurons was found
        """See `WitnessFamily`."""
        return self.n_last

    def columns(self, problem: Problem, run: Run) -> SimulatedColumns:
        """See `WitnessFamily`."""
        empty = self.architecture(problem.input.n_features, every_step=problem.every_step).hidden_of()
        return self.columns_after(empty, problem, run)

    def columns_after(self, given: Hidden, problem: Problem, run: Run) -> SimulatedColumns:
        """The columns of a search that begins from given hidden layers; its branches are scored on the device."""
        given = given.to("cpu")
        found = search(
            problem,
            self,
            seed=run.seed,
            given=with_constant(given) if problem.intercept else given,
            on_round=run.observer.searched,
            checkpoint=run.checkpoint,
            device=run.device,
        )
        source = simulated(found.network.hidden.to(run.device), problem, replace(run, checkpoint=None), self.n_last)
        W = found.network.W
        start = torch.cat([W, W.new_zeros(source.witnesses.n_last - len(W), W.shape[1])]).to(run.device)
        return replace(source, start=start, history=found.history, stopped=found.stopped)
