"""Everything that runs on a GPU: its tests, and how fast it is beside the CPU and, where they are, other libraries.

    python benchmarks/on_cuda.py [--device cuda] [--json cuda.json] [--small]

One command of under six minutes on one H100 or H200. It needs the dependencies of the package, pytest and hypothesis,
and no network. Prints a Markdown table; `--json` writes the same as data. ``--device cpu --small`` tries the script
where there is no GPU. The first call of each measurement is not counted. Seconds are medians of wall-clock time.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from convexsnn import Architecture, Network, Problem, Search, SpikingClassifier, as_sequences, gaussian
from convexsnn.columns import BitColumns, pack_bits
from convexsnn.dictionary import build_dictionary
from convexsnn.losses import LOSSES
from convexsnn.penalties import PENALTIES
from convexsnn.prefixes import Prefixes, prefixes_of
from convexsnn.program import ConvexProgram, uniform_weights
from convexsnn.search.branches import simulator
from convexsnn.search.branches.on_gpu.finding import walking_for
from convexsnn.search.branches.population import Population
from convexsnn.search.branches.pricing import DualPricing
from convexsnn.search.branches.runner import BranchRunner
from convexsnn.search.branches.variation import Variation, input_scale
from convexsnn.search.oracles.climb import climb
from convexsnn.solvers import solve
from convexsnn.solvers.base import Solution
from convexsnn.surrogate import PAPER_BASELINE, initial_network, train_surrogate
from shapes import TEST, drawn

REPEATS, CPU = 5, torch.device("cpu")
NORMS = ("l1", "group")
TESTS = Path(__file__).parents[1] / "tests" / "test_cuda.py"


@dataclass(frozen=True)
class Row:
    """What was measured, in seconds or what `unit` says; None where it was not."""

    what: str
    unit: str
    there: float | None
    cpu: float | None = None
    other: str = ""


def median_seconds(work: Callable[[], object], device: torch.device, repeats: int = REPEATS) -> float:
    """Of calls that are over when the device is idle again, after one that is not counted."""

    def once() -> float:
        begun = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - begun

    once()
    return statistics.median(once() for _ in range(repeats))


def scoring(device: torch.device, small: bool) -> Iterator[Row]:
    """Candidates of a search, for one neuron, one step and one distinct prefix."""
    random = np.random.default_rng(0)
    rows = 200 if small else 2000
    bits = lambda T: np.eye(2)[random.integers(2, size=(rows, T))]  # noqa: E731
    cases = {
        "14 bits, recurrent": (bits(14), {"recurrent": True}, 1),
        "14 bits, no recurrence": (bits(14), {}, 1),
        "50 bits, recurrent": (bits(50), {"recurrent": True}, 1),
        "14 x 56 reals, 10 outputs, recurrent": (random.random((rows, 14, 56)), {"recurrent": True}, 10),
    }
    for name, (X, shape, outputs) in cases.items():
        sequences = as_sequences(X)
        prefixes = prefixes_of(sequences, every_step=False)
        architecture = Architecture(sequences.n_features, depth=2, bias=True, readout="spike", **shape)
        variation = Variation(architecture, 12, input_scale(prefixes, 1.0), free_leak=True)
        U = torch.randn(rows, outputs, generator=torch.Generator().manual_seed(0))
        yield from scored(f"{rows} x {name}", variation, prefixes, U, {device: 64 if small else 4096, CPU: 64})


def scored(
    name: str, variation: Variation, prefixes: Prefixes, U: torch.Tensor, many: dict[torch.device, int]
) -> Iterator[Row]:
    """By the kernel and by torch code, and a whole generation of climbing, with so many branches on each device."""

    def picoseconds(where: torch.device, *, by_torch: bool = False) -> float:
        population, pricing = ready(where)
        counts, tree = pricing.counts, prefixes.to(where)
        kernel = lambda: pricing.correlations(population)  # noqa: E731
        work = (lambda: simulator.correlate(population, tree, counts)) if by_torch else kernel
        return 1e12 * median_seconds(work, where) / (many[where] * variation.width * prefixes.n_nodes)

    def ready(where: torch.device) -> tuple[Population, DualPricing]:
        population = variation.draw(many[where], torch.Generator().manual_seed(0)).to(where)
        return population, DualPricing(BranchRunner(prefixes, population.readout, device=where), U, PENALTIES["l1"])

    device = next(iter(many))
    population, pricing = ready(device)
    by = "by the kernel" if walking_for(population, device) else "no kernel"
    note = f"{by}; torch code {picoseconds(device, by_torch=True):.4g}"
    yield Row(f"scoring of a search, {name}", "ps", picoseconds(device), picoseconds(CPU), note)
    chance, generations = torch.Generator(device).manual_seed(0), 10
    seconds = median_seconds(lambda: climb(population, variation, pricing, generations, chance), device)
    what = f"a generation of {many[device]} such branches: varied, scored, chosen"
    yield Row(what, "s", seconds / (generations + 1))


def searches(device: torch.device, small: bool) -> Iterator[Row]:
    """The default search, with the effort of the device."""
    for n in [100] if small else [500, 2000, 8000]:
        X, y = drawn(n, np.random.default_rng(0))
        model = SpikingClassifier(witnesses=Search(effort=1e8 if small else None), device=device.type, random_state=0)
        begun = time.perf_counter()
        model.fit(X, y)
        seconds = time.perf_counter() - begun
        right = 100.0 * model.score(*drawn(TEST, np.random.default_rng(10_000)))
        yield Row(f"search, one of four shapes in noise, n {n}", "s", seconds, other=f"{right:.1f} % of test rows")


def programs(device: torch.device, small: bool) -> Iterator[Row]:
    """Large programs over 0/1 columns."""
    cases = [("cross_entropy", "l1", 59_000, 65_536, 1.0), ("cross_entropy", "l1", 59_000, 65_536, 0.1)]
    cases += [(loss, penalty, 20_000, 8_192, 0.1) for loss in ("squared", "logistic", "hinge") for penalty in NORMS]
    for loss, penalty, n, P, beta in cases:
        n, P = (n // 100, P // 100) if small else (n, P)
        program = drawn_program(loss, penalty, n, P, beta, device)
        solutions: list[Solution] = []
        seconds = median_seconds(lambda: solutions.append(solve(program)), device, 1)  # noqa: B023
        note = f"gap {solutions[-1].certificate.relative_gap:.0e}"
        yield Row(f"{loss} with {penalty}, {n} x {P} bits, beta {beta:g}", "s", seconds, other=note)


def drawn_program(loss: str, penalty: str, n: int, P: int, beta: float, device: torch.device) -> ConvexProgram:
    """Spikes of random neurons on random inputs, and labels that depend on these."""
    generator = torch.Generator(device).manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=generator, device=device)  # noqa: E731
    x = draw(n, 32)
    widths = [min(1024, P - start) for start in range(0, P, 1024)]
    packed = [pack_bits((x @ draw(32, width) > draw(width).abs()).T) for width in widths]
    labels = (x @ draw(32, 10)).argmax(dim=1)
    # The squared loss has numbers for targets.
    targets = LOSSES["logistic" if loss == "squared" else loss].encode(labels, 10)
    columns, weights = BitColumns(torch.cat(packed), n), uniform_weights(n, device)
    return ConvexProgram(columns, targets, LOSSES[loss], PENALTIES[penalty], beta / P**0.5, weights)


def dictionaries(device: torch.device, small: bool) -> Iterator[Row]:
    """Columns of random neurons."""
    n, m = (100, 64) if small else (10_000, 4096)
    generator = torch.Generator().manual_seed(0)
    sequences = as_sequences(torch.rand(n, 28, 28, generator=generator, dtype=torch.float64).numpy())
    for dtype in ("float32", "float64"):
        hidden = gaussian(Architecture(28, depth=2, last=m, leak=0.9, readout="spike", dtype=dtype), generator)

        def seconds(where: torch.device) -> float:
            moved = hidden.to(where)  # noqa: B023 - called within this turn
            return median_seconds(lambda: build_dictionary(moved, sequences), where, 1)

        what = f"dictionary of {n} sequences of 28 steps, {m} neurons, {dtype}"
        yield Row(what, "s", seconds(device), seconds(torch.device("cpu")))


def surrogates(device: torch.device, small: bool) -> Iterator[Row]:
    """A training step of batch 1024, 28 steps of 28 features, 768 neurons."""
    batch, width = (64, 32) if small else (1024, 768)
    generator = torch.Generator().manual_seed(0)
    sequences = as_sequences(torch.rand(batch, 28, 28, generator=generator, dtype=torch.float64).numpy())
    labels, loss = torch.randint(10, (batch,), generator=generator), LOSSES["cross_entropy"]
    problem = Problem(sequences, loss.encode(labels, 10), loss, PENALTIES["l1"], 1.0)
    for recurrent in (False, True):
        shape = Architecture(28, depth=2, last=width, leak=0.9, readout="spike", reset="soft", recurrent=recurrent)
        start = initial_network(shape, 10, generator)
        settings = replace(PAPER_BASELINE, epochs=4 if small else 12)
        trained = train_surrogate(Network(start.hidden.to(device), start.W.to(device)), problem, settings, seed=0)
        ended = [epoch.seconds for epoch in trained.history]
        step = statistics.median(np.diff(ended)[1:])
        peers = [] if recurrent else [peer(device, batch, width) for peer in (_snntorch, _jelly)]
        kind = "recurrent" if recurrent else "feedforward"
        yield Row(
            f"surrogate training step, batch {batch}, {width} {kind} neurons",
            "s",
            float(step),
            other="; ".join(filter(None, peers)),
        )


def _snntorch(device: torch.device, batch: int, width: int) -> str:
    try:
        import snntorch
    except ImportError:
        return ""
    first, leaky = torch.nn.Linear(28, width, device=device), snntorch.Leaky(beta=0.9).to(device)

    def hidden(x: torch.Tensor) -> torch.Tensor:
        membrane, spikes = leaky.init_leaky().to(device), x
        for t in range(28):
            spikes, membrane = leaky(first(x[:, t]), membrane)
        return spikes

    return f"snnTorch {_step(hidden, [*first.parameters()], device, batch, width):.4f}"


def _jelly(device: torch.device, batch: int, width: int) -> str:
    try:
        from spikingjelly.activation_based import functional, layer, neuron
    except ImportError:
        return ""
    first, lif = layer.Linear(28, width, step_mode="m").to(device), neuron.LIFNode(tau=10.0, step_mode="m").to(device)

    def hidden(x: torch.Tensor) -> torch.Tensor:
        functional.reset_net(lif)
        return lif(first(x.transpose(0, 1)))[-1]

    return f"SpikingJelly {_step(hidden, [*first.parameters()], device, batch, width):.4f}"


def _step(
    hidden: Callable[[torch.Tensor], torch.Tensor],
    parameters: list[torch.nn.Parameter],
    device: torch.device,
    batch: int,
    width: int,
) -> float:
    """Seconds of a step of Adam on another library's hidden layer and a linear readout."""
    x, labels = torch.rand(batch, 28, 28, device=device), torch.randint(10, (batch,), device=device)
    readout = torch.nn.Linear(width, 10, device=device)
    optimizer = torch.optim.Adam([*parameters, *readout.parameters()])

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(readout(hidden(x)), labels).backward()
        optimizer.step()

    return median_seconds(step, device)


