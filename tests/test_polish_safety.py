"""Polishing never ruins a network: what it writes is judged by running the module, and all else is refused."""

import copy
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from convexsnn import polish
from convexsnn.losses import LOSSES, loss_of
from convexsnn.penalties import PENALTIES
from convexsnn.polishing import Rows
from convexsnn.polishing.head import LossThroughHead, OutputMap
from helpers import NORMS
from test_polish import Net, data, loader, refused

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from polish_cases import improved_or_refused
from polish_networks import CASES
from polish_random import trial
from polish_safety import digits


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", CASES)
def test_networks_of_many_kinds(name):
    """The module's own objective never rises, its own accuracy is what is reported; or it is as it was."""
    tried = improved_or_refused(CASES[name], digits(150), 1)
    if tried is None:
        return
    result, objectives, accuracies = tried
    assert result.certificate.holds(1e-6)
    assert objectives == pytest.approx((result.before.objective, result.after.objective), rel=1e-4)
    assert accuracies == pytest.approx((result.before.accuracy, result.after.accuracy))


class Summed(Net):
    """Six outputs a step, summed by twos into three classes."""

    def __init__(self, weights=(1.0, 1.0)):
        super().__init__(outputs=6)
        self.weights = torch.tensor(weights)

    def forward(self, x):
        return (super().forward(x).unflatten(1, (3, 2)) * self.weights).sum(-1)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("penalty", NORMS)
