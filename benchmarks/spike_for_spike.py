"""Exported networks against the packages that they are exported to: spikes compared, and how many differ.

    OMP_NUM_THREADS=1 python benchmarks/spike_for_spike.py --spikes 400000

Networks of two branches of two layers, with recurrence where the target holds it, are run by us and by the target, step
for step; half of them with random weights and inputs, half with multiples of 1/8 and 0/1 inputs, whose membranes
often meet the threshold exactly. Graphs of NIR are written to a file and read by each package's importer. Targets whose
package is missing are left out.

The second table is of networks whose connections have delays, read in turn by their rate, count, leaky sum, windows and
several of these. It compares what is read of every neuron at every step, and asks for equality to the last bit.
"""

import argparse
import contextlib
import io
import logging
import tempfile
import warnings
from pathlib import Path

import torch

from convexsnn import LIF, Branch, Hidden, Layer, Network, Threshold
from convexsnn.export import to_nir, to_norse, to_snntorch, to_spikingjelly, to_torch
from convexsnn.readouts import Leaky, Several, Spike, Windows
from convexsnn.simulation import initial_state, read, step

T, N, D, LAST = 15, 40, 6, 16
ALL = ("soft", "hard", "none", "delayed", "threshold")
MODULES = {
    "plain torch": (to_torch, ALL),
    "snnTorch": (to_snntorch, ALL),
    "SpikingJelly": (to_spikingjelly, ("soft", "hard", "threshold")),
    "Norse": (to_norse, ALL),
}


READOUTS = ("rate", "count", Leaky(0.7), Windows(3, 5), Several((Windows(2, 4), Leaky(0.9), Spike())))
DELAYS = ((0, 2, 5), (0, 1))


def draw(reset, leak, g, *, dyadic, recurrent, dtype, readout="spike", delays=((0,), (0,))):
    """A network whose outputs are what is read of its last layers."""

    def weights(*shape):
        drawn = torch.randn(*shape, generator=g, dtype=torch.float64)
        return ((4 * drawn).round() / 8 if dyadic else 0.4 * drawn).to(dtype)

    def layer(n_in, m, lags):
        leaks, thresholds = (torch.full((m,), value, dtype=dtype) for value in (leak, 0.5))
        neuron = Threshold() if reset == "threshold" else LIF(leaks, thresholds, reset)
        back = 0.25 * weights(m, m) if recurrent else None
        return Layer(weights(n_in * len(lags), m), neuron, back, 0.5 * weights(m), lags)

    first, last = delays
    branches = tuple(Branch((layer(D, 20, first), layer(20, LAST, last))) for _ in range(2))
    hidden = Hidden(D, branches, readout, True, dtype)
    return Network(hidden, torch.eye(hidden.n_last, dtype=torch.float64))


def run_ours(network, X):
    """What is read of the last layers at every step, (T, N, P_last)."""
    state, spikes = initial_state(network.hidden, X.shape[1]), []
    for x in X:
        state = step(network.hidden, x, state).state
        spikes.append(read(network.hidden, state)[0].to(X.dtype))
    return torch.stack(spikes)


@torch.no_grad()
def run_theirs(module, X):
    state, outputs = None, []
    for x in X:
        y, state = module(x, state)
        outputs.append(y)
    return torch.stack(outputs).round()


@torch.no_grad()
def run_module(module, X):
    return module.features(X)[0]


def importers():
    """Readers of NIR graphs, by package."""
    found = {}
    with contextlib.suppress(ImportError):
        from snntorch.import_nir import import_from_nir as snntorch

        found["NIR in snnTorch"] = snntorch
    with contextlib.suppress(ImportError):
        from spikingjelly.activation_based.nir_exchange import import_from_nir as jelly

        found["NIR in SpikingJelly"] = jelly
    with contextlib.suppress(ImportError):
        from norse.torch import from_nir as norse

        found["NIR in Norse"] = lambda graph: norse(graph, dt=1e-4)
    return found


def through_a_file(network, importer):
    import nir

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.nir"
        nir.write(path, to_nir(network))
        with contextlib.redirect_stdout(io.StringIO()):
            return importer(nir.read(path))


def compare(export, run, reset, recurrent, dtype, enough, over_time=False):
    """Numbers compared and numbers that differ, with random and with dyadic weights, `enough` in all."""
    counts = []
    for dyadic in (False, True):
        compared, differ, seed = 0, 0, 0
        while compared < enough / 2:
            g = torch.Generator().manual_seed(seed)
            more = {"readout": READOUTS[seed % len(READOUTS)], "delays": DELAYS} if over_time else {}
            leak = (0.5, 0.75, 0.9)[seed % 3]
            network = draw(reset, leak, g, dyadic=dyadic, recurrent=recurrent, dtype=dtype, **more)
            drawn = torch.randint(2, (T, N, D), generator=g) if dyadic else torch.randn(T, N, D, generator=g)
            X = drawn.to(dtype)
            expected = run_ours(network, X)
            differ += int((run(export(network), X) != expected).sum())
            compared, seed = compared + expected.numel(), seed + 1
        counts.append((compared, differ))
    return counts


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--spikes", type=int, default=400_000, help="compared a target and reset, at least")
    enough = parser.parse_args().spikes
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)

    def head(what):
        print(f"| target | reset | recurrent | {what}, random | differ | {what}, dyadic | differ |")
        print("|---|---|---|---|---|---|---|")

    def line(target, export, run, reset, recurrent, dtype, over_time=False):
        try:
            (random, wrong), (dyadic, also) = compare(export, run, reset, recurrent, dtype, enough, over_time)
        except ImportError as error:
            print(f"{target} left out: {error}")
            return
        kind = "yes" if recurrent else "no"
        print(f"| {target} | {reset} | {kind} | {random} | {wrong} | {dyadic} | {also} |", flush=True)

    head("spikes")
    for target, (export, resets) in MODULES.items():
        for reset in resets:
            line(target, export, run_module, reset, True, torch.float64)
    for target, importer in importers().items():
        for reset in ("hard", "none"):
            # snnTorch's importer fails on recurrent graphs, in nirtorch 2.6.
            export = lambda network, importer=importer: through_a_file(network, importer)  # noqa: E731
            line(target, export, run_theirs, reset, target != "NIR in snnTorch", torch.float32)
    print()
    head("columns over time")
    for target, (export, resets) in MODULES.items():
        for reset in resets:
            line(target, export, run_module, reset, True, torch.float64, over_time=True)


if __name__ == "__main__":
    main()