def tests() -> str:
    """The last line of pytest."""
    command = [sys.executable, "-m", "pytest", "-o", "addopts=", "-p", "no:cacheprovider", "-n", "0", str(TESTS)]
    lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip().splitlines()
    return next((line for line in reversed(lines) if "passed" in line or "failed" in line or "skipped" in line), "?")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--json", type=Path, default=None)
    parser.add_argument("--small", action="store_true", help="a hundredth of the sizes, to try the script")
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("there is no CUDA device; --device cpu --small tries the script")
    name = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or platform.machine()
    facts = {"device": name, "torch": torch.__version__, "date": time.strftime("%Y-%m-%d"), "tests": tests()}
    print("\n".join(f"{key}: {value}" for key, value in facts.items()))
    print(f"\n| what | unit | {device.type} | CPU | |\n|---|---|---|---|---|")
    rows = []
    for measure in (scoring, surrogates, dictionaries, searches, programs):
        for row in measure(device, options.small):
            rows.append(row)
            cells = [row.what, row.unit, *("" if x is None else f"{x:.4g}" for x in (row.there, row.cpu)), row.other]
            print(f"| {' | '.join(cells)} |", flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(facts | {"rows": [asdict(row) for row in rows]}, indent=1))


if __name__ == "__main__":
    main()
