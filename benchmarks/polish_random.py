"""Polishing random networks under random declarations, many of them wrong: how many are polished, refused, made worse.

    OMP_NUM_THREADS=1 python benchmarks/polish_random.py --trials 500

Drawn are how the network pools its outputs and what follows, how the readout meets time, and what is declared about
both; loss, penalty, beta, bias, sizes, the scale of the weights and the batches. Each trial is judged by running the
module and nothing else: its own objective must not rise, its own accuracy be the one reported, or its weights be the
same bit for bit after a refusal.
"""

import argparse
import collections
import copy
import random
import re
import warnings

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from convexsnn import polish
from convexsnn.losses import LOSSES, loss_of
from convexsnn.penalties import PENALTIES
from polish_networks import LIFCell, Times

AFTER = {
    "nothing": lambda y: y,
    "population": lambda y: y.unflatten(-1, (3, -1)).sum(-1),
    "voting": lambda y: y.unflatten(-1, (3, -1)).mean(-1),
    "scaling": Times(-0.4),
    "log-softmax": lambda y: y.log_softmax(-1),
    "tanh": torch.tanh,
    "relu": torch.relu,
    "constant": lambda y: y + torch.arange(y.shape[-1]),
    "difference": lambda y: y - y.roll(1, -1),
    "clip": lambda y: y.clamp(-5.0, 5.0),
}


class Drawn(nn.Module):
    """One random network."""

    def __init__(self, draw):
        super().__init__()
        self.pooling, self.time = draw.choice(["last", "count", "mean", "leaky", "max"]), draw.choice(TIMES)
        self.after = draw.choice(list(AFTER)[:5] if draw.random() < 0.6 else list(AFTER))
        self.steps = draw.choice([1, 2, 5, 8])
        outputs = 6 if self.after in ("population", "voting") else 3
        self.inp, self.lif = nn.Linear(5, draw.choice([4, 12, 30])), LIFCell()
        self.out = nn.Linear(self.inp.out_features, outputs, bias=draw.random() < 0.5)
        with torch.no_grad():
            self.inp.weight.mul_(draw.choice([0.0, 0.3, 1.0, 3.0]))
            self.out.weight.mul_(draw.choice([1e-3, 1.0, 30.0]))

    def forward(self, x):
        v, spikes = torch.zeros(len(x), self.inp.out_features), []
        for _ in range(self.steps):
            s, v = self.lif(self.inp(x), v)
            spikes.append(s)
        s = torch.stack(spikes)
        if self.time == "steps":
            y = torch.stack([self.out(step) for step in s])
        else:
            y = self.out(s) if self.time == "first" else self.out(s.transpose(0, 1)).transpose(0, 1)
        decay = 0.7 ** torch.arange(self.steps - 1.0, -1.0, -1.0)
        pools = {"last": lambda: y[-1], "count": lambda: y.sum(0), "mean": lambda: y.mean(0)}
        pools |= {"leaky": lambda: torch.einsum("t,tnc->nc", decay, y), "max": lambda: y.amax(0)}
        return AFTER[self.after](pools[self.pooling]())


TIMES = ("steps", "first", "batch")


def declared(draw, net):
    """What is said of a network: the truth, or anything."""
    honest = draw.random() < 0.75 and net.pooling != "max"
    pooling = net.pooling if honest else draw.choice(["last", "count", "mean", "leaky"])
    time = net.time if draw.random() < 0.8 else draw.choice(TIMES)
    return {
        "pooling": pooling,
        "leak": 0.7 if pooling == "leaky" else None,
        "time": time,
        "loss": draw.choice(list(LOSSES)),
        "penalty": draw.choice(list(PENALTIES)),
        "beta": 10 ** draw.uniform(-4, 1),
    }


@torch.no_grad()
def judge(net, settings, rho, x, y):
    """The module's own objective and accuracy."""
    S = net(x).double()
    loss = loss_of(settings["loss"])
    rows = [net.out.weight.T] + ([] if net.out.bias is None else [net.out.bias[None]])
    omega = PENALTIES[settings["penalty"]].value(torch.cat(rows).double())
    return float(loss.value(S, loss.encode(y, 3)).mean() + rho * omega), float((S.argmax(1) == y).double().mean())


def trial(seed):
    """("polished" or "kept", None), ("refused", the message) or ("wrong", what is wrong)."""
    draw, g = random.Random(seed), torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    net = Drawn(draw)
    settings = declared(draw, net)
    x = 3 * torch.randn(draw.choice([20, 80]), 5, generator=g)
    y = (x[:, 0] > 0).long() + (x[:, 1] > 1).long()
    old = copy.deepcopy(net)
    try:
        result = polish(net, DataLoader(TensorDataset(x, y), draw.choice([net.steps, 7, 100])), **settings)
    except ValueError as error:
        same = all(torch.equal(a, b) for a, b in zip(old.parameters(), net.parameters(), strict=True))
        return ("refused", str(error)) if same else ("wrong", f"refused, but changed: {error}")
    rho = result.certificate.rho
    (before, _), (after, accuracy) = (judge(module, settings, rho, x, y) for module in (old, net))
    # The module computes in float32, and batches other than those of the loader round differently.
    if after > before * (1 + 1e-6) or abs(accuracy - result.after.accuracy) > 1e-9:
        return "wrong", f"objective {before} to {after}, accuracy {accuracy}, reported {result.after}"
    if not abs(after - result.after.objective) <= 1e-4 * max(after, 1e-3):
        return "wrong", f"objective {after}, reported {result.after.objective}"
    return ("polished" if result.improved else "kept"), None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--first", type=int, default=0)
    arguments = parser.parse_args()
    counts, reasons = collections.Counter(), collections.Counter()
    for seed in range(arguments.first, arguments.first + arguments.trials):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kind, message = trial(seed)
        counts[kind] += 1
        if kind == "wrong":
            print(seed, message, flush=True)
        elif message is not None:
            reasons[re.sub(r"'.*|\d.*", "", message)[:60]] += 1
    print(dict(counts))
    for reason, number in reasons.most_common():
        print(f"{number:5d}  {reason} ...")


if __name__ == "__main__":
    main()
