"""Polishing never ruins a network: what it writes is judged by running the module, and all else is refused."""

import copy
import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from convexsnn import polish
from convexsnn.losses import LOSSES, loss_of
from convexsnn.penalties import PENALTIES
from convexsnn.polishing import Rows
from convexsnn.polishing.head import Head, LossThroughHead
from test_polish import LIFCell, Net, data, loader

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from polish_networks import CASES
from polish_safety import digits, try_one


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", CASES)
def test_networks_of_many_kinds(name):
    """The module's own objective never rises, its own accuracy is what is reported; or it is as it was."""
    case = CASES[name]
    try:
        result, objectives, accuracies, _ = try_one(case, digits(150), 1)
    except ImportError as error:
        pytest.skip(str(error))
    if case.refused is not None:
        assert isinstance(result, ValueError)
        assert case.refused in str(result)
        return
    assert not isinstance(result, ValueError), result
    assert result.improved
    assert result.certificate.holds(1e-6)
    assert objectives[1] < objectives[0]
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
@pytest.mark.parametrize("penalty", PENALTIES)
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
    """Fenchel and Young: f(z) + f*(v) >= z v, with equality at the gradient; off its range the conjugate is infinite."""
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


@pytest.mark.parametrize("penalty", PENALTIES)
def test_the_cheapest_lift(penalty):
    g = torch.Generator().manual_seed(0)
    head, omega = Head(torch.tensor([[1.0, 3.0, 0.0, 0.0], [0.0, 0.0, -1.0, 3.0]]).double()), PENALTIES[penalty]
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
    found, declared = Summed(), Summed()
    assert (
        polish(found, loader(), pooling="count").after == polish(declared, loader(), pooling="count", head=matrix).after
    )
    for head, message in [
        (2 * matrix, "pooled readout through head"),
        (torch.ones(3, 5), "matrix of finite numbers of shape"),
        (torch.ones(3, 6), "no solver"),
        (torch.eye(4, 6), "pooled readout through head"),
        (torch.cat([torch.eye(6), torch.zeros(1, 6)]), r"outputs \[6\] of the module do not depend"),
    ]:
        refused(Summed(), message, head=head, pooling="count")


def refused(module, message, batches=None, **settings):
    """An error, and the module as it was."""
    before = copy.deepcopy(module.state_dict())
    with pytest.raises(ValueError, match=message):
        polish(module, batches or loader(), **settings)
    assert all(torch.equal(value, module.state_dict()[name]) for name, value in before.items())


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


def test_one_class_is_refused_and_a_missing_one_warned_about():
    refused(Net(), "all of class 1", loader(y=torch.ones(150).long()), pooling="count")
    with pytest.warns(UserWarning, match="class 2: the polished readout will never answer"):
        polish(Net(), loader(y=data()[1].clamp(max=1)), pooling="count")


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


# Several betas


def test_the_beta_best_on_validation_data_is_taken():
    x, y = data(100, seed=1)
    held = DataLoader(TensorDataset(x, y), 30)
    net, betas = Net(), (1.0, 0.3, 0.03, 0.003)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        result = polish(net, loader(), pooling="count", beta=betas, validation=held)
    scores = [point.validation for point in result.path]
    assert [point.beta for point in result.path] == sorted(betas, reverse=True)
    assert result.beta == betas[scores.index(max(scores))]  # the first of equal ones is the largest beta
    assert result.validation[1] == max(scores) == float((net(x).argmax(1) == y).double().mean())
    alone = Net()
    for point in result.path:
        alone.load_state_dict(Net().state_dict())
        single = polish(alone, loader(), pooling="count", beta=point.beta, validation=held)
        assert single.after.objective == pytest.approx(point.objective, rel=1e-5)
        assert single.validation[1] == pytest.approx(point.validation, abs=0.02)


