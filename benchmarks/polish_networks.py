"""Networks that are polished in `polish_safety.py` and in the tests: sound ones, and ones that must be refused."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

T, WIDTH, CLASSES = 6, 60, 10


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


# snnTorch


def torch_mlp(count=True, outputs=CLASSES, threshold=1.0):
    import snntorch as snn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.lif, self.out = nn.Linear(64, WIDTH), snn.Leaky(0.9, threshold=threshold), None
            self.out = nn.Linear(WIDTH, outputs)

        def forward(self, x):
            mem, total = self.lif.reset_mem(), []
            for _ in range(T if threshold == 1.0 else 1):
                spikes, mem = self.lif(self.fc(x), mem)
                total.append(self.out(spikes))
            return torch.stack(total).sum(0) if count else total[-1]

    return Net()


def torch_conv():
    import snntorch as snn

    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, 6, 3),
        snn.Leaky(0.8, threshold=0.5, init_hidden=True),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(54, CLASSES),
    )


def conv_steps(net, x):
    net[2].reset_mem()
    return [net(x) for _ in range(4)]


def torch_spiking_output():
    """Ends in spiking output neurons, whose counts are the answer."""
    import snntorch as snn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.lif1 = nn.Linear(64, WIDTH), snn.Leaky(0.9)
            self.fc2, self.lif2 = nn.Linear(WIDTH, CLASSES), snn.Leaky(0.9)

        def forward(self, x):
            one, two, counts = self.lif1.reset_mem(), self.lif2.reset_mem(), 0.0
            for _ in range(T):
                spikes, one = self.lif1(self.fc1(x), one)
                out, two = self.lif2(self.fc2(spikes), two)
                counts = counts + out
            return counts

    return Net()


# SpikingJelly


def jelly(outputs=CLASSES, voting=False):
    from spikingjelly.activation_based import functional, layer, neuron, surrogate

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.inp = nn.Linear(64, WIDTH)
            self.lif = neuron.LIFNode(tau=2.0, surrogate_function=surrogate.ATan(), step_mode="m")
            self.out = nn.Linear(WIDTH, outputs)
            self.vote = layer.VotingLayer(outputs // CLASSES, step_mode="m") if voting else nn.Identity()

        def forward(self, x):
            functional.reset_net(self)
            return self.vote(self.out(self.lif(2 * self.inp(x).repeat(T, 1, 1)))).mean(0)

    return Net()


def jelly_residual():
    from spikingjelly.activation_based import layer, neuron, surrogate

    atan = surrogate.ATan()

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = layer.Conv2d(1, 4, 3, padding=1)
            self.sn1 = neuron.LIFNode(v_threshold=0.5, surrogate_function=atan)
            self.conv2 = layer.Conv2d(4, 4, 3, padding=1)
            self.sn2 = neuron.LIFNode(v_threshold=0.5, surrogate_function=atan)
            self.pool, self.flat, self.out = layer.AvgPool2d(2), layer.Flatten(), layer.Linear(64, CLASSES)

        def forward(self, x):
            first = self.sn1(self.conv1(x.unflatten(1, (1, 8, 8))))
            return self.out(self.flat(self.pool(self.sn2(self.conv2(first)) + first)))

    return Net()


def jelly_steps(net, x):
    from spikingjelly.activation_based import functional

    functional.reset_net(net)
    return [net(x) for _ in range(4)]


# Norse


def norse_leaky():
    import norse.torch as norse

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.inp, self.lif = nn.Linear(64, WIDTH), norse.LIFCell()
            self.out, self.li = nn.Linear(WIDTH, CLASSES, bias=False), norse.LIBoxCell(dt=0.001)

        def forward(self, x):
            s = v = y = None
            for _ in range(10):
                z, s = self.lif(20 * self.inp(x), s)
                y, v = self.li(self.out(z), v)
            return y

    return Net()


def norse_cells():
    import norse.torch as norse

    return norse.SequentialState(nn.Linear(64, WIDTH), norse.LIFCell(), nn.Linear(WIDTH, CLASSES))


def norse_steps(net, x):
    state, outputs = None, []
    for _ in range(12):
        y, state = net(10 * x, state)
        outputs.append(y)
    return outputs


def norse_sequence():
    import norse.torch as norse

    return norse.SequentialState(nn.Linear(64, WIDTH), norse.LIF(), nn.Linear(WIDTH, CLASSES))


def norse_whole(net, x):
    return net((10 * x).repeat(12, 1, 1))


def ours():
    from convexsnn import Architecture, Network, gaussian
    from convexsnn.export import to_torch

    shape = Architecture(64, last=90, hidden=30, branches=3)
    hidden = gaussian(shape, torch.Generator().manual_seed(0))
    return to_torch(Network(hidden, torch.randn(90, CLASSES, dtype=torch.float64))).float()


def ours_run(net, x):
    return net(x.repeat(T, 1, 1))


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
        {"spikes": "branches.2.layers.0.cell", "readout": "output", "time": "first", "run": ours_run},
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
    "clipped at the end": Case(lambda: Plain(after=nn.Hardtanh(-20.0, 20.0)), COUNT, refused=WRONG),
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
