"""Polishing changes nothing of the module but the readout, nothing of the caller's context, and heeds neither."""

import pytest
import torch

from convexsnn import polish
from test_polish import Net, data, loader


class InPlace(Net):
    """States changed in place: a list, a tensor that is no buffer, a buffer."""

    def __init__(self):
        super().__init__()
        self.seen, self.trace, self.memory = [], torch.zeros(3), {"v": [torch.zeros(2)]}
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.seen.append(len(x))
        self.trace += 1
        self.memory["v"][0].mul_(2).add_(1)
        self.calls += 1
        torch.rand(3)
        return super().forward(x)


def test_states_and_hooks_are_as_they_were():
    net, calls = InPlace(), []
    handle = net.out.register_forward_hook(lambda *_: calls.append(1))
    trace = net.trace
    polish(net, loader(), pooling="count")
    assert net.seen == []
    assert net.trace is trace
    assert not bool(trace.any())
    assert not bool(net.memory["v"][0].any())
    assert not bool(net.calls)
    handle.remove()
    calls.clear()
    net(data()[0])
    assert calls == []


CONTEXTS = {
    "float64": lambda: torch.set_default_dtype(torch.float64),
    "meta": lambda: torch.set_default_device("meta"),
    "no grad": lambda: torch.set_grad_enabled(False),
    "autocast": lambda: torch.set_autocast_enabled("cpu", True),
    "medium precision": lambda: torch.set_float32_matmul_precision("medium"),
}


@pytest.fixture
def mended():
    yield
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.set_grad_enabled(True)
    torch.set_autocast_enabled("cpu", False)
    torch.set_float32_matmul_precision("highest")


def surroundings():
    return (
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.is_grad_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.get_float32_matmul_precision(),
        torch.get_num_threads(),
        torch.is_inference_mode_enabled(),
    )


@pytest.mark.usefixtures("mended")
@pytest.mark.parametrize("name", CONTEXTS)
def test_the_callers_context_changes_nothing_and_is_not_changed(name):
    expected, plain = Net(), loader()
    result = polish(expected, plain, pooling="count")
    net = Net()
    CONTEXTS[name]()
    before, drawn = surroundings(), torch.get_rng_state()
    other = polish(net, plain, pooling="count")
    assert surroundings() == before
    assert torch.equal(torch.get_rng_state(), drawn)
    assert torch.equal(net.out.weight, expected.out.weight)
    assert net.out.weight.requires_grad
    assert other.certificate == result.certificate


def test_inference_mode():
    expected, net = Net(), Net()
    polish(expected, loader(), pooling="count")
    with torch.inference_mode():
        result = polish(net, loader(), pooling="count")
        assert torch.is_inference_mode_enabled()
    assert torch.equal(net.out.weight, expected.out.weight)
    net(data()[0]).sum().backward()
    result.restore()
    assert torch.equal(net.out.weight, Net().out.weight)


@pytest.mark.usefixtures("mended")
def test_a_module_in_float64_runs_under_the_default_that_it_was_made_under():
    torch.set_default_dtype(torch.float64)
    net, (x, y) = Net(), data()
    result = polish(net, [(x, y)], pooling="count", tol=1e-9)
    assert net.out.weight.dtype == torch.float64
    assert result.certificate.holds(1e-9)
