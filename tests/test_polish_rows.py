"""Polishing for several betas, and for rows with weights, steps, labels to ignore and padding."""

import warnings

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from convexsnn import polish
from convexsnn.polishing import Rows
from test_polish import LIFCell, Net, data, loader, refused


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
    net, x = Net(outputs=1), data(100, seed=1)[0]
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
    assert result.validation[1] == pytest.approx(-float(((net(x)[:, 0] - x[:, 0]) ** 2).mean().detach()))


def test_several_betas_need_validation():
    refused(Net(), "validation must be given", pooling="count", beta=[0.1, 0.2])
    refused(Net(), "same kind", pooling="count", validation=[(data()[0], data()[0][:, 0])])
    refused(Net(), "validation is empty", pooling="count", validation=[])


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
        (Rows(labels="batch"), (data(30)[0], torch.zeros(30, 6).long()), "pooling must be 'last'"),
        ("x y", data(30), "rows must be"),
    ],
)
def test_batches_other_than_declared(rows, batch, message):
    refused(Net(), message, [batch], rows=rows, pooling="count")


def test_labels_a_step_have_two_axes():
    refused(EveryStep(), "labels='batch' was declared", [data(30)], rows=Rows(labels="batch"))