def test_a_path_with_real_targets():
    net, (x, y) = Net(outputs=1), data(100, seed=1)
    result = polish(
        net,
        loader(y=data()[0][:, 0]),
        pooling="count",
        loss="squared",
        beta="path",
        validation=[(x, x[:, 0])],
    )
    assert len(result.path) == 20
    assert result.validation[1] > result.validation[0]
    assert result.validation[1] == pytest.approx(-float(((net(x)[:, 0] - x[:, 0]) ** 2).mean()))


def test_several_betas_need_validation():
    refused(Net(), "validation must be given", pooling="count", beta=[0.1, 0.2])
    refused(Net(), "same kind", pooling="count", validation=[(data()[0], data()[0][:, 0])])
    refused(Net(), "validation is empty", pooling="count", validation=[])


# Rows


def weights_of(net):
    return torch.cat([net.out.weight.T, net.out.bias[None]]).detach()


def polished(batches, **settings):
    net = Net()
    result = polish(net, batches, **({"pooling": "count", "beta": 0.05, "tol": 1e-9} | settings))
    return net, result


def test_a_row_of_weight_two_is_two_rows_and_of_weight_zero_none():
    x, y = data(60)
    weight = torch.arange(60) % 3
    copies = torch.repeat_interleave(torch.arange(60), weight)
    batches = [(x[:25], y[:25], weight[:25]), (x[25:], y[25:], weight[25:])]
    one, first = polished(batches, rows=Rows(("x", "y", "weight")))
    two, second = polished([(x[copies], y[copies])])
    assert first.after.objective == pytest.approx(second.after.objective, rel=1e-8)
    assert torch.allclose(weights_of(one), weights_of(two), atol=1e-4)


def test_class_weights():
    x, y = data(90)
    counts = y.bincount()
    balanced = {k: 90 / (3 * int(count)) for k, count in enumerate(counts)}
    weight = torch.tensor([balanced[int(label)] for label in y])
    results = [
        polished([(x, y)], rows=Rows(class_weight="balanced"))[1],
        polished([(x, y)], rows=Rows(class_weight=balanced))[1],
        polished([(x, y, weight)], rows=Rows(("x", "y", "weight")))[1],
    ]
    assert len({round(result.after.objective, 7) for result in results}) == 1
    assert results[0].after.objective != polished([(x, y)])[1].after.objective


def test_ignored_rows_are_left_out():
    x, y = data(90)
    marked = y.clone()
    marked[::3] = -100
    kept = marked != -100
    one, first = polished([(x, marked)], rows=Rows(ignore_index=-100))
    two, second = polished([(x[kept], y[kept])])
    assert first.after == pytest.approx(second.after, rel=1e-9)
    assert torch.equal(weights_of(one), weights_of(two))


class EveryStep(nn.Module):
    """One output a step, (n, T, C); of inputs (n, T, d)."""

    def __init__(self, how="every"):
        super().__init__()
        torch.manual_seed(0)
        self.inp, self.lif, self.out, self.how = nn.Linear(5, 30), LIFCell(), nn.Linear(30, 3), how

    def forward(self, given):
        x, lengths = given if isinstance(given, tuple) else (given, None)
        v, spikes = torch.zeros(len(x), 30), []
        for t in range(x.shape[1]):
            s, v = self.lif(self.inp(x[:, t]), v)
            spikes.append(s)
        y = self.out(torch.stack(spikes, dim=1))
        if self.how == "every":
            return y
        mask = (torch.arange(x.shape[1]) < lengths[:, None])[:, :, None]
        if self.how == "last":
            return y[torch.arange(len(x)), lengths - 1]
        if self.how == "leaky":
            age = (lengths[:, None] - 1 - torch.arange(x.shape[1])).clamp(min=0)
            return (0.7 ** age[:, :, None] * y * mask).sum(1)
        return (y * mask).sum(1) / (lengths[:, None] if self.how == "mean" else 1)


def sequences(n=40, steps=7):
    g = torch.Generator().manual_seed(3)
    x = 3 * torch.randn(n, steps, 5, generator=g)
    return x, (x[:, :, 0] > 0).long() + (x[:, :, 1] > 1).long(), torch.randint(1, steps + 1, (n,), generator=g)


