"""An epoch of the paper's SG (full batch, Adam) in ours and in snnTorch: same network, same weights, same data.

    python benchmarks/surrogate.py [--cell mnist-T14-L3] [--epochs 3]

The cells' inputs are drawn at random here: the time does not depend on them. Ours computes the gradient some sequences
at a time; "all at once" is ours with that turned off. Uses one thread unless OMP_NUM_THREADS says otherwise. Prints a
Markdown table of medians, and stops when the objectives before training differ.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from unittest import mock

import snntorch as snn
import torch
from torch import Tensor, nn

from convexsnn import Architecture, Network, Problem, as_sequences
from convexsnn.bench.cells import CELLS, Cell
from convexsnn.losses import LOSSES
from convexsnn.penalties import PENALTIES
from convexsnn.surrogate import PAPER_BASELINE, initial_network, train_surrogate
from convexsnn.surrogate.run import TRAINED_AT_ONCE

FEATURES = {"first-last-xor": 2, "mnist": 784}
CLASSES = {"first-last-xor": 2, "mnist": 10}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cells = [name for name, cell in CELLS.items() if not cell.per_step]
    parser.add_argument("--cell", default="mnist-T14-L3", choices=cells)
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    start, problem = set_up(CELLS[options.cell])
    with mock.patch.dict(TRAINED_AT_ONCE, {"cpu": len(problem.input)}):
        whole = ours(start, problem, options.epochs)
    rows = {
        f"ours, {TRAINED_AT_ONCE['cpu']} sequences at a time": ours(start, problem, options.epochs),
        "ours, all at once": whole,
        "snnTorch": theirs(start, problem, options.epochs),
    }
    first = [objectives[0] for objectives, _ in rows.values()]
    if max(first) - min(first) > 1e-4:
        raise SystemExit(f"these do not train the same network: objectives before training {first}")
    fastest = min(seconds for _, seconds in rows.values())
    print(f"{options.cell}, {torch.get_num_threads()} thread(s), {platform.processor() or platform.machine()}\n")
    print("| | seconds an epoch | of the fastest | objective before training |\n|---|---|---|---|")
    for name, (objectives, seconds) in rows.items():
        print(f"| {name} | {seconds:.2f} | {seconds / fastest:.1f} | {objectives[0]:.6f} |")


def set_up(cell: Cell) -> tuple[Network, Problem]:
    """The cell's network, and random sequences of its shape that are all different."""
    generator, n = torch.Generator().manual_seed(0), cell.sizes[0]
    d = FEATURES[cell.task] // (cell.timesteps if cell.task == "mnist" else 1)
    sequences = as_sequences(torch.rand(n, cell.timesteps, d, generator=generator, dtype=torch.float64).numpy())
    classes = CLASSES[cell.task]
    labels = torch.randint(classes, (n,), generator=generator)
    loss = LOSSES["cross_entropy"]
    problem = Problem(sequences, loss.encode(labels, classes), loss, PENALTIES["l1"], 1.0)
    sizes = {"depth": cell.depth, "hidden": cell.hidden, "last": cell.last}
    architecture = Architecture(d, **sizes, leak=0.99, readout="spike", reset="delayed")
    return initial_network(architecture, classes, generator), problem


def ours(start: Network, problem: Problem, epochs: int) -> tuple[list[float], float]:
    """Objectives before each epoch, and the median of an epoch's seconds."""
    history = train_surrogate(start, problem, replace(PAPER_BASELINE, epochs=epochs), seed=0).history
    ended = [epoch.seconds for epoch in history]
    return [e.objective for e in history], statistics.median(b - a for a, b in zip([0.0, *ended], ended, strict=False))


class Plain(nn.Module):
    """The same network as their users write it."""

    def __init__(self, start: Network) -> None:
        super().__init__()
        self.branches = nn.ModuleList()
        for branch in start.hidden.branches:
            parts: list[nn.Module] = []
            for layer in branch.layers:
                linear = nn.Linear(*layer.weight.shape, bias=False)
                linear.weight.data = layer.weight.T.to(torch.float32).contiguous()
                parts += [linear, snn.Leaky(beta=0.99, threshold=1.0)]
            self.branches.append(nn.ModuleList(parts))
        self.readout = nn.Linear(start.W.shape[0], start.W.shape[1], bias=False)
        self.readout.weight.data = start.W.T.to(torch.float32).contiguous()

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(torch.cat([self._last_spikes(list(parts), x) for parts in self._branches()], dim=1))

    def _branches(self) -> Iterator[nn.ModuleList]:
        return iter(self.branches)  # type: ignore[return-value]

    @staticmethod
    def _last_spikes(parts: list[nn.Module], x: Tensor) -> Tensor:
        membranes = [neuron.init_leaky() for neuron in parts[1::2]]  # type: ignore[operator]
        spikes = x[:, 0]
        for t in range(x.shape[1]):
            spikes = x[:, t]
            for i, (linear, neuron) in enumerate(zip(parts[::2], parts[1::2], strict=True)):
                spikes, membranes[i] = neuron(linear(spikes), membranes[i])
        return spikes


def theirs(start: Network, problem: Problem, epochs: int) -> tuple[list[float], float]:
    """As `ours`, in snnTorch."""
    model, x = Plain(start), problem.input.values.to(torch.float32)
    labels = problem.targets.argmax(dim=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=PAPER_BASELINE.learning_rate)
    objectives: list[float] = []

    def epoch() -> None:
        optimizer.zero_grad()
        objective = nn.functional.cross_entropy(model(x), labels)
        objective.backward()
        optimizer.step()
        objectives.append(float(objective.detach()))

    return objectives, statistics.median([timed(epoch) for _ in range(epochs)])


def timed(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
