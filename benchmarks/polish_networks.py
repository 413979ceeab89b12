"""Networks that are polished in `polish_safety.py` and in the tests: sound ones, and ones that must be refused."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from polish_libraries import (
    CLASSES,
    WIDTH,
    T,
    conv_steps,
    jelly,
    jelly_residual,
    jelly_steps,
    norse_cells,
    norse_leaky,
    norse_sequence,
    norse_steps,
    norse_whole,
    ours,
    ours_run,
    torch_conv,
    torch_mlp,
    torch_spiking_output,
)


@dataclass
class Case:
    """A network, how it answers a batch (n, C), how it is polished, and what the refusal says if it is one."""

    make: Callable[[], nn.Module]
    settings: dict[str, Any] = field(default_factory=dict)
    answer: Callable[[nn.Module, torch.Tensor], torch.Tensor] = lambda module, x: module(x)
    refused: str | None = None
    trained: bool = True


class Fire(torch.autograd.Function):
    """A spike with a surrogate derivative."""

    @staticmethod
    def forward(ctx, v):
        ctx.save_for_backward(v)
        return (v >= 0).to(v)

    @staticmethod
    def backward(ctx, given):
        (v,) = ctx.saved_tensors
        return given / (1 + (math.pi * v) ** 2)


class LIFCell(nn.Module):
    """A spiking layer of plain torch, known by its name; one step, its state passed."""

    def forward(self, current, v):
        v = 0.8 * v + current
        spikes = Fire.apply(v - 1.0)
        return spikes, v - spikes


class Plain(nn.Module):
    """Plain torch; `time` says how the readout meets time, `after` is what follows the pooled readout."""

    def __init__(self, pooling="count", time="steps", outputs=CLASSES, after=None, bias=True, back=False):
        super().__init__()
        self.pooling, self.time, self.back = pooling, time, back
        self.inp, self.lif, self.out = nn.Linear(64, WIDTH), LIFCell(), nn.Linear(WIDTH, outputs, bias=bias)
        self.after = after or nn.Identity()

    def hidden(self, x):
        v, spikes = torch.zeros(len(x), WIDTH), []
        for _ in range(T):
            s, v = self.lif(self.inp(x), v)
            spikes.append(s)
        return torch.stack(spikes)

    def forward(self, x):
        if self.back:
            return self.after(self.with_feedback(x))
        s = self.hidden(x)
        if self.time == "steps":
            y = torch.stack([self.out(step) for step in s])
        else:
            y = self.out(s) if self.time == "first" else self.out(s.transpose(0, 1)).transpose(0, 1)
        return self.after(self.pool(y))

    def pool(self, y):
        decay = 0.7 ** torch.arange(T - 1.0, -1.0, -1.0)
        pools = {"last": lambda: y[-1], "count": lambda: y.sum(0), "mean": lambda: y.mean(0)}
        pools |= {"leaky": lambda: torch.einsum("t,tnc->nc", decay, y), "max": lambda: y.amax(0)}
        return pools[self.pooling]()

    def with_feedback(self, x):
        v, total = torch.zeros(len(x), WIDTH), torch.zeros(len(x), self.out.out_features)
        for _ in range(T):
            s, v = self.lif(self.inp(x) + total.mean(dim=1, keepdim=True), v)
            total = total + self.out(s)
        return total


class Averages(Plain):
    """Reads averages of spikes: real columns."""

    def forward(self, x):
        return self.out(self.hidden(x).mean(0))


class Population(nn.Module):
    """Outputs summed by tens into classes."""

    def forward(self, y):
        return y.unflatten(-1, (CLASSES, -1)).sum(-1)


class Between(nn.Module):
    """AvgPool1d over neighbouring outputs."""

    def __init__(self):
        super().__init__()
        self.pool = nn.AvgPool1d(3)

    def forward(self, y):
        return self.pool(y[:, None])[:, 0]


class Times(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, y):
        return self.factor * y


class Constrained(nn.Linear):
    """A readout whose weights are clipped at every call, as constrained layers do."""

    def forward(self, x):
        self.weight.data.clamp_(-0.05, 0.05)
        return super().forward(x)


class Tied(Plain):
    """The readout's weight is the input weight of another layer too."""

    def __init__(self):
        super().__init__()
        self.decoder = nn.Linear(WIDTH, CLASSES)
        self.decoder.weight = self.out.weight


def constrained():
    net = Plain()
    net.out = Constrained(WIDTH, CLASSES)
    return net


def normalised():
    net = Plain(after=nn.BatchNorm1d(CLASSES))
    net.after.running_mean.uniform_()
    return net


def poisoned():
    net = Plain()
    net.out.weight.data[0, 0] = math.nan
    return net


def total(run):
    """The sum of the outputs of all steps, as a network is judged that returns them all."""

    def answer(net, x):
        y = run(net, x)
        y = y[0] if isinstance(y, tuple) else y
        return (torch.stack(y) if isinstance(y, list) else y).sum(0)

    return answer


def mean(run):
    def answer(net, x):
        return torch.stack(run(net, x)).mean(0)

    return answer


