"""Losses that the library has never heard of, in `polish`: targets are what the loss makes of labels."""

import pytest
import torch

from convexsnn.losses import LOSSES
from convexsnn.penalties import PENALTIES
from convexsnn.polishing import polish
from convexsnn.polishing.targets import encode
from test_polish import Net, data, loader
from third_kinds import Absolute, LargestEntry, SharpCrossEntropy, SquaredHinge


@pytest.mark.parametrize("kind", [SharpCrossEntropy(), SquaredHinge()], ids=lambda loss: loss.name)
def test_what_is_lowered_is_the_loss_that_was_named(kind, monkeypatch):
    monkeypatch.setitem(LOSSES, kind.name, kind)
    net, (x, y) = Net(), data()
    result = polish(net, loader(), pooling="count", loss=kind.name, beta=0.05)
    assert result.certificate.loss == kind.name
    penalty = result.certificate.rho * torch.cat([net.out.weight.T, net.out.bias[None]]).double().abs().sum()
    own = kind.value(net(x).double(), kind.encode(y, 3)).mean() + penalty
    torch.testing.assert_close(result.after.objective, float(own), rtol=1e-5, atol=0.0)
    assert result.after.objective < result.before.objective


@pytest.mark.parametrize("outputs", [1, 2, 3])
def test_targets_are_the_losses_own(outputs):
    labels = torch.tensor([0, 1, 1, 0, 1]) if outputs < 3 else torch.tensor([0, 2, 1, 1, 0])
    for loss in (LOSSES["hinge"], LOSSES["squared"], LOSSES["logistic"], SquaredHinge()):
        one_each = torch.nn.functional.one_hot(labels, max(2, outputs)).double()
        expected = 2.0 * (one_each[:, 1:] if outputs == 1 else one_each) - 1.0
        assert torch.equal(encode(labels, outputs, loss), expected)
    for loss in (LOSSES["cross_entropy"], SharpCrossEntropy()):
        if outputs == 1:
            with pytest.raises(ValueError, match=f"{loss.name}.* 2 outputs .*the module has 1"):
                encode(labels, outputs, loss)
        else:
            assert torch.equal(encode(labels, outputs, loss), torch.nn.functional.one_hot(labels, outputs).double())


def test_labels_that_a_loss_cannot_learn_are_refused(monkeypatch):
    monkeypatch.setitem(LOSSES, "absolute", Absolute())
    reals = torch.zeros(4, 3)
    assert torch.equal(encode(reals, 3, Absolute()), reals.double())
    with pytest.raises(ValueError, match="real targets need loss='squared' or 'absolute'"):
        encode(reals, 3, SquaredHinge())
    monkeypatch.setattr(Absolute, "target_kinds", frozenset({"reals"}))
    with pytest.raises(ValueError, match="loss 'absolute' learns real numbers"):
        encode(torch.arange(3), 3, Absolute())


@pytest.mark.parametrize("added", [Absolute(), LargestEntry()], ids=lambda kind: kind.name)
def test_what_no_solver_takes_is_refused_and_nothing_is_changed(added, monkeypatch):
    loss = isinstance(added, Absolute)
    monkeypatch.setitem(LOSSES if loss else PENALTIES, added.name, added)
    net = Net()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    chosen = {"loss": added.name} if loss else {"penalty": added.name}
    with pytest.raises((ValueError, NotImplementedError), match=added.name):
        polish(net, loader(), pooling="count", **chosen)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
