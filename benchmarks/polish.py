"""Polishing networks trained with surrogate gradients: objective, accuracy and readout synapses, before and after.

    OMP_NUM_THREADS=1 python benchmarks/polish.py --data-dir DIR --seeds 0 1 2

Networks on MNIST images shown as constant current: an MLP and two convolutional networks of snnTorch (of two spiking
layers, and of one wide one), an MLP of SpikingJelly and one of Norse (those whose package is missing are left out). DIR
holds the four IDX files; without it the 8x8 digits of scikit-learn are used. Of several betas the one that is best on
held-out images is taken, of equally good ones (within --slack) the one with fewest synapses; test images are only
scored.
"""

import argparse
import copy
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from convexsnn import polish

T = 10


class SnnTorch(nn.Module):
    """Outputs summed over the steps."""

    def __init__(self, body, m, side):
        super().__init__()
        import snntorch as snn

        atan = snn.surrogate.atan()
        if body == "conv":
            self.body = nn.Sequential(nn.Conv2d(1, 8, 5, stride=2), nn.Flatten())
            width = 8 * ((side - 5) // 2 + 1) ** 2
        else:
            self.body, width = nn.Sequential(nn.Flatten(), nn.Linear(side * side, m)), m
        self.lif, self.out = snn.Leaky(0.9, spike_grad=atan), nn.Linear(width, 10)

    def forward(self, x):
        current, mem = self.body(x), self.lif.reset_mem()
        total = 0.0
        for _ in range(T):
            spikes, mem = self.lif(current, mem)
            total = total + self.out(spikes)
        return total


class Convolutional(nn.Module):
    """Two spiking convolutional layers of snnTorch, the second reading the spikes of the first."""

    def __init__(self, side):
        super().__init__()
        import snntorch as snn

        atan = snn.surrogate.atan()
        left = (side - 5) // 2 + 1
        kernel = min(3, left)  # the 8x8 digits leave 2x2
        self.first, self.lif1 = nn.Conv2d(1, 8, 5, stride=2), snn.Leaky(0.9, spike_grad=atan)
        self.second, self.lif2 = nn.Conv2d(8, 16, kernel, stride=2), snn.Leaky(0.9, spike_grad=atan)
        width = 16 * ((left - kernel) // 2 + 1) ** 2
        self.flat, self.out = nn.Flatten(), nn.Linear(width, 10)

    def forward(self, x):
        current, mem1, mem2, total = self.first(x), self.lif1.reset_mem(), self.lif2.reset_mem(), 0.0
        for _ in range(T):
            spikes, mem1 = self.lif1(current, mem1)
            spikes, mem2 = self.lif2(self.second(spikes), mem2)
            total = total + self.out(self.flat(spikes))
        return total


class Jelly(nn.Module):
    """Multi-step mode: the readout is called once, with (T, n, F)."""

    def __init__(self, m, side):
        super().__init__()
        from spikingjelly.activation_based import functional, neuron, surrogate

        self.reset_net = functional.reset_net
        self.inp = nn.Sequential(nn.Flatten(), nn.Linear(side * side, m))
        self.lif = neuron.LIFNode(tau=2.0, surrogate_function=surrogate.ATan(), detach_reset=True, step_mode="m")
        self.out = nn.Linear(m, 10)

    def forward(self, x):
        self.reset_net(self)
        return self.out(self.lif(self.inp(x).repeat(T, 1, 1))).mean(0)


class Norse(nn.Module):
    """Outputs averaged over the steps."""

    def __init__(self, m, side):
        super().__init__()
        import norse.torch as norse

        self.inp = nn.Sequential(nn.Flatten(), nn.Linear(side * side, m))
        self.lif = norse.LIFBoxCell(norse.LIFBoxParameters(tau_mem_inv=torch.tensor(300.0), v_th=torch.tensor(0.5)))
        self.out = nn.Linear(m, 10)

    def forward(self, x):
        current, state, outputs = self.inp(x), None, []
        for _ in range(T):
            spikes, state = self.lif(current, state)
            outputs.append(self.out(spikes))
        return torch.stack(outputs).mean(0)


NETWORKS = {
    "snnTorch MLP": (lambda side: SnnTorch("mlp", 300, side), {"pooling": "count"}),
    "snnTorch conv": (Convolutional, {"pooling": "count"}),
    "snnTorch conv, one wide layer": (lambda side: SnnTorch("conv", 0, side), {"pooling": "count"}),
    "SpikingJelly MLP": (lambda side: Jelly(300, side), {"pooling": "mean", "time": "first"}),
    "Norse MLP": (lambda side: Norse(300, side), {"pooling": "mean"}),
}


def train(net, x, y, epochs, seed):
    g = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(net.parameters(), 2e-3)
    for _ in range(epochs):
        for index in torch.randperm(len(x), generator=g).split(64):
            optimiser.zero_grad()
            nn.functional.cross_entropy(net(x[index]), y[index]).backward()
            optimiser.step()


@torch.no_grad()
def accuracy(net, x, y):
    net.eval()
    batches = zip(x.split(500), y.split(500), strict=True)
    return float(np.mean([float((net(a).argmax(1) == b).float().mean()) for a, b in batches]))


def images(folder, n):
    """Train, held-out and test images (n, 1, side, side) and labels."""
    if folder is None:
        from sklearn.datasets import load_digits

        X, y = load_digits(return_X_y=True)
        X, y = torch.tensor(X / 16).float().reshape(-1, 1, 8, 8), torch.tensor(y)
        return (X[:1000], y[:1000]), (X[1000:1300], y[1000:1300]), (X[1300:], y[1300:])
    from convexsnn.tasks.idx import find_idx, read_idx

    def load(stem):
        X, y = (
            read_idx(find_idx(folder, f"{stem}-{kind}", ndim), ndim) for kind, ndim in (("images", 3), ("labels", 1))
        )
        return torch.tensor(X / 255.0).float()[:, None], torch.tensor(y.astype(np.int64))

    X, y = load("train")
    order = torch.randperm(len(X), generator=torch.Generator().manual_seed(0))
    a, b = order[:n], order[n : n + 2000]
    Xt, yt = load("t10k")
    return (X[a], y[a]), (X[b], y[b]), (Xt[:5000], yt[:5000])


def one(make, settings, parts, seed, betas, epochs, slack):
    (x, y), held, test = parts
    torch.manual_seed(seed)
    net = make(x.shape[-1])
    train(net, x, y, epochs, seed)
    before = accuracy(net, *test)
    weights = copy.deepcopy(net.out.state_dict())
    loader, tried = DataLoader(TensorDataset(x, y), 250), []
    for beta in betas:
        net.out.load_state_dict(weights)
        start = time.perf_counter()
        result = polish(net, loader, beta=beta, **settings)
        assert result.after.objective <= result.before.objective
        assert result.certificate.holds(1e-6)
        seconds = time.perf_counter() - start
        tried.append((accuracy(net, *held), result, accuracy(net, *test), beta, seconds))
    best = max(score for score, *_ in tried)
    good = [entry for entry in tried if entry[0] >= best - slack]
    _, result, after, beta, seconds = min(good, key=lambda entry: entry[1].after.synapses)
    return before, after, result, beta, seconds


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--n", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--betas", type=float, nargs="+", default=[0.003, 0.01, 0.03, 0.1])
    parser.add_argument("--slack", type=float, default=0.0)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    arguments = parser.parse_args()
    parts = images(arguments.data_dir, arguments.n)
    print("| network | seed | beta | objective | gap | test % before | after | synapses before | after | seconds |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name in arguments.networks:
        make, settings = NETWORKS[name]
        scores = []
        for seed in arguments.seeds:
            try:
                before, after, result, beta, seconds = one(
                    make, settings, parts, seed, arguments.betas, arguments.epochs, arguments.slack
                )
            except ImportError as error:
                print(f"{name} left out: {error}")
                break
            scores.append((before, after, result.after.synapses / result.before.synapses))
            print(
                f"| {name} | {seed} | {beta} | {result.before.objective:.4f} -> {result.after.objective:.4f} | "
                f"{result.certificate.relative_gap:.1e} | {100 * before:.2f} | {100 * after:.2f} | "
                f"{result.before.synapses} | {result.after.synapses} | {seconds:.1f} |",
                flush=True,
            )
        if scores:
            b, a, kept = np.mean(scores, axis=0)
            print(f"| {name} | mean | | | | {100 * b:.2f} | {100 * a:.2f} | | {100 * kept:.1f} % | |", flush=True)


if __name__ == "__main__":
    main()