COUNT = {"pooling": "count"}
WRONG = "module does not answer what"
CASES = {
    "plain torch, summed": Case(Plain, COUNT),
    "plain torch, time first, mean": Case(
        lambda: Plain("mean", "first"), {"pooling": "mean", "time": "first", "penalty": "group"}
    ),
    "plain torch, batch first, summed": Case(lambda: Plain("count", "batch"), {"pooling": "count", "time": "batch"}),
    "plain torch, leaky": Case(lambda: Plain("leaky"), {"pooling": "leaky", "leak": 0.7}),
    "plain torch, last step": Case(lambda: Plain("last", bias=False), {}),
    "plain torch, averages read": Case(Averages, {}),
    "snnTorch MLP": Case(torch_mlp, COUNT),
    "snnTorch convolution, max-pooling, hidden states": Case(
        torch_conv, {"pooling": "count", "run": conv_steps}, total(conv_steps)
    ),
    "SpikingJelly MLP, multi-step": Case(jelly, {"pooling": "mean", "time": "first"}),
    "SpikingJelly residual, single-step": Case(
        jelly_residual, {"pooling": "mean", "run": jelly_steps}, mean(jelly_steps)
    ),
    "Norse, leaky integrator (a scaling)": Case(norse_leaky, {"pooling": "leaky", "leak": 0.9}),
    "Norse SequentialState of cells, stepped": Case(
        norse_cells, {"pooling": "count", "run": norse_steps}, total(norse_steps)
    ),
    "Norse SequentialState, all steps at once": Case(
        norse_sequence, {"pooling": "count", "time": "first", "run": norse_whole}, total(norse_whole)
    ),
    "exported network of ours": Case(
        ours,
        {"spikes": "branches.0.layers.0.cell", "readout": "output", "time": "first", "run": ours_run},
        lambda net, x: ours_run(net, x)[0],
        trained=False,
    ),
    "log-softmax at the end": Case(lambda: Plain(after=nn.LogSoftmax(dim=1)), COUNT),
    "population code, summed by threes": Case(lambda: Plain(outputs=3 * CLASSES, after=Population()), COUNT),
    "population code, group penalty": Case(
        lambda: Plain(outputs=3 * CLASSES, after=Population()), {"pooling": "count", "penalty": "group"}
    ),
    "AvgPool1d after the readout": Case(
        lambda: Plain("mean", outputs=3 * CLASSES, after=Between()), {"pooling": "mean"}
    ),
    "scaling after the readout": Case(lambda: Plain(after=Times(0.3)), COUNT),
    "SpikingJelly VotingLayer": Case(lambda: jelly(2 * CLASSES, voting=True), {"pooling": "mean", "time": "first"}),
    "sums over steps, polished with pooling='last'": Case(torch_mlp, {}, refused="pooling='count' fits"),
    "leaky, polished with pooling='count'": Case(
        lambda: Plain("leaky"), COUNT, refused="pooling='leaky', leak=0.7 fits"
    ),
    "reads the last step, polished with pooling='count'": Case(
        lambda: torch_mlp(count=False), COUNT, refused="pooling='last' fits"
    ),
    "maximum over steps": Case(lambda: Plain("max"), COUNT, refused=WRONG),
    "tanh at the end": Case(lambda: Plain(after=nn.Tanh()), COUNT, refused=WRONG),
    "softmax at the end": Case(lambda: Plain(after=nn.Softmax(dim=1)), COUNT, refused=WRONG),
    "clipped at the end": Case(lambda: Plain(after=nn.Hardtanh(-3.0, 3.0)), COUNT, refused=WRONG),
    "BatchNorm at the end": Case(normalised, COUNT, refused=WRONG),
    "a dense map after the readout": Case(
        lambda: Plain(outputs=15, after=nn.Linear(15, CLASSES, bias=False)),
        {"pooling": "count", "readout": "out"},
        refused="no solver",
    ),
    "population code, two outputs weigh more": Case(
        lambda: Plain(after=Times(torch.tensor([2.0] * 2 + [1.0] * 8))), COUNT, refused="no solver"
    ),
    "spiking output neurons": Case(
        torch_spiking_output,
        {"pooling": "count", "readout": "fc2", "spikes": "lif1"},
        refused=WRONG,
    ),
    "readout feeds back into the hidden layer": Case(lambda: Plain(back=True), COUNT, refused="feedback"),
    "readout clips its own weights": Case(
        constrained, {"pooling": "count", "beta": 1e-4}, refused="does not answer what"
    ),
    "readout weight shared with another layer": Case(
        Tied, {"pooling": "count", "readout": "out"}, refused="shares its weight"
    ),
    "NaN in the readout": Case(poisoned, COUNT, refused="not finite", trained=False),
    "threshold 50, one step: silent": Case(
        lambda: torch_mlp(count=False, threshold=50.0), {}, refused="nothing but zeros", trained=False
    ),
    "Norse SequentialState of cells without run=": Case(
        norse_cells, {}, lambda net, x: net(x)[0], refused="single step", trained=False
    ),
    "beta far too large": Case(Plain, {"pooling": "count", "beta": 1e4}, refused="beta is too large"),
}
