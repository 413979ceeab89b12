"""Polishing networks of other libraries, and exported ones of ours."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from convexsnn import polish
from convexsnn.export import to_torch
from test_polish import data


def test_an_exported_network_of_ours():
    from test_export import draw, inputs

    module = to_torch(draw("soft", dyadic=False))
    X = inputs(dyadic=False)
    y = torch.from_numpy(np.random.default_rng(0).integers(3, size=X.shape[1]))
    result = polish(module, [(X, y)], spikes="branches.0.layers.1.cell", readout="output", time="first", beta=0.01)
    assert result.certificate.holds(1e-6)


def test_snntorch_convolutional_network_with_hidden_states():
    snn = pytest.importorskip("snntorch")
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3),
        snn.Leaky(0.8, threshold=0.3, init_hidden=True),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(36, 3),
    )
    x, y = torch.rand(60, 1, 8, 8), torch.arange(60) % 3

    def run(module, images):
        module[1].reset_mem()
        return [module(images) for _ in range(4)]

    result = polish(net, DataLoader(TensorDataset(x, y), 25), run=run, pooling="count", beta=0.01)
    assert result.certificate.holds(1e-6)
    assert result.improved
    with pytest.raises(ValueError, match="keeps state"):
        polish(net, [(x, y)], run=lambda module, images: module(images))


@pytest.mark.parametrize("step_mode", ["s", "m"])
def test_spikingjelly_network_with_residual(step_mode):
    sj = pytest.importorskip("spikingjelly.activation_based")
    from spikingjelly.activation_based import functional, layer, neuron

    del sj

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.sn1 = layer.Conv2d(1, 3, 3, padding=1), neuron.LIFNode(v_threshold=0.3)
            self.conv2, self.sn2 = layer.Conv2d(3, 3, 3, padding=1), neuron.LIFNode(v_threshold=0.3)
            self.pool, self.flat, self.out = layer.AvgPool2d(2), layer.Flatten(), layer.Linear(3 * 16, 3)

        def forward(self, x):
            first = self.sn1(self.conv1(x))
            return self.out(self.flat(self.pool(self.sn2(self.conv2(first)) + first)))

    torch.manual_seed(0)
    net = Residual()
    functional.set_step_mode(net, step_mode)
    x, y = torch.rand(50, 1, 8, 8), torch.arange(50) % 3

    def run(module, images):
        functional.reset_net(module)
        if step_mode == "m":
            return module(images.repeat(4, 1, 1, 1, 1))
        return [module(images) for _ in range(4)]

    time = {"s": "steps", "m": "first"}[step_mode]
    result = polish(net, DataLoader(TensorDataset(x, y), 20), run=run, time=time, pooling="mean", beta=0.01)
    assert result.certificate.holds(1e-6)
    assert not result.reads_spikes  # averages of sums of spikes
    assert result.spikes == "sn2"


def test_norse_network_with_a_leaky_readout():
    norse = pytest.importorskip("norse.torch")
    torch.manual_seed(0)

    class Norse(nn.Module):
        def __init__(self):
            super().__init__()
            self.inp, self.lif = nn.Linear(5, 30), norse.LIFCell()
            self.out, self.li = nn.Linear(30, 3, bias=False), norse.LIBoxCell(dt=0.001)

        def forward(self, x):
            s = v = y = None
            for _ in range(8):
                z, s = self.lif(40 * self.inp(x), s)
                y, v = self.li(self.out(z), v)
            return y

    net = Norse()
    x, y = data()
    leak = 1 - 0.001 * float(net.li.p.tau_mem_inv)
    result = polish(net, [(x, y)], pooling="leaky", leak=leak, beta=0.01)
    assert result.certificate.holds(1e-6)
    assert result.spikes == "lif"
