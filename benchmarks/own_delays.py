"""The search with delays that all neurons share, or with a spacing of their own for each: which predicts better?

    python benchmarks/own_delays.py [--data GunPoint ...] [--splits 6] [--ways shared own all]

Every neuron of the first layer sees five steps. ``shared``: their spacing is an eighth of a sequence over four, for all
neurons. ``own``: each neuron has half of that spacing, that spacing or twice that; it is drawn, changed by mutation and
inherited neuron by neuron. ``all``: each neuron sees all steps that any neuron of ``own`` could see. Scores are those
on two fifths of the *training* set, for several random splits; test sets are not looked at. Prints a Markdown table:
mean accuracy in per cent and its standard error, columns, and processor seconds of a fit. Set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.model_selection import StratifiedShuffleSplit
from torch import Tensor

import series
from convexsnn import Search, SpikingClassifier
from convexsnn.search.branches.population import Population
from convexsnn.search.branches.variation import Variation

TAPS = 5
# Share of neurons whose spacing a mutation changes.
MOVED = 0.05
# The module, whose name in its room is that of its function.
SEARCHING = sys.modules["convexsnn.search.search"]
DATA = ("GunPoint", "ArrowHead", "ItalyPowerDemand")


@dataclass(frozen=True)
class Spacings:
    """The spacings that neurons may have, in steps, and the steps that they see with them."""

    gaps: tuple[int, ...]

    @property
    def delays(self) -> tuple[int, ...]:
        """All steps that are seen with any of them."""
        return tuple(sorted({gap * tap for gap in self.gaps for tap in range(TAPS)}))

    @property
    def places(self) -> Tensor:
        """Where the taps of each spacing lie among the delays: int64 of shape (len(gaps), TAPS)."""
        return torch.tensor([[self.delays.index(gap * tap) for tap in range(TAPS)] for gap in self.gaps])


@dataclass(frozen=True, eq=False)
class OwnDelays(Variation):
    """Variation in which each neuron of the first layer sees the taps of one spacing."""

    spacings: Spacings = Spacings((1,))

    def draw(self, count: int, generator: torch.Generator) -> Population:
        """Each neuron draws its spacing. Its weights are larger, as it sees fewer steps."""
        drawn = super().draw(count, generator)
        weight = drawn.layers[0].weight * (len(self.spacings.delays) / TAPS) ** 0.5
        gap = torch.randint(len(self.spacings.gaps), (count, self.width), generator=generator)
        return drawn.with_first_weight(self._seen(weight, gap, gap))

    def mutate(self, parents: Population, generator: torch.Generator) -> Population:
        """The spacing is the parent's, or, in a few neurons, drawn anew, with the parent's weights."""
        children = super().mutate(parents, generator)
        gap = self._gap(parents.layers[0].weight)
        moved = torch.rand(gap.shape, generator=generator) < MOVED
        anew = torch.where(moved, torch.randint(len(self.spacings.gaps), gap.shape, generator=generator), gap)
        return children.with_first_weight(self._seen(children.layers[0].weight, gap, anew))

    def _steps(self, weight: Tensor) -> Tensor:
        """Weights by delay: (B, delays, d, m)."""
        return weight.unflatten(1, (len(self.spacings.delays), -1))

    def _gap(self, weight: Tensor) -> Tensor:
        """The spacing of each neuron, (B, m): that whose taps have most of its weight."""
        energy = self._steps(weight).square().sum(dim=2)
        return torch.stack([energy[:, place].sum(dim=1) for place in self.spacings.places]).argmax(dim=0)

    def _seen(self, weight: Tensor, before: Tensor, after: Tensor) -> Tensor:
        """The weights of the taps of spacing `before` put at those of `after`, both (B, m); all others are zero."""
        steps, places = self._steps(weight), self.spacings.places
        where = lambda gap: places[gap].permute(0, 2, 1).unsqueeze(2).expand(-1, -1, steps.shape[2], -1)  # noqa: E731
        taps = steps.gather(1, where(before))
        return torch.zeros_like(steps).scatter(1, where(after), taps).flatten(1, 2)


@contextmanager
def varied_by(spacings: Spacings | None) -> Iterator[None]:
    """Searches within vary branches so."""
    if spacings is None:
        yield
        return

    def made(*arguments: object) -> OwnDelays:
        return OwnDelays(*arguments, spacings=spacings)  # type: ignore[arg-type]

    SEARCHING.Variation = made  # type: ignore[assignment, misc]
    try:
        yield
    finally:
        SEARCHING.Variation = Variation  # type: ignore[misc]


def fitted(way: str, X: list[np.ndarray], y: np.ndarray, seed: int) -> SpikingClassifier:
    """A search whose neurons see steps in one of the ways."""
    gap = max(1, int(np.median([len(x) for x in X])) // 32)
    own = Spacings(tuple(sorted({max(1, gap // 2), gap, 2 * gap})))
    delays = Spacings((gap,)).delays if way == "shared" else own.delays
    family = Search(depth=2, readout="rate", delays=delays, standardise=True)
    with varied_by(own if way == "own" else None):
        return SpikingClassifier(witnesses=family, beta=0.02, random_state=seed).fit(X, y)


def cell(name: str, way: str, splits: int) -> str:
    """A cell of the table."""
    (X, y), _ = series.load(name, 0, None)
    scores, columns, seconds = [], [], []
    shuffled = StratifiedShuffleSplit(splits, test_size=0.4, random_state=0)
    for seed, (train, held) in enumerate(shuffled.split(np.zeros(len(y)), y)):
        begun = time.process_time()
        model = fitted(way, [X[i] for i in train], y[train], seed)
        seconds.append(time.process_time() - begun)
        scores.append(100.0 * model.score([X[i] for i in held], y[held]))
        columns.append(model.certificate_.support)
    error = np.std(scores, ddof=1) / np.sqrt(splits)
    return f"{np.mean(scores):.1f} ± {error:.1f} ({np.mean(columns):.0f} columns, {np.median(seconds):.1f} s)"


def main() -> None:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=DATA)
    parser.add_argument("--ways", nargs="+", default=["shared", "own", "all"], choices=["shared", "own", "all"])
    parser.add_argument("--splits", type=int, default=6)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| data | " + " | ".join(options.ways) + " |")
    print("|---" * (1 + len(options.ways)) + "|")
    for name in options.data:
        print(f"| {name} | " + " | ".join(cell(name, way, options.splits) for way in options.ways) + " |", flush=True)


if __name__ == "__main__":
    main()