@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.5, -2.0)])
def test_a_program_through_a_head_is_that_of_the_module(loss, penalty, weights):
    """Certified in the readout's own weights; no small change of them is better."""
    net, (x, y) = Summed(weights), data()
    result = polish(net, loader(), pooling="count", loss=loss, penalty=penalty, beta=0.3)
    assert result.certificate.holds(1e-6)
    assert torch.allclose(result.head, torch.block_diag(*[torch.tensor([weights])] * 3).double(), atol=1e-6)
    Y = loss_of(loss).encode(y, 3)

    def objective(module):
        rows = torch.cat([module.out.weight.T, module.out.bias[None]]).double()
        fit = loss_of(loss).value(module(x).double(), Y).mean()
        return float(fit + result.certificate.rho * PENALTIES[penalty].value(rows))

    with torch.no_grad():
        best = objective(net)
        assert best == pytest.approx(result.after.objective, rel=1e-5)
        assert best == pytest.approx(result.certificate.primal, rel=1e-5)
        g = torch.Generator().manual_seed(0)
        for _ in range(20):
            other = copy.deepcopy(net)
            for weight in other.out.parameters():
                weight += 0.01 * torch.randn(weight.shape, generator=g) * (weight != 0)
            assert objective(other) >= best * (1 - 2e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_conjugate_through_a_head(loss):
    """Fenchel and Young: f(z) + f*(v) >= z v, with equality at the gradient; infinite off the range of the head."""
    g = torch.Generator().manual_seed(0)
    matrix = torch.tensor([[0.5, -2.0, 0, 0, 0, 0], [0, 0, 0.5, -2.0, 0, 0], [0, 0, 0, 0, 0.5, -2.0]]).double()
    through, y = LossThroughHead(loss_of(loss), matrix), torch.arange(12) % 3
    Y, Z = through.encode(y, 3), torch.randn(12, 6, generator=g).double()
    V = through.project_dual(through.gradient(Z, Y), Y)
    assert torch.equal(through.project_dual(V, Y), V)
    assert torch.allclose(through.value(Z, Y) + through.conjugate(V, Y), (Z * V).sum(1))
    other = torch.randn(12, 6, generator=g).double()
    assert bool((through.value(other, Y) + through.conjugate(V, Y) >= (other * V).sum(1) - 1e-9).all())
    assert bool(torch.isinf(through.conjugate(V + torch.tensor([1.0, 0, 0, 0, 0, 0]), Y)).all())


@pytest.mark.parametrize("penalty", NORMS)
def test_the_cheapest_lift(penalty):
    g = torch.Generator().manual_seed(0)
    head, omega = OutputMap(torch.tensor([[1.0, 3.0, 0.0, 0.0], [0.0, 0.0, -1.0, 3.0]]).double()), PENALTIES[penalty]
    V = torch.randn(7, 2, generator=g).double()
    W = head.lift(V, omega)
    assert torch.allclose(head.through(W), V)
    assert float(omega.value(W)) == pytest.approx(float(omega.value(V)) / head.strength(omega))
    nothing = torch.tensor([[3.0, -1.0, 0.0, 0.0], [0.0, 0.0, 3.0, 1.0]]).double()  # M maps these to zero
    for _ in range(20):
        other = W + 0.1 * torch.randn(7, 2, generator=g).double() @ nothing
        assert torch.allclose(head.through(other), V)
        assert float(omega.value(other)) >= float(omega.value(W)) - 1e-12


def test_a_declared_head_is_checked():
    matrix = torch.block_diag(*[torch.ones(1, 2)] * 3)
    found = polish(Summed(), loader(), pooling="count")
    declared = polish(Summed(), loader(), pooling="count", head=matrix)
    assert found.after == pytest.approx(declared.after, rel=1e-7)
    for head, message in [
        (2 * matrix, "pooled readout through head"),
        (torch.ones(3, 5), "matrix of finite numbers of shape"),
        (torch.ones(3, 6), "no solver"),
        (torch.eye(4, 6), "pooled readout through head"),
        (torch.cat([torch.eye(6), torch.zeros(1, 6)]), r"outputs \[6\] of the module do not depend"),
    ]:
        refused(Summed(), message, head=head, pooling="count")


class ReadsItsWeights(Net):
    """Hidden neurons depend on the readout's weights, past all layers."""

    def forward(self, x):
        return super().forward(x + self.out.weight.mean())


class Clips(nn.Linear):
    """Clips its weights when it is called."""

    def forward(self, x):
        self.weight.data.clamp_(-0.4, 0.4)
        return super().forward(x)


class Clipping(Net):
    def __init__(self):
        super().__init__()
        self.out = Clips(30, 3)


@pytest.mark.parametrize("make", [ReadsItsWeights, Clipping])
def test_what_shows_only_after_the_write_is_undone(make):
    refused(make(), "after the write", pooling="count", beta=1e-3)


def test_an_interrupt_while_weights_are_tried_is_undone():
    net, calls = Net(), []

    def run(module, x):
        calls.append(bool((module.out.weight == 0).any()))
        if calls[-1]:
            raise KeyboardInterrupt
        return module(x)

    before = net.out.weight.clone()
    with pytest.raises(KeyboardInterrupt):
        polish(net, loader(), pooling="count", run=run)
    assert calls[-1]
    assert torch.equal(net.out.weight, before)


def test_the_same_of_every_row_is_refused():
    net = Net()
    nn.init.constant_(net.inp.weight, 0.0)
    nn.init.constant_(net.inp.bias, 2.0)
    refused(net, "reads the same of every row", pooling="count")


def test_missing_classes_are_refused_unless_they_are_allowed():
    refused(Net(), "all of class 1", loader(y=torch.ones(150).long()), pooling="count")
    without = loader(y=data()[1].clamp(max=1))
    refused(Net(), "no row of loader is of class 2: .*allow_missing_classes=True", without, pooling="count")
    allowed = {"pooling": "count", "rows": Rows(allow_missing_classes=True)}
    refused(Net(), "all of class 1", loader(y=torch.ones(150).long()), **allowed)
    net = Net()
    result = polish(net, without, **allowed)
    assert result.improved
    assert net(data()[0]).argmax(dim=1).max() <= 1


def test_rows_that_are_left_out_are_no_rows_of_their_class():
    y = torch.where(data()[1] == 2, -1, data()[1])
    refused(Net(), "no row of loader is of class 2", loader(y=y), pooling="count", rows=Rows(ignore_index=-1))
    with pytest.raises(ValueError, match="allow_missing_classes must be True or False"):
        Rows(allow_missing_classes="yes")


def test_a_fall_in_accuracy_is_said():
    net = Net()
    polish(net, loader(), pooling="count", beta=0.01)
    with pytest.warns(UserWarning, match="accuracy on the training rows falls"):
        result = polish(net, loader(), pooling="count", beta=1.2)
    assert result.after.accuracy < result.before.accuracy


def test_restore_is_exact():
    net = Net()
    before = copy.deepcopy(net.state_dict())
    result = polish(net, loader(), pooling="count")
    assert not torch.equal(net.out.weight, before["out.weight"])
    result.restore()
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in before.items())


@pytest.mark.parametrize(("own", "declared"), [("first", "batch"), ("batch", "first")])
def test_the_axis_of_time_is_told_apart_where_there_are_as_many_steps_as_sequences(own, declared):
    refused(Net(time=own), f"time='{own}' fits", loader(batch=6), time=declared, pooling="count")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_random_networks_under_random_declarations():
    kinds = [trial(seed) for seed in range(60)]
    assert [told for told in kinds if told[0] == "wrong"] == []
    assert {kind for kind, _ in kinds} >= {"polished", "refused"}
