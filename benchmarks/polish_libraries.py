"""Networks of snnTorch, SpikingJelly, Norse and our own exports for `polish_networks.py`."""

import torch
from torch import nn

T, WIDTH, CLASSES = 6, 60, 10


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
