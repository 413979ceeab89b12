"""Polishing: what is recorded, what is solved, what is written, and what is refused."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from convexsnn import polish
from convexsnn.columns import PlaneColumns, pack_bits
from convexsnn.observer import Observer
from convexsnn.penalties import PENALTIES
from convexsnn.polishing import Pooling
from convexsnn.polishing.storage import BitStore, RealStore

T = 6


class LIFCell(nn.Module):
    """A spiking layer of plain torch, known by its name; one step, its state passed."""

    def forward(self, current, v):
        v = 0.8 * v + current
        spikes = (v >= 1.0).to(v)
        return spikes, v - spikes


class Net(nn.Module):
    """Loops over steps itself and pools its outputs; `time` says how its readout meets time."""

    def __init__(self, pooling="count", time="steps", *, bias=True, outputs=3, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.pooling, self.time = pooling, time
        self.inp, self.lif, self.out = nn.Linear(5, 30), LIFCell(), nn.Linear(30, outputs, bias=bias)

    def forward(self, x):
        v, spikes = torch.zeros(len(x), 30), []
        for _ in range(T):
            s, v = self.lif(self.inp(x), v)
            spikes.append(s)
        if self.time == "steps":
            y = torch.stack([self.out(s) for s in spikes])
        elif self.time == "first":
            y = self.out(torch.stack(spikes))
        else:
            y = self.out(torch.stack(spikes, dim=1)).transpose(0, 1)
        decay = 0.7 ** torch.arange(T - 1.0, -1.0, -1.0)
        pooled = {"last": y[-1], "count": y.sum(0), "mean": y.mean(0), "leaky": torch.einsum("t,tnc->nc", decay, y)}
        return pooled[self.pooling]


def data(n=150, seed=0):
    g = torch.Generator().manual_seed(seed)
    x = 3 * torch.randn(n, 5, generator=g)
    y = (x[:, 0] > 0).long() + (x[:, 1] > 1).long()
    return x, y


def loader(n=150, batch=16, y=None):
    x, labels = data(n)
    return DataLoader(TensorDataset(x, labels if y is None else y), batch)


def run_objective(net, loss, result, penalty):
    """The training objective, by running the module."""
    x, y = data()
    with torch.no_grad():
        S = net(x).double()
        terms = {"cross_entropy": lambda: nn.functional.cross_entropy(S, y, reduction="none")}
        signs = 2.0 * nn.functional.one_hot(y, 3) - 1.0
        terms |= {
            "hinge": lambda: (1 - signs * S).clamp(min=0).sum(1),
            "squared": lambda: ((S - signs) ** 2).sum(1),
            "logistic": lambda: nn.functional.softplus(-signs * S).sum(1),
        }
        rows = [net.out.weight.T] + ([] if net.out.bias is None else [net.out.bias[None]])
        omega = PENALTIES[penalty].value(torch.cat(rows).double())
        return float(terms[loss]().mean() + result.certificate.rho * omega)


@pytest.mark.parametrize("time", ["steps", "first", "batch"])
@pytest.mark.parametrize("pooling", ["last", "count", "mean", "leaky"])
@pytest.mark.parametrize("bias", [False, True])
def test_the_objective_is_that_of_the_running_module(time, pooling, bias):
    net = Net(pooling, time, bias=bias)
    leak = 0.7 if pooling == "leaky" else None
    hidden = copy.deepcopy(net.inp.state_dict())
    result = polish(net, loader(), time=time, pooling=pooling, leak=leak, beta=0.05)
    assert result.improved
    assert result.certificate.holds(1e-6)
    assert result.after.objective < result.before.objective
    assert run_objective(net, "cross_entropy", result, "l1") == pytest.approx(result.after.objective, rel=1e-5)
    x, y = data()
    assert float((net(x).argmax(1) == y).float().mean()) == pytest.approx(result.after.accuracy)
    assert result.after.synapses == int((net.out.weight != 0).sum())
    assert result.after.neurons == int((net.out.weight != 0).any(0).sum()) < 30
    assert all(torch.equal(hidden[name], net.inp.state_dict()[name]) for name in hidden)
    assert result.steps == T
    assert result.reads_spikes
    assert result.readout == "out"
    assert result.spikes == "lif"


@pytest.mark.parametrize("loss", ["cross_entropy", "hinge", "logistic", "squared"])
@pytest.mark.parametrize("penalty", ["l1", "group"])
def test_every_loss_and_penalty(loss, penalty):
    net = Net()
    before = Net()
    result = polish(net, loader(), pooling="count", loss=loss, penalty=penalty, beta=0.5)
    assert result.certificate.holds(1e-6)
    assert run_objective(before, loss, result, penalty) == pytest.approx(result.before.objective, rel=1e-5)
    assert run_objective(net, loss, result, penalty) == pytest.approx(result.after.objective, rel=1e-5)


def test_an_optimal_readout_is_left_as_it_is():
    net = Net()
    first = polish(net, loader(), pooling="count")
    weight = net.out.weight.clone()
    again = polish(net, loader(), pooling="count", tol=1e-3)
    assert again.after.objective <= first.after.objective
    assert again.certificate.holds(1e-3)
    assert again.after.objective <= again.before.objective
    assert again.improved or torch.equal(weight, net.out.weight)


def test_a_pointwise_convolution_is_polished_like_the_linear_layer_that_it_is():
    linear, pointwise = Net(), Net()
    convolution = nn.Conv2d(30, 3, 1)
    with torch.no_grad():
        convolution.weight.copy_(linear.out.weight[:, :, None, None])
        convolution.bias.copy_(linear.out.bias)
    pointwise.out = nn.Sequential(nn.Unflatten(1, (30, 1, 1)), convolution, nn.Flatten())
    before = copy.deepcopy(pointwise.state_dict())
    result = polish(pointwise, loader(), pooling="count", beta=0.1)
    expected = polish(linear, loader(), pooling="count", beta=0.1)
    assert result.improved
    assert result.certificate == expected.certificate
    assert torch.equal(convolution.weight.flatten(1), linear.out.weight)
    assert torch.equal(convolution.bias, linear.out.bias)
    result.restore()
    assert all(torch.equal(value, before[name]) for name, value in pointwise.state_dict().items())


def test_progress_is_shown_and_told_and_changes_nothing(capsys):
    quiet, loud, rows, began, gaps = Net(), Net(), [], [], []
    told = Observer(lambda *shown: rows.append(shown), lambda state: gaps.append(state.relative_gap), began.append)
    result = polish(quiet, loader(), pooling="count", beta=[0.1, 0.01], validation=loader())
    assert capsys.readouterr().err == ""
    again = polish(loud, loader(), pooling="count", beta=[0.1, 0.01], validation=loader(), verbose=True, observer=told)
    assert torch.equal(quiet.out.weight, loud.out.weight)
    assert again.certificate == result.certificate
    assert began == [
        "record what the readout reads",
        "beta 0.1 (1 of 2)",
        "beta 0.01 (2 of 2)",
        "run the module with its new weights",
    ]
    assert rows[0] == (16, 150)
    assert rows[-1] == (150, 150)
    assert gaps[-1] <= 1e-6
    shown = capsys.readouterr().err.splitlines()
    assert [line for line in shown if not line.startswith("solved: objective ")] == began
    with pytest.raises(ValueError, match="verbose must be True or False"):
        polish(loud, loader(), pooling="count", verbose="yes")


def test_real_targets():
    net = Net(outputs=2)
    y = torch.stack([data()[0][:, 0], data()[0][:, 1]], dim=1)
    result = polish(net, loader(y=y), pooling="count", loss="squared", beta=1e-3)
    assert result.after.accuracy is None
    with torch.no_grad():
        error = float(((net(data()[0]) - y) ** 2).sum(1).mean())
    assert error <= result.after.objective < 0.5 * float((y**2).sum(1).mean())


def test_one_output_is_two_classes():
    net = Net(outputs=1)
    y = (data()[1] > 0).long()
    result = polish(net, loader(y=y), pooling="count", loss="hinge", beta=0.01)
    with torch.no_grad():
        assert float(((net(data()[0])[:, 0] > 0) == (y == 1)).float().mean()) == pytest.approx(result.after.accuracy)


def test_a_readout_of_averages_is_read_as_real_numbers():
    class Averages(Net):
        def forward(self, x):
            v, total = torch.zeros(len(x), 30), torch.zeros(len(x), 30)
            for _ in range(T):
                s, v = self.lif(self.inp(x), v)
                total = total + s
            return self.out(total / T)

    real, counted = Averages(), Net("mean")
    first = polish(real, loader(), beta=0.02)
    second = polish(counted, loader(), pooling="mean", beta=0.02)
    assert not first.reads_spikes
    assert first.after.objective == pytest.approx(second.after.objective, rel=2e-6)


@pytest.mark.parametrize("pooling", [Pooling(), Pooling("count"), Pooling("mean"), Pooling("leaky", 0.6)])
def test_stores_hold_the_pooled_columns(pooling):
    g = torch.Generator().manual_seed(0)
    spikes = torch.randint(2, (5, 43, 9), generator=g)
    spikes[:, :, 3], spikes[:, :, 4] = 0, spikes[:, :, 2]
    expected = pooling.reduce(spikes.double())
    bits, real = (kind(43, 9, 5, pooling, constant=True) for kind in (BitStore, RealStore))
    for part in spikes.split([20, 3, 20], dim=1):
        bits.add(part)
        real.add(part)
    for store in (bits, real):
        dictionary = store.dictionary()
        assert dictionary.n_silent == 1
        assert dictionary.n_duplicates == 1
        own = dictionary.neuron_of[dictionary.neuron_of < 9]
        assert torch.allclose(dictionary.columns.dense()[:, : len(own)], expected[:, own])
        constant = dictionary.columns.dense()[:, dictionary.column_of[-1]]
        assert torch.allclose(constant, pooling.reduce(torch.ones(5, 43, 1))[:, 0])


def test_plane_columns_are_their_dense_matrix():
    g = torch.Generator().manual_seed(0)
    bits = torch.randint(2, (3, 7, 21), generator=g).bool()
    weights = torch.tensor([1.0, 0.5, -2.0], dtype=torch.float64)
    columns = PlaneColumns(torch.stack([pack_bits(plane) for plane in bits], dim=1), weights, 21)
    D = torch.einsum("b,bpn->np", weights, bits.double())
    W, U = torch.randn(7, 2, generator=g).double(), torch.randn(21, 2, generator=g).double()
    W[2] = 0
    assert torch.equal(columns.dense(), D)
    assert torch.allclose(columns.matmul(W), D @ W)
    assert torch.allclose(columns.rmatmul(U), D.T @ U)
    assert torch.equal(columns.take(torch.tensor([4, 1])).dense(), D[:, [4, 1]])


def test_the_module_is_left_in_its_mode_with_its_buffers_and_without_hooks():
    net = Net()
    net.add_module("norm", nn.BatchNorm1d(3))
    forward = Net.forward
    net.lif.hidden = "state"
    net.train()
    before = pickle.dumps(net.norm.state_dict())
    polish(net, loader(), pooling="count", run=lambda module, x: module.norm(forward(module, x)))
    assert net.training
    assert net.norm.training
    assert pickle.dumps(net.norm.state_dict()) == before
    assert not net.out._forward_pre_hooks
    assert not net.lif._forward_hooks


class Twice(Net):
    def __init__(self):
        super().__init__()
        self.second = nn.Linear(30, 3)


class Silent(Net):
    def __init__(self):
        super().__init__()
        nn.init.constant_(self.inp.weight, 0.0)
        nn.init.constant_(self.inp.bias, -1.0)
        self.out = nn.Linear(30, 3, bias=False)


class Stateful(Net):
    """Keeps its membrane from batch to batch."""

    v = None

    def forward(self, x):
        v = torch.zeros(len(x), 30) if self.v is None or len(self.v) != len(x) else self.v
        s, self.v = self.lif(self.inp(x), v)
        return self.out(s)


class Normed(Net):
    """A readout whose weight is computed from other parameters."""

    def __init__(self):
        super().__init__()
        nn.utils.parametrizations.weight_norm(self.out)


class Scaled(nn.Linear):
    """A Linear by name that computes something else."""

    def forward(self, x):
        return 2.0 * super().forward(x) ** 2


class Squaring(Net):
    def __init__(self):
        super().__init__()
        self.out = Scaled(30, 3)


class Noisy:
    """Other inputs in every pass, with the same labels."""

    def __init__(self):
        self.passes = 0

    def __iter__(self):
        self.passes += 1
        x, y = data()
        return iter([(x + torch.randn(x.shape, generator=torch.Generator().manual_seed(self.passes)), y)])


class Shuffled:
    """Other labels in every pass."""

    def __init__(self):
        self.passes = 0

    def __iter__(self):
        self.passes += 1
        x, y = data()
        order = torch.randperm(150, generator=torch.Generator().manual_seed(self.passes))
        return iter([(x[order], y[order])])


class Shrinking(Shuffled):
    """Fewer batches from the third pass on."""

    def __iter__(self):
        self.passes += 1
        x, y = data()
        return iter([(x[:70], y[:70])] + ([(x[70:], y[70:])] if self.passes < 3 else []))


BAD = {
    "no spiking layer": (nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3)), {}, "no spiking layer"),
    "no readout": (nn.Sequential(nn.Linear(5, 4), LIFCell()), {}, "followed by the spiking layer"),
    "two candidates": (Twice(), {}, "several Linears"),
    "nonlinear readout": (Net(), {"readout": "lif"}, "not linear"),
    "computed readout": (Normed(), {}, "weight is computed"),
    "readout that squares": (Squaring(), {}, "does not give W x"),
    "unknown readout": (Net(), {"readout": "head"}, "no layer named 'head'"),
    "foreign readout": (Net(), {"readout": nn.Linear(30, 3)}, "not in it"),
    "spikes do not spike": (Net(), {"spikes": "inp"}, "does not spike"),
    "time first": (Net(time="first"), {}, "time='steps' was declared"),
    "time steps": (Net(), {"time": "first"}, "one call a batch"),
    "time batch": (Net(time="batch"), {"time": "first"}, "time='batch' fits"),
    "unknown time": (Net(), {"time": "last"}, "time must be one of"),
    "maximum": (Net(), {"pooling": "max"}, "not linear in the readout's weights"),
    "unknown pooling": (Net(), {"pooling": "sum"}, "pooling must be one of"),
    "leak missing": (Net(), {"pooling": "leaky"}, "leak must be given with"),
    "leak": (Net(), {"pooling": "leaky", "leak": 1.5}, "leak must be"),
    "beta": (Net(), {"beta": 0.0}, "beta must be"),
    "loss": (Net(), {"loss": "entropy"}, "loss must be one of"),
    "silent": (Silent(), {"pooling": "count"}, "nothing but zeros"),
    "keeps state": (Stateful(), {}, "keeps state between batches"),
    "not called": (Twice(), {"readout": "second"}, "was not called"),
    "one output": (Net(outputs=1), {}, "2 outputs .*the module has 1"),
    "labels out of range": (Net(outputs=2), {"pooling": "count"}, r"classes 0\.\.1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_modules_and_settings(case):
    module, settings, message = BAD[case]
    refused(module, message, **settings)


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "loader is empty"),
        ([(torch.zeros(0, 5), torch.zeros(0).long())], "loader is empty"),
        (iter(loader()), "only once"),
        (Shuffled(), "changes between passes"),
        (Noisy(), "changes between passes"),
        (Shrinking(), "changes between passes"),
        ([torch.zeros(4, 5)], "batches"),
        ([(torch.zeros(4, 5), 1)], "one row a sequence"),
        ([(data()[0], data()[1] - 1)], r"labels lie in -1\.\.1"),
        ([(data()[0], data()[1].float())], "real targets need loss='squared'"),
        ([(data()[0], data()[1][:, None])], "class indices"),
        ([(data()[0], data()[1][:100])], "labels"),
        ([(data()[0], data()[1]), (data()[0], data()[1].float())], "one dtype"),
        ([(data()[0][:, :4], data()[1])], None),
    ],
)
def test_bad_loaders(batches, message):
    refused(Net(), message, batches, pooling="count")


@pytest.mark.parametrize(("module", "batches"), [(lambda x: x, loader()), (Net(), 3)])
def test_wrong_types(module, batches):
    with pytest.raises(TypeError):
        polish(module, batches)


def refused(module, message, batches=None, **settings):
    """An error, and the module as it was; without a message torch's own will do."""
    module.train()
    before = copy.deepcopy(module.state_dict())
    with pytest.raises(ValueError if message else RuntimeError, match=message):
        polish(module, loader() if batches is None else batches, **settings)
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert all(part.training for part in module.modules())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
