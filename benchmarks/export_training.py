"""An exported network of many branches, trained: processor time of a step beside a dense network of the same sizes.

    OMP_NUM_THREADS=1 python benchmarks/export_training.py

The network has 97 branches of two layers, of unequal widths. The other is written by hand, as in snnTorch's tutorials:
`nn.Linear` and `Leaky` in a loop over the steps. Both have as many neurons in each layer, the same data, loss and
optimiser. With `--leaks 4` neurons have four different leaks, each of which is a node of its own in SpikingJelly.
"""

import argparse
import logging
import time
import warnings

import torch
from torch import nn

from convexsnn import LIF, Branch, Hidden, Layer, Network
from convexsnn.export import to_norse, to_snntorch, to_spikingjelly, to_torch

TARGETS = {"plain torch": to_torch, "snnTorch": to_snntorch, "SpikingJelly": to_spikingjelly, "Norse": to_norse}
STEPS, BATCH, FEATURES, CLASSES = 28, 128, 10, 2
LEAKS = (0.9, 0.5, 0.75, 0.25)


def draw(branches, leaks, g):
    """A network of `branches` branches of 3 to 12 and 1 to 3 neurons, in float32."""

    def layer(n_in, m):
        leak = torch.tensor(LEAKS[:leaks])[torch.randint(leaks, (m,), generator=g)]
        weight, bias = torch.randn(n_in, m, generator=g), torch.randn(m, generator=g)
        return Layer(0.6 * weight, LIF(leak, torch.ones(m), "soft"), None, 0.3 * bias)

    def branch():
        hidden, last = (int(torch.randint(low, high, (), generator=g)) for low, high in ((3, 13), (1, 4)))
        return Branch((layer(FEATURES, hidden), layer(hidden, last)))

    hidden = Hidden(FEATURES, tuple(branch() for _ in range(branches)), "spike", False, torch.float32)
    return Network(hidden, torch.randn(hidden.n_last, CLASSES, generator=g, dtype=torch.float64))


class Dense(nn.Module):
    """The same sizes by hand, with every weight between the layers."""

    def __init__(self, hidden, last):
        import snntorch

        super().__init__()
        self.first, self.lif1 = nn.Linear(FEATURES, hidden), snntorch.Leaky(beta=0.9)
        self.second, self.lif2 = nn.Linear(hidden, last), snntorch.Leaky(beta=0.9)
        self.output = nn.Linear(last, CLASSES)

    def forward(self, x):
        mem1, mem2 = self.lif1.reset_mem(), self.lif2.reset_mem()
        for current in x:
            spk1, mem1 = self.lif1(self.first(current), mem1)
            spk2, mem2 = self.lif2(self.second(spk1), mem2)
        return self.output(spk2), None


def seconds(module, x, y, repeats):
    """Processor seconds of one step of Adam on the cross entropy; the first is not counted."""
    optimiser = torch.optim.Adam([own for own in module.parameters() if own.requires_grad], 1e-3)
    for k in range(repeats + 1):
        if k == 1:
            began = time.process_time()
        optimiser.zero_grad()
        nn.functional.cross_entropy(module(x)[0], y).backward()
        optimiser.step()
    return (time.process_time() - began) / repeats


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--branches", type=int, default=97)
    parser.add_argument("--leaks", type=int, default=1, help="different leaks, 1 to 4")
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    g = torch.Generator().manual_seed(0)
    network = draw(options.branches, options.leaks, g)
    x = torch.randn(STEPS, BATCH, FEATURES, generator=g)
    y = torch.randint(CLASSES, (BATCH,), generator=g)
    sizes = [sum(branch.layers[i].m for branch in network.hidden.branches) for i in range(2)]
    dense = seconds(Dense(*sizes), x, y, options.repeats)
    print(f"{options.branches} branches, {sizes[0]} and {sizes[1]} neurons, batches of {BATCH}, {STEPS} steps\n")
    print("| network | modules a layer | ms a training step | times the dense one |\n|---|---|---|---|")
    print(f"| dense, by hand (snnTorch) | 1 | {1e3 * dense:.0f} | 1 |")
    for name, export in TARGETS.items():
        module = export(network)
        own = seconds(module, x, y, options.repeats)
        print(f"| {name} | {len(module.branches)} | {1e3 * own:.0f} | {own / dense:.2f} |", flush=True)


if __name__ == "__main__":
    main()
