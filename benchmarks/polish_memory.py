"""Peak memory of polishing a readout of 60 000 sequences and 4096 spiking neurons.

    OMP_NUM_THREADS=1 python benchmarks/polish_memory.py --beta 2

The spikes are those of random threshold neurons on random inputs that carry the class; inputs are made batch by batch.
Prints the peak resident memory of the process before and after, so that torch itself can be told apart.
"""

import argparse
import resource
import time

import torch
from torch import nn

from convexsnn import polish


class LIFCell(nn.Module):
    """1[x >= 0]."""

    def forward(self, x):
        return (x >= 0).to(x.dtype)


class Batches:
    """The same batches in every pass, made when asked for."""

    def __init__(self, rows, size, features, classes):
        self.rows, self.size = rows, size
        g = torch.Generator().manual_seed(0)
        self.centres = torch.randn(classes, features, generator=g)

    def __iter__(self):
        for start in range(0, self.rows, self.size):
            g = torch.Generator().manual_seed(1 + start)
            n = min(self.size, self.rows - start)
            y = torch.randint(len(self.centres), (n,), generator=g)
            yield self.centres[y] + 1.5 * torch.randn(n, self.centres.shape[1], generator=g), y


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--neurons", type=int, default=4096)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--beta", type=float, default=2.0)
    parser.add_argument("--penalty", default="l1")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(64, arguments.neurons), LIFCell(), nn.Linear(arguments.neurons, arguments.classes))
    before, start = peak(), time.perf_counter()
    batches = Batches(arguments.rows, 256, 64, arguments.classes)
    result = polish(module, batches, beta=arguments.beta, penalty=arguments.penalty)
    print(result.certificate)
    print("before", result.before)
    print("after", result.after, {name: round(value, 1) for name, value in result.seconds.items()})
    print(f"peak {peak():.0f} MiB, of which {before:.0f} MiB before the call; {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