@pytest.mark.parametrize("labels", ["batch", "first"])
def test_labels_a_step(labels):
    net, (x, y, lengths) = EveryStep(), sequences()
    marked = y.clone()
    marked[:, 2] = -1
    given = marked if labels == "batch" else marked.T
    rows = Rows(("x", "y", "lengths"), labels, ignore_index=-1)
    batches = [
        (x[a:b], given[a:b] if labels == "batch" else given[:, a:b], lengths[a:b]) for a, b in [(0, 15), (15, 40)]
    ]
    result = polish(net, batches, time="batch", rows=rows, beta=0.05)
    kept = (marked != -1) & (torch.arange(7) < lengths[:, None])
    assert result.certificate.n == int(kept.sum())
    assert result.after.accuracy == pytest.approx(float((net(x).argmax(2) == y)[kept].double().mean()))
    loss = nn.functional.cross_entropy(net(x)[kept], y[kept])
    omega = weights_of(net).abs().sum()
    assert result.after.objective == pytest.approx(float(loss + result.certificate.rho * omega), rel=1e-5)


@pytest.mark.parametrize("pooling", ["last", "count", "mean", "leaky"])
def test_padding_does_not_count(pooling):
    net, (x, y, lengths) = EveryStep(pooling), sequences()
    labels = y[torch.arange(40), lengths - 1]
    batches = [((x[a:b], lengths[a:b]), labels[a:b], lengths[a:b]) for a, b in [(0, 15), (15, 40)]]
    leak = 0.7 if pooling == "leaky" else None
    settings = {"time": "batch", "pooling": pooling, "leak": leak, "beta": 0.02}
    result = polish(net, batches, rows=Rows(("x", "y", "lengths")), **settings)
    assert result.certificate.holds(1e-6)
    own = net((x, lengths))
    assert result.after.accuracy == pytest.approx(float((own.argmax(1) == labels).double().mean()))
    loss, omega = nn.functional.cross_entropy(own, labels), weights_of(net).abs().sum()
    assert result.after.objective == pytest.approx(float(loss + result.certificate.rho * omega), rel=1e-5)
    unpadded = [((given, size), label) for (given, size), label, _ in batches]
    refused(EveryStep(pooling), "does not answer", unpadded, **settings)


BAD_ROWS = [
    ({"fields": ("x",)}, "fields must hold 'x' and 'y'"),
    ({"fields": ("x", "y", "z")}, "fields must be one of"),
    ({"labels": "steps"}, "labels must be one of"),
    ({"ignore_index": 0.5}, "ignore_index"),
    ({"class_weight": "even"}, "class_weight must be one of"),
    ({"class_weight": {1: -1.0}}, r"class_weight\[1\]"),
]


@pytest.mark.parametrize(("settings", "message"), BAD_ROWS)
def test_bad_rows(settings, message):
    with pytest.raises(ValueError, match=message):
        Rows(**settings)


@pytest.mark.parametrize(
    ("rows", "batch", "message"),
    [
        (Rows(("x", "y", "weight")), data(30), r"batches \(x, y, weight\), got a tuple of 2"),
        (Rows(("x", "y", "weight")), (*data(30), -torch.ones(30)), "not negative"),
        (Rows(("x", "y", "weight")), (*data(30), torch.ones(3)), "one number a row"),
        (Rows(("x", "y", "weight")), (*data(30), torch.zeros(30)), "no row that is learned from"),
        (Rows(("x", "y", "lengths")), (*data(30), torch.zeros(30).long()), "positive integers"),
        (Rows(("x", "y", "lengths")), (*data(30), torch.full((30,), 99)), "lengths reach 99"),
        (Rows(labels="batch"), data(30), "labels='batch' was declared"),
        (Rows(labels="batch"), (data(30)[0], torch.zeros(30, 6).long()), "pooling must be 'last'"),
        ("x y", data(30), "rows must be"),
    ],
)
def test_batches_other_than_declared(rows, batch, message):
    refused(Net(), message, [batch], rows=rows, pooling="count")


# The caller's context


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
    torch.set_default_device("cpu")
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
